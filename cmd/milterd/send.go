package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/netip"

	"milterd/internal/mailbox"
	"milterd/milter"

	wire "github.com/emersion/go-milter"
)

type sendCmd struct {
	Socket  string     `help:"Milter socket, as in the configuration's listen. Default: its first one." placeholder:"SOCKET"`
	IP      netip.Addr `help:"Address of the SMTP client." name:"ip" default:"203.0.113.7" placeholder:"ADDR"`
	Helo    string     `help:"Name given in HELO." default:"client.example" placeholder:"NAME"`
	Rdns    string     `help:"Verified name of the client; none by default." placeholder:"NAME"`
	From    string     `help:"Envelope sender; empty is the null sender." placeholder:"ADDR"`
	Rcpt    []string   `help:"Envelope recipient; may be repeated." default:"someone@localhost" placeholder:"ADDR" sep:"none"`
	User    string     `help:"SASL login of a submission." placeholder:"LOGIN"`
	Local   bool       `help:"As mail from sendmail(1) on this host."`
	QueueID string     `help:"Queue id to show." default:"4SENDQUEUEID" placeholder:"ID"`
	Result  bool       `help:"Print each message as it would be delivered."`
	Paths   []string   `arg:"" name:"file" help:"Message files or directories; - is standard input."`
}

// Run plays messages over one milter connection, as Postfix does for one SMTP
// session, and prints what the filter answers.
func (c *sendCmd) Run(g *globals) error {
	socket := c.Socket
	if socket == "" {
		cfg, err := g.loadConfig()
		if err != nil {
			return g.configFailed(err)
		}
		socket = cfg.Listen[0].Address
	}
	addr, err := milter.ParseAddr(socket)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	ctx := context.Background()
	client, err := milter.Dial(ctx, addr, milter.ClientOptions{})
	if err != nil {
		return &exitError{exitUnavailable, err}
	}
	defer client.Close()
	if r, err := client.Greet(ctx, c.peer()); err != nil || !r.IsContinue() {
		return &exitError{exitUnavailable, cmp.Or(err, fmt.Errorf("refused at connect: %s", r))}
	}
	unreadable, refused := false, false
	for file := range mailbox.Messages(c.Paths, g.stdin, g.skipped) {
		if file.Err != nil {
			fmt.Fprintf(g.stderr, "milterd: %s: %s\n", safe(file.Name), safe(file.Err.Error()))
			unreadable = true
			continue
		}
		out, err := client.Send(ctx, c.envelope(), file.Raw)
		if err != nil {
			return &exitError{exitUnavailable, err}
		}
		refused = refused || out.Reply.Refuses()
		c.print(g, file, out)
	}
	if err := client.Quit(ctx); err != nil {
		return &exitError{exitUnavailable, err}
	}
	switch {
	case unreadable:
		return &exitError{code: exitData}
	case refused:
		return &exitError{code: exitFindings}
	}
	return nil
}

func (c *sendCmd) peer() milter.Peer {
	if c.Local {
		return milter.LocalPeer("localhost")
	}
	family := wire.FamilyInet
	if c.IP.Is6() {
		family = wire.FamilyInet6
	}
	return milter.Peer{
		Connect: milter.Connect{Host: cmp.Or(c.Rdns, "["+c.IP.String()+"]"), Family: byte(family), Port: 25252, Addr: c.IP},
		Helo:    c.Helo, Login: c.User,
	}
}

func (c *sendCmd) envelope() milter.Envelope {
	e := milter.Envelope{From: bare(c.From), QueueID: c.QueueID}
	for _, r := range bareAll(c.Rcpt) {
		e.Rcpts = append(e.Rcpts, milter.Recipient{Address: r})
	}
	return e
}

func (c *sendCmd) print(g *globals, file mailbox.Message, out milter.Outcome) {
	fmt.Fprintf(g.stdout, "%s: %s at %s\n", safe(file.Name), out.Reply, out.Stage)
	for i, r := range out.Rcpts {
		if r.Refuses() {
			fmt.Fprintf(g.stdout, "  %s: %s\n", safe(bare(c.Rcpt[i])), r)
		}
	}
	for _, e := range out.Edits {
		fmt.Fprintf(g.stdout, "  %s\n", safe(e.String()))
	}
	if c.Result && !out.Reply.Refuses() {
		m := milter.ParseMessage(file.Raw)
		g.stdout.Write(bytes.TrimRight(m.Apply(out.Edits).Bytes(), "\r\n"))
		fmt.Fprintln(g.stdout)
	}
}
