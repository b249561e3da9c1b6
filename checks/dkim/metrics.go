package dkim

import (
	"errors"

	"milterd/dkim"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count signatures: by status, and by the limit that one went over. They
// stay when the configuration is reloaded.
type metrics struct {
	signatures *prometheus.CounterVec
	limits     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	signatures, err := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "milterd_dkim_signatures_total", Help: "Signatures verified, by result."}, []string{"result"}))
	if err != nil {
		return nil, err
	}
	limits, err := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "milterd_dkim_limit_hits_total", Help: "Signatures that went over a limit: signatures, header_names, key_bits."}, []string{"limit"}))
	if err != nil {
		return nil, err
	}
	return &metrics{signatures, limits}, nil
}

// register returns the collector, or the one of the same name that an earlier
// configuration registered.
func register(reg prometheus.Registerer, c *prometheus.CounterVec) (*prometheus.CounterVec, error) {
	err := reg.Register(c)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return known.ExistingCollector.(*prometheus.CounterVec), nil
	}
	return c, err
}

func (m *metrics) count(r *dkim.Result) {
	m.signatures.WithLabelValues(string(r.Status)).Inc()
	switch {
	case errors.Is(r.Err, dkim.ErrHeaderNames):
		m.limit("header_names", 1)
	case errors.Is(r.Err, dkim.ErrKeyLong):
		m.limit("key_bits", 1)
	}
}

func (m *metrics) limit(name string, n int) { m.limits.WithLabelValues(name).Add(float64(n)) }
