package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"milterd/internal/keys"
	"milterd/internal/rotation"
)

type dkimStatusCmd struct {
	keyFlags
	JSON    bool     `name:"json" help:"One JSON object a line for each key."`
	Domains []string `arg:"" optional:"" name:"domain" help:"Domains; without one, all of the configuration."`
}

// keyStatus is what --json prints of a key.
type keyStatus struct {
	Domain string `json:"domain"`
	keys.Key
	Managed bool            `json:"managed"`
	Age     int             `json:"age_seconds"`
	Status  rotation.Status `json:"status"`
	Servers []rotation.View `json:"servers"`
	Advice  string          `json:"advice,omitempty"`
}

// Run shows all keys. It ends with 1 when the DNS does not show one that signs or
// has signed lately, with 75 when that could not be found out.
func (c *dkimStatusCmd) Run(g *globals) error {
	cfg, err := c.config(g)
	if err != nil {
		return err
	}
	targets, err := c.targets(g, cfg, c.Domains)
	if err != nil {
		return err
	}
	observer, now := c.observer(cfg), time.Now()
	missing, unknown := false, false
	var broken error // the keys of one domain, after which the others are shown all the same
	for _, t := range targets {
		list, err := listKeys(t)
		if err != nil {
			broken = passOver(g, broken, err)
			continue
		}
		if !c.JSON {
			fmt.Fprintln(g.stdout, t.Domain)
		}
		for i := range list {
			s := statusOf(context.Background(), observer, t, &list[i], now)
			if s.Stage == keys.Active || s.Stage == keys.Retiring {
				missing = missing || s.Status == rotation.Missing
				unknown = unknown || s.Status == rotation.Unknown
			}
			if err := c.print(g, &s, now); err != nil {
				return err
			}
		}
	}
	switch {
	case broken != nil:
		return broken
	case missing:
		return &exitError{code: exitFindings}
	case unknown:
		return &exitError{code: exitTemporary}
	}
	return nil
}

// statusOf looks at one key.
func statusOf(ctx context.Context, dns rotation.Looker, t rotation.Target, k *listedKey, now time.Time) keyStatus {
	s := keyStatus{Domain: t.Domain, Key: k.Key, Managed: k.state != nil, Age: int(now.Sub(k.Created).Seconds())}
	seen := dns.Look(ctx, k.Name, k.Record)
	s.Status, s.Servers = seen.Status, seen.Views
	policy := rotation.Policy{Age: rotation.DefaultAge, Overlap: t.Overlap}
	if k.state == nil {
		k.state, policy.Age = &keys.State{Domain: t.Domain}, 0 // nobody makes another one
	}
	s.Advice = rotation.Advice(k.state, &k.Key, seen, now, policy)
	return s
}

func (c *dkimStatusCmd) print(g *globals, s *keyStatus, now time.Time) error {
	if c.JSON {
		return json.NewEncoder(g.stdout).Encode(s)
	}
	managed := ""
	if !s.Managed {
		managed = ", not managed"
	}
	fmt.Fprintf(g.stdout, "  %s  %s, %s, %s old%s: %s\n", s.Selector, describe(&s.Key), s.Stage, age(now.Sub(s.Created)), managed, s.Status)
	for _, v := range s.Servers {
		server := v.Server
		if v.Addr.IsValid() {
			server += " " + v.Addr.String()
		}
		fmt.Fprintf(g.stdout, "    %s: %s", safe(server), v.Said)
		if v.Detail != "" {
			fmt.Fprintf(g.stdout, " (%s)", safe(v.Detail))
		}
		fmt.Fprintln(g.stdout)
	}
	if s.Advice != "" {
		fmt.Fprintf(g.stdout, "    -> %s\n", safe(s.Advice))
	}
	return nil
}

// age is a duration in its largest whole unit.
func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d min", max(d, 0)/time.Minute)
}
