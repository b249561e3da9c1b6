package greylist

import (
	"errors"

	"milterd/checks"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count senders. They stay when the configuration is reloaded.
type metrics struct {
	senders     *prometheus.CounterVec
	storeErrors prometheus.Counter
}

// What becomes of senders.
const (
	asked        = "asked"
	returnedHam  = "returned_ham"
	returnedSpam = "returned_spam"
	never        = "never_returned"
)

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		senders: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_greylist_senders_total", Help: "Senders who were asked to come back, and those who did with ham, with spam, or never."}, []string{"outcome"}),
		storeErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "milterd_greylist_store_errors_total", Help: "Times that the store failed the check; nobody is asked to come back then."}),
	}
	err := errors.Join(checks.Register(reg, &m.senders), checks.Register(reg, &m.storeErrors))
	for _, outcome := range []string{asked, returnedHam, returnedSpam, never} {
		m.senders.WithLabelValues(outcome)
	}
	return m, err
}
