package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"os/user"
	"sync"
	"syscall"

	"milterd/internal/config"
	"milterd/internal/daemon"
	"milterd/internal/demo"
)

type serveCmd struct {
	User      string `help:"Become this user once the sockets are open (needed when started as root)." placeholder:"NAME"`
	AllowRoot bool   `help:"Stay root. Not for a mail server that others can reach."`
	Takeover  bool   `help:"Take over the sockets and the store of the daemon that runs, which serves its sessions to their end; where none runs, just start."`
	Demo      bool   `help:"A demonstration on loopback: needs no root, DNS, Postfix or files."`
	Play      bool   `help:"With --demo: play its messages, print the table of verdicts, end."`
}

var errPlay = errors.New("--play is a part of --demo: give both")

var errRoot = errors.New("refusing to run as root: give --user NAME (usually milterd), or --allow-root if you must")

// Run serves until SIGTERM or SIGINT. SIGHUP reloads the configuration.
func (c *serveCmd) Run(g *globals) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if c.Play && !c.Demo {
		return &exitError{exitUsage, errPlay}
	}
	if c.Demo {
		return demo.Run(ctx, demo.Options{Stdout: g.stdout, Stderr: g.stderr, Version: version, Play: c.Play})
	}
	if os.Geteuid() == 0 && c.User == "" && !c.AllowRoot {
		return &exitError{exitPermission, errRoot}
	}
	reload, forget := reloadOnHangup(ctx)
	defer forget()
	err := daemon.Run(ctx, daemon.Options{
		Load:    func() (*config.Config, error) { return g.loadConfig() },
		Version: version, User: c.User, Takeover: c.Takeover, Stderr: g.stderr,
	}, reload)
	var wrong *daemon.ConfigError
	var unknown user.UnknownUserError
	switch {
	case errors.As(err, &wrong):
		return g.configFailed(wrong.Err)
	case errors.As(err, &unknown):
		return &exitError{exitUsage, err}
	case errors.Is(err, fs.ErrPermission):
		return &exitError{exitPermission, err}
	case err != nil:
		return &exitError{exitUnavailable, err}
	}
	return nil
}

// reloadOnHangup gives a channel that receives for each SIGHUP; several that come
// while a reload is under way are one. forget ends it.
func reloadOnHangup(ctx context.Context) (reload <-chan struct{}, forget func()) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	asked := make(chan struct{})
	var relay sync.WaitGroup
	relay.Go(func() {
		for {
			select {
			case <-hup:
			case <-ctx.Done():
				return
			}
			select {
			case asked <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	})
	return asked, func() {
		signal.Stop(hup)
		cancel()
		relay.Wait()
	}
}
