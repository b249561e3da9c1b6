package dmarc

import (
	"fmt"
	"strings"
	"testing"

	"milterd/message"
)

// show is a Result in one line.
func show(r Result) string {
	s := string(r.Status)
	if r.Status == Fail {
		s += " " + string(r.Policy.Disposition)
	}
	if !r.AlignedSPF.IsZero() {
		s += " spf:" + r.AlignedSPF.String()
	}
	if !r.AlignedDKIM.IsZero() {
		s += " dkim:" + r.AlignedDKIM.String()
	}
	return s
}

const (
	// The zones of RFC 9989, appendix B.4.
	zoneB41 = "_dmarc.example.com v=DMARC1; p=reject\n_dmarc.signing.example.com v=DMARC1; p=none"
	zoneB43 = "_dmarc.bank.example v=DMARC1; p=reject; psd=y\n_dmarc.giant.bank.example v=DMARC1; p=quarantine"
)

// TestEvaluate: every example of RFC 9989 about alignment, and the rules around.
func TestEvaluate(t *testing.T) {
	for _, c := range []struct {
		name, zone, author, ids string
		want                    string
	}{
		// Section 4.4, table 1.
		{"table 1, row 1", "_dmarc.example.com v=DMARC1; p=reject", "news.example.com", "dkim:foo.example.com", "pass dkim:foo.example.com"},
		{"table 1, row 1, strict", "_dmarc.example.com v=DMARC1; p=reject; adkim=s", "news.example.com", "dkim:foo.example.com", "fail reject"},
		{"table 1, row 2", "_dmarc.example.com v=DMARC1; p=reject; adkim=s", "news.example.com", "dkim:news.example.com", "pass dkim:news.example.com"},
		{"table 1, row 3", "_dmarc.example.com v=DMARC1; p=reject\n_dmarc.example.net v=DMARC1", "news.example.com", "dkim:foo.example.net", "fail reject"},

		// Section 4.4.1: any of several signatures.
		{"several signatures", "_dmarc.example.com v=DMARC1; p=reject", "example.com", "dkim:example.net dkim:mail.example.com dkim:example.com", "pass dkim:example.com"},
		// Section 4.10: comparisons regardless of case.
		{"case", "_dmarc.example.com v=DMARC1; p=reject; aspf=s", "Example.COM", "spf:eXample.com", "pass spf:example.com"},

		// Appendix B.1.1 and B.1.2.
		{"B.1.1, example 1", "_dmarc.example.com v=DMARC1; p=reject; aspf=s", "example.com", "spf:example.com", "pass spf:example.com"},
		{"B.1.1, example 2", "_dmarc.example.com v=DMARC1; p=reject", "example.com", "spf:child.example.com", "pass spf:child.example.com"},
		{"B.1.1, example 3", "_dmarc.example.com v=DMARC1; p=reject", "child.example.com", "spf:example.net", "fail reject"},
		{"B.1.2, example 1", "_dmarc.example.com v=DMARC1; p=reject; adkim=s", "example.com", "dkim:example.com", "pass dkim:example.com"},
		{"B.1.2, example 2", "_dmarc.example.com v=DMARC1; p=reject", "child.example.com", "dkim:example.com", "pass dkim:example.com"},
		{"B.1.2, example 3", "_dmarc.example.com v=DMARC1; p=reject", "child.example.com", "dkim:example.net", "fail reject"},

		// Appendix B.4.
		{"B.4.1", zoneB41, "example.com", "spf:example.com dkim:signing.example.com", "pass spf:example.com dkim:signing.example.com"},
		{"B.4.2", zoneB41, "a.b.c.d.e.f.g.h.i.j.k.example.com", "spf:example.com dkim:signing.example.com", "pass spf:example.com dkim:signing.example.com"},
		{"B.4.3", zoneB43, "giant.bank.example", "spf:mail.giant.bank.example dkim:mail.mega.bank.example", "pass spf:mail.giant.bank.example"},
		{"B.4.3, only DKIM", zoneB43, "giant.bank.example", "dkim:mail.mega.bank.example", "fail quarantine"},
		{"B.4.3, below the PSD without record", zoneB43, "mega.bank.example", "spf:mail.mega.bank.example", "pass spf:mail.mega.bank.example"},
		{"B.4.3, other way round", zoneB43, "mail.mega.bank.example", "spf:giant.bank.example", "fail reject"},
		{"the PSD does not vouch for who is below", zoneB43, "giant.bank.example", "dkim:bank.example", "fail quarantine"},
		{"nor they for it", zoneB43, "bank.example", "dkim:giant.bank.example dkim:mega.bank.example", "fail reject"},

		// Section 11.8: an Organizational Domain of its own is no part of its parent's.
		{"11.8", "_dmarc.mail.example.com v=DMARC1; p=reject; psd=n\n_dmarc.example.com v=DMARC1; p=reject", "evil.example.com", "dkim:mail.example.com", "fail reject"},
		{"11.8, from below", "_dmarc.mail.example.com v=DMARC1; p=reject; psd=n\n_dmarc.example.com v=DMARC1; p=reject", "a.mail.example.com", "dkim:mail.example.com", "pass dkim:mail.example.com"},
		{"11.8, from above", "_dmarc.mail.example.com v=DMARC1; p=reject; psd=n\n_dmarc.example.com v=DMARC1; p=reject", "a.mail.example.com", "dkim:example.com", "fail reject"},

		// The two alignment modes are separate; they come from the record that applies.
		{"adkim does not bind SPF", "_dmarc.example.com v=DMARC1; p=reject; adkim=s", "example.com", "spf:a.example.com dkim:a.example.com", "pass spf:a.example.com"},
		{"aspf does not bind DKIM", "_dmarc.example.com v=DMARC1; p=reject; aspf=s", "example.com", "spf:a.example.com dkim:a.example.com", "pass dkim:a.example.com"},
		{"the identifier's record does not count", "_dmarc.example.com v=DMARC1; p=reject\n_dmarc.a.example.com v=DMARC1; adkim=s; aspf=s", "example.com", "dkim:a.example.com", "pass dkim:a.example.com"},

		// No identifiers, no policy.
		{"nothing authenticated", "_dmarc.example.com v=DMARC1; p=quarantine", "example.com", "", "fail quarantine"},
		{"p=none", "_dmarc.example.com v=DMARC1; p=none", "example.com", "", "fail none"},
		{"t=y", "_dmarc.example.com v=DMARC1; p=reject; t=y", "example.com", "dkim:example.net", "fail quarantine"},
		{"no policy", "", "example.com", "spf:example.com dkim:example.com", "none"},
		{"no author", "", "", "spf:example.com", "none"},
		{"unusable policy", "_dmarc.example.com v=DMARC1; p=x", "example.com", "spf:example.com", "permerror"},

		// A mechanism that met a DNS error (section 5.3.6).
		{"SPF unknown", "_dmarc.example.com v=DMARC1; p=reject", "example.com", "spf?example.com", "temperror"},
		{"a key unknown", "_dmarc.example.com v=DMARC1; p=reject", "example.com", "dkim?mail.example.com dkim:example.net", "temperror"},
		{"one unknown, another good", "_dmarc.example.com v=DMARC1; p=reject", "example.com", "spf?example.com dkim?example.com dkim:a.example.com", "pass dkim:a.example.com"},
		{"a stranger's trouble is his own", "_dmarc.example.com v=DMARC1; p=reject", "example.com", "spf?attack.test dkim?example.com.attack.test", "fail reject"},
		{"unknown, and it would not matter", "_dmarc.example.com v=DMARC1; p=reject; adkim=s", "example.com", "dkim?a.example.com", "fail reject"},

		// A policy that is unknown.
		{"policy unknown", "_dmarc.example.com FAIL", "example.com", "dkim:attack.test", "temperror"},
		{"policy unknown, the author proven", "_dmarc.example.com FAIL", "example.com", "dkim:example.com", "temperror dkim:example.com"},
		{"policy unknown, relaxed or strict unknown", "_dmarc.example.com FAIL", "example.com", "dkim:a.example.com", "temperror"},

		// An Organizational Domain that is unknown.
		{"above the author's record", "_dmarc.a.example.com v=DMARC1; p=reject\n_dmarc.example.com FAIL", "a.example.com", "dkim:b.example.com", "temperror"},
		{"and a stranger", "_dmarc.a.example.com v=DMARC1; p=reject\n_dmarc.example.com FAIL", "a.example.com", "dkim:attack.com", "fail reject"},
		{"and the author", "_dmarc.a.example.com v=DMARC1; p=reject\n_dmarc.example.com FAIL", "a.example.com", "dkim:b.example.com dkim:a.example.com", "pass dkim:a.example.com"},
		{"of the identifier", "_dmarc.example.com v=DMARC1; p=reject\n_dmarc.b.example.com FAIL", "example.com", "dkim:b.example.com", "temperror"},
		{"of the identifier, strict", "_dmarc.example.com v=DMARC1; p=reject; adkim=s\n_dmarc.b.example.com FAIL", "example.com", "dkim:b.example.com", "fail reject"},
		{"a top level that does not answer", "_dmarc.example.com v=DMARC1; p=reject\n_dmarc.com FAIL", "example.com", "dkim:b.example.com", "pass dkim:b.example.com"},

		// A budget that is used up is the sender's fault.
		{"identifier too expensive", "_dmarc.example.com v=DMARC1; p=reject\n_dmarc.b.example.com BUDGET", "example.com", "dkim:b.example.com", "fail reject"},
		{"identifier too expensive and not answered", "_dmarc.example.com v=DMARC1; p=reject\n_dmarc.c.b.example.com FAIL\n_dmarc.b.example.com BUDGET", "example.com", "dkim:c.b.example.com", "fail reject"},

		// Whether the author exists is unknown, and matters to a fail only.
		{"existence unknown", "_dmarc.example.com v=DMARC1; p=none; np=reject\na.example.com FAIL", "a.example.com", "dkim:attack.test", "temperror"},
		{"existence unknown, but it passes", "_dmarc.example.com v=DMARC1; p=none; np=reject\na.example.com FAIL", "a.example.com", "dkim:example.com", "pass dkim:example.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			z := zoneOf(c.zone)
			p := Discover(t.Context(), z, domain(t, c.author), Options{})
			ids := identifiers(t, c.ids)
			res := p.Evaluate(t.Context(), ids)
			if got := show(res); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if (res.Status == Pass || res.Status == Fail) != (res.Reason == "") {
				t.Errorf("%s with the reason %q", res.Status, res.Reason)
			}
			if res.Queries != len(z.asked) || res.Queries > MaxQueries {
				t.Errorf("%d questions, counted %d", len(z.asked), res.Queries)
			}
			if res.Other != nil || res.Differs() {
				t.Error("a second result that nobody asked for")
			}
			if again := p.Evaluate(t.Context(), ids); show(again) != show(res) || len(z.asked) != res.Queries {
				t.Errorf("again: %s, %v", show(again), z.asked)
			}
		})
	}
}

