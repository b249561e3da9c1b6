package pipeline

import (
	"milterd/checks"
	"milterd/message"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the pipeline does. It outlives reloads: every Pipeline
// is handed the same one. All labels come from closed sets: roles, actions,
// outcomes, and the names of checks, findings and rules of the configuration.
type Metrics struct {
	messages *prometheus.CounterVec
	refusals *prometheus.CounterVec
	size     prometheus.Histogram
	scan     prometheus.Histogram
	score    *prometheus.HistogramVec
	duration *prometheus.HistogramVec
	results  *prometheus.CounterVec
	errors   *prometheus.CounterVec
	panics   *prometheus.CounterVec
	findings *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_messages_total", Help: "Messages by role and by what became of them."}, []string{"role", "action"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_recipients_refused_total", Help: "Recipients that were refused at RCPT TO, by what decided and how: no messages, each client may try several."}, []string{"by", "action"}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "milterd_message_size_bytes", Help: "Size of the messages that were decided.", Buckets: prometheus.ExponentialBuckets(1024, 4, 9)}),
		scan: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "milterd_scan_duration_seconds", Help: "Wait between the end of a message and its verdict.", Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 13)}),
		score: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "milterd_score", Help: "Scores by action.", Buckets: []float64{-10, -5, -2, 0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30}}, []string{"action"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "milterd_check_duration_seconds", Help: "Time that a check took, its waiting for others left out.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9)}, []string{"check"}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_check_results_total", Help: "How checks ended."}, []string{"check", "result"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_check_errors_total", Help: "Checks that could not do their job."}, []string{"check"}),
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_check_panics_total", Help: "Checks that panicked: a bug, please report it."}, []string{"check"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_findings_total", Help: "Findings and rule hits by name."}, []string{"finding"}),
	}
	reg.MustRegister(m.messages, m.refusals, m.size, m.scan, m.score, m.duration, m.results, m.errors, m.panics, m.findings)
	m.init()
	return m
}

// checkMetrics are the series of one check, looked up once.
type checkMetrics struct {
	duration prometheus.Observer
	results  map[checks.Outcome]prometheus.Counter
	errors   prometheus.Counter
}

func (m *Metrics) check(name string) *checkMetrics {
	c := &checkMetrics{
		duration: m.duration.WithLabelValues(name),
		errors:   m.errors.WithLabelValues(name),
		results:  map[checks.Outcome]prometheus.Counter{},
	}
	for _, o := range []checks.Outcome{checks.Clean, checks.Found, checks.None, checks.TempError, checks.PermError, checks.Failed} {
		c.results[o] = m.results.WithLabelValues(name, string(o))
	}
	return c
}

// observe counts a result. Of who looks at recipients nothing is counted: the check
// itself comes later.
func (c *checkMetrics) observe(r *checks.Result) {
	if c == nil {
		return
	}
	c.duration.Observe(r.Took.Seconds())
	if counter := c.results[r.Ended()]; counter != nil {
		counter.Inc()
	}
	if r.Err != nil {
		c.errors.Inc()
	}
}

func (m *Metrics) panicked(check string) { m.panics.WithLabelValues(check).Inc() }

// mayRefuse makes the series of a check that answers at RCPT TO in advance.
func (m *Metrics) mayRefuse(check string) {
	for _, a := range message.Actions {
		if a.Refuses() {
			m.refusals.WithLabelValues(check, string(a))
		}
	}
}

func (m *Metrics) refused(v *message.Verdict) {
	m.refusals.WithLabelValues(v.DecidedBy, string(v.Action)).Inc()
}

func (m *Metrics) decided(o *Outcome) {
	action := string(o.Verdict.Action)
	m.messages.WithLabelValues(string(o.Message.Role), action).Inc()
	m.scan.Observe(o.Took.Seconds())
	m.score.WithLabelValues(action).Observe(o.Verdict.Score)
	size := 0
	if o.Message.Header != nil {
		size = o.Message.Header.Size
	}
	if o.Message.Body != nil {
		size += int(o.Message.Body.Size())
	}
	m.size.Observe(float64(size))
	for i := range o.Verdict.Findings {
		m.findings.WithLabelValues(o.Verdict.Findings[i].Name).Inc()
	}
}

// init makes the series of milterd_messages_total in advance, so that a rate over
// them does not miss the first message.
func (m *Metrics) init() {
	for _, role := range []message.Role{message.Inbound, message.Outbound, message.Reinject} {
		for _, a := range message.Actions {
			m.messages.WithLabelValues(string(role), string(a))
		}
	}
}
