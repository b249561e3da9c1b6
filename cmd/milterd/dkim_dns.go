package main

import (
	"fmt"
	"strings"

	"milterd/internal/keys"
)

type dkimDNSCmd struct {
	keyFlags
	Form    string   `enum:"zone,line,provider" default:"zone" help:"zone: for a zone file; line: the same in one line; provider: name, type and value, for a form on a web page."`
	Domains []string `arg:"" optional:"" name:"domain" help:"Domains; without one, all of the configuration."`
}

// Run prints the records that shall stand in the DNS now, those of retired keys
// with their empty p= included.
func (c *dkimDNSCmd) Run(g *globals) error {
	cfg, err := c.config(g)
	if err != nil {
		return err
	}
	targets, err := c.targets(g, cfg, c.Domains)
	if err != nil {
		return err
	}
	for _, t := range targets {
		list, err := listKeys(t)
		if err != nil {
			return err
		}
		for i := range list {
			c.print(g, t.Domain, &list[i].Key)
		}
	}
	return nil
}

func (c *dkimDNSCmd) print(g *globals, domain string, k *keys.Key) {
	switch c.Form {
	case "line":
		fmt.Fprintln(g.stdout, keys.ZoneLine(k.Name, k.Record))
	case "provider":
		fmt.Fprintf(g.stdout, "name   %s   (in the zone of %s; some want the whole name, %s)\ntype   TXT\nvalue  %s\n\n",
			strings.TrimSuffix(k.Name, "."+domain), domain, k.Name, k.Record)
	default:
		fmt.Fprintf(g.stdout, "; %s, %s\n%s\n", describe(k), k.Stage, keys.ZoneLines(k.Name, k.Record))
	}
}
