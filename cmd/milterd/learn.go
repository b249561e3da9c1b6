package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"milterd/bayes"
	"milterd/internal/control"
	"milterd/internal/learning"
	"milterd/internal/mailbox"
)

type learnCmd struct {
	User  string   `help:"Whose opinion it is: the login name of a mailbox. Default: everybody's, if you are root or the daemon's user, else your own." placeholder:"LOGIN"`
	Class string   `arg:"" enum:"spam,ham,forget,show" help:"What the messages are: spam, ham, forget to take back what was said before, or show to see it."`
	Paths []string `arg:"" name:"path" help:"Message files, mboxes, Maildirs, directories of them; - is standard input."`
}

// What goes to the daemon at once: enough for one wait for the disk to serve many.
const (
	lessonMessages = 64
	lessonBytes    = 4 << 20
)

// Run teaches. The daemon does the learning where one is running; else the command
// opens the store itself. It returns when all is safely stored.
func (c *learnCmd) Run(g *globals) error {
	user, err := learning.User(c.User)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	s, err := g.openState()
	if err != nil {
		return err
	}
	defer s.close()
	l := &lessons{state: s, user: user, class: bayes.Class(c.Class), counts: map[bayes.Result]int{}}
	bar := g.newProgress("learned", mailbox.Size(c.Paths))
	defer bar.Close()
	for m := range mailbox.Messages(c.Paths, g.stdin, g.skipped) {
		switch why := unlearnable(&m); {
		case why != nil:
			l.refused++
			fmt.Fprintf(g.stderr, "milterd: %s refused: %s\n", safe(m.Name), safe(why.Error()))
		case c.Class == "show":
			if err := c.show(g, s, user, &m); err != nil {
				return err
			}
		default:
			if err := l.add(m.Raw); err != nil {
				return l.failed(g, err)
			}
		}
		bar.Add(len(m.Raw))
	}
	if err := l.flush(); err != nil {
		return l.failed(g, err)
	}
	bar.Close()
	if c.Class != "show" {
		fmt.Fprintln(g.stdout, l)
	}
	if l.refused > 0 {
		return &exitError{code: exitData}
	}
	return nil
}

// show prints what was said of a message, by whom, when and by which way.
func (c *learnCmd) show(g *globals, s *state, user string, m *mailbox.Message) error {
	taught, err := s.taught(context.Background(), user, m.Raw)
	switch {
	case err != nil:
		return stateFailed(err)
	case taught[0] == nil:
		fmt.Fprintf(g.stdout, "%s: nothing was said of it\n", safe(m.Name))
	default:
		r := taught[0]
		fmt.Fprintf(g.stdout, "%s: %s, said by %s at %s (%s)\n", safe(m.Name), r.Class, safe(cmp.Or(r.By, "nobody")), r.At.Local().Format(time.RFC3339), r.Source)
	}
	return nil
}

var errBackup = errors.New(`a backup of sa-learn is no mail: "milterd import bayes" takes it`)

// unlearnable says why a message cannot be learned, nil when it can.
func unlearnable(m *mailbox.Message) error {
	switch {
	case m.Err != nil && isBackup(m.Name):
		return errBackup
	case m.Err != nil:
		return m.Err
	case len(m.Raw) > control.MaxMessage:
		return fmt.Errorf("%d bytes, at most %d are learned", len(m.Raw), control.MaxMessage)
	}
	return nil
}

// isBackup reports whether a file is what "sa-learn --backup" writes.
func isBackup(name string) bool {
	const first = "v\t3\tdb_version"
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(first))
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == first
}

// lessons are messages on their way to the store.
type lessons struct {
	state   *state
	user    string
	class   bayes.Class
	waiting [][]byte
	size    int
	counts  map[bayes.Result]int
	refused int
	taught  string // who the daemon says has learned
}

func (l *lessons) add(raw []byte) error {
	if l.size+len(raw) > lessonBytes || len(l.waiting) == lessonMessages {
		if err := l.flush(); err != nil {
			return err
		}
	}
	l.waiting, l.size = append(l.waiting, raw), l.size+len(raw)
	return nil
}

func (l *lessons) flush() error {
	if len(l.waiting) == 0 {
		return nil
	}
	report, err := l.state.learn(context.Background(), l.user, l.class, l.waiting...)
	for _, r := range report.Results {
		l.counts[r]++
	}
	l.taught, l.waiting, l.size = report.User, nil, 0
	return err
}

// failed says how far it came. What is stored is known the next time.
func (l *lessons) failed(g *globals, err error) error {
	fmt.Fprintln(g.stdout, l)
	code := exitTemporary
	switch {
	case errors.Is(err, control.ErrNoDaemon):
		code = exitUnavailable
	case errors.Is(err, fs.ErrPermission):
		code = exitPermission
	}
	return &exitError{code, fmt.Errorf("%w (run it again: what is learned already is known)", err)}
}

func (l *lessons) String() string {
	var b strings.Builder
	if l.class == bayes.Forget {
		fmt.Fprintf(&b, "forgotten %d", l.counts[bayes.Forgotten])
	} else {
		fmt.Fprintf(&b, "learned %d as %s", l.counts[bayes.Learned]+l.counts[bayes.Flipped], l.class)
		if n := l.counts[bayes.Flipped]; n > 0 {
			fmt.Fprintf(&b, " (%d of them had been called the opposite)", n)
		}
	}
	fmt.Fprintf(&b, ", known %d, refused %d", l.counts[bayes.Known], l.refused)
	if l.taught != "" {
		fmt.Fprintf(&b, ", for %s", safe(l.taught))
	}
	return b.String()
}
