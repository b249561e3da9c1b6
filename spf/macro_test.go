package spf

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// expander is a check in the situation of RFC 7208, section 7.4.
func expander(z *zone, ip string) *check {
	return &check{
		ctx:        nil, // set by the tests that look names up
		v:          &Verifier{Resolver: z, Now: func() time.Time { return time.Unix(1700000000, 0) }},
		ip:         netip.MustParseAddr(ip),
		sender:     mailbox{local: "strong-bad", domain: "email.example.com"},
		helo:       "mx.example.org",
		receiver:   "mail.receiver.test",
		maxLookups: 10, maxVoids: 2, maxMX: 10, maxPTR: 10,
	}
}

func TestMacros(t *testing.T) {
	z := zoneOf(`
		3.2.0.192.in-addr.arpa PTR mx.example.org
		3.2.0.192.in-addr.arpa PTR a.email.example.com
		mx.example.org A 192.0.2.3
		a.email.example.com A 192.0.2.3`)
	tests := []struct{ ip, in, want string }{
		// RFC 7208, section 7.4.
		{"192.0.2.3", "%{s}", "strong-bad@email.example.com"},
		{"192.0.2.3", "%{o}", "email.example.com"},
		{"192.0.2.3", "%{d}", "email.example.com"},
		{"192.0.2.3", "%{d4}", "email.example.com"},
		{"192.0.2.3", "%{d3}", "email.example.com"},
		{"192.0.2.3", "%{d2}", "example.com"},
		{"192.0.2.3", "%{d1}", "com"},
		{"192.0.2.3", "%{dr}", "com.example.email"},
		{"192.0.2.3", "%{d2r}", "example.email"},
		{"192.0.2.3", "%{l}", "strong-bad"},
		{"192.0.2.3", "%{l-}", "strong.bad"},
		{"192.0.2.3", "%{lr}", "strong-bad"},
		{"192.0.2.3", "%{lr-}", "bad.strong"},
		{"192.0.2.3", "%{l1r-}", "strong"},
		{"192.0.2.3", "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
		{"192.0.2.3", "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
		{"192.0.2.3", "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"},
		{"192.0.2.3", "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"},
		{"192.0.2.3", "%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"},
		{"2001:db8::cb01", "%{ir}.%{v}._spf.%{d2}",
			"1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com"},

		{"192.0.2.3", "%{h}", "mx.example.org"},
		{"192.0.2.3", "%{p}", "a.email.example.com"}, // below the domain, so before mx.example.org
		{"192.0.2.3", "a%%b%_c%-d.test", "a%b c%20d.test"},
		{"192.0.2.3", "%{i2}.test", "2.3.test"},
		{"192.0.2.3", "%{S}.test", "strong-bad%40email.example.com.test"},
		{"192.0.2.3", "%{D2R}", "example.email"},
		{"192.0.2.3", "%{l1-+,/_=}.test", "bad.test"},
		{"192.0.2.3", "%{d-}", "email.example.com"}, // "." is no delimiter then
		{"192.0.2.3", "%{d1-}", "email.example.com"},
		{"192.0.2.3", "%{d128}", "email.example.com"},
		{"192.0.2.3", "%{d0002}", "example.com"},
		{"192.0.2.3", "%{d}.", "email.example.com"},
	}
	for _, test := range tests {
		c := expander(z, test.ip)
		c.ctx = t.Context()
		got, err := c.expandName(test.in, "email.example.com")
		if got != test.want || err != nil {
			t.Errorf("%s for %s: %q, %v, want %q", test.in, test.ip, got, err, test.want)
		}
	}
	texts := []struct{ ip, in, want string }{
		{"192.0.2.3", "%{c} %{r} %{t}.", "192.0.2.3 mail.receiver.test 1700000000."},
		{"2001:db8::cb01", "%{c}", "2001:db8::cb01"},
		{"192.0.2.3", "See http://%{d}/why.html?s=%{S}&i=%{I}", "See http://email.example.com/why.html?s=strong-bad%40email.example.com&i=192.0.2.3"},
	}
	for _, test := range texts {
		got, err := expander(z, test.ip).expandText(test.in, "email.example.com")
		if got != test.want || err != nil {
			t.Errorf("%s for %s: %q, %v, want %q", test.in, test.ip, got, err, test.want)
		}
	}
}

func TestMacroSyntax(t *testing.T) {
	tests := map[string]string{
		"%{d2147483648}":           problemDigits, // hMailServer's overflow
		"%{d18446744073709551618}": problemDigits,
		"%{d129}":                  problemDigits,
		"%{d0}":                    problemDigits,
		"%{d000}":                  problemDigits,
		"%{d-1}":                   problemBrace,
		"%{d1rr}":                  problemBrace,
		"%{dr1}":                   problemBrace,
		"%{d":                      problemBrace,
		"%{d2":                     problemBrace,
		"%{d.":                     problemBrace,
		"%{d;}":                    problemBrace,
		"%{d }":                    problemBrace,
		"%{":                       problemLetter,
		"%{}":                      problemLetter,
		"%{a}":                     problemLetter,
		"%{1}":                     problemLetter,
		"%{\x00}":                  problemLetter,
		"%{\xe4}":                  problemLetter,
		"%":                        problemMacro,
		"%d":                       problemMacro,
		"%(d)":                     problemMacro,
		"100%":                     problemMacro,
		"%{c}":                     problemTextLetter,
		"%{R}":                     problemTextLetter,
		"%{t}":                     problemTextLetter,
	}
	for in, want := range tests {
		if got := checkMacros("x"+in, true); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if got := checkMacros("x"+in, false); got != want && want != problemTextLetter {
			t.Errorf("%q in a text: %q, want %q", in, got, want)
		}
	}
}

// The domain of %{d} is the one of the record the macro stands in, %{o} stays the
// sender's.
func TestMacrosInsideIncludeAndRedirect(t *testing.T) {
	z := zoneOf(`
		a.test TXT v=spf1 include:b.test redirect=c.test
		b.test TXT v=spf1 exists:%{d}.by.%{o}
		c.test TXT v=spf1 -exists:%{d}.by.%{o} exp=%{d}.exp.%{o}
		c.test.by.a.test A 127.0.0.1
		c.test.exp.a.test TXT %{d} says no to %{o}`)
	v := &Verifier{Resolver: z, Explain: true}
	res, err := v.CheckMailFrom(t.Context(), Args{IP: client4, MailFrom: "user@a.test"})
	if res.Status != Fail || err != nil || res.Explanation != "c.test says no to a.test" || res.RecordDomain != "c.test" {
		t.Errorf("%+v, %v", res, err)
	}
	if want := "A b.test.by.a.test"; z.asked[2] != want {
		t.Errorf("asked %q, want %q third", z.asked, want)
	}
}

// Long expansions are cut from the left, label by label, and never held whole.
func TestLongNames(t *testing.T) {
	label := strings.Repeat("x", 49) // with its dot 50 bytes
	for n := 1; n < 100; n++ {
		c := expander(newZone(), "192.0.2.3")
		c.sender.local = label
		got, err := c.expandName(strings.Repeat("%{l}.", n)+"example.com", "a.test")
		if want := strings.Repeat(label+".", min(n, 4)) + "example.com"; got != want || err != nil {
			t.Fatalf("%d labels: %q, %v, want %q", n, got, err, want)
		}
		if cap(c.buf) > 8*maxName {
			t.Fatalf("%d labels: buffer of %d bytes", n, cap(c.buf))
		}
	}
	for _, spec := range []string{
		strings.Repeat("%{l}", 100) + ".test", // one label of 4900 bytes
		strings.Repeat("%{l}", 100),
		strings.Repeat("y", 254),
	} {
		c := expander(newZone(), "192.0.2.3")
		c.sender.local = label
		if name, ok, err := c.target(spec, "a.test"); ok && name != "test" || len(name) > maxName || err != nil {
			t.Errorf("%.20s: %q, %t, %v", spec, name, ok, err)
		}
	}
}

// What a client says in HELO or a local-part never gets into a query or an
// explanation as anything but printable ASCII.
func TestHostileMacroValues(t *testing.T) {
	z := zoneOf(`
		h.test TXT v=spf1 exists:%{h}.x.test include:%{h}.y.test -all exp=e.test
		l.test TXT v=spf1 exists:%{l}.x.test include:%{s}.y.test -all exp=e.test
		e.test TXT %{h} %{l}`)
	v := &Verifier{Resolver: z, Explain: true}
	for _, helo := range []string{"a\r\nX-Spam: no", "a\x00.b", "\xff\xfe", "用 户", "a\x7f", "\x1b[2J"} {
		z.asked = nil
		res, err := v.CheckMailFrom(t.Context(), Args{IP: client4, Helo: helo, MailFrom: "user@h.test"})
		checkInvariants(t, res, err)
		for _, q := range z.asked {
			if q != "TXT h.test" && q != "TXT e.test" {
				t.Errorf("HELO %q: asked %q", helo, q)
			}
		}
		if res.Explanation != "" {
			t.Errorf("HELO %q: explanation %q", helo, res.Explanation)
		}
	}
	// RFC 8616, section 4: a term with a local-part beyond ASCII does not match.
	z.asked = nil
	res, err := v.CheckMailFrom(t.Context(), Args{IP: client4, Helo: "h.test", MailFrom: "用户@l.test"})
	checkInvariants(t, res, err)
	if res.Status != Fail || res.Lookups != 2 || len(z.asked) != 2 {
		t.Errorf("%+v, %v, asked %q", res, err, z.asked)
	}
	// A HELO name of U-labels is a name.
	z = zoneOf("u.test TXT v=spf1 exists:%{h} -all\nxn--bcher-kva.example A 127.0.0.1")
	v = &Verifier{Resolver: z}
	res, err = v.CheckMailFrom(t.Context(), Args{IP: client4, Helo: "bücher.example", MailFrom: "user@u.test"})
	if res.Status != Pass || err != nil {
		t.Errorf("%+v, %v, asked %q", res, err, z.asked)
	}
}

func TestExplanations(t *testing.T) {
	tests := map[string]struct{ zone, record, want string }{
		"plain":                  {"e.test TXT Go away.", "v=spf1 -all exp=e.test", "Go away."},
		"too long":               {"e.test TXT " + strings.Repeat("x", maxExplanation+1), "v=spf1 -all exp=e.test", ""},
		"grows too long":         {"e.test TXT " + strings.Repeat("%{s}", 2000), "v=spf1 -all exp=e.test", ""},
		"beyond ASCII":           {"e.test TXT é", "v=spf1 -all exp=e.test", ""},
		"line end":               {"e.test TXT a\tb", "v=spf1 -all exp=e.test", ""},
		"bad macro":              {"e.test TXT 100%", "v=spf1 -all exp=e.test", ""},
		"not for softfail":       {"e.test TXT no", "v=spf1 ~all exp=e.test", ""},
		"not the included one":   {"e.test TXT no\ni.test TXT v=spf1 +all exp=e.test", "v=spf1 -include:i.test", ""},
		"malformed name":         {"e.test TXT no", "v=spf1 -all exp=a..test", ""},
		"look-ups are used up":   {"e.test TXT no, %{p}\na.test A 203.0.113.1", "v=spf1" + strings.Repeat(" a:a.test", 10) + " -all exp=e.test", "no, unknown"},
		"all voids are used up":  {"", "v=spf1 a:a.test a:b.test -all exp=e.test", ""},
		"two records":            {"e.test TXT a\ne.test TXT b", "v=spf1 -all exp=e.test", ""},
		"upper case letter P":    {"e.test TXT %{P}", "v=spf1 -all exp=e.test", "unknown"},
		"SPF record as a text":   {"", "v=spf1 -all exp=example.org", "v=spf1 -all exp=example.org"},
		"expansion in the name":  {"1.2.0.192.e.test TXT %{c}", "v=spf1 -all exp=%{ir}.e.test", "192.0.2.1"},
		"DNS failure":            {"e.test FAIL", "v=spf1 -all exp=e.test", ""},
		"redirect has its own":   {"e.test TXT no\nr.test TXT v=spf1 -all", "v=spf1 redirect=r.test exp=e.test", ""},
		"a macro nobody expands": {"e.test TXT %{l", "v=spf1 -all exp=e.test", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			res, err := checkRecord(t, zoneOf(test.zone), test.record)
			if res.Explanation != test.want || err != nil {
				t.Errorf("explanation %q, want %q; %+v, %v", res.Explanation, test.want, res, err)
			}
		})
	}

	// Off by default, and then not asked for.
	z := zoneOf("example.org TXT v=spf1 -all exp=e.test\ne.test TXT no")
	res, err := (&Verifier{Resolver: z}).CheckMailFrom(t.Context(), Args{IP: client4, MailFrom: "user@example.org"})
	if res.Status != Fail || res.Explanation != "" || err != nil || len(z.asked) != 1 {
		t.Errorf("%+v, %v, asked %q", res, err, z.asked)
	}
}
