package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"milterd/internal/config"
	"milterd/internal/control"
	"milterd/internal/journal"
)

type whyCmd struct {
	JSON bool   `help:"Print the stored objects, one a line."`
	Key  string `arg:"" name:"id" help:"Transaction id (the one in parentheses at the end of a reply), queue id or Message-ID."`
}

// Run explains stored verdicts. Who may not read the journal asks the daemon,
// by its control socket.
func (c *whyCmd) Run(g *globals) error {
	cfg, err := g.loadConfig()
	if err != nil {
		return g.configFailed(err)
	}
	records, err := journal.Find(string(cfg.Journal.Path), c.Key, 20)
	if errors.Is(err, fs.ErrPermission) {
		records, err = askDaemon(cfg, c.Key)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &exitError{exitPermission, err}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &exitError{exitUnavailable, err}
	case err != nil:
		return err
	case len(records) == 0:
		return &exitError{exitFindings, fmt.Errorf("no verdict on %q in %s (kept for %s)", safe(c.Key), cfg.Journal.Path, days(cfg.Journal.MaxAge))}
	}
	for i, r := range records {
		if c.JSON {
			if err := writeJSON(g, r); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(g.stdout)
		}
		r.Explain(g.stdout)
	}
	return nil
}

func askDaemon(cfg *config.Config, key string) ([]*journal.Record, error) {
	client := control.NewClient(cfg.Control.Address)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var records []*journal.Record
	return records, client.Verdicts(ctx, key, &records)
}

// days writes a duration as the configuration does: 30d, not 720h0m0s.
func days(d time.Duration) string {
	if day := 24 * time.Hour; d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}
