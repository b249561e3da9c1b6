package spamassassin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"milterd/internal/spamassassin/perlre"
	"milterd/rules"
)

// Options say how to carry rules over.
type Options struct {
	// Column of the scores that counts; below 0 it is chosen by what milterd
	// finds.
	Column Column
	// Backtracking carries rules whose expressions need it, into a file of their
	// own.
	Backtracking bool
	// Findings are the names of what milterd's checks report, Rules those of the
	// rules that are loaded before the imported ones.
	Findings, Rules []string
}

// AnyColumn lets the column be chosen.
const AnyColumn Column = -1

// rule is a rule of milterd's, ready to be written.
type rule struct {
	name, describe string
	text, field    string // the key, and the name behind it
	match          string
	exists         *bool
	times, count   int
	when           string
	in             []string
	score          float64
	off            bool
	backtracking   bool
	pos            Pos
}

// fate is what became of a rule of SpamAssassin's.
type fate struct {
	def    *definition
	name   string // ours; of one that is a finding of milterd's, that one
	why    string // not carried: the reason
	weak   string // carried, with something missing
	absent bool   // not carried, and SpamAssassin without network and learning would not have it either
	value  *expr  // of a carried meta whose value is more than 0 or 1: what it is
	more   bool   // carried with backtracking
	alone  bool   // it is a finding, with no rule of ours
}

func (f *fate) carried() bool { return f.why == "" }

// converter turns what was collected into rules.
type converter struct {
	*collector
	opts    Options
	column  Column
	finding map[string]bool
	taken   map[string]bool // names that are in use
	fates   map[string]*fate
	counted map[string]bool // rules whose number of hits some meta asks for
	metas   map[string]*expr
	open    map[string]bool // metas that are being resolved

	out    []rule
	scores map[string]float64
}

// convert decides on every rule.
func convert(c *collector, opts Options) *converter {
	v := &converter{
		collector: c, opts: opts, column: opts.Column,
		finding: map[string]bool{}, taken: map[string]bool{}, fates: map[string]*fate{}, counted: map[string]bool{},
		metas: map[string]*expr{}, open: map[string]bool{}, scores: map[string]float64{},
	}
	for _, name := range opts.Findings {
		v.finding[name], v.taken[name] = true, true
	}
	for _, name := range opts.Rules {
		v.taken[name] = true
	}
	if v.column < 0 {
		v.column = v.choose()
	}
	c.missing()
	var defined []string
	for _, name := range c.order {
		if c.rules[name].kind != "" {
			defined = append(defined, name)
			v.fates[name] = &fate{def: c.rules[name]}
		}
	}
	v.parseMetas(defined)
	for _, name := range defined {
		if c.rules[name].kind != Meta {
			v.single(v.fates[name])
		}
	}
	for _, name := range defined {
		if c.rules[name].kind == Meta {
			v.meta(v.fates[name])
		}
	}
	return v
}

// choose takes the column for what milterd may use: the network where a check
// asks block lists, Bayes where there are findings of it.
func (v *converter) choose() Column {
	column := Local
	has := func(prefixes ...string) bool {
		return slices.ContainsFunc(v.opts.Findings, func(name string) bool {
			return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
		})
	}
	if has("DNSBL_", "URIBL_", "RCVD_IN_", "URI_LISTED") {
		column |= Network
	}
	if has("BAYES_") {
		column |= Bayes
	}
	return column
}

// ours gives a rule a name that nothing else has.
func (v *converter) ours(name string) string {
	name = strings.ToUpper(name)
	if v.taken[name] {
		name = "SA_" + strings.TrimLeft(name, "_")
	}
	for base, n := name, 2; v.taken[name]; n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	v.taken[name] = true
	return name
}

// add adds a rule that stands for one of SpamAssassin's.
func (v *converter) add(f *fate, r rule) {
	d := f.def
	f.name = v.ours(d.name)
	r.name, r.describe, r.pos = f.name, d.describe, d.pos
	r.score, r.off = v.points(d), d.off(int(v.column))
	v.out = append(v.out, r)
}

// points is the score of a rule; sub-rules are for other rules only.
func (v *converter) points(d *definition) float64 {
	if strings.HasPrefix(d.name, "__") {
		return 0
	}
	return max(-1000, min(1000, d.score(int(v.column))))
}

// part adds a rule that a rule of SpamAssassin's needs beside its own.
func (v *converter) part(d *definition, suffix string, r rule) string {
	r.name, r.pos = v.ours("__"+strings.TrimLeft(d.name, "_")+suffix), d.pos
	r.describe = "Part of " + d.name
	v.out = append(v.out, r)
	return r.name
}

// single decides on a rule that is no meta.
func (v *converter) single(f *fate) {
	switch {
	case f.def.kind == Eval:
		v.eval(f)
	case f.def.exists:
		v.add(f, rule{text: "sa.header", field: f.def.field, exists: new(true)})
		if f.why = v.refused(&v.out[len(v.out)-1]); f.why != "" {
			v.withdraw(f)
		}
	default:
		v.regex(f)
	}
}

// withdraw takes the last rule back.
func (v *converter) withdraw(f *fate) {
	v.out = v.out[:len(v.out)-1]
	delete(v.taken, f.name)
	f.name = ""
}

