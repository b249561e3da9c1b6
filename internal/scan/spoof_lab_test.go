package scan

import (
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"milterd/checks/all"
	"milterd/internal/config"
	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/internal/engine"
	"milterd/internal/pipeline"
	"milterd/milter"

	wire "github.com/emersion/go-milter"
	"github.com/prometheus/client_golang/prometheus"
)

// A lab is milterd with its name server, and an attacker.
type lab struct {
	generator generator
	engines   []*engine.Engine
	oracles   []oracle // one for each engine
	names     *dnstest.Server
	zone      dnstest.Zone
}

// What the engines of a lab are told.
const (
	enforce = "authserv_id: mx.test"
	strict  = "authserv_id: mx.test\nchecks: {dmarc: {mode: strict}}"
)

// newLab makes a lab with an engine for each configuration.
func newLab(t testing.TB, resolver dns.Options, configs ...string) *lab {
	t.Helper()
	genuine, zone := write(t)
	maps.Copy(zone, attackerZone())
	maps.Copy(zone, dnstest.Zone{
		"legit.test": {"TXT v=spf1 ip4:198.51.100.1 -all", "MX 10 mail.legit.test"}, "mail.legit.test": {"A 198.51.100.1"},
		"_dmarc.legit.test": {"TXT v=DMARC1; p=reject"}, "news.legit.test": {"TXT v=spf1 ip4:198.51.100.1 -all"},
	})
	l := &lab{generator: generator{genuine: genuine, grammar: spoofs}, names: dnstest.Start(t, zone), zone: zone}
	lie(l.names)
	l.names.Lie("dark.test", dnstest.ServFail)
	l.names.Lie("_dmarc.dark.test", dnstest.ServFail)
	resolver.Servers = []string{l.names.Addr()}
	asker, err := dns.New(resolver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { asker.Close() })
	for _, text := range configs {
		cfg, err := config.Read("milterd.yaml", []byte(text), config.Options{Checks: all.Names(), Environ: []string{"MILTERD_SPOOL=" + t.TempDir()}})
		if err != nil {
			t.Fatal(err)
		}
		registry := prometheus.NewRegistry()
		e, err := engine.New(cfg, engine.Host{
			Resolver: asker, Registerer: registry, Metrics: pipeline.NewMetrics(registry), Faults: &pipeline.Faults{Tries: 3, Age: time.Hour},
			MarkKey: []byte("key"), Hostname: "mx.test", Version: "test", Logger: slog.New(slog.DiscardHandler),
			Now: func() time.Time { return noon }, Random: cryptorand.Reader,
		})
		if err != nil {
			t.Fatal(err)
		}
		l.engines = append(l.engines, e)
		l.oracles = append(l.oracles, oracle{genuine: genuine, strict: text == strict})
	}
	return l
}

// A line is a milter connection to one of the engines.
type line struct {
	*Scanner
	oracle *oracle
	client *milter.Client
	ended  sync.WaitGroup
}

