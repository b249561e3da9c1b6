package spf_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/checks/spf"
	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/rules"
	"milterd/scoring"

	"github.com/prometheus/client_golang/prometheus"
)

// run takes a message through the pipeline with SPF alone. Between MAIL FROM and
// the header it calls arriving, while which the client dawdles.
func run(t *testing.T, server *dnstest.Server, arriving func()) *pipeline.Outcome {
	t.Helper()
	resolver, err := dns.New(dns.Options{Servers: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resolver.Close() })
	set, err := rules.Load(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.New(pipeline.Options{
		Specs: []checks.Spec{spf.Spec()}, Section: func(string) checks.Section { return checktest.Section("") },
		Env:    checks.Env{Resolver: resolver},
		Policy: scoring.New(scoring.Options{Mode: message.Enforce, OwnFault: scoring.FaultHold, Rules: set}),
		Transaction: func(ctx context.Context) context.Context {
			return dns.WithBudget(ctx, dns.NewBudget(dns.Limits{Queries: 100, Time: 8 * time.Second}))
		},
		Scope:       dns.WithGroup,
		MessageTime: 25 * time.Second, Faults: &pipeline.Faults{Tries: 3, Age: time.Hour},
		Metrics: pipeline.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	m := checktest.Mail{Client: "192.0.2.1", From: "<joe@a.test>", Helo: "mail.a.test", Text: "From: joe@a.test\n\nhello\n"}.Message(t)
	defer m.Body.Release()
	envelope := *m
	envelope.Header, envelope.Body = nil, nil
	r := p.Begin(t.Context())
	defer r.Close()
	r.Publish(checks.Mail, &envelope)
	arriving()
	r.Publish(checks.Header, m)
	return r.Finish(t.Context(), m)
}

// chain needs three look-ups one after the other.
var chain = dnstest.Zone{
	"a.test":      {"TXT v=spf1 include:b.test -all"},
	"b.test":      {"TXT v=spf1 a:c.test -all"},
	"c.test":      {"A 192.0.2.1"},
	"mail.a.test": {"TXT v=spf1 a -all", "A 192.0.2.1"},
}

// The look-ups run while header and body arrive: when the last of them has been
// answered before the message ends, its end waits for nothing.
func TestLookupsRunWhileTheBodyArrives(t *testing.T) {
	server := dnstest.Start(t, chain)
	answered := make(chan struct{})
	server.Lie("*", dnstest.Delay(20*time.Millisecond))
	server.LieType("c.test", "A", dnstest.Delay(20*time.Millisecond), func(_ context.Context, _ dnstest.Query, reply dnstest.Reply) dnstest.Reply {
		close(answered)
		return reply
	})
	out := run(t, server, func() {
		<-answered // long before the header has come: nobody has asked for it yet
	})
	if len(out.Results) != 1 || out.Results[0].Auth[0].Result != "pass" {
		t.Fatalf("results %+v", out.Results)
	}
	if out.Results[0].Took < 60*time.Millisecond {
		t.Errorf("three look-ups of 20 ms took %v", out.Results[0].Took)
	}
	if out.Took >= 50*time.Millisecond {
		t.Errorf("the end of the message waited %v", out.Took)
	}
}

// A message that ends at once waits for the longest chain of look-ups that depend
// on each other, and for no more: the HELO name costs nothing beside it.
func TestWaitIsTheLongestChain(t *testing.T) {
	const late, links = 40 * time.Millisecond, 3
	for try := 1; ; try++ {
		server := dnstest.Start(t, chain)
		server.Lie("*", dnstest.Delay(late))
		out := run(t, server, func() {})
		if len(out.Results) != 1 || out.Results[0].Auth[0].Result != "pass" {
			t.Fatalf("results %+v", out.Results)
		}
		switch {
		case out.Took < links*late*9/10:
			t.Fatalf("%d look-ups of %v took %v", links, late, out.Took)
		case out.Took < (links+1)*late:
			return
		case try == 5: // a busy machine is slow once, not always
			t.Fatalf("waited %v for %d look-ups of %v", out.Took, links, late)
		}
	}
}
