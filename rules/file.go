package rules

import (
	"fmt"
	"math"
	"slices"

	"milterd/internal/strictyaml"
)

// file is the shape of a rule file.
type file struct {
	Rules  []definition              `yaml:"rules"`
	Groups map[string]members        `yaml:"groups"`
	Scores map[string]given[float64] `yaml:"scores"`
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

// definition is one entry of rules: as a file has it, and later what several
// files have made of it.
type definition struct {
	Pos      strictyaml.Pos
	Name     given[string] `yaml:"name"`
	Describe given[string] `yaml:"describe"`

	Header       given[string]      `yaml:"header"`
	HeaderRaw    given[string]      `yaml:"header_raw"`
	Body         strictyaml.Section `yaml:"body"`
	EnvelopeFrom strictyaml.Section `yaml:"envelope.from"`
	EnvelopeRcpt strictyaml.Section `yaml:"envelope.rcpt"`
	FromAddr     strictyaml.Section `yaml:"from_addr"`
	FromName     strictyaml.Section `yaml:"from_name"`
	ClientName   strictyaml.Section `yaml:"client.name"`
	Helo         strictyaml.Section `yaml:"helo"`

	Match  given[string]  `yaml:"match"`
	Exists given[bool]    `yaml:"exists"`
	When   given[string]  `yaml:"when"`
	Score  given[float64] `yaml:"score"`
	State  given[State]   `yaml:"state"`
	Tests  tests          `yaml:"tests"`

	path   string
	text   given[Text] // which of the texts it looks at
	broken bool        // it could not be read whole: errors that follow from that are not worth telling
}

// condition is what a text may hold itself.
type condition struct {
	Match  given[string] `yaml:"match"`
	Exists given[bool]   `yaml:"exists"`
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
func (d *definition) DecodeYAML(n *strictyaml.Node) error {
	type plain definition
	var errs strictyaml.Errors
	errs.Add(n.Decode((*plain)(d)))
	d.path = n.Path()
	d.name(&errs)
	d.condition(&errs)
	d.weight(&errs)
	d.broken = len(errs) > 0
	return errs.Err()
}

func (d *definition) name(errs *strictyaml.Errors) {
	switch {
	case !d.Name.ok() && len(*errs) == 0:
		errs.Add(&strictyaml.Error{Pos: d.Pos, Path: d.path, What: "no name, expected one"})
	case d.Name.ok() && !validName(d.Name.value):
		errs.Add(d.Name.errorf("got %q, expected capital letters, digits and _, at most %d", d.Name.value, maxName))
	}
}

// condition finds the text and what is asked of it, beside it or inside.
func (d *definition) condition(errs *strictyaml.Errors) {
	for _, named := range []struct {
		text  Text
		field *given[string]
	}{{Header, &d.Header}, {HeaderRaw, &d.HeaderRaw}} {
		if !named.field.ok() {
			continue
		}
		d.setText(errs, given[Text]{named.text, named.field.pos, named.field.path})
		if !validField(named.field.value) {
			errs.Add(named.field.errorf("got %q, expected the name of a header field", named.field.value))
		}
	}
	for _, plain := range []struct {
		text    Text
		section strictyaml.Section
	}{
		{Body, d.Body}, {EnvelopeFrom, d.EnvelopeFrom}, {EnvelopeRcpt, d.EnvelopeRcpt}, {FromAddr, d.FromAddr},
		{FromName, d.FromName}, {ClientName, d.ClientName}, {Helo, d.Helo},
	} {
		n := plain.section.Node()
		if n.Pos().IsZero() {
			continue
		}
		d.setText(errs, given[Text]{plain.text, n.Pos(), n.Path()})
		var inside condition
		errs.Add(plain.section.Decode(&inside))
		if inside.Match.ok() && d.Match.ok() || inside.Exists.ok() && d.Exists.ok() {
			errs.Add(n.Errorf("a condition inside %s and another beside it, expected one", plain.text))
		}
		d.Match.over(inside.Match)
		d.Exists.over(inside.Exists)
	}
	if d.Match.ok() && d.Exists.ok() {
		errs.Add(d.Exists.errorf("match and exists, expected one of them"))
	}
}

func (d *definition) setText(errs *strictyaml.Errors, text given[Text]) {
	if d.text.ok() {
		errs.Add(text.errorf("%s and %s, expected one text in a rule", d.text.value, text.value))
	}
	d.text = text
}

// validField says whether name can be that of a header field (RFC 5322, section
// 2.2); longer ones than 64 bytes no program makes.
func validField(name string) bool {
	return name != "" && len(name) <= maxName &&
		!slices.ContainsFunc([]byte(name), func(c byte) bool { return c <= ' ' || c > '~' || c == ':' })
}

func (d *definition) weight(errs *strictyaml.Errors) {
	if d.Score.ok() {
		errs.Add(checkScore(d.Score))
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
	d.Describe.over(later.Describe)
	d.Header.over(later.Header)
	d.HeaderRaw.over(later.HeaderRaw)
	d.text.over(later.text)
	d.Match.over(later.Match)
	d.Exists.over(later.Exists)
	if later.Match.ok() {
		d.Exists = given[bool]{}
	} else if later.Exists.ok() {
		d.Match = given[string]{}
	}
	d.When.over(later.When)
	d.Score.over(later.Score)
	d.State.over(later.State)
	if later.Tests.Hit != nil {
		d.Tests.Hit = later.Tests.Hit
	}
	if later.Tests.Miss != nil {
		d.Tests.Miss = later.Tests.Miss
	}
	d.broken = d.broken || later.broken
}
