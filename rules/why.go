package rules

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"milterd/internal/match"
)

// Why writes what there is to know about a rule or finding: what it looks for, from
// which line it comes, what it is worth, and who names it. reported says what a
// finding of a check means; empty for a rule. It returns false, and writes
// nothing, for a name that the set does not know and nobody reports.
func (s *Set) Why(w io.Writer, name, reported string) bool {
	lines := [][2]string{}
	add := func(key, value string) {
		if value != "" {
			lines = append(lines, [2]string{key, value})
		}
	}
	points := func(p float64) string { return strconv.FormatFloat(p, 'g', -1, 64) }
	head := func(r *Rule) {
		add("what", r.Describe)
		add("from", r.Pos.String())
		add("score", points(r.Score))
		add("state", string(r.State))
	}
	if i := slices.IndexFunc(s.Texts, func(r TextRule) bool { return r.Name == name }); i >= 0 {
		r := &s.Texts[i]
		head(&r.Rule)
		r.why(add)
	} else if i := slices.IndexFunc(s.Composites, func(c Composite) bool { return c.Name == name }); i >= 0 {
		c := &s.Composites[i]
		head(&c.Rule)
		add("when", c.When())
		for _, name := range c.Names {
			p, _ := s.Points(name)
			add("names", name+" ("+points(p)+")")
		}
	} else if score, ok := s.Scores[name]; ok || reported != "" {
		add("what", reported)
		add("from", "a check")
		add("score", points(score.Points))
		if ok {
			add("set in", score.Pos.String())
		}
	} else {
		return false
	}
	for _, g := range s.Groups {
		if slices.Contains(g.Rules, name) {
			add("group", fmt.Sprintf("%s, at most %g points (%s)", g.Name, g.Max, g.Pos))
		}
	}
	for i := range s.Composites {
		if c := &s.Composites[i]; slices.Contains(c.Names, name) {
			add("named by", fmt.Sprintf("%s: %s (%g, %s)", c.Name, c.When(), c.Score, c.Pos))
		}
	}
	tests := s.Tests[name]
	for _, test := range tests.Hit {
		add("hits", quote(test))
	}
	for _, test := range tests.Miss {
		add("misses", quote(test))
	}
	fmt.Fprintln(w, name)
	for _, l := range lines {
		fmt.Fprintf(w, "  %-9s %s\n", l[0], l[1])
	}
	return true
}

// Names returns the names of all rules.
func (s *Set) Names() []string {
	names := make([]string, 0, len(s.Texts)+len(s.Composites))
	for i := range s.Texts {
		names = append(names, s.Texts[i].Name)
	}
	for i := range s.Composites {
		names = append(names, s.Composites[i].Name)
	}
	return names
}

// why tells what a text rule looks for.
func (t *TextRule) why(add func(key, value string)) {
	add("text", strings.TrimSpace(string(t.Text)+" "+t.Header))
	switch {
	case t.In != nil:
		where := t.In.Entries.Path()
		if where == "" {
			where = "a list in the rule"
		}
		add("in", fmt.Sprintf("%s, %d entries", where, t.In.Table.Len()))
		return
	case t.Match == "":
		add("exists", strconv.FormatBool(t.Exists))
		return
	}
	add("match", t.Match)
	switch t.Normalised {
	case Plain:
		add("text is", "normalised")
	case Leet:
		add("text is", "normalised, digits that stand for letters read as these")
	}
	if t.Times > 1 {
		add("times", strconv.Itoa(t.Times))
	}
	if t.Count > 0 {
		add("count", strconv.Itoa(t.Count))
	}
	cost, err := match.Analyse(t.Match)
	switch {
	case err != nil:
	case cost.Costly:
		add("tried", "on every text")
	default:
		shown := cost.Literals
		const most = 6
		more := ""
		if len(shown) > most {
			shown, more = shown[:most], fmt.Sprintf(" or %d more", len(cost.Literals)-most)
		}
		quoted := make([]string, len(shown))
		for i, l := range shown {
			quoted[i] = quote(l)
		}
		add("tried", "where there is "+strings.Join(quoted, " or ")+more)
	}
	if t.Backtracking {
		add("searched", "by going back, against the clock")
	}
}
