package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/internal/dns/dnstest"
)

// A journal is a log that tests can read.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) has(s string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), s)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func TestFailOver(t *testing.T) {
	t.Parallel()
	zone := dnstest.Zone{"a.test": {"TXT a"}}
	for _, test := range []struct {
		name string
		lie  dnstest.Lie
	}{
		{"silent", dnstest.Drop},
		{"servfail", dnstest.ServFail},
		{"refused", dnstest.Refused},
		{"garbage", dnstest.Garbage},
		{"half a TCP frame", dnstest.HalfTCP},
	} {
		t.Run(test.name, func(t *testing.T) {
			bad, good := dnstest.Start(t, zone), dnstest.Start(t, zone)
			bad.Lie("a.test", test.lie)
			r := start(t, Options{Timeout: 500 * time.Millisecond}, bad, good)
			if got, err := r.LookupTXT(t.Context(), "a.test"); err != nil || len(got) != 1 {
				t.Errorf("%q, %v", got, err)
			}
			if bad.Count("a.test", "TXT") == 0 || good.Count("a.test", "TXT") != 1 {
				t.Errorf("asked the first %d times and the second %d times",
					bad.Count("a.test", "TXT"), good.Count("a.test", "TXT"))
			}
		})
	}
}

func TestNotFoundIsNotAskedElsewhere(t *testing.T) {
	first, second := dnstest.Start(t, nil), dnstest.Start(t, dnstest.Zone{"a.test": {"TXT a"}})
	r := start(t, Options{}, first, second)
	if _, err := r.LookupTXT(t.Context(), "a.test"); describe(err) != "notfound" {
		t.Errorf("%v", err)
	}
	if second.Total() != 0 {
		t.Error("the second server was asked about a name that the first one knows not to exist")
	}
}

func TestServerThatRepliesIsNotAskedTwice(t *testing.T) {
	t.Parallel()
	s, other := dnstest.Start(t, nil), dnstest.Start(t, nil)
	s.Lie("*", dnstest.ServFail)
	other.Lie("*", dnstest.Drop)
	r := start(t, Options{Timeout: 200 * time.Millisecond}, s, other)
	_, err := r.LookupTXT(t.Context(), "a.test")
	if e := err.(*net.DNSError); e.Err != "server failure" || e.Server != s.Addr() {
		t.Errorf("%v; what a server said is lost", err)
	}
	if n := s.Count("a.test", "TXT"); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
}

func TestLostDatagramIsRepeated(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, dnstest.Zone{"a.test": {"TXT a"}})
	var once sync.Once
	s.Lie("a.test", func(_ context.Context, _ dnstest.Query, reply dnstest.Reply) dnstest.Reply {
		once.Do(func() { reply = dnstest.Reply{} })
		return reply
	})
	r := start(t, Options{Timeout: 200 * time.Millisecond}, s)
	if got, err := r.LookupTXT(t.Context(), "a.test"); err != nil || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
	if n := s.Count("a.test", "TXT"); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

func TestDeadServerIsLeftAloneUntilItHeals(t *testing.T) {
	t.Parallel()
	zone := dnstest.Zone{"a.test": {"TXT a"}}
	first, second := dnstest.Start(t, zone), dnstest.Start(t, zone)
	first.Lie("*", dnstest.Drop)
	var log journal
	r := start(t, Options{Timeout: 200 * time.Millisecond, Logger: log.logger()}, first, second)
	r.LookupTXT(t.Context(), "n0.test")
	eventually(t, "the first server is down", func() bool { return r.Stats().Up == 1 })
	eventually(t, "that is logged", func() bool { return log.has("is silent") && log.has(first.Addr()) })

	before := first.Total()
	for i := range 20 {
		if _, err := r.LookupTXT(t.Context(), fmt.Sprintf("n%d.test", i)); describe(err) != "notfound" {
			t.Errorf("%v", err)
		}
	}
	if first.Total() != before {
		t.Errorf("the dead server was asked %d times", first.Total()-before)
	}

	first.Honest()
	eventually(t, "the first server is up", func() bool { return r.Stats().Up == 2 })
	eventually(t, "that is logged", func() bool { return log.has("answers again") })
	r.LookupTXT(t.Context(), "healed.test")
	if first.Total() != before+1 {
		t.Error("the healed server is not asked again")
	}
}

