package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/internal/dns/dnstest"
)

// start returns a resolver with short times for the servers, closed with the test.
func start(t testing.TB, o Options, servers ...*dnstest.Server) *Resolver {
	t.Helper()
	for _, s := range servers {
		o.Servers = append(o.Servers, s.Addr())
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.tries.probe, r.tries.firstPause, r.tries.lastPause = 250*time.Millisecond, 10*time.Millisecond, 20*time.Millisecond
	t.Cleanup(func() { r.Close() })
	return r
}

// observations collects what a resolver reports.
type observations struct {
	mu  sync.Mutex
	all []Observation
}

func (o *observations) add(ob Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, ob)
}

func (o *observations) last() Observation {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.all) == 0 {
		return Observation{}
	}
	return o.all[len(o.all)-1]
}

// eventually waits until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// describe puts an error into the words of the contract. It asserts the type as
// outsiders do: directly.
func describe(err error) string {
	if err == nil {
		return "ok"
	}
	e, ok := err.(*net.DNSError)
	if !ok {
		return fmt.Sprintf("not a *net.DNSError: %T", err)
	}
	var words []string
	if e.IsNotFound {
		words = append(words, "notfound")
	}
	if e.IsTemporary {
		words = append(words, "temporary")
	}
	if e.IsTimeout {
		words = append(words, "timeout")
	}
	var b interface{ BudgetExceeded() bool }
	if errors.As(err, &b) && b.BudgetExceeded() {
		words = append(words, "budget")
	}
	return strings.Join(words, " ")
}

