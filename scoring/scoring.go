// Package scoring decides. It weighs what the checks found, applies the rules
// that combine findings, follows the demands of checks whose mode asks for an
// action, and says what becomes of the message. [Policy.Decide] is a pure
// function of its arguments: nothing in it waits, remembers or looks at a
// clock, so any verdict can be computed again from what the journal keeps.
//
// Two principles stand above all numbers. Objective evidence may reject,
// learned opinion may only file: to reject by score, the objective part alone
// must reach the threshold, and the total as well, so that opinion may save
// but never condemn. And what milterd may do ends where nobody is there to be
// refused: relays and fetchers of ours, postmaster, our own users.
package scoring

import (
	"fmt"
	"math"
	"slices"

	"milterd/checks"
	"milterd/message"
	"milterd/rules"
)

// OwnFault is what becomes of a message on which milterd itself failed again
// and again.
type OwnFault string

// The values of the configuration key own_fault.
const (
	FaultHold     OwnFault = "hold"
	FaultJunk     OwnFault = "junk"
	FaultTempFail OwnFault = "tempfail"
)

// Options is the operator's will.
type Options struct {
	Mode       message.Mode
	Thresholds message.Thresholds
	OwnFault   OwnFault
	// Rules are the rules and the weights of what checks report.
	Rules *rules.Set
	// Findings are all that checks may report: which of them are opinion.
	Findings []checks.FindingSpec
}

// Policy is the operator's will, compiled. It is immutable.
type Policy struct {
	Mode       message.Mode
	Thresholds message.Thresholds
	OwnFault   OwnFault

	weights    map[string]weight
	composites []composite
	groups     []rules.Group
}

// weight is what a finding or a text rule's hit is worth.
type weight struct {
	points             float64
	shadow, subjective bool
}

type composite struct {
	rules.Composite
	weight
}

// New compiles a policy. A composite that names a subjective finding, directly
// or through another composite, is subjective itself, even where it names its
// absence.
func New(o Options) *Policy {
	p := &Policy{Mode: o.Mode, Thresholds: o.Thresholds, OwnFault: o.OwnFault,
		weights: map[string]weight{}, groups: o.Rules.Groups}
	for name, s := range o.Rules.Scores {
		p.weights[name] = weight{points: s.Points}
	}
	for _, f := range o.Findings {
		w := p.weights[f.Name]
		w.subjective = f.Subjective
		p.weights[f.Name] = w
	}
	for _, r := range o.Rules.Texts {
		p.weights[r.Name] = weight{points: r.Score, shadow: r.State == rules.Shadow}
	}
	for _, c := range o.Rules.Composites {
		if c.State == rules.Off {
			continue
		}
		w := weight{points: c.Score, shadow: c.State == rules.Shadow}
		for _, name := range c.Names {
			w.subjective = w.subjective || p.weights[name].subjective
		}
		p.weights[c.Name] = w
		p.composites = append(p.composites, composite{c, w})
	}
	return p
}

// Facts are what is known of a message when it is to be decided.
type Facts struct {
	Message *message.Message
	// Results of the checks in plan order.
	Results []checks.Result
	// Faults names the checks that failed and whose failure must not let the
	// mail through; FaultsExhausted says that it has waited long enough.
	Faults          []string
	FaultsExhausted bool
	// Private says that the client has a private address that no key of
	// networks names.
	Private bool
}

// Findings that scoring itself makes.
const (
	// FindingPrivate hints that a key of networks is missing.
	FindingPrivate = "CLIENT_PRIVATE"
	// findingPolicySuffix follows the name of the finding on which a demand to
	// file a message rests.
	findingPolicySuffix = "_POLICY"
)

// decision is a verdict in the making.
type decision struct {
	p    *Policy
	f    *Facts
	v    message.Verdict
	// hits are the findings that are there; a shadow rule's hit is seen by
	// shadow composites only, so that it changes no score on a detour.
	hits, shadowHits map[string]bool
}

// Decide returns the verdict on a message.
func (p *Policy) Decide(f Facts) message.Verdict {
	d := &decision{p: p, f: &f, hits: map[string]bool{}, shadowHits: map[string]bool{}}
	d.v = message.Verdict{Action: message.Accept, DecidedBy: "default", Thresholds: p.Thresholds}
	if f.Message.Role == message.Reinject {
		d.v.DecidedBy = "reinject"
		return d.v
	}
	d.weighFindings()
	d.weighComposites()
	d.capGroups()
	if f.Private {
		d.add(message.Finding{Name: FindingPrivate, Check: "scoring", Detail: "client has a private address outside networks.mynetworks"})
	}
	d.sum()
	d.actByScore()
	d.followDemands()
	d.actOnFaults()
	d.mitigate()
	d.applyMode()
	if !d.v.Action.Refuses() {
		d.v.Reply = message.Reply{}
	}
	return d.v
}

func (d *decision) add(f message.Finding) {
	if f.Shadow {
		d.shadowHits[f.Name] = true
	} else {
		d.hits[f.Name] = true
	}
	d.v.Findings = append(d.v.Findings, f)
}

// weighFindings gives each finding its weight: that of the rule that made it,
// or the one in scores.
func (d *decision) weighFindings() {
	for i := range d.f.Results {
		res := &d.f.Results[i]
		for _, found := range res.Findings {
			d.add(d.p.weights[found.Name].finding(found.Name, res.Check, found.Value, found.Detail))
		}
	}
}

