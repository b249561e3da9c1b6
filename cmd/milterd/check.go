package main

import (
	"fmt"
	"strings"

	"milterd/checks/content"
	"milterd/rules"
)

type checkCmd struct {
	Effective bool `help:"Print the configuration in effect, with every default filled in."`
}

// Run checks what a start would read: configuration, rules with their tests,
// sections of checks. It asks nobody. Warnings are about what works, badly.
func (c *checkCmd) Run(g *globals) error {
	cfg, err := g.loadConfig()
	if err != nil {
		return g.configFailed(err)
	}
	e, resolver, err := newEngine(cfg, quiet(g.stderr), nil, nil)
	if err != nil {
		return g.configFailed(err)
	}
	resolver.Close()
	if c.Effective {
		text, err := cfg.Effective()
		if err != nil {
			return err
		}
		_, err = g.stdout.Write(text)
		return err
	}
	for _, w := range e.Warnings() {
		fmt.Fprintf(g.stderr, "%s (a warning)\n", w)
	}
	for _, r := range content.Costly(e.Rules) {
		if rules.IsShipped(r.Pos.File) {
			continue
		}
		fmt.Fprintf(g.stderr, "%s: rule %s is costly: its expression has no word by which most messages could be passed over\n", r.Pos, r.Name)
	}
	_, err = fmt.Fprintf(g.stdout, "configuration is in order: %d file(s), %d checks, %d rules, mode %s\n",
		len(cfg.Files), len(e.Specs), len(e.Rules.Texts)+len(e.Rules.Composites), cfg.Mode)
	if off := e.Off(); err == nil && len(off) > 0 {
		_, err = fmt.Fprintf(g.stdout, "checks that are off: %s\n", strings.Join(off, ", "))
	}
	if idle := e.Pipeline.Idle(); err == nil && len(idle) > 0 {
		_, err = fmt.Fprintf(g.stdout, "checks that have nothing to do yet: %s\n", strings.Join(idle, ", "))
	}
	return err
}
