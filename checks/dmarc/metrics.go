package dmarc

import (
	"errors"

	"milterd/checks"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count evaluations. They stay when the configuration is reloaded.
type metrics struct {
	evaluations *prometheus.CounterVec
	overrides   *prometheus.CounterVec
	waits       *prometheus.CounterVec
	differences prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		evaluations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_dmarc_evaluations_total", Help: "Messages by DMARC result and by what the policy wants done with those that fail."}, []string{"result", "policy"}),
		overrides: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_dmarc_overrides_total", Help: "Messages that fail and for which the policy was not followed, by the reason that RFC 9990 names."}, []string{"reason"}),
		waits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_dmarc_undecided_total", Help: "Messages that could not be judged for want of DNS: for few domains at a time (sender) or for many (resolver)."}, []string{"fault"}),
		differences: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "milterd_dmarc_method_differences_total", Help: "Messages that tree walk and Public Suffix List would treat in two ways (org_domain: both)."}),
	}
	err := errors.Join(checks.Register(reg, &m.evaluations), checks.Register(reg, &m.overrides), checks.Register(reg, &m.waits), checks.Register(reg, &m.differences))
	return m, err
}

func (m *metrics) count(out *Outcome) {
	m.evaluations.WithLabelValues(string(out.Result.Status), string(out.Result.Policy.Disposition)).Inc()
	if out.Override.Type != "" {
		m.overrides.WithLabelValues(string(out.Override.Type)).Inc()
	}
	if out.Result.Differs() {
		m.differences.Inc()
	}
}

// undecided counts a message that waits or has waited for the DNS.
func (m *metrics) undecided(many bool) {
	fault := "sender"
	if many {
		fault = "resolver"
	}
	m.waits.WithLabelValues(fault).Inc()
}
