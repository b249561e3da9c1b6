package checks

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Register registers a collector of a check, or puts in its place the one of the same
// name that an earlier configuration has registered: a reload makes every check anew,
// and counters go on.
func Register[C prometheus.Collector](reg prometheus.Registerer, c *C) error {
	err := reg.Register(*c)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		*c = known.ExistingCollector.(C)
		return nil
	}
	return err
}
