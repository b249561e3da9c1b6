package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"milterd/bayes"
	"milterd/internal/control"
	"milterd/internal/dns"
	"milterd/internal/journal"
	"milterd/internal/mailbox"
	"milterd/internal/scan"
	"milterd/internal/store"
	"milterd/message"
)

type scanCmd struct {
	JSON    bool       `help:"One JSON object a line, as in the journal."`
	Explain bool       `help:"Say for each message what matched, what decided and what would have changed it."`
	Compare string     `help:"Show the messages that another configuration would treat otherwise, and why." placeholder:"FILE"`
	IP      netip.Addr `help:"Address of the SMTP client." name:"ip" placeholder:"ADDR"`
	Helo    string     `help:"Name given in HELO." placeholder:"NAME"`
	Rdns    string     `help:"Verified name of the client." placeholder:"NAME"`
	From    *string    `help:"Envelope sender; an empty one is the null sender." placeholder:"ADDR"`
	Rcpt    []string   `help:"Envelope recipient; may be repeated." placeholder:"ADDR" sep:"none"`
	User    string     `help:"SASL login: the message is this user's submission." placeholder:"LOGIN"`
	Paths   []string   `arg:"" name:"file" help:"Message files or directories; - is standard input."`
}

// Run scans files. It ends with 1 if any is spam, with 65 if any cannot be read.
func (c *scanCmd) Run(g *globals) error {
	if c.Compare != "" {
		return c.compare(g)
	}
	s, err := c.open(g)
	if err != nil {
		return err
	}
	defer s.close()
	spam, unreadable := false, false
	err = c.each(g, func(m mailbox.Message) error {
		record, err := s.scan(m)
		if err != nil {
			unreadable = true
			return c.printError(g, m.Name, err)
		}
		spam = spam || isSpam(record)
		return c.print(g, record)
	})
	if err != nil {
		return err
	}
	return c.ended(unreadable, spam)
}

// each hands out the messages one after the other.
func (c *scanCmd) each(g *globals, do func(mailbox.Message) error) error {
	bar := g.newProgress("scanned", mailbox.Size(c.Paths))
	defer bar.Close()
	for m := range mailbox.Messages(c.Paths, g.stdin, g.skipped) {
		if err := do(m); err != nil {
			return err
		}
		bar.Add(len(m.Raw))
	}
	return nil
}

// ended says how the command ends.
func (c *scanCmd) ended(unreadable, findings bool) error {
	switch {
	case unreadable:
		return &exitError{code: exitData}
	case findings:
		return &exitError{code: exitFindings}
	}
	return nil
}

// scanning is a scanner under one configuration.
type scanning struct {
	*scan.Scanner
	resolver *dns.Resolver
	daemon   *control.Client
	envelope scan.Envelope
}

func (c *scanCmd) open(g *globals) (*scanning, error) {
	cfg, err := g.loadConfig()
	if err != nil {
		return nil, g.configFailed(err)
	}
	log := quiet(g.stderr)
	daemon := control.NewClient(cfg.Control.Address)
	learned := g.learned(daemon, cfg.Limits.Words)
	var memory store.Store // of the same daemon: who is known, who was written to
	if learned != nil {
		memory = control.Reader{Client: daemon}
	}
	e, resolver, err := newEngine(cfg, log, learned, memory)
	if err != nil {
		return nil, g.configFailed(err)
	}
	env := scan.Envelope{IP: c.IP, Helo: c.Helo, RDNS: c.Rdns, Rcpts: bareAll(c.Rcpt), Login: c.User}
	if c.From != nil {
		from := bare(*c.From)
		env.From = &from
	}
	return &scanning{scan.New(e, log), resolver, daemon, env}, nil
}

// learned is what a running daemon was taught, or nil: without a daemon a scan has no
// such opinion, as it opens no store, and without the right to ask neither.
func (g *globals) learned(daemon *control.Client, words int) *bayes.Classifier {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c := bayes.New(control.Reader{Client: daemon}, bayes.Options{Words: words})
	switch _, err := c.Totals(ctx, ""); {
	case err == nil:
		return c
	case errors.Is(err, fs.ErrPermission):
		fmt.Fprintln(g.stderr, "milterd: without what the daemon was taught, which root and its own user may ask for")
	}
	return nil
}

func (s *scanning) scan(m mailbox.Message) (*journal.Record, error) {
	if m.Err != nil {
		return nil, m.Err
	}
	out, err := s.Scan(context.Background(), m.Raw, s.envelope)
	if err != nil {
		return nil, err
	}
	r := journal.NewRecord(out, true)
	r.File, r.QueueID = m.Name, ""
	return r, nil
}

// close waits for what the scans left running; nothing of theirs is kept.
func (s *scanning) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = s.Close(ctx)
	s.resolver.Close()
	s.daemon.Close()
}

// isSpam reports whether the message would not reach an inbox if milterd might
// do what it wants.
func isSpam(r *journal.Record) bool {
	for _, a := range []message.Action{r.Action, r.Would} {
		switch a {
		case message.Junk, message.RejectMail, message.Discard, message.Quarantine:
			return true
		}
	}
	return false
}

func (c *scanCmd) print(g *globals, r *journal.Record) error {
	if c.JSON {
		return writeJSON(g, r)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s, score %.1f of %s", safe(r.File), verdictWords(r), r.Score, rejectWords(r))
	if r.Reply != "" {
		fmt.Fprintf(&b, ", %s", r.Reply)
	}
	b.WriteByte('\n')
	if c.Explain {
		r.Explain(&b)
		for _, h := range r.Headers {
			fmt.Fprintf(&b, "header      %s %s: %s\n", h.Op, safe(h.Name), safe(strings.ReplaceAll(h.Value, "\n\t", " ")))
		}
		b.WriteByte('\n')
	} else {
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "  %6.1f  %-24s %s\n", f.Score, f.Name, safe(f.Detail))
		}
	}
	_, err := g.stdout.Write(b.Bytes())
	return err
}

func verdictWords(r *journal.Record) string {
	if r.Would != "" {
		return fmt.Sprintf("%s (would %s)", r.Action, r.Would)
	}
	return string(r.Action)
}

func rejectWords(r *journal.Record) string {
	if r.Thresholds.Reject == nil {
		return "no reject threshold"
	}
	return fmt.Sprintf("%.1f", *r.Thresholds.Reject)
}

func (c *scanCmd) printError(g *globals, name string, err error) error {
	if c.JSON {
		return writeJSON(g, struct {
			File  string `json:"file"`
			Error string `json:"error"`
		}{name, err.Error()})
	}
	_, err = fmt.Fprintf(g.stderr, "milterd: %s: %s\n", safe(name), safe(err.Error()))
	return err
}

func writeJSON(g *globals, v any) error {
	enc := json.NewEncoder(g.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// bare takes the angle brackets that people copy along with an address.
func bare(address string) string {
	if inner, ok := strings.CutPrefix(address, "<"); ok {
		return strings.TrimSuffix(inner, ">")
	}
	return address
}

func bareAll(addresses []string) []string {
	all := make([]string, len(addresses))
	for i, a := range addresses {
		all[i] = bare(a)
	}
	return all
}

// safe makes a stranger's text harmless for a terminal.
func safe(s string) string { return message.SafeText(s, 2000) }
