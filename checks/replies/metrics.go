package replies

import (
	"milterd/checks"

	"github.com/prometheus/client_golang/prometheus"
)

// newMetrics makes the counter of what the store did not answer.
func newMetrics(reg prometheus.Registerer) (prometheus.Counter, error) {
	c := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "milterd_replies_store_errors_total", Help: "Messages for which the store did not say whether they answer one of ours."})
	err := checks.Register(reg, &c)
	return c, err
}
