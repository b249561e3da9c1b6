package message

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseDomain(t *testing.T) {
	for _, c := range []struct{ in, want, unicode string }{
		{"example.org", "example.org", "example.org"},
		{"EXAMPLE.Org", "example.org", "example.org"},
		{"localhost", "localhost", "localhost"},
		{"192.0.2.1", "192.0.2.1", "192.0.2.1"}, // syntax only; no name server has it
		{"r3---sn-4g5e6nsz.example", "r3---sn-4g5e6nsz.example", "r3---sn-4g5e6nsz.example"},
		{strings.Repeat("a", 63) + ".example", strings.Repeat("a", 63) + ".example", strings.Repeat("a", 63) + ".example"},
		{"bücher.example", "xn--bcher-kva.example", "bücher.example"},
		{"BÜCHER.example", "xn--bcher-kva.example", "bücher.example"},
		{"XN--BCHER-KVA.Example", "xn--bcher-kva.example", "bücher.example"},
		{"faß.example", "xn--fa-hia.example", "faß.example"}, // not fass.example
		{"r3---sn.bücher.example", "r3---sn.xn--bcher-kva.example", "r3---sn.bücher.example"},
		{"例え.テスト", "xn--r8jz45g.xn--zckzah", "例え.テスト"},
		{"مثال.إختبار", "xn--mgbh0fb.xn--kgbechtv", "مثال.إختبار"},
		{"l\u0435git.example", "xn--lgit-v4d.example", "l\u0435git.example"}, // a Cyrillic е
		{"xn--bbe.example", "xn--bbe.example", "\u13c8.example"},             // Cherokee folds to capitals
		// Joiners only travel as A-labels: UTS #46 lets them where they belong.
		{"xn--11b2ezcw70k.example", "xn--11b2ezcw70k.example", "xn--11b2ezcw70k.example"},
		{"l\u00b7l.example", "xn--ll-0ea.example", "l\u00b7l.example"}, // an exception of RFC 5892
		{"\u13c8.example", "xn--bbe.example", "\u13c8.example"},
	} {
		d, err := ParseDomain(c.in)
		if err != nil || d.String() != c.want {
			t.Errorf("ParseDomain(%q) = %q, %v; want %q", c.in, d, err, c.want)
		}
		if c.unicode != "" && d.Unicode() != c.unicode {
			t.Errorf("ParseDomain(%q).Unicode() = %q, want %q", c.in, d.Unicode(), c.unicode)
		}
	}
}

func TestParseDomainErrors(t *testing.T) {
	for _, c := range []struct {
		in   string
		want error
	}{
		{"", errDomainEmpty},
		{".", ErrTrailingDot},
		{"example.org.", ErrTrailingDot},
		{"example..org", errLabelEmpty},
		{".example.org", errLabelEmpty},
		{"-a.example", errLabelHyphen},
		{"a-.example", errLabelHyphen},
		{strings.Repeat("a", 64) + ".example", errLabelLength},
		{strings.Repeat("a.", 126) + "ab", errDomainLength},
		{strings.Repeat("ü", 2000), errDomainLength},
		{strings.Repeat("ü.", 200) + "ü", ErrDomain},
		{strings.Repeat("ü", 64) + ".example", errLabelIDN},
		{"a_b.example", errDomainByte},
		{"_dmarc.example", errDomainByte},
		{"a b.example", errDomainByte},
		{"legit.example\x00.attack.example", errDomainByte},
		{"legit.example(.attack.example", errDomainByte},
		{"legit'a.attack.example", errDomainByte},
		{"legit.example\r\n", errDomainByte},
		{"legit\u3002example", ErrFullStop},
		{"legit\uff0eexample", ErrFullStop},
		{"legit\uff61example", ErrFullStop},
		{"legit\u2024example", ErrFullStop},
		{"le\u200bgit.example", ErrInvisible},
		{"le\u200dgit.example", ErrInvisible},
		{"le\u00adgit.example", ErrInvisible},
		{"le\u034fgit.example", ErrInvisible},
		{"le\ufe0fgit.example", ErrInvisible},
		{"\u202etigel.example", ErrInvisible},
		{"\ufefflegit.example", ErrInvisible},
		{"\uff4cegit.example", errLabelIDN},   // fullwidth l
		{"\u212aelvin.example", errLabelIDN},  // the Kelvin sign
		{"p\u0130zza.example", errLabelIDN},   // a dotted capital I
		{"fa\u1e9e.example", errLabelIDN},     // a capital ß
		{"le\u017fs.example", errLabelIDN},    // a long s
		{"bu\u0308cher.example", errLabelIDN}, // not composed
		{"\u2764.example", errLabelIDN},       // a symbol: UTS #46 has it, IDNA2008 has not
		{"xn--qei.example", errLabelIDN},      // the same as an A-label
		{"legit\u201aexample", errLabelIDN},   // a low quote that looks like a comma
		{"\u0301a.example", errLabelIDN},      // begins with a mark
		{"\u05d0a.example", errLabelIDN},      // both directions in one label
		{"ab--\u00fc.example", errLabelIDN},   // hyphens in the third and fourth place
		{"xn--paypal-.example", errLabelHyphen},
		{"xn--a.example", errLabelIDN},
		{"xn--.example", errLabelHyphen},
		{"xn--legit-9999999999.example", errLabelIDN},
		{"xn--bcher-KVA0.example", errLabelIDN},
		{"f\xf6.example", errLabelIDN}, // not UTF-8
	} {
		d, err := ParseDomain(c.in)
		if !errors.Is(err, c.want) || !d.IsZero() {
			t.Errorf("ParseDomain(%q) = %q, %v; want %v", c.in, d, err, c.want)
		}
		if !errors.Is(err, ErrDomain) {
			t.Errorf("ParseDomain(%q): %v is not ErrDomain", c.in, err)
		}
	}
}

