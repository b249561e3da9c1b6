package rules

import (
	"strings"
	"testing"
)

// loadShipped loads the shipped rules with the findings that they give weights and
// name: whether checks report those is tested where the checks are.
func loadShipped(t *testing.T) *Set {
	t.Helper()
	var known []string
	l := newLoader(nil)
	for _, s := range Shipped() {
		l.read(s)
	}
	for name := range l.scores {
		known = append(known, name)
	}
	for _, d := range l.rules {
		if e, err := parseWhen(d.when.value); err == nil {
			for _, name := range e.names(nil) {
				if l.rules[name] == nil {
					known = append(known, name)
				}
			}
		}
	}
	set, err := Load(Shipped(), known)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Every shipped rule explains itself and proves itself, and says nothing that is
// more than evidence: only the test string decides alone.
func TestShipped(t *testing.T) {
	set := loadShipped(t)
	if len(set.Texts) == 0 || len(set.Composites) == 0 || len(set.Scores) == 0 {
		t.Fatalf("%d texts, %d composites, %d scores", len(set.Texts), len(set.Composites), len(set.Scores))
	}
	all := make([]Rule, 0, len(set.Texts)+len(set.Composites))
	for _, r := range set.Texts {
		all = append(all, r.Rule)
	}
	for _, c := range set.Composites {
		all = append(all, c.Rule)
	}
	for _, r := range all {
		if r.Describe == "" || strings.HasSuffix(r.Describe, ".") {
			t.Errorf("%s: %s: describe is %q, want a line without a full stop", r.Pos, r.Name, r.Describe)
		}
		if r.Name != "GTUBE" && r.Score > 3 {
			t.Errorf("%s: %s: %g points, want at most 3", r.Pos, r.Name, r.Score)
		}
		if !strings.HasPrefix(r.Pos.File, "shipped/") {
			t.Errorf("%s stands at %s", r.Name, r.Pos)
		}
	}
	for name, s := range set.Scores {
		most := 3.0
		for prefix, strong := range map[string]float64{
			"LISTS_BLOCK":    100, // the operator's own word
			"AUTHOR_":        6,   // there is no author: mode score files such mail
			"BAYES_":         6.5, // opinion, which condemns nobody
			"DNSBL_":         6,   // somebody has looked
			"URIBL_":         6,
			"ATTACHMENT_":    8, // what nobody sends who means well
			"EXE_IN_ARCHIVE": 9,
			"CLAMAV_FOUND":   20,
		} {
			if strings.HasPrefix(name, prefix) {
				most = strong
			}
		}
		if s.Points > most || strings.HasSuffix(name, "_TEMPERROR") && s.Points != 0 {
			t.Errorf("%s: %s: %g points, want at most %g, and 0 for trouble in the DNS", s.Pos, name, s.Points, most)
		}
	}

	l := newLoader(nil)
	for _, s := range Shipped() {
		l.read(s)
	}
	for _, name := range l.order {
		if d := l.rules[name]; len(d.tests.Hit) == 0 || len(d.tests.Miss) == 0 {
			t.Errorf("%s: %s: %d tests that hit and %d that miss, want some of both", d.Pos, name, len(d.tests.Hit), len(d.tests.Miss))
		}
	}
}

// The shipped files must not look like spam themselves.
func TestShippedCanBeMailed(t *testing.T) {
	for _, s := range Shipped() {
		if strings.Contains(string(s.Text), "XJS"+"*C4JDBQADN1") {
			t.Errorf("%s holds the test string", s.Name)
		}
	}
}
