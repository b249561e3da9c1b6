package main

import "milterd/internal/postgrey"

type importPostgreyCmd struct {
	importFlags
	Path []string `arg:"" optional:"" name:"file|dir" help:"White lists, or directories where they lie (default: /etc/postgrey)."`
}

// Run prints the YAML and the report. It ends with 65 when files cannot be read.
func (c *importPostgreyCmd) Run(g *globals) error {
	if len(c.Path) == 0 {
		c.Path = []string{"/etc/postgrey"}
	}
	r, err := postgrey.Import(c.Path)
	if err != nil {
		return &exitError{exitData, err}
	}
	return c.deliver(g, r.YAML, r.Report, r.Whole)
}
