package scoring

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/message"

	"github.com/google/go-cmp/cmp"
)

// randomFacts makes a message with anything that can be known of one.
func randomFacts(rnd *rand.Rand) Facts {
	names := []string{"HIT", "STRONG", "SHADOWED", "MEMBER_ONE", "MEMBER_TWO", "MEMBER_THREE", "MEMBER_GOOD", "GROUP_OPINION",
		"TENTH", "FIFTH", "BAYES", "BAYES_HAM", "FACT", "NEITHER_FACT"}
	actions := []message.Action{message.Junk, message.Quarantine, message.Discard, message.Greylist, message.TempFail, message.RejectMail}
	f := Facts{Message: inbound(), Private: rnd.IntN(8) == 0}
	for _, change := range []func(*message.Message){relay, fetcher, postmaster, ours} {
		if rnd.IntN(6) == 0 {
			change(f.Message)
		}
	}
	for _, check := range []string{"content", "dmarc", "clamav", "lists"} {
		res := checks.Result{Check: check}
		for range rnd.IntN(5) {
			res.Findings = append(res.Findings, checks.Finding{Name: names[rnd.IntN(len(names))]})
		}
		if rnd.IntN(4) == 0 {
			a := actions[rnd.IntN(len(actions))]
			res.Demand = demand(check, a).Demand
			res.Demand.Always, res.Demand.Outbound = rnd.IntN(4) == 0, rnd.IntN(4) == 0
		}
		f.Results = append(f.Results, res)
	}
	if rnd.IntN(6) == 0 {
		f.Faults, f.FaultsExhausted = []string{"spf"}, rnd.IntN(2) == 0
	}
	return f
}

// What must hold of every verdict, whatever is known of the message.
func TestEveryVerdict(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	modes := []message.Mode{message.Observe, message.Tag, message.Enforce}
	thresholds := []message.Thresholds{usual(), {}, {Junk: at(6)}, {Reject: at(15)}, {Greylist: at(2), Junk: at(3.3), Reject: at(3.3)}}
	var policies []*Policy
	for _, th := range thresholds {
		for _, mode := range modes {
			policies = append(policies, newPolicy(t, th, func(o *Options) { o.Mode = mode }))
		}
	}
	for range 8_000 {
		p := policies[rnd.IntN(len(policies))]
		f := randomFacts(rnd)
		v := p.Decide(f)

		if again := p.Decide(f); !reflect.DeepEqual(v, again) {
			t.Fatalf("the same facts twice: %s", cmp.Diff(v, again))
		}
		var score, objective, members float64
		for _, x := range v.Findings {
			score += x.Score
			if !x.Subjective {
				objective += x.Score
			}
			if strings.HasPrefix(x.Name, "MEMBER_") || x.Name == "GROUP_OPINION" {
				members += x.Score
			}
			if x.Shadow && x.Score != 0 {
				t.Fatalf("a shadow weighs: %+v", x)
			}
		}
		harshest := v.Action
		if v.Would != "" {
			harshest = v.Would
		}
		switch {
		case round(score) != v.Score || round(objective) != v.Objective:
			t.Fatalf("findings add up to %g and %g, the verdict says %g and %g: %s", score, objective, v.Score, v.Objective, shown(v))
		case round(members) > 8:
			t.Fatalf("the group brings %g: %s", members, shown(v))
		case v.Action.Refuses() == v.Reply.IsZero():
			t.Fatalf("%s with reply %q", v.Action, v.Reply)
		case v.Action.Refuses() && v.Reply.Temporary() != (v.Action != message.RejectMail):
			t.Fatalf("%s with reply %q", v.Action, v.Reply)
		case (v.Action == message.Quarantine) != (v.HoldReason != ""):
			t.Fatalf("%s with hold reason %q", v.Action, v.HoldReason)
		case p.terms.mode != message.Enforce && (v.Action.Refuses() || v.Action == message.Discard || v.Action == message.Quarantine):
			t.Fatalf("mode %s ends in %s", p.terms.mode, v.Action)
		case v.Action == message.Junk && p.terms.thresholds.Junk != nil && v.Score < *p.terms.thresholds.Junk:
			t.Fatalf("junk with %g: %s", v.Score, shown(v))
		case harshest == message.RejectMail && v.DecidedBy == "score" &&
			(p.terms.thresholds.Reject == nil || v.Objective < *p.terms.thresholds.Reject || v.Score < *p.terms.thresholds.Reject):
			t.Fatalf("refused by score with %g, objective %g", v.Score, v.Objective)
		case !f.Message.Peer.Refusable() && f.Message.Role == message.Inbound && len(f.Faults) == 0 && (harshest.Refuses() || harshest == message.Discard):
			t.Fatalf("%s for a %s", harshest, f.Message.Peer)
		case len(f.Faults) > 0 && (harshest == message.Accept || !f.FaultsExhausted && harshest == message.Junk):
			t.Fatalf("%s of a message that was not checked", harshest)
		}

		// Which check stands before which does not matter to what becomes of the
		// message, as long as no two ask for the same and no group must choose.
		rnd.Shuffle(len(f.Results), func(i, j int) { f.Results[i], f.Results[j] = f.Results[j], f.Results[i] })
		if other := p.Decide(f); other.Action != v.Action || other.Would != v.Would || other.Score != v.Score {
			if !sameDemandTwice(f) {
				t.Fatalf("in another order %s (%g), was %s (%g)", other.Action, other.Score, v.Action, v.Score)
			}
		}
	}
}

// sameDemandTwice reports whether two checks ask for one action: which of them
// is followed then says who is spared.
func sameDemandTwice(f Facts) bool {
	var seen []message.Action
	for _, r := range f.Results {
		if r.Demand == nil {
			continue
		}
		if slices.Contains(seen, r.Demand.Action) {
			return true
		}
		seen = append(seen, r.Demand.Action)
	}
	return false
}

func BenchmarkDecide(b *testing.B) {
	p := newPolicy(b, usual(), nil)
	f := Facts{Message: inbound(), Results: found("SPF_PASS", "MEMBER_ONE", "TENTH")}
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(f)
	}
}