func TestLookupTXTOutcomes(t *testing.T) {
	octets := make([]byte, 256)
	for i := range octets {
		octets[i] = byte(i)
	}
	s := dnstest.Start(t, dnstest.Zone{
		"plain.test":      {"TXT v=spf1 -all"},
		"two.test":        {"TXT one", "TXT two"},
		"joined.test":     {`TXT "v=spf1 ip4:192.0.2" ".1 -all"`},
		"empty.test":      {"TXT "},
		"octets.test":     {"TXT " + string(octets)},
		"quotes.test":     {`TXT v=DKIM1; n="a \ b"; p=`},
		"long.test":       {"TXT " + strings.Repeat("k", 3000)},
		"limit.test":      {"TXT " + strings.Repeat("k", maxTXT)},
		"over.test":       {"TXT " + strings.Repeat("k", maxTXT+1)},
		"other.test":      {"A 192.0.2.1"},
		"below.ent.test":  {"A 192.0.2.1"},
		"alias.test":      {"CNAME plain.test"},
		"dangling.test":   {"CNAME nowhere.test"},
		"nodata.test":     {"CNAME other.test"},
		"a.loop.test":     {"CNAME b.loop.test"},
		"b.loop.test":     {"CNAME a.loop.test"},
		"self.loop.test":  {"CNAME self.loop.test"},
		"a@b c.test":      {"TXT odd name"},
		`back\slash.test`: {"TXT backslash"},
		"nul\x00.test":    {"TXT nul"},
		"\xff\xc3.test":   {"TXT not utf-8"},
	})
	tests := []struct {
		name    string
		ask     string
		lies    []dnstest.Lie
		want    []string
		err     string
		outcome Outcome
	}{
		{name: "one", ask: "plain.test", want: []string{"v=spf1 -all"}},
		{name: "final dot", ask: "plain.test.", want: []string{"v=spf1 -all"}},
		{name: "upper case", ask: "PLAIN.Test", want: []string{"v=spf1 -all"}},
		{name: "two", ask: "two.test", want: []string{"one", "two"}},
		{name: "strings are joined", ask: "joined.test", want: []string{"v=spf1 ip4:192.0.2.1 -all"}},
		{name: "empty text", ask: "empty.test", want: []string{""}},
		{name: "every octet", ask: "octets.test", want: []string{string(octets)}},
		{name: "quotes and backslash", ask: "quotes.test", want: []string{`v=DKIM1; n="a \ b"; p=`}},
		{name: "too long for UDP", ask: "long.test", want: []string{strings.Repeat("k", 3000)}},
		{name: "as long as may be", ask: "limit.test", want: []string{strings.Repeat("k", maxTXT)}},
		{name: "one octet more", ask: "over.test", err: "temporary", outcome: OutcomeError},

		{name: "nodata", ask: "other.test", outcome: OutcomeNoData},
		{name: "empty non-terminal", ask: "ent.test", outcome: OutcomeNoData},
		{name: "nxdomain", ask: "nowhere.test", err: "notfound", outcome: OutcomeNXDomain},

		{name: "alias", ask: "alias.test", want: []string{"v=spf1 -all"}},
		{name: "dangling alias", ask: "dangling.test", err: "notfound", outcome: OutcomeNXDomain},
		{name: "alias without data", ask: "nodata.test", outcome: OutcomeNoData},
		{name: "alias loop", ask: "a.loop.test", err: "temporary", outcome: OutcomeError},
		{name: "alias of itself", ask: "self.loop.test", err: "temporary", outcome: OutcomeError},

		{name: "odd octets in the name", ask: "a@b c.test", want: []string{"odd name"}},
		{name: "backslash in the name", ask: `back\slash.test`, want: []string{"backslash"}},
		{name: "NUL in the name", ask: "nul\x00.test", want: []string{"nul"}},
		{name: "no UTF-8 in the name", ask: "\xff\xc3.test", want: []string{"not utf-8"}},

		{name: "servfail", ask: "plain.test", lies: []dnstest.Lie{dnstest.ServFail}, err: "temporary", outcome: OutcomeServFail},
		{name: "refused", ask: "plain.test", lies: []dnstest.Lie{dnstest.Refused}, err: "temporary", outcome: OutcomeRefused},
		{name: "notimp", ask: "plain.test", lies: []dnstest.Lie{dnstest.Rcode(4)}, err: "temporary", outcome: OutcomeError},
		{name: "unknown rcode", ask: "plain.test", lies: []dnstest.Lie{dnstest.Rcode(3000)}, err: "temporary", outcome: OutcomeError},
		{name: "silence", ask: "plain.test", lies: []dnstest.Lie{dnstest.Drop}, err: "temporary timeout", outcome: OutcomeTimeout},
		{name: "denied", ask: "plain.test", lies: []dnstest.Lie{dnstest.NXDomain}, err: "notfound", outcome: OutcomeNXDomain},
		{name: "late, yet in time", ask: "plain.test", lies: []dnstest.Lie{dnstest.Delay(20 * time.Millisecond)}, want: []string{"v=spf1 -all"}},

		{name: "knows no EDNS", ask: "plain.test", lies: []dnstest.Lie{dnstest.NoEDNS}, want: []string{"v=spf1 -all"}},
		{name: "badvers is no nodata", ask: "plain.test", lies: []dnstest.Lie{dnstest.BadVers}, want: []string{"v=spf1 -all"}},
		{name: "badvers always", ask: "plain.test", lies: []dnstest.Lie{dnstest.Rcode(16)}, err: "temporary", outcome: OutcomeError},

		{name: "truncated", ask: "plain.test", lies: []dnstest.Lie{dnstest.Truncate}, want: []string{"v=spf1 -all"}},
		{name: "larger than asked for", ask: "long.test", lies: []dnstest.Lie{dnstest.OverUDP(dnstest.IgnoreSize)}, want: []string{strings.Repeat("k", 3000)}},
		{name: "half of a TCP frame", ask: "plain.test", lies: []dnstest.Lie{dnstest.HalfTCP}, err: "temporary", outcome: OutcomeError},
		{name: "wrong id over UDP", ask: "plain.test", lies: []dnstest.Lie{dnstest.OverUDP(dnstest.WrongID)}, want: []string{"v=spf1 -all"}},
		{name: "wrong id", ask: "plain.test", lies: []dnstest.Lie{dnstest.WrongID}, err: "temporary", outcome: OutcomeError},
		{name: "wrong question over UDP", ask: "plain.test", lies: []dnstest.Lie{dnstest.OverUDP(dnstest.WrongQuestion)}, want: []string{"v=spf1 -all"}},
		{name: "wrong question", ask: "plain.test", lies: []dnstest.Lie{dnstest.WrongQuestion}, err: "temporary", outcome: OutcomeError},
		{name: "garbage over UDP", ask: "plain.test", lies: []dnstest.Lie{dnstest.OverUDP(dnstest.Garbage)}, want: []string{"v=spf1 -all"}},
		{name: "garbage", ask: "plain.test", lies: []dnstest.Lie{dnstest.Garbage}, err: "temporary", outcome: OutcomeError},
		{name: "record cut over UDP", ask: "plain.test", lies: []dnstest.Lie{dnstest.OverUDP(dnstest.CutRecord)}, want: []string{"v=spf1 -all"}},
		{name: "record cut", ask: "plain.test", lies: []dnstest.Lie{dnstest.CutRecord}, err: "temporary", outcome: OutcomeError},
		{name: "announced and not there", ask: "plain.test", lies: []dnstest.Lie{dnstest.NoRecords}, err: "temporary", outcome: OutcomeError},

		{name: "huge record", ask: "plain.test", lies: []dnstest.Lie{dnstest.HugeTXT(60000)}, err: "temporary", outcome: OutcomeError},
		{name: "as many records as may be", ask: "plain.test", lies: []dnstest.Lie{dnstest.ManyTXT(maxRecords)}, want: slices.Repeat([]string{"x"}, maxRecords)},
		{name: "one record more", ask: "plain.test", lies: []dnstest.Lie{dnstest.ManyTXT(maxRecords + 1)}, err: "temporary", outcome: OutcomeError},
		{name: "alias loop made up", ask: "plain.test", lies: []dnstest.Lie{dnstest.CNAMELoop}, err: "temporary", outcome: OutcomeError},
		{name: "records of others", ask: "plain.test", lies: []dnstest.Lie{dnstest.Foreign("evil.test.", `TXT "v=spf1 +all"`)}, want: []string{"v=spf1 -all"}},
		{name: "nothing but records of others", ask: "other.test", lies: []dnstest.Lie{dnstest.Foreign("evil.test.", `TXT "v=spf1 +all"`)}, outcome: OutcomeNoData},
		{name: "records of another type", ask: "plain.test", lies: []dnstest.Lie{dnstest.Foreign("plain.test.", "A 192.0.2.66")}, want: []string{"v=spf1 -all"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var seen observations
			r := start(t, Options{Timeout: 300 * time.Millisecond, Observe: seen.add}, s)
			s.Honest()
			s.Lie(test.ask, test.lies...)
			if test.lies == nil {
				s.Honest()
			}
			got, err := r.LookupTXT(t.Context(), test.ask)
			if test.outcome == "" {
				test.outcome, test.err = OutcomeOK, "ok"
			}
			if test.outcome == OutcomeNoData {
				test.err = "ok"
			}
			if d := describe(err); d != test.err {
				t.Errorf("error is %q (%v), want %q", d, err, test.err)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %.200q, want %.200q", got, test.want)
			}
			if ob := seen.last(); ob.Type != "TXT" || ob.Outcome != test.outcome || ob.Cached || ob.Duration <= 0 {
				t.Errorf("observed %+v, want outcome %q", ob, test.outcome)
			}
			// The second time everything but the observation is the same, from the cache.
			before := s.Total()
			again, err := r.LookupTXT(t.Context(), test.ask)
			if d := describe(err); d != test.err || !slices.Equal(again, got) {
				t.Errorf("cached: %.200q, %q; at first %.200q, %q", again, d, got, test.err)
			}
			if ob := seen.last(); ob.Outcome != test.outcome || !ob.Cached || ob.Duration != 0 {
				t.Errorf("cached: observed %+v, want outcome %q", ob, test.outcome)
			}
			if n := s.Total() - before; n != 0 {
				t.Errorf("asked %d times although the answer is cached", n)
			}
		})
	}
}

