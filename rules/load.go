package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"milterd/internal/strictyaml"
	"milterd/internal/table"
)

// loader lays files over each other, then makes a Set of what came out.
type loader struct {
	findings []string
	finding  map[string]bool

	files  map[string]int // the place of each file in the order
	proven map[string]bool
	order  []string // of the rules, as they first came
	rules  map[string]*definition
	groups map[string]*members
	scores map[string]given[float64]
	tables map[string]*table.Table // the lists that were read, by path

	set  Set
	errs strictyaml.Errors
	// unread says that there may be rules whose names are not known, because
	// they could not be read. Unknown names are not worth telling then.
	unread bool
}

func newLoader(findings []string) *loader {
	l := &loader{
		findings: findings, finding: make(map[string]bool, len(findings)),
		files: map[string]int{}, proven: map[string]bool{}, rules: map[string]*definition{}, groups: map[string]*members{}, scores: map[string]given[float64]{},
		tables: map[string]*table.Table{},
		set:    Set{Tests: map[string]Tests{}},
	}
	for _, name := range findings {
		l.finding[name] = true
	}
	return l
}

// read lays one file over those before it.
func (l *loader) read(s Source) {
	l.files[s.Name] = len(l.files)
	l.proven[s.Name] = s.Proven
	n, err := strictyaml.Parse(s.Name, s.Text)
	l.errs.Add(err)
	if n == nil {
		l.unread = true
		return
	}
	var f file
	l.errs.Add(n.Decode(&f))
	l.unread = l.unread || n.Key("rules").Len() != len(f.Rules)
	here := map[string]strictyaml.Pos{}
	for i := range f.Rules {
		d := &f.Rules[i]
		d.backtracking = f.Backtracking
		if !d.name.ok() || !validName(d.name.value) {
			l.unread = true
			continue
		}
		name := d.name.value
		first, again := here[name]
		if here[name] = d.name.pos; again {
			l.errs.Add(d.name.errorf("%s given twice in a file, expected once (the first is in line %d)", name, first.Line))
			continue
		}
		if below, ok := l.rules[name]; ok {
			below.over(d)
			continue
		}
		l.rules[name] = d
		l.order = append(l.order, name)
	}
	for name, m := range f.Groups {
		if m.Pos.IsZero() { // nothing stands behind the name
			at := n.Key("groups").Key(name)
			m.Pos, m.path = at.Pos(), at.Path()
		}
		if below, ok := l.groups[name]; ok {
			m.Pos, m.path = below.Pos, below.path
			below.Rules.over(m.Rules)
			below.Max.over(m.Max)
			below.broken = below.broken || m.broken
			continue
		}
		l.groups[name] = &m
	}
	for name, score := range f.Scores {
		if score.ok() {
			l.scores[name] = score
		}
	}
}

// finish checks what the files have come to.
func (l *loader) finish() (*Set, error) {
	for _, name := range l.order {
		if d := l.rules[name]; !d.broken {
			l.rule(d)
		}
	}
	l.sortComposites()
	l.set.Scores = make(map[string]Score, len(l.scores))
	for name, score := range l.scores {
		l.score(name, score)
	}
	l.groupsInOrder()
	if err := l.errs.Err(); err != nil {
		return nil, err
	}
	return &l.set, nil
}

// rule checks one rule and adds it to the set.
func (l *loader) rule(d *definition) {
	r := Rule{Name: d.name.value, Describe: d.describe.value, Score: d.score.value, State: cmp.Or(d.state.value, Active), Pos: d.Pos}
	if l.finding[r.Name] {
		l.errs.Add(d.name.errorf("%s is what a check reports, expected another name (its weight stands under scores)", r.Name))
		return
	}
	switch {
	case d.text.ok() && d.when.ok():
		place := d.when
		if l.files[d.text.pos.File] > l.files[place.pos.File] { // where it can be changed
			place.pos, place.path = d.text.pos, d.text.path
		}
		l.errs.Add(place.errorf("%s has a when and a text (%s), expected one of them", r.Name, d.text.value))
	case d.when.ok() && d.condition.gives():
		l.errs.Add(d.when.errorf("%s has a when and a match, exists or in, which go with a text, expected one of them", r.Name))
	case d.when.ok():
		l.composite(d, r)
	case !d.text.ok():
		l.errs.Add(d.name.errorf("%s has no condition, expected a text (header, body, from_addr, ...) or when", r.Name))
	case !d.condition.ok():
		l.errs.Add(d.text.errorf("%s says nothing about its text, expected match, exists or in", r.Name))
	default:
		l.textRule(d, r)
	}
}

