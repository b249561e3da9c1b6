package dnslist

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"milterd/checks"
	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/internal/store"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// list is one of addresses with its zone in the lab.
func list(name string) *List {
	l := &List{Name: name, Zone: name + ".test", Ask: []Subject{Client}}
	l.Codes.patterns = []pattern{{[4]byte{127, 0, 0, 2}, [4]byte{127, 0, 0, 2}, Spam}}
	return l
}

// labZone is what an honest list of that name has: its test point, and 192.0.2.66.
func labZone(name string) dnstest.Zone {
	return dnstest.Zone{
		"2.0.0.127." + name + ".test":  {"1 A 127.0.0.2"},
		"66.2.0.192." + name + ".test": {"1 A 127.0.0.2"},
	}
}

// clock is one that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// lab is a book whose resolver asks a server that can lie.
type lab struct {
	t      testing.TB
	server *dnstest.Server
	book   *Book
	clock  *clock
	reg    *prometheus.Registry
	said   bytes.Buffer
}

func newLab(t testing.TB, zone dnstest.Zone, lists ...*List) *lab {
	l := &lab{t: t, server: dnstest.Start(t, zone), clock: &clock{at: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}, reg: prometheus.NewRegistry()}
	r, err := dns.New(dns.Options{Servers: []string{l.server.Addr()}, Timeout: 200 * time.Millisecond, Now: l.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	env := checks.Env{Resolver: r, Registerer: l.reg, Logger: slog.New(slog.NewTextHandler(&l.said, nil)), Now: l.clock.now}
	if l.book, err = New(lists, env); err != nil {
		t.Fatal(err)
	}
	return l
}

// ask asks every list about an address and describes the answers.
func (l *lab) ask(addr string) string {
	var questions []Question
	for _, list := range l.book.Lists(Client) {
		if q, ok := list.AboutAddr(Client, netip.MustParseAddr(addr)); ok {
			questions = append(questions, q)
		}
	}
	var all []string
	for i, a := range l.book.Ask(l.t.Context(), questions) {
		all = append(all, questions[i].List.Name+" "+a.String())
	}
	// Silence, and what a resolver makes of it, is trouble in one way or another.
	return strings.ReplaceAll(strings.Join(all, "; "), "(timeout)", "(trouble)")
}

func (l *lab) want(addr, want string) {
	l.t.Helper()
	if got := l.ask(addr); got != want {
		l.t.Errorf("%s: %s, want %s", addr, got, want)
	}
}

func (l *lab) test() { l.book.testAll(l.t.Context(), l.book.lists) }

// recalling is a resolver of which only the memory works: who asks it panics.
type recalling struct {
	checks.Resolver
	memory *dns.Resolver
}

func (r recalling) RecallIP(host string) ([]netip.Addr, bool, error) { return r.memory.RecallIP(host) }

// What the resolver knows already is answered without asking it, and means the same.
func TestKnownAnswers(t *testing.T) {
	l := newLab(t, labZone("zen"), list("zen"))
	l.test()
	want := map[string]string{"192.0.2.1": "zen clear", "192.0.2.66": "zen listed (spam, 127.0.0.2)"}
	for addr, answer := range want {
		l.want(addr, answer)
	}
	l.book.resolver = recalling{memory: l.book.resolver.(*dns.Resolver)}
	for addr, answer := range want {
		l.want(addr, answer)
	}
	l.want("192.0.2.2", "zen error (trouble)") // what it does not know needs the DNS
}

// TestHostileResolver: whatever a resolver or list does, nobody is listed who is not,
// and it is over as soon as the lie is.
func TestHostileResolver(t *testing.T) {
	wild := dnstest.Rewrite("127.0.0.2") // every name that does not exist is listed
	for name, c := range map[string]struct {
		lie     dnstest.Lie
		clear   string // what is said of an address that nobody lists
		listed  string // and of one that is listed
		benched string // why the list is left out then, empty when it is not
	}{
		"NXDOMAIN rewritten": {dnstest.Rewrite("203.0.113.1"), "error (rewritten)", "error (benched)", "rewritten"},
		"refusing":           {dnstest.Rewrite("127.255.255.254"), "refused (refused)", "error (benched)", "refused"},
		"all listed":         {wild, "error (wildcard)", "error (benched)", "wildcard"},
		"an unknown code":    {dnstest.Rewrite("127.0.0.99"), "error (unmapped)", "error (benched)", "unmapped"},
		"SERVFAIL":           {dnstest.ServFail, "error (trouble)", "error (trouble)", ""},
		"REFUSED":            {dnstest.Refused, "error (trouble)", "error (trouble)", ""},
		"silent":             {dnstest.Drop, "error (trouble)", "error (trouble)", ""},
		"truncated":          {dnstest.Truncate, "clear", "listed (spam, 127.0.0.2)", ""},
		"half of TCP":        {dnstest.HalfTCP, "error (trouble)", "error (trouble)", ""},
		"garbage":            {dnstest.Garbage, "error (trouble)", "error (trouble)", ""},
		"CNAME loop":         {dnstest.CNAMELoop, "error (trouble)", "error (trouble)", ""},
		"another name":       {dnstest.Foreign("1.2.0.192.zen.test.", "A 127.0.0.2"), "clear", "listed (spam, 127.0.0.2)", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, labZone("zen"), list("zen"))
			l.server.Lie("*", c.lie)
			got := l.ask("192.0.2.1")
			if strings.Contains(got, "listed (") {
				t.Fatalf("an address that nobody lists: %s", got)
			}
			if got != "zen "+c.clear {
				t.Errorf("clear: %s, want %s", got, c.clear)
			}
			l.want("192.0.2.66", "zen "+c.listed)
			if said := l.said.String(); strings.Contains(said, "why=\""+c.benched) != (c.benched != "") || strings.Count(said, "\n") > 1 {
				t.Errorf("said %s", said)
			}
			l.test()
			l.want("192.0.2.66", map[bool]string{true: "zen error (benched)", false: "zen " + c.listed}[c.benched != ""])

			// The resolver heals. What was only silence is over at once, what was benched
			// with the next test; answers that were lies live as long as they said.
			l.server.Honest()
			l.clock.pass(5 * time.Second)
			if c.benched == "" {
				deadline := time.Now().Add(5 * time.Second)
				for n := 0; l.ask("192.0.2.66") != "zen listed (spam, 127.0.0.2)"; n++ {
					if time.Now().After(deadline) {
						t.Fatalf("still %s, %d questions later", l.ask("192.0.2.66"), n)
					}
					l.clock.pass(time.Second)
				}
			} else {
				l.want("192.0.2.66", "zen error (benched)")
			}
			l.clock.pass(10 * time.Minute)
			l.test()
			l.want("192.0.2.66", "zen listed (spam, 127.0.0.2)")
			l.want("192.0.2.7", "zen clear")
		})
	}
}

