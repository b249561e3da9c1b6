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
	imported    *prometheus.GaugeVec
	tokens      prometheus.Gauge
	unavailable prometheus.Counter
	autolearned *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		taught: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "milterd_bayes_messages", Help: "Messages that the site has been taught, and were not taken back; as of the last minute."}, []string{"class"}),
		imported: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "milterd_bayes_imported_messages", Help: "Messages that the filter had learned whose memory the site has imported."}, []string{"class"}),
		tokens: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "milterd_bayes_tokens", Help: "Tokens in the store at most, of the site and of all users, without imported ones."}),
		unavailable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "milterd_bayes_unavailable_total", Help: "Messages judged without what was learned, because the store did not answer in time."}),
		autolearned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_bayes_autolearn_total", Help: "Messages learned by their score alone."}, []string{"class"}),
	}
	return m, errors.Join(checks.Register(reg, &m.taught), checks.Register(reg, &m.imported), checks.Register(reg, &m.tokens), checks.Register(reg, &m.unavailable), checks.Register(reg, &m.autolearned))
}

// learned notes how many messages the site was taught.
func (m *metrics) learned(t bayes.Totals) {
	m.taught.WithLabelValues(string(bayes.Spam)).Set(float64(t.Spam))
	m.taught.WithLabelValues(string(bayes.Ham)).Set(float64(t.Ham))
}

// tookOver notes what the site has imported.
func (m *metrics) tookOver(i bayes.Import) {
	m.imported.WithLabelValues(string(bayes.Spam)).Set(float64(i.Spam))
	m.imported.WithLabelValues(string(bayes.Ham)).Set(float64(i.Ham))
}
