package scoring

import (
	"fmt"
	"testing"

	"milterd/checks"
	"milterd/message"
	"milterd/rules"
)

// opinions is a policy with rules that combine opinions with something else.
func opinions(t *testing.T, text string) *Policy {
	t.Helper()
	family := []checks.FindingSpec{{Name: "LIKE", Subjective: true}, {Name: "UNLIKE", Subjective: true}, {Name: "FACT"}}
	set, err := rules.Load([]rules.Source{{Name: "r.yaml", Text: []byte(text + "\nscores: {LIKE: 5, UNLIKE: -2, FACT: 3}\n")}}, []string{"LIKE", "UNLIKE", "FACT"})
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Mode: message.Enforce, Thresholds: usual(), OwnFault: FaultHold, Rules: set, Findings: family})
}

// What rules bring for another opinion is what they bring when it is the only one,
// whatever the opinion is now.
func TestInstead(t *testing.T) {
	const combining = `
rules:
  - {name: BOTH, when: "LIKE && FACT", score: 2}
  - {name: ON_TOP, when: "BOTH", score: 0.5}
  - {name: NOT, when: "!LIKE && FACT", score: 1}
`
	for _, c := range []struct{ name, text, found, want string }{
		{"no rule names one", "rules: [{name: ONLY, when: FACT, score: 2}]", "FACT LIKE", "[]"},
		{"for one", combining, "FACT LIKE", "[{UNLIKE -1.5}]"},
		{"for the other", combining, "FACT UNLIKE", "[{LIKE 1.5}]"},
		{"for none", combining, "FACT", "[{LIKE 1.5}]"},
		{"nothing to combine with", combining, "LIKE", "[]"},
		{"a cap", "groups: {few: {rules: [LIKE, FACT], max: 6}}", "FACT", "[{LIKE -2}]"},
		{"a cap now", "groups: {few: {rules: [LIKE, FACT], max: 6}}", "FACT LIKE", "[{LIKE -2}]"},
	} {
		p := opinions(t, c.text)
		f := Facts{Message: inbound()}
		f.Results = []checks.Result{{Check: "content"}, {Check: "bayes"}}
		var name string
		for rest := c.found; rest != ""; {
			if n, _ := fmt.Sscan(rest, &name); n != 1 {
				break
			}
			rest = rest[min(len(rest), len(name)+1):]
			at := 1
			if name == "FACT" {
				at = 0
			}
			f.Results[at].Findings = append(f.Results[at].Findings, checks.Finding{Name: name})
		}
		before := p.Decide(f)
		got := p.Instead(f, "bayes", []string{"LIKE", "UNLIKE"})
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
		if after := p.Decide(f); shown(after) != shown(before) {
			t.Errorf("%s: the facts were changed: %s, before %s", c.name, shown(after), shown(before))
		}
		// What it says adds up to what the message would have scored.
		points := map[string]float64{"LIKE": 5, "UNLIKE": -2}
		for _, name := range []string{"LIKE", "UNLIKE"} {
			score := before.Score + points[name]
			for i := range before.Findings {
				if _, one := points[before.Findings[i].Name]; one {
					score -= before.Findings[i].Score
				}
			}
			for _, s := range got {
				if s.Finding == name {
					score += s.Points
				}
			}
			if want := p.Decide(f.with("bayes", name)).Score; round(score) != want {
				t.Errorf("%s: with %s instead %g, it would have scored %g", c.name, name, score, want)
			}
		}
	}
	without := opinions(t, combining)
	if got := without.Instead(Facts{Message: inbound(), Results: found("FACT")}, "bayes", []string{"LIKE"}); fmt.Sprint(got) != "[{LIKE 1.5}]" {
		t.Errorf("where the check did not run: %v", got)
	}
}
