package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"milterd/internal/keys"
	"milterd/internal/rotation"
	"milterd/internal/strictyaml"
)

type dkimRotateCmd struct {
	keyFlags
	DryRun  bool     `help:"Only say what would be done."`
	New     bool     `help:"Make the next keys now, whatever the age of those that sign."`
	Age     keyAge   `help:"Make the next keys when those that sign are that old; off makes none." default:"180d"`
	Domains []string `arg:"" optional:"" name:"domain" help:"Domains; without one, all of the configuration whose keys are managed."`
}

// keyAge is a duration of days, or off.
type keyAge time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *keyAge) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*a = 0
		return nil
	}
	d, err := strictyaml.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%w, expected one such as 180d, or off", err)
	}
	*a = keyAge(d)
	return nil
}

// Run takes one step with the keys of each domain. It may be called as often as
// one likes: what is not due does not happen. It ends with 1 when the DNS does not
// show a key that it ought to show, with 75 when another milterd is at work.
func (c *dkimRotateCmd) Run(g *globals) error {
	cfg, err := c.config(g)
	if err != nil {
		return err
	}
	targets, err := c.targets(g, cfg, c.Domains)
	if err != nil {
		return err
	}
	missing, done := false, 0
	var broken error // the keys of one domain, after which the others take their turns all the same
	for _, t := range targets {
		if t.Directory == "" {
			if len(c.Domains) > 0 {
				return &exitError{exitConfig, fmt.Errorf("the keys of %s have files of their own and are not managed: give the domain a directory", t.Domain)}
			}
			continue
		}
		done++
		now := time.Now()
		policy := rotation.Policy{Age: time.Duration(c.Age), Overlap: t.Overlap, New: c.New}
		turn, err := rotation.Rotate(context.Background(), t.Directory, c.observer(cfg), now, policy, c.DryRun)
		if errors.Is(err, keys.ErrMissing) {
			err = fmt.Errorf("%w; milterd dkim genkey %s makes keys", err, t.Domain)
		}
		if err != nil {
			broken = passOver(g, broken, keysFailed(err))
			continue
		}
		missing = c.print(g, t, turn, now, policy) || missing
	}
	switch {
	case broken != nil:
		return broken
	case done == 0:
		return &exitError{exitConfig, errors.New("no domain in the configuration has managed keys (signing.domains.*.directory)")}
	case missing:
		return &exitError{code: exitFindings}
	}
	return nil
}

// print tells what happened and what the keys wait for. missing: a key that is
// needed is not in the DNS.
func (c *dkimRotateCmd) print(g *globals, t rotation.Target, turn *rotation.Turn, now time.Time, p rotation.Policy) (missing bool) {
	would := ""
	if c.DryRun {
		would = "would be "
	}
	fmt.Fprintln(g.stdout, t.Domain)
	happened := map[string][]rotation.Change{}
	for _, e := range turn.Events {
		happened[e.Selector] = append(happened[e.Selector], e.Change)
	}
	tell := func(selector string) {
		for _, change := range happened[selector] {
			fmt.Fprintf(g.stdout, "  %s  %s%s\n", selector, would, change)
		}
		delete(happened, selector)
	}
	for i := range turn.State.Keys {
		k := &turn.State.Keys[i]
		if len(happened[k.Selector]) == 0 {
			fmt.Fprintf(g.stdout, "  %s  %s\n", k.Selector, k.Stage)
		}
		tell(k.Selector)
		seen, looked := turn.Seen[k.Selector]
		if !looked {
			fmt.Fprintf(g.stdout, "    -> publish its record:\n%s\n", keys.ZoneLines(k.Name, k.Record))
			continue
		}
		if seen.Status != rotation.Shown && k.Stage != keys.Retired {
			fmt.Fprintf(g.stdout, "    %s: %s\n", seen.Status, safe(rotation.Summary(seen)))
			missing = missing || seen.Status == rotation.Missing && k.Stage != keys.Next
		}
		if advice := rotation.Advice(turn.State, k, seen, now, p); advice != "" {
			fmt.Fprintf(g.stdout, "    -> %s\n", safe(advice))
		}
	}
	for _, e := range turn.Events { // of keys that are not, or not any more, in the state
		tell(e.Selector)
	}
	return missing
}
