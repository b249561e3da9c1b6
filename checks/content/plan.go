package content

import (
	"fmt"
	"strings"

	"milterd/internal/match"
	"milterd/rules"
)

// plan is the text rules, sorted by what they look at. A rule is known by its
// number, its place in the list of the rule set.
type plan struct {
	names  []string                  // of all rules, by number
	fields map[string]*fieldSets     // by the name of the field in lower case
	texts  map[rules.Text]*match.Set // of the other texts
	exists []existence
}

// fieldSets are the expressions for one header field: for its text and for what
// was received. Nil is none.
type fieldSets struct {
	text, raw *match.Set
}

// existence is a rule that asks whether there is a text.
type existence struct {
	rule   int
	text   rules.Text
	header string
	want   bool
}

// newPlan compiles the rules that are not off.
func newPlan(texts []rules.TextRule) (*plan, error) {
	p := &plan{fields: map[string]*fieldSets{}, texts: map[rules.Text]*match.Set{}}
	type place struct {
		text  rules.Text
		field string
	}
	var order []place
	patterns := map[place][]match.Pattern{}
	for i := range texts {
		r := &texts[i]
		p.names = append(p.names, r.Name)
		switch {
		case r.State == rules.Off:
		case r.Match == "":
			p.exists = append(p.exists, existence{i, r.Text, r.Header, r.Exists})
		default:
			at := place{r.Text, strings.ToLower(r.Header)}
			if patterns[at] == nil {
				order = append(order, at)
			}
			patterns[at] = append(patterns[at], match.Pattern{ID: i, Expr: r.Match})
		}
	}
	for _, at := range order {
		set, err := match.Compile(patterns[at])
		if err != nil {
			return nil, fmt.Errorf("content: rules for %s: %w", at.text, err)
		}
		if at.field == "" {
			p.texts[at.text] = set
			continue
		}
		if p.fields[at.field] == nil {
			p.fields[at.field] = new(fieldSets)
		}
		if at.text == rules.HeaderRaw {
			p.fields[at.field].raw = set
		} else {
			p.fields[at.field].text = set
		}
	}
	return p, nil
}

// field returns the expressions for a header field, nil when there are none.
func (p *plan) field(name string) *fieldSets {
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

// needs says whether some rule looks at a text.
func (p *plan) needs(text rules.Text) bool {
	if p.texts[text] != nil {
		return true
	}
	for i := range p.exists {
		if p.exists[i].text == text {
			return true
		}
	}
	return false
}
