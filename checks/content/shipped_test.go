package content

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/message"
	"milterd/rules"

	"gopkg.in/yaml.v3"
)

// shippedFile is as much of a rule file as these tests need.
type shippedFile struct {
	Rules []struct {
		Name   string
		Header string
		Exists *bool
		Body   any
		Helo   any
		Client any `yaml:"client.name"`
		When   string
		Tests  struct{ Hit, Miss []string }
	}
	Scores map[string]float64
}

func shippedFiles(tb testing.TB) (files []shippedFile) {
	tb.Helper()
	for _, s := range rules.Shipped() {
		var f shippedFile
		if err := yaml.Unmarshal(s.Text, &f); err != nil {
			tb.Fatal(s.Name, err)
		}
		files = append(files, f)
	}
	return files
}

// shippedSet is the shipped rules. What other checks report is taken from the
// files themselves; checks/all knows whether they do.
func shippedSet(tb testing.TB) *rules.Set {
	tb.Helper()
	var known []string
	for _, f := range Spec(nil).Findings {
		known = append(known, f.Name)
	}
	for _, f := range shippedFiles(tb) {
		for name := range maps.Keys(f.Scores) {
			if !strings.HasPrefix(name, "MIME_") && !strings.HasPrefix(name, "RULES_") && !strings.HasPrefix(name, "CONTENT_") {
				known = append(known, name)
			}
		}
	}
	set, err := rules.Load(rules.Shipped(), known)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// What the tests of the shipped rules promise of a text, the check keeps for a
// message that has it.
func TestShippedRules(t *testing.T) {
	c := newCheckWith(t, shippedSet(t), checks.Limits{}, time.Now)
	tried := 0
	for _, f := range shippedFiles(t) {
		for _, r := range f.Rules {
			if r.When != "" {
				continue
			}
			for _, list := range []struct {
				tests []string
				want  bool
			}{{r.Tests.Hit, true}, {r.Tests.Miss, false}} {
				for _, test := range list.tests {
					m := newMessage(t, nil, nil)
					switch {
					case r.Header != "":
						m = parse(t, []byte(test+"\n\n"))
					case r.Helo != nil:
						m.Session.Helo = test
					case r.Client != nil:
						m.Session.Host = test
					case r.Body != nil:
						m = newMessage(t, []message.Field{{Name: "Content-Type", Value: " text/plain; charset=utf-8"}}, []byte(strings.ReplaceAll(test, "\n", "\r\n")))
					default:
						t.Fatalf("%s: a kind of text that this test does not know", r.Name)
					}
					res, err := c.Run(t.Context(), &checks.Input{Message: m})
					if err != nil {
						t.Fatal(err)
					}
					hit := slices.ContainsFunc(res.Findings, func(f checks.Finding) bool { return f.Name == r.Name })
					if hit != list.want {
						t.Errorf("%s on %q: hit is %v, want %v", r.Name, test, hit, list.want)
					}
					tried++
				}
			}
		}
	}
	if tried < 40 {
		t.Errorf("only %d tests", tried)
	}
}
