package weights

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/internal/mailbox/mailboxtest"

	"milterd/checks/author"
	"milterd/checks/content"
	"milterd/checks/header"
	"milterd/internal/mailbox"
	"milterd/rules"
)

// shipped is the rules that ship. Findings of checks that need more than the message
// are known by name; none of them is ever there.
var shipped = sync.OnceValues(func() (*rules.Set, error) {
	known := []string{"DMARC_PASS"}
	for _, s := range rules.Shipped() {
		if _, scores, ok := strings.Cut(string(s.Text), "\nscores:\n"); ok {
			for line := range strings.Lines(scores) {
				if name, _, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && strings.ToUpper(name) == name && !strings.HasPrefix(name, "#") {
					known = append(known, name)
				}
			}
		}
	}
	for _, f := range append(append(content.Spec(nil).Findings, author.Spec().Findings...), header.Spec().Findings...) {
		known = append(known, f.Name)
	}
	return rules.Load(rules.Shipped(), known)
})

func evidence(t *testing.T) (*Model, *Evidence) {
	t.Helper()
	set, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEvidence(set, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return New(set), e
}

// corpus reads half of the development corpus.
func corpus(t *testing.T, e *Evidence, kind string) (samples []Sample) {
	t.Helper()
	for _, m := range mailboxtest.Corpus(t, kind) {
		s, err := e.Sample(t.Context(), m.Name, m.Raw, kind == "spam")
		if err != nil {
			t.Fatal(m.Name, err)
		}
		samples = append(samples, s)
	}
	return samples
}

// The figures that the shipped rules are held to, without network and without
// anything learned: at most three honest messages in a thousand are filed and at
// least four of five spam messages; of weights that were fitted to other messages the
// same. The corpus is twenty years old, so this is a check of sanity, but whatever
// breaks it has broken something.
func TestCorpus(t *testing.T) {
	m, e := evidence(t)
	all := append(corpus(t, e, "ham"), corpus(t, e, "spam")...)
	o := Defaults()
	for name, r := range map[string]Rate{"as shipped": m.Rate(m.Shipped(), all, o.Threshold), "fitted to other messages": m.CrossValidate(all, o)} {
		t.Logf("%s: %d of %d ham (%.2f%%), %d of %d spam (%.2f%%)", name, r.HamFiled, r.Ham, 100*r.FalsePositives(), r.SpamFiled, r.Spam, 100*r.Recall())
		if r.FalsePositives() > 0.003 || r.Recall() < 0.8 || r.Ham < 2000 || r.Spam < 900 {
			t.Errorf("%s: %+v, want at most 0.3%% of ham and at least 80%% of spam", name, r)
		}
	}
}

// mail reads mail of today, written for this test: what honest senders send in 2025
// and what others do.
func mail(t *testing.T, e *Evidence, name string, spam bool) (samples []Sample) {
	t.Helper()
	for m := range mailbox.Messages([]string{filepath.Join("testdata", name)}, nil, func(name, why string) { t.Errorf("%s: %s", name, why) }) {
		if m.Err != nil {
			t.Fatal(m.Err)
		}
		s, err := e.Sample(t.Context(), m.Name, m.Raw, spam)
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, s)
	}
	return samples
}

// Newsletters, receipts, password resets, invoices, lists, letters: none is filed,
// and few come near it.
func TestHamOfToday(t *testing.T) {
	m, e := evidence(t)
	all := mail(t, e, "ham.mbox", false)
	near := 0
	for _, s := range all {
		score := m.Score(m.Shipped(), s.Hits)
		if score >= 5.5 { // the junk threshold is 6
			t.Errorf("%s gets %.1f points: %v", s.Name, score, s.Hits)
		}
		if score >= 3 {
			near++
			t.Logf("%s gets %.1f points: %v", s.Name, score, s.Hits)
		}
	}
	if len(all) < 60 || near > 6 {
		t.Errorf("%d messages, %d with 3 points or more, want at least 60 and at most 6", len(all), near)
	}
}

func TestSpamOfToday(t *testing.T) {
	m, e := evidence(t)
	all := mail(t, e, "spam.mbox", true)
	for _, s := range all {
		if score := m.Score(m.Shipped(), s.Hits); score < 6 {
			t.Logf("%s gets %.1f points: %v", s.Name, score, s.Hits)
		}
	}
	if r := m.Rate(m.Shipped(), all, 6); r.Spam < 40 || r.Recall() < 0.85 {
		t.Errorf("%+v, want 85%% of at least 40", r)
	}
}

// No rule is worth more than its class may bring, and no theme decides alone what is
// refused.
func TestShippedWeights(t *testing.T) {
	m, _ := evidence(t)
	for _, w := range m.Weights {
		if bound, ok := Most(w.Class); ok && w.Points > bound {
			t.Errorf("%s (%s): %g points, want at most %g", w.Name, w.Class, w.Points, bound)
		}
	}
	set, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range set.Groups {
		if g.Max > 9 {
			t.Errorf("group %s may bring %g points, want at most 9", g.Name, g.Max)
		}
	}
	if n := len(set.Texts) + len(set.Composites); n < 200 {
		t.Errorf("%d rules, want at least 200", n)
	}
}
