package dmarc

import (
	"context"

	"milterd/message"
)

// Rule says by what an Organizational Domain was determined.
type Rule string

// The rules, for people.
const (
	RuleNotPSD   Rule = "psd=n"                         // RFC 9989, section 4.10.2, rule 1
	RuleUnder    Rule = "below psd=y"                   // rule 2
	RuleFewest   Rule = "record with the fewest labels" // rule 3
	RuleItself   Rule = "no record, so it is itself"
	RuleSuffix   Rule = "below a public suffix" // RFC 7489, section 3.2
	RuleAtSuffix Rule = "a public suffix itself"
)

// walk is what a DNS Tree Walk found out about the domain it started at.
type walk struct {
	start message.Domain
	steps []*Step // up to where it stopped, longest name first
	org   message.Domain
	rule  Rule
	psd   *Step // the record with psd=y above org, or nil

	// err is why org is a guess: a name did not answer. widest is then the
	// shortest name that could be the Organizational Domain; else it is org.
	err    error
	widest message.Domain
}

// walk performs the DNS Tree Walk of RFC 9989, section 4.10, and determines the
// Organizational Domain of start (section 4.10.2). Questions behind the point
// where the RFC stops may be asked as well, answers from there never count.
func (l *lookups) walk(ctx context.Context, start message.Domain) walk {
	w := walk{start: start, org: start, rule: RuleItself}
	asked := l.ask(ctx, targets(start))
	w.steps = asked
	for i, s := range asked {
		if w.conclude(s) {
			w.steps = asked[:i+1]
			break
		}
	}
	w.widest = w.org
	found := false
	for _, s := range w.steps {
		found = found || s.Found()
		// DNS that fails for a public suffix alone says little: such names hardly
		// ever have a record, and with one found below, theirs could only make the
		// Organizational Domain wider, or the same. So nobody's mail waits for a
		// top-level domain whose servers cannot cope with an underscore.
		if s.Err == nil || found && isPublicSuffix(s.Domain, nil) {
			continue
		}
		if w.err == nil || isOverBudget(s.Err) {
			w.err = s.Err
		}
		if s.Domain.Labels() < w.widest.Labels() {
			w.widest = s.Domain
		}
	}
	return w
}

// conclude draws from one step, longest name first, what it says about the
// Organizational Domain, and reports whether the walk ends there.
func (w *walk) conclude(s *Step) (stop bool) {
	switch {
	case !s.Found():
		return false
	case s.Record.PSD == PSDNo:
		w.org, w.rule = s.Domain, RuleNotPSD
		return true
	case s.Record.PSD == PSDYes && s.Domain != w.start:
		w.org, w.rule, w.psd = ancestor(w.start, s.Domain.Labels()+1), RuleUnder, s
		return true
	}
	w.org, w.rule = s.Domain, RuleFewest
	return s.Record.PSD == PSDYes
}

// at returns the step for a name of the walk, or nil.
func (w *walk) at(name message.Domain) *Step {
	for _, s := range w.steps {
		if s.Domain == name {
			return s
		}
	}
	return nil
}

// targets returns the names that a walk asks, at most eight: start, then its
// parents, of which those with more than seven labels are left out (RFC 9989,
// section 4.10, steps 3 and 4).
func targets(start message.Domain) []message.Domain {
	names := make([]message.Domain, 1, MaxWalkQueries)
	names[0] = start
	next, ok := start.Parent()
	if ok {
		next = ancestor(next, MaxWalkQueries-1)
	}
	for ; ok; next, ok = next.Parent() {
		names = append(names, next)
	}
	return names
}

// ancestor returns d shortened to n labels from the right, or d itself where it
// has no more.
func ancestor(d message.Domain, n int) message.Domain {
	for range d.Labels() - n {
		d, _ = d.Parent()
	}
	return d
}
