package spf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestMechanisms(t *testing.T) {
	z := zoneOf(`
		a.test A 192.0.2.9
		a.test AAAA 2001:db8::9
		m.test MX nx.test.
		m.test MX a.test.
		1.2.0.192.in-addr.arpa PTR Host.Example.ORG.
		host.example.org A 192.0.2.1
		host.example.org AAAA 2001:db8::1
		1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR host.example.org
		pass.test TXT v=spf1 +all
		fail.test TXT v=spf1 -all`)
	const mapped = "::ffff:192.0.2.1"
	tests := []struct {
		ip, record string
		status     Status
		mechanism  string
	}{
		{"192.0.2.1", "v=spf1", Neutral, "default"},
		{"192.0.2.1", "v=spf1 -ip4:192.0.2.1", Fail, "-ip4:192.0.2.1"},
		{"192.0.2.1", "v=spf1 ip4:192.0.2.77/24", Pass, "ip4:192.0.2.77/24"},
		{"192.0.2.1", "v=spf1 ip4:192.0.2.77/32 ?all", Neutral, "?all"},
		{"192.0.2.1", "v=spf1 ip6:::/0 ~all", Softfail, "~all"},
		{"192.0.2.1", "v=spf1 ip6:::ffff:192.0.2.1 -all", Fail, "-all"},
		{mapped, "v=spf1 ip4:192.0.2.1 -all", Pass, "ip4:192.0.2.1"},
		{mapped, "v=spf1 ip6:::ffff:192.0.2.1 -all", Fail, "-all"},
		{mapped, "v=spf1 a:a.test/24 -all", Pass, "a:a.test/24"},
		{"2001:db8::1", "v=spf1 ip4:0.0.0.0/0 -all", Fail, "-all"},
		{"2001:db8::1", "v=spf1 ip6:2001:db8::ffff/112 -all", Pass, "ip6:2001:db8::ffff/112"},
		{"2001:db8::1%eth0", "v=spf1 ip6:2001:db8::1 -all", Pass, "ip6:2001:db8::1"},
		{"192.0.2.1", "v=spf1 a:a.test -all", Fail, "-all"},
		{"192.0.2.1", "v=spf1 a:a.test/28 -all", Pass, "a:a.test/28"},
		{"192.0.2.1", "v=spf1 a:a.test//0 -all", Fail, "-all"},
		{"2001:db8::1", "v=spf1 a:a.test//124 -all", Pass, "a:a.test//124"},
		{"2001:db8::1", "v=spf1 a:a.test/0 -all", Fail, "-all"},
		{"192.0.2.1", "v=spf1 mx:m.test/28 -all", Pass, "mx:m.test/28"},
		{"192.0.2.1", "v=spf1 ptr -all", Pass, "ptr"},
		{"192.0.2.1", "v=spf1 ptr:EXAMPLE.org. -all", Pass, "ptr:EXAMPLE.org."},
		{"192.0.2.1", "v=spf1 ptr:ample.org -all", Fail, "-all"}, // not at a label boundary
		{"2001:db8::1", "v=spf1 ptr -all", Pass, "ptr"},
		{"192.0.2.2", "v=spf1 ptr -all", Fail, "-all"},
		{"2001:db8::1", "v=spf1 exists:a.test -all", Pass, "exists:a.test"},
		{"192.0.2.1", "v=spf1 include:pass.test -all", Pass, "include:pass.test"},
		{"192.0.2.1", "v=spf1 ~include:pass.test -all", Softfail, "~include:pass.test"},
		{"192.0.2.1", "v=spf1 include:fail.test ?all", Neutral, "?all"},
		{"192.0.2.1", "v=spf1 include:fail.test", Neutral, "default"},
		{"192.0.2.1", "v=spf1 redirect=fail.test", Fail, "-all"},
	}
	for _, test := range tests {
		z.txt["example.org"] = []string{test.record}
		res, err := (&Verifier{Resolver: z}).CheckMailFrom(t.Context(),
			Args{IP: netip.MustParseAddr(test.ip), MailFrom: "user@example.org"})
		checkInvariants(t, res, err)
		if res.Status != test.status || res.Mechanism != test.mechanism || err != nil {
			t.Errorf("%s for %s: %s by %q, %v, want %s by %q", test.record, test.ip, res.Status, res.Mechanism, err, test.status, test.mechanism)
		}
	}
}

