package dmarc

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"

	"github.com/prometheus/client_golang/prometheus"
)

// steps is a clock that a test moves.
type steps struct{ now time.Time }

func newSteps() *steps { return &steps{time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)} }

func (s *steps) Now() time.Time { return s.now }

// TestWaiting: mail that cannot be judged waits an hour, and never gets a 5xx.
func TestWaiting(t *testing.T) {
	const (
		unknown = "_dmarc.lame.test"   // policy that does not resolve
		known   = "_dmarc.victim.test" // policy that does
		junk    = "TEMPERROR UNDECIDED -> junk"
		accept  = "TEMPERROR UNDECIDED"
		wait    = "TEMPERROR " + waits
	)
	clock := newSteps()
	r := zone(unknown, "FAIL", known, "v=DMARC1; p=reject", "_dmarc.a.victim.test", "FAIL")
	h := checktest.New(t, Spec(), "", checks.Env{Resolver: r, Now: clock.Now})
	run := func(author, prior2, client string) string {
		t.Helper()
		return describe(h.Run(checktest.Mail{Client: client, Text: from("x@" + author), Prior: prior(t, prior2)}))
	}
	const (
		lost = "spf=none dkim=temperror:victim.test"
		none = "spf=none dkim=none"
	)
	for _, step := range []struct {
		after                 time.Duration
		author, prior, client string
		want                  string
	}{
		{0, "lame.test", none, "192.0.2.1", wait},
		{0, "victim.test", lost, "192.0.2.1", wait},
		{59 * time.Minute, "lame.test", none, "192.0.2.200", wait}, // the same /24
		{0, "lame.test", none, "198.51.100.1", wait},               // another network begins now
		{0, "victim.test", lost, "192.0.2.1", wait},
		{time.Minute, "lame.test", none, "192.0.2.1", accept},
		{0, "victim.test", lost, "192.0.2.1", junk},
		{0, "lame.test", none, "198.51.100.1", wait},
		{0, "a.victim.test", none, "192.0.2.1", wait}, // another domain begins now
		{time.Hour, "lame.test", none, "198.51.100.1", accept},
		{0, "a.victim.test", none, "192.0.2.1", junk}, // the policy above is known
		// Proof that does not come is remembered for a day, even if other mail passes.
		{10 * time.Hour, "victim.test", "spf=none dkim=pass:victim.test", "192.0.2.1", "PASS"},
		{0, "victim.test", lost, "192.0.2.1", junk},
		{24 * time.Hour, "victim.test", lost, "192.0.2.1", wait},
		// A policy that never resolves is remembered for 30 days.
		{27 * 24 * time.Hour, "lame.test", none, "192.0.2.1", accept},
		{3 * 24 * time.Hour, "lame.test", none, "192.0.2.1", wait},
		// A clock that was set back starts anew.
		{-365 * 24 * time.Hour, "lame.test", none, "192.0.2.1", wait},
		{time.Hour, "lame.test", none, "192.0.2.1", accept},
	} {
		clock.now = clock.now.Add(step.after)
		if got := run(step.author, step.prior, step.client); got != step.want {
			t.Errorf("%s, %s, %s, %s: got %s, want %s", clock.now.Format(time.DateTime), step.author, step.prior, step.client, got, step.want)
		}
	}

	// A policy that resolves ends the matter: the next time begins anew.
	r.set(unknown, "v=DMARC1; p=reject")
	if got := run("lame.test", none, "192.0.2.1"); got != "FAIL_REJECT -> reject 550 5.7.26 lame.test DMARC policy reject" {
		t.Error(got)
	}
	r.set(unknown, "FAIL")
	if got := run("lame.test", none, "192.0.2.1"); got != wait {
		t.Error(got)
	}
	if got := run("lame.test", none, "unknown"); got != wait {
		t.Error(got)
	}
}

// TestNoWaiting: with tempfail_max: 0s nothing waits.
func TestNoWaiting(t *testing.T) {
	h := newHarness(t, zone("_dmarc.lame.test", "FAIL", "_dmarc.victim.test", "v=DMARC1; p=reject"), "tempfail_max: 0s")
	for author, want := range map[string]string{"lame.test": "TEMPERROR UNDECIDED", "victim.test": "TEMPERROR UNDECIDED -> junk"} {
		if got := describe(h.Run(checktest.Mail{Text: from("a@" + author), Prior: prior(t, "spf=none dkim=temperror:victim.test")})); got != want {
			t.Errorf("%s: %s", author, got)
		}
	}
}

