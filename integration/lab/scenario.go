package lab

import (
	"embed"
	"maps"
	"path"
	"slices"
	"strings"

	"milterd/internal/strictyaml"
)

//go:embed scenarios/*.yaml
var scenarioFiles embed.FS

// A Scenario is one fault, what happens around it, and what everybody is told.
type Scenario struct {
	Name string `yaml:"-"` // of its file
	// Fault and Promise are sentences for people; docs/assurance.md shows them.
	Fault   string `yaml:"fault"`
	Promise string `yaml:"promise"`
	// Short puts the scenario into the subset that is part of every test run.
	Short bool `yaml:"short"`
	// Build: lab is the lab's own build of milterd, whose clock can be set and which has a
	// check that panics and hangs; default the one that everybody runs.
	Build Build `yaml:"build"`
	Store Store `yaml:"store"`
	Disk  Disk  `yaml:"disk"`
	// FewFiles lets milterd open 256 files.
	FewFiles bool `yaml:"few_files"`
	// Memory puts milterd into a control group of its own that may have so much.
	Memory strictyaml.Bytes `yaml:"memory"`
	Daemon string           `yaml:"daemon"` // configuration of milterd
	// Spoils says that the fault may cost records of the journal: a kill, a full disk.
	Spoils bool   `yaml:"spoils_journal"`
	Steps  []Step `yaml:"steps"`
}

// Build says which milterd a scenario is about.
type Build string

// The builds.
const (
	Shipped Build = "shipped"
	Special Build = "lab"
)

// DecodeYAML implements [strictyaml.Decoder].
func (b *Build) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, b, Shipped, Special)
}

// A Step is one thing that is done or looked at; exactly one of its keys is given.
type Step struct {
	strictyaml.Pos

	Break  string  `yaml:"break"`  // puts a fault in
	Mend   string  `yaml:"mend"`   // takes it out
	Do     string  `yaml:"do"`     // something that is over when it is done
	Send   *Send   `yaml:"send"`   // mail, one after the other
	Load   *Load   `yaml:"load"`   // mail in the background, until rest
	Rest   *Rest   `yaml:"rest"`   // ends the load
	Log    string  `yaml:"log"`    // waits for a line of milterd's with all these words, since the last break, mend or do
	Metric *Metric `yaml:"metric"` // waits for a value
	Kills  *Kills  `yaml:"kills"`  // by the kernel, of milterd's group, since it is there
}

// Send is mail of one kind and what becomes of it.
type Send struct {
	Kind  string `yaml:"kind"`
	Times int    `yaml:"times"` // default 1
	// Tries of the same letter; what is expected is so of the last. The others are 4xx.
	Tries int `yaml:"tries"`
	// Reply is how the answer begins; ", or " stands between several that are right.
	Reply string `yaml:"reply"`
	// In is the folder where it arrives: INBOX, Junk, hold.
	In string `yaml:"in"`
	// Header holds, for names of fields, what is in them; "" wants none of that name.
	Header map[string]string `yaml:"header"`
	// Verdict holds words of milterd's line about it.
	Verdict string `yaml:"verdict"`
}

// Load is senders in the background, each with one letter after the other.
type Load struct {
	Senders int      `yaml:"senders"`
	Kinds   []string `yaml:"kinds"`
	Tries   int      `yaml:"tries"` // per letter, then it stays deferred
}

// Rest ends a load.
type Rest struct {
	Letters  int `yaml:"letters"`  // there must have been so many, lest nothing be proved
	Deferred int `yaml:"deferred"` // that were never taken or refused for good, at most
	Refusals int `yaml:"refusals"` // answers 4xx on the way, at most
}

// Kills is how often the kernel has killed milterd for want of memory. Without AtLeast it is Is.
type Kills struct {
	Is      int `yaml:"is"`
	AtLeast int `yaml:"at_least"`
}

