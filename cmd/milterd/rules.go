package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"milterd/internal/engine"
	"milterd/internal/strictyaml"
	"milterd/rules"
)

type rulesCmd struct {
	List rulesListCmd `cmd:"" help:"List every rule and every weight."`
	Test rulesTestCmd `cmd:"" help:"Run the tests that the rules carry."`
	Lint rulesLintCmd `cmd:"" help:"Say what could be better about the rules: slow, untested, useless ones."`
	Why  rulesWhyCmd  `cmd:"" help:"Tell all about one rule or finding."`
}

type rulesListCmd struct{}

// Run lists rules, and the weights of what checks report, with the place that
// each comes from.
func (*rulesListCmd) Run(g *globals) error {
	set, err := g.loadRules()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(g.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSCORE\tSTATE\tWHAT\tFROM")
	for _, r := range set.Texts {
		what := string(r.Text)
		if r.Header != "" {
			what += " " + r.Header
		}
		row(w, r.Rule, what)
	}
	for _, c := range set.Composites {
		row(w, c.Rule, "when "+c.When())
	}
	for _, name := range slices.Sorted(maps.Keys(set.Scores)) {
		score := set.Scores[name]
		row(w, rules.Rule{Name: name, Score: score.Points, State: rules.Active, Pos: score.Pos}, "finding of a check")
	}
	return w.Flush()
}

func row(w io.Writer, r rules.Rule, what string) {
	fmt.Fprintf(w, "%s\t%g\t%s\t%s\t%s\n", r.Name, r.Score, r.State, what, r.Pos)
}

type rulesTestCmd struct {
	Corpus    bool     `help:"Try the rules on mail that is known, in pairs of folders with honest mail and with spam: hits, precision, recall, proposed weights."`
	Threshold float64  `help:"With --corpus: from how many points on a message is filed." default:"6" placeholder:"POINTS"`
	Ceiling   float64  `help:"With --corpus: the largest share of honest mail that may be filed, in percent." default:"0.3" placeholder:"PERCENT"`
	Heft      float64  `help:"With --corpus: how many messages of the first pair one of the others outweighs." default:"3" placeholder:"N"`
	Seed      uint64   `help:"With --corpus: how folds are drawn for validation." default:"1" placeholder:"N"`
	Paths     []string `arg:"" optional:"" name:"folder" help:"With --corpus: honest mail, spam, and so on in pairs."`
}

// Run loads the rules, which runs their tests: one that fails stops the load.
func (c *rulesTestCmd) Run(g *globals) error {
	set, err := g.loadRules()
	if err != nil {
		return err
	}
	if c.Corpus {
		return c.corpus(g, set)
	}
	_, err = fmt.Fprintf(g.stdout, "%d rules pass their own tests\n", len(set.Texts)+len(set.Composites))
	return err
}

type rulesLintCmd struct {
	All bool `help:"Look at the shipped rules as well."`
}

// Run says what could be better about the rules.
func (c *rulesLintCmd) Run(g *globals) error {
	set, err := g.loadRules()
	if err != nil {
		return err
	}
	told := 0
	for _, r := range rules.Lint(set, time.Now) {
		if c.All || !rules.IsShipped(r.Pos.File) {
			fmt.Fprintln(g.stdout, r)
			told++
		}
	}
	if told > 0 {
		return &exitError{code: exitFindings}
	}
	_, err = fmt.Fprintln(g.stdout, "nothing to remark")
	return err
}

type rulesWhyCmd struct {
	Name string `arg:"" help:"A rule or finding, such as SPF_FAIL."`
}

// Run tells what a rule looks for, where it stands, what it is worth, and who names
// it.
func (c *rulesWhyCmd) Run(g *globals) error {
	set, err := g.loadRules()
	if err != nil {
		return err
	}
	reported := ""
	for _, f := range engine.Findings() {
		if f.Name == c.Name {
			reported = f.Describe
		}
	}
	if !set.Why(g.stdout, c.Name, reported) {
		return &exitError{code: exitUsage, err: fmt.Errorf("%s is neither a rule nor a finding%s", c.Name, strictyaml.DidYouMean(c.Name, append(set.Names(), engine.FindingNames()...)))}
	}
	return nil
}

// loadRules reads the rules of the configuration. What is wrong with them is
// printed; the exit code says whether tests failed or files are wrong.
func (g *globals) loadRules() (*rules.Set, error) {
	cfg, err := g.loadConfig()
	if err != nil {
		return nil, g.configFailed(err)
	}
	set, err := engine.Rules(cfg)
	if err != nil {
		problems := engine.Problems(err)
		fmt.Fprintln(g.stderr, strings.Join(problems, "\n"))
		return nil, &exitError{code: exitFindings}
	}
	return set, nil
}
