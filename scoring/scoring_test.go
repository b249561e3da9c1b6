package scoring

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/message"
	"milterd/rules"

	"github.com/google/go-cmp/cmp"
)

// rulesText is the rule file of these tests. BAYES is the opinion; what is made
// of it must stay one.
const rulesText = `
rules:
  - {name: HIT, header: Subject, match: hit, score: 6}
  - {name: STRONG, header: Subject, match: strong, score: 15}
  - {name: SHADOWED, header: Subject, match: shadowed, score: 50, state: shadow}
  - {name: OFF, header: Subject, match: off, score: 50, state: "off"}
  - {name: MEMBER_ONE, header: Subject, match: one, score: 5}
  - {name: MEMBER_TWO, header: Subject, match: two, score: 4}
  - {name: MEMBER_THREE, header: Subject, match: three, score: 3}
  - {name: MEMBER_GOOD, header: Subject, match: good, score: -2}
  - {name: TENTH, header: Subject, match: tenth, score: 0.1}
  - {name: FIFTH, header: Subject, match: fifth, score: 0.2}
  - {name: BOTH, when: "HIT && STRONG", score: 1}
  - {name: NEITHER, when: "NEITHER_FACT && !HIT && !STRONG", score: 2}
  - {name: OPINION, when: "HIT && BAYES", score: 10}
  - {name: OPINION_ABSENT, when: "MEMBER_GOOD && !BAYES", score: 10}
  - {name: OPINION_TWICE, when: "OPINION || OPINION_ABSENT", score: 10}
  - {name: ON_SHADOW, when: "SHADOWED && HIT", score: 9}
  - {name: NOT_SHADOW, when: "!SHADOWED && HIT && TENTH", score: 0.5}
  - {name: SHADOW_ON_SHADOW, when: "SHADOWED", score: 9, state: shadow}
  - {name: SHADOW_TWICE, when: "SHADOW_ON_SHADOW", score: 9, state: shadow}
  - {name: ON_OFF, when: "OFF || OFF_COMPOSITE", score: 9}
  - {name: OFF_COMPOSITE, when: "HIT", score: 9, state: "off"}
  - {name: PRIVATE_TOO, when: "CLIENT_PRIVATE", score: 0.5}
groups:
  members: {rules: [MEMBER_ONE, MEMBER_TWO, MEMBER_THREE, MEMBER_GOOD, GROUP_OPINION], max: 8}
scores: {BAYES: 10, BAYES_HAM: -10, FACT: 3, CLIENT_PRIVATE: 0.25, GROUP_OPINION: 6, TINY: -0.0000001}
`

// reported are the findings of checks that rulesText speaks of.
var reported = []checks.FindingSpec{
	{Name: "BAYES", Subjective: true}, {Name: "BAYES_HAM", Subjective: true}, {Name: "GROUP_OPINION", Subjective: true},
	{Name: "FACT"}, {Name: "NEITHER_FACT"}, {Name: "TINY"}, {Name: "CLIENT_PRIVATE"},
}

