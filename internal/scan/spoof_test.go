package scan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/internal/race"
	"milterd/message"
)

// warm is a resolver that nearly always knows the answer.
var warm = dns.Options{Timeout: 2 * time.Second, FailureTTL: 5 * time.Minute}

// TestSpoofOracle: whatever the attacker does, milterd takes nobody in with the
// victim's name. The share of messages that end in each way shows that they reach
// all parts of the filter. LONG=1 in the environment makes it 100,000 messages,
// LONG=10 a million.
func TestSpoofOracle(t *testing.T) {
	t.Parallel()
	messages := 20_000
	if long, err := strconv.Atoi(os.Getenv("LONG")); err == nil && long > 0 {
		messages = long * 100_000
	} else if testing.Short() || race.Enabled {
		messages = 2_000
	}
	l := newLab(t, warm, enforce, strict)
	total := l.run(t, 9989, messages/4, runtime.GOMAXPROCS(0))
	for _, what := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%6d %s", total[what], what)
	}
	for what, percent := range map[string]float64{
		"accept by default": 15, "reject by author": 20, "reject by dmarc": 10, "junk by dmarc": 0.7, "tempfail by dmarc": 0.7,
		"spf=pass": 20, "dkim=pass": 4, "dmarc=pass": 2, "dkim=pass for the victim": 3, "dmarc=pass for the victim": 3,
		"dmarc=fail for the victim": 10, "dmarc=temperror for the victim": 0.4, "seen as the victim": 30,
	} {
		if got := 100 * float64(total[what]) / float64(total["messages"]); got < percent && !t.Failed() {
			t.Errorf("%s: %.2f %% of the messages, expected %v at least: the generator has lost its way", what, got, percent)
		}
	}
}

// TestSpoofOracleObjects takes away one guard after the other: the oracle must
// notice.
func TestSpoofOracleObjects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, config, want string
		unguard            func(l *lab)
	}{
		{name: "any From field", config: enforce + "\nchecks: {author: {mode: observe}}", want: "delivered"},
		{name: "no policy followed", config: enforce + "\nchecks: {dmarc: {mode: observe}}", want: "delivered"},
		{name: "no milterd of that name", config: "authserv_id: other.test", want: "not one field with results of ours"},
		{name: "one of ours", config: enforce + "\nnetworks: {mynetworks: [203.0.113.0/24, 2001:db8:66::/48]}", want: "a method without a result"},
		{name: "lists are never junk", config: enforce, want: "the policy is not followed", unguard: func(l *lab) { l.oracles[0].strict = true }},
		{name: "stolen key", config: enforce, want: "dkim=pass for the victim", unguard: func(l *lab) { l.zone["own._domainkey.legit.test"] = []string{edRecord(attackerKey)} }},
		{name: "open SPF", config: enforce, want: "spf=pass for the victim", unguard: func(l *lab) { l.zone["legit.test"] = []string{"TXT v=spf1 +all"} }},
		{name: "one organization", config: enforce, want: "dmarc=pass for the victim", unguard: func(l *lab) { l.zone["_dmarc.test"] = []string{"TXT v=DMARC1; p=reject; psd=n"} }},
		{name: "no policy", config: enforce, want: "the policy is not known", unguard: func(l *lab) { delete(l.zone, "_dmarc.legit.test") }},
		{name: "policy for nobody", config: enforce, want: "delivered", unguard: func(l *lab) { l.zone["_dmarc.legit.test"] = []string{"TXT v=DMARC1; p=none"} }},
		{name: "key withdrawn", config: enforce, want: "dmarc is no pass for what the victim signed", unguard: func(l *lab) { delete(l.zone, "e._domainkey.legit.test") }},
		{name: "DNS well", config: enforce, want: "DNS failed", unguard: func(l *lab) { l.names.Honest() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, warm, c.config)
			if c.unguard != nil {
				c.unguard(l)
				l.names.SetZone(t, l.zone)
			}
			filter, total := l.dial(t, 0), count{}
			defer filter.close(t)
			for n := 0; n < 250 && total["objection: "+c.want] == 0; n++ {
				if err := filter.play(t.Context(), l.visit(1, n), func(_ *spoof, o *verdict) { total.note(o, filter.oracle.objection(o)) }); err != nil {
					t.Fatal(err)
				}
			}
			if total["objection: "+c.want] == 0 {
				t.Errorf("no objection %q to %d messages: %v", c.want, total["messages"], total)
			}
		})
	}
}

