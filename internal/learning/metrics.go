package learning

import (
	"milterd/bayes"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are those of a desk. All labels come from closed sets.
type Metrics struct {
	lessons    *prometheus.CounterVec
	deliveries *prometheus.CounterVec
	imports    *prometheus.CounterVec
}

// NewMetrics registers them. Every series is there from the start, so that the first
// event is seen as an increase.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		lessons: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_learning_lessons_total", Help: "Messages taught, by the way they came, what they were called, and what became of the lesson."},
			[]string{"source", "class", "result"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_delivery_verdicts_total", Help: "Second opinions at delivery: spam, ham or none, and why."}, []string{"verdict", "reason"}),
	}
	m.imports = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "milterd_learning_imports_total", Help: "Memories of another filter's that were handed over: stored, dropped or failed."}, []string{"result"})
	r.MustRegister(m.lessons, m.deliveries, m.imports)
	for _, result := range []string{importStored, importDropped, importFailed} {
		m.imports.WithLabelValues(result)
	}
	for _, source := range sources {
		for _, class := range []bayes.Class{bayes.Spam, bayes.Ham} {
			m.lessons.WithLabelValues(source, string(class), string(bayes.Learned))
			m.lessons.WithLabelValues(source, string(class), string(failed))
		}
	}
	for _, verdict := range []string{"spam", "ham"} {
		m.deliveries.WithLabelValues(verdict, reasonScore)
	}
	for _, reason := range reasons[1:] {
		m.deliveries.WithLabelValues("none", reason)
	}
	return m
}

// failed is the result of a lesson that the store did not take.
const failed bayes.Result = "failed"

func (m *Metrics) lesson(source string, class bayes.Class, result bayes.Result) {
	m.lessons.WithLabelValues(source, string(class), string(result)).Inc()
}

func (m *Metrics) delivered(verdict, reason string) {
	m.deliveries.WithLabelValues(verdict, reason).Inc()
}
