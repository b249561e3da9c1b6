package spf

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParse(t *testing.T) {
	const record = "V=spf1 +A mx/24 ?a:a.test/0//0 -MX:%{d}//64 ip4:192.0.2.7/24 ip6:2001:DB8::/32 " +
		"~include:_spf.example.net ptr ptr:b.test. exists:%{ir}.c.test x-y=%{c} exp=e.test redirect=r.test -all  "
	directive := func(q Qualifier, m Mechanism, text string, change func(*Directive)) Directive {
		d := Directive{Qualifier: q, Mechanism: m, Bits4: 32, Bits6: 128, Text: text}
		if change != nil {
			change(&d)
		}
		return d
	}
	want := &Record{
		Directives: []Directive{
			directive(Plus, MechA, "+A", nil),
			directive(Plus, MechMX, "mx/24", func(d *Directive) { d.Bits4 = 24 }),
			directive(Question, MechA, "?a:a.test/0//0", func(d *Directive) { d.Domain, d.Bits4, d.Bits6 = "a.test", 0, 0 }),
			directive(Minus, MechMX, "-MX:%{d}//64", func(d *Directive) { d.Domain, d.Bits6 = "%{d}", 64 }),
			directive(Plus, MechIP4, "ip4:192.0.2.7/24", func(d *Directive) { d.Network = netip.MustParsePrefix("192.0.2.7/24") }),
			directive(Plus, MechIP6, "ip6:2001:DB8::/32", func(d *Directive) { d.Network = netip.MustParsePrefix("2001:db8::/32") }),
			directive(Tilde, MechInclude, "~include:_spf.example.net", func(d *Directive) { d.Domain = "_spf.example.net" }),
			directive(Plus, MechPTR, "ptr", nil),
			directive(Plus, MechPTR, "ptr:b.test.", func(d *Directive) { d.Domain = "b.test." }),
			directive(Plus, MechExists, "exists:%{ir}.c.test", func(d *Directive) { d.Domain = "%{ir}.c.test" }),
			directive(Minus, MechAll, "-all", nil),
		},
		Redirect:    "r.test",
		Explanation: "e.test",
		Modifiers:   []Modifier{{Name: "x-y", Value: "%{c}"}},
	}
	got, err := Parse(record)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	const canonical = "v=spf1 a mx/24 ?a:a.test/0//0 -mx:%{d}//64 ip4:192.0.2.7/24 ip6:2001:db8::/32 " +
		"~include:_spf.example.net ptr ptr:b.test. exists:%{ir}.c.test -all redirect=r.test exp=e.test x-y=%{c}"
	if s := got.String(); s != canonical {
		t.Errorf("String: %s\nwant    %s", s, canonical)
	}
}

