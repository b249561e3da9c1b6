package main

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"milterd/milter"
	"milterd/milter/miltertest"

	wire "github.com/emersion/go-milter"
)

// listen starts a milter in this process on a unix socket.
func listen(t *testing.T, path string, f *miltertest.Filter) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &milter.Server{NewSession: f.NewSession, Actions: wire.OptAddHeader | wire.OptChangeHeader | wire.OptQuarantine, Protocol: wire.OptHeaderLeadingSpace}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func refusal(t *testing.T, code int, enhanced, text string) milter.Reply {
	t.Helper()
	r, err := milter.NewReply(code, enhanced, text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSend: messages travel as Postfix sends them, over one connection, and what
// the filter answers is printed.
func TestSend(t *testing.T) {
	dir := site(t, "")
	filter := &miltertest.Filter{
		Replies: map[string]milter.Reply{"rcpt <nobody@here.example> []": refusal(t, 550, "5.1.1", "no such user")},
		Verdict: milter.Response{Edits: []milter.Edit{milter.InsertHeader(0, "X-Test", "one\n\ttwo"), milter.DeleteHeader(1, "Subject"), milter.Quarantine("look")}},
	}
	listen(t, filepath.Join(dir, "m.sock"), filter)
	a, b := put(t, dir, "mail/a.eml", ham), put(t, dir, "mail/b.eml", "From: b@b.example\n\nsecond\n")

	code, stdout, stderr := cmd(t, "", "send", "--ip", "2001:db8::7", "--helo", "h.example", "--rdns", "r.example", "--from", "<joe@sender.example>",
		"--rcpt", "ann@here.example", "--rcpt", "<nobody@here.example>", "--queue-id", "4bTEST", filepath.Join(dir, "mail"))
	if code != exitOK || stderr != "" {
		t.Errorf("%d %s", code, stderr)
	}
	for _, want := range []string{a + ": continue at eom\n", b + ": continue at eom\n", "  nobody@here.example: 550 5.1.1 no such user\n", `insert 0 X-Test: "one\n\ttwo"`, "delete 1 Subject", `quarantine "look"`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	events := filter.Events()
	for _, want := range []string{"connect r.example 6 25252 2001:db8::7", "helo h.example", "mail <joe@sender.example> []", "rcpt <ann@here.example> []", "rcpt <nobody@here.example> []",
		`header Subject: " minutes"`, `body "hello\r\n"`, `body "second\r\n"`} {
		if !slices.Contains(events, want) {
			t.Errorf("%q is not among\n%s", want, strings.Join(events, "\n"))
		}
	}
	if n := len(slices.DeleteFunc(slices.Clone(events), func(e string) bool { return !strings.HasPrefix(e, "connect") })); n != 1 {
		t.Errorf("%d connections for two messages", n)
	}

	_, stdout, _ = cmd(t, "", "send", "--result", a)
	if !strings.Contains(stdout, "X-Test: one\n\ttwo\n") || strings.Contains(stdout, "\nSubject:") || !strings.HasSuffix(stdout, "\n\nhello\n") {
		t.Errorf("as delivered:\n%s", stdout)
	}
	cmd(t, "", "send", "--local", a)
	if !slices.Contains(filter.Events(), "connect localhost 4 0 127.0.0.1") || !slices.Contains(filter.Events(), "mail  []") {
		t.Errorf("local:\n%s", strings.Join(filter.Events(), "\n"))
	}
}

// TestSendCodes: refused is 1, unreadable 65, and a filter that is not there or
// not well 69.
func TestSendCodes(t *testing.T) {
	dir := site(t, "")
	path := put(t, dir, "a.eml", ham)
	want(t, exitUnavailable, []string{"m.sock"}, "send", path)
	socket := filepath.Join(dir, "other.sock")
	listen(t, socket, &miltertest.Filter{Replies: map[string]milter.Reply{"eom": refusal(t, 554, "5.7.1", "go away")}})
	want(t, exitFindings, []string{"a.eml: 554 5.7.1 go away at eom\n"}, "send", "--socket", "unix:"+socket, path)
	want(t, exitData, []string{"missing", "554 5.7.1 go away at eom\n"}, "send", "--socket", "unix:"+socket, filepath.Join(dir, "missing"), path)
	busy := filepath.Join(dir, "busy.sock")
	listen(t, busy, &miltertest.Filter{Replies: map[string]milter.Reply{"connect": refusal(t, 421, "4.3.2", "busy")}})
	want(t, exitUnavailable, []string{"refused at connect: 421 4.3.2 busy"}, "send", "--socket", busy, path)
	dead := filepath.Join(dir, "dead.sock")
	l, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}()
	defer l.Close()
	want(t, exitUnavailable, []string{"negotiation"}, "send", "--socket", dead, path)
}
