package main

import (
	"milterd/internal/opendkim"
)

type importOpendkimCmd struct {
	importFlags
	Path string `arg:"" name:"file|dir" help:"opendkim.conf, or the directory where it lies."`
}

// Run prints the YAML and the report. It ends with 78 when there is no
// configuration to read at all.
func (c *importOpendkimCmd) Run(g *globals) error {
	r, err := opendkim.Import(c.Path)
	if err != nil {
		return &exitError{exitConfig, err}
	}
	return c.deliver(g, r.YAML, r.Report, r.Whole)
}
