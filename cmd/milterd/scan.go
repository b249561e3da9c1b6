package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"milterd/internal/journal"
	"milterd/internal/scan"
	"milterd/message"
)

type scanCmd struct {
	JSON    bool       `help:"One JSON object a line, as in the journal."`
	Explain bool       `help:"Say for each message what matched, what decided and what would have changed it."`
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
	cfg, err := g.loadConfig()
	if err != nil {
		return g.configFailed(err)
	}
	log := quiet(g.stderr)
	e, resolver, err := newEngine(cfg, log)
	if err != nil {
		return g.configFailed(err)
	}
	defer resolver.Close()
	scanner := scan.New(e, log)
	ctx := context.Background()
	env := scan.Envelope{IP: c.IP, Helo: c.Helo, RDNS: c.Rdns, Rcpts: bareAll(c.Rcpt), Login: c.User}
	if c.From != nil {
		from := bare(*c.From)
		env.From = &from
	}

	spam, unreadable := false, false
	skipped := func(name, why string) { fmt.Fprintf(g.stderr, "milterd: %s skipped: %s\n", name, why) }
	for file := range scan.Files(c.Paths, g.stdin, skipped) {
		record, err := c.scan(ctx, scanner, file, env)
		if err != nil {
			unreadable = true
			if err := c.printError(g, file.Name, err); err != nil {
				return err
			}
			continue
		}
		spam = spam || isSpam(record)
		if err := c.print(g, record); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := scanner.Close(ctx); err != nil {
		return err
	}
	switch {
	case unreadable:
		return &exitError{code: exitData}
	case spam:
		return &exitError{code: exitFindings}
	}
	return nil
}

func (c *scanCmd) scan(ctx context.Context, s *scan.Scanner, file scan.File, env scan.Envelope) (*journal.Record, error) {
	if file.Err != nil {
		return nil, file.Err
	}
	out, err := s.Scan(ctx, file.Raw, env)
	if err != nil {
		return nil, err
	}
	r := journal.NewRecord(out, true)
	r.File, r.QueueID = file.Name, ""
	return r, nil
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
