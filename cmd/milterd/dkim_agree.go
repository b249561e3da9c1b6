package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"milterd/internal/keys"
	"milterd/internal/rotation"
	"milterd/message"
)

type dkimTestkeyCmd struct {
	keyFlags
	Selector string   `help:"Only the key of this selector; with --file, its name." placeholder:"NAME"`
	File     string   `help:"A key file that is in no configuration; with --selector and one domain." placeholder:"FILE"`
	Domains  []string `arg:"" optional:"" name:"domain" help:"Domains; without one, all of the configuration."`
}

// Run compares key files with what the resolver finds. It ends with 1 when one
// does not agree, with 75 when the DNS did not answer.
func (c *dkimTestkeyCmd) Run(g *globals) error {
	cfg, err := c.config(g)
	if err != nil {
		return err
	}
	targets, err := c.chosen(g)
	if err == nil && targets == nil {
		targets, err = c.targets(g, cfg, c.Domains)
	}
	if err != nil {
		return err
	}
	resolver, err := resolverOf(cfg)
	if err != nil {
		return &exitError{exitUnavailable, err}
	}
	defer resolver.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tried, differs, unknown := 0, false, false
	for _, t := range targets {
		list, err := listKeys(t)
		if err != nil {
			return err
		}
		for i := range list {
			k := &list[i].Key
			if c.Selector != "" && k.Selector != c.Selector || k.Stage == keys.Retired {
				continue
			}
			tried++
			said, detail := rotation.Agree(ctx, resolver, k)
			fmt.Fprintf(g.stdout, "%s (%s, %s): ", k.Name, describe(k), k.Stage)
			switch said {
			case rotation.SaysShown:
				fmt.Fprintf(g.stdout, "the DNS and %s agree\n", k.Path)
			case rotation.SaysNothing:
				unknown = true
				fmt.Fprintf(g.stdout, "the DNS does not answer: %s\n", safe(detail))
			case rotation.SaysAbsent:
				differs = true
				fmt.Fprintln(g.stdout, "not in the DNS")
			default:
				differs = true
				fmt.Fprintf(g.stdout, "does not agree: %s\n", safe(detail))
			}
			if k.Algorithm == keys.RSA && k.Bits < keys.GoodBits {
				fmt.Fprintf(g.stdout, "  %d bits are few: RFC 8301 wants %d\n", k.Bits, keys.GoodBits)
			}
		}
	}
	switch {
	case tried == 0:
		return &exitError{exitConfig, errors.New("no such key")}
	case differs:
		return &exitError{code: exitFindings}
	case unknown:
		return &exitError{code: exitTemporary}
	}
	return nil
}

// chosen returns the target that --file makes, or nothing.
func (c *dkimTestkeyCmd) chosen(g *globals) ([]rotation.Target, error) {
	if c.File == "" {
		return nil, nil
	}
	if c.Selector == "" || len(c.Domains) != 1 {
		return nil, &exitError{exitUsage, errors.New("--file needs --selector and one domain")}
	}
	d, err := message.ParseDomain(c.Domains[0])
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return []rotation.Target{{Domain: d.String(), Keys: []rotation.File{{Selector: c.Selector, Path: c.File}}}}, nil
}
