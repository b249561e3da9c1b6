package dns

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/internal/dns/dnstest"
)

// A clock stands still until it is told to move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestHowLongAnswersLive(t *testing.T) {
	const soa = "%d SOA ns.test h.test 1 2 3 4 %d"
	s := dnstest.Start(t, dnstest.Zone{
		"minute.test":       {"60 TXT a"},
		"uneven.test":       {"60 TXT a", "30 TXT b"},
		"alias.test":        {"20 CNAME minute.test"},
		"zero.test":         {"0 TXT a"},
		"year.test":         {"31536000 TXT a"},
		"x.short.test":      {"A 192.0.2.1"},
		"short.test":        {fmt.Sprintf(soa, 900, 40)},
		"ttl.test":          {fmt.Sprintf(soa, 50, 900)},
		"long.test":         {fmt.Sprintf(soa, 86400, 86400)},
		"none.test":         {fmt.Sprintf(soa, 0, 0)},
		"alias.long.test":   {"20 CNAME nowhere.long.test"},
		"nodata.alias.test": {"20 CNAME long.test"},
		"broken.test":       {"TXT a"},
		"refused.test":      {"TXT a"},
		"huge.test":         {"TXT a"},
	})
	s.Lie("broken.test", dnstest.ServFail)
	s.Lie("refused.test", dnstest.Refused)
	s.Lie("huge.test", dnstest.HugeTXT(9000))
	s.Lie("bare.test", dnstest.NXDomain) // without SOA
	c := newClock()
	r := start(t, Options{Now: c.Now}, s)
	for _, test := range []struct {
		name  string
		lives time.Duration
	}{
		{"minute.test", time.Minute},
		{"uneven.test", 30 * time.Second},
		{"alias.test", 20 * time.Second},
		{"zero.test", 5 * time.Second},
		{"year.test", time.Hour},
		{"x.short.test", 40 * time.Second},
		{"y.short.test", 40 * time.Second},
		{"y.ttl.test", 50 * time.Second},
		{"y.long.test", 5 * time.Minute},
		{"y.none.test", 5 * time.Second},
		{"nodata.alias.test", 20 * time.Second},
		{"broken.test", 3 * time.Second},
		{"refused.test", 3 * time.Second},
		{"huge.test", 3 * time.Second},
		{"bare.test", 5 * time.Second},
	} {
		ask := func() int {
			before := s.Count(test.name, "TXT")
			r.LookupTXT(t.Context(), test.name)
			return s.Count(test.name, "TXT") - before
		}
		if ask() == 0 {
			t.Errorf("%s: not asked at all", test.name)
		}
		c.add(test.lives - time.Second)
		if n := ask(); n != 0 {
			t.Errorf("%s: asked again before %v", test.name, test.lives)
		}
		c.add(time.Second)
		if ask() == 0 {
			t.Errorf("%s: not asked again after %v", test.name, test.lives)
		}
	}
}

func TestOptionsBoundLives(t *testing.T) {
	s := dnstest.Start(t, dnstest.Zone{"zero.test": {"0 TXT a"}, "year.test": {"31536000 TXT a"}})
	s.Lie("broken.test", dnstest.ServFail)
	c := newClock()
	r := start(t, Options{
		Now: c.Now, MinTTL: 2 * time.Second, MaxTTL: 10 * time.Second,
		NegativeTTL: 4 * time.Second, FailureTTL: time.Second,
	}, s)
	for name, lives := range map[string]time.Duration{
		"zero.test": 2 * time.Second, "year.test": 10 * time.Second,
		"nowhere.test": 4 * time.Second, "broken.test": time.Second,
	} {
		r.LookupTXT(t.Context(), name)
		c.add(lives - 1)
		r.LookupTXT(t.Context(), name)
		if n := s.Count(name, "TXT"); n != 1 {
			t.Errorf("%s: asked %d times before %v", name, n, lives)
		}
		c.add(1)
		r.LookupTXT(t.Context(), name)
		if n := s.Count(name, "TXT"); n != 2 {
			t.Errorf("%s: asked %d times after %v, want 2", name, n, lives)
		}
	}
}

func TestNewRecordsAreSeenWhenTheOldExpire(t *testing.T) {
	s := dnstest.Start(t, dnstest.Zone{"a.test": {"60 TXT old"}})
	c := newClock()
	r := start(t, Options{Now: c.Now}, s)
	for _, want := range []string{"[old] <nil>", "[old] <nil>", "[new] <nil>"} {
		got, err := r.LookupTXT(t.Context(), "a.test")
		if fmt.Sprint(got, err) != want {
			t.Errorf("%v, %v; want %s", got, err, want)
		}
		s.SetZone(t, dnstest.Zone{"a.test": {"60 TXT new"}})
		c.add(30 * time.Second)
	}
}

