package main

import (
	"context"
	"fmt"
	"time"

	"milterd/internal/mailbox"
	"milterd/internal/weights"
	"milterd/rules"
)

// corpus tries the rules on mail of which is known what it is, and proposes weights.
// The folders come in pairs, honest mail first. Nothing is asked and nothing is
// written.
func (c *rulesTestCmd) corpus(g *globals, set *rules.Set) error {
	if len(c.Paths) == 0 || len(c.Paths)%2 != 0 {
		return &exitError{code: exitUsage, err: fmt.Errorf("--corpus with %d folders, expected pairs of one with honest mail and one with spam", len(c.Paths))}
	}
	evidence, err := weights.NewEvidence(set, time.Now)
	if err != nil {
		return err
	}
	bar := g.newProgress("tried", mailbox.Size(c.Paths))
	defer bar.Close()
	var samples []weights.Sample
	unreadable := false
	for i, path := range c.Paths {
		for m := range mailbox.Messages([]string{path}, g.stdin, g.skipped) {
			err := m.Err
			if err == nil {
				var s weights.Sample
				s, err = evidence.Sample(context.Background(), m.Name, m.Raw, i%2 == 1)
				if s.Heft = 1; i >= 2 { // the first pair is the great one, what follows is chosen
					s.Heft = c.Heft
				}
				samples = append(samples, s)
			}
			if err != nil {
				unreadable = true
				fmt.Fprintf(g.stderr, "milterd: %s: %s\n", safe(m.Name), safe(err.Error()))
			}
			bar.Add(len(m.Raw))
		}
	}
	bar.Close()
	o := weights.Defaults()
	o.Threshold, o.Ceiling, o.Seed = c.Threshold, c.Ceiling/100, c.Seed
	if err := weights.New(set).NewReport(samples, o).Write(g.stdout); err != nil {
		return err
	}
	if unreadable {
		return &exitError{code: exitData}
	}
	return nil
}
