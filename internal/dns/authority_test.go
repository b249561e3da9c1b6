package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"milterd/internal/dns/dnstest"
)

const soa = "120 SOA ns1.example.org. hostmaster.example.org. 1 3600 600 86400 90"

// world is a recursive server, and two authorities for example.org.
func world(t *testing.T) (r *Resolver, recursive, ns1, ns2 *dnstest.Server) {
	t.Helper()
	zone := dnstest.Zone{
		"example.org":                    {soa, "NS ns1.example.org.", "NS NS2.example.org."},
		"s1._domainkey.example.org":      {"600 TXT v=DKIM1; p=AAAA"},
		"alias._domainkey.example.org":   {"60 CNAME s1._domainkey.example.org."},
		"foreign._domainkey.example.org": {"CNAME s1.provider.test."},
		"long._domainkey.example.org":    {"TXT " + strings.Repeat("k", 3000)},
	}
	recursive = dnstest.Start(t, dnstest.Zone{
		"example.org":              {"NS ns1.example.org.", "NS NS2.example.org.", "NS ns3.example.org."},
		"ns1.example.org":          {"A 127.0.0.2"},
		"ns2.example.org":          {"A 127.0.0.3", "AAAA ::1"},
		"host.sub.example.org":     {"CNAME apex.other.test."},
		"apex.other.test":          {"NS ns.other.test."},
		"silent.test":              {"TXT x"},
		"nobody.example":           {"TXT nothing above it either"},
		"unhappy.example.org":      {"TXT x"},
		"deep.unhappy.example.org": {"TXT x"},
	})
	ns1 = dnstest.StartAt(t, netip.MustParseAddrPort("127.0.0.2:0"), zone)
	addr := netip.MustParseAddrPort(ns1.Addr())
	ns2 = dnstest.StartAt(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), addr.Port()), zone)
	r, err := New(Options{Servers: []string{recursive.Addr()}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, recursive, ns1, ns2
}

func TestAuthorities(t *testing.T) {
	r, recursive, _, _ := world(t)
	recursive.LieType("unhappy.example.org", "NS", dnstest.ServFail)
	for _, test := range []struct{ name, want string }{
		{"s1._domainkey.example.org", "example.org: ns1.example.org [127.0.0.2] ns2.example.org [127.0.0.3 ::1] ns3.example.org [] lookup ns3.example.org on SERVER: no such host"},
		{"EXAMPLE.org.", "example.org: ns1.example.org [127.0.0.2] ns2.example.org [127.0.0.3 ::1] ns3.example.org [] lookup ns3.example.org on SERVER: no such host"},
		// The servers of what a name is an alias of are not its own.
		{"host.sub.example.org", "example.org: ns1.example.org [127.0.0.2] ns2.example.org [127.0.0.3 ::1] ns3.example.org [] lookup ns3.example.org on SERVER: no such host"},
		{"apex.other.test", "apex.other.test: ns.other.test [] lookup ns.other.test on SERVER: no such host"},
		{"a.nobody.example", "lookup a.nobody.example: no zone of it has name servers"},
		{"deep.unhappy.example.org", "lookup unhappy.example.org on SERVER: server failure"},
		{"a..b", "lookup a..b: no zone of it has name servers"},
	} {
		zone, servers, err := r.Authorities(t.Context(), test.name)
		got := zone + ":"
		for _, s := range servers {
			got += fmt.Sprint(" ", s.Host, " ", s.Addrs)
			if s.Err != nil {
				got += " " + s.Err.Error()
			}
		}
		if err != nil {
			got = err.Error()
		}
		got = strings.ReplaceAll(got, recursive.Addr(), "SERVER")
		if got != test.want {
			t.Errorf("%s: %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestAskAuthority(t *testing.T) {
	r, recursive, ns1, ns2 := world(t)
	at := func(s *dnstest.Server) netip.AddrPort { return netip.MustParseAddrPort(s.Addr()) }
	const zone, name = "example.org", "s1._domainkey.example.org"
	long := "[" + strings.Repeat("k", 3000) + "]"
	ns2.Lie("servfail._domainkey.example.org", dnstest.ServFail)
	ns2.Lie("refused._domainkey.example.org", dnstest.Refused)
	for _, test := range []struct {
		label       string
		server      *dnstest.Server
		lies        []dnstest.Lie
		name        string
		want, fails string
	}{
		{"records", ns1, nil, name, "[v=DKIM1; p=AAAA] 10m0s 1m30s ", ""},
		{"upper case", ns1, nil, "S1._DomainKey.example.org.", "[v=DKIM1; p=AAAA] 10m0s 1m30s ", ""},
		{"no such name", ns1, nil, "s2._domainkey.example.org", "[] 0s 1m30s ", ""},
		{"no such records", ns1, nil, "_domainkey.example.org", "[] 0s 1m30s ", ""},
		{"alias in the zone", ns1, nil, "alias._domainkey.example.org", "[v=DKIM1; p=AAAA] 1m0s 1m30s ", ""},
		{"alias out of it", ns1, nil, "foreign._domainkey.example.org", "[] 0s 1m30s s1.provider.test", ""},
		{"over TCP", ns1, nil, "long._domainkey.example.org", long + " 5m0s 1m30s ", ""},
		{"no EDNS", ns1, []dnstest.Lie{dnstest.NoEDNS}, name, "[v=DKIM1; p=AAAA] 10m0s 1m30s ", ""},
		{"forged over UDP", ns1, []dnstest.Lie{dnstest.OverUDP(dnstest.WrongID)}, name, "[v=DKIM1; p=AAAA] 10m0s 1m30s ", ""},
		{"forged always", ns1, []dnstest.Lie{dnstest.WrongID}, name, "", "does not match the question"},
		{"garbage", ns1, []dnstest.Lie{dnstest.Garbage}, name, "", "does not match"},
		{"server failure", ns2, nil, "servfail._domainkey.example.org", "", "server failure"},
		{"refused", ns2, nil, "refused._domainkey.example.org", "", "refused"},
		{"no authority", recursive, nil, "silent.test", "", "not an authority"},
	} {
		if test.lies != nil {
			test.server.Lie(test.name, test.lies...)
		}
		a, err := r.AskAuthority(t.Context(), at(test.server), zone, test.name)
		got := fmt.Sprint(a.Texts, " ", a.TTL, " ", a.NegativeTTL, " ", a.Alias)
		switch {
		case test.fails != "":
			var dnsErr *net.DNSError
			if !errors.As(err, &dnsErr) || !strings.Contains(err.Error(), test.fails) || dnsErr.IsNotFound {
				t.Errorf("%s: error %v, expected one with %q", test.label, err, test.fails)
			}
		case err != nil || got != test.want:
			t.Errorf("%s: %.80s, %v\nwant %.80s", test.label, got, err, test.want)
		}
	}
	ns1.Honest()

	// Nothing of it is remembered, and the recursive server is not asked.
	before := recursive.Total()
	for range 2 {
		r.AskAuthority(t.Context(), at(ns1), zone, name)
	}
	if n := recursive.Total(); n != before {
		t.Errorf("the recursive server was asked %d times", n-before)
	}
	asked := ns1.Count(name, "TXT")
	r.AskAuthority(t.Context(), at(ns1), zone, name)
	if ns1.Count(name, "TXT") != asked+1 {
		t.Error("an answer came out of a cache")
	}
}

// TestAskAuthorityEnds: neither a silent server nor an asker that goes away is
// waited for.
func TestAskAuthorityEnds(t *testing.T) {
	r, _, ns1, _ := world(t)
	ns1.Lie("*", dnstest.Drop)
	at := netip.MustParseAddrPort(ns1.Addr())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.AskAuthority(ctx, at, "example.org", "a.example.org"); !errors.Is(err, context.Canceled) {
		t.Errorf("the asker went away: %v", err)
	}
	hasty, err := New(Options{Servers: []string{"127.0.0.1:1"}, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var late net.Error
	if _, err := hasty.AskAuthority(t.Context(), at, "example.org", "a.example.org"); !errors.As(err, &late) {
		t.Errorf("silence: %v", err)
	}
	if n := ns1.Count("a.example.org", "TXT"); n > 2 { // the server may not have come to the last one
		t.Errorf("asked %d times, expected 2 at most", n)
	}
	hasty.Close()
	if _, err := hasty.AskAuthority(t.Context(), at, "example.org", "b.example.org"); err == nil {
		t.Error("a closed resolver still asks")
	}
	if _, err := r.AskAuthority(t.Context(), at, "example.org", "a..org"); err == nil {
		t.Error("a name that no query can carry")
	}
	if ns1.Count("b.example.org", "TXT") != 0 {
		t.Error("the closed resolver asked")
	}
}
