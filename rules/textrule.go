package rules

import (
	"errors"

	"milterd/internal/strictyaml"
)

// textRule checks a rule for a text and adds it to the set.
func (l *loader) textRule(d *definition, r Rule) {
	c := &d.condition
	kind := d.text.value.Kind()
	t := TextRule{
		Rule: r, Text: kind.Text, Header: d.field.value,
		Match: c.Match.value, Normalised: c.Normalised.value, Exists: c.Exists.value,
		Times: max(1, c.Times.value), Count: c.Count.value,
	}
	before := len(l.errs)
	l.onlyWithMatch(d)
	switch {
	case c.Match.ok():
		more, err := compile(t.Text, t.Match, d.backtracking)
		if err != nil {
			l.errs.Add(c.Match.errorf("%s: %v", t.Name, err))
		}
		t.Backtracking = more
	case c.In.ok() && !kind.Listed:
		l.errs.Add(c.In.errorf("%s: in does not go with %s, expected match, or a text with an address or a host", t.Name, kind.Text))
	case c.In.ok():
		t.In = l.list(d)
	}
	if len(l.errs) > before {
		return
	}
	l.set.Texts = append(l.set.Texts, t)
	l.runTests(d, t.tester())
}

// onlyWithMatch reports what says how to match where there is nothing to match.
func (l *loader) onlyWithMatch(d *definition) {
	c := &d.condition
	if c.Match.ok() {
		if c.Count.ok() && c.Times.ok() && c.Count.value < c.Times.value {
			l.errs.Add(c.Count.errorf("count is less than times (%d), expected more or none", c.Times.value))
		}
		return
	}
	if c.Normalised.ok() {
		l.errs.Add(c.Normalised.errorf("normalised without match, expected them together"))
	}
	if c.Times.ok() {
		l.errs.Add(c.Times.errorf("times without match, expected them together"))
	}
	if c.Count.ok() {
		l.errs.Add(c.Count.errorf("count without match, expected them together"))
	}
}

// list reads the list behind in. A file is read once, however many rules have it.
func (l *loader) list(d *definition) *List {
	in := &d.condition.In
	list := &List{Entries: &in.value}
	path := in.value.Path()
	if t, ok := l.tables[path]; ok && path != "" {
		list.Table = t
		return list
	}
	tables, err := in.value.Open(nil, nil)
	_, placed := errors.AsType[*strictyaml.Error](err)
	switch {
	case placed: // in the rule file, or in the list
		l.errs.Add(err)
	case err != nil:
		l.errs.Add(in.at(err))
	default:
		list.Table = tables.Table()
	}
	l.tables[path] = list.Table
	return list
}
