package rotation

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/internal/keys"
)

// world is a resolver, and two name servers of example.org on a port of their own.
type world struct {
	recursive, ns1, ns2 *dnstest.Server
	observer            *Observer
	asked               int // fresh resolvers
}

const delegation = "example.org NS ns1.example.net.\nexample.org NS ns2.example.net.\nns1.example.net A 127.0.0.2\nns2.example.net A 127.0.0.3\n"

func newWorld(t *testing.T, delegation string) *world {
	t.Helper()
	w := &world{recursive: dnstest.Start(t, dnstest.Text(t, delegation))}
	w.ns1 = dnstest.StartAt(t, netip.MustParseAddrPort("127.0.0.2:0"), nil)
	port := netip.MustParseAddrPort(w.ns1.Addr()).Port()
	w.ns2 = dnstest.StartAt(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), port), nil)
	w.observer = &Observer{Port: port, Fresh: func() (*dns.Resolver, error) {
		w.asked++
		return dns.New(dns.Options{Servers: []string{w.recursive.Addr()}, Timeout: 5 * time.Second})
	}}
	return w
}

// show puts records into the zone of one server.
func (w *world) show(t *testing.T, s *dnstest.Server, records ...string) {
	t.Helper()
	text := "example.org 600 SOA ns1.example.net. hostmaster.example.org. 1 3600 600 86400 120\nexample.org NS ns1.example.net.\n"
	if s == w.recursive {
		text = delegation
	}
	s.SetZone(t, dnstest.Text(t, text+strings.Join(records, "\n")))
}

func (w *world) showAll(t *testing.T, records ...string) {
	t.Helper()
	for _, s := range []*dnstest.Server{w.recursive, w.ns1, w.ns2} {
		w.show(t, s, records...)
	}
}

// told is a Sight in a line.
func told(s Sight) string {
	text := fmt.Sprint(s.Status, " ", s.TTL)
	for _, v := range s.Views {
		text += ", " + strings.TrimSuffix(fmt.Sprintf("%s %s %s", v.Server, v.Said, v.Detail), " ")
	}
	if s.Err != nil {
		text += ", " + s.Err.Error()
	}
	return text
}

func TestLook(t *testing.T) {
	w := newWorld(t, delegation)
	const name = "s1._domainkey.example.org"
	want := publicRecord("s1")
	txt := func(record string) string { return name + " TXT " + record }
	right := txt(want)
	p := strings.TrimPrefix(want, "v=DKIM1; k=ed25519; p=")
	for _, test := range []struct {
		name                string
		recursive, ns1, ns2 []string
		want                string
	}{
		{"nowhere", nil, nil, nil, "missing 2m0s, ns1.example.net absent, ns2.example.net absent, resolver absent"},
		{"everywhere", []string{right}, []string{right}, []string{right}, "shown 5m0s, ns1.example.net shown, ns2.example.net shown, resolver shown"},
		{"with a short life: its absence lived longer", []string{right}, []string{name + " 30 TXT " + want}, []string{name + " 30 TXT " + want}, "shown 2m0s, ns1.example.net shown, ns2.example.net shown, resolver shown"},
		{"one server does not yet", []string{right}, []string{right}, nil, "missing 5m0s, ns1.example.net shown, ns2.example.net absent, resolver shown"},
		{"the resolver remembers otherwise", nil, []string{right}, []string{right}, "missing 5m0s, ns1.example.net shown, ns2.example.net shown, resolver absent"},
		{"another key", []string{right}, []string{right}, []string{txt(publicRecord("s2"))}, "missing 5m0s, ns1.example.net shown, ns2.example.net differs another key, resolver shown"},
		{"revoked", []string{right}, []string{right}, []string{txt(keys.Revoked(keys.Ed25519))}, "missing 5m0s, ns1.example.net shown, ns2.example.net differs key is revoked, resolver shown"},
		{"two records", []string{right}, []string{right}, []string{right, txt("v=spf1 -all")}, "missing 5m0s, ns1.example.net shown, ns2.example.net differs 2 TXT records, expected one, resolver shown"},
		{"not for mail", []string{right}, []string{right}, []string{txt(want + "; s=other")}, "missing 5m0s, ns1.example.net shown, ns2.example.net differs key is not for mail, resolver shown"},
		{"cut", []string{right}, []string{right}, []string{txt(want[:40])}, "missing 5m0s, ns1.example.net shown, ns2.example.net differs malformed key record: p= is no Ed25519 key, resolver shown"},
		{"written in another way", []string{right}, []string{txt("p=" + p + ";k=ed25519; n=note")}, []string{txt(`"v=DKIM1; k=ed25519;" " p=` + p + `"`)}, "shown 5m0s, ns1.example.net shown, ns2.example.net shown, resolver shown"},
	} {
		w.show(t, w.recursive, test.recursive...)
		w.show(t, w.ns1, test.ns1...)
		w.show(t, w.ns2, test.ns2...)
		s := w.observer.Look(t.Context(), name, want)
		if got := told(s); got != test.want || s.Name != name || s.Record != want {
			t.Errorf("%s: %s\nwant %s", test.name, got, test.want)
		}
	}
}

