package dns

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	mdns "github.com/miekg/dns"

	"milterd/internal/dns/dnstest"
)

func BenchmarkCacheHit(b *testing.B) {
	r := start(b, Options{}, dnstest.Start(b, dnstest.Zone{"example.test": {"TXT v=spf1 -all"}}))
	for _, name := range []string{"example.test", "Example.TEST."} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.LookupTXT(b.Context(), name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				r.LookupTXT(b.Context(), "example.test")
			}
		})
	})
}

// A miss costs a real exchange with a server in the same process, whose share is
// about half.
func BenchmarkMiss(b *testing.B) {
	zone := dnstest.Zone{"*.test": {"TXT v=spf1 ip4:192.0.2.0/24 include:_spf.example.net -all"}}
	r := start(b, Options{}, dnstest.Start(b, zone))
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n++
			if _, err := r.LookupTXT(b.Context(), fmt.Sprintf("n%d.one.test", n)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		var n atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				r.LookupTXT(b.Context(), fmt.Sprintf("n%d.many.test", n.Add(1)))
			}
		})
	})
}

func BenchmarkMissOverTCP(b *testing.B) {
	zone := dnstest.Zone{"*.test": {"TXT " + strings.Repeat("k", 2000)}}
	r := start(b, Options{}, dnstest.Start(b, zone))
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		if _, err := r.LookupTXT(b.Context(), fmt.Sprintf("n%d.test", n)); err != nil {
			b.Fatal(err)
		}
	}
}

// The most expensive reply we could think of: as many records as are read, all of
// them aliases with the longest names there are, each alike but for the last label.
func BenchmarkWorstReply(b *testing.B) {
	var lines []string
	name := func(i int) string {
		return strings.Repeat(`\001\002\003\004\005\006\007\008\009\010\011\012\013\014\015.`, 14) + fmt.Sprintf("n%03d.test.", i)
	}
	lines = append(lines, "x.test. 60 IN CNAME "+name(0))
	for i := range maxRecords - 1 {
		lines = append(lines, name(i%15)+" 60 IN CNAME "+name(i%15+1))
	}
	wire := reply(b, mdns.TypeTXT, func(m *mdns.Msg) { m.Compress = true }, lines...)
	b.ReportAllocs()
	for b.Loop() {
		if _, a := read(wire, mdns.TypeTXT); a == nil || a.outcome != OutcomeNoData {
			b.Fatalf("%+v", a)
		}
	}
	b.ReportMetric(float64(len(wire)), "octets")
}
