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
	// Exceptions are tried in order for each recipient; the first that applies
	// holds.
	Exceptions []Exception
	// Rules are the rules and the weights of what checks report.
	Rules *rules.Set
	// Findings are all that checks may report: which of them are opinion.
	Findings []checks.FindingSpec
}

// Policy is the operator's will, compiled. It is immutable.
type Policy struct {
	ownFault   OwnFault
	terms      terms // of all mail
	exceptions []*terms

	traits     map[string]*trait // by name of a finding
	composites []composite
	groups     []rules.Group
}

// trait is what the policy knows of a finding.
type trait struct {
	weight
	number  int   // of this trait
	namedBy []int // the composites that name it
	group   int   // that it is a member of, -1 for none
}

// unknown is the trait of what nobody has named: it is shown, and that is all.
var unknown = trait{number: -1, group: -1}

// of returns what is known of a finding.
func (p *Policy) of(name string) *trait {
	if t := p.traits[name]; t != nil {
		return t
	}
	return &unknown
}

// named returns what is to be known of a finding, for changes.
func (p *Policy) named(name string) *trait {
	t := p.traits[name]
	if t == nil {
		t = &trait{number: len(p.traits), group: -1}
		p.traits[name] = t
	}
	return t
}

// weight is what a finding or a text rule's hit is worth.
type weight struct {
	points             float64
	shadow, subjective bool
	// counted says that composites see the value: how often a rule matched.
	counted bool
}

type composite struct {
	rules.Composite
	weight
	// always says that it hits when none of its names does.
	always bool
}