// TestLookForAnEmptyKey: a retired key is in order when it is taken back.
func TestLookForAnEmptyKey(t *testing.T) {
	w := newWorld(t, delegation)
	const name = "s1._domainkey.example.org"
	empty := keys.Revoked(keys.RSA)
	w.showAll(t, name+" TXT "+empty)
	if s := w.observer.Look(t.Context(), name, empty); s.Status != Shown {
		t.Error(told(s))
	}
	w.showAll(t, name+" TXT "+publicRecord("s1"))
	if s := w.observer.Look(t.Context(), name, empty); s.Status != Missing || s.Views[0].Detail != "the key is still published" {
		t.Error(told(s))
	}
}

// TestLookWithoutAnswers: what cannot be found out is not taken for an absence, nor
// for a presence.
func TestLookWithoutAnswers(t *testing.T) {
	const name = "s1._domainkey.example.org"
	want := publicRecord("s1")
	right := name + " TXT " + want
	for _, test := range []struct {
		name   string
		change func(t *testing.T, w *world)
		status Status
		word   string
	}{
		{"a server fails", func(_ *testing.T, w *world) { w.ns2.Lie("*", dnstest.ServFail) }, Unknown, "ns2.example.net silent server failure"},
		{"a server refuses", func(_ *testing.T, w *world) { w.ns2.Lie("*", dnstest.Refused) }, Unknown, "query refused"},
		{"a server is gone", func(_ *testing.T, w *world) { w.ns2.Close() }, Unknown, "connection refused"},
		{"a server fails, another one denies", func(t *testing.T, w *world) { w.ns2.Lie("*", dnstest.ServFail); w.show(t, w.ns1) }, Missing, "ns1.example.net absent"},
		{"a server has no address", func(_ *testing.T, w *world) { w.recursive.LieType("ns2.example.net", "A", dnstest.NXDomain) }, Unknown, "ns2.example.net silent no address"},
		{"a server is none", func(t *testing.T, w *world) { w.ns2.SetZone(t, dnstest.Text(t, right)) }, Unknown, "not an authority"},
		{"the resolver fails about the key", func(_ *testing.T, w *world) { w.recursive.LieType(name, "TXT", dnstest.ServFail) }, Unknown, "resolver silent"},
		{"the resolver fails about the zone", func(_ *testing.T, w *world) { w.recursive.LieType("example.org", "NS", dnstest.ServFail) }, Unknown, "name servers silent server failure, resolver shown"},
		{"nobody has the zone", func(_ *testing.T, w *world) { w.recursive.LieType("*", "NS", dnstest.NXDomain) }, Unknown, "has name servers"},
		{"large answers over TCP", func(_ *testing.T, w *world) { w.ns2.Lie("*", dnstest.Truncate) }, Shown, ""},
		{"no resolver at all", func(_ *testing.T, w *world) {
			w.observer.Fresh = func() (*dns.Resolver, error) { return nil, syscall.ENOENT }
		}, Unknown, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, delegation)
			w.showAll(t, right)
			test.change(t, w)
			s := w.observer.Look(t.Context(), name, want)
			if got := told(s); s.Status != test.status || !strings.Contains(got, test.word) {
				t.Errorf("%s\nwant %s with %q", got, test.status, test.word)
			}
		})
	}
}