func (l *lab) dial(t testing.TB, engine int) *line {
	t.Helper()
	c := &line{Scanner: New(l.engines[engine], slog.New(slog.DiscardHandler)), oracle: &l.oracles[engine]}
	ours, theirs := net.Pipe()
	c.ended.Go(func() { c.server.ServeConn(context.Background(), theirs) })
	var err error
	if c.client, err = milter.NewClient(context.Background(), ours, milter.ClientOptions{}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *line) close(t testing.TB) {
	c.client.Quit(context.Background())
	c.ended.Wait()
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A verdict is what became of a spoof. Without an outcome it was refused before
// its end.
type verdict struct {
	*pipeline.Outcome
	shown, delivered *milter.Message // as Postfix shows it, and with the edits
}

// peer is the visit as a mail server sees its beginning.
func (v *visit) peer() milter.Peer {
	p := milter.Peer{Hostname: "mx.test", Helo: v.helo, ClientPtr: v.ptr,
		Connect: milter.Connect{Family: byte(wire.FamilyInet), Addr: v.client, Port: 25252, Host: "[" + v.client.String() + "]"}}
	if v.client.Is6() {
		p.Family = byte(wire.FamilyInet6)
	}
	return p
}

// play plays a visit, from the greeting on, and tells what became of each message.
func (c *line) play(ctx context.Context, v *visit, each func(*spoof, *verdict)) error {
	if err := c.client.QuitNewConn(ctx); err != nil {
		return err
	}
	if r, err := c.client.Greet(ctx, v.peer()); err != nil || !r.IsContinue() {
		return fmt.Errorf("greeting: %v %w", r, err)
	}
	for _, s := range v.spoofs {
		sent, err := c.client.Send(ctx, milter.Envelope{From: s.mailFrom, Rcpts: []milter.Recipient{{Address: s.rcpt}}}, s.bytes())
		if err != nil {
			return err
		}
		o := &verdict{shown: milter.ParseMessage(s.bytes())}
		select {
		case o.Outcome = <-c.decided:
			o.delivered = o.shown.Apply(sent.Edits)
		default:
		}
		each(s, o)
	}
	return nil
}

// A count says how often what happened.
type count map[string]int

func (c count) note(o *verdict, objection string) {
	c["messages"]++
	if objection != "" {
		kind, _, _ := strings.Cut(objection, ",")
		c["objection: "+kind]++
	}
	if o.Outcome == nil {
		c["refused early"]++
		return
	}
	c[string(o.Verdict.Action)+" by "+o.Verdict.DecidedBy]++
	for _, m := range o.Auth {
		about := ""
		for _, p := range m.Props {
			if ofVictim(p.Value) {
				about = " for the victim"
			}
		}
		c[m.Method+"="+m.Result+about]++
	}
	if reading(o.shown) != "" {
		c["seen as the victim"]++
	}
}

// visit makes up the nth visit of a seed.
func (l *lab) visit(seed uint64, n int) *visit {
	g := l.generator
	g.Rand = rand.New(rand.NewPCG(seed, uint64(n)))
	return g.visit()
}

// run plays visits, on every engine in turn and over several connections at a
// time, and counts what becomes of them. It ends early when the test has failed.
func (l *lab) run(t *testing.T, seed uint64, visits, connections int) count {
	total := count{}
	var mu sync.Mutex
	var next atomic.Int64
	var running sync.WaitGroup
	for range connections {
		var lines []*line
		for i := range l.engines {
			lines = append(lines, l.dial(t, i))
		}
		running.Go(func() {
			mine := count{}
			for n := int(next.Add(1)); n <= visits && !t.Failed(); n = int(next.Add(1)) {
				c, v := lines[n%len(lines)], l.visit(seed, n)
				err := c.play(t.Context(), v, func(s *spoof, o *verdict) {
					objection := c.oracle.objection(o)
					mine.note(o, objection)
					if objection != "" {
						t.Errorf("seed %d, visit %d: %s\n%s", seed, n, objection, c.shrink(v, s, objection))
					}
				})
				if err != nil {
					t.Errorf("seed %d, visit %d: %v", seed, n, err)
				}
			}
			for _, c := range lines {
				c.close(t)
			}
			mu.Lock()
			defer mu.Unlock()
			for what, times := range mine {
				total[what] += times
			}
		})
	}
	running.Wait()
	return total
}

// shrink drops what the objection to a spoof does not need, and shows the rest.
func (c *line) shrink(v *visit, s *spoof, objection string) string {
	kind, _, _ := strings.Cut(objection, ",")
	seen := ""
	still := func(try spoof) bool {
		alone, found := *v, false
		alone.spoofs = []*spoof{&try}
		err := c.play(context.Background(), &alone, func(_ *spoof, o *verdict) {
			again, _, _ := strings.Cut(c.oracle.objection(o), ",")
			if found = again == kind; found {
				seen = show(o)
			}
		})
		return err == nil && found
	}
	least, remark := *s, ""
	if !still(least) {
		remark = "and not again without the messages before it\n"
	}
	for i := 0; i < len(least.fields); {
		try := least
		if try.fields = slices.Delete(slices.Clone(least.fields), i, i+1); still(try) {
			least = try
		} else {
			i++
		}
	}
	for _, try := range []spoof{{mailFrom: least.mailFrom, rcpt: least.rcpt, fields: least.fields}, {rcpt: least.rcpt, fields: least.fields, body: least.body}} {
		if still(try) {
			least = try
		}
	}
	still(least)
	return remark + fmt.Sprintf("client %s (%s), HELO %q, MAIL FROM:<%s>, RCPT TO:<%s>\n%q\n%s", v.client, v.ptr, v.helo, least.mailFrom, least.rcpt, least.bytes(), seen)
}

// show is a verdict in a few lines.
func show(o *verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s by %s %s, findings", o.Verdict.Action, o.Verdict.DecidedBy, o.Verdict.Mitigation)
	for _, f := range o.Verdict.Findings {
		fmt.Fprintf(&b, " %s (%s)", f.Name, f.Detail)
	}
	for _, m := range o.Auth {
		fmt.Fprintf(&b, "\n%s=%s %s %v", m.Method, m.Result, m.Reason, m.Props)
	}
	return b.String()
}
