package weights

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/rules"
)

const small = `
rules:
  - {name: SUBJ_GOLD, header: Subject, match: gold, score: 1}
  - {name: BODY_GOLD, body: {match: gold}, score: 1}
  - {name: BODY_TEN, body: {match: 'gold', count: 20}}
  - {name: FORM, rawbody: {match: '<blink>'}, score: 1}
  - {name: LATE, body: {match: tomorrow}, score: 1.5}
  - {name: FRIEND, header: In-Reply-To, exists: true, score: -1}
  - {name: MUCH_GOLD, when: "BODY_TEN >= 3 && !FRIEND", score: 2}
  - {name: WATCHED, body: {match: silver}, score: 5, state: shadow}
  - {name: WATCHING, when: WATCHED, score: 5}
groups: {gold: {rules: [SUBJ_GOLD, BODY_GOLD, MUCH_GOLD], max: 3}}
scores: {MIME_MISSING_END: 0.5}
`

func load(t *testing.T, text string) *rules.Set {
	t.Helper()
	set, err := rules.Load([]rules.Source{{Name: "small.yaml", Text: []byte(text)}}, []string{"MIME_MISSING_END"})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestEvidence(t *testing.T) {
	e, err := NewEvidence(load(t, small), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, raw, want string }{
		{"an mbox line", "From a@b Thu Nov 20 12:00:00 2025\nFrom: a@example.org\nSubject: gold\n\nbronze\n", "SUBJ_GOLD"},
		{"a composite that counts", "From: a@example.org\n\ngold gold gold\n", "BODY_GOLD BODY_TEN MUCH_GOLD"},
		{"a composite that counts less", "From: a@example.org\r\n\r\ngold gold\r\n", "BODY_GOLD BODY_TEN"},
		{"a shadow is not seen", "From: a@example.org\n\nsilver\n", ""},
		{"what checks compare", "From: a@example.org\nTo: a@example.org\n\nhi\n", "HEADER_FROM_IS_RCPT HEADER_FROM_OUR_DOMAIN"},
		{"what is wrong with From", "Subject: x\n\nhi\n", "AUTHOR_MISSING"},
	} {
		s, err := e.Sample(t.Context(), test.name, []byte(test.raw), true)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.Hits, " "); got != test.want || !s.Spam || s.Heft != 1 {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestScore(t *testing.T) {
	m := New(load(t, small))
	for _, test := range []struct {
		hits string
		want float64
	}{
		{"", 0},
		{"SUBJ_GOLD BODY_GOLD", 2},
		{"SUBJ_GOLD BODY_GOLD MUCH_GOLD", 3}, // the cap
		{"SUBJ_GOLD BODY_GOLD MUCH_GOLD FORM LATE MIME_MISSING_END", 6},
		{"SUBJ_GOLD FRIEND", 0},
		{"WATCHED UNKNOWN", 0},
	} {
		if got := m.Score(m.Shipped(), strings.Fields(test.hits)); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%q: %g points, want %g", test.hits, got, test.want)
		}
	}
}

// samples is mail in which GOLD means spam and LATE means nothing.
func samples(n int) (all []Sample) {
	for i := range n {
		s := Sample{Name: string(rune('a'+i%26)) + strings.Repeat("x", i/26), Spam: i%3 == 0, Heft: 1}
		if i%2 == 0 {
			s.Hits = append(s.Hits, "LATE")
		}
		if s.Spam {
			s.Hits = append(s.Hits, "SUBJ_GOLD", "BODY_GOLD", "MUCH_GOLD", "FORM")
		} else if i%5 == 0 {
			s.Hits = append(s.Hits, "FRIEND", "BODY_GOLD")
		}
		all = append(all, s)
	}
	return all
}

func TestFit(t *testing.T) {
	m := New(load(t, small))
	o := Defaults()
	o.Threshold = 3.5
	all := samples(300)
	points := m.Fit(all, o)
	at := func(name string) float64 { return points[m.index[name]] }
	if r := m.Rate(points, all, o.Threshold); r.FalsePositives() > o.Ceiling || r.Recall() < 0.9 || r.Ham != 200 || r.Spam != 100 {
		t.Errorf("%+v with %v", r, points)
	}
	for i, w := range m.Weights {
		if points[i] < w.Min-1e-9 || points[i] > w.Max+1e-9 || math.Abs(points[i]*10-math.Round(points[i]*10)) > 1e-9 {
			t.Errorf("%s has %g points, want %g to %g with one decimal", w.Name, points[i], w.Min, w.Max)
		}
	}
	if at("LATE") >= at("BODY_GOLD")+at("SUBJ_GOLD") || at("FORM") > 1 || at("FRIEND") < -1 || at("MIME_MISSING_END") != 0.5 {
		t.Errorf("what means nothing is worth something, or a bound does not hold: %v", points)
	}

	// The same samples in another order give the same.
	shuffled := slices.Clone(all)
	slices.Reverse(shuffled)
	a, b := m.CrossValidate(all, o), m.CrossValidate(shuffled, o)
	if a != b || a.Ham != 200 || a.Spam != 100 || a.Recall() < 0.9 {
		t.Errorf("validated: %+v and %+v", a, b)
	}
}

// A rule that hardly hits anything stays as it was set by hand.
func TestFitLeavesRareRules(t *testing.T) {
	m := New(load(t, small))
	all := samples(300)
	for i := range all { // LATE in three messages is chance
		all[i].Hits = slices.DeleteFunc(all[i].Hits, func(hit string) bool { return hit == "LATE" && i > 6 })
	}
	if points := m.Fit(all, Defaults()); points[m.index["LATE"]] != 1.5 {
		t.Errorf("LATE has %g points, want 1.5 as before", points[m.index["LATE"]])
	}
}

func TestReport(t *testing.T) {
	m := New(load(t, small))
	var b strings.Builder
	if err := m.NewReport(samples(300), Defaults()).Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"RULE", "BODY_GOLD         words     40   100   83.33%     100.00%  1", "MIME_MISSING_END  finding   0    0     -", "(0.5)", "as proposed", "10 folds, seed 1"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}
