package bayes

import (
	"errors"

	"milterd/bayes"
	"milterd/checks"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics show what is learned, and the messages that had to do without.
type metrics struct {
	taught      *prometheus.GaugeVec
	tokens      prometheus.Gauge
	unavailable prometheus.Counter
	autolearned *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		taught: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "milterd_bayes_messages", Help: "Messages that the site has been taught, as of the last message that was judged."}, []string{"class"}),
		tokens: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "milterd_bayes_tokens", Help: "Tokens in the store at most, of the site and of all users."}),
		unavailable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "milterd_bayes_unavailable_total", Help: "Messages judged without what was learned, because the store did not answer in time."}),
		autolearned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_bayes_autolearn_total", Help: "Messages learned by their score alone."}, []string{"class"}),
	}
	return m, errors.Join(checks.Register(reg, &m.taught), checks.Register(reg, &m.tokens), checks.Register(reg, &m.unavailable), checks.Register(reg, &m.autolearned))
}

// judged notes how many messages the site was taught when it judged one.
func (m *metrics) judged(v *bayes.Verdict) {
	m.taught.WithLabelValues(string(bayes.Spam)).Set(float64(v.Site.Spam))
	m.taught.WithLabelValues(string(bayes.Ham)).Set(float64(v.Site.Ham))
}