var texts = map[Kind]string{Header: "sa.header", Body: "sa.body", RawBody: "sa.rawbody", URI: "sa.uri", Full: "sa.full", MIMEHeader: "sa.mimeheader"}

// regex decides on a rule with an expression.
func (v *converter) regex(f *fate) {
	d := f.def
	expr := d.regex.text
	if v.replaceRules[d.name] {
		expr = v.tags.expand(expr)
	}
	if strings.Contains(expr, "%{") {
		f.why = "it uses what another rule captured (%{...})"
		return
	}
	parsed, err := perlre.Parse(expr, perlre.Flags{
		Fold: strings.Contains(d.regex.flags, "i"), MultiLine: strings.Contains(d.regex.flags, "m"),
		DotAll: strings.Contains(d.regex.flags, "s"), Extended: strings.Contains(d.regex.flags, "x"),
	})
	if err != nil {
		f.why = "the expression cannot be carried, " + err.Error()
		return
	}
	r := rule{text: texts[d.kind], field: d.field}
	if d.kind == Body && d.has("nosubject") {
		r.text = "sa.body_only"
	}
	if v.counted[d.name] {
		if n := min(d.maxHits(), maxCounted); n > 1 {
			r.count = n
		}
	}
	linear := parsed.Linear
	if r.count > 1 {
		linear = parsed.LinearExact
	}
	if r.match, err = linear(); err != nil {
		needs, _ := errors.AsType[*perlre.NeedsBacktracking](err)
		if !v.opts.Backtracking {
			f.why = needs.What + " needs backtracking, which is off"
			return
		}
		r.match, r.backtracking, f.more = parsed.Backtracking(), true, true
	}
	if f.why = v.refused(&r); f.why != "" {
		return
	}
	v.place(f, r, parsed)
}

// maxCounted is how far milterd counts.
const maxCounted = 1000

// place adds the rule for an expression, and what goes with it where the field
// may be missing or the expression must not match. SpamAssassin takes a missing
// field for an empty text, or for what if-unset says.
func (v *converter) place(f *fate, r rule, parsed *perlre.Expr) {
	d := f.def
	if d.kind != Header && !d.negated {
		v.add(f, r)
		return
	}
	unset := d.kind == Header && matches(parsed, d.unset)
	if !unset && !d.negated {
		v.add(f, r)
		return
	}
	found := v.part(d, "_FOUND", rule{text: r.text, field: r.field, match: r.match, backtracking: r.backtracking, off: d.off(int(v.column))})
	missing := ""
	if unset {
		missing = v.part(d, "_MISSING", rule{text: r.text, field: r.field, exists: new(false), off: d.off(int(v.column))})
	}
	switch {
	case d.negated && unset:
		v.add(f, rule{when: "!" + found + " && !" + missing})
	case d.negated:
		v.add(f, rule{when: "!" + found})
	default:
		v.add(f, rule{when: found + " || " + missing})
	}
}

// eval decides on a rule that calls a function of a plugin.
func (v *converter) eval(f *fate) {
	d := f.def
	c := normal(d.call)
	f.absent = d.has("net") || d.has("learn") || d.has("userconf")
	if r, ok := asksList(c); ok {
		v.listed(f, r)
		return
	}
	if asked, ok := testsOf(c); ok {
		v.asked(f, asked)
		return
	}
	name, ok := equals[c]
	switch {
	case !ok:
		f.why = "eval:" + function(d.call) + " is code of SpamAssassin's; no finding of milterd says the same"
	case !v.finding[name]:
		f.why = "eval:" + function(d.call) + " is what " + name + " would say, which is no finding of this milterd"
	case name == d.name:
		f.name, f.alone = name, true
		if len(d.scores) > 0 {
			v.scores[name] = v.points(d)
		}
	default:
		v.add(f, rule{when: name})
	}
}

// asked adds a rule for a function that asks something of texts, or a rule for each
// thing and one that joins them.
func (v *converter) asked(f *fate, list []textTest) {
	d := f.def
	made := make([]rule, len(list))
	for i, t := range list {
		made[i] = rule{text: t.text, field: t.field, match: t.match, times: t.times, off: d.off(int(v.column))}
		if t.match == "" {
			made[i].exists = new(false)
		}
		if f.why = v.refused(&made[i]); f.why != "" {
			return
		}
	}
	if len(list) == 1 && !list[0].not {
		v.add(f, made[0])
		return
	}
	terms := make([]string, len(list))
	for i, t := range list {
		if terms[i] = v.part(d, t.suffix, made[i]); t.not {
			terms[i] = "!" + terms[i]
		}
	}
	v.add(f, rule{when: strings.Join(terms, " && ")})
}

// refused asks the rule language whether it takes a rule. The answer is the
// reason why not.
func (v *converter) refused(r *rule) string {
	probe := *r
	probe.name = "PROBE"
	_, err := rules.Load([]rules.Source{{Name: "import", Text: appendFile(nil, []rule{probe}, nil, r.backtracking)}}, v.opts.Findings)
	if err == nil {
		return ""
	}
	_, text, found := strings.Cut(err.Error(), "PROBE: ")
	if !found {
		text = err.Error()
	}
	first, _, _ := strings.Cut(text, "\n")
	return "milterd's rule language does not take it: " + first
}