// TestWildcardBetweenTests: a list that was fine when it was tested, and is given up an
// hour later, lists nobody.
func TestWildcardBetweenTests(t *testing.T) {
	l := newLab(t, labZone("zen"), list("zen"))
	l.test()
	l.want("192.0.2.66", "zen listed (spam, 127.0.0.2)")
	l.server.Lie("*", dnstest.Rewrite("127.0.0.2"))
	l.clock.pass(confirmAge)
	l.want("192.0.2.1", "zen error (wildcard)")
	l.want("192.0.2.2", "zen error (benched)")
	if got := testutil.ToFloat64(gauge(t, l.reg, "milterd_dnslist_up")); got != 0 {
		t.Errorf("milterd_dnslist_up is %v", got)
	}
}

// gauge finds the only sample of a metric.
func gauge(t *testing.T, reg *prometheus.Registry, name string) prometheus.Collector {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.Metric) == 1 {
			g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "x"})
			g.Set(f.Metric[0].GetGauge().GetValue())
			return g
		}
	}
	t.Fatalf("no metric %s", name)
	return nil
}

// TestDeadList: a list that does not list its test point is dead.
func TestDeadList(t *testing.T) {
	l := newLab(t, dnstest.Zone{}, list("zen"))
	l.test()
	l.want("192.0.2.1", "zen error (benched)")
	if !strings.Contains(l.said.String(), "dead") || strings.Contains(l.said.String(), "zen.test") {
		t.Errorf("said %s", l.said.String())
	}
}

// TestOneListOfTwo: a list in trouble takes nothing from the other.
func TestOneListOfTwo(t *testing.T) {
	zone := labZone("good")
	for name, records := range labZone("bad") {
		zone[name] = records
	}
	l := newLab(t, zone, list("good"), list("bad"))
	l.server.Lie("66.2.0.192.bad.test", dnstest.ServFail)
	l.want("192.0.2.66", "good listed (spam, 127.0.0.2); bad error (trouble)")
}

