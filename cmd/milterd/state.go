package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"milterd/bayes"
	"milterd/internal/config"
	"milterd/internal/control"
	"milterd/internal/daemon"
	"milterd/internal/engine"
	"milterd/internal/learning"
	"milterd/internal/spamassassin/tokens"
	"milterd/internal/store"
	"milterd/internal/store/bolt"

	"github.com/prometheus/client_golang/prometheus"
)

// state is what milterd has learned and remembers: in the hands of a running daemon,
// which is asked, or else in the store, which is opened.
type state struct {
	client *control.Client // nil when there is no daemon
	store  daemon.Store
	desk   *learning.Desk
}

// openState finds out who has the store.
func (g *globals) openState() (*state, error) {
	cfg, err := g.loadConfig()
	if err != nil {
		return nil, g.configFailed(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client := control.NewClient(cfg.Control.Address)
	there, err := client.Present(ctx)
	switch {
	case there:
		return &state{client: client}, nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EACCES):
		return nil, &exitError{exitPermission, err}
	case err != nil:
		return nil, &exitError{exitUnavailable, err}
	}
	client.Close()
	return openAlone(cfg)
}

// openAlone opens the store of a configuration whose daemon is not running.
func openAlone(cfg *config.Config) (*state, error) {
	s, err := daemon.OpenStore(cfg.Store, slog.New(slog.DiscardHandler))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, &exitError{exitPermission, err}
	case errors.Is(err, bolt.ErrLocked):
		return nil, &exitError{exitUnavailable, fmt.Errorf("%w, and it does not answer on %s", err, cfg.Control.Address)}
	case err != nil:
		return nil, &exitError{exitUnavailable, err}
	}
	if path, ok := cfg.Store.Bolt(); ok {
		if err := leaveToOwner(path); err != nil {
			return nil, &exitError{exitPermission, errors.Join(err, s.Close(context.Background()))}
		}
	}
	limits := engine.Limits(&cfg.Limits)
	desk := &learning.Desk{
		Classifier: bayes.New(s, bayes.Options{Words: cfg.Limits.Words}), Limits: limits.MIME(),
		Metrics: learning.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	return &state{store: s, desk: desk}, nil
}

// stateFailed gives an error of work on the state its exit code.
func stateFailed(err error) error {
	switch {
	case errors.Is(err, store.ErrDump), errors.Is(err, tokens.ErrBackup):
		return &exitError{exitData, err}
	case errors.Is(err, fs.ErrPermission):
		return &exitError{exitPermission, err}
	}
	return &exitError{exitTemporary, err}
}

// leaveToOwner gives a file that root has made to the owner of its directory: the
// daemon's user.
func leaveToOwner(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Lchown(path, int(owner.Uid), int(owner.Gid))
}

func (s *state) close() {
	if s.client != nil {
		s.client.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = s.store.Close(ctx) // what was to be stored is: commands wait for it
}

// learn teaches messages, and says what became of the first ones when it fails.
func (s *state) learn(ctx context.Context, user string, class bayes.Class, raw ...[]byte) (control.Report, error) {
	if s.client != nil {
		return s.client.Learn(ctx, user, class, raw...)
	}
	results, err := s.desk.Teach(ctx, learning.Lesson{User: user, Class: class, By: ownName(), Source: learning.FromCommand}, raw...)
	return control.Report{User: user, Results: results}, err
}

// taught returns what was said of messages, nil of those of which nothing was said.
func (s *state) taught(ctx context.Context, user string, raw ...[]byte) ([]*bayes.Record, error) {
	if s.client != nil {
		return s.client.Taught(ctx, user, raw...)
	}
	return s.desk.Taught(ctx, user, raw...)
}

func ownName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(os.Getuid())
}

// dump writes all that is stored.
func (s *state) dump(ctx context.Context, w io.Writer) error {
	if s.client != nil {
		return s.client.Dump(ctx, w)
	}
	_, err := store.Dump(ctx, s.store, w)
	return err
}

// load reads a dump, and says how many records are stored when it fails.
func (s *state) load(ctx context.Context, r io.Reader) (records int, err error) {
	if s.client != nil {
		return s.client.Load(ctx, r)
	}
	return store.Load(ctx, s.store, r, time.Now)
}
