package pipeline

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
	"milterd/rules"
	"milterd/scoring"

	"github.com/prometheus/client_golang/prometheus"
)

// newPipeline makes a pipeline of these checks with the defaults of an empty
// configuration, which change may change.
func newPipeline(t testing.TB, specs []checks.Spec, change func(*Options)) *Pipeline {
	t.Helper()
	p, err := New(options(t, specs, change))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func options(t testing.TB, specs []checks.Spec, change func(*Options)) Options {
	t.Helper()
	registry := prometheus.NewRegistry()
	o := Options{
		Specs:   specs,
		Section: func(string) checks.Section { return checktest.Section("") },
		Policy:  newPolicy(t, message.Enforce, ""),
		Roles: Roles{
			MyNetworks: prefixes("127.0.0.0/8", "::1/128", "10.1.0.0/16"),
			Relays:     prefixes("198.51.100.0/28"),
			Fetchers:   prefixes("10.1.0.9/32"),
		},
		Hostname: "host.test", MarkKey: []byte("secret"), Version: "1.2.3", SpamHeaders: true,
		MessageTime: 25 * time.Second,
		Faults:      &Faults{Tries: 3, Age: time.Hour},
		Metrics:     NewMetrics(registry),
		Env:         checks.Env{Registerer: registry},
		Random:      rand.Reader,
		Logger:      slog.New(slog.NewTextHandler(t.Output(), nil)),
		Now:         time.Now,
	}
	if change != nil {
		change(&o)
	}
	return o
}

// newPolicy makes a policy with the thresholds of an empty configuration and the
// given rule file, which may give weights to FOUND and the limits' findings.
func newPolicy(t testing.TB, mode message.Mode, ruleFile string) *scoring.Policy {
	t.Helper()
	names := []string{"FOUND", "ALSO_FOUND"}
	for _, f := range Findings() {
		names = append(names, f.Name)
	}
	set, err := rules.Load([]rules.Source{{Name: "rules.yaml", Text: []byte(ruleFile)}}, names)
	if err != nil {
		t.Fatal(err)
	}
	greylist, junk, reject := 4.0, 6.0, 15.0
	return scoring.New(scoring.Options{Mode: mode, OwnFault: scoring.FaultHold, Rules: set,
		Thresholds: message.Thresholds{Greylist: &greylist, Junk: &junk, Reject: &reject}})
}

func prefixes(all ...string) (nets []netip.Prefix) {
	for _, s := range all {
		nets = append(nets, netip.MustParsePrefix(s))
	}
	return nets
}

const (
	strangerIP = "192.0.2.1"
	ourIP      = "10.1.0.5"
)

// newMessage makes a whole message from a stranger, whose body ends with the test.
func newMessage(t testing.TB, text string, change func(*message.Message)) *message.Message {
	t.Helper()
	m := checktest.Mail{Client: strangerIP, Text: text}.Message(t)
	t.Cleanup(m.Body.Release)
	if change != nil {
		change(m)
	}
	return m
}

const plain = "From: Ann <ann@x.test>\nMessage-ID: <1@x.test>\nDate: Fri, 20 Nov 2026 12:00:00 +0000\nSubject: hi\n\nhello\n"

// decide takes a whole message through a pipeline, phase by phase as the bridge
// does, and waits until all its checks are gone.
func decide(t testing.TB, p *Pipeline, m *message.Message) *Outcome {
	t.Helper()
	r := p.Begin(t.Context())
	defer r.Close()
	for i := range m.Recipients {
		part := *m
		part.Recipients = m.Recipients[:i+1]
		r.Recipient(&part)
	}
	return r.Finish(t.Context(), m)
}

// finding returns a result with one finding.
func finding(name string) checks.Result {
	return checks.Result{Findings: []checks.Finding{{Name: name}}}
}

// log writes down what happens, in order.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// take returns what has happened since the last time.
func (l *log) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := strings.Join(l.lines, ", ")
	l.lines = nil
	return s
}

// noting describes a check that notes its start in l.
func noting(l *log, name string, phase checks.Phase) checks.Spec {
	return checktest.Fake(name, phase, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
		l.add("%s", name)
		return checks.Result{}, nil
	}))
}

// needing adds to a spec what it needs.
func needing(s checks.Spec, names ...string) checks.Spec {
	s.Needs = names
	return s
}

func following(s checks.Spec, names ...string) checks.Spec {
	s.After = names
	return s
}

// outcomes gives the results as "name=outcome".
func outcomes(o *Outcome) string {
	var all []string
	for i := range o.Results {
		all = append(all, o.Results[i].Check+"="+string(o.Results[i].Ended()))
	}
	return strings.Join(all, " ")
}

// counted returns the counters of that name that are not 0, as "labels=value".
func counted(t testing.TB, p *Pipeline, name string) string {
	t.Helper()
	families, err := p.o.Env.Registerer.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name || m.GetCounter().GetValue() == 0 {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			all = append(all, fmt.Sprintf("%s=%g", strings.Join(labels, "/"), m.GetCounter().GetValue()))
		}
	}
	return strings.Join(all, " ")
}