func load(t testing.TB) *rules.Set {
	t.Helper()
	var names []string
	for _, f := range reported {
		names = append(names, f.Name)
	}
	set, err := rules.Load([]rules.Source{{Name: "rules.yaml", Text: []byte(rulesText)}}, names)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func at(x float64) *float64 { return &x }

// usual are the thresholds of an empty configuration.
func usual() message.Thresholds {
	return message.Thresholds{Greylist: at(4), Junk: at(6), Reject: at(15)}
}

func newPolicy(t testing.TB, thresholds message.Thresholds, change func(*Options)) *Policy {
	t.Helper()
	o := Options{Mode: message.Enforce, Thresholds: thresholds, OwnFault: FaultHold, Rules: load(t), Findings: reported}
	if change != nil {
		change(&o)
	}
	return New(o)
}

// found is a result of one check with these findings.
func found(names ...string) []checks.Result {
	res := checks.Result{Check: "content"}
	for _, n := range names {
		res.Findings = append(res.Findings, checks.Finding{Name: n})
	}
	return []checks.Result{res}
}

func inbound() *message.Message {
	return &message.Message{Role: message.Inbound, Recipients: []message.Recipient{{Path: message.ParsePath("<ann@here.test>")}}}
}

// shown gives the findings of a verdict as "NAME=points", opinion with ~,
// shadow with #.
func shown(v message.Verdict) string {
	var all []string
	for _, f := range v.Findings {
		s := fmt.Sprintf("%s=%g", f.Name, f.Score)
		if f.Subjective {
			s += "~"
		}
		if f.Shadow {
			s += "#"
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

func TestWeights(t *testing.T) {
	p := newPolicy(t, usual(), nil)
	for _, c := range []struct {
		name      string
		found     string
		want      string
		score     float64
		objective float64
	}{
		{"nothing", "", "", 0, 0},
		{"finding of a check", "FACT", "FACT=3", 3, 3},
		{"finding without a weight", "UNHEARD_OF", "UNHEARD_OF=0", 0, 0},
		{"rule", "HIT", "HIT=6", 6, 6},
		{"opinion", "BAYES", "BAYES=10~", 10, 0},
		{"the same twice weighs once", "FACT FACT FACT", "FACT=3 FACT=0 FACT=0", 3, 3},
		{"composite", "HIT STRONG", "HIT=6 STRONG=15 BOTH=1", 22, 22},
		{"composite of absence", "NEITHER_FACT", "NEITHER_FACT=0 NEITHER=2", 2, 2},
		{"absence not given", "NEITHER_FACT HIT", "NEITHER_FACT=0 HIT=6", 6, 6},
		{"composite of opinion is opinion, and so is what names it", "HIT BAYES",
			"HIT=6 BAYES=10~ OPINION=10~ OPINION_TWICE=10~", 36, 6},
		{"absence of opinion is opinion, and so is what names it", "MEMBER_GOOD",
			"MEMBER_GOOD=-2 OPINION_ABSENT=10~ OPINION_TWICE=10~", 18, -2},
		{"shadow is counted, never scored, and changes no score on a detour", "SHADOWED HIT",
			"SHADOWED=0# HIT=6 SHADOW_ON_SHADOW=0# SHADOW_TWICE=0#", 6, 6},
		{"to others a shadow has not hit", "SHADOWED HIT TENTH",
			"SHADOWED=0# HIT=6 TENTH=0.1 NOT_SHADOW=0.5 SHADOW_ON_SHADOW=0# SHADOW_TWICE=0#", 6.6, 6.6},
		{"what is off has not hit", "HIT", "HIT=6", 6, 6},
		{"binary fractions leave nothing behind", "TENTH FIFTH", "TENTH=0.1 FIFTH=0.2", 0.3, 0.3},
		{"what nobody sees is nothing, and not below it", "TINY", "TINY=-1e-07", 0, 0},
		{"group below its cap", "MEMBER_ONE MEMBER_THREE", "MEMBER_ONE=5 MEMBER_THREE=3", 8, 8},
		{"the last members of a group pay", "MEMBER_ONE MEMBER_TWO MEMBER_THREE",
			"MEMBER_ONE=5 MEMBER_TWO=3 MEMBER_THREE=0", 8, 8},
		{"who comes first is first", "MEMBER_THREE MEMBER_TWO MEMBER_ONE",
			"MEMBER_THREE=3 MEMBER_TWO=4 MEMBER_ONE=1", 8, 8},
		{"others are not the group's business", "MEMBER_ONE FACT MEMBER_TWO",
			"MEMBER_ONE=5 FACT=3 MEMBER_TWO=3", 11, 11},
		{"what speaks for the message makes room", "MEMBER_ONE MEMBER_TWO MEMBER_GOOD BAYES",
			"MEMBER_ONE=5 MEMBER_TWO=4 MEMBER_GOOD=-2 BAYES=10~", 17, 7},
		{"opinion does not push evidence out of the group", "GROUP_OPINION MEMBER_ONE MEMBER_TWO",
			"GROUP_OPINION=0~ MEMBER_ONE=5 MEMBER_TWO=3", 8, 8},
		{"opinion fills what evidence leaves", "GROUP_OPINION MEMBER_ONE",
			"GROUP_OPINION=3~ MEMBER_ONE=5", 8, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := p.Decide(Facts{Message: inbound(), Results: found(strings.Fields(c.found)...)})
			if got := shown(v); got != c.want || v.Score != c.score || v.Objective != c.objective {
				t.Errorf("got  %s: %g, objective %g\nwant %s: %g, objective %g", got, v.Score, v.Objective, c.want, c.score, c.objective)
			}
			if v.Score == 0 && math.Signbit(v.Score) {
				t.Error("the score is -0, which JSON shows")
			}
		})
	}
}

// Every finding says where it comes from; cuts and composites say why.
func TestFindingsExplainThemselves(t *testing.T) {
	v := newPolicy(t, usual(), nil).Decide(Facts{Message: inbound(), Results: []checks.Result{
		{Check: "content", Findings: []checks.Finding{{Name: "HIT", Detail: `"hit"`}, {Name: "MEMBER_ONE"}, {Name: "MEMBER_TWO", Detail: "two"}}},
		{Check: "bayes", Findings: []checks.Finding{{Name: "BAYES", Value: 0.99}}},
	}})
	want := []message.Finding{
		{Name: "HIT", Check: "content", Score: 6, Detail: `"hit"`},
		{Name: "MEMBER_ONE", Check: "content", Score: 5},
		{Name: "MEMBER_TWO", Check: "content", Score: 3, Detail: "two; capped by group members"},
		{Name: "BAYES", Check: "bayes", Score: 10, Value: 0.99, Subjective: true},
		{Name: "OPINION", Check: "rules", Score: 10, Subjective: true, Detail: "HIT && BAYES"},
		{Name: "OPINION_TWICE", Check: "rules", Score: 10, Subjective: true, Detail: "OPINION || OPINION_ABSENT"},
	}
	if diff := cmp.Diff(want, v.Findings); diff != "" {
		t.Error(diff)
	}
}

// The reject arithmetic of the contract: objective evidence may reject, learned
// opinion may only file; it may save and never condemn.
func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		name       string
		found      string
		thresholds message.Thresholds
		want       message.Action
		by         string
	}{
		{"nothing speaks against it", "", usual(), message.Accept, "default"},
		{"below junk", "FACT", usual(), message.Accept, "default"},
		{"just junk", "HIT", usual(), message.Junk, "score"},
		{"just reject", "STRONG", usual(), message.RejectMail, "score"},
		{"opinion alone files", "BAYES", usual(), message.Junk, "score"},
		{"opinion never condemns", "HIT BAYES", usual(), message.Junk, "score"}, // 36, objective 6
		{"opinion on top of enough evidence", "STRONG BAYES", usual(), message.RejectMail, "score"},
		{"opinion saves", "STRONG BAYES_HAM", usual(), message.Accept, "default"}, // 5, objective 15
		{"opinion saves from refusal only", "STRONG FACT BAYES_HAM", usual(), message.Junk, "score"},
		{"reject off", "STRONG HIT", message.Thresholds{Greylist: at(4), Junk: at(6)}, message.Junk, "score"},
		{"junk off, evidence", "STRONG", message.Thresholds{Reject: at(15)}, message.RejectMail, "score"},
		{"junk off, opinion over reject files", "HIT BAYES", message.Thresholds{Reject: at(15)}, message.Junk, "score"},
		{"junk off, between", "HIT", message.Thresholds{Reject: at(15)}, message.Accept, "default"},
		{"greylist alone is no action of the score", "FACT", message.Thresholds{Greylist: at(1)}, message.Accept, "default"},
		{"all off", "STRONG HIT BAYES", message.Thresholds{}, message.Accept, "default"},
		{"threshold and sum agree on what is 0.3", "TENTH FIFTH", message.Thresholds{Junk: at(0.3), Reject: at(0.3)}, message.RejectMail, "score"},
		{"digits nobody sees do not matter", "TENTH FIFTH", message.Thresholds{Junk: at(0.30000000004)}, message.Junk, "score"},
		{"junk of zero takes all", "", message.Thresholds{Junk: at(0)}, message.Junk, "score"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newPolicy(t, c.thresholds, nil).Decide(Facts{Message: inbound(), Results: found(strings.Fields(c.found)...)})
			if v.Action != c.want || v.DecidedBy != c.by {
				t.Errorf("%s by %s, want %s by %s (%s)", v.Action, v.DecidedBy, c.want, c.by, shown(v))
			}
			want := message.Reply{}
			if c.want == message.RejectMail {
				want = message.ReplySpam
			}
			if v.Reply != want {
				t.Errorf("reply %q, want %q", v.Reply, want)
			}
			if v.Mitigation != "" || v.Would != "" || v.HoldReason != "" {
				t.Errorf("nothing was softened or held: %+v", v)
			}
		})
	}
}

// What scoring finds itself weighs and combines like any other finding.
func TestPrivateClientIsAFinding(t *testing.T) {
	v := newPolicy(t, usual(), nil).Decide(Facts{Message: inbound(), Private: true})
	if got, want := shown(v), "CLIENT_PRIVATE=0.25 PRIVATE_TOO=0.5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if v := newPolicy(t, usual(), nil).Decide(Facts{Message: inbound()}); len(v.Findings) != 0 {
		t.Errorf("not private: %s", shown(v))
	}
}

// What comes back from our own content filter was decided before.
func TestReinjectIsNotJudged(t *testing.T) {
	m := inbound()
	m.Role = message.Reinject
	v := newPolicy(t, usual(), nil).Decide(Facts{Message: m, Results: append(found("STRONG"), checks.Result{
		Check: "dmarc", Demand: &checks.Demand{Action: message.RejectMail, Reply: message.ReplySpam, Always: true, Outbound: true},
	}), Faults: []string{"spf"}})
	want := message.Verdict{Action: message.Accept, DecidedBy: "reinject", Thresholds: usual(), Mode: message.Enforce}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Error(diff)
	}
}
