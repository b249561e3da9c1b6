package scoring

import (
	"testing"

	"milterd/checks"
	"milterd/message"
	"milterd/rules"
)

// A composite sees how often a rule matched that counts, and of others only that
// they hit.
func TestCountsInComposites(t *testing.T) {
	set, err := rules.Load([]rules.Source{{Name: "rules.yaml", Text: []byte(`rules:
- {name: LINKS, uri: {match: x, count: 5}}
- {name: THRICE, uri: {match: y, times: 3}}
- {name: FEW, when: "LINKS >= 1 && LINKS < 3", score: 1}
- {name: MANY, when: "LINKS + THRICE >= 4", score: 2}`)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{Mode: message.Enforce, OwnFault: FaultHold, Rules: set})
	for _, c := range []struct {
		links float64
		score float64
	}{{0, 0}, {1, 1}, {2, 1}, {3, 2}, {5, 2}} {
		found := []checks.Finding{{Name: "THRICE", Value: 7}}
		if c.links > 0 {
			found = append(found, checks.Finding{Name: "LINKS", Value: c.links})
		}
		v := p.Decide(Facts{Message: &message.Message{Role: message.Inbound, Session: &message.Session{}}, Results: []checks.Result{{Check: "content", Findings: found}}})
		if v.Score != c.score {
			t.Errorf("%g links: score %g, want %g (%v)", c.links, v.Score, c.score, v.Findings)
		}
	}
}

// A composite may ask for what is missing, and be asked for by others.
func TestCompositesOfWhatIsMissing(t *testing.T) {
	set, err := rules.Load([]rules.Source{{Name: "rules.yaml", Text: []byte(`rules:
- {name: QUIET, when: "!LOUD", score: 1}
- {name: STILL, when: "QUIET && !SOFT", score: 2}
- {name: NEVER, when: "LOUD && QUIET", score: 100}`)}}, []string{"LOUD", "SOFT"})
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{Mode: message.Enforce, OwnFault: FaultHold, Rules: set})
	for found, score := range map[string]float64{"": 3, "SOFT": 1, "LOUD": 0} {
		res := checks.Result{Check: "content"}
		if found != "" {
			res.Findings = []checks.Finding{{Name: found}}
		}
		v := p.Decide(Facts{Message: &message.Message{Role: message.Inbound, Session: &message.Session{}}, Results: []checks.Result{res}})
		if v.Score != score {
			t.Errorf("%q: score %g, want %g (%v)", found, v.Score, score, v.Findings)
		}
	}
}
