package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"milterd/internal/store"
)

type storeCmd struct {
	Dump storeDumpCmd `cmd:"" help:"Write all that milterd has learned and remembers, as lines of JSON."`
	Load storeLoadCmd `cmd:"" help:"Read such lines into the store; other records in it stay."`
}

type storeDumpCmd struct {
	File string `arg:"" optional:"" default:"-" help:"Where to; - is standard output. A file is made for its owner's eyes only: it holds milterd's secrets."`
}

// Run dumps the store, a running daemon's or that of the configuration.
func (c *storeDumpCmd) Run(g *globals) error {
	s, err := g.openState()
	if err != nil {
		return err
	}
	defer s.close()
	if c.File == "-" {
		return dump(s, g.stdout)
	}
	// Under its name comes only a dump that is whole: the last one may be all there is.
	f, err := os.CreateTemp(filepath.Dir(c.File), "."+filepath.Base(c.File)+".*") // for its owner alone
	if err != nil {
		return &exitError{exitPermission, err}
	}
	if err = errors.Join(dump(s, f), f.Sync(), f.Close()); err == nil {
		if err = os.Rename(f.Name(), c.File); err != nil {
			err = &exitError{exitPermission, err}
		}
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// dump writes a dump and fails when it is not whole.
func dump(s *state, out io.Writer) error {
	w := &tail{w: out}
	if err := s.dump(context.Background(), w); err != nil {
		return stateFailed(err)
	}
	if !w.whole() { // the daemon stopped in the middle
		return &exitError{exitTemporary, errors.New("the dump is cut off: the store failed, see the daemon's log")}
	}
	return nil
}

// tail passes on what is written and remembers how it ends.
type tail struct {
	w    io.Writer
	last []byte
}

const lastLine = 64

func (t *tail) Write(p []byte) (int, error) {
	t.last = append(t.last, p[max(0, len(p)-lastLine):]...)
	t.last = t.last[max(0, len(t.last)-lastLine):]
	return t.w.Write(p)
}

// whole reports whether the last line of a dump was written.
func (t *tail) whole() bool { return store.EndsDump(t.last) }

type storeLoadCmd struct {
	File string `arg:"" optional:"" default:"-" help:"A dump; - is standard input."`
}

// Run loads a dump.
func (c *storeLoadCmd) Run(g *globals) error {
	in, err := g.open(c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	s, err := g.openState()
	if err != nil {
		return err
	}
	defer s.close()
	n, err := s.load(context.Background(), bufio.NewReaderSize(in, 64<<10))
	fmt.Fprintf(g.stdout, "%d records are in the store\n", n)
	if err != nil {
		return stateFailed(err)
	}
	return nil
}
