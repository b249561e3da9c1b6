package milter_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	wire "github.com/emersion/go-milter"

	"milterd/milter"
	"milterd/milter/miltertest"
)

func TestPanics(t *testing.T) {
	tests := []struct {
		at     string
		script string // up to the event, with what is answered
		events string // the last
	}{
		{"new", "> O\n< O\n> C x U\n< y \"451 4.3.0 Local filter error\\x00\"\n< end", "new"},
		{"connect", "> O\n< O\n> C x U\n< y \"451 4.3.0 Local filter error\\x00\"\n< end", "close"},
		{"rcpt", hello + "\n> M <a@b>\n< c\n> R <c@d>\n< y \"451 4.3.0 Local filter error\\x00\"\n< end", "abort close"},
		{"header", hello + envelope + "\n> L a b\n< end", "abort close"}, // muted: closing says it
		{"eom", hello + envelope + "\n> E\n< y \"451 4.3.0 Local filter error\\x00\"\n< end", "eom close"},
		{"abort", hello + envelope + "\n> A\n< end", "abort close"},
		{"close", hello + envelope + "\n> Q\n< end", "abort close"},
	}
	for _, test := range tests {
		t.Run(test.at, func(t *testing.T) {
			var log logbook
			var sites []string
			f := &miltertest.Filter{Heard: func(_ context.Context, _ *milter.Conn, line string) {
				if strings.HasPrefix(line, test.at) {
					panic("attacker says \x1b[2J\n" + strings.Repeat("x", 1000))
				}
			}}
			s := newServer(f)
			s.Protocol = wire.OptNoHeaderReply
			s.Logger = log.logger()
			s.Hooks.Panic = func(site string) { sites = append(sites, site) }
			for i := range 2 {
				t.Run("play", func(t *testing.T) { miltertest.Play(t, pipe(t, s), test.script) })
				events := strings.Join(f.Events(), " ")
				if !strings.HasSuffix(events, test.events) {
					t.Errorf("events: %s", events)
				}
				if len(sites) != i+1 || !strings.Contains(sites[i], "TestPanics") {
					t.Errorf("sites: %v", sites)
				}
			}
			stacks := 0
			for _, line := range log.lines() {
				if strings.Contains(line, "stack=") {
					stacks++
				} else if len(line) > 400 {
					t.Errorf("long line in the log: %q", line)
				}
				if strings.Contains(line, "\x1b") {
					t.Errorf("escape in the log: %q", line)
				}
			}
			if stacks != 1 || len(log.lines()) != 2 {
				t.Errorf("%d stacks in %d lines", stacks, len(log.lines()))
			}
		})
	}
}

func TestConnAnswers(t *testing.T) {
	macros := map[string]string{}
	f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
		verb, _, _ := strings.Cut(line, " ")
		login, ok := c.MacroAt(wire.StageMailFrom, "auth_authen")
		macros[verb] = fmt.Sprintf("j=%s i=%s login=%s/%t rcpt=%s", c.Macro("{j}"), c.Macro("i"), login, ok, c.Macro("rcpt_addr"))
		if verb == "new" && (c.Version() != 6 || c.Actions() != milter.AllActions&^wire.OptSetSymList || c.Protocol() != wire.OptSkip ||
			c.Listener() != "pipe" || c.RemoteAddr() == nil || c.LocalAddr() == nil || c.Context().Err() != nil) {
			t.Error("what was negotiated is not what is told")
		}
		for name, value := range c.MacrosAt(wire.StageRcptTo) {
			macros[verb] += " " + name + "=" + value
		}
	}}
	s := newServer(f)
	s.Protocol = wire.OptSkip
	steps := []struct{ script, verb, want string }{
		{"> O\n< O\n> D C j mx\n> C x U\n< c", "connect", "j=mx i= login=/false rcpt="},
		{"> D H {tls_version} 1\n> H x\n< c", "helo", "j=mx i= login=/false rcpt="},
		{"> D M {auth_authen} joe\n> M <a@b>\n< c", "mail", "j=mx i= login=joe/true rcpt="},
		{"> D R {rcpt_addr} one {rcpt_mailer} error\n> R <c@d>\n< c", "rcpt", "j=mx i= login=joe/true rcpt=one {rcpt_addr}=one {rcpt_mailer}=error"},
		{"> D R i Q1 {rcpt_addr} two\n> R <c@d>\n< c", "rcpt", "j=mx i=Q1 login=joe/true rcpt=two i=Q1 {rcpt_addr}=two"},
		{"> D R i Q1 {rcpt_addr} two\n> R <c@d>\n< c", "rcpt", "j=mx i=Q1 login=joe/true rcpt=two i=Q1 {rcpt_addr}=two"},
		{"> R <c@d>\n< c", "rcpt", "j=mx i= login=joe/true rcpt="},
		{"> D T i Q2\n> T\n< c", "data", "j=mx i=Q2 login=joe/true rcpt="},
		{"> D L i Q3\n> L a b\n< c\n> D L i Q3\n> L a b\n< c", "header", "j=mx i=Q3 login=joe/true rcpt="},
		{"> D N i Q4\n> N\n< c", "eoh", "j=mx i=Q4 login=joe/true rcpt="},
		{"> D B i Q5 j other\n> B x\n< c", "body", "j=other i=Q5 login=joe/true rcpt="},
		{"> D E i Q6\n> E\n< c", "eom", "j=mx i=Q6 login=joe/true rcpt="},
		{"> M <a@b>\n< c", "mail", "j=mx i= login=/false rcpt="},
		{"> D M {auth_authen} ann\n> M <a@b>\n< c", "mail", "j=mx i= login=ann/true rcpt="},
		{"> A\n> M <a@b>\n< c", "mail", "j=mx i= login=/false rcpt="},
		{"> K\n> C x U\n< c", "connect", "j= i= login=/false rcpt="},
	}
	nc := pipe(t, s)
	for _, step := range steps {
		miltertest.Play(t, nc, step.script)
		if got := macros[step.verb]; got != step.want {
			t.Errorf("%s\n got %s\nwant %s", step.script, got, step.want)
		}
	}
}

func TestHooks(t *testing.T) {
	var commands strings.Builder
	var bad error
	f := &miltertest.Filter{Verdict: milter.Response{Edits: []milter.Edit{milter.AddHeader("A", "\x00")}}}
	s := newServer(f)
	s.Hooks.Command = func(c wire.Code) { commands.WriteByte(byte(c)) }
	s.Hooks.BadEdits = func(err error) { bad = err }
	t.Run("play", func(t *testing.T) {
		miltertest.Play(t, pipe(t, s), hello+"\n> D M i 1"+envelope+"\n> E\n< y \"451 4.3.0 Local filter error\\x00\"\n> Q\n< end")
	})
	if commands.String() != "OCHDMREQ" || bad == nil {
		t.Errorf("commands %s, bad edits: %v", commands.String(), bad)
	}
}
