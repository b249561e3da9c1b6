package scoring

import (
	"slices"

	"milterd/checks"
)

// Shift is what else changes in a score when one finding takes the place of another.
type Shift struct {
	Finding string
	Points  float64
}

// Instead says what would change if of a family of findings, of which a check reports
// one, it had reported another: for each name what is to be added to the score, beside
// the difference of the points that the finding had and the name has, because of rules
// that combine it with something else and of caps of groups. Names for which that is
// nothing are left out. It is for opinions that are asked again later,
// when the other findings are not known any more.
func (p *Policy) Instead(f Facts, check string, family []string) []Shift {
	if !p.combines(family) {
		return nil
	}
	now := p.Decide(f)
	without := now.Score
	for i := range now.Findings {
		if found := &now.Findings[i]; slices.Contains(family, found.Name) {
			without -= found.Score
		}
	}
	var all []Shift
	for _, name := range family {
		then := p.Decide(f.with(check, name))
		more := then.Score - without
		for i := range then.Findings {
			if found := &then.Findings[i]; found.Name == name && !found.Shadow {
				more -= p.of(name).points
			}
		}
		if more = round(more); more != 0 {
			all = append(all, Shift{name, more})
		}
	}
	return all
}

// combines reports whether a composite or a group names one of the family.
func (p *Policy) combines(family []string) bool {
	return slices.ContainsFunc(family, func(name string) bool {
		t := p.of(name)
		return t.group >= 0 || len(t.namedBy) > 0
	})
}

// with are the facts if a check had found this one thing.
func (f Facts) with(check, finding string) Facts {
	f.Results = slices.Clone(f.Results)
	at := slices.IndexFunc(f.Results, func(r checks.Result) bool { return r.Check == check })
	if at < 0 {
		at = len(f.Results)
		f.Results = append(f.Results, checks.Result{Check: check})
	}
	f.Results[at].Findings = []checks.Finding{{Name: finding}}
	return f
}
