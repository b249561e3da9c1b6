package daemon

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"milterd/internal/config"
	"milterd/internal/dns"
	"milterd/internal/engine"
	"milterd/internal/journal"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// everyMetric returns the registry of a daemon in which every metric has been
// touched.
func everyMetric() *metrics {
	m := newMetrics("test")
	pipeline.NewMetrics(m.registry)
	m.journal(new(journal.Writer))
	m.budgets(message.NewBudget(1), message.NewBudget(1))
	m.limitHit("recipients")
	m.reloaded(true)
	m.dnsObserved(dns.Observation{Type: "TXT", Outcome: "ok"})
	m.dnsObserved(dns.Observation{Type: "TXT", Outcome: "ok", Cached: true})
	hooks := m.hooks()
	hooks.Busy()
	hooks.BadEdits(nil)
	hooks.AcceptError(nil)
	hooks.Panic("file:1")
	hooks.Connections(1)
	hooks.ProtocolError(milter.ReasonEmptyFrame)
	return m
}

// TestMetricsLint: what promtool check metrics would say, for all of them.
func TestMetricsLint(t *testing.T) {
	m := everyMetric()
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "milterd_") {
			ours++
			if help := f.GetHelp(); !strings.HasSuffix(help, ".") {
				t.Errorf("%s: its help is no sentence: %q", f.GetName(), help)
			}
		} else if !strings.HasPrefix(f.GetName(), "go_") && !strings.HasPrefix(f.GetName(), "process_") {
			t.Errorf("%s is named after nobody", f.GetName())
		}
	}
	t.Logf("%d metrics of our own", ours)
}

// TestMetricNames: those that dashboards and alerts count on.
func TestMetricNames(t *testing.T) {
	h := start(t, "")
	h.send(h.dial(), "4bHam", ham)
	_, body := h.get("/metrics")
	for _, name := range []string{
		`milterd_build_info{goversion="go`, `milterd_messages_total{action="accept",role="inbound"} 1`, `milterd_messages_total{action="quarantine",role="reinject"} 0`,
		`milterd_message_size_bytes_count 1`, `milterd_scan_duration_seconds_bucket{le="`, `milterd_score_bucket{action="accept",le="`,
		`milterd_check_duration_seconds_count{check="spf"} 1`, `milterd_check_results_total{check="spf",result="found"} 1`, `milterd_check_errors_total{check="content"} 0`,
		`milterd_findings_total{finding="SPF_PASS"} 1`, `milterd_dns_queries_total{result="`, `milterd_dns_duration_seconds_count `, `milterd_dns_cache_hits_total `,
		`milterd_milter_connections 1`, `milterd_milter_commands_total{command="M"} 1`, `milterd_config_last_reload_successful 1`,
		`milterd_config_last_reload_timestamp_seconds 1.`, `milterd_journal_dropped_total 0`, `milterd_inflight_memory_bytes `, `milterd_spool_bytes 0`,
		`process_start_time_seconds `, `go_goroutines `,
	} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestClosedLabels: strangers cannot make a series. Two thousand messages whose
// every text is another one leave their number as it is; but for a finding of
// ours that a busy machine may come upon late, RULES_TIME.
func TestClosedLabels(t *testing.T) {
	h := newHouse(t, "log: {level: error}")
	h.run(func(o *Options) { o.Ephemeral = true })
	random := rand.New(rand.NewChaCha8([32]byte{7}))
	word := func() string { return fmt.Sprintf("w%x", random.Uint64()) }
	batch := func(n int) {
		client, err := milter.Dial(t.Context(), milter.Addr{Network: "unix", Address: h.path("m.sock")}, milter.ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for i := range n {
			// Literals and unknown HELO names: nothing here needs the DNS but the sender.
			peer := stranger(fmt.Sprintf("203.0.%d.%d", random.IntN(256), random.IntN(256)), word()+".example")
			if i > 0 {
				if err := client.QuitNewConn(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := client.Greet(t.Context(), peer); err != nil {
				t.Fatal(err)
			}
			e := milter.Envelope{From: word() + "@" + word() + ".example", Rcpts: []milter.Recipient{{Address: word() + "@here.example"}}, QueueID: "4b" + word()}
			raw := fmt.Sprintf("%s: %s\r\nFrom: %s <%s@%s.example>\r\nSubject: %s\r\nMessage-ID: <%s@x>\r\nContent-Type: text/%s; charset=%s\r\n\r\n%s http://%s.example/\r\n",
				word(), word(), word(), word(), word(), word(), word(), word(), word(), word(), word())
			if _, err := client.Send(t.Context(), e, []byte(raw)); err != nil {
				t.Fatal(err)
			}
		}
	}
	series := func() map[string]bool {
		_, body := h.get("/metrics")
		if len(body) > 512<<10 {
			t.Errorf("/metrics has %d bytes", len(body))
		}
		all := map[string]bool{}
		for line := range strings.Lines(body) {
			if name, _, ok := strings.Cut(line, "} "); ok && strings.HasPrefix(line, "milterd_") {
				all[name] = true
			}
		}
		return all
	}
	batch(20)
	before := series()
	batch(2000)
	after := series()
	known := engine.FindingNames()
	set, err := engine.Rules(config.Default())
	if err != nil {
		t.Fatal(err)
	}
	known = append(known, set.Names()...)
	for name := range after {
		_, finding, _ := strings.Cut(name, `milterd_findings_total{finding="`)
		if !before[name] && !slices.Contains(known, strings.TrimSuffix(finding, `"`)) {
			t.Errorf("a new series: %s", name)
		}
	}
	if _, body := h.get("/metrics"); regexp.MustCompile(`w[0-9a-f]{12}|203\.0\.`).MatchString(body) {
		t.Errorf("a stranger's text in\n%s", body)
	}
	if got := h.metric(`milterd_messages_total{action="accept",role="inbound"}`); got == "0" || got == "absent" {
		t.Errorf("accepted: %s", got)
	}
	if len(after) > 2000 {
		t.Errorf("%d series", len(after))
	}
	t.Logf("%d series before and %d after", len(before), len(after))
}
