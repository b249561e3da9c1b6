package dkim

import (
	"errors"

	"milterd/checks"
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
	m := &metrics{
		signatures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_dkim_signatures_total", Help: "Signatures verified, by result."}, []string{"result"}),
		limits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_dkim_limit_hits_total", Help: "Signatures that went over a limit: signatures, header_names, key_bits."}, []string{"limit"}),
	}
	return m, errors.Join(checks.Register(reg, &m.signatures), checks.Register(reg, &m.limits))
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