// TestSpoofTarpit: what the attacker's own DNS costs, in time and in questions, is
// never the victim's loss. Its policy is found, though nothing is in the cache, each
// message asks for another name of the victim's, and all look-ups that the attacker
// can cause end in silence or in many more.
func TestSpoofTarpit(t *testing.T) {
	t.Parallel()
	cold := dns.Options{CacheBytes: 1, Timeout: 600 * time.Millisecond}
	l := newLab(t, cold, "limits: {dns_time: 900ms}\n"+enforce, "limits: {dns_time: 900ms, dns_queries: 40}\n"+enforce)
	l.generator.genuine = nil
	l.generator.grammar = maps.Clone(spoofs)
	maps.Copy(l.generator.grammar, tarpits)
	maps.Copy(l.zone, tarpitZone())
	l.names.SetZone(t, l.zone)
	for n := range 10 {
		l.names.Lie(fmt.Sprintf("tar%d.attack.test", n), dnstest.Drop)
		l.names.Lie(fmt.Sprintf("tar%d._domainkey.attack.test", n), dnstest.Drop)
		l.names.Lie(fmt.Sprintf("late%d.attack.test", n), dnstest.Delay(400*time.Millisecond))
		l.names.Lie(fmt.Sprintf("late%d._domainkey.attack.test", n), dnstest.Delay(400*time.Millisecond))
	}
	total := l.run(t, 9991, 24, 12)
	t.Log(total)
	if total["spf=temperror"] < 10 || total["spf=permerror"] < 10 || total["dkim=temperror"] < 100 || total["dmarc=fail for the victim"] < 60 {
		t.Error("the generator has lost its way")
	}
}

// TestGenuine: the messages of the victim pass, from wherever they come, as long
// as its signature says.
func TestGenuine(t *testing.T) {
	t.Parallel()
	l := newLab(t, warm, enforce)
	c := l.dial(t, 0)
	defer c.close(t)
	for i, g := range l.generator.genuine {
		s := &spoof{mailFrom: "first@attack.test", rcpt: "alice@mx.test", body: string(g.Body)}
		for _, f := range g.Fields {
			s.fields = append(s.fields, f.Name+":"+f.Value)
		}
		v := &visit{client: netip.MustParseAddr("203.0.113.66"), helo: "mail.attack.test", spoofs: []*spoof{s}}
		if err := c.play(t.Context(), v, func(_ *spoof, o *verdict) {
			total := count{}
			total.note(o, c.oracle.objection(o))
			if passed := total["dmarc=pass for the victim"] == 1 && o.Verdict.Action == message.Accept; passed == g.expired {
				t.Errorf("message %d, expired %t: %s", i, g.expired, show(o))
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// A tape is a source of randomness that begins with choices of somebody else's.
type tape struct {
	choices []byte
	rest    rand.Source
}

// Uint64 repeats a choice in all its bytes, so that it counts however it is cut.
func (t *tape) Uint64() uint64 {
	if len(t.choices) == 0 {
		return t.rest.Uint64()
	}
	choice := uint64(t.choices[0])
	t.choices = t.choices[1:]
	return choice * 0x0101010101010101
}

// FuzzSpoof is TestSpoofOracle with a seed, and first choices, of the fuzzer's.
func FuzzSpoof(f *testing.F) {
	l := newLab(f, warm, enforce, strict)
	for seed := range uint64(10) {
		f.Add(seed, []byte(nil))
	}
	f.Fuzz(func(t *testing.T, seed uint64, choices []byte) {
		g := l.generator
		g.Rand = rand.New(&tape{choices, rand.NewPCG(seed, uint64(len(choices)))})
		v, c := g.visit(), l.dial(t, int(seed%2))
		defer c.close(t)
		if err := c.play(t.Context(), v, func(s *spoof, o *verdict) {
			if objection := c.oracle.objection(o); objection != "" {
				t.Errorf("%s\n%s", objection, c.shrink(v, s, objection))
			}
		}); err != nil {
			t.Error(err)
		}
	})
}
