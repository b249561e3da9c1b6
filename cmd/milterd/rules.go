package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"milterd/internal/engine"
	"milterd/rules"
)

type rulesCmd struct {
	List rulesListCmd `cmd:"" help:"List every rule and every weight."`
	Test rulesTestCmd `cmd:"" help:"Run the tests that the rules carry."`
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

type rulesTestCmd struct{}

// Run loads the rules, which runs their tests: one that fails stops the load.
func (*rulesTestCmd) Run(g *globals) error {
	set, err := g.loadRules()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(g.stdout, "%d rules pass their own tests\n", len(set.Texts)+len(set.Composites))
	return err
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