func TestClosedPortIsDown(t *testing.T) {
	s := dnstest.Start(t, nil)
	s.Close()
	r := start(t, Options{}, s)
	if _, err := r.LookupTXT(t.Context(), "a.test"); describe(err) != "temporary" {
		t.Errorf("%v", err)
	}
	eventually(t, "the server is down", func() bool { return r.Stats().Up == 0 })
	if _, err := r.LookupTXT(t.Context(), "b.test"); describe(err) != "temporary" {
		t.Errorf("the one on trial: %v", err)
	}
	r.trial.Store(true)
	if _, err := r.LookupTXT(t.Context(), "c.test"); describe(err) != "temporary timeout" {
		t.Errorf("another one: %v", err)
	}
}

// Somebody on the way drops questions about the root, but no others.
func TestDroppedProbesDoNotLockUsOut(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, dnstest.Zone{"a.test": {"TXT a"}})
	s.Lie(".", dnstest.Drop)
	s.Lie("lost.test", dnstest.Drop)
	r := start(t, Options{Timeout: 200 * time.Millisecond}, s)
	r.LookupTXT(t.Context(), "lost.test")
	eventually(t, "the server is down", func() bool { return r.Stats().Up == 0 })
	if got, err := r.LookupTXT(t.Context(), "a.test"); err != nil || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
	eventually(t, "the server is up", func() bool { return r.Stats().Up == 1 })
}

// A stranger's silent name servers must not take our resolver from us.
func TestSilentDomainIsNotASilentServer(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, dnstest.Zone{"good.test": {"TXT a"}})
	for i := range 20 {
		s.Lie(fmt.Sprintf("n%d.evil.test", i), dnstest.Drop)
	}
	var log journal
	r := start(t, Options{Timeout: 200 * time.Millisecond, Logger: log.logger()}, s)
	var askers sync.WaitGroup
	for i := range 20 {
		askers.Go(func() {
			if _, err := r.LookupTXT(t.Context(), fmt.Sprintf("n%d.evil.test", i)); describe(err) != "temporary timeout" {
				t.Errorf("%v", err)
			}
		})
	}
	askers.Wait()
	if got, err := r.LookupTXT(t.Context(), "good.test"); err != nil || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
	if r.Stats().Up != 1 || log.has("silent") {
		t.Error("the server was taken for dead")
	}
}

// The whole of a dead network: nothing piles up, look-ups fail quickly once that is
// known, and heal by themselves.
func TestBlackHole(t *testing.T) {
	zone := make(dnstest.Zone)
	for m := range 200 {
		zone[fmt.Sprintf("m%d.test", m)] = []string{"TXT a"}
	}
	s := dnstest.Start(t, zone)
	s.Lie("*", dnstest.Drop)
	r := start(t, Options{Timeout: 600 * time.Millisecond, MaxInFlight: 64, MaxPerServer: 32}, s)
	before := runtime.NumGoroutine()
	begin := time.Now()
	var messages sync.WaitGroup
	for m := range 200 {
		messages.Go(func() {
			b := NewBudget(Limits{Queries: 100, Time: 500 * time.Millisecond})
			ctx := WithGroup(WithBudget(t.Context(), b), "spf")
			for i := range 10 {
				if _, err := r.LookupTXT(ctx, fmt.Sprintf("x%d.m%d.test", i, m)); describe(err) != "temporary timeout" {
					t.Errorf("%v", err)
				}
			}
		})
	}
	var flights, goroutines int
	eventually(t, "the server is down", func() bool {
		st := r.Stats()
		flights, goroutines = max(flights, st.InFlight), max(goroutines, runtime.NumGoroutine()-before)
		return st.Up == 0
	})
	// 200 messages and their timers, 64 flights, and what server and runtime need.
	if flights > 64 || goroutines > 2*200+64+100 {
		t.Errorf("up to %d flights and %d goroutines", flights, goroutines)
	}
	messages.Wait()
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("10 look-ups of 500 ms in all took %v", took)
	}
	eventually(t, "the last flights have landed", func() bool { return r.Stats().InFlight == 0 })
	r.trial.Store(true) // somebody else is already trying
	if _, err := r.LookupTXT(t.Context(), "known.test"); describe(err) != "temporary timeout" || s.Count("known.test", "TXT") != 0 {
		t.Errorf("%v after %d queries, want a failure at once", err, s.Count("known.test", "TXT"))
	}
	r.trial.Store(false)
	s.Honest()
	eventually(t, "look-ups work again", func() bool {
		_, err := r.LookupTXT(t.Context(), "m1.test")
		return err == nil
	})
}

