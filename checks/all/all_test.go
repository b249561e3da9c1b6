package all

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/pipeline"
	"milterd/internal/strictyaml"
	"milterd/internal/table"
	"milterd/rules"

	"github.com/prometheus/client_golang/prometheus"
)

// What the house asks of every check, and what no compiler sees. That each room
// is furnished (README, its sections, its table of findings with the shipped
// scores) is looked after by internal/archtest.

// find returns the check of that name and its place, -1 when there is none.
func find(name string) (checks.Spec, int) {
	for i, s := range Specs(nil) {
		if s.Name == name {
			return s, i
		}
	}
	return checks.Spec{}, -1
}

func TestSpecs(t *testing.T) {
	word, upperSnake := regexp.MustCompile(`^[a-z][a-z0-9]*$`), regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)
	specs := Specs(nil)
	reporter := map[string]string{}
	for _, f := range pipeline.Findings() {
		reporter[f.Name] = "the pipeline"
	}
	for i, s := range specs {
		if _, first := find(s.Name); !word.MatchString(s.Name) || first != i {
			t.Errorf("%q: a check's name is one word, and its own", s.Name)
		}
		if s.TopLevel == slices.Contains(Names(), s.Name) {
			t.Errorf("%q: its keys stand below checks, or at the top", s.Name)
		}
		for _, other := range slices.Concat(s.Needs, s.After) {
			if _, i := find(other); i < 0 {
				t.Errorf("%s: there is no check %s to need or follow", s.Name, other)
			}
		}
		if len(s.Findings) == 0 {
			t.Errorf("%s: nothing that it could find", s.Name)
		}
		for _, f := range s.Findings {
			if !upperSnake.MatchString(f.Name) {
				t.Errorf("%s: finding %s is not UPPER_SNAKE", s.Name, f.Name)
			}
			if by, taken := reporter[f.Name]; taken {
				t.Errorf("%s: finding %s is what %s reports", s.Name, f.Name, by)
			}
			reporter[f.Name] = s.Name
			if f.Describe == "" || strings.HasSuffix(f.Describe, ".") || strings.ContainsAny(f.Describe, "\n") {
				t.Errorf("%s: finding %s is described as %q, expected one line without a full stop", s.Name, f.Name, f.Describe)
			}
		}
	}
}

// The plan of all checks together holds, with each of them left out in turn where
// nobody needs it.
func TestSpecsMakeAPlan(t *testing.T) {
	for _, without := range append(Names(), "") {
		var enabled []checks.Spec
		needed := false
		for _, s := range Specs(nil) {
			needed = needed || slices.Contains(s.Needs, without)
			if s.Name != without {
				enabled = append(enabled, s)
			}
		}
		_, err := pipeline.New(pipeline.Options{
			Specs: enabled, Section: func(string) checks.Section { return checktest.Section("") }, Env: env(),
			Metrics: pipeline.NewMetrics(prometheus.NewRegistry()),
		})
		if (err != nil) != needed {
			t.Errorf("without %q: %v", without, err)
		}
	}
}

func env() checks.Env {
	return checks.Env{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now}
}

// recorder is a section that notes what a check decodes onto, which holds its
// defaults, before it decodes.
type recorder struct {
	text     checktest.Section
	defaults any // a pointer to a copy
	decoded  any
}

func (r *recorder) Decode(into any) error {
	held := reflect.New(reflect.TypeOf(into).Elem())
	held.Elem().Set(reflect.ValueOf(into).Elem())
	r.defaults, r.decoded = held.Interface(), into
	return r.text.Decode(into)
}

// emptyLists makes lists of no entries what they are without a word of them.
func emptyLists(config reflect.Value) {
	for i := range config.NumField() {
		if e, ok := config.Field(i).Addr().Interface().(*table.Entries); ok && e.Path() == "" && !e.IsZero() {
			if list, err := e.Open(time.Now, nil); err == nil && list.Table().Len() == 0 {
				*e = table.Entries{}
			}
		}
	}
}

// sample.yaml is the defaults: every key is in it, in their order, and what it
// says is what holds without it.
func TestSamples(t *testing.T) {
	key := regexp.MustCompile(`^( *)([a-z_]+):`)
	for _, s := range Specs(nil) {
		section := &recorder{text: checktest.Section(s.Sample)}
		if _, err := s.New(section, env()); err != nil {
			t.Errorf("%s: sample.yaml: %v", s.Name, err)
			continue
		}
		if section.decoded == nil {
			t.Errorf("%s: the check does not read its section", s.Name)
			continue
		}
		emptyLists(reflect.ValueOf(section.decoded).Elem())
		if !reflect.DeepEqual(section.decoded, section.defaults) {
			t.Errorf("%s: sample.yaml says\n%+v\nthe defaults are\n%+v", s.Name, section.decoded, section.defaults)
		}
		var listed, open []string
		for line := range strings.Lines(s.Sample) {
			if m := key.FindStringSubmatch(line); m != nil {
				open = append(open[:min(len(m[1])/2, len(open))], m[2])
				listed = append(listed, strings.Join(open, "."))
			}
		}
		want := strictyaml.Keys(section.defaults)
		slices.Sort(listed)
		slices.Sort(want)
		if !slices.Equal(listed, want) {
			t.Errorf("%s: sample.yaml lists the keys %v, the check knows %v", s.Name, listed, want)
		}
		if !s.TopLevel && (!slices.Contains(want, "enabled") || !slices.Contains(want, "on_error")) {
			t.Errorf("%s: the check does not embed checks.Common", s.Name)
		}
	}
}

