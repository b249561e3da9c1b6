package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"milterd/internal/config"
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
		return &exitError{exitFindings, fmt.Errorf("no verdict on %q in %s (kept for %s)", safe(c.Key), cfg.Journal.Path, cfg.Journal.MaxAge)}
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
	path, ok := strings.CutPrefix(cfg.Control.Address, "unix:")
	if !ok {
		return nil, fmt.Errorf("the journal cannot be read and %s is no unix socket: %w", cfg.Control.Address, fs.ErrPermission)
	}
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://milterd/verdicts?key=" + url.QueryEscape(key))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the daemon answers %s", resp.Status)
	}
	var records []*journal.Record
	return records, json.NewDecoder(resp.Body).Decode(&records)
}