func TestFullServerIsPassedOver(t *testing.T) {
	zone := dnstest.Zone{"a.test": {"TXT a"}}
	first, second := dnstest.Start(t, zone), dnstest.Start(t, zone)
	release := make(chan struct{})
	first.Lie("slow.test", dnstest.Until(release))
	r := start(t, Options{MaxPerServer: 1}, first, second)
	var asker sync.WaitGroup
	asker.Go(func() { r.LookupTXT(t.Context(), "slow.test") })
	eventually(t, "the first server is busy", func() bool { return first.Total() == 1 })
	if _, err := r.LookupTXT(t.Context(), "a.test"); err != nil {
		t.Error(err)
	}
	if first.Total() != 1 || second.Total() != 1 {
		t.Errorf("asked the first %d times and the second %d times", first.Total(), second.Total())
	}
	close(release)
	asker.Wait()
}

func TestWaitingForAPlaceHasAnEnd(t *testing.T) {
	s := dnstest.Start(t, nil)
	release := make(chan struct{})
	defer close(release)
	s.Lie("slow.test", dnstest.Until(release))
	r := start(t, Options{MaxPerServer: 1, Timeout: 50 * time.Millisecond}, s)
	u := r.servers[0]
	u.slots <- struct{}{}
	if _, err := r.LookupTXT(t.Context(), "a.test"); describe(err) != "temporary timeout" {
		t.Errorf("%v", err)
	}
	if s.Total() != 0 || r.Stats().Up != 1 {
		t.Error("a question without a place was sent, or blamed on the server")
	}
	<-u.slots
}

func TestSocketsAreUsedAgainButNotForever(t *testing.T) {
	s := dnstest.Start(t, nil)
	ports := make(map[string]int)
	r := start(t, Options{}, s)
	for i := range 3 * socketUses {
		r.LookupTXT(t.Context(), fmt.Sprintf("n%d.test", i))
		u := r.servers[0]
		u.mu.Lock()
		for _, s := range u.idle {
			ports[s.conn.LocalAddr().String()]++
		}
		u.mu.Unlock()
	}
	if len(ports) != 3 && len(ports) != 4 {
		t.Errorf("%d ports for %d questions, want 3", len(ports), 3*socketUses)
	}
	// Whatever was unexpected costs the socket.
	for name, lie := range map[string]dnstest.Lie{
		"forged.test": dnstest.OverUDP(dnstest.WrongID), "cut.test": dnstest.Truncate,
	} {
		s.Lie(name, lie)
		r.LookupTXT(t.Context(), name)
		if n := len(r.servers[0].idle); n != 0 {
			t.Errorf("%s: %d sockets kept", name, n)
		}
		r.LookupTXT(t.Context(), "after."+name)
	}
}

func TestNegativeOptions(t *testing.T) {
	for _, o := range []Options{{Timeout: -1}, {MinTTL: -1}, {MaxTTL: -1}, {NegativeTTL: -1}, {FailureTTL: -1}, {CacheBytes: -1}, {MaxInFlight: -1}, {MaxPerServer: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestServersFromResolvConf(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		name    string
		servers []string
		conf    string
		want    string
	}{
		{"file", nil, file("plain", "# here\nsearch a.test\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver 192.0.2.1\noptions ndots:3\n"), "192.0.2.1:53 [2001:db8::1]:53"},
		{"file without servers", nil, file("empty", "search a.test\n"), "127.0.0.1:53"},
		{"no file", nil, filepath.Join(dir, "missing"), "127.0.0.1:53"},
		{"a directory", nil, dir, "error"},
		{"nonsense in the file", nil, file("bad", "nameserver 192.0.2.1:x\n"), "error"},
		{"addresses", []string{"192.0.2.1", "192.0.2.2:5353", "::1", "[::1]:5353", "[2001:db8::1]", "::ffff:192.0.2.3"}, "", "192.0.2.1:53 192.0.2.2:5353 [::1]:53 [::1]:5353 [2001:db8::1]:53 192.0.2.3:53"},
		{"name", []string{"localhost:5353"}, "", "127.0.0.1:5353"},
		{"port zero", []string{"192.0.2.1:0"}, "", "error"},
		{"empty", []string{""}, "", "error"},
		{"two colons", []string{"a:b:c"}, "", "error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := New(Options{Servers: test.servers, ResolvConf: test.conf})
			if err != nil {
				if test.want != "error" {
					t.Error(err)
				}
				return
			}
			defer r.Close()
			var got []string
			for _, u := range r.servers {
				got = append(got, u.name)
			}
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("got %s, want %s", s, test.want)
			}
		})
	}
}
