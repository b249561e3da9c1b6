package milter_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	wire "github.com/emersion/go-milter"
	"github.com/google/go-cmp/cmp"

	"milterd/milter"
	"milterd/milter/miltertest"
)

var (
	stranger = milter.Peer{
		Connect:  milter.Connect{Host: "mail.example.net", Family: '4', Port: 40000, Addr: netip.MustParseAddr("192.0.2.1")},
		Helo:     "mail.example.net",
		Hostname: "mx.example.org",
	}
	toAnn = milter.Envelope{
		From:     "joe@example.net",
		FromArgs: []string{"SIZE=100"},
		Rcpts:    []milter.Recipient{{Address: "ann@example.org"}, {Address: "bob@example.org", Args: []string{"NOTIFY=NEVER"}}},
		QueueID:  "4bVxYz",
	}
	rawMessage = []byte("Subject:  two spaces\nX-Spam: forged\nX-Folded: a\n\tb\nx-spam: again\nTight:x\n\nbody\n")
)

func dialTest(t testing.TB, s *milter.Server, o milter.ClientOptions) *milter.Client {
	t.Helper()
	c, err := milter.Dial(t.Context(), listen(t, s), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestClientPlaysAMessage(t *testing.T) {
	f := &miltertest.Filter{Verdict: milter.Response{Edits: []milter.Edit{
		milter.InsertHeader(0, "Authentication-Results", "mx;\n\tspf=pass"), milter.InsertHeader(0, "X-Spam", "No"),
		milter.DeleteHeader(1, "X-Spam"), milter.DeleteHeader(2, "X-Spam"), milter.AddHeader("Last", "one"),
		milter.ChangeHeader(1, "tight", "loose"),
	}}}
	for _, leadSpace := range []wire.OptProtocol{0, wire.OptHeaderLeadingSpace} {
		s := newServer(f)
		s.Protocol = leadSpace
		c := dialTest(t, s, milter.ClientOptions{})
		if r, err := c.Greet(t.Context(), stranger); err != nil || !r.IsContinue() {
			t.Fatal(r, err)
		}
		for range 2 { // several messages on one connection
			o, err := c.Send(t.Context(), toAnn, rawMessage)
			if err != nil || o.Stage != "eom" || !o.Reply.IsContinue() || len(o.Rcpts) != 2 {
				t.Fatalf("%+v, %v", o, err)
			}
			got := string(milter.ParseMessage(rawMessage).Apply(o.Edits).Bytes())
			want := "Authentication-Results: mx;\n\tspf=pass\nX-Spam: No\nSubject:  two spaces\nX-Folded: a\n\tb\ntight: loose\nLast: one\n\nbody\n"
			if got != want {
				t.Errorf("LEADSPC %t: edited message %q", leadSpace != 0, got)
			}
		}
		if err := c.Quit(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	message := func(space string) []string {
		return list("mail <joe@example.net> [SIZE=100]", "rcpt <ann@example.org> []", "rcpt <bob@example.org> [NOTIFY=NEVER]", "data",
			`header Subject: "`+space+` two spaces"`, `header X-Spam: "`+space+`forged"`, `header X-Folded: "`+space+`a\n\tb"`,
			`header x-spam: "`+space+`again"`, `header Tight: "x"`, "eoh", `body "body\r\n"`, "eom")
	}
	want := join(helloHeard, message(""), message(""), list("close"), helloHeard, message(" "), message(" "), list("close"))
	if diff := cmp.Diff(want, f.Events()); diff != "" {
		t.Error(diff)
	}
}

func TestClientMacros(t *testing.T) {
	play := func(t *testing.T, macros map[wire.Stage][]string, p milter.Peer) map[string]string {
		got := map[string]string{}
		rcpts := 0
		f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
			verb, _, _ := strings.Cut(line, " ")
			if stage, ok := map[string]wire.Stage{"connect": 0, "helo": 1, "mail": 2, "rcpt": 3, "data": 4, "header": 6, "eom": 5}[verb]; ok {
				if verb == "rcpt" {
					rcpts++
					verb += string(rune('0' + rcpts))
				}
				var all []string
				for name, value := range c.MacrosAt(stage) {
					all = append(all, name+"="+value)
				}
				got[verb] = strings.Join(all, " ")
			}
		}}
		s := newServer(f)
		s.Macros = macros
		s.Protocol = wire.OptRcptRej
		c := dialTest(t, s, milter.ClientOptions{})
		if _, err := c.Greet(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		e := toAnn
		e.Rcpts = append([]milter.Recipient{{Address: "no@example.org", Rejected: "5.1.1 User unknown"}}, e.Rcpts...)
		if _, err := c.Send(t.Context(), e, rawMessage); err != nil {
			t.Fatal(err)
		}
		return got
	}
	// As dumped from Postfix 3.7: no i before the first accepted recipient.
	want := map[string]string{
		"connect": "j=mx.example.org {daemon_name}=mx.example.org {daemon_addr}=127.0.0.1 v=Postfix 3.7.11 _=mail.example.net [192.0.2.1]",
		"helo":    "",
		"mail":    "{mail_addr}=joe@example.net {mail_host}=example.net {mail_mailer}=smtp",
		"rcpt1":   "{rcpt_addr}=5.1.1 User unknown {rcpt_host}=5.1.1 {rcpt_mailer}=error",
		"rcpt2":   "{rcpt_addr}=ann@example.org {rcpt_host}=example.org {rcpt_mailer}=smtp",
		"rcpt3":   "{rcpt_addr}=bob@example.org {rcpt_host}=example.org {rcpt_mailer}=smtp i=4bVxYz",
		"data":    "i=4bVxYz", "header": "i=4bVxYz", "eom": "i=4bVxYz",
	}
	if diff := cmp.Diff(want, play(t, nil, stranger)); diff != "" {
		t.Error(diff)
	}
	submission := stranger
	submission.Login, submission.TLSVersion, submission.DaemonName = "joe", "TLSv1.3", "ORIGINATING"
	want = map[string]string{
		"connect": "{client_addr}=192.0.2.1 {client_port}=40000",
		"helo":    "{tls_version}=TLSv1.3 {cipher}=TLS_AES_256_GCM_SHA384 {cipher_bits}=256",
		"mail":    "{auth_authen}=joe {daemon_name}=ORIGINATING {client_addr}=192.0.2.1",
		"rcpt1":   "{rcpt_addr}=5.1.1 User unknown {rcpt_host}=5.1.1 {rcpt_mailer}=error",
		"rcpt2":   "{rcpt_addr}=ann@example.org {rcpt_host}=example.org {rcpt_mailer}=smtp",
		"rcpt3":   "{rcpt_addr}=bob@example.org {rcpt_host}=example.org {rcpt_mailer}=smtp i=4bVxYz",
		"data":    "i=4bVxYz", "header": "i=4bVxYz", "eom": "",
	}
	asked := map[wire.Stage][]string{
		wire.StageConnect:  {"{client_addr}", "client_port", "{nobody_knows}"},
		wire.StageMailFrom: {"{auth_authen}", "i", "{client_addr}", "{daemon_name}"},
		wire.StageEOM:      {"{nobody_knows}"},
	}
	if diff := cmp.Diff(want, play(t, asked, submission)); diff != "" {
		t.Error(diff)
	}
	local := play(t, nil, milter.LocalPeer("mx.example.org"))
	if local["connect"] != "j=mx.example.org {daemon_name}=mx.example.org {daemon_addr}=127.0.0.1 v=Postfix 3.7.11 _=localhost [127.0.0.1]" ||
		!strings.HasSuffix(local["mail"], " i=4bVxYz") || !strings.HasSuffix(local["rcpt2"], " i=4bVxYz") {
		t.Error(local)
	}
}

func TestClientStops(t *testing.T) {
	no := mustReply(t, 550, "5.7.1", "No")
	for _, test := range []struct {
		at      string
		reply   milter.Reply
		stage   string
		rcpts   int
		refused int
	}{
		{"mail", no, "mail", 0, 0},
		{"rcpt", no, "rcpt", 2, 2},
		{"rcpt <ann@example.org> []", no, "eom", 2, 1},
		{"rcpt", milter.Accept, "rcpt", 1, 0},
		{"data", milter.TempFail, "data", 2, 0},
		{"header", milter.Discard, "header", 2, 0},
		{"eoh", milter.Reject, "eoh", 2, 0},
		{"body", no, "body", 2, 0},
		{"body", milter.Skip, "eom", 2, 0},
		{"eom", no, "eom", 2, 0},
	} {
		f := &miltertest.Filter{Replies: map[string]milter.Reply{test.at: test.reply}}
		s := newServer(f)
		s.Protocol = wire.OptSkip
		c := dialTest(t, s, milter.ClientOptions{})
		if _, err := c.Greet(t.Context(), stranger); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			o, err := c.Send(t.Context(), toAnn, rawMessage)
			want := test.reply
			if test.stage == "eom" && test.at != "eom" {
				want = milter.Continue
			}
			refused := 0
			for _, r := range o.Rcpts {
				if r.Refuses() {
					refused++
				}
			}
			if err != nil || o.Stage != test.stage || o.Reply != want || len(o.Rcpts) != test.rcpts || refused != test.refused {
				t.Errorf("%s %v: %+v, %v", test.at, test.reply, o, err)
			}
		}
	}
	f := &miltertest.Filter{Replies: map[string]milter.Reply{"connect": no}}
	if r, err := dialTest(t, newServer(f), milter.ClientOptions{}).Greet(t.Context(), stranger); err != nil || r != no {
		t.Error(r, err)
	}
}

// A body of any size comes in chunks of 65535 bytes, and after SKIP no more.
func TestClientChunks(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef0123456789abcdef0123456789abcdef\r\n"), 6000) // 300 kB
	for _, skip := range []bool{false, true} {
		var sizes []int
		var heard []byte
		s := &milter.Server{Protocol: wire.OptSkip, NewSession: func(*milter.Conn) milter.Session {
			return &chunkSession{skip: skip, sizes: &sizes, heard: &heard}
		}}
		c := dialTest(t, s, milter.ClientOptions{})
		if _, err := c.Greet(t.Context(), stranger); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(t.Context(), toAnn, append([]byte("A: b\r\n\r\n"), body...)); err != nil {
			t.Fatal(err)
		}
		want := []int{65535, 65535, 65535, 65535, len(body) - 4*65535}
		if skip {
			want, body = want[:2], body[:2*65535]
		}
		if diff := cmp.Diff(want, sizes); diff != "" || !bytes.Equal(heard, body) {
			t.Errorf("skip %t: %s", skip, diff)
		}
	}
}

type chunkSession struct {
	milter.Session
	skip  bool
	sizes *[]int
	heard *[]byte
}

func (s *chunkSession) Connect(context.Context, milter.Connect) milter.Reply { return milter.Continue }
func (s *chunkSession) Helo(context.Context, string) milter.Reply            { return milter.Continue }
func (s *chunkSession) Mail(context.Context, string, []string) milter.Reply  { return milter.Continue }
func (s *chunkSession) Rcpt(context.Context, string, []string) milter.Reply  { return milter.Continue }
func (s *chunkSession) Data(context.Context) milter.Reply                    { return milter.Continue }
func (s *chunkSession) Header(context.Context, []byte, []byte) milter.Reply  { return milter.Continue }
func (s *chunkSession) EndOfHeader(context.Context) milter.Reply             { return milter.Continue }
func (s *chunkSession) EndOfMessage(context.Context) milter.Response         { return milter.Response{} }
func (s *chunkSession) Abort()                                               {}
func (s *chunkSession) Close()                                               {}
func (s *chunkSession) Body(_ context.Context, chunk []byte) milter.Reply {
	*s.sizes = append(*s.sizes, len(chunk))
	*s.heard = append(*s.heard, chunk...)
	if s.skip && len(*s.sizes) == 2 {
		return milter.Skip
	}
	return milter.Continue
}

// Every single method, with everything left out or muted that can be.
func TestClientHonoursFlags(t *testing.T) {
	for _, protocol := range []wire.OptProtocol{0, 0x37f, milter.AllProtocol &^ 0x37f, milter.AllProtocol} {
		f := &miltertest.Filter{Replies: map[string]milter.Reply{"unknown": milter.Reject}}
		s := newServer(f)
		s.Protocol = protocol
		c := dialTest(t, s, milter.ClientOptions{})
		if c.Protocol() != protocol || c.Actions() != milter.AllActions&^wire.OptSetSymList {
			t.Errorf("agreed on %#x %#x", c.Protocol(), c.Actions())
		}
		for range 2 {
			for _, step := range []func() (milter.Reply, error){
				func() (milter.Reply, error) { return c.Connect(t.Context(), stranger.Connect) },
				func() (milter.Reply, error) { return c.Helo(t.Context(), "x") },
				func() (milter.Reply, error) { return c.Mail(t.Context(), "<>") },
				func() (milter.Reply, error) { return c.Rcpt(t.Context(), "<a@b>") },
				func() (milter.Reply, error) { return c.Unknown(t.Context(), "FOO") },
				func() (milter.Reply, error) { return c.Data(t.Context()) },
				func() (milter.Reply, error) { return c.Header(t.Context(), "A", " b") },
				func() (milter.Reply, error) { return c.EndOfHeader(t.Context()) },
				func() (milter.Reply, error) { return c.Body(t.Context(), []byte("x\r\n")) },
			} {
				if r, err := step(); err != nil || (!r.IsContinue() && r != milter.Reject) {
					t.Fatal(r, err)
				}
			}
			if v, err := c.EndOfMessage(t.Context()); err != nil || !v.Reply.IsContinue() {
				t.Fatal(v, err)
			}
			if err := c.QuitNewConn(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Quit(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Shutdown(t.Context())
		want := 2 * 12
		if protocol&0x7f != 0 {
			want = 2 * 3 // new, eom, close
		}
		if got := f.Events(); len(got) != want {
			t.Errorf("%#x: %q", protocol, got)
		}
	}
}

// script answers a client like a filter that is written down.
func script(t *testing.T, lines string) net.Conn {
	t.Helper()
	mta, filter := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer filter.Close()
		miltertest.Play(t, filter, lines)
	}()
	t.Cleanup(func() {
		mta.Close()
		<-done
	})
	return mta
}

func TestClientRefusesBadFilters(t *testing.T) {
	const offer = "< O\n"
	for _, answer := range []string{
		"> c", "> raw 00000000", "> raw 00020001 4f", "> raw 00000005 4f 00000006", "> O 7 0 0", "> O 1 0 0", "> O 6 0x2 0",
		"> O 6 0 0x10000000", "> raw 0000000e 4f 00000006 00000000 00000000 ff", "> raw 00000012 4f 00000006 00000100 00000000 00000000 6a",
	} {
		if c, err := milter.NewClient(t.Context(), script(t, offer+answer), milter.ClientOptions{}); err == nil {
			t.Errorf("%s: taken", answer)
			c.Close()
		}
	}
	for _, answer := range []string{
		"> z", "> raw 00000000", "> raw 00020000 63", "> raw 00000002 63 00", "> y \"250 ok\"", "> y \"550-no\"", "> i", "> b body", "> raw 00",
	} {
		for _, at := range []string{"helo", "eom"} {
			c, err := milter.NewClient(t.Context(), script(t, offer+"> O 6 0x1fd 0\n< "+map[string]string{"helo": "H \"x\\x00\"", "eom": "E"}[at]+"\n"+answer), milter.ClientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if at == "helo" {
				_, err = c.Helo(t.Context(), "x")
			} else {
				_, err = c.EndOfMessage(t.Context())
			}
			if err == nil {
				t.Errorf("%s: %s: taken", at, answer)
			}
		}
	}
}

func TestClientTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(d time.Duration, lines string, ask func(*milter.Client) error, is error) {
			t.Helper()
			mta, filter := net.Pipe()
			go func() {
				miltertest.Play(t, filter, "< O\n> O 6 0 0\n"+lines)
				io.Copy(io.Discard, filter)
			}()
			c, err := milter.NewClient(t.Context(), mta, milter.ClientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			err = ask(c)
			if took := time.Since(start); took != d || (is == nil) != (err == nil) || !errors.Is(err, is) {
				t.Errorf("%v after %v, expected %v", err, took, d)
			}
			c.Close()
		}
		helo := func(ctx context.Context) func(*milter.Client) error {
			return func(c *milter.Client) error { _, err := c.Helo(ctx, "x"); return err }
		}
		eom := func(c *milter.Client) error { _, err := c.EndOfMessage(t.Context()); return err }
		expired, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		hang(7*time.Second, "", helo(expired), context.DeadlineExceeded)
		cancelled, stop := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, stop)
		hang(3*time.Second, "", helo(cancelled), context.Canceled)
		hang(0, "", helo(cancelled), context.Canceled)
		hang(30*time.Second, "", helo(t.Context()), os.ErrDeadlineExceeded)
		hang(300*time.Second, "", eom, os.ErrDeadlineExceeded)
		hang(300*time.Second, "< E\n> p\n> p", eom, os.ErrDeadlineExceeded)
	})
}

func TestClientRefusesNUL(t *testing.T) {
	c := dialTest(t, newServer(&miltertest.Filter{}), milter.ClientOptions{})
	ctx := t.Context()
	for i, err := range []error{
		second(c.Connect(ctx, milter.Connect{Host: "a\x00b", Family: 'U'})),
		second(c.Helo(ctx, "a\x00")),
		second(c.Mail(ctx, "<a\x00b>")),
		second(c.Rcpt(ctx, "<a>", "X\x00")),
		second(c.Header(ctx, "A", "b\x00c")),
		second(c.Unknown(ctx, "\x00")),
		second(c.Body(ctx, make([]byte, 65536))),
	} {
		if err == nil {
			t.Errorf("%d: no error", i)
		}
	}
}

func second[T any](_ T, err error) error { return err }
