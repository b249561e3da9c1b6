package rules

import (
	"fmt"
	"math"

	"milterd/internal/strictyaml"
	"milterd/internal/table"
)

// file is the shape of a rule file.
type file struct {
	// Backtracking lets expressions of this file look around and back.
	Backtracking bool                      `yaml:"backtracking"`
	Rules        []definition              `yaml:"rules"`
	Groups       map[string]members        `yaml:"groups"`
	Scores       map[string]given[float64] `yaml:"scores"`
}

// given is a value that a file may give, and where it does.
type given[T any] struct {
	value T
	pos   strictyaml.Pos
	path  string
}

// DecodeYAML implements [strictyaml.Decoder].
func (g *given[T]) DecodeYAML(n *strictyaml.Node) error {
	if err := n.Decode(&g.value); err != nil {
		return err
	}
	g.pos, g.path = n.Pos(), n.Path()
	return nil
}

// ok says whether a file gives the value.
func (g *given[T]) ok() bool { return !g.pos.IsZero() }

// over replaces g by what a later file gives.
func (g *given[T]) over(later given[T]) {
	if later.ok() {
		*g = later
	}
}

// errorf makes an error placed at the value.
func (g *given[T]) errorf(format string, args ...any) *strictyaml.Error {
	return &strictyaml.Error{Pos: g.pos, Path: g.path, What: fmt.Sprintf(format, args...)}
}

// at makes an error placed at the value that tells what err says.
func (g *given[T]) at(err error) *strictyaml.Error {
	return &strictyaml.Error{Pos: g.pos, Path: g.path, What: err.Error(), Err: err}
}

// definition is one entry of rules: as a file has it, and later what several
// files have made of it.
type definition struct {
	Pos          strictyaml.Pos
	name         given[string]
	describe     given[string]
	text         given[Text]   // which of the texts it looks at
	field        given[string] // the name behind the text, for one that is named
	condition    condition
	when         given[string]
	score        given[float64]
	state        given[State]
	tests        tests
	backtracking bool // what the file of the match says

	path   string
	broken bool // it could not be read whole: errors that follow from that are not worth telling
}

// condition is what a rule asks of its text. It stands beside the text or inside.
type condition struct {
	Match      given[string]        `yaml:"match"`
	Exists     given[bool]          `yaml:"exists"`
	In         given[table.Entries] `yaml:"in"`
	Normalised given[Normalised]    `yaml:"normalised"`
	Times      given[int]           `yaml:"times"`
	Count      given[int]           `yaml:"count"`
}

// ok says whether there is anything to ask.
func (c *condition) ok() bool {
	return c.Match.ok() || c.Exists.ok() || c.In.ok()
}

type tests struct {
	Hit  []given[string] `yaml:"hit"`
	Miss []given[string] `yaml:"miss"`
}

// members is one entry of groups.
type members struct {
	Pos    strictyaml.Pos
	Rules  given[[]given[string]] `yaml:"rules"`
	Max    given[float64]         `yaml:"max"`
	path   string
	broken bool
}

// DecodeYAML implements [strictyaml.Decoder].
func (s *State) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, s, Active, Shadow, Off)
}

// DecodeYAML implements [strictyaml.Decoder].
func (s *Normalised) DecodeYAML(n *strictyaml.Node) error {
	var word string
	if err := strictyaml.OneOf(n, &word, "true", "false", "leet"); err != nil {
		return err
	}
	if *s = Normalised(word); word == "false" {
		*s = AsItIs
	}
	return nil
}

// present notes that a key is there, whatever stands behind it.
type present struct{}

// DecodeYAML implements [strictyaml.Decoder].
func (*present) DecodeYAML(*strictyaml.Node) error { return nil }

// DecodeYAML implements [strictyaml.Decoder].
func (d *definition) DecodeYAML(n *strictyaml.Node) error {
	var there map[string]present
	if err := n.Decode(&there); err != nil {
		return err
	}
	d.Pos, d.path = n.Pos(), n.Path()
	var errs strictyaml.Errors
	errs.Add(n.KnownKeys(keyNames()...))
	for i := range ruleKeys {
		errs.Add(n.Key(ruleKeys[i].name).Decode(d.value(ruleKeys[i].name)))
	}
	d.checkName(&errs)
	for i := range kinds {
		if _, ok := there[string(kinds[i].Text)]; ok {
			d.readText(&errs, &kinds[i], n.Key(string(kinds[i].Text)))
		}
	}
	d.checkCondition(&errs)
	if d.score.ok() {
		errs.Add(checkScore(d.score))
	}
	d.broken = len(errs) > 0
	return errs.Err()
}