func mustDomain(t testing.TB, s string) Domain {
	t.Helper()
	d, err := ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDomainTree(t *testing.T) {
	org, sub := mustDomain(t, "example.org"), mustDomain(t, "a.b.example.org")
	other, none := mustDomain(t, "badexample.org"), Domain{}
	for _, c := range []struct {
		name      string
		got, want bool
	}{
		{"a.b.example.org is below example.org", sub.IsSubdomainOf(org), true},
		{"nothing is below itself", org.IsSubdomainOf(org), false},
		{"example.org is not below a.b.example.org", org.IsSubdomainOf(sub), false},
		{"badexample.org is not below example.org", other.IsSubdomainOf(org), false},
		{"nothing is below none", org.IsSubdomainOf(none), false},
		{"none is below nothing", none.IsSubdomainOf(org), false},
		{"none is not below itself", none.IsSubdomainOf(none), false},
		{"HasSuffix itself", org.HasSuffix(org), true},
		{"HasSuffix of a parent", sub.HasSuffix(org), true},
		{"HasSuffix of another", other.HasSuffix(org), false},
		{"HasSuffix of none", org.HasSuffix(none), false},
		{"none HasSuffix none", none.HasSuffix(none), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", c.name, c.got)
		}
	}
	var names []string
	for d, ok := sub, true; ok; d, ok = d.Parent() {
		names = append(names, d.String())
		if d.Labels() != 5-len(names) {
			t.Errorf("%s has %d labels", d, d.Labels())
		}
	}
	if got := strings.Join(names, " "); got != "a.b.example.org b.example.org example.org org" {
		t.Errorf("parents: %s", got)
	}
	if none.Labels() != 0 || none.String() != "" || none.Unicode() != "" {
		t.Error("the zero Domain is not nothing")
	}
}

// FuzzParseDomain holds ParseDomain to what everybody downstream relies on: plain
// lower-case labels in, the same name out, both ways.
func FuzzParseDomain(f *testing.F) {
	for _, seed := range []string{
		"example.org", "EXAMPLE.org.", "bücher.example", "xn--bcher-kva.example", "xn--paypal-.com", "faß.de", "\u212a.com",
		"例え.テスト", "مثال.إختبار", "legit\u3002test", "a\u200bb.c", "legit.test\x00.attack.test", "r3---sn.ü.test",
		"xn--11b2ezcw70k.example", "xn--0.xn--0", "\u2764.ws", strings.Repeat("a.", 127), strings.Repeat("ü", 63), "-.-", "1.2.3.4",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDomain(s)
		if err != nil {
			if !errors.Is(err, ErrDomain) || !d.IsZero() {
				t.Fatalf("ParseDomain(%q) = %q, %v", s, d, err)
			}
			return
		}
		name := d.String()
		if len(name) == 0 || len(name) > 253 || name != strings.ToLower(name) {
			t.Fatalf("ParseDomain(%q) = %q", s, name)
		}
		for label := range strings.SplitSeq(name, ".") {
			if len(label) == 0 || len(label) > 63 || strings.Trim(label, "-") != label ||
				strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Fatalf("ParseDomain(%q) has the label %q", s, label)
			}
		}
		if again, err := ParseDomain(name); err != nil || again != d {
			t.Fatalf("ParseDomain(%q) = %q, which reads as %q, %v", s, d, again, err)
		}
		if again, err := ParseDomain(d.Unicode()); err != nil || again != d {
			t.Fatalf("%q shows as %q, which reads as %q, %v", d, d.Unicode(), again, err)
		}
		if !utf8.ValidString(d.Unicode()) || strings.Count(name, ".") != strings.Count(s, ".") {
			t.Fatalf("ParseDomain(%q) = %q, shown as %q", s, d, d.Unicode())
		}
		if p, ok := d.Parent(); ok && (!d.IsSubdomainOf(p) || p.Labels() != d.Labels()-1) {
			t.Fatalf("the parent of %q is %q", d, p)
		}
	})
}

func BenchmarkParseDomain(b *testing.B) {
	for _, name := range []string{"mail.example.org", "bücher.example", "xn--bcher-kva.example"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseDomain(name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
