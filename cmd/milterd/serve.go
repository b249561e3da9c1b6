package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"milterd/internal/config"
	"milterd/internal/daemon"
	"milterd/internal/demo"
)

type serveCmd struct {
	User      string `help:"Become this user once the sockets are open (needed when started as root)." placeholder:"NAME"`
	AllowRoot bool   `help:"Stay root. Not for a mail server that others can reach."`
	Demo      bool   `help:"A demonstration on loopback: needs no root, DNS, Postfix or files."`
	Play      bool   `help:"With --demo: play its messages, print the table of verdicts, end."`
}

var errRoot = errors.New("refusing to run as root: give --user NAME (usually milterd), or --allow-root if you must")

// Run serves until SIGTERM or SIGINT. SIGHUP reloads the configuration.
func (c *serveCmd) Run(g *globals) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if c.Demo {
		return demo.Run(ctx, demo.Options{Stdout: g.stdout, Stderr: g.stderr, Version: version, Play: c.Play})
	}
	if os.Geteuid() == 0 && c.User == "" && !c.AllowRoot {
		return &exitError{exitPermission, errRoot}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	reload := make(chan struct{}, 1)
	go func() {
		for {
			select {
			case <-hup:
				reload <- struct{}{}
			case <-ctx.Done():
				return
			}
		}
	}()
	err := daemon.Run(ctx, daemon.Options{
		Load:    func() (*config.Config, error) { return g.loadConfig() },
		Version: version, User: c.User, Stderr: g.stderr,
	}, reload)
	var wrong *daemon.ConfigError
	switch {
	case errors.As(err, &wrong):
		return g.configFailed(wrong.Err)
	case errors.Is(err, fs.ErrPermission):
		return &exitError{exitPermission, err}
	case err != nil:
		return &exitError{exitUnavailable, err}
	}
	return nil
}