// weighComposites adds the rules with when. They stand in an order in which
// each comes after those it names.
func (d *decision) weighComposites() {
	for i := range d.p.composites {
		c := &d.p.composites[i]
		if c.Eval(func(name string) float64 {
			if d.hits[name] || c.shadow && d.shadowHits[name] {
				return 1
			}
			return 0
		}) {
			d.add(c.finding(c.Name, "rules", 0, c.When()))
		}
	}
}

func (w weight) finding(name, check string, value float64, detail string) message.Finding {
	f := message.Finding{Name: name, Check: check, Score: w.points, Value: value, Detail: detail,
		Subjective: w.subjective, Shadow: w.shadow}
	if w.shadow {
		f.Score = 0
	}
	return f
}

// capGroups takes from the last members of a group what goes over its cap, so
// that the points shown still add up to the score.
func (d *decision) capGroups() {
	for _, g := range d.p.groups {
		left := g.Max
		for i := range d.v.Findings {
			f := &d.v.Findings[i]
			if f.Score <= 0 || !slices.Contains(g.Rules, f.Name) {
				continue
			}
			if f.Score > left {
				f.Detail = appendNote(f.Detail, fmt.Sprintf("capped by group %s", g.Name))
				f.Score = max(left, 0)
			}
			left -= f.Score
		}
	}
}

func appendNote(detail, note string) string {
	if detail == "" {
		return note
	}
	return detail + "; " + note
}

func (d *decision) sum() {
	d.v.Score, d.v.Objective = 0, 0
	for _, f := range d.v.Findings {
		d.v.Score += f.Score
		if !f.Subjective {
			d.v.Objective += f.Score
		}
	}
	d.v.Score, d.v.Objective = round(d.v.Score), round(d.v.Objective)
}

// round drops what adding binary fractions leaves behind, so that 1.1+2.2 is
// not above a threshold of 3.3 by accident.
func round(x float64) float64 { return math.Round(x*1e6) / 1e6 }

func reached(threshold *float64, score float64) bool { return threshold != nil && score >= *threshold }

// actByScore applies the thresholds. Greylisting is no action of the score
// alone: the greylist check demands it, within the band of its threshold.
func (d *decision) actByScore() {
	t := &d.p.Thresholds
	switch {
	case reached(t.Reject, d.v.Score) && reached(t.Reject, d.v.Objective):
		d.v.Action, d.v.Reply, d.v.DecidedBy = message.RejectMail, message.ReplySpam, "score"
	case reached(t.Junk, d.v.Score), reached(t.Reject, d.v.Score):
		d.v.Action, d.v.DecidedBy = message.Junk, "score"
	}
}

// severity orders actions from mild to harsh where several are asked for.
var severity = map[message.Action]int{
	message.Accept: 0, message.Junk: 1, message.Greylist: 2, message.TempFail: 3,
	message.Quarantine: 4, message.RejectMail: 5, message.Discard: 6,
}

// followDemands takes the harshest of what the checks' modes ask for, if it is
// harsher than what the score says. A rejection for a certain cause names its
// cause to the sender, also where the score would reject as well.
func (d *decision) followDemands() {
	for i := range d.f.Results {
		res := &d.f.Results[i]
		dem := res.Demand
		if dem == nil || d.f.Private && !dem.Always || d.f.Message.Role == message.Outbound && !dem.Always && !dem.Outbound {
			continue
		}
		if dem.Action == message.Greylist && !d.undecided() {
			continue
		}
		if dem.Action == message.Junk {
			d.fileToJunk(dem, res.Check)
			continue
		}
		if severity[dem.Action] > severity[d.v.Action] || dem.Action == message.RejectMail && d.v.DecidedBy == "score" {
			d.v.Action, d.v.Reply, d.v.DecidedBy = dem.Action, dem.Reply, res.Check
			d.v.HoldReason = ""
			if dem.Action == message.Quarantine {
				d.v.HoldReason = dem.Finding
			}
		}
	}
}

// undecided reports whether the score lies from greylist to junk.
func (d *decision) undecided() bool {
	t := &d.p.Thresholds
	return reached(t.Greylist, d.v.Score) && !reached(t.Junk, d.v.Score)
}

// fileToJunk follows a demand for junk by a finding with the points it takes,
// so that score, flag and Sieve's spamtest agree.
func (d *decision) fileToJunk(dem *checks.Demand, check string) {
	if t := d.p.Thresholds.Junk; t != nil && d.v.Score < *t {
		d.add(message.Finding{Name: dem.Finding + findingPolicySuffix, Check: check, Score: round(*t - d.v.Score),
			Detail: "points that file the message to junk"})
		d.sum()
	}
	if severity[message.Junk] > severity[d.v.Action] {
		d.v.Action, d.v.DecidedBy = message.Junk, check
	}
}

// actOnFaults makes mail wait that could not be checked. What is refused for
// good anyway stays refused.
func (d *decision) actOnFaults() {
	if len(d.f.Faults) == 0 || d.v.Action == message.RejectMail || d.v.Action == message.Discard {
		return
	}
	by := "own_fault:" + d.f.Faults[0]
	if !d.f.FaultsExhausted || d.p.OwnFault == FaultTempFail {
		d.v.Action, d.v.Reply, d.v.DecidedBy = message.TempFail, message.ReplyOwnFault, by
		return
	}
	d.v.DecidedBy = by
	if d.p.OwnFault == FaultJunk {
		d.v.Action = message.Junk
		return
	}
	d.v.Action, d.v.HoldReason = message.Quarantine, "unscanned: "+d.f.Faults[0]+" failed"
}