// TestDailyBudget: a day has its questions, a reload gives no fresh ones, and the next
// day does. A clock that goes back does not.
func TestDailyBudget(t *testing.T) {
	zen := list("zen")
	zen.Daily = 2
	l := newLab(t, labZone("zen"), zen)
	l.want("192.0.2.1", "zen clear")
	l.want("192.0.2.2", "zen clear")
	l.want("192.0.2.3", "zen error (daily)")
	again, err := New([]*List{zen}, checks.Env{Registerer: l.reg, Logger: l.book.log, Now: l.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	again.resolver = l.book.resolver
	l.book = again
	l.want("192.0.2.3", "zen error (daily)")
	l.clock.pass(-48 * time.Hour)
	l.want("192.0.2.3", "zen error (daily)")
	l.clock.pass(72 * time.Hour)
	l.want("192.0.2.3", "zen clear")
	if n := l.server.Total(); n != 3 {
		t.Errorf("%d questions", n)
	}
}

// TestSharedBudget: what one host has asked, another and a later process know.
func TestSharedBudget(t *testing.T) {
	zen := list("zen")
	zen.Daily = 5
	one, two := newLab(t, labZone("zen"), zen), newLab(t, labZone("zen"), zen)
	memory := store.NewMemory(one.clock.now, 1<<20)
	one.book.store, two.book.store = memory, memory
	two.clock = one.clock
	one.want("192.0.2.1", "zen clear")
	one.want("192.0.2.2", "zen clear")
	two.want("192.0.2.1", "zen clear")
	for range 3 { // whoever comes first, and twice is not counted twice
		one.book.share(t.Context())
		two.book.share(t.Context())
	}
	two.want("192.0.2.3", "zen clear")
	two.book.share(t.Context())
	one.book.share(t.Context())
	one.want("192.0.2.4", "zen clear")
	one.want("192.0.2.5", "zen error (daily)")
	one.book.share(t.Context())

	later := newLab(t, labZone("zen"), zen)
	later.book.store = memory
	later.book.share(t.Context())
	later.want("192.0.2.6", "zen error (daily)")
}

// TestSilentList: a list whose servers are silent is asked by one message in a while,
// and the others do not wait.
func TestSilentList(t *testing.T) {
	l := newLab(t, labZone("zen"), list("zen"))
	l.server.Lie("*", dnstest.ServFail)
	for i := range 2 * pauseAfter {
		l.ask(fmt.Sprintf("192.0.2.%d", i+1))
	}
	if n := l.server.Names(); n != pauseAfter {
		t.Errorf("%d questions in a row", n)
	}
	l.clock.pass(pause)
	l.want("192.0.2.50", "zen error (trouble)")
	l.want("192.0.2.51", "zen error (paused)")
	l.server.Honest()
	l.clock.pass(pause)
	l.want("192.0.2.66", "zen listed (spam, 127.0.0.2)")
	l.want("192.0.2.51", "zen clear")
}

// TestMessageBudget: a message that has used up its questions hears so, and the list is
// not to blame.
func TestMessageBudget(t *testing.T) {
	l := newLab(t, labZone("zen"), list("zen"))
	q, _ := l.book.lists[0].AboutAddr(Client, netip.MustParseAddr("192.0.2.66"))
	ctx := dns.WithBudget(t.Context(), dns.NewBudget(dns.Limits{Queries: 2}))
	// One question for the listing, and only one of the two that would confirm it.
	if a := l.book.Ask(ctx, []Question{q})[0]; a.Status != Failed || a.Reason != ReasonBudget {
		t.Errorf("%s", a)
	}
	l.want("192.0.2.66", "zen listed (spam, 127.0.0.2)")
}

// fake answers as it is told, for tests in which time passes.
type fake struct {
	mu      sync.Mutex
	answers map[string]string // by the end of the name; the longest counts
	asked   int
}

func (f *fake) LookupIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	best, found := "", ""
	for end, answer := range f.answers {
		if strings.HasSuffix(host, end) && len(end) >= len(best) {
			best, found = end, answer
		}
	}
	if found == "" {
		return nil, nil
	}
	return []netip.Addr{netip.MustParseAddr(found)}, nil
}

func (f *fake) set(end, answer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[end] = answer
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// What is asked about a header has its answers confirmed at once: the body may take longer
// than anybody waits for lists.
func TestAnswersOfBeforeASlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answers: map[string]string{"66.2.0.192.zen.test": "127.0.0.2"}}
		book, err := New([]*List{list("zen")}, checks.Env{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		q, _ := book.lists[0].AboutAddr(Client, netip.MustParseAddr("192.0.2.66"))
		for name, r := range map[string]Resolver{"asked": f, "known": mindful{f}} {
			book.resolver = r
			time.Sleep(2 * confirmAge) // nobody has looked lately whether the list is honest
			before := f.count()
			asked := book.Begin(t.Context(), []Question{q})
			synctest.Wait()
			if n := f.count() - before; n < 3 {
				t.Errorf("%s: %d questions before the body is there, the list was not looked at", name, n)
			}
			time.Sleep(2 * patience)
			if a := asked.Answers()[0]; a.Status != Listed {
				t.Errorf("%s: %s", name, a)
			}
		}
	})
}

