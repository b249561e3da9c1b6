package arc

import (
	"errors"

	"milterd/arc"
	"milterd/checks"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count chains and seals. They stay when the configuration is reloaded.
type metrics struct {
	chains *prometheus.CounterVec
	limits *prometheus.CounterVec
	seals  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		chains: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_arc_chains_total", Help: "ARC chains of messages that have one, by result."}, []string{"result"}),
		limits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_arc_limit_hits_total", Help: "ARC chains that went over a limit: sets, keys."}, []string{"limit"}),
		seals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_arc_seals_total", Help: "ARC sets added, by what they say about the chain before them."}, []string{"cv"}),
	}
	return m, errors.Join(checks.Register(reg, &m.chains), checks.Register(reg, &m.limits), checks.Register(reg, &m.seals))
}

func (m *metrics) count(r *arc.Result) {
	if r.Status == arc.None {
		return
	}
	m.chains.WithLabelValues(string(r.Status)).Inc()
	switch {
	case errors.Is(r.Err, arc.ErrTooMany):
		m.limits.WithLabelValues("sets").Inc()
	case errors.Is(r.Err, arc.ErrTooManyKeys):
		m.limits.WithLabelValues("keys").Inc()
	}
}