// TestReasons: what log and Authentication-Results may quote.
func TestReasons(t *testing.T) {
	for _, c := range []struct{ zone, ids, want string }{
		{"", "", reasonNoRecord},
		{"_dmarc.a.example.com v=DMARC1; p=x", "", ErrRequest.Error()},
		{"_dmarc.a.example.com FAIL", "", reasonPolicy},
		{"_dmarc.example.com v=DMARC1; np=reject\na.example.com FAIL", "", reasonExistence},
		{"_dmarc.example.com v=DMARC1", "dkim?example.com", reasonIdentifier},
		{"_dmarc.example.com v=DMARC1\n_dmarc.b.example.com FAIL", "dkim:b.example.com", reasonOrg},
		{"_dmarc.example.com v=DMARC1", "dkim:example.com", ""},
		{"_dmarc.example.com v=DMARC1", "", ""},
	} {
		p := Discover(t.Context(), zoneOf(c.zone), domain(t, "a.example.com"), Options{})
		res := p.Evaluate(t.Context(), identifiers(t, c.ids))
		if res.Reason != c.want {
			t.Errorf("%q, %q: %s, %q, want %q", c.zone, c.ids, res.Status, res.Reason, c.want)
		}
		if res.Reason == reasonOrg && res.Err == nil {
			t.Errorf("%q: no detail", c.zone)
		}
	}
}

