package rules

import (
	"fmt"
	"regexp"
	"strings"
)

// runTests reports every test of a rule that does not come out as it should.
func (l *loader) runTests(d *definition, hits func(test given[string]) (bool, error)) {
	for _, list := range []struct {
		tests []given[string]
		want  bool
		wrong string
	}{{d.Tests.Hit, true, "does not hit"}, {d.Tests.Miss, false, "hits"}} {
		for _, test := range list.tests {
			got, err := hits(test)
			switch {
			case err != nil:
				l.errs.Add(test.errorf("%s: %v", d.Name.value, err))
			case got != list.want:
				l.errs.Add(l.failed(d, test, list.wrong))
			}
		}
	}
}

// failed makes the error of a test that failed. Where the condition stands in a
// later file than the test, that is where the mistake is.
func (l *loader) failed(d *definition, test given[string], wrong string) error {
	place, inherited := test, ""
	for _, part := range []*given[string]{&d.When, &d.Match, &d.Header, &d.HeaderRaw} {
		if part.ok() && l.files[part.pos.File] > l.files[place.pos.File] {
			place, inherited = *part, fmt.Sprintf(" of %s (tests of its own replace those)", test.pos)
		}
	}
	want := "a hit"
	if wrong == "hits" {
		want = "a miss"
	}
	return place.errorf("%s %s its own test %s%s, expected %s", d.Name.value, wrong, quote(test.value), inherited, want)
}

func quote(s string) string { return fmt.Sprintf("%q", cut(s)) }

// hits says whether the rule hits the text of a test. re is Match, compiled, or
// nil for a rule that asks for existence.
func (t *TextRule) hits(re *regexp.Regexp, test string) bool {
	texts := []string{test}
	if t.Header != "" && (re == nil || startsField(test, t.Header)) {
		texts = fieldsIn(test, t.Header, t.Text == HeaderRaw)
	} else if re == nil && test == "" {
		texts = nil
	}
	if re == nil {
		return (len(texts) > 0) == t.Exists
	}
	for _, text := range texts {
		if re.MatchString(text) {
			return true
		}
	}
	return false
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

// hitsWith says whether the composite hits when the names of a test do.
func (c *Composite) hitsWith(test string) (bool, error) {
	hit := map[string]bool{}
	for name := range strings.FieldsSeq(test) {
		found := false
		for _, known := range c.Names {
			found = found || name == known
		}
		if !found {
			return false, fmt.Errorf("a test with %s, expected names of its when", quote(name))
		}
		hit[name] = true
	}
	return c.Eval(func(name string) float64 { return truth(hit[name]) }), nil
}
