package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"milterd/internal/learning"
)

type importBayesCmd struct {
	User   string `help:"Whose memory it is: the login name of a mailbox. Default: the site's." placeholder:"LOGIN"`
	Forget bool   `help:"Forget what was imported."`
	File   string `arg:"" optional:"" name:"file" default:"-" help:"What \"sa-learn --backup\" wrote; - is standard input."`
}

// Run hands a backup to the daemon, or where there is none to the store. It returns
// when it is safely stored.
func (c *importBayesCmd) Run(g *globals) error {
	user, err := learning.User(c.User)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if c.Forget && c.File != "-" {
		return &exitError{exitUsage, errors.New("--forget needs no file: all that was imported is forgotten")}
	}
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
	ctx := context.Background()
	if c.Forget {
		i, err := s.dropImport(ctx, user)
		if err != nil {
			return stateFailed(err)
		}
		if i.Import.Tokens == 0 {
			fmt.Fprintln(g.stdout, "nothing was imported, nothing is forgotten")
			return nil
		}
		fmt.Fprintf(g.stdout, "forgotten %s\n", described(i, user))
		return nil
	}
	i, err := s.importBackup(ctx, user, in)
	for _, p := range i.Problems {
		fmt.Fprintf(g.stderr, "milterd: %s: %s\n", safe(c.File), safe(p))
	}
	if err != nil {
		return stateFailed(err)
	}
	fmt.Fprintf(g.stdout, "imported %s\n", described(i, user))
	if i.Unread > 0 {
		return &exitError{exitFindings, fmt.Errorf("%d lines were not carried", i.Unread)}
	}
	return nil
}

func described(i learning.Imported, user string) string {
	text := fmt.Sprintf("%d tokens of %d spam and %d ham", i.Import.Tokens, i.Import.Spam, i.Import.Ham)
	if user != "" {
		text += ", for " + safe(user)
	}
	return text
}

// importBackup keeps what another filter has learned.
func (s *state) importBackup(ctx context.Context, user string, backup io.Reader) (learning.Imported, error) {
	if s.client != nil {
		return s.client.Import(ctx, user, backup)
	}
	return s.desk.Import(ctx, user, ownName(), backup)
}

// dropImport forgets it.
func (s *state) dropImport(ctx context.Context, user string) (learning.Imported, error) {
	if s.client != nil {
		return s.client.DropImport(ctx, user)
	}
	return s.desk.DropImport(ctx, user, ownName())
}
