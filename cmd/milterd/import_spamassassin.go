package main

import (
	"os"
	"path/filepath"

	"milterd/internal/engine"
	"milterd/internal/spamassassin"
	"milterd/rules"
)

type importSpamassassinCmd struct {
	importFlags
	Path         []string `arg:"" name:"file|dir" help:".cf files, or directories with such."`
	Backtracking bool     `help:"Carry expressions with look-around and back-references, too. They go into a file of their own and cost more."`
	Column       string   `default:"auto" enum:"auto,local,network,bayes,both" help:"Which of four scores counts. auto: by what this milterd finds."`
	To           string   `help:"Write rules.d and conf.d below DIR instead of one rule file to standard output." placeholder:"DIR"`
}

var scoreColumns = map[string]spamassassin.Column{
	"auto": spamassassin.AnyColumn, "local": spamassassin.Local, "network": spamassassin.Network,
	"bayes": spamassassin.Bayes, "both": spamassassin.BayesAndNet,
}

// Run writes rules, settings and the report. It ends with 65 when files cannot be
// read.
func (c *importSpamassassinCmd) Run(g *globals) error {
	shipped, err := rules.Load(rules.Shipped(), engine.FindingNames())
	if err != nil {
		return &exitError{exitConfig, err}
	}
	opts := spamassassin.Options{Column: scoreColumns[c.Column], Backtracking: c.Backtracking, Findings: engine.FindingNames()}
	for i := range shipped.Texts {
		opts.Rules = append(opts.Rules, shipped.Texts[i].Name)
	}
	for i := range shipped.Composites {
		opts.Rules = append(opts.Rules, shipped.Composites[i].Name)
	}
	r, err := spamassassin.Import(c.Path, opts)
	if err != nil {
		return &exitError{exitData, err}
	}
	if c.To == "" {
		return c.deliver(g, r.File(), r.Report, r.Whole)
	}
	for _, file := range []struct {
		name string
		text []byte
	}{
		{"rules.d/50-spamassassin.yaml", r.Rules},
		{"rules.d/51-spamassassin-backtracking.yaml", r.Backtracking},
		{"conf.d/50-spamassassin.yaml", r.Config},
	} {
		if len(file.text) == 0 {
			continue
		}
		path := filepath.Join(c.To, file.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, file.text, 0o644); err != nil {
			return err
		}
	}
	return c.deliver(g, nil, r.Report, r.Whole)
}