func TestSyntaxErrors(t *testing.T) {
	tests := map[string]string{
		"moo":                             problemUnknown,
		"":                                "",
		"+":                               problemUnknown,
		"-+all":                           problemUnknown,
		"all:example.org":                 problemArgument,
		"all/8":                           problemArgument,
		"all.":                            problemUnknown,
		"ip4":                             problemNetwork4,
		"ip4:":                            problemNetwork4,
		"ip4:192.0.2":                     problemNetwork4,
		"ip4:192.0.2.256":                 problemNetwork4,
		"ip4:192.0.2.01":                  problemNetwork4,
		"ip4:2001:db8::1":                 problemNetwork4,
		"ip4:::ffff:192.0.2.1":            problemNetwork4,
		"ip4:192.0.2.1:25":                problemNetwork4,
		"ip4:192.0.2.0/33":                problemPrefix,
		"ip4:192.0.2.0/024":               problemPrefix,
		"ip4:192.0.2.0/":                  problemPrefix,
		"ip4:192.0.2.0//24":               problemPrefix,
		"ip4:192.0.2.0/24/24":             problemPrefix,
		"ip4:192.0.2.0/+4":                problemPrefix,
		"ip4/24":                          problemNetwork4,
		"ip6:192.0.2.1":                   problemNetwork6,
		"ip6:fe80::1%eth0":                problemNetwork6,
		"ip6:2001:db8::/129":              problemPrefix,
		"ip6:2001:db8::/0064":             problemPrefix,
		"ip6:2001:db8::/1000":             problemPrefix,
		"ip6:2001:db8":                    problemNetwork6,
		"a:":                              problemDomain,
		"a:/24":                           problemDomain,
		"a/33":                            problemPrefix,
		"a//129":                          problemPrefix,
		"a/024":                           problemPrefix,
		"a///64":                          problemArgument,
		"a/24/64":                         problemPrefix,
		"a/24/24":                         problemArgument,
		"a/":                              problemArgument,
		"a:museum":                        problemTop,
		"a:museum.":                       problemTop,
		"a:a.test..":                      problemTop,
		"a:.":                             problemTop,
		"a:192.0.2.1":                     problemTop,
		"a:a.123":                         problemTop,
		"a:a.-b":                          problemTop,
		"a:a.b-":                          problemTop,
		"a:a.b_c":                         problemTop,
		"a:example.org:25":                problemTop,
		"a:%{d}org":                       problemTop,
		"a:%{d}.":                         problemTop,
		"mx:%":                            problemMacro,
		"mx:%{t}.test":                    problemTextLetter,
		"ptr/24":                          problemArgument,
		"ptr:":                            problemDomain,
		"include":                         problemDomain,
		"include:":                        problemDomain,
		"include/24":                      problemArgument,
		"include:a.test/24":               problemTop,
		"exists":                          problemDomain,
		"exists:a.test/24":                problemTop,
		"redirect:a.test":                 problemUnknown,
		"redirect=":                       problemDomain,
		"redirect=-all":                   problemTop,
		"redirect=a.test redirect=a.test": problemTwice,
		"exp=":                            problemDomain,
		"exp=a.test EXP=b.test":           problemTwice,
		"-exp=a.test":                     problemName,
		"=all":                            problemName,
		"1up=x":                           problemName,
		"a/b=c":                           problemArgument,
		"x$=y":                            problemName,
		"x=%":                             problemMacro,
		"x=100%{z}":                       problemLetter,
		"a:a.test\tmx":                    problemByte,
		"a:a.test\r\nmx":                  problemByte,
		"a:a.test\x00":                    problemByte,
		"a:é.test":                        problemByte,
		"a:a.test\x7f":                    problemByte,

		// Fine, odd as they look.
		"ip4=192.0.2.1":      "", // an unknown modifier
		"all=yes":            "",
		"x=":                 "",
		"a:%{d}":             "",
		"a:a.test/b.test":    "",
		"a:a:b.test":         "",
		"a:\"(',\\@.test":    "",
		"a:.test":            "", // an empty label: no match later on
		"a:a..test":          "",
		"a:a.1-2":            "",
		"a:a.test./24":       "",
		"a:%{d}%%":           "",
		"ip6:::ffff:1.2.3.4": "",
		"redirect=%{d}":      "",
	}
	for term, problem := range tests {
		record := "v=spf1 " + term + " ?all"
		r, err := Parse(record)
		if problem == "" {
			if err != nil {
				t.Errorf("%q: %v", record, err)
			}
			continue
		}
		s, ok := errors.AsType[*SyntaxError](err)
		if r != nil || !ok || s.Problem != problem || !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %v, want %s", record, err, problem)
		}
	}
	for _, record := range []string{"", "v=spf10", "v=spf1\tall", "v=spf", " v=spf1", "v=spf1all", "spf2.0/pra +all", "v = spf1"} {
		if _, err := Parse(record); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %v", record, err)
		}
	}
	long := "v=spf1 " + strings.Repeat("moo\x1b", 1000)
	if _, err := Parse(long); len(err.Error()) > 2000 || strings.ContainsRune(err.Error(), '\x1b') {
		t.Errorf("error text %.100q of %d bytes", err, len(err.Error()))
	}
}
