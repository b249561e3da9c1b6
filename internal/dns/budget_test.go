package dns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"milterd/internal/dns/dnstest"
)

func TestBudgetSpend(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits Limits
		spends string // one letter for each group that spends a query
		want   string // + where it could
	}{
		{"no limit", Limits{}, "aaaabbbb", "++++++++"},
		{"shared by all", Limits{Queries: 3}, "abab", "+++-"},
		{"group of its own", Limits{Queries: 9, Groups: map[string]GroupLimits{"a": {Queries: 2}}}, "aaabbb", "++-+++"},
		{"group without a message's limit", Limits{Groups: map[string]GroupLimits{"a": {Queries: 1}}}, "aabbb", "+-+++"},
		{"others cannot eat a reserve", Limits{Queries: 4, Groups: map[string]GroupLimits{"a": {Reserve: 2}}}, "bbbaaa", "++-++-"},
		{"a reserve is spent first", Limits{Queries: 4, Groups: map[string]GroupLimits{"a": {Reserve: 2}}}, "aabbb", "++++-"},
		{"and then what all share", Limits{Queries: 4, Groups: map[string]GroupLimits{"a": {Reserve: 2}}}, "aaaab", "++++-"},
		{"a reserve is no leave to spend more", Limits{Queries: 9, Groups: map[string]GroupLimits{"a": {Reserve: 3, Queries: 1}}}, "aab", "+-+"},
		{"reserves of more than there is", Limits{Queries: 2, Groups: map[string]GroupLimits{"a": {Reserve: 3}}}, "baaaa", "-+++-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := NewBudget(test.limits)
			got, want := "", map[string]Usage{}
			for _, group := range test.spends {
				g := string(group)
				used := want[g]
				if b.spend(g) {
					got += "+"
					used.Queries++
				} else {
					got += "-"
				}
				want[g] = used
			}
			if got != test.want {
				t.Errorf("%s: %s, want %s", test.spends, got, test.want)
			}
			if !maps.Equal(b.Used(), want) {
				t.Errorf("used %v, want %v", b.Used(), want)
			}
		})
	}
}

// The clock of a group runs while at least one of its questions waits.
func TestBudgetTime(t *testing.T) {
	c := newClock()
	b := NewBudget(Limits{Time: 10 * time.Second, Groups: map[string]GroupLimits{
		"dmarc": {Time: 3 * time.Second},
	}})
	start := func(group string, want time.Duration) {
		t.Helper()
		if left, limited := b.startWait(group, c.Now()); !limited || left != want {
			t.Errorf("%s has %v left (limited: %t), want %v", group, left, limited, want)
		}
	}
	start("spf", 10*time.Second)
	c.add(2 * time.Second)
	start("spf", 8*time.Second) // a second one side by side
	start("dmarc", 3*time.Second)
	c.add(time.Second)
	b.endWait("spf", c.Now())
	c.add(time.Second)
	b.endWait("spf", c.Now()) // 4 s of wall clock, not 5
	b.endWait("dmarc", c.Now())
	c.add(time.Hour) // nobody waits
	start("spf", 6*time.Second)
	start("dmarc", time.Second)
	b.endWait("spf", c.Now())
	b.endWait("dmarc", c.Now())
	want := map[string]Usage{"spf": {Time: 4 * time.Second}, "dmarc": {Time: 2 * time.Second}}
	if !maps.Equal(b.Used(), want) {
		t.Errorf("used %v, want %v", b.Used(), want)
	}
	if _, limited := NewBudget(Limits{}).startWait("spf", c.Now()); limited {
		t.Error("limited without limits")
	}
}