// TestQueries: other people's domains cost nothing, and nobody can make an
// evaluation expensive.
func TestQueries(t *testing.T) {
	z := zoneOf("_dmarc.example.com v=DMARC1; p=reject")
	p := Discover(t.Context(), z, domain(t, "example.com"), Options{})
	z.questions()
	strangers := "spf:attack.test"
	for i := range 100 {
		strangers += fmt.Sprintf(" dkim:a%d.attack.test dkim:example.com.a%d.test dkim:xexample.com", i, i)
	}
	if res := p.Evaluate(t.Context(), identifiers(t, strangers)); res.Status != Fail || z.questions() != "" {
		t.Errorf("%s, %d questions", show(res), res.Queries)
	}

	// Domains of the same organization are looked at, each name once.
	if res := p.Evaluate(t.Context(), identifiers(t, "spf:a.b.example.com dkim:c.b.example.com")); res.Status != Pass {
		t.Error(show(res))
	}
	if asked := z.questions(); asked != "a.b.example.com b.example.com c.b.example.com" {
		t.Errorf("asked for %s", asked)
	}

	// A thousand deep domains below an attacker's own, none of which is aligned.
	zone := "_dmarc.attack.test v=DMARC1; p=reject\n"
	var many []string
	for i := range 1000 {
		d := fmt.Sprintf("%s%d.attack.test", strings.Repeat(fmt.Sprintf("x%d.", i), 5), i)
		zone += "_dmarc." + d + " v=DMARC1; psd=n\n"
		many = append(many, "dkim:"+d)
	}
	z = zoneOf(zone)
	p = Discover(t.Context(), z, domain(t, "attack.test"), Options{})
	res := p.Evaluate(t.Context(), identifiers(t, strings.Join(many, " ")))
	if res.Status != Fail || res.Queries != MaxQueries || len(z.asked) != MaxQueries {
		t.Errorf("%s, %d questions, counted %d", show(res), len(z.asked), res.Queries)
	}
}

