package spf

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
)

// warm is a Resolver that answers at once and without allocating, as a cache
// would: what is measured is this package.
type warm map[string][]string

func (w warm) LookupTXT(_ context.Context, name string) ([]string, error) { return w[name], nil }

func (w warm) LookupIP(context.Context, string, string) ([]netip.Addr, error) {
	return warmAddrs[:], nil
}

func (w warm) LookupMX(context.Context, string) ([]*net.MX, error) { return warmMX[:], nil }

func (w warm) LookupAddr(context.Context, netip.Addr) ([]string, error) { return nil, nil }

var (
	warmAddrs = [...]netip.Addr{netip.MustParseAddr("203.0.113.77")}
	warmMX    = [...]*net.MX{{Host: "mx.example."}}
)

// senders makes n domains whose records follow the pattern, and their provider's.
func senders(n int, pattern string) (warm, []Args) {
	w := warm{}
	args := make([]Args, n)
	for i := range args {
		domain := fmt.Sprintf("d%d.example", i)
		w[domain] = []string{"site-verification=" + domain, fmt.Sprintf(pattern, i%250, i)}
		w[fmt.Sprintf("_spf%d.provider.example", i)] = []string{fmt.Sprintf("v=spf1 ip4:198.51.100.0/24 ip4:203.0.%d.0/28 "+
			"ip4:203.0.113.128/25 ip6:2001:db8:%d::/48 ip4:192.0.2.%d ~all", i%250, i, i%250)}
		args[i] = Args{
			IP:       netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 250)}),
			Helo:     "mail." + domain,
			MailFrom: fmt.Sprintf("user%d@%s", i, domain),
		}
	}
	return w, args
}

func benchmarkCheck(b *testing.B, pattern string, want Status) {
	w, args := senders(5000, pattern)
	v := &Verifier{Resolver: w}
	ctx := b.Context()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if res, err := v.CheckMailFrom(ctx, args[i%len(args)]); res.Status != want {
			b.Fatalf("%+v, %v", res, err)
		}
	}
}

func BenchmarkCheckNetworks(b *testing.B) {
	benchmarkCheck(b, "v=spf1 ip4:192.0.2.%d ip6:2001:db8:%d::/48 -all", Pass)
}

func BenchmarkCheckInclude(b *testing.B) {
	benchmarkCheck(b, "v=spf1 ip4:203.0.113.%d include:_spf%d.provider.example -all", Pass)
}

func BenchmarkCheckAddresses(b *testing.B) {
	benchmarkCheck(b, "v=spf1 a mx a:h%d.x%d.example -all", Fail)
}

func BenchmarkCheckMacros(b *testing.B) {
	benchmarkCheck(b, "v=spf1 exists:%%{ir}.%%{v}.%%{l1r-}.x%d.%%{d2}.y%d.example -all", Pass)
}

func BenchmarkParse(b *testing.B) {
	w, _ := senders(5000, "v=spf1 a:a%d.example mx/24 include:_spf%d.provider.example ip4:192.0.2.0/24 exists:%%{ir}.x.example ~all")
	var records []string
	for _, txts := range w {
		records = append(records, txts[len(txts)-1])
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := Parse(records[i%len(records)]); err != nil {
			b.Fatal(err)
		}
	}
}