func (l *loader) composite(d *definition, r Rule) {
	e, err := parseWhen(d.when.value)
	if err != nil {
		l.errs.Add(d.when.errorf("%s: %v", r.Name, err))
		return
	}
	c := Composite{Rule: r, Names: e.names(nil), when: e}
	for _, name := range c.Names {
		l.known(&d.when, name)
	}
	l.set.Composites = append(l.set.Composites, c)
	l.runTests(d, func(test given[string]) (bool, error) { return c.hitsWith(test.value) })
}

// maxAdvice is how many errors there are before nobody reads advice any more,
// which takes longer to find than all the rest.
const maxAdvice = 100

// known reports a name that is neither a rule nor a finding. Where is the value
// that has it.
func (l *loader) known(where *given[string], name string) {
	if l.rules[name] != nil || l.finding[name] || l.unread {
		return
	}
	what := "expected a rule or a finding of a check"
	if len(l.errs) < maxAdvice {
		if near := slices.Compact(strictyaml.Nearest(name, append(slices.Clone(l.order), l.findings...))); len(near) > 0 {
			what = "did you mean " + strings.Join(near[:min(3, len(near))], " or ") + "?"
		}
	}
	l.errs.Add(where.errorf("%s is not known, %s", name, what))
}

// score checks one weight and adds it to the set.
func (l *loader) score(name string, score given[float64]) {
	place := given[string]{pos: score.pos, path: score.path}
	if l.rules[name] != nil && !l.finding[name] {
		l.errs.Add(place.errorf("%s is a rule, expected its score under rules: {name: %s, score: %g}", name, name, score.value))
		return
	}
	l.errs.Add(checkScore(score))
	l.known(&place, name)
	l.set.Scores[name] = Score{Points: score.value, Pos: score.pos}
}

// groupsInOrder checks the groups and adds them to the set.
func (l *loader) groupsInOrder() {
	in := map[string]string{} // the group of each name
	for _, name := range slices.Sorted(maps.Keys(l.groups)) {
		m := l.groups[name]
		switch {
		case m.broken:
			continue
		case !m.Rules.ok() || !m.Max.ok():
			l.errs.Add(&strictyaml.Error{Pos: m.Pos, Path: m.path, What: fmt.Sprintf("group %s lacks rules or max, expected both", name)})
			continue
		}
		g := Group{Name: name, Max: m.Max.value, Pos: m.Pos}
		for _, member := range m.Rules.value {
			l.known(&member, member.value)
			switch other, taken := in[member.value]; {
			case taken && other == name:
				l.errs.Add(member.errorf("%s given twice, expected once", member.value))
			case taken:
				l.errs.Add(member.errorf("%s is in group %s already, expected it in one", member.value, other))
			}
			in[member.value] = name
			g.Rules = append(g.Rules, member.value)
		}
		l.set.Groups = append(l.set.Groups, g)
	}
}

// sortComposites puts each composite behind those that it names, and reports
// those that lead back to themselves.
func (l *loader) sortComposites() {
	const (
		fresh = iota
		open
		done
	)
	index := map[string]int{}
	for i := range l.set.Composites {
		index[l.set.Composites[i].Name] = i
	}
	state := make([]int, len(l.set.Composites))
	sorted := make([]Composite, 0, len(l.set.Composites))
	var path []string
	var visit func(i int)
	visit = func(i int) {
		c := &l.set.Composites[i]
		state[i] = open
		path = append(path, c.Name)
		for _, name := range c.Names {
			j, ok := index[name]
			switch {
			case ok && state[j] == fresh:
				visit(j)
			case ok && state[j] == open:
				l.cycle(append(path[slices.Index(path, name):], name))
			}
		}
		path = path[:len(path)-1]
		state[i] = done
		sorted = append(sorted, *c)
	}
	for i := range state {
		if state[i] == fresh {
			visit(i)
		}
	}
	l.set.Composites = sorted
}

// cycle reports a composite that names itself by way of others.
func (l *loader) cycle(names []string) {
	d := l.rules[names[0]]
	l.errs.Add(d.when.errorf("a cycle: %s, expected rules that do not lead back to themselves", strings.Join(names, " -> ")))
}