func TestCacheForgetsTheLeastRecentlyUsed(t *testing.T) {
	now := newClock().Now()
	text := &answer{outcome: OutcomeOK, texts: []string{strings.Repeat("x", 488)}} // with name and entry: 1024 - 16
	c := newCache(4 << 10)
	name := func(i int) key { return key{fmt.Sprintf("n%d", i), 16} }
	for i := range 4 {
		c.put(name(i), text, now, now.Add(time.Hour))
	}
	c.get(name(1), now.Add(usedAgain-1)) // so soon it counts as used when it came
	c.get(name(0), now.Add(usedAgain))
	c.put(name(4), text, now.Add(usedAgain), now.Add(time.Hour))
	var kept []int
	for i := range 5 {
		if c.get(name(i), now) != nil {
			kept = append(kept, i)
		}
	}
	if got := fmt.Sprint(kept); got != "[0 2 3 4]" {
		t.Errorf("kept %s, want all but 1", got)
	}
	inOrder := 0
	for e := c.order.next; e != &c.order; e = e.next {
		inOrder++
	}
	if c.bytes > 4<<10 || c.len() != inOrder {
		t.Errorf("%d bytes, %d and %d items", c.bytes, c.len(), inOrder)
	}
}

func TestCacheCountsItsBytes(t *testing.T) {
	now := newClock().Now()
	c := newCache(1 << 20)
	text := func(n int) *answer { return &answer{texts: []string{strings.Repeat("x", n)}} }
	c.put(key{"a", 16}, text(100), now, now.Add(time.Hour))
	c.put(key{"a", 16}, text(200), now, now.Add(time.Hour)) // instead of the first
	c.put(key{"b", 16}, text(300), now, now.Add(time.Second))
	before := c.bytes
	if c.get(key{"b", 16}, now.Add(time.Second)) != nil {
		t.Error("an expired answer came back")
	}
	if want := entryBytes + 1 + 16 + 200; c.bytes != want || before <= want || c.len() != 1 {
		t.Errorf("%d bytes in %d entries, want %d in 1", c.bytes, c.len(), want)
	}
	// An answer larger than the whole cache is not kept, and nothing else either.
	c.put(key{"c", 16}, text(2<<20), now, now.Add(time.Hour))
	if c.bytes != 0 || c.len() != 0 {
		t.Errorf("%d bytes in %d entries after an answer that is too large", c.bytes, c.len())
	}
}

func TestCacheStaysWithinItsBytes(t *testing.T) {
	s := dnstest.Start(t, nil)
	r := start(t, Options{CacheBytes: 20 << 10}, s)
	for i := range 200 {
		r.LookupTXT(t.Context(), fmt.Sprintf("n%d.test", i))
		if st := r.Stats(); st.CacheBytes > 20<<10 {
			t.Fatalf("%d bytes after %d look-ups", st.CacheBytes, i+1)
		}
	}
	if st := r.Stats(); st.Cached < 10 || st.InFlight != 0 || st.Servers != 1 || st.Up != 1 {
		t.Errorf("%+v", st)
	}
}

func TestCacheHitAllocatesNothing(t *testing.T) {
	r := start(t, Options{}, dnstest.Start(t, dnstest.Zone{"a.test": {"TXT a"}}))
	hit := func() { r.LookupTXT(t.Context(), "a.test") }
	hit()
	if n := testing.AllocsPerRun(100, hit); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// RecallIP says what LookupIP would, of what is in the cache, and asks nobody.
func TestRecall(t *testing.T) {
	c := newClock()
	s := dnstest.Start(t, dnstest.Zone{"a.test": {"60 A 192.0.2.1"}})
	r := start(t, Options{Now: c.Now}, s)
	for _, name := range []string{"a.test", "none.test"} {
		if _, known, _ := r.RecallIP(name); known {
			t.Errorf("%s is known before anybody asked", name)
		}
		want, wantErr := r.LookupIP(t.Context(), "ip4", name)
		asked := s.Total()
		got, known, err := r.RecallIP(strings.ToUpper(name))
		if !known || fmt.Sprint(got, err) != fmt.Sprint(want, wantErr) || s.Total() != asked {
			t.Errorf("%s: recalled %v, %v, known %v; looked up %v, %v; %d queries more", name, got, err, known, want, wantErr, s.Total()-asked)
		}
	}
	if _, known, err := r.RecallIP("no..name"); !known || err == nil {
		t.Errorf("a name that no query can carry: %v, %v", known, err)
	}
	c.add(time.Minute)
	if _, known, _ := r.RecallIP("a.test"); known {
		t.Error("an answer is known beyond its life")
	}
	for _, name := range []string{"a.test", "none.test"} {
		before := r.KnowsTXT(name)
		r.LookupTXT(t.Context(), name)
		asked := s.Total()
		if after := r.KnowsTXT(strings.ToUpper(name)); before || !after || s.Total() != asked {
			t.Errorf("%s: known %v before anybody asked for texts, %v after", name, before, after)
		}
	}
	if !r.KnowsTXT("no..name") {
		t.Error("for a name that no query can carry there is nothing to wait for")
	}
}
