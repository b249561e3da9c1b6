package pipeline_test

import (
	"fmt"
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

// A whole message costs the pipeline little: nothing is asked, all is written.
func BenchmarkNoChecks(b *testing.B) {
	benchmark(b, nil, func(int) checktest.Mail { return checktest.Mail{Client: "192.0.2.1"} })
}

// The same with SPF, whose answers are all in the cache.
func BenchmarkSPF(b *testing.B) {
	server := dnstest.Start(b, dnstest.Zone{
		"include.test": {"TXT v=spf1 include:_spf.test -all"}, "_spf.test": {"TXT v=spf1 ip4:192.0.2.0/24 -all"},
		"mail.include.test": {"TXT v=spf1 a -all", "A 192.0.2.1"},
	})
	resolver, err := dns.New(dns.Options{Servers: []string{server.Addr()}})
	if err != nil {
		b.Fatal(err)
	}
	defer resolver.Close()
	spec := spf.Spec()
	made := spec.New
	spec.New = func(section checks.Section, env checks.Env) (checks.Check, error) {
		env.Resolver = resolver
		return made(section, env)
	}
	benchmark(b, []checks.Spec{spec}, func(n int) checktest.Mail {
		return checktest.Mail{Client: fmt.Sprintf("192.0.2.%d", 1+n%250), Helo: "mail.include.test"}
	})
}

// benchmark takes distinct messages through a pipeline.
func benchmark(b *testing.B, specs []checks.Spec, mail func(n int) checktest.Mail) {
	set, err := rules.Load(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	p, err := pipeline.New(pipeline.Options{
		Specs: specs, Section: func(string) checks.Section { return checktest.Section("") },
		Policy:   scoring.New(scoring.Options{Mode: message.Enforce, Thresholds: thresholds(), OwnFault: scoring.FaultHold, Rules: set}),
		Hostname: "mx.test", MarkKey: []byte("secret"), Version: "1", SpamHeaders: true,
		MessageTime: 25 * time.Second, Faults: &pipeline.Faults{Tries: 3, Age: time.Hour},
		Metrics: pipeline.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
	messages := make([]*message.Message, 512)
	for i := range messages {
		c := mail(i)
		c.From = fmt.Sprintf("<user%d@include.test>", i)
		c.Text = fmt.Sprintf("Received: from a by b\nFrom: User %d <user%d@include.test>\nTo: <ann@here.test>\nSubject: message %d\n"+
			"Message-ID: <%d@include.test>\nDate: Fri, 20 Nov 2026 12:00:00 +0000\n\nhello number %d\n", i, i, i, i, i)
		messages[i] = c.Message(b)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m := messages[i%len(messages)]
		r := p.Begin(b.Context())
		r.Publish(checks.Mail, m)
		r.Publish(checks.Header, m)
		if out := r.Finish(b.Context(), m); out.Verdict.Action != message.Accept {
			b.Fatal(out.Verdict.Action)
		}
		r.Close()
	}
}
