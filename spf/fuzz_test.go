package spf

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The grammar of RFC 7208, section 12, as regular expressions: a second opinion
// that shares nothing with the parser. Beyond the RFC's ABNF, from its text: number
// ranges, macro letters c, r, t only outside domain-specs, 1 to 128 parts.
var (
	abnfParts   = `(?:0*(?:[1-9][0-9]?|1[01][0-9]|12[0-8]))?`
	abnfText    = `(?:%\{[slodiphcrtv]` + abnfParts + `r?[-.+,/_=]*\}|%%|%_|%-)`
	abnfExpand  = `(?:%\{[slodiphv]` + abnfParts + `r?[-.+,/_=]*\}|%%|%_|%-)`
	abnfLiteral = `[!-$&-~]`
	abnfTop     = `(?:[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9])`
	abnfSpec    = `(?:` + abnfExpand + `|` + abnfLiteral + `)*(?:\.` + abnfTop + `\.?|` + abnfExpand + `)`
	abnfLen4    = `/(?:[0-9]|[12][0-9]|3[0-2])`
	abnfLen6    = `/(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])`
	abnfOctet   = `(?:[0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])`

	abnfVersion   = regexp.MustCompile(`^(?i:v=spf1)(?: |$)`)
	abnfDirective = regexp.MustCompile(`^(?i:[-+?~]?(?:all|include:` + abnfSpec + `|exists:` + abnfSpec +
		`|(?:a|mx)(?::` + abnfSpec + `)?(?:` + abnfLen4 + `)?(?:/` + abnfLen6 + `)?|ptr(?::` + abnfSpec + `)?` +
		`|ip4:` + abnfOctet + `(?:\.` + abnfOctet + `){3}(?:` + abnfLen4 + `)?|ip6:([0-9a-f:.]+)(?:` + abnfLen6 + `)?))$`)
	abnfModifier = regexp.MustCompile(`^(?i:([a-z][a-z0-9._-]*)=((?:` + abnfText + `|` + abnfLiteral + `)*))$`)
	abnfOnlySpec = regexp.MustCompile(`^(?i:` + abnfSpec + `)$`)
)

// abnfAccepts is Parse, slowly.
func abnfAccepts(record string) bool {
	if !abnfVersion.MatchString(record) {
		return false
	}
	seen := map[string]bool{}
	for i, term := range strings.Split(record, " ") {
		if i == 0 || term == "" {
			continue
		}
		if m := abnfModifier.FindStringSubmatch(term); m != nil {
			name := strings.ToLower(m[1])
			if name == "redirect" || name == "exp" {
				if seen[name] || !abnfOnlySpec.MatchString(m[2]) {
					return false
				}
				seen[name] = true
			}
			continue
		}
		m := abnfDirective.FindStringSubmatch(term)
		if m == nil {
			return false
		}
		if m[1] != "" {
			if ip, err := netip.ParseAddr(m[1]); err != nil || !ip.Is6() {
				return false
			}
		}
	}
	return true
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{
		"v=spf1", "v=spf1 ", "V=SPF1 -ALL", "v=spf10", "v=spf1 a mx ptr -all",
		"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 include:_spf.example.net ~all",
		"v=spf1 ip6:::ffff:1.2.3.4 ip4:1.2.3.4/032 ip4:1.2.3 ip6:fe80::1%eth0",
		"v=spf1 a:a.test/24//64 mx/0//0 ?a//128 -mx:%{d}/32",
		"v=spf1 exists:%{ir}.%{v}.%{l1r-}.lp._spf.%{d2} redirect=%{d1r+-,/_=}.test",
		"v=spf1 a:%{d2147483648}.test", "v=spf1 a:%{d128}.%{d129}.test", "v=spf1 a:%{d0}",
		"v=spf1 exp=a.test exp=b.test", "v=spf1 redirect=-all ?all", "v=spf1 x.y-z_1=%{c}%% 1x=y",
		"v=spf1 a:museum a:museum. a:a.123 a:a.-b a:foo:bar/baz.test a:.test a:a..test",
		"v=spf1 a:a.test\x0dptr -all", "v=spf1 a:\xef\xbb\xbfa.test", "v=spf1 a:\"('\\@.test",
		"v=spf1 %{", "v=spf1 %", "v=spf1 a:%{d", "v=spf1 =", "v=spf1 :", "v=spf1 /", "v=spf1 -",
		"v=spf1 a:a.1-2 a:a.b--c mx:a.b- mx:%%%_%-", "v=spf1 a/24/64 a///64 a/ a//",
		"v=spf1 " + strings.Repeat("a ", 4000), "v=spf1 a:" + strings.Repeat("%{s}", 2000),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		r, err := Parse(txt)
		if want := abnfAccepts(txt); want != (err == nil) {
			t.Fatalf("Parse(%q): %v, the grammar says %t", txt, err, want)
		}
		if err != nil {
			if msg := err.Error(); len(msg) > 2000 || strings.ContainsFunc(msg, unprintable) {
				t.Errorf("Parse(%q): error text %q", txt, msg)
			}
			return
		}
		if n := len(r.Directives) + len(r.Modifiers); n > len(txt)/2 || cap(r.Directives) > len(txt) {
			t.Errorf("%d terms from %d bytes", n, len(txt))
		}
		printed := r.String()
		again, err := Parse(printed)
		if err != nil {
			t.Fatalf("Parse(%q) of %q: %v", printed, txt, err)
		}
		// Nothing but the spelling may change.
		if diff := cmp.Diff(r, again, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.IgnoreFields(Directive{}, "Text")); diff != "" {
			t.Errorf("%q printed as %q: -want +got\n%s", txt, printed, diff)
		}
		if twice := again.String(); twice != printed {
			t.Errorf("%q printed as %q, then as %q", txt, printed, twice)
		}
	})
}