func TestAliasChainLength(t *testing.T) {
	zone := dnstest.Zone{"a0.test": {"TXT end"}}
	for i := range maxAliases + 1 {
		zone[fmt.Sprintf("a%d.test", i+1)] = []string{fmt.Sprintf("CNAME a%d.test", i)}
	}
	r := start(t, Options{}, dnstest.Start(t, zone))
	if got, err := r.LookupTXT(t.Context(), fmt.Sprintf("a%d.test", maxAliases)); err != nil || len(got) != 1 {
		t.Errorf("%d aliases: %q, %v", maxAliases, got, err)
	}
	if _, err := r.LookupTXT(t.Context(), fmt.Sprintf("a%d.test", maxAliases+1)); describe(err) != "temporary" {
		t.Errorf("%d aliases: %v, want a temporary error", maxAliases+1, err)
	}
}

func TestLookupIP(t *testing.T) {
	s := dnstest.Start(t, dnstest.Zone{
		"both.test":   {"A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1"},
		"four.test":   {"A 192.0.2.1"},
		"six.test":    {"AAAA 2001:db8::1"},
		"mapped.test": {"AAAA ::ffff:192.0.2.1"},
		"none.test":   {"TXT nothing"},
		"alias.test":  {"CNAME both.test"},
		"half.test":   {"A 192.0.2.1", "AAAA 2001:db8::1"},
		"nx4.test":    {"AAAA 2001:db8::1"},
	})
	s.LieType("half.test", "AAAA", dnstest.ServFail)
	s.LieType("nx4.test", "A", dnstest.NXDomain)
	s.Lie("rewritten.test", dnstest.Rewrite("203.0.113.1"))
	r := start(t, Options{}, s)
	tests := []struct{ network, host, want, err string }{
		{"ip4", "both.test", "[192.0.2.1 192.0.2.2]", "ok"},
		{"ip6", "both.test", "[2001:db8::1]", "ok"},
		{"ip", "both.test", "[192.0.2.1 192.0.2.2 2001:db8::1]", "ok"},
		{"ip", "alias.test", "[192.0.2.1 192.0.2.2 2001:db8::1]", "ok"},
		{"ip", "four.test", "[192.0.2.1]", "ok"},
		{"ip6", "four.test", "[]", "ok"},
		{"ip4", "six.test", "[]", "ok"},
		{"ip6", "mapped.test", "[::ffff:192.0.2.1]", "ok"},
		{"ip", "none.test", "[]", "ok"},
		{"ip", "nowhere.test", "[]", "notfound"},
		{"ip4", "half.test", "[192.0.2.1]", "ok"},
		{"ip", "half.test", "[]", "temporary"},
		{"ip", "nx4.test", "[2001:db8::1]", "ok"},
		{"ip4", "rewritten.test", "[203.0.113.1]", "ok"},
		{"ip4", "192.0.2.1", "[]", "notfound"},
	}
	for _, test := range tests {
		got, err := r.LookupIP(t.Context(), test.network, test.host)
		if fmt.Sprint(got) != test.want || describe(err) != test.err {
			t.Errorf("LookupIP(%s, %s) = %v, %v; want %s, %s", test.network, test.host, got, err, test.want, test.err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("LookupIP of network tcp did not panic")
		}
	}()
	r.LookupIP(t.Context(), "tcp", "both.test")
}

func TestLookupMX(t *testing.T) {
	r := start(t, Options{}, dnstest.Start(t, dnstest.Zone{
		"sorted.test": {"MX 20 b.test", "MX 10 a.test", "MX 20 c.test"},
		"null.test":   {"MX 0 ."},
		"odd.test":    {`MX 5 evil\010name.test`, "MX 10 good_name.test"},
		"bad.test":    {`MX 5 evil\;name.test`},
	}))
	for name, want := range map[string]string{
		"sorted.test": "10 a.test. 20 b.test. 20 c.test. ",
		"null.test":   "0 . ",
		"odd.test":    "10 good_name.test. ",
		"bad.test":    "",
	} {
		mxs, err := r.LookupMX(t.Context(), name)
		var got strings.Builder
		for _, mx := range mxs {
			fmt.Fprintf(&got, "%d %s ", mx.Pref, mx.Host)
		}
		if err != nil || got.String() != want {
			t.Errorf("%s: %q, %v; want %q", name, got.String(), err, want)
		}
	}
}

func TestLookupAddr(t *testing.T) {
	r := start(t, Options{}, dnstest.Start(t, dnstest.Zone{
		"7.2.0.192.in-addr.arpa": {"PTR mail.example.test", "PTR other.example.test"},
		"8.2.0.192.in-addr.arpa": {`PTR a\000b.test`, "PTR .", "PTR good.test"},
		"9.2.0.192.in-addr.arpa": {"TXT no name"},
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": {"PTR six.test"},
	}))
	for addr, want := range map[string]string{
		"192.0.2.7":        "ok [mail.example.test. other.example.test.]",
		"::ffff:192.0.2.7": "ok [mail.example.test. other.example.test.]",
		"192.0.2.8":        "ok [good.test.]",
		"192.0.2.9":        "ok []",
		"192.0.2.10":       "notfound []",
		"2001:db8::1%eth0": "ok [six.test.]",
		"2001:db8::2":      "notfound []",
	} {
		names, err := r.LookupAddr(t.Context(), netip.MustParseAddr(addr))
		if got := fmt.Sprint(describe(err), " ", names); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if _, err := r.LookupAddr(t.Context(), netip.Addr{}); describe(err) != "notfound" {
		t.Errorf("no address: %v", err)
	}
}

func TestUnaskableNamesAreNotAsked(t *testing.T) {
	s := dnstest.Start(t, nil)
	var seen observations
	r := start(t, Options{Observe: seen.add}, s)
	for _, name := range []string{
		"", "..", ".test", "a..test", "a.test..",
		strings.Repeat("a", 64) + ".test",
		strings.Repeat("abcdefg.", 31) + "abcdef",
	} {
		if _, err := r.LookupTXT(t.Context(), name); describe(err) != "notfound" {
			t.Errorf("%.80q: %v, want not found", name, err)
		}
	}
	if n := s.Total(); n != 0 || len(seen.all) != 0 {
		t.Errorf("%d queries, %d observations; want none", n, len(seen.all))
	}
	// One octet less can be asked.
	for _, name := range []string{
		strings.Repeat("a", 63) + ".test",
		strings.Repeat("abcdefg.", 31) + "abcde",
	} {
		before := s.Total()
		if _, err := r.LookupTXT(t.Context(), name); describe(err) != "notfound" {
			t.Errorf("%.80q: %v, want not found", name, err)
		}
		if s.Total() != before+1 {
			t.Errorf("%.80q was not asked", name)
		}
	}
}

func TestErrorsNameWhatFailed(t *testing.T) {
	s := dnstest.Start(t, nil)
	s.Lie("broken.test", dnstest.ServFail)
	r := start(t, Options{}, s)
	_, err := r.LookupTXT(t.Context(), "Broken.test.")
	e := err.(*net.DNSError)
	if e.Name != "broken.test" || e.Server != s.Addr() || e.Err != "server failure" {
		t.Errorf("%+v", e)
	}
}

func TestDeadContext(t *testing.T) {
	s := dnstest.Start(t, dnstest.Zone{"a.test": {"TXT a"}})
	r := start(t, Options{}, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.LookupTXT(ctx, "a.test")
	if describe(err) != "temporary timeout" || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if s.Total() != 0 {
		t.Error("asked although nobody waits")
	}
}
