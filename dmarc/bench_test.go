package dmarc

import (
	"context"
	"fmt"
	"net"
	"testing"

	"milterd/message"
)

// warm is a Resolver that answers at once and without allocating, as a cache
// would: what is measured is this package.
type warm map[string][]string

func (w warm) LookupTXT(_ context.Context, name string) ([]string, error) {
	if txts := w[name]; txts != nil {
		return txts, nil
	}
	return nil, errNotFound
}

var errNotFound error = &net.DNSError{Err: "no such host", IsNotFound: true}

// benchmark evaluates messages of 5000 authors; author and identifier are patterns
// for the number of the organization.
func benchmark(b *testing.B, author, identifier string, method Method, want Status) {
	w := warm{}
	authors, ids := make([]message.Domain, 5000), make([]Identifiers, 5000)
	for i := range authors {
		w[fmt.Sprintf("_dmarc.d%d.example", i)] = []string{fmt.Sprintf("v=DMARC1; p=reject; sp=quarantine; pct=100; rua=mailto:dmarc@d%d.example,mailto:x@reports.example; fo=1", i)}
		authors[i] = domain(b, fmt.Sprintf(author, i))
		ids[i] = Identifiers{DKIM: []Identifier{{Domain: domain(b, fmt.Sprintf(identifier, i))}}}
	}
	ctx := b.Context()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p := Discover(ctx, w, authors[i%5000], Options{Method: method})
		if res := p.Evaluate(ctx, ids[i%5000]); res.Status != want {
			b.Fatalf("%+v", res)
		}
	}
}

func BenchmarkIdentical(b *testing.B) { benchmark(b, "d%d.example", "d%d.example", TreeWalk, Pass) }
func BenchmarkRelaxed(b *testing.B) {
	benchmark(b, "news.d%d.example", "mail.d%d.example", TreeWalk, Pass)
}
func BenchmarkStranger(b *testing.B) { benchmark(b, "d%d.example", "d%d.test", TreeWalk, Fail) }
func BenchmarkDeep(b *testing.B) {
	benchmark(b, "a.b.c.d.e.f.g.h.i.d%d.example", "a.d%d.example", TreeWalk, Pass)
}
func BenchmarkBoth(b *testing.B) { benchmark(b, "news.d%d.example", "mail.d%d.example", Both, Pass) }

func BenchmarkParse(b *testing.B) {
	records := make([]string, 5000)
	for i := range records {
		records[i] = fmt.Sprintf("v=DMARC1; p=reject; sp=quarantine; pct=100; adkim=s; rua=mailto:dmarc@d%d.example,mailto:x@reports.example; ruf=mailto:f@d%d.example; fo=1:d", i, i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := Parse(records[i%5000]); err != nil {
			b.Fatal(err)
		}
	}
}
