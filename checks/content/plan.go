package content

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"milterd/checks"
	"milterd/internal/match"
	"milterd/internal/table"
	"milterd/rules"
)

// plan is the text rules, sorted by what they look at. A rule is known by its
// number, its place in the list of the rule set.
type plan struct {
	rules  []rules.TextRule
	fields map[string]*asked     // header and header_raw, by the name of the field in lower case
	there  []field               // those of them of which rules ask whether they are there
	texts  map[rules.Text]*asked // the texts without a name
	named  map[place]*asked      // those of other views that have one
}

// place is a text with its name.
type place struct {
	text rules.Text
	name string
}

// field is what is asked of a header field.
type field struct {
	name string
	*asked
}

// asked is all that rules ask of one text. Nil asks nothing.
type asked struct {
	sets   []prepared
	lists  []listed
	fixed  *table.Table // of all lists that stand in rules; nil when there are none
	exists []existence
}

// prepared are the expressions for a text that was prepared in one way.
type prepared struct {
	raw   bool // of header_raw: for the field as it was received
	plain bool // for the text without disguises
	set   *match.Set
}

// listed is a rule that asks whether a text is in a list.
type listed struct {
	number int
	rule   *rules.TextRule
	tables table.Tables
	fixed  bool // it stands in the rule; a file may change
}

func (l *listed) find(text string) string { return l.rule.InTable(l.tables.Table(), text) }

// lacks says that a text is in none of the lists that stand in rules: to ask that once takes
// less than to ask each of them.
func (a *asked) lacks(text string) bool {
	return a.fixed != nil && a.lists[0].rule.InTable(a.fixed, text) == ""
}

// unite makes the table for lacks.
func (a *asked) unite() {
	var tables []*table.Table
	for _, l := range a.lists {
		if l.rule.Text != a.lists[0].rule.Text {
			return // words of a header field here, all of it there
		}
		if l.fixed {
			tables = append(tables, l.tables.Table())
		}
	}
	if tables != nil {
		a.fixed = table.Union(tables...)
	}
}

// existence is a rule that asks whether there is a text.
type existence struct {
	number int
	want   bool
}

// planner makes a plan.
type planner struct {
	plan
	env   checks.Env
	files map[string]table.Tables
	order []*asked
	sets  map[*asked][]patterns
}

// patterns are the expressions of one set, until it is compiled.
type patterns struct {
	prepared
	list []match.Pattern
}

// newPlan compiles the rules that are not off.
func newPlan(texts []rules.TextRule, env checks.Env) (*plan, error) {
	p := &planner{
		plan:  plan{rules: texts, fields: map[string]*asked{}, texts: map[rules.Text]*asked{}, named: map[place]*asked{}},
		env:   env,
		files: map[string]table.Tables{}, sets: map[*asked][]patterns{},
	}
	for i := range texts {
		if texts[i].State == rules.Off {
			continue
		}
		if err := p.add(i, &texts[i]); err != nil {
			return nil, fmt.Errorf("content: rule %s: %w", texts[i].Name, err)
		}
	}
	for _, at := range p.order {
		at.unite()
		for _, ps := range p.sets[at] {
			set, err := match.Compile(ps.list)
			if err != nil {
				return nil, fmt.Errorf("content: %w", err)
			}
			ps.set = set
			at.sets = append(at.sets, ps.prepared)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.fields)) {
		if a := p.fields[name]; len(a.exists) > 0 {
			p.there = append(p.there, field{name, a})
		}
	}
	return &p.plan, nil
}

// add puts one rule where it belongs.
func (p *planner) add(number int, r *rules.TextRule) error {
	if view := r.Text.View(); view != "" && newView(view) == nil {
		return fmt.Errorf("%s is a text that this program does not have", r.Text)
	}
	at := p.at(r)
	switch {
	case r.In != nil:
		tables, err := p.open(r.In)
		if err != nil {
			return err
		}
		at.lists = append(at.lists, listed{number, r, tables, r.In.Entries.Path() == ""})
	case r.Match == "":
		at.exists = append(at.exists, existence{number, r.Exists})
	default:
		raw, plain := r.Text == rules.HeaderRaw, r.Normalised != rules.AsItIs
		pattern := r.Pattern(number)
		for i := range p.sets[at] {
			if s := &p.sets[at][i]; s.raw == raw && s.plain == plain {
				s.list = append(s.list, pattern)
				return nil
			}
		}
		p.sets[at] = append(p.sets[at], patterns{prepared{raw: raw, plain: plain}, []match.Pattern{pattern}})
	}
	return nil
}

// at returns what is asked of the text that a rule looks at.
func (p *planner) at(r *rules.TextRule) *asked {
	var a *asked
	switch kind := r.Text.Kind(); {
	case r.Text == rules.Header || r.Text == rules.HeaderRaw:
		a = of(p.fields, strings.ToLower(r.Header))
	case kind.Named:
		a = of(p.named, place{r.Text, r.Header})
	default:
		a = of(p.texts, r.Text)
	}
	if len(a.sets)+len(a.lists)+len(a.exists) == 0 && p.sets[a] == nil {
		p.order = append(p.order, a)
	}
	return a
}

// of returns the entry of a map, made where there is none.
func of[K comparable](all map[K]*asked, key K) *asked {
	if all[key] == nil {
		all[key] = new(asked)
	}
	return all[key]
}

// open opens a list, a file once, however many rules have it.
func (p *planner) open(list *rules.List) (table.Tables, error) {
	path := list.Entries.Path()
	if f := p.files[path]; f != nil {
		return f, nil
	}
	tables, err := list.Entries.Open(p.env.Now, p.env.Logger)
	if err == nil && path != "" {
		p.files[path] = tables
	}
	return tables, err
}

// field returns what is asked of a header field.
func (p *plan) field(name string) *asked {
	var room [64]byte // longer names have no rules
	if len(name) > len(room) {
		return nil
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		room[i] = c
	}
	return p.fields[string(room[:len(name)])]
}
