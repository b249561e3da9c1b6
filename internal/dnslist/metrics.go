package dnslist

import (
	"errors"

	"milterd/checks"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what lists say. Labels are names of the configuration and words of
// this package. They stay when the configuration is reloaded.
type metrics struct {
	questions *prometheus.CounterVec
	tests     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		questions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_dnslist_questions_total",
			Help: "Questions to DNS lists, by list and result: listed, clear, or why there is no answer.",
		}, []string{"list", "result"}),
		tests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_dnslist_tests_total",
			Help: "Tests of DNS lists, by list and result: passed, failed, undecided.",
		}, []string{"list", "result"}),
	}
	return m, errors.Join(checks.Register(reg, &m.questions), checks.Register(reg, &m.tests))
}

func (m *metrics) count(l *List, a Answer) {
	result := string(a.Status)
	if a.Reason != "" {
		result = string(a.Reason)
	}
	m.questions.WithLabelValues(l.Name, result).Inc()
}

func (m *metrics) tested(l *List, r testResult) { m.tests.WithLabelValues(l.Name, string(r)).Inc() }