// New compiles a policy. A composite that names a subjective finding, directly
// or through another composite, is subjective itself, even where it names its
// absence.
func New(o Options) *Policy {
	p := &Policy{ownFault: o.OwnFault, traits: map[string]*trait{}, groups: o.Rules.Groups,
		terms: terms{mode: o.Mode, thresholds: message.Thresholds{
			Greylist: rounded(o.Thresholds.Greylist), Junk: rounded(o.Thresholds.Junk), Reject: rounded(o.Thresholds.Reject),
		}}}
	for i := range o.Exceptions {
		p.exceptions = append(p.exceptions, p.terms.except(&o.Exceptions[i]))
	}
	for name, s := range o.Rules.Scores {
		p.named(name).points = s.Points
	}
	for _, f := range o.Findings {
		p.named(f.Name).subjective = f.Subjective
	}
	for _, r := range o.Rules.Texts {
		p.named(r.Name).weight = weight{points: r.Score, shadow: r.State == rules.Shadow, counted: r.Count > 0}
	}
	for _, c := range o.Rules.Composites {
		if c.State == rules.Off {
			continue
		}
		w := weight{points: c.Score, shadow: c.State == rules.Shadow}
		for _, name := range c.Names {
			t := p.named(name)
			t.namedBy = append(t.namedBy, len(p.composites))
			w.subjective = w.subjective || t.subjective
		}
		p.named(c.Name).weight = w
		p.composites = append(p.composites, composite{c, w, c.Eval(func(string) float64 { return 0 })})
	}
	for i := range p.groups {
		for _, name := range p.groups[i].Rules {
			p.named(name).group = i
		}
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
	Faults []string
	// FaultReply is what the client is told when the mail waits for them; zero stands
	// for [message.ReplyOwnFault].
	FaultReply      message.Reply
	FaultsExhausted bool
	// Private says that the client has a private address that no key of
	// networks names.
	Private bool
}

// Findings that scoring itself makes.
const (
	// FindingPrivate hints that a key of networks is missing.
	FindingPrivate = "CLIENT_PRIVATE"
	// policySuffix follows the name of the evidence for which a message is filed
	// to junk whatever its score.
	policySuffix = "_POLICY"
	// ownFault stands for that evidence where it is a fault of our own.
	ownFault = "OWN_FAULT"
)

// What decided where it was no check: values of Verdict.DecidedBy.
const (
	byDefault  = "default"
	byScore    = "score"
	byReinject = "reinject"
	byOwnFault = "own_fault:" // and the name of the check that failed
)

// decision is a verdict in the making.
type decision struct {
	p     *Policy
	terms *terms
	f     *Facts
	v     message.Verdict
	// without are the checks that do not count, each with the reason.
	without map[string]string
	// followed is the demand that the action goes back to, nil when there is none.
	followed *checks.Demand
	// traits are those of the verdict's findings.
	traits []*trait
	// hits are what is there, by the number of the trait; a shadow rule's hit is seen by
	// shadow composites only, so that it changes no score on a detour.
	hits []presence
	// concerned are the composites, by their number, that name something that is there.
	concerned []bool
	// counts are how often rules matched of which composites may know it.
	counts map[string]float64
}

// presence says that a finding is there: by a rule that counts, by one that does not, or
// by both.
type presence uint8

const (
	hit presence = 1 << iota
	shadowHit
)

// Decide returns the verdict on a message. Where the recipients' terms differ,
// it is the mildest of their verdicts.
func (p *Policy) Decide(f Facts) message.Verdict {
	if len(p.exceptions) == 0 {
		return p.decide(&p.terms, &f)
	}
	return p.decideForAll(&f)
}

func (p *Policy) decide(t *terms, f *Facts) message.Verdict {
	d := &decision{p: p, terms: t, f: f, hits: make([]presence, len(p.traits)), concerned: make([]bool, len(p.composites))}
	d.v = message.Verdict{Action: message.Accept, DecidedBy: byDefault, Thresholds: t.thresholds, Policy: t.policy, Mode: t.mode}
	if f.Message.Role == message.Reinject {
		d.v.DecidedBy = byReinject
		return d.v
	}
	d.exempt()
	d.weighFindings()
	d.weighComposites()
	d.capGroups()
	d.sum()
	d.actByScore()
	d.followDemands()
	d.mitigate()
	d.actOnFaults()
	d.applyMode()
	if !d.v.Action.Refuses() {
		d.v.Reply = message.Reply{}
	}
	if d.v.Action != message.Quarantine {
		d.v.HoldReason = ""
	}
	return d.v
}

func (d *decision) add(f message.Finding, t *trait) {
	if t != &unknown {
		if f.Shadow {
			d.hits[t.number] |= shadowHit
		} else {
			d.hits[t.number] |= hit
		}
	}
	for _, i := range t.namedBy {
		d.concerned[i] = true
	}
	d.v.Findings, d.traits = append(d.v.Findings, f), append(d.traits, t)
}

// weighFindings gives each finding its weight: that of the rule that made it,
// or the one in scores. One that is there twice, for two recipients or at two
// places, is shown twice and weighs once: a message to a hundred people is not
// a hundred times as bad.
func (d *decision) weighFindings() {
	found := 4 // few composites hit
	for i := range d.f.Results {
		found += len(d.f.Results[i].Findings)
	}
	d.v.Findings, d.traits = make([]message.Finding, 0, found), make([]*trait, 0, found)
	for i := range d.f.Results {
		res := &d.f.Results[i]
		for _, found := range res.Findings {
			d.weigh(res.Check, found)
		}
	}
	if d.f.Private {
		d.weigh("scoring", checks.Finding{Name: FindingPrivate, Detail: "client has a private address outside networks.mynetworks"})
	}
}

func (d *decision) weigh(check string, found checks.Finding) {
	t := d.p.of(found.Name)
	w := t.weight
	if t != &unknown && d.hits[t.number]&hit != 0 {
		w.points = 0
	}
	if why, exempt := d.without[check]; exempt {
		w.shadow = true
		found.Detail = appendNote(found.Detail, "not counted: "+why)
	}
	if w.counted {
		if d.counts == nil {
			d.counts = map[string]float64{}
		}
		d.counts[found.Name] = found.Value
	}
	d.add(w.finding(found.Name, check, found.Value, found.Detail), t)
}

// weighComposites adds the rules with when. They stand in an order in which
// each comes after those it names.
func (d *decision) weighComposites() {
	for i := range d.p.composites {
		if c := &d.p.composites[i]; d.hitBy(c, d.concerned[i]) {
			d.add(c.finding(c.Name, "rules", 0, c.When()), d.p.of(c.Name))
		}
	}
}

// hitBy says whether a composite hits. Most name nothing that is there.
func (d *decision) hitBy(c *composite, concerned bool) bool {
	if !concerned {
		return c.always
	}
	return c.Eval(func(name string) float64 {
		if is := d.hits[d.p.of(name).number]; is&hit == 0 && !(c.shadow && is&shadowHit != 0) {
			return 0
		}
		if n, counted := d.counts[name]; counted {
			return n
		}
		return 1
	})
}

func (w weight) finding(name, check string, value float64, detail string) message.Finding {
	f := message.Finding{Name: name, Check: check, Score: w.points, Value: value, Detail: detail,
		Subjective: w.subjective, Shadow: w.shadow}
	if w.shadow {
		f.Score = 0
	}
	return f
}

// capGroups takes from the last members of a group what they bring together
// over its cap, so that the points shown still add up to the score. Opinion is
// cut first: it must not push evidence out of the group, or a message would be
// harder to refuse because the users call it spam as well.
func (d *decision) capGroups() {
	over := make([]float64, len(d.p.groups))
	for i := range d.p.groups {
		over[i] = -d.p.groups[i].Max
	}
	for i := range d.v.Findings {
		if group := d.traits[i].group; group >= 0 {
			over[group] += d.v.Findings[i].Score
		}
	}
	for i, over := range over {
		over = d.cut(&d.p.groups[i], over, true)
		d.cut(&d.p.groups[i], over, false)
	}
}

// cut takes points from the members of a group that are opinion, or are not,
// and returns what is still too much.
func (d *decision) cut(g *rules.Group, over float64, opinion bool) float64 {
	for i := len(d.v.Findings) - 1; i >= 0 && round(over) > 0; i-- {
		f := &d.v.Findings[i]
		if f.Score <= 0 || f.Subjective != opinion || !slices.Contains(g.Rules, f.Name) {
			continue
		}
		less := min(f.Score, over)
		f.Score = round(f.Score - less)
		f.Detail = appendNote(f.Detail, fmt.Sprintf("capped by group %s", g.Name))
		over -= less
	}
	return over
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
func round(x float64) float64 { return math.Round(x*1e6)/1e6 + 0 } // + 0: never -0

func rounded(threshold *float64) *float64 {
	if threshold == nil {
		return nil
	}
	x := round(*threshold)
	return &x
}

func reached(threshold *float64, score float64) bool { return threshold != nil && score >= *threshold }

// actByScore applies the thresholds. Greylisting is no action of the score
// alone: the greylist check demands it, within the band of its threshold.
func (d *decision) actByScore() {
	switch {
	case d.rejects():
		d.v.Action, d.v.Reply, d.v.DecidedBy = message.RejectMail, message.ReplySpam, byScore
	case d.isSpam():
		d.v.Action, d.v.DecidedBy = message.Junk, byScore
	}
}

// rejects reports whether the score alone refuses the message.
func (d *decision) rejects() bool {
	t := &d.terms.thresholds
	return reached(t.Reject, d.v.Score) && reached(t.Reject, d.v.Objective)
}

// isSpam reports whether the score alone files the message to junk. What
// opinion has brought over the threshold for refusing is at least that, where
// there is none for junk.
func (d *decision) isSpam() bool {
	return reached(d.terms.thresholds.Junk, d.v.Score) || reached(d.terms.thresholds.Reject, d.v.Score)
}
