package milter_test

import (
	"context"
	"net"
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	wire "github.com/emersion/go-milter"
	"github.com/google/go-cmp/cmp"

	"milterd/milter"
	"milterd/milter/miltertest"
)

// go-milter's client is an independent MTA. It knows no SETSYMLIST (its
// ActionMask must lie within 0x3f) and takes SKIP for an error.
func TestServerWithGoMilterClient(t *testing.T) {
	no := mustReply(t, 550, "5.7.1", "No 100%", "really")
	f := &miltertest.Filter{
		Replies: map[string]milter.Reply{"rcpt <no@example.org> []": no, "mail <bad@example.net> []": milter.TempFail},
		Verdict: milter.Response{Edits: []milter.Edit{milter.InsertHeader(0, "A", "b\n\tc"), milter.DeleteHeader(2, "X"), milter.AddRcpt("a@b"),
			milter.DeleteRcpt("<ann@example.org>"), milter.Quarantine("why")}},
	}
	s := newServer(f)
	s.Protocol = wire.OptNoHeaderReply | wire.OptNoUnknown
	addr := listen(t, s)
	client := wire.NewClientWithOptions(addr.Network, addr.Address, wire.ClientOptions{ActionMask: 0x3f, ProtocolMask: 0x7f | wire.OptNoHeaderReply})
	session, err := client.Session()
	if err != nil {
		t.Fatal(err)
	}
	check := func(act *wire.Action, err error) *wire.Action {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return act
	}
	if err := session.Macros(wire.CodeConn, "j", "mx", "{client_addr}", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	check(session.Conn("mail.example.net", wire.FamilyInet, 40000, "192.0.2.1"))
	check(session.Helo("mail.example.net"))
	if act := check(session.Mail("bad@example.net", nil)); act.Code != wire.ActTempFail {
		t.Errorf("bad sender: %+v", act)
	}
	for range 2 {
		check(session.Mail("joe@example.net", []string{"SIZE=1"}))
		if act := check(session.Rcpt("no@example.org", nil)); act.Code != wire.ActReplyCode || act.SMTPCode != 550 || act.SMTPText != "5.7.1 No 100%%\r\n550 5.7.1 really" {
			t.Errorf("refused recipient: %+v", act)
		}
		check(session.Rcpt("ann@example.org", []string{"NOTIFY=NEVER"}))
		check(session.HeaderField("Subject", "hello"))
		check(session.HeaderField("To", "ann"))
		check(session.HeaderEnd())
		check(session.BodyChunk([]byte("a line\r\n")))
		edits, act, err := session.End()
		if err != nil || act.Code != wire.ActContinue {
			t.Fatal(act, err)
		}
		want := []wire.ModifyAction{
			{Code: wire.ActChangeHeader, HeaderIndex: 2, HeaderName: "X"},
			{Code: wire.ActInsertHeader, HeaderName: "A", HeaderValue: "b\n\tc"},
			{Code: wire.ActAddRcpt, Rcpt: "<a@b>"},
			{Code: wire.ActDelRcpt, Rcpt: "<ann@example.org>"},
			{Code: wire.ActQuarantine, Reason: "why"},
		}
		if diff := cmp.Diff(want, edits); diff != "" {
			t.Error(diff)
		}
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	message := list("mail <joe@example.net> [SIZE=1]", "rcpt <no@example.org> []", "rcpt <ann@example.org> [NOTIFY=NEVER]",
		`header Subject: "hello"`, `header To: "ann"`, "eoh", `body "a line\r\n"`, "eom")
	if diff := cmp.Diff(join(helloHeard, list("mail <bad@example.net> []", "abort"), message, message, list("close")), f.Events()); diff != "" {
		t.Error(diff)
	}
}

// And its server an independent filter, of protocol version 2.
type backend struct {
	wire.NoOpMilter
	mu    *sync.Mutex
	heard *[]string
}

func (b *backend) hear(s ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*b.heard = append(*b.heard, strings.Join(s, " "))
}

func (b *backend) Connect(host, family string, port uint16, addr net.IP, m *wire.Modifier) (wire.Response, error) {
	b.hear("connect", host, family, addr.String(), m.Macros["j"])
	return wire.RespContinue, nil
}

func (b *backend) RcptTo(to string, m *wire.Modifier) (wire.Response, error) {
	b.hear("rcpt", to)
	return wire.RespContinue, nil
}

func (b *backend) Header(name, value string, m *wire.Modifier) (wire.Response, error) {
	b.hear("header", name, value)
	return wire.RespContinue, nil
}

func (b *backend) Headers(textproto.MIMEHeader, *wire.Modifier) (wire.Response, error) {
	return wire.RespContinue, nil
}

func (b *backend) Body(m *wire.Modifier) (wire.Response, error) {
	m.AddHeader("X-Added", "a\r\n b")
	m.ChangeHeader(1, "X-Spam", "")
	m.InsertHeader(0, "X-First", "1")
	m.Quarantine("why")
	m.ChangeFrom("<new@example.net>")
	return wire.NewResponseStr('y', "451-4.7.1 Later\r\n451 4.7.1 100%% or never"), nil
}

func TestClientWithGoMilterServer(t *testing.T) {
	var mu sync.Mutex
	var heard []string
	server := &wire.Server{
		NewMilter: func() wire.Milter { return &backend{mu: &mu, heard: &heard} },
		Actions:   wire.OptAddHeader | wire.OptChangeHeader | wire.OptQuarantine,
	}
	addr := milter.Addr{Network: "unix", Address: filepath.Join(socketDir(t), "s")}
	l, err := milter.Listen(t.Context(), addr, milter.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// Its own Serve and Close race with each other: let it see one connection.
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	c, err := milter.Dial(t.Context(), addr, milter.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := c.Greet(t.Context(), stranger); err != nil || !r.IsContinue() {
		t.Fatal(r, err)
	}
	o, err := c.Send(t.Context(), toAnn, rawMessage)
	if err != nil || o.Stage != "eom" || o.Reply.String() != "451 4.7.1 Later / 100% or never" {
		t.Fatalf("%+v, %v", o, err)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Error(err)
	}
	l.Close()
	<-done
	var edits []string
	for _, e := range o.Edits {
		edits = append(edits, e.String())
	}
	want := list(`add X-Added: "a\n b"`, "delete 1 X-Spam", `insert 0 X-First: "1"`, `quarantine "why"`, `change-sender "<new@example.net>"`)
	if diff := cmp.Diff(want, edits); diff != "" {
		t.Error(diff)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Contains(heard, "connect mail.example.net tcp4 192.0.2.1 mx.example.org") || !slices.Contains(heard, "rcpt bob@example.org") ||
		!slices.Contains(heard, "header X-Folded a\n\tb") {
		t.Errorf("heard %q", heard)
	}
}

// Garbage beside honest mail: mutated packet streams, twenty thousand of them,
// while one session goes on and on.
func TestGarbageDisturbsNobody(t *testing.T) {
	f := &miltertest.Filter{}
	s := newServer(f)
	s.Protocol = wire.OptSkip | wire.OptNoHeaderReply
	s.NewSession = func(c *milter.Conn) milter.Session { return (&miltertest.Filter{}).NewSession(c) }
	addr := listen(t, s)
	ctx, stop := context.WithCancel(t.Context())
	var torture sync.WaitGroup
	sent := make(chan int, 2)
	for worker := range 2 {
		torture.Go(func() {
			sent <- sendGarbage(t, addr, uint64(worker), 1000)
		})
	}
	c, err := milter.Dial(t.Context(), addr, milter.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Greet(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	go func() {
		torture.Wait()
		stop()
	}()
	messages := 0
	for ctx.Err() == nil {
		if o, err := c.Send(t.Context(), toAnn, rawMessage); err != nil || !o.Reply.IsContinue() {
			t.Fatal(o, err)
		}
		messages++
	}
	packets := <-sent + <-sent
	t.Logf("%d mutated packets, %d honest messages", packets, messages)
	if packets < 20_000 || messages < 10 {
		t.Errorf("%d mutated packets, %d honest messages", packets, messages)
	}
}