func unprintable(r rune) bool { return r < ' ' || r > '~' }

func FuzzMacro(f *testing.F) {
	for _, spec := range []string{
		"%{s}", "%{l}.%{o}", "%{d2r}.%{ir}.%{v}.arpa", "%{h}.test", "%{p}.test", "%{S}%{H}%{L}.test",
		"%{d2147483648}.test", "%{d128}.%{l1r-+,/_=}", "a%%b%_c%-d.test", "%{d}.", "a..%{h}", ".test",
		strings.Repeat("%{s}.", 200) + "test", strings.Repeat("x", 300) + ".test", "%", "%{", "%{d", "%{c} %{r} %{t}",
	} {
		f.Add(spec, "user", "mail.example.org", "192.0.2.1")
		f.Add(spec, "a-b+c,d/e_f=g.h", "..a..b..", "2001:db8::1")
		f.Add(spec, "用户", "\x00\r\n\xff'\"(", "192.0.2.1")
		f.Add(spec, strings.Repeat("x.", 500), strings.Repeat("y", 3000), "::")
	}
	z := zoneOf("1.2.0.192.in-addr.arpa PTR a.test\n1.2.0.192.in-addr.arpa PTR b\x01.test\na.test A 192.0.2.1")
	f.Fuzz(func(t *testing.T, spec, local, helo, ip string) {
		addr, err := netip.ParseAddr(ip)
		if err != nil || len(spec) > maxRecord {
			return
		}
		c := expander(z, "192.0.2.1")
		c.ctx, c.ip, c.helo, c.sender.local = t.Context(), addr.Unmap().WithZone(""), helo, local
		if checkDomainSpec(spec, false) == "" {
			name, ok, err := c.target(spec, "example.org")
			if err != nil {
				t.Fatalf("%q: %v", spec, err)
			}
			if len(name) > maxName {
				t.Errorf("%q is a name of %d bytes", spec, len(name))
			}
			if ok && strings.ContainsFunc(name, unprintable) {
				t.Errorf("%q is the name %q", spec, name)
			}
			if cap(c.buf) > 4*(maxBuffer+len(spec)+3*len(local)+3*len(helo)) {
				t.Errorf("%q took a buffer of %d bytes", spec, cap(c.buf))
			}
		}
		// The same as an explanation, from the record to the result.
		z := zoneOf("example.org TXT v=spf1 -all exp=e.test")
		z.txt["e.test"] = []string{spec}
		v := &Verifier{Resolver: z, Explain: true}
		res, rerr := v.CheckMailFrom(t.Context(), Args{IP: addr, Helo: helo, MailFrom: "user@example.org"})
		checkInvariants(t, res, rerr)
		if res.Status != Fail || len(res.Explanation) > maxExplanation || res.Explanation != "" && checkMacros(spec, false) != "" {
			t.Errorf("%q: %+v, %v", spec, res, rerr)
		}
	})
}

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)

// A sender is a mailbox of one reading, or it is refused. The reading is checked
// by another way to it: the domain is what follows the last "@", the local-part,
// quoted again, what stands before.
func FuzzMailbox(f *testing.F) {
	for _, s := range []string{
		"user@example.org", "(any@legit.test", "any@legit.test(a.attack.test", "any@legit.test'@any.attack.test",
		"@legit.test,@any.test:'any@attack.test", `"any@legit.test"@attack.test`, `"a\"b\\c"@example.org`, `""@example.org`,
		"@example.org", "user@[192.0.2.1]", "user@a..b", "用户@bücher.example", "any@legit。test", "any@leg\u200bit.test",
		"any@\u212a.test", "a\x00@b.test", "a@b.test\x00c.test", "a@b.test\r\nRCPT TO:<x@y>", "<a@b.test>", "a@b@c.test", "a@-b.test",
		"a@xn--a.test", "a@xn--bcher-kva.example", "a@b.test.", "@[@]", "a..b@c.test", strings.Repeat("a.", 600) + "b@c.test",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		box, err := parseMailbox(s, false)
		if err != nil {
			if box != (mailbox{}) {
				t.Errorf("%q: %v and %+v", s, err, box)
			}
			return
		}
		at := strings.LastIndexByte(s, '@')
		before, domain := s[:at], s[at+1:]
		if quoted, ok := strings.CutPrefix(before, `"`); ok {
			quoted = strings.TrimSuffix(quoted, `"`)
			if unescape(quoted) != box.local {
				t.Errorf("%q: local-part %q", s, box.local)
			}
		} else if before != box.local || strings.ContainsAny(before, "@\"(),:;<>[\\] \t\r\n\x00") {
			t.Errorf("%q: local-part %q", s, box.local)
		}
		if strings.ContainsFunc(box.local, unicode.IsControl) || !utf8.ValidString(box.local) {
			t.Errorf("%q: local-part %q", s, box.local)
		}
		if (box.domain == "") == (box.reason == "") {
			t.Fatalf("%q: %+v", s, box)
		}
		if box.reason != "" {
			return
		}
		if !isName(box.domain) || !hostName.MatchString(box.domain) {
			t.Errorf("%q: domain %q", s, box.domain)
		}
		if isASCII(domain) && strings.ToLower(domain) != box.domain {
			t.Errorf("%q: domain %q", s, box.domain)
		}
	})
}