// mindful is a fake that remembers what it lists.
type mindful struct{ *fake }

func (m mindful) RecallIP(host string) ([]netip.Addr, bool, error) {
	addrs, err := m.LookupIP(context.Background(), "ip4", host)
	return addrs, len(addrs) > 0, err
}

// TestWatch: lists are tested at the start and every hour, benched ones every ten
// minutes, and nothing goes on when the owner ends it.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answers: map[string]string{"2.0.0.127.zen.test": "127.0.0.2"}}
		book, err := New([]*List{list("zen")}, checks.Env{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		book.resolver = f
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		if f.count() != 0 {
			t.Fatal("New has asked")
		}
		watching.Go(func() { book.Watch(ctx) })
		tests := func() int { synctest.Wait(); return f.count() / 3 }
		if n := tests(); n != 1 {
			t.Errorf("%d tests at the start", n)
		}
		time.Sleep(3*time.Hour + time.Second)
		if n := tests(); n != 4 {
			t.Errorf("%d tests in three hours", n)
		}
		benched := func() (b bool) {
			book.ledger.with(book.lists[0], time.Now(), func(a *account) { b = a.bench != "" })
			return b
		}
		f.set(".zen.test", "127.0.0.2") // lists everybody
		time.Sleep(time.Hour)
		if !benched() {
			t.Error("lists everybody and is not benched")
		}
		f.set(".zen.test", "")
		time.Sleep(benchAge + time.Second)
		if benched() {
			t.Error("is honest again and still benched")
		}
		// A lie of a moment is over soon after it; who lies again and again is tested ever
		// more seldom.
		time.Sleep(benchAge)
		f.set(".zen.test", "127.0.0.2")
		book.bench(book.lists[0], ReasonWildcard)
		synctest.Wait()
		f.set(".zen.test", "")
		time.Sleep(retestAge + time.Second)
		if benched() {
			t.Error("a lie of a moment is not over after five seconds")
		}
		before := f.count()
		for range 3600 {
			book.bench(book.lists[0], ReasonWildcard)
			time.Sleep(time.Second)
		}
		if n := (f.count() - before) / 3; n > 60 {
			t.Errorf("a list that is benched every second for an hour was tested %d times", n)
		}
		time.Sleep(2 * benchAge)
		// One odd answer in traffic: a test at once, and the list is back.
		f.set("9.2.0.192.zen.test", "127.0.0.99")
		q, _ := book.lists[0].AboutAddr(Client, netip.MustParseAddr("192.0.2.9"))
		time.Sleep(kickAge)
		if a := book.Ask(ctx, []Question{q})[0]; a.Reason != ReasonUnmapped {
			t.Errorf("%s", a)
		}
		synctest.Wait()
		if benched() {
			t.Error("one odd answer has benched a list for longer than its test takes")
		}
		cancel()
		watching.Wait()
	})
}

func BenchmarkAsk(b *testing.B) {
	lists := []*List{list("a"), list("b"), list("c"), list("d")}
	book, err := New(lists, checks.Env{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	book.resolver = &fake{}
	b.ReportAllocs()
	for b.Loop() {
		var questions []Question
		for _, l := range lists {
			q, _ := l.AboutAddr(Client, netip.MustParseAddr("192.0.2.1"))
			questions = append(questions, q)
		}
		book.Ask(b.Context(), questions)
	}
}