// TestBoth: the two methods side by side, and what makes a difference.
func TestBoth(t *testing.T) {
	for _, c := range []struct {
		name, zone, author, ids string
		walk, psl               string
		differs                 bool
	}{
		{"the same", "_dmarc.example.com v=DMARC1; p=reject", "a.example.com", "dkim:b.example.com", "pass dkim:b.example.com", "pass dkim:b.example.com", false},
		{"no policy", "", "example.com", "", "none", "none", false},
		{"the list does not know a suffix", "_dmarc.x.example.com v=DMARC1; p=reject; psd=y", "a.x.example.com", "dkim:b.x.example.com",
			"fail reject", "none", true},
		{"the walk does not know a suffix", "_dmarc.co.uk v=DMARC1; p=none\n_dmarc.victim.co.uk v=DMARC1; p=reject", "victim.co.uk", "dkim:attack.co.uk",
			"pass dkim:attack.co.uk", "fail reject", true},
		{"an Organizational Domain of its own", "_dmarc.a.example.com v=DMARC1; p=reject; psd=n\n_dmarc.example.com v=DMARC1; p=none", "b.a.example.com", "dkim:example.com",
			"fail reject", "pass dkim:example.com", true},
		{"other dispositions", "_dmarc.a.example.com v=DMARC1; p=reject; psd=n\n_dmarc.example.com v=DMARC1; p=none", "b.a.example.com", "",
			"fail reject", "fail none", true},
		{"deeper than the walk goes", "_dmarc.example.com v=DMARC1; p=reject", "a.b.c.d.e.f.g.h.example.com", "", "fail reject", "fail reject", false},
		{"the list stops at a suffix that the walk passes", "_dmarc.uk v=DMARC1; p=reject; psd=y", "nobody.co.uk", "", "fail reject", "none", true},
		{"policy unknown", "_dmarc.example.com FAIL", "example.com", "", "temperror", "temperror", false},
		{"policy of a suffix unknown", "_dmarc.co.uk FAIL", "co.uk", "", "temperror", "temperror", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			z := zoneOf(c.zone)
			p := Discover(t.Context(), z, domain(t, c.author), Options{Method: Both})
			res := p.Evaluate(t.Context(), identifiers(t, c.ids))
			if got := show(res); got != c.walk {
				t.Errorf("treewalk: %s, want %s", got, c.walk)
			}
			if got := show(*res.Other); got != c.psl {
				t.Errorf("psl: %s, want %s", got, c.psl)
			}
			if res.Differs() != c.differs {
				t.Errorf("differs: %t", res.Differs())
			}
			if res.Queries != len(z.asked) {
				t.Errorf("%d questions, counted %d", len(z.asked), res.Queries)
			}
			// The same result when it is asked for alone.
			alone := Discover(t.Context(), zoneOf(c.zone), domain(t, c.author), Options{Method: PSL})
			if got := show(alone.Evaluate(t.Context(), identifiers(t, c.ids))); got != c.psl {
				t.Errorf("psl alone: %s, want %s", got, c.psl)
			}
		})
	}
	// Existence is asked for once.
	z := zoneOf("_dmarc.example.com v=DMARC1; p=none; np=reject")
	p := Discover(t.Context(), z, domain(t, "a.example.com"), Options{Method: Both})
	if p.Tag != "np" || p.Other.Tag != "np" || z.questions() != "a.example.com a.example.com com example.com" {
		t.Errorf("%s and %s", p.Tag, p.Other.Tag)
	}
}

