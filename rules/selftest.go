package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"milterd/internal/match"
	"milterd/internal/strictyaml"
	"milterd/internal/table"
)

// runTests reports every test of a rule that does not come out as it should.
func (l *loader) runTests(d *definition, hits func(test given[string]) (bool, error)) {
	var all Tests
	proven := l.isProven(d)
	for _, list := range []struct {
		tests []given[string]
		keep  *[]string
		want  bool
		wrong string
	}{{d.tests.Hit, &all.Hit, true, "does not hit"}, {d.tests.Miss, &all.Miss, false, "hits"}} {
		for _, test := range list.tests {
			*list.keep = append(*list.keep, test.value)
			if proven {
				continue
			}
			got, err := hits(test)
			switch {
			case err != nil:
				l.errs.Add(test.errorf("%s: %v", d.name.value, err))
			case got != list.want:
				l.errs.Add(l.failed(d, test, list.wrong))
			}
		}
	}
	l.set.Tests[d.name.value] = all
}

// isProven says whether all of a rule stands in files whose tests have passed.
func (l *loader) isProven(d *definition) bool {
	c := &d.condition
	for _, pos := range []strictyaml.Pos{
		d.name.pos, d.text.pos, d.field.pos, d.when.pos, c.Match.pos, c.Exists.pos, c.In.pos, c.Normalised.pos, c.Times.pos, c.Count.pos,
	} {
		if !pos.IsZero() && !l.proven[pos.File] {
			return false
		}
	}
	for _, test := range slices.Concat(d.tests.Hit, d.tests.Miss) {
		if !l.proven[test.pos.File] {
			return false
		}
	}
	return true
}

// failed makes the error of a test that failed. Where the condition stands in a
// later file than the test, that is where the mistake is.
func (l *loader) failed(d *definition, test given[string], wrong string) error {
	place, inherited := test, ""
	for _, part := range []*given[string]{&d.when, &d.condition.Match, &d.field} {
		if part.ok() && l.files[part.pos.File] > l.files[place.pos.File] {
			place, inherited = *part, fmt.Sprintf(" of %s (tests of its own replace those)", test.pos)
		}
	}
	want := "a hit"
	if wrong == "hits" {
		want = "a miss"
	}
	return place.errorf("%s %s its own test %s%s, expected %s", d.name.value, wrong, quote(test.value), inherited, want)
}

func quote(s string) string { return fmt.Sprintf("%q", cut(s)) }

// tester returns what says whether the rule hits the text of a test. It searches
// as for a message.
func (t *TextRule) tester() func(test given[string]) (bool, error) {
	var set *match.Set
	return func(test given[string]) (bool, error) {
		if set == nil && t.Match != "" {
			var err error
			if set, err = match.Compile([]match.Pattern{t.Pattern(0)}); err != nil {
				return false, err
			}
		}
		return t.hits(set, test.value), nil
	}
}

// hits says whether the rule hits the text of a test. set is Match, compiled.
func (t *TextRule) hits(set *match.Set, test string) bool {
	texts := []string{test}
	there := t.Match == "" && t.In == nil // that is all it asks
	if field, _, _ := strings.Cut(t.Header, ":"); field != "" && (there || startsField(test, field)) {
		texts = fieldsIn(test, field, t.Text == HeaderRaw)
	} else if there && test == "" {
		texts = nil
	}
	if there {
		return (len(texts) > 0) == t.Exists
	}
	run := match.NewRun(match.Limits{}, stopped)
	for _, text := range texts {
		switch {
		case t.In != nil && t.InTable(t.In.Table, text) != "":
			return true
		case t.In == nil:
			set.Match(run, t.Prepare(text))
		}
	}
	return len(run.Hits) > 0 && run.Hits[0].Count >= t.Times
}

// Prepare normalises a text as far as the rule wants it.
func (t *TextRule) Prepare(text string) string {
	if t.Normalised == AsItIs {
		return text
	}
	return match.Normalise(text, t.Normalised == Leet)
}

// InTable returns the entry of a table that holds the text, empty when there is
// none. Of a header field each address and name in it counts.
func (t *TextRule) InTable(list *table.Table, text string) string {
	if t.Text != Header {
		entry, _ := list.Find(text)
		return entry
	}
	for word := range table.Words(text) {
		if entry, ok := list.Find(word); ok {
			return entry
		}
	}
	return ""
}

// startsField says whether line is a field of that name.
func startsField(line, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(line[:len(name)], name)
}

// fieldsIn returns the values of the fields of that name in header lines: as
// they stand, or unfolded.
func fieldsIn(lines, name string, raw bool) []string {
	var values []string
	inside := false
	for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\n"), "\n") {
		switch {
		case inside && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")):
			last := &values[len(values)-1]
			if raw {
				*last += "\n"
			}
			*last += line
		case startsField(line, name):
			inside = true
			values = append(values, line[len(name)+1:])
		default:
			inside = false
		}
	}
	if !raw {
		for i := range values {
			values[i] = strings.Trim(values[i], " \t\r")
		}
	}
	return values
}

// hitsWith says whether the composite hits when the names of a test do, each once
// or as often as it says: "A B=3".
func (c *Composite) hitsWith(test string) (bool, error) {
	hit := map[string]float64{}
	for word := range strings.FieldsSeq(test) {
		name, number, counted := strings.Cut(word, "=")
		if !slices.Contains(c.Names, name) {
			return false, fmt.Errorf("a test with %s, expected names of its when", quote(name))
		}
		hit[name] = 1
		if counted {
			n, err := strconv.Atoi(number)
			if err != nil || n < 0 || n > maxTimes {
				return false, fmt.Errorf("a test with %s, expected how often %s hit, such as %s=2", quote(word), name, name)
			}
			hit[name] = float64(n)
		}
	}
	return c.Eval(func(name string) float64 { return hit[name] }), nil
}

// stopped is the clock of tests: no limits of time apply.
func stopped() time.Time { return time.Time{} }
