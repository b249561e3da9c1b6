package opendkim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// TestHosts: what becomes of the forms of opendkim.conf(5), PeerList, and of those
// that people write.
func TestHosts(t *testing.T) {
	for i, c := range []struct {
		list   string // csl:, or a refile where it has *
		refile bool
		want   string
		report string // "" for nothing left behind
	}{
		{"127.0.0.1", false, "127.0.0.1/32", ""},
		{"127.0.0.1, 2001:DB8::1,192.0.2.0/24", false, "127.0.0.1/32 192.0.2.0/24 2001:db8::1/128", ""},
		{"localhost", false, "127.0.0.1/32 ::1/128", ""},
		{"192.0.2.0/24,!192.0.2.128/25", false, "192.0.2.0/25", ""},
		{"!192.0.2.128/25,192.0.2.0/24,192.0.2.200", false, "192.0.2.0/25 192.0.2.200/32", ""},
		{"192.0.2.0/24,!192.0.2.0/24", false, "", ""},
		{"192.0.2.7,!192.0.2.7/32", false, "192.0.2.7/32", ""},
		{"192.0.2.0/24,192.0.2.0/25,192.0.2.3", false, "192.0.2.0/24", ""},
		{"192.0.2.0/30,!192.0.2.2", false, "192.0.2.0/31 192.0.2.3/32", ""},
		{"127.0.0.1,2001:db8::/32,!2001:db8:8000::/33", false, "127.0.0.1/32 2001:db8::/33", ""},
		{"127.0.0.1,[2001:db8::1]", false, "127.0.0.1/32", "does not find it with its brackets"},
		{"[192.0.2.1]/24", false, "", "does not find it with its brackets"},
		{"192.0.2.1/24", false, "", "it matches nobody, because OpenDKIM compares text and writes the network as 192.0.2.0/24"},
		{"192.0.2/24", false, "", "no network; OpenDKIM compares it as text"},
		{"192.0.2.0/024", false, "", "writes the network as 192.0.2.0/24"},
		{"192.0.2.0/33", false, "", "no network"},
		{"a,fe80::1%eth0", false, "", "an address with a zone"},
		{"::ffff:192.0.2.1", false, "", "no kind of data set"},
		{"a, ::ffff:192.0.2.1", false, "", "IPv4 within IPv6"},
		{"a,2001:db8:0:0::1", false, "", "writes the address as 2001:db8::1"},
		{"0.0.0.0/0", false, "", "so much of the world cannot be ours"},
		{"a,::/0", false, "", "so much of the world cannot be ours"},
		{"host.example.org", false, "", "put that of the host into networks.mynetworks"},
		{".example.org", false, "", "put those of the hosts below example.org into networks.mynetworks"},
		{"!host.example.org,127.0.0.1", false, "127.0.0.1/32", ""},
		{"*.example.org", false, "", "* is a pattern in a refile: only"},
		{"1234", false, "", "neither a name nor an address nor a network"},
		{"a b", false, "", "neither a name nor an address nor a network"},
		{"*.example.org", true, "", "the pattern fits that as well"},
		{"10.1.2.*", true, "10.1.2.0/24", ""},
		{"10.*,!10.1.*", true, "10.0.0.0/16 10.2.0.0/15 10.4.0.0/14 10.8.0.0/13 10.16.0.0/12 10.32.0.0/11 10.64.0.0/10 10.128.0.0/9", ""},
		{"10.1.2*", true, "", "a pattern that is no network"},
		{"10.1.02.*", true, "", "a pattern that is no network"},
		{"10.256.*", true, "", "a pattern that is no network"},
		{"!*.example.org", true, "", "an exclusion by pattern"},
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			conf, files := "InternalHosts "+c.list+"\n", map[string]string{}
			if c.refile {
				conf, files["hosts"] = "InternalHosts refile:DIR/hosts\n", strings.ReplaceAll(c.list, ",", "\n")+"\n"
			}
			r, _ := imported(t, conf, files)
			var got []string
			for _, n := range r.Config.MyNetworks {
				got = append(got, n.String())
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: networks %v, want %s\n%s", c.list, got, c.want, r.Report)
			}
			if c.report == "" != r.Whole || !strings.Contains(string(r.Report), c.report) {
				t.Errorf("%s: whole %v, and the report should say %q\n%s", c.list, r.Whole, c.report, r.Report)
			}
		})
	}
}

// TestPeers: OpenDKIM neither signs nor verifies mail of these hosts; milterd does
// not sign it.
func TestPeers(t *testing.T) {
	for conf, want := range map[string]string{
		"InternalHosts 192.0.2.0/24\nPeerList 192.0.2.128/25\n":          "192.0.2.0/25",
		"InternalHosts 192.0.2.0/24\nPeerList 192.0.2.0/24,!192.0.2.5\n": "192.0.2.5/32",
		"PeerList 127.0.0.1\n": "::1/128",
		"PeerList 10.0.0.1\n":  "",
		"InternalHosts 192.0.2.0/24\nPeerList mail.example.org\nExternalIgnoreList x": "192.0.2.0/24",
	} {
		r, _ := imported(t, conf, nil)
		var got []string
		for _, n := range r.Config.MyNetworks {
			got = append(got, n.String())
		}
		if strings.Join(got, " ") != want || r.Whole {
			t.Errorf("%q: networks %v, want %s; whole %v\n%s", conf, got, want, r.Whole, r.Report)
		}
	}
}

// TestManyExclusions: what would become too many networks is reported.
func TestManyExclusions(t *testing.T) {
	var b strings.Builder
	b.WriteString("10.0.0.0/8\n")
	for i := range 200 {
		fmt.Fprintf(&b, "!10.%d.7.7\n", i)
	}
	r, _ := imported(t, "InternalHosts file:DIR/hosts\n", map[string]string{"hosts": b.String()})
	if r.Whole || !strings.Contains(string(r.Report), "the exclusions split the networks of this list into more than 1000") || r.Config.MyNetworks != nil || bytes.Contains(r.YAML, []byte("mynetworks")) {
		t.Errorf("%d networks\n%s", len(r.Config.MyNetworks), r.Report)
	}
}

// TestCombine compares the networks with what the most exact rule says of addresses
// by chance.
func TestCombine(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var rules []hostRule
		for range 1 + rnd.IntN(8) {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rnd.IntN(256))}), 24+rnd.IntN(9)).Masked()
			rank := p.Bits()
			if rank == 32 && rnd.IntN(2) == 0 {
				rank = exact
			}
			rules = append(rules, hostRule{prefix: p, rank: rank, not: rnd.IntN(3) == 0})
		}
		networks, ok := combine(append([]hostRule(nil), rules...))
		if !ok {
			t.Fatal("too many")
		}
		for last := range 256 {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(last)})
			want, best := false, -1
			for _, r := range rules {
				if r.prefix.Contains(addr) && (r.rank > best || r.rank == best && r.not) {
					want, best = !r.not, r.rank
				}
			}
			got := 0
			for _, n := range networks {
				if n.Contains(addr) {
					got++
				}
			}
			if got > 1 || (got == 1) != want {
				t.Fatalf("%s is in %d of %v, want %v; %v", addr, got, networks, want, rules)
			}
		}
	}
}