// oneSuffix is a Public Suffix List of one entry.
type oneSuffix string

func (s oneSuffix) PublicSuffix(d string) string {
	if d == string(s) || strings.HasSuffix(d, "."+string(s)) {
		return string(s)
	}
	return d[strings.LastIndexByte(d, '.')+1:]
}

// TestSuffixOption: another list takes the place of the one that is compiled in.
func TestSuffixOption(t *testing.T) {
	z := zoneOf("_dmarc.a.b.example.com v=DMARC1; p=reject")
	o := Options{Method: PSL, Suffixes: oneSuffix("b.example.com")}
	p := Discover(t.Context(), z, domain(t, "x.a.b.example.com"), o)
	if p.Organizational.String() != "a.b.example.com" || p.Domain != p.Organizational {
		t.Errorf("%s, policy of %s", p.Organizational, p.Domain)
	}
	if res := p.Evaluate(t.Context(), Identifiers{SPF: Identifier{Domain: domain(t, "example.com")}}); res.Status != Fail {
		t.Error(show(res))
	}
	if p := Discover(t.Context(), z, domain(t, "b.example.com"), o); p.Rule != RuleAtSuffix || p.Organizational.String() != "b.example.com" {
		t.Errorf("%s: %s", p.Organizational, p.Rule)
	}
	if !OrganizationalByList(message.Domain{}, nil).IsZero() {
		t.Error("nothing has an Organizational Domain")
	}
}