// TestAlarm: when many domains fail at once the operator hears of it, once in ten
// minutes, and nothing else is different.
func TestAlarm(t *testing.T) {
	var said lines
	clock, registry := newSteps(), prometheus.NewRegistry()
	r := zone()
	h := checktest.New(t, Spec(), "", checks.Env{Resolver: r, Now: clock.Now, Registerer: registry, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	fail := func(domain string) {
		t.Helper()
		r.set("_dmarc."+domain, "FAIL")
		if got := describe(h.Run(checktest.Mail{Text: from("a@" + domain), Prior: prior(t, "spf=none dkim=none")})); got != "TEMPERROR "+waits {
			t.Error(got)
		}
	}
	for i := range 100 { // of one organization
		fail(fmt.Sprintf("a%d.lame.test", i))
	}
	for i := range alarmDomains - 2 {
		fail(fmt.Sprintf("d%d.test", i))
	}
	if len(said.all()) != 0 || counted(t, registry, "milterd_dmarc_undecided_total", "resolver") != 0 {
		t.Errorf("too early: %v", said.all())
	}
	for i := range alarmDomains {
		fail(fmt.Sprintf("e%d.test", i))
	}
	if all := said.all(); len(all) != 1 || !strings.Contains(all[0], "is the resolver well?") || !strings.Contains(all[0], "domains=20 ") {
		t.Errorf("%v", all)
	}
	if n := counted(t, registry, "milterd_dmarc_undecided_total", "resolver"); n != alarmDomains {
		t.Errorf("%v counted", n)
	}
	clock.now = clock.now.Add(alarmWindow + alarmWindow/10)
	fail("f.test")
	if len(said.all()) != 1 {
		t.Errorf("long ago: %v", said.all())
	}
	for i := range maxAlarm + 100 {
		fail(fmt.Sprintf("g%d.test", i))
	}
	if n := len(h.Check().(*check).waiting.alarm.domains); len(said.all()) != 2 || n != maxAlarm {
		t.Errorf("again: %d lines, %d domains kept", len(said.all()), n)
	}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(strings.Split(l.text.String(), "\n"), func(s string) bool { return s == "" })
}

// TestRecall: memory is bounded, and what is asked for stays.
func TestRecall(t *testing.T) {
	r, now := newRecall(), newSteps().now
	for i := range 5 * maxNotes {
		at := now.Add(time.Duration(i) * time.Millisecond)
		if since := r.Since(t.Context(), "often", at, time.Hour); since != now {
			t.Fatalf("forgotten after %d", i)
		}
		if since := r.Since(t.Context(), fmt.Sprint(i), at, time.Hour); since != at {
			t.Fatalf("%d is known", i)
		}
	}
	if n := len(r.young) + len(r.old); n > 2*maxNotes {
		t.Errorf("%d notes", n)
	}
	last := fmt.Sprint(5*maxNotes - 1)
	r.Forget(t.Context(), last)
	r.Forget(t.Context(), "often")
	if since := r.Since(t.Context(), "often", now.Add(time.Minute), time.Hour); since != now.Add(time.Minute) {
		t.Error("not forgotten")
	}
}

// TestUndecidedChain: mail that only the key of a trusted sealer could save waits an
// hour as well, and is never refused.
func TestUndecidedChain(t *testing.T) {
	clock := newSteps()
	h := checktest.New(t, Spec(), "", checks.Env{Resolver: zone("_dmarc.victim.test", "v=DMARC1; p=reject"), Now: clock.Now})
	for _, step := range []struct {
		after       time.Duration
		prior, want string
	}{
		{0, "spf=none dkim=none arc=?sealer.test", "TEMPERROR " + waits},
		{59 * time.Minute, "spf=none dkim=none arc=?sealer.test", "TEMPERROR " + waits},
		{0, "spf=none dkim=none arc=sealer.test+dmarc:victim.test", "INDIRECT"}, // the DNS is back for a while
		{time.Minute, "spf=none dkim=none arc=?sealer.test", "TEMPERROR UNDECIDED -> junk"},
		{0, "spf=none dkim=none", "FAIL_REJECT " + rejected}, // who claims no chain gains nothing
	} {
		clock.now = clock.now.Add(step.after)
		if got := describe(h.Run(checktest.Mail{Text: from("a@victim.test"), Prior: prior(t, step.prior)})); got != step.want {
			t.Errorf("%s, %s: got %s, want %s", clock.now.Format(time.TimeOnly), step.prior, got, step.want)
		}
	}
}
