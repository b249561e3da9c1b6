package dmarc

import (
	"strings"
	"testing"
)

// TestTargets: RFC 9989, section 4.10, steps 3, 4 and 7.
func TestTargets(t *testing.T) {
	for start, want := range map[string]string{
		"com":         "com",
		"example.com": "example.com com",
		// Step 3 counts these labels: four.
		"a.mail.example.com": "a.mail.example.com mail.example.com example.com com",
		// Seven, eight and nine labels: seven, eight and eight questions.
		"a.b.c.d.e.f.g":     "a.b.c.d.e.f.g b.c.d.e.f.g c.d.e.f.g d.e.f.g e.f.g f.g g",
		"a.b.c.d.e.f.g.h":   "a.b.c.d.e.f.g.h b.c.d.e.f.g.h c.d.e.f.g.h d.e.f.g.h e.f.g.h f.g.h g.h h",
		"a.b.c.d.e.f.g.h.i": "a.b.c.d.e.f.g.h.i c.d.e.f.g.h.i d.e.f.g.h.i e.f.g.h.i f.g.h.i g.h.i h.i i",
		// The illustration at the end of section 4.10.
		"a.b.c.d.e.f.g.h.i.j.mail.example.com": "a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com " +
			"h.i.j.mail.example.com i.j.mail.example.com j.mail.example.com mail.example.com example.com com",
	} {
		var got []string
		for _, d := range targets(domain(t, start)) {
			got = append(got, d.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s:\ngot  %s\nwant %s", start, strings.Join(got, " "), want)
		}
	}
	deepest := domain(t, strings.Repeat("a.", 126)+"a")
	if n := len(targets(deepest)); n != MaxWalkQueries {
		t.Errorf("%d questions for 127 labels", n)
	}
}

// TestWalk: the Organizational Domain of RFC 9989, section 4.10.2, and why.
func TestWalk(t *testing.T) {
	for _, c := range []struct {
		name, zone, start string
		org               string
		rule              Rule
		widest            string // where it is uncertain
		steps             int
	}{
		{name: "4.10.2, first example", start: "a.mail.example.com",
			zone: "_dmarc.mail.example.com v=DMARC1\n_dmarc.example.com v=DMARC1",
			org:  "example.com", rule: RuleFewest, steps: 4},
		{name: "4.10.2, second example", start: "a.mail.example.com",
			zone: "_dmarc.mail.example.com v=DMARC1; psd=n\n_dmarc.example.com v=DMARC1",
			org:  "mail.example.com", rule: RuleNotPSD, steps: 2},
		{name: "4.10.2, last example", start: "a.mail.example.com",
			zone: "_dmarc.com v=DMARC1; psd=y",
			org:  "example.com", rule: RuleUnder, steps: 4},
		{name: "rule 2, example", start: "mail.example.com",
			zone: "_dmarc.example.com v=DMARC1; psd=y\n_dmarc.com v=DMARC1",
			org:  "mail.example.com", rule: RuleUnder, steps: 2},
		{name: "no record", start: "a.example.com", zone: "", org: "a.example.com", rule: RuleItself, steps: 3},
		{name: "psd=y at the start", start: "bank.example",
			zone: "_dmarc.bank.example v=DMARC1; psd=y\n_dmarc.example v=DMARC1",
			org:  "bank.example", rule: RuleFewest, steps: 1},
		{name: "psd=n at the start", start: "a.example.com",
			zone: "_dmarc.a.example.com v=DMARC1; psd=n\n_dmarc.example.com v=DMARC1",
			org:  "a.example.com", rule: RuleNotPSD, steps: 1},
		{name: "psd=n below psd=y", start: "b.a.x.example",
			zone: "_dmarc.a.x.example v=DMARC1; psd=n\n_dmarc.x.example v=DMARC1; psd=y",
			org:  "a.x.example", rule: RuleNotPSD, steps: 2},
		{name: "psd=u is the default", start: "b.a.x.example",
			zone: "_dmarc.a.x.example v=DMARC1; psd=u\n_dmarc.x.example v=DMARC1; psd=y",
			org:  "a.x.example", rule: RuleUnder, steps: 3},
		{name: "a record at the top", start: "a.example.com", zone: "_dmarc.com v=DMARC1", org: "com", rule: RuleFewest, steps: 3},
		{name: "one label", start: "localhost", zone: "", org: "localhost", rule: RuleItself, steps: 1},
		{name: "B.4.2, labels left out", start: "a.b.c.d.e.f.g.h.i.j.k.example.com",
			zone: "_dmarc.b.c.d.e.f.g.h.i.j.k.example.com v=DMARC1; psd=n\n_dmarc.example.com v=DMARC1",
			org:  "example.com", rule: RuleFewest, steps: 8},
		{name: "psd=y where labels were left out", start: "a.b.c.d.e.f.g.h.i.j",
			zone: "_dmarc.d.e.f.g.h.i.j v=DMARC1; psd=y",
			org:  "c.d.e.f.g.h.i.j", rule: RuleUnder, steps: 2},
		{name: "several records are none", start: "a.example.com",
			zone: "_dmarc.a.example.com v=DMARC1; psd=n\n_dmarc.a.example.com v=DMARC1; psd=n\n_dmarc.example.com v=DMARC1",
			org:  "example.com", rule: RuleFewest, steps: 3},
		{name: "one record among others", start: "a.example.com",
			zone: "_dmarc.a.example.com v=spf1 -all\n_dmarc.a.example.com v=DMARC1; psd=n\n_dmarc.a.example.com v=DMARC2",
			org:  "a.example.com", rule: RuleNotPSD, steps: 1},

		// DNS that does not answer.
		{name: "at the start", start: "a.example.com", zone: "_dmarc.a.example.com FAIL\n_dmarc.example.com v=DMARC1",
			org: "example.com", rule: RuleFewest, widest: "example.com", steps: 3},
		{name: "in the middle", start: "a.b.example.com", zone: "_dmarc.a.b.example.com v=DMARC1\n_dmarc.example.com TIMEOUT",
			org: "a.b.example.com", rule: RuleFewest, widest: "example.com", steps: 4},
		{name: "top level, nothing found", start: "example.com", zone: "_dmarc.com FAIL",
			org: "example.com", rule: RuleItself, widest: "com", steps: 2},
		{name: "top level, found below", start: "a.example.com", zone: "_dmarc.com FAIL\n_dmarc.example.com v=DMARC1",
			org: "example.com", rule: RuleFewest, steps: 3},
		{name: "behind the end", start: "a.example.com", zone: "_dmarc.example.com FAIL\n_dmarc.a.example.com v=DMARC1; psd=n",
			org: "a.example.com", rule: RuleNotPSD, steps: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			z := zoneOf(c.zone)
			l := &lookups{resolver: z}
			w := l.walk(t.Context(), domain(t, c.start))
			if w.org.String() != c.org || w.rule != c.rule || len(w.steps) != c.steps {
				t.Errorf("got %s (%s) in %d steps, want %s (%s) in %d", w.org, w.rule, len(w.steps), c.org, c.rule, c.steps)
			}
			if (w.err != nil) != (c.widest != "") || w.err != nil && w.widest.String() != c.widest || w.err == nil && w.widest != w.org {
				t.Errorf("error %v, widest %s, want %s", w.err, w.widest, c.widest)
			}
			if len(z.asked) > MaxWalkQueries || len(z.asked) != l.queries {
				t.Errorf("%d questions, counted %d", len(z.asked), l.queries)
			}
			// A second walk over the same names asks nothing.
			asked := l.queries
			if l.walk(t.Context(), domain(t, c.start)); l.queries != asked || len(z.asked) != asked {
				t.Errorf("asked again: %v", z.asked)
			}
		})
	}
}