// Each piece of configuration in a README is one that milterd takes, and each file of
// rules loads after those that ship. The check's own section is shown, again in the
// examples where there is more to say.
func TestREADMEConfigurations(t *testing.T) {
	sections := map[string]int{"attachments": 2, "clamav": 2} // at least; 1 of the others
	withRules := []string{"attachments", "content", "dnsbl", "firstseen", "header", "iprev", "replies", "uribl"}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	files := rules.Shipped()
	for _, s := range Specs(nil) {
		own, example := 0, false
		for _, b := range block.FindAllStringSubmatch(readme(t, s.Name), -1) {
			switch {
			case strings.HasPrefix(b[1], "checks:"), s.TopLevel && strings.HasPrefix(b[1], s.Name+":"):
				own += tryConfiguration(t, s, b[1])
			case strings.HasPrefix(b[1], "rules:"), strings.HasPrefix(b[1], "scores:"):
				example = example || strings.HasPrefix(b[1], "rules:")
				files = append(files, rules.Source{Name: s.Name + "/README.md", Text: []byte(b[1])})
			}
		}
		if want := max(sections[s.Name], 1); own < want {
			t.Errorf("%s: README.md shows the section of the check %d times, expected at least %d", s.Name, own, want)
		}
		if !example && slices.Contains(withRules, s.Name) {
			t.Errorf("%s: README.md shows no rule that uses what the check finds", s.Name)
		}
	}
	if _, err := rules.Load(files, findings()); err != nil { // lines are those of the block
		t.Error(err)
	}
}

// tryConfiguration makes the checks that a piece of configuration in the README of a
// check is of, and returns how many of them are the check itself.
func tryConfiguration(t *testing.T, of checks.Spec, text string) (own int) {
	t.Helper()
	sections := map[string]strictyaml.Section{}
	var err error
	if strings.HasPrefix(text, "checks:") {
		var file struct {
			Checks map[string]strictyaml.Section `yaml:"checks"`
		}
		err = checktest.Section(text).Decode(&file)
		sections = file.Checks
	} else {
		err = checktest.Section(text).Decode(&sections)
	}
	if err != nil {
		t.Errorf("%s: README.md: %v in\n%s", of.Name, err, text)
	}
	for name, section := range sections {
		spec, i := find(name)
		if i < 0 {
			t.Errorf("%s: README.md configures %s, which is no check", of.Name, name)
			continue
		}
		if _, err := spec.New(section, env()); err != nil {
			t.Errorf("%s: README.md: %v in\n%s", of.Name, err, text)
		}
		if name == of.Name {
			own++
		}
	}
	return own
}

// findings are the names of all that can be found without a rule.
func findings() []string {
	var names []string
	for _, f := range pipeline.Findings() {
		names = append(names, f.Name)
	}
	for _, s := range Specs(nil) {
		for _, f := range s.Findings {
			names = append(names, f.Name)
		}
	}
	return names
}

func readme(t *testing.T, check string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", check, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A check's own metrics bear its name, say their unit and stand in its README;
// those in its README are there.
func TestMetrics(t *testing.T) {
	ofRunner := gathered(t, func(reg prometheus.Registerer) { pipeline.NewMetrics(reg) })
	for _, s := range Specs(nil) {
		own := gathered(t, func(reg prometheus.Registerer) {
			e := env()
			e.Registerer = reg
			if _, err := s.New(checktest.Section(""), e); err != nil {
				t.Fatal(err)
			}
		})
		word := s.Name
		if word == "signing" {
			word = "dkim" // the half of it that signs: people look for the two in one place
		}
		if word == "dnsbl" || word == "uribl" {
			word = "dnslist" // the lists are counted by their names, whichever of the two asks
		}
		form := regexp.MustCompile(`^milterd_` + word + `_([a-z_]+_)?(total|seconds|bytes|ratio|info|timestamp_seconds|tokens|messages|questions|up)$`)
		text := readme(t, s.Name)
		for _, name := range own {
			if !form.MatchString(name) {
				t.Errorf("%s: metric %s is not named milterd_%s_<what>_<unit or total>", s.Name, name, word)
			}
			if !strings.Contains(text, name) {
				t.Errorf("%s: README.md does not mention %s", s.Name, name)
			}
		}
		for _, name := range regexp.MustCompile(`milterd_[a-z_]+`).FindAllString(text, -1) {
			if !slices.Contains(own, name) && !slices.Contains(ofRunner, name) {
				t.Errorf("%s: README.md mentions %s, which nobody registers", s.Name, name)
			}
		}
	}
}

// registered notes what is registered with it.
type registered struct {
	prometheus.Registerer
	names []string
}

func (r *registered) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 16)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	for d := range descs {
		_, name, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		r.names = append(r.names, name)
	}
	return r.Registerer.Register(c)
}

func (r *registered) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// gathered returns the names of the metrics that f registers.
func gathered(t *testing.T, f func(prometheus.Registerer)) []string {
	t.Helper()
	r := &registered{Registerer: prometheus.NewRegistry()}
	f(r)
	return r.names
}