// Metric is what a metric of milterd's comes to.
type Metric struct {
	Name   string   `yaml:"name"`
	Labels []string `yaml:"labels"` // such as result="error"
	// Rises says that it is more than at the last break, mend or do; AtMost is a bound.
	// Without either it is Is.
	Rises  bool    `yaml:"rises"`
	AtMost float64 `yaml:"at_most"`
	Is     float64 `yaml:"is"`
}

// holds reports whether now, after before, is what is wanted.
func (m *Metric) holds(before, now float64) bool {
	switch {
	case m.Rises:
		return now > before
	case m.AtMost > 0:
		return now <= m.AtMost
	}
	return now == m.Is
}

// ValidateYAML implements [strictyaml.Validator].
func (s *Scenario) ValidateYAML(n *strictyaml.Node) error {
	for key, text := range map[string]string{"fault": s.Fault, "promise": s.Promise} {
		if text == "" || strings.HasSuffix(text, ".") {
			return n.Key(key).Expected("a sentence without a full stop")
		}
	}
	if len(s.Steps) == 0 {
		return n.Key("steps").Expected("steps")
	}
	return nil
}

// ValidateYAML implements [strictyaml.Validator].
func (s *Step) ValidateYAML(n *strictyaml.Node) error {
	if n.Len() != 1 {
		return n.Errorf("got %d keys, expected exactly one of break, mend, do, send, load, rest, log, metric, kills", n.Len())
	}
	for key, fault := range map[string]string{"break": s.Break, "mend": s.Mend} {
		if _, known := Faults()[fault]; fault != "" && !known {
			return n.Key(key).Expected("one of " + strings.Join(names(Faults()), ", "))
		}
	}
	if _, known := Deeds()[s.Do]; s.Do != "" && !known {
		return n.Key("do").Expected("one of " + strings.Join(names(Deeds()), ", "))
	}
	return nil
}

// ValidateYAML implements [strictyaml.Validator].
func (s *Send) ValidateYAML(n *strictyaml.Node) error {
	if s.Reply == "" {
		return n.Key("reply").Expected("how the answer begins")
	}
	if s.In != "" && !slices.Contains([]string{"INBOX", "Junk", "hold"}, s.In) {
		return n.Key("in").Expected("INBOX, Junk or hold")
	}
	if len(s.Header) > 0 && s.In == "" {
		return n.Key("in").Expected("a folder, since header wants to see the mail")
	}
	return knownKind(n.Key("kind"), s.Kind)
}

// ValidateYAML implements [strictyaml.Validator].
func (l *Load) ValidateYAML(n *strictyaml.Node) error {
	if l.Senders < 1 || l.Tries < 1 || len(l.Kinds) == 0 {
		return n.Expected("senders, tries and kinds")
	}
	for i, kind := range l.Kinds {
		if err := knownKind(n.Key("kinds").Item(i), kind); err != nil {
			return err
		}
	}
	return nil
}

func knownKind(n *strictyaml.Node, kind string) error {
	if _, known := Kinds()[kind]; !known {
		return n.Expected("one of " + strings.Join(names(Kinds()), ", "))
	}
	return nil
}

// names returns the keys of a map in order.
func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// ReadScenario reads one; the error has file:line:column.
func ReadScenario(file string, text []byte) (*Scenario, error) {
	s := &Scenario{Name: strings.TrimSuffix(path.Base(file), ".yaml"), Build: Shipped, Store: Bolt, Disk: Plain}
	if err := strictyaml.Decode(file, text, s); err != nil {
		return nil, err
	}
	return s, nil
}

// Scenarios returns all, in the order of their names.
func Scenarios() ([]*Scenario, error) {
	entries, err := scenarioFiles.ReadDir("scenarios")
	if err != nil {
		return nil, err
	}
	var all []*Scenario
	for _, e := range entries {
		file := path.Join("scenarios", e.Name())
		text, err := scenarioFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		s, err := ReadScenario(file, text)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