// TestLookBehindAnAlias: where the name is an alias in the zone of somebody else,
// the servers of that zone count.
func TestLookBehindAnAlias(t *testing.T) {
	const name, target = "s1._domainkey.example.org", "s1.provider.test"
	want := publicRecord("s1")
	w := newWorld(t, delegation+"provider.test NS ns2.example.net.\n"+name+" CNAME "+target+".\n"+target+" TXT "+want)
	w.show(t, w.ns1, name+" CNAME "+target+".")
	provider := func(records string) dnstest.Zone {
		return dnstest.Text(t, "example.org SOA ns1.example.net. h.example.org. 1 2 3 4 120\n"+name+" CNAME "+target+".\n"+
			"provider.test 900 SOA ns2.example.net. h.provider.test. 1 2 3 4 900\n"+records)
	}
	w.ns2.SetZone(t, provider(""))
	s := w.observer.Look(t.Context(), name, want)
	if got := told(s); got != "missing 15m0s, ns2.example.net absent, resolver shown" {
		t.Error(got)
	}
	w.ns2.SetZone(t, provider(target+" 60 TXT "+want))
	// The second server serves both zones, so it answers at once.
	if s = w.observer.Look(t.Context(), name, want); s.Status != Shown || s.TTL != 15*time.Minute {
		t.Error(told(s))
	}
	w.ns1.SetZone(t, dnstest.Text(t, "example.org SOA ns1.example.net. h.example.org. 1 2 3 4 120\n"+name+" CNAME b."+name+".\nb."+name+" CNAME "+name+"."))
	w.ns2.Lie("*", dnstest.CNAMELoop)
	if s = w.observer.Look(t.Context(), name, want); s.Status != Unknown {
		t.Error(told(s))
	}
}

func TestLookIsCold(t *testing.T) {
	w := newWorld(t, delegation)
	const name = "s1._domainkey.example.org"
	want := publicRecord("s1")
	w.showAll(t)
	w.observer.Look(t.Context(), name, want)
	w.showAll(t, name+" TXT "+want)
	if s := w.observer.Look(t.Context(), name, want); s.Status != Shown || w.asked != 2 {
		t.Errorf("%s with %d resolvers", told(s), w.asked)
	}
}

// TestSumOfUnreachable: an address that this host has no way to does not stand in
// the way of a server whose other address answers.
func TestSumOfUnreachable(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	noWay := view("ns1", six, "", nil, &net.DNSError{UnwrapErr: syscall.ENETUNREACH})
	shown, absent := View{Server: "ns1", Addr: four, Said: SaysShown}, View{Server: "ns1", Addr: four, Said: SaysAbsent}
	other := View{Server: "ns2", Addr: four, Said: SaysShown}
	resolver := View{Server: "resolver", Said: SaysShown}
	for _, test := range []struct {
		views []View
		want  Status
	}{
		{[]View{shown, noWay, resolver}, Shown},
		{[]View{noWay, resolver}, Unknown},
		{[]View{noWay, other, resolver}, Unknown},
		{[]View{absent, noWay, resolver}, Missing},
		{[]View{resolver}, Unknown},
		{nil, Unknown},
	} {
		if got := sum(test.views); got != test.want {
			t.Errorf("%v: %s, want %s", test.views, got, test.want)
		}
	}
}
