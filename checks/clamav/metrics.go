package clamav

import (
	"errors"

	"milterd/checks"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what clamd was asked. They stay when the configuration is reloaded.
type metrics struct {
	scans    *prometheus.CounterVec
	failures *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		scans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_clamav_scans_total", Help: "Streams given to clamd, by result: clean, found, error; cached ones were not given."}, []string{"result"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_clamav_socket_failures_total", Help: "Streams that a clamd did not answer, by its socket as configured."}, []string{"socket"}),
	}
	return m, errors.Join(checks.Register(reg, &m.scans), checks.Register(reg, &m.failures))
}
