package rules

import (
	"cmp"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
	"unicode"

	"milterd/internal/match"
	"milterd/internal/strictyaml"
)

// A Remark is what could be better about a rule that is in order.
type Remark struct {
	Pos  strictyaml.Pos
	Name string // of the rule or group
	What string
}

// String gives "file:line:col: NAME: what".
func (r Remark) String() string { return fmt.Sprintf("%s: %s: %s", r.Pos, r.Name, r.What) }

// Lint looks through a set for rules that cost much, prove nothing or can do
// nothing. now is the clock with which slow rules are measured. The remarks stand
// in the order of the files.
func Lint(set *Set, now func() time.Time) []Remark {
	l := linter{set: set, now: now, named: map[string]bool{}}
	for i := range set.Composites {
		for _, name := range set.Composites[i].Names {
			l.named[name] = true
		}
	}
	for _, g := range set.Groups {
		l.group(&g)
	}
	first := map[string]*TextRule{}
	for i := range set.Texts {
		r := &set.Texts[i]
		l.rule(&r.Rule, "text")
		if r.State == Off {
			continue
		}
		l.cost(r)
		l.twin(first, r)
	}
	for i := range set.Composites {
		c := &set.Composites[i]
		l.rule(&c.Rule, "names")
		l.dead(c)
	}
	slices.SortStableFunc(l.remarks, func(a, b Remark) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	return l.remarks
}

type linter struct {
	set     *Set
	now     func() time.Time
	named   map[string]bool // by composites, or in a group
	sample  string
	remarks []Remark
}

func (l *linter) add(r *Rule, format string, args ...any) {
	l.remarks = append(l.remarks, Remark{r.Pos, r.Name, fmt.Sprintf(format, args...)})
}

// rule looks at what all rules have.
func (l *linter) rule(r *Rule, what string) {
	tests := l.set.Tests[r.Name]
	switch {
	case len(tests.Hit)+len(tests.Miss) == 0:
		l.add(r, "has no tests, expected a %s that hits and one that misses", what)
	case len(tests.Hit) == 0:
		l.add(r, "has no test that hits")
	case len(tests.Miss) == 0:
		l.add(r, "has no test that misses")
	}
	if r.Describe == "" && r.Score != 0 {
		l.add(r, "has points and no describe: the log and its reader know it by this line")
	}
	if r.Score == 0 && r.State == Active && !l.named[r.Name] {
		l.add(r, "is worth 0 and no when names it")
	}
}

// cost looks at what an expression takes to search for.
func (l *linter) cost(r *TextRule) {
	if r.Match == "" {
		return
	}
	if r.Backtracking {
		l.add(&r.Rule, "needs backtracking: it is tried against the clock")
	}
	if r.Normalised != AsItIs && hasCapitals(r.Match) {
		l.add(&r.Rule, "has capital letters in its match, and a normalised text has none")
	}
	if !r.Text.Kind().Long {
		return
	}
	if c, err := match.Analyse(r.Match); err != nil || !c.Costly {
		return
	}
	l.add(&r.Rule, "is costly: no word must stand in what it matches, so it is tried on every %s; %s for 5 KB here", r.Text, l.measure(r))
}

// hasCapitals says whether an expression asks for a capital letter as such.
func hasCapitals(expr string) bool {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return false
	}
	var asks func(re *syntax.Regexp) bool
	asks = func(re *syntax.Regexp) bool {
		if re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase == 0 && slices.ContainsFunc(re.Rune, unicode.IsUpper) {
			return true
		}
		return slices.ContainsFunc(re.Sub, asks)
	}
	return asks(re)
}

// measure takes the time of a search through text that mail might have: what the
// tests of all rules are about.
func (l *linter) measure(r *TextRule) time.Duration {
	const size, rounds = 5000, 9
	if l.sample == "" {
		var b strings.Builder
		for b.Len() < size {
			for i := range l.set.Texts {
				for _, test := range l.set.Tests[l.set.Texts[i].Name].Miss {
					b.WriteString(test + "\n")
				}
			}
			b.WriteString("Dear reader, thank you for your order of 12 March. The invoice (EUR 23.40) is attached.\n")
		}
		l.sample = strings.ToValidUTF8(b.String()[:size], "")
	}
	set, err := match.Compile([]match.Pattern{r.Pattern(0)})
	if err != nil {
		return 0
	}
	var took []time.Duration
	for i := range rounds {
		run := match.NewRun(match.Limits{}, stopped)
		text := r.Prepare(l.sample[i*size/rounds:] + l.sample[:i*size/rounds])
		began := l.now()
		set.Match(run, text)
		took = append(took, l.now().Sub(began))
	}
	slices.Sort(took)
	return took[rounds/2].Round(time.Microsecond)
}

// twin looks for a rule that asks the same.
func (l *linter) twin(first map[string]*TextRule, r *TextRule) {
	if r.In != nil {
		return
	}
	key := fmt.Sprintf("%s\n%s\n%s\n%s\n%d\n%v", r.Text, strings.ToLower(r.Header), r.Match, r.Normalised, r.Times, r.Exists)
	if other, ok := first[key]; ok {
		l.add(&r.Rule, "asks the same as %s (%s)", other.Name, other.Pos)
		return
	}
	first[key] = r
}

// dead looks for a composite that never hits, or always, because what it names is
// off.
func (l *linter) dead(c *Composite) {
	if c.State == Off {
		return
	}
	for _, name := range c.Names {
		if l.state(name) == Off {
			l.add(&c.Rule, "names %s, which is off", name)
		}
	}
}

func (l *linter) state(name string) State {
	for i := range l.set.Texts {
		if l.set.Texts[i].Name == name {
			return l.set.Texts[i].State
		}
	}
	for i := range l.set.Composites {
		if l.set.Composites[i].Name == name {
			return l.set.Composites[i].State
		}
	}
	return Active
}

// group looks for a cap that nothing reaches.
func (l *linter) group(g *Group) {
	together := 0.0
	for _, name := range g.Rules {
		if points, _ := l.set.Points(name); points > 0 {
			together += points
		}
	}
	if together <= g.Max {
		l.remarks = append(l.remarks, Remark{g.Pos, "group " + g.Name, fmt.Sprintf("its members bring %.4g points at most, so the cap of %g does nothing", together, g.Max)})
	}
}

// Points returns what a rule or finding is worth, false for one that the set does
// not know.
func (s *Set) Points(name string) (float64, bool) {
	for i := range s.Texts {
		if s.Texts[i].Name == name {
			return s.Texts[i].Score, true
		}
	}
	for i := range s.Composites {
		if s.Composites[i].Name == name {
			return s.Composites[i].Score, true
		}
	}
	score, ok := s.Scores[name]
	return score.Points, ok
}