// RFC 7208, section 2.4 and 4.3: postmaster stands in for a missing local-part.
func TestPostmaster(t *testing.T) {
	z := zoneOf("example.org TXT v=spf1 exists:%{l}.x.test -all\npostmaster.x.test A 127.0.0.1")
	v := &Verifier{Resolver: z}
	for _, from := range []string{"@example.org", `""@example.org`, "postmaster@example.org", ""} {
		res, err := v.CheckMailFrom(t.Context(), Args{IP: client4, Helo: "example.org", MailFrom: from})
		if res.Status != Pass || err != nil || res.Sender != "postmaster@example.org" || res.NullSender != (from == "") {
			t.Errorf("MAIL FROM %q: %+v, %v", from, res, err)
		}
	}
}

func TestNoClientAddress(t *testing.T) {
	z := zoneOf("example.org TXT v=spf1 +all")
	res, err := (&Verifier{Resolver: z}).CheckMailFrom(t.Context(), Args{MailFrom: "user@example.org"})
	if res.Status != None || res.Reason != reasonClient || err != nil || len(z.asked) != 0 {
		t.Errorf("%+v, %v, asked %q", res, err, z.asked)
	}
}

// mx and ptr stop at the first name that matches.
func TestStopsAtMatch(t *testing.T) {
	z := zoneOf("m.test MX a.test\nm.test MX b.test\nm.test MX c.test\na.test A 203.0.113.1\nb.test A 192.0.2.1\n" +
		"1.2.0.192.in-addr.arpa PTR x.other.test\n1.2.0.192.in-addr.arpa PTR b.test")
	if res, err := checkRecord(t, z, "v=spf1 mx:m.test"); res.Status != Pass {
		t.Errorf("%+v, %v", res, err)
	}
	if want := []string{"TXT example.org", "MX m.test", "A a.test", "A b.test"}; !slices.Equal(z.asked, want) {
		t.Errorf("mx asked %q, want %q", z.asked, want)
	}
	z.asked = nil
	if res, err := checkRecord(t, z, "v=spf1 ptr:b.test ptr:b.test"); res.Status != Pass {
		t.Errorf("%+v, %v", res, err)
	}
	if want := []string{"TXT example.org", "PTR 1.2.0.192.in-addr.arpa", "A b.test"}; !slices.Equal(z.asked, want) {
		t.Errorf("ptr asked %q, want %q", z.asked, want)
	}
}

func TestErrorTellsWhere(t *testing.T) {
	z := zoneOf("i.test TXT v=spf1 a:a.test mx:m.test\na.test A 203.0.113.1\nm.test FAIL")
	res, err := checkRecord(t, z, "v=spf1 include:i.test -all")
	e, ok := errors.AsType[*Error](err)
	if !ok || res.Status != TempError || e.Domain != "i.test" || e.Term != "mx:m.test" {
		t.Errorf("%+v, %#v", res, err)
	}
	if want := `DNS look-up failed: "i.test": term "mx:m.test": lookup m.test: SERVFAIL`; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	z = zoneOf("i.test TXT v=spf1 -all a:museum")
	res, err = checkRecord(t, z, "v=spf1 include:i.test -all")
	s, ok := errors.AsType[*SyntaxError](err)
	if !ok || s.Term != "a:museum" || res.Reason != ErrSyntax.Error() {
		t.Errorf("%+v, %#v", res, err)
	}
}

// The trace is what a person reads to see why; this one is the whole of it.
func TestTrace(t *testing.T) {
	var b strings.Builder
	z := zoneOf(`
		example.org TXT v=spf1 ip4:203.0.113.0/24 include:_spf.example.net exists:%{i}.x.test redirect=r.test
		_spf.example.net TXT v=spf1 a:a.test -all
		a.test A 203.0.113.1
		r.test TXT v=spf1 ~all`)
	v := &Verifier{Resolver: z, Trace: func(depth int, format string, args ...any) {
		fmt.Fprintf(&b, strings.Repeat("  ", depth)+format+"\n", args...)
	}}
	if _, err := v.CheckMailFrom(t.Context(), Args{IP: client4, MailFrom: "user@example.org"}); err != nil {
		t.Fatal(err)
	}
	const want = `example.org: "v=spf1 ip4:203.0.113.0/24 include:_spf.example.net exists:%{i}.x.test redirect=r.test"
  ip4:203.0.113.0/24: no match
  include:_spf.example.net: "_spf.example.net" (look-ups 1 of 10)
    _spf.example.net: "v=spf1 a:a.test -all"
      a:a.test: no match (look-ups 2 of 10, void 0 of 2)
      -all: match
    _spf.example.net: fail
  include:_spf.example.net: no match
  exists:%{i}.x.test: "192.0.2.1.x.test": no match (look-ups 3 of 10, void 1 of 2)
  redirect=r.test: "r.test" (look-ups 4 of 10)
    r.test: "v=spf1 ~all"
      ~all: match
    r.test: softfail
example.org: softfail
`
	if b.String() != want {
		t.Errorf("trace\n%s\nwant\n%s", b.String(), want)
	}
}
