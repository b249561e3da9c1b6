package daemon

import (
	"runtime"
	"time"

	"milterd/internal/dns"
	"milterd/internal/journal"
	"milterd/internal/store"
	"milterd/message"
	"milterd/milter"

	wire "github.com/emersion/go-milter"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are those of the daemon itself: the wire, the DNS, limits, reloads.
// All labels come from closed sets.
type metrics struct {
	registry    *prometheus.Registry
	limits      *prometheus.CounterVec
	connections prometheus.Gauge
	commands    *prometheus.CounterVec
	protocol    *prometheus.CounterVec
	dnsQueries  *prometheus.CounterVec
	dnsDuration prometheus.Histogram
	dnsHits     prometheus.Counter
	reloadOK    prometheus.Gauge
	reloadTime  prometheus.Gauge
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		limits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_limit_hits_total", Help: "Messages and connections that went over a limit of the configuration."}, []string{"limit"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "milterd_milter_connections", Help: "Open milter connections."}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_milter_commands_total", Help: "Milter commands received, by letter."}, []string{"command"}),
		protocol: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_milter_errors_total", Help: "Milter peers hung up on, and answers of ours that could not be given."}, []string{"reason"}),
		dnsQueries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "milterd_dns_queries_total", Help: "Look-ups by record type and outcome, those answered by the cache included."}, []string{"type", "result"}),
		dnsDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "milterd_dns_duration_seconds", Help: "Time that look-ups took which the cache could not answer.", Buckets: prometheus.ExponentialBuckets(0.0005, 3, 10)}),
		dnsHits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "milterd_dns_cache_hits_total", Help: "Look-ups that the cache answered."}),
		reloadOK: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "milterd_config_last_reload_successful", Help: "1 if the last (re)load of the configuration was in order, else 0."}),
		reloadTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "milterd_config_last_reload_timestamp_seconds", Help: "When the configuration in use was loaded."}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "milterd_build_info", Help: "1, with the version as label.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	build.Set(1)
	m.registry.MustRegister(m.limits, m.connections, m.commands, m.protocol, m.dnsQueries, m.dnsDuration, m.dnsHits,
		m.reloadOK, m.reloadTime, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) limitHit(limit string) { m.limits.WithLabelValues(limit).Inc() }

func (m *metrics) reloaded(ok bool) {
	if !ok {
		m.reloadOK.Set(0)
		return
	}
	m.reloadOK.Set(1)
	m.reloadTime.Set(float64(time.Now().Unix()))
}

func (m *metrics) dnsObserved(o dns.Observation) {
	m.dnsQueries.WithLabelValues(o.Type, string(o.Outcome)).Inc()
	if o.Cached {
		m.dnsHits.Inc()
	} else {
		m.dnsDuration.Observe(o.Duration.Seconds())
	}
}

// hooks counts what happens on the wire. A counter for each command letter is
// looked up once: there are dozens of commands in a message.
func (m *metrics) hooks() milter.Hooks {
	var counters [256]prometheus.Counter
	for _, c := range "OCHMRTLNBEADUKQ" {
		counters[c] = m.commands.WithLabelValues(string(c))
	}
	return milter.Hooks{
		Command: func(code wire.Code) {
			if c := counters[code]; c != nil {
				c.Inc()
			}
		},
		ProtocolError: func(reason milter.Reason) { m.protocol.WithLabelValues(string(reason)).Inc() },
		Connections:   func(delta int) { m.connections.Add(float64(delta)) },
		Busy:          func() { m.limitHit("connections") },
		BadEdits:      func(error) { m.protocol.WithLabelValues("bad_edits").Inc() },
		Panic:         func(string) { m.protocol.WithLabelValues("panic").Inc() },
		AcceptError:   func(error) { m.protocol.WithLabelValues("accept").Inc() },
	}
}

// budgets shows what messages in flight hold.
func (m *metrics) budgets(memory, files *message.Budget) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "milterd_inflight_memory_bytes", Help: "Memory reserved by messages in flight."}, func() float64 { return float64(memory.Used()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "milterd_spool_bytes", Help: "Bytes of bodies in spool files."}, func() float64 { return float64(files.Used()) }))
}

// store shows the state of the store.
func (m *metrics) store(stats func() store.Stats) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "milterd_store_failing", Help: "1 while the store cannot be written, else 0."}, func() float64 {
			if stats().Failing {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "milterd_store_bytes", Help: "Size of what is in the store."}, func() float64 { return float64(stats().UsedBytes) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "milterd_store_refused_total", Help: "Batches that the store did not take: it was busy or full."}, func() float64 { return float64(stats().Refused) }))
}

// journal shows what the journal lost. Without a journal nothing is lost.
func (m *metrics) journal(w *journal.Writer) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "milterd_journal_dropped_total", Help: "Verdicts that could not be written to the journal."}, func() float64 {
		if w == nil {
			return 0
		}
		return float64(w.Dropped())
	}))
}
