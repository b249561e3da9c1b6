package rates

import (
	"errors"

	"milterd/checks"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count alerts. They stay when the configuration is reloaded.
type metrics struct {
	alerts      *prometheus.CounterVec
	storeErrors prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_rates_alerts_total", Help: "Messages of senders of ours (login, local) that were too many (recipients) or would be refused from a stranger (spam)."}, []string{"sender", "cause"}),
		storeErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "milterd_rates_store_errors_total", Help: "Messages that could not be counted since the store did not answer."}),
	}
	for _, sender := range []string{ofLogin.name, ofLocal.name} {
		for _, cause := range []string{"recipients", "spam"} {
			m.alerts.WithLabelValues(sender, cause)
		}
	}
	err := errors.Join(checks.Register(reg, &m.alerts), checks.Register(reg, &m.storeErrors))
	return m, err
}