func TestLookupsPayFromTheirGroup(t *testing.T) {
	s := dnstest.Start(t, dnstest.Zone{
		"long.test": {"TXT " + string(make([]byte, 3000))},
		"both.test": {"A 192.0.2.1", "AAAA 2001:db8::1"},
	})
	var seen observations
	r := start(t, Options{Observe: seen.add}, s)
	b := NewBudget(Limits{Queries: 8, Groups: map[string]GroupLimits{"dmarc": {Reserve: 2}}})
	spf := WithGroup(WithBudget(t.Context(), b), "spf")
	dmarc := WithBudget(WithGroup(t.Context(), "dmarc"), b)

	r.LookupTXT(spf, "a.test")
	r.LookupTXT(spf, "a.test")         // cached: free
	r.LookupTXT(spf, "a..test")        // not asked: free
	r.LookupTXT(spf, "long.test")      // UDP and TCP: 2
	r.LookupIP(spf, "ip", "both.test") // A and AAAA: 2
	if got := b.Used()["spf"].Queries; got != 5 {
		t.Errorf("spf has used %d queries, want 5", got)
	}
	r.LookupTXT(spf, "b.test")
	_, err := r.LookupTXT(spf, "c.test")
	if describe(err) != "budget" || !errors.Is(err, ErrBudget) {
		t.Errorf("seventh query of spf: %q (%v)", describe(err), err)
	}
	if ob := seen.last(); ob.Outcome != OutcomeBudget || ob.Cached {
		t.Errorf("observed %+v", ob)
	}
	if _, err := r.LookupTXT(spf, "a.test"); describe(err) != "notfound" {
		t.Errorf("what is cached stays free: %v", err)
	}
	for i := range 2 {
		if _, err := r.LookupTXT(dmarc, fmt.Sprintf("d%d.test", i)); describe(err) != "notfound" {
			t.Errorf("reserve: %v", err)
		}
	}
	if _, err := r.LookupTXT(dmarc, "d2.test"); describe(err) != "budget" {
		t.Errorf("beyond the reserve: %v", err)
	}
	if s.Count("c.test", "TXT") != 0 || s.Total() != 8 {
		t.Errorf("the server was asked %d times for a budget of 8", s.Total())
	}
	// Another message knows nothing of all that, nor does one without budget.
	fresh := WithBudget(spf, NewBudget(Limits{Queries: 1}))
	for _, ctx := range []context.Context{fresh, t.Context()} {
		if _, err := r.LookupTXT(ctx, "c.test"); describe(err) != "notfound" {
			t.Errorf("%v", err)
		}
	}
}

func TestTimeBudgetIsATimeout(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, nil)
	release := make(chan struct{})
	defer close(release)
	s.Lie("slow.test", dnstest.Until(release))
	r := start(t, Options{}, s)
	b := NewBudget(Limits{Time: 200 * time.Millisecond})
	spf, dkim := WithGroup(WithBudget(t.Context(), b), "spf"), WithGroup(WithBudget(t.Context(), b), "dkim")
	_, err := r.LookupTXT(spf, "slow.test")
	if describe(err) != "temporary timeout" || !errors.Is(err, ErrBudgetTime) || errors.Is(err, ErrBudget) {
		t.Errorf("%v", err)
	}
	if used := b.Used()["spf"].Time; used < 200*time.Millisecond {
		t.Errorf("used %v, want at least 200ms", used)
	}
	// The group's time is over for good, another group's is not.
	if _, err := r.LookupTXT(spf, "quick.test"); !errors.Is(err, ErrBudgetTime) || s.Count("quick.test", "TXT") != 0 {
		t.Errorf("%v, %d queries", err, s.Count("quick.test", "TXT"))
	}
	if _, err := r.LookupTXT(dkim, "quick.test"); describe(err) != "notfound" {
		t.Errorf("%v", err)
	}
}

// No message can cause more queries than its budget, counted at the server.
func TestBudgetHoldsAtTheServer(t *testing.T) {
	s := dnstest.Start(t, nil)
	r := start(t, Options{}, s)
	ctx := WithBudget(t.Context(), NewBudget(Limits{Queries: 100}))
	var checks sync.WaitGroup
	for g := range 4 {
		checks.Go(func() {
			ctx := WithGroup(ctx, fmt.Sprint(g))
			for i := range 100 {
				r.LookupTXT(ctx, fmt.Sprintf("n%d.g%d.test", i, g))
			}
		})
	}
	checks.Wait()
	if n := s.Total(); n != 100 {
		t.Errorf("the server was asked %d times, want 100", n)
	}
}
