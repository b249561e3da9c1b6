package bridge

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"

	wire "github.com/emersion/go-milter"
)

// seen notes which checks saw which clients.
type seen struct {
	mu    sync.Mutex
	lines []string
}

func (s *seen) check(name string, phase checks.Phase) checks.Spec {
	return probe(name, phase, func(in *checks.Input) checks.Result {
		c := in.Message.Session
		line := fmt.Sprintf("%s %s %s tls=%q", name, c.Client, c.Helo, c.TLSVersion)
		if in.Recipient != nil {
			line += " " + in.Recipient.Path.Raw
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lines = append(s.lines, line)
		return checks.Result{}
	})
}

// take returns what was noted since the last time, sorted.
func (s *seen) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.lines
	s.lines = nil
	slices.Sort(lines)
	return lines
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// What SMTP and macros say about a message reaches the checks as it was said.
func TestWhatAMessageBrings(t *testing.T) {
	b := newBed(t, []checks.Spec{probe("header", checks.Header, func(in *checks.Input) checks.Result {
		if in.Message.QueueID != "4bQueue" || in.Message.Body == nil {
			t.Errorf("while the body is coming: %+v", in.Message)
		}
		return checks.Result{}
	}), checktest.Clean("content", checks.Message)}, nil)
	p := stranger()
	p.ClientPtr, p.TLSVersion = "unverified.test", "TLSv1.3"
	e := to("ann@here.test", "bob@here.test")
	e.FromArgs = []string{"SIZE=100", "BODY=8BITMIME"}
	e.Rcpts[1].Args = []string{"NOTIFY=NEVER"}
	answer, out := b.send(b.greet(p), e, "Subject:  two blanks\n\tand a fold\n"+plain)
	if !answer.Reply.IsContinue() || answer.Stage != "eom" {
		t.Fatalf("%s at %s", answer.Reply, answer.Stage)
	}
	m := out.Message
	want := message.Session{
		Client: p.Addr, Port: 40000, Host: "mail.sender.test", PTR: "unverified.test", Helo: "helo.sender.test", MTA: "mx.test",
		TLSVersion: "TLSv1.3", TLSCipher: "TLS_AES_256_GCM_SHA384",
	}
	if *m.Session != want {
		t.Errorf("session %+v\nwant %+v", *m.Session, want)
	}
	if !message.ValidID(m.ID) || m.QueueID != "4bQueue" || m.Role != message.Inbound || m.Peer != message.Stranger || m.Login != "" || m.Time.IsZero() {
		t.Errorf("message %+v", m)
	}
	if m.MailFrom.Raw != "<joe@sender.test>" || !slices.Equal(m.MailArgs, e.FromArgs) {
		t.Errorf("from %q %v", m.MailFrom.Raw, m.MailArgs)
	}
	if len(m.Recipients) != 2 || m.Recipients[0].Path.Raw != "<ann@here.test>" || m.Recipients[1].Path.Raw != "<bob@here.test>" ||
		len(m.Recipients[0].Args) != 0 || !slices.Equal(m.Recipients[1].Args, []string{"NOTIFY=NEVER"}) {
		t.Errorf("recipients %+v", m.Recipients)
	}
	if v, _ := m.Header.Get("subject"); v != "  two blanks\n\tand a fold" {
		t.Errorf("the field as received: %q", v)
	}
	if len(m.Header.Fields) != 5 || m.Header.OverLimit != "" {
		t.Errorf("header %+v", m.Header)
	}
	if m.Body.Size() != int64(len("hello\r\n")) {
		t.Errorf("%d bytes of body", m.Body.Size())
	}

	answer, out = b.send(b.greet(stranger()), milter.Envelope{Rcpts: to("ann@here.test").Rcpts, QueueID: "4bQueue"}, plain)
	if !out.Message.MailFrom.Null || out.Message.Session.PTR != "mail.sender.test" || !answer.Reply.IsContinue() {
		t.Errorf("null sender: %+v", out.Message.MailFrom)
	}
	p = stranger()
	p.Host = "[192.0.2.1]"
	_, out = b.send(b.greet(p), to("ann@here.test"), plain)
	if s := out.Message.Session; s.PTR != "" || s.HostName() != "" {
		t.Errorf("a client without a name: %+v", s)
	}
}

// Two messages on one connection know the same client, and nothing of each other.
func TestTwoMessages(t *testing.T) {
	var s seen
	b := newBed(t, []checks.Spec{s.check("connect", checks.Connect), s.check("helo", checks.Helo), s.check("mail", checks.Mail), s.check("rcpt", checks.Rcpt)}, nil)
	c := b.greet(stranger())
	_, first := b.send(c, to("ann@here.test", "bob@here.test"), plain)
	e := to("eve@here.test")
	e.From, e.QueueID = "else@sender.test", "4bSecond"
	_, second := b.send(c, e, "Subject: second\n\nother\n")
	expect(t, "checks", s.take(),
		`connect 192.0.2.1  tls=""`, `helo 192.0.2.1 helo.sender.test tls=""`,
		`mail 192.0.2.1 helo.sender.test tls=""`, `mail 192.0.2.1 helo.sender.test tls=""`,
		`rcpt 192.0.2.1 helo.sender.test tls="" <ann@here.test>`, `rcpt 192.0.2.1 helo.sender.test tls="" <bob@here.test>`,
		`rcpt 192.0.2.1 helo.sender.test tls="" <eve@here.test>`)
	if first.Message.ID == second.Message.ID || first.Message.Session != second.Message.Session || len(second.Results) != 4 {
		t.Errorf("first %+v\nsecond %+v", first.Message, second.Message)
	}
	if m := second.Message; m.MailFrom.Raw != "<else@sender.test>" || len(m.Recipients) != 1 || len(m.Header.Fields) != 1 || m.QueueID != "4bSecond" {
		t.Errorf("second %+v", m)
	}
	if m := first.Message; len(m.Recipients) != 2 || m.QueueID != "4bQueue" {
		t.Errorf("the first has changed: %+v", m)
	}
}

// A recipient that the MTA itself refuses is counted, judged by nobody, and
// loses nothing of the session.
func TestRefusedRecipient(t *testing.T) {
	var s seen
	b := newBed(t, []checks.Spec{s.check("rcpt", checks.Rcpt)}, nil)
	e := to("nobody@here.test", "ann@here.test", "none@here.test")
	e.Rcpts[0].Rejected, e.Rcpts[2].Rejected = "5.1.1 User unknown", "5.1.1 User unknown"
	answer, out := b.send(b.greet(stranger()), e, plain)
	if out.Message.RejectedRecipients != 2 || len(out.Message.Recipients) != 1 || out.Message.Recipients[0].Path.Raw != "<ann@here.test>" {
		t.Errorf("message %+v", out.Message)
	}
	for i, r := range answer.Rcpts {
		if !r.IsContinue() {
			t.Errorf("recipient %d: %s", i, r)
		}
	}
	expect(t, "checks", s.take(), `rcpt 192.0.2.1 helo.sender.test tls="" <ann@here.test>`)
}

// RSET drops the message and keeps the client; a MAIL without one does as well.
func TestReset(t *testing.T) {
	var s seen
	b := newBed(t, []checks.Spec{s.check("connect", checks.Connect), s.check("mail", checks.Mail)}, nil)
	ctx := t.Context()
	c := b.greet(stranger())
	for range 3 {
		if r, err := c.Mail(ctx, "<a@sender.test>"); err != nil || !r.IsContinue() {
			t.Fatal(r, err)
		}
		if r, err := c.Rcpt(ctx, "<ann@here.test>"); err != nil || !r.IsContinue() {
			t.Fatal(r, err)
		}
		if err := c.Abort(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := c.Mail(ctx, "<a@sender.test>"); err != nil || !r.IsContinue() {
		t.Fatal(r, err)
	}
	_, out := b.send(c, to("ann@here.test"), plain)
	if out == nil || len(out.Results) != 2 || out.Results[0].Err != nil || len(out.Message.Recipients) != 1 {
		t.Fatalf("outcome %+v", out)
	}
	b.settle() // a check of a message that was dropped may begin late
	if got := strings.Join(s.take(), " "); strings.Count(got, "connect") != 1 || strings.Count(got, "mail ") != 5 {
		t.Errorf("checks %q", got)
	}
	if b.memory.Used() != 0 {
		t.Errorf("%d bytes of memory are held between messages", b.memory.Used())
	}
}

// After STARTTLS the client says HELO again: what the first one brought does not
// count, and what is asked is asked about the new one.
func TestHeloAgain(t *testing.T) {
	var s seen
	b := newBed(t, []checks.Spec{s.check("connect", checks.Connect), s.check("helo", checks.Helo), s.check("mail", checks.Mail)}, nil)
	c := b.greet(stranger())
	c.SetMacros(wire.StageHelo, milter.Macro{Name: "{tls_version}", Value: "TLSv1.3"})
	if r, err := c.Helo(t.Context(), "other.sender.test"); err != nil || !r.IsContinue() {
		t.Fatal(r, err)
	}
	_, out := b.send(c, to("ann@here.test"), plain)
	b.settle()
	if len(out.Results) != 3 || out.Message.Session.Helo != "other.sender.test" || out.Message.Session.TLSVersion != "TLSv1.3" {
		t.Errorf("outcome %+v", out)
	}
	for i := range out.Results {
		if out.Results[i].Err != nil {
			t.Errorf("%s: %v", out.Results[i].Check, out.Results[i].Err)
		}
	}
	expect(t, "checks", s.take(),
		`connect 192.0.2.1  tls=""`, `connect 192.0.2.1 other.sender.test tls="TLSv1.3"`,
		`helo 192.0.2.1 helo.sender.test tls=""`, `helo 192.0.2.1 other.sender.test tls="TLSv1.3"`,
		`mail 192.0.2.1 other.sender.test tls="TLSv1.3"`)
}

// A reload changes what the next message meets; the one on its way ends as it
// began. The session's own phases are done again for the new pipeline, once.
func TestReload(t *testing.T) {
	var s seen
	b := newBed(t, []checks.Spec{s.check("connect", checks.Connect), s.check("mail", checks.Mail)}, nil)
	ctx := t.Context()
	c := b.greet(stranger())
	if r, err := c.Mail(ctx, "<a@sender.test>"); err != nil || !r.IsContinue() {
		t.Fatal(r, err)
	}
	b.reload(newPipeline(t, []checks.Spec{s.check("connect2", checks.Connect), s.check("helo2", checks.Helo), s.check("message2", checks.Message)}, nil))
	if r, err := c.Rcpt(ctx, "<ann@here.test>"); err != nil || !r.IsContinue() {
		t.Fatal(r, err)
	}
	if r, err := c.EndOfMessage(ctx); err != nil || !r.Reply.IsContinue() {
		t.Fatal(r, err)
	}
	expect(t, "results of the message in flight", resultNames(b.decided()[0]), "connect", "mail")
	for range 2 {
		_, out := b.send(c, to("ann@here.test"), plain)
		expect(t, "results of the next", resultNames(out), "connect2", "helo2", "message2")
	}
	b.settle()
	expect(t, "checks", s.take(), `connect 192.0.2.1  tls=""`, `connect2 192.0.2.1 helo.sender.test tls=""`, `helo2 192.0.2.1 helo.sender.test tls=""`,
		`mail 192.0.2.1 helo.sender.test tls=""`, `message2 192.0.2.1 helo.sender.test tls=""`, `message2 192.0.2.1 helo.sender.test tls=""`)
}

func resultNames(o *pipeline.Outcome) (names []string) {
	for i := range o.Results {
		names = append(names, o.Results[i].Check)
	}
	return names
}

// A login is the message's: the next one on the connection has its own, or none.
func TestLogin(t *testing.T) {
	b := newBed(t, nil, nil)
	ctx := t.Context()
	c := b.connect()
	p := stranger()
	p.Login = "ann"
	if _, err := c.Greet(ctx, p); err != nil {
		t.Fatal(err)
	}
	_, out := b.send(c, to("bob@else.test"), "X-Spam-Flag: YES\n"+plain)
	if m := out.Message; m.Login != "ann" || m.Role != message.Outbound || len(out.Edits) != 0 {
		t.Errorf("submission: %+v, edits %v", m, out.Edits)
	}
	if err := c.QuitNewConn(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Greet(ctx, peer("203.0.113.7")); err != nil {
		t.Fatal(err)
	}
	_, out = b.send(c, to("ann@here.test"), plain)
	if m := out.Message; m.Login != "" || m.Role != message.Inbound || m.Session.Client.String() != "203.0.113.7" {
		t.Errorf("the next session: %+v", m)
	}
}

// Behind relays and fetchers of ours stands the client that counts: all checks
// wait for the header that names it, and nobody is refused.
func TestLookingBehind(t *testing.T) {
	const received = "Received: from mail.origin.test (mail.origin.test [203.0.113.7])\n\tby mx2.test (Postfix) with ESMTPS id 4abc; Fri, 20 Nov 2026 12:00:00 +0000\n"
	var s seen
	spam := probe("spam", checks.Message, func(*checks.Input) checks.Result { return checks.Result{Findings: []checks.Finding{{Name: "SPAM"}}} })
	b := newBed(t, []checks.Spec{s.check("connect", checks.Connect), s.check("helo", checks.Helo), s.check("mail", checks.Mail), s.check("rcpt", checks.Rcpt), spam}, nil)
	for _, c := range []struct {
		name, client string
		login        string
		text         string
		peer         message.Peer
		role         message.Role
		action       message.Action
		checks       []string
	}{
		{name: "stranger", client: "192.0.2.1", text: received + plain, role: message.Inbound, action: message.RejectMail, checks: []string{
			`connect 192.0.2.1  tls=""`, `helo 192.0.2.1 helo.sender.test tls=""`, `mail 192.0.2.1 helo.sender.test tls=""`,
			`rcpt 192.0.2.1 helo.sender.test tls="" <ann@here.test>`, `rcpt 192.0.2.1 helo.sender.test tls="" <bob@here.test>`}},
		{name: "relay", client: "198.51.100.3", text: received + plain, peer: message.Relay, role: message.Inbound, action: message.Junk, checks: []string{
			`connect 203.0.113.7 mail.origin.test tls=""`, `helo 203.0.113.7 mail.origin.test tls=""`, `mail 203.0.113.7 mail.origin.test tls=""`,
			`rcpt 203.0.113.7 mail.origin.test tls="" <ann@here.test>`, `rcpt 203.0.113.7 mail.origin.test tls="" <bob@here.test>`}},
		{name: "fetcher", client: "127.0.0.9", text: received + plain, peer: message.Fetcher, role: message.Inbound, action: message.Junk, checks: []string{
			`connect 203.0.113.7 mail.origin.test tls=""`, `helo 203.0.113.7 mail.origin.test tls=""`, `mail 203.0.113.7 mail.origin.test tls=""`,
			`rcpt 203.0.113.7 mail.origin.test tls="" <ann@here.test>`, `rcpt 203.0.113.7 mail.origin.test tls="" <bob@here.test>`}},
		{name: "relay that names nobody: whoever it is, it is not the relay", client: "198.51.100.3", text: plain, peer: message.Relay, role: message.Inbound,
			action: message.Junk, checks: []string{`connect invalid IP  tls=""`, `helo invalid IP  tls=""`, `mail invalid IP  tls=""`,
				`rcpt invalid IP  tls="" <ann@here.test>`, `rcpt invalid IP  tls="" <bob@here.test>`}},
		{name: "relay that logs in", client: "198.51.100.3", login: "relay", text: received + plain, role: message.Outbound, action: message.Accept},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := peer(c.client)
			p.Login = c.login
			answer, out := b.send(b.greet(p), to("ann@here.test", "bob@here.test"), c.text)
			b.settle()
			if m := out.Message; m.Peer != c.peer || m.Role != c.role || out.Verdict.Action != c.action || m.Session.MTA != "mx.test" {
				t.Errorf("peer %q, role %s, %s; want %q, %s, %s", m.Peer, m.Role, out.Verdict.Action, c.peer, c.role, c.action)
			}
			if answer.Reply.Refuses() != (c.action == message.RejectMail) {
				t.Errorf("answered %s", answer.Reply)
			}
			expect(t, "checks", s.take(), c.checks...)
		})
	}
}