// value returns where the value of a key belongs.
func (d *definition) value(key string) any {
	switch key {
	case "name":
		return &d.name
	case "describe":
		return &d.describe
	case "match":
		return &d.condition.Match
	case "exists":
		return &d.condition.Exists
	case "in":
		return &d.condition.In
	case "normalised":
		return &d.condition.Normalised
	case "times":
		return &d.condition.Times
	case "count":
		return &d.condition.Count
	case "when":
		return &d.when
	case "score":
		return &d.score
	case "state":
		return &d.state
	case "tests":
		return &d.tests
	}
	panic("rules: a key without a place: " + key)
}

func (d *definition) checkName(errs *strictyaml.Errors) {
	switch {
	case !d.name.ok() && len(*errs) == 0:
		errs.Add(&strictyaml.Error{Pos: d.Pos, Path: d.path, What: "no name, expected one"})
	case d.name.ok() && !validName(d.name.value):
		errs.Add(d.name.errorf("got %q, expected capital letters, digits and _, at most %d", d.name.value, maxName))
	}
}

// readText reads the text that a rule looks at: a name behind the key, or the
// condition.
func (d *definition) readText(errs *strictyaml.Errors, kind *Kind, n *strictyaml.Node) {
	text := given[Text]{kind.Text, n.Pos(), n.Path()}
	if kind.Named {
		d.field = given[string]{}
		if err := n.Decode(&d.field); err != nil || !d.field.ok() {
			errs.Add(err)
			return
		}
		if !kind.validName(d.field.value) {
			errs.Add(d.field.errorf("got %q, expected the name of a header field", d.field.value))
		}
	}
	if d.text.ok() {
		errs.Add(text.errorf("%s and %s, expected one text in a rule", d.text.value, text.value))
	}
	d.text = text
	if kind.Named {
		return
	}
	var section strictyaml.Section
	if err := n.Decode(&section); err != nil {
		errs.Add(err)
		return
	}
	var inside condition
	errs.Add(section.Decode(&inside))
	if d.condition.gives() && inside.gives() {
		errs.Add(n.Errorf("a condition inside %s and another beside it, expected one", kind.Text))
	}
	d.condition.over(inside)
}

// gives says whether a file says anything of a condition.
func (c *condition) gives() bool {
	return c.ok() || c.Normalised.ok() || c.Times.ok() || c.Count.ok()
}

// Bounds of times and count.
const maxTimes = 1000

func (d *definition) checkCondition(errs *strictyaml.Errors) {
	c := &d.condition
	switch {
	case c.Match.ok() && c.Exists.ok():
		errs.Add(c.Exists.errorf("match and exists, expected one of them"))
	case c.Match.ok() && c.In.ok():
		errs.Add(c.In.errorf("match and in, expected one of them"))
	case c.In.ok() && c.Exists.ok():
		errs.Add(c.Exists.errorf("in and exists, expected one of them"))
	}
	for _, number := range []*given[int]{&c.Times, &c.Count} {
		if number.ok() && (number.value < 1 || number.value > maxTimes) {
			errs.Add(number.errorf("got %d, expected a number from 1 to %d", number.value, maxTimes))
		}
	}
}

// checkScore returns an error unless the weight is one that scoring can add up.
func checkScore(score given[float64]) error {
	if !(math.Abs(score.value) <= maxScore) { // NaN is not, either
		return score.errorf("got %g, expected points from -%d to %d", score.value, maxScore, maxScore)
	}
	return nil
}

// DecodeYAML implements [strictyaml.Decoder].
func (m *members) DecodeYAML(n *strictyaml.Node) error {
	type plain members
	var errs strictyaml.Errors
	errs.Add(n.Decode((*plain)(m)))
	m.path = n.Path()
	if m.Max.ok() && !(m.Max.value > 0 && m.Max.value <= maxScore) {
		errs.Add(m.Max.errorf("got %g, expected points above 0, at most %d", m.Max.value, maxScore))
	}
	m.broken = len(errs) > 0
	return errs.Err()
}

// over lays what a later file gives over d.
func (d *definition) over(later *definition) {
	d.describe.over(later.describe)
	if later.text.ok() {
		d.text, d.field = later.text, later.field
	}
	if later.condition.Match.ok() {
		d.backtracking = later.backtracking
	}
	d.condition.over(later.condition)
	d.when.over(later.when)
	d.score.over(later.score)
	d.state.over(later.state)
	if later.tests.Hit != nil {
		d.tests.Hit = later.tests.Hit
	}
	if later.tests.Miss != nil {
		d.tests.Miss = later.tests.Miss
	}
	d.broken = d.broken || later.broken
}

// over lays a condition over c. Of match, exists and in there is one.
func (c *condition) over(later condition) {
	if later.ok() {
		c.Match, c.Exists, c.In = later.Match, later.Exists, later.In
	}
	c.Normalised.over(later.Normalised)
	c.Times.over(later.Times)
	c.Count.over(later.Count)
}
