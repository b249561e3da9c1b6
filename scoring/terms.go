package scoring

import (
	"math"
	"slices"

	"milterd/checks"
	"milterd/message"
)

// Exception is what the operator wants for a part of the mail, other than for
// the rest (configuration key policies). What it leaves nil stays as it is for
// all mail.
type Exception struct {
	Name string
	// Applies reports whether the exception holds for a recipient of a message.
	Applies func(m *message.Message, to *message.Recipient) bool
	Mode    message.Mode // empty: as for all mail
	// Thresholds replace those of all mail where they are set; one that is
	// math.Inf(1) is off.
	Thresholds message.Thresholds
	// Without names the checks whose findings and demands do not count.
	Without []string
}

// terms are what a message is decided on for one recipient: what the operator
// wants for all mail, or that and the first exception which applies.
type terms struct {
	policy     string
	mode       message.Mode
	thresholds message.Thresholds
	without    []string
	applies    func(*message.Message, *message.Recipient) bool
}

func (t *terms) except(e *Exception) *terms {
	x := &terms{policy: e.Name, mode: t.mode, thresholds: t.thresholds, without: e.Without, applies: e.Applies}
	if e.Mode != "" {
		x.mode = e.Mode
	}
	for _, step := range []struct{ from, to **float64 }{
		{&e.Thresholds.Greylist, &x.thresholds.Greylist},
		{&e.Thresholds.Junk, &x.thresholds.Junk},
		{&e.Thresholds.Reject, &x.thresholds.Reject},
	} {
		switch {
		case *step.from == nil:
		case math.IsInf(**step.from, 1):
			*step.to = nil
		default:
			*step.to = rounded(*step.from)
		}
	}
	return x
}

// termsFor returns the terms of one recipient.
func (p *Policy) termsFor(m *message.Message, to *message.Recipient) *terms {
	for _, x := range p.exceptions {
		if x.applies(m, to) {
			return x
		}
	}
	return &p.terms
}

// decideForAll decides on the terms of each recipient and takes the mildest
// verdict: who is refused is refused for all of them, so that refusing takes
// every recipient's consent.
func (p *Policy) decideForAll(f *Facts) message.Verdict {
	type group struct {
		terms   *terms
		verdict message.Verdict
	}
	var groups []group
	verdict := func(t *terms) *message.Verdict {
		for i := range groups {
			if groups[i].terms == t {
				return &groups[i].verdict
			}
		}
		groups = append(groups, group{t, p.decide(t, f)})
		return &groups[len(groups)-1].verdict
	}
	var each []message.RecipientVerdict
	for i := range f.Message.Recipients {
		to := &f.Message.Recipients[i]
		v := verdict(p.termsFor(f.Message, to))
		each = append(each, message.RecipientVerdict{
			Recipient: to.Path.Raw, Policy: v.Policy, Action: v.Action, Would: v.Would, DecidedBy: v.DecidedBy})
	}
	if len(groups) == 0 { // no recipient: nobody's exception
		return p.decide(&p.terms, f)
	}
	mildest, mode := groups[0].verdict, groups[0].verdict.Mode
	for _, g := range groups[1:] {
		if severity[g.verdict.Action] < severity[mildest.Action] {
			mildest = g.verdict
		}
		mode = further(mode, g.verdict.Mode)
	}
	if len(groups) > 1 {
		mildest.Recipients = each
		mildest.Mode = mode
	}
	return mildest
}

// further returns the mode that does more.
func further(a, b message.Mode) message.Mode {
	order := []message.Mode{message.Observe, message.Tag, message.Enforce}
	if slices.Index(order, a) > slices.Index(order, b) {
		return a
	}
	return b
}

// exempt collects the checks that do not count for this message: those that the
// terms leave out, and those from which another result exempts it.
func (d *decision) exempt() {
	d.without = map[string]string{}
	for _, name := range d.terms.without {
		d.without[name] = "policy " + d.terms.policy
	}
	for i := range d.f.Results {
		for _, name := range d.f.Results[i].Exempt {
			d.without[name] = d.f.Results[i].Check
		}
	}
}

// demands yields what the checks' modes ask for, but for exempted checks.
func (d *decision) demands(yield func(dem *checks.Demand, check string) bool) {
	for i := range d.f.Results {
		res := &d.f.Results[i]
		if res.Demand == nil {
			continue
		}
		if _, exempt := d.without[res.Check]; exempt {
			continue
		}
		if !yield(res.Demand, res.Check) {
			return
		}
	}
}
