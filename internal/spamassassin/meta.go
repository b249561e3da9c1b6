package spamassassin

import (
	"fmt"
	"slices"
	"strings"

	"milterd/internal/spamassassin/perlre"
)

// parseMetas reads the expressions of the metas and finds the rules whose number
// of hits they ask for.
func (v *converter) parseMetas(defined []string) {
	sorted := slices.Sorted(slices.Values(defined))
	for _, name := range defined {
		f := v.fates[name]
		if f.def.kind != Meta {
			continue
		}
		e, err := parseMeta(f.def.meta, sorted)
		if err != nil {
			f.why = "the expression cannot be carried: " + err.Error()
			continue
		}
		v.metas[name] = e
		e.counts(false, func(name string) { v.counted[name] = true })
	}
	// A meta that is another rule's name has its number of hits.
	for again := true; again; {
		again = false
		for name, e := range v.metas {
			if e.op == "name" && v.counted[name] && !v.counted[e.name] {
				v.counted[e.name], again = true, true
			}
		}
	}
}

// counts visits the names of which the value counts, not only whether they hit.
func (e *expr) counts(value bool, visit func(string)) {
	switch e.op {
	case "name":
		if value {
			visit(e.name)
		}
		return
	case "number":
		return
	case "!", "&&", "||":
		value = false
	default:
		value = true
	}
	e.a.counts(value, visit)
	if e.b != nil {
		e.b.counts(value, visit)
	}
}

// meta decides on a meta, after those that it names.
func (v *converter) meta(f *fate) {
	d := f.def
	if f.why != "" || f.name != "" {
		return
	}
	if v.open[d.name] {
		f.why = "it leads back to itself"
		return
	}
	v.open[d.name] = true
	defer delete(v.open, d.name)
	e := v.metas[d.name]
	e.each(true, false, func(name string, _, _ bool) {
		if g := v.fates[name]; g != nil && g.def.kind == Meta {
			v.meta(g)
		}
	})
	if f.why != "" {
		return
	}
	var blocked, gone []string
	e.each(true, false, func(name string, _, down bool) {
		g := v.fates[name]
		switch {
		case g != nil && g.carried() && g.name != "":
		case down && g != nil && !g.absent:
			blocked = append(blocked, name)
		default:
			gone = append(gone, name)
		}
	})
	if len(blocked) > 0 {
		f.why = "without " + some(blocked) + ", which is not carried, it would hit too often"
		return
	}
	placed := v.settle(e, false).simplify()
	if placed.op == "number" {
		if f.why = "it can never hit without " + some(gone) + ", which is not carried"; placed.num != 0 {
			f.why = "without " + some(gone) + ", which is not carried, it would always hit"
		}
		f.absent = !slices.ContainsFunc(gone, func(name string) bool { g := v.fates[name]; return g != nil && !g.absent })
		return
	}
	if len(gone) > 0 {
		f.weak = some(gone) + " is not carried and counts as 0"
	}
	text := placed.String()
	if len(text) > 20000 {
		f.why = "an expression too long to carry"
		return
	}
	if !placed.boolean() {
		f.value = placed
	}
	v.add(f, rule{when: text})
}

// settle puts our names in the place of SpamAssassin's, and 0 for what is not
// carried. Where the value of a meta counts its expression takes its place, for
// milterd's composites have none.
func (v *converter) settle(e *expr, value bool) *expr {
	switch e.op {
	case "number":
		return e
	case "name":
		f := v.fates[e.name]
		if f == nil || !f.carried() || f.name == "" {
			return number(0)
		}
		if value && f.value != nil {
			return f.value
		}
		return &expr{op: "name", name: f.name}
	}
	inner := e.op != "!" && e.op != "&&" && e.op != "||"
	s := &expr{op: e.op, a: v.settle(e.a, inner)}
	if e.b != nil {
		s.b = v.settle(e.b, inner)
	}
	return s
}

// some writes names, at most three of them.
func some(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if more := len(names) - 3; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), more)
	}
	return strings.Join(names, ", ")
}

// matches says whether an expression matches a text; where only an engine that
// backtracks could tell, it is taken not to.
func matches(e *perlre.Expr, text string) bool {
	linear, err := e.Linear()
	if err != nil {
		return false
	}
	return matchLinear(linear, text)
}
