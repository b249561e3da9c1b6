package milter_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	wire "github.com/emersion/go-milter"

	"milterd/milter"
	"milterd/milter/miltertest"
)

// brokenListener fails as told, then hands out connections.
type brokenListener struct {
	failures []error
	conns    chan net.Conn
	closed   chan struct{}
	once     sync.Once
	tried    atomic.Int32
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if n := int(l.tried.Add(1)); n <= len(l.failures) {
		return nil, &net.OpError{Op: "accept", Err: l.failures[n-1]}
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *brokenListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *brokenListener) Addr() net.Addr { return &net.UnixAddr{Name: "/broken", Net: "unix"} }

func TestAcceptLoopSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		var failed atomic.Int32
		s := newServer(&miltertest.Filter{})
		s.Logger = log.logger()
		s.Hooks.AcceptError = func(error) { failed.Add(1) }
		l := &brokenListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		for range 20 {
			l.failures = append(l.failures, syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS)
		}
		start := time.Now()
		served := make(chan error)
		go func() { served <- s.Serve(t.Context(), l) }()
		mta, filter := net.Pipe()
		l.conns <- filter
		if took := time.Since(start); took < 60*time.Second || took > 80*time.Second {
			t.Errorf("80 failures in %v: no back-off, or too much", took)
		}
		miltertest.Play(t, mta, hello+"\n> Q\n< end")
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if failed.Load() != 80 {
			t.Errorf("%d failures told", failed.Load())
		}
		if lines := log.lines(); len(lines) != 2 {
			t.Errorf("log: %q", lines)
		}
	})
}

func TestAcceptGivesUp(t *testing.T) {
	l := &brokenListener{failures: []error{syscall.EMFILE, syscall.EBADF}, closed: make(chan struct{})}
	if err := newServer(&miltertest.Filter{}).Serve(t.Context(), l); !errors.Is(err, syscall.EBADF) {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := &brokenListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := newServer(&miltertest.Filter{})
	served := make(chan error)
	go func() { served <- s.Serve(ctx, l) }()
	mta, filter := net.Pipe()
	l.conns <- filter
	miltertest.Play(t, mta, hello)
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	miltertest.Play(t, mta, "> M <a@b>\n< c\n> Q\n< end") // connections live on
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Serve(t.Context(), &brokenListener{closed: make(chan struct{})}); err != nil {
		t.Error("Serve after Shutdown:", err)
	}
}

func TestTooBusy(t *testing.T) {
	var busy, now, most atomic.Int32
	f := &miltertest.Filter{}
	s := newServer(f)
	s.Protocol = wire.OptNoConnReply | wire.OptNoConnect
	s.MaxConnections = 3
	s.Hooks.Busy = func() { busy.Add(1) }
	s.Hooks.Connections = func(d int) {
		if n := now.Add(int32(d)); n > most.Load() {
			most.Store(n)
		}
	}
	addr := listen(t, s)
	dial := func() net.Conn {
		nc, err := net.Dial(addr.Network, addr.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return nc
	}
	var held []net.Conn
	for range 3 {
		nc := dial()
		miltertest.Play(t, nc, "> O\n< O\n> H x\n< c")
		held = append(held, nc)
	}
	miltertest.Play(t, dial(), "> O\n< O \"\\x00\\x00\\x00\\x06\\x00\\x00\\x00\\xfd\\x00\\x00\\x00\\x00\"\n> D C j x\n> C x U\n< y \"421 4.3.2 Too busy\\x00\"\n< end")
	if busy.Load() != 1 {
		t.Errorf("busy %d times", busy.Load())
	}
	// Those told so are bounded too; the rest is closed in silence.
	var silent int
	for range 150 {
		nc := dial()
		if _, err := nc.Write(miltertest.Frame('O', miltertest.Negotiation(6, 1, 0))); err != nil {
			silent++
			continue
		}
		if _, _, err := miltertest.ReadFrame(nc); err != nil {
			silent++
		}
	}
	if silent < 40 || silent > 60 || most.Load() > 3+100 {
		t.Errorf("%d of 150 were closed in silence, %d connections at once", silent, most.Load())
	}
	miltertest.Play(t, held[0], "> Q\n< end")
	for {
		// The place is free as soon as the server has noticed.
		nc := dial()
		nc.Write(miltertest.Frame('O', miltertest.Negotiation(6, 0x1ff, 0x1fffff)))
		if _, data, err := miltertest.ReadFrame(nc); err == nil && data[10]|data[11] != 0 {
			break
		}
		nc.Close()
	}
}

func TestSlowloris(t *testing.T) {
	for _, test := range []struct {
		name   string
		play   func(t *testing.T, nc net.Conn)
		lasts  time.Duration
		reason milter.Reason
	}{
		{"silence", func(*testing.T, net.Conn) {}, 675 * time.Second, ""},
		{"silence after a refreshed deadline", func(t *testing.T, nc net.Conn) {
			miltertest.Play(t, nc, hello)
			time.Sleep(500 * time.Second)
			miltertest.Play(t, nc, "> H again\n< c")
		}, 1175 * time.Second, ""},
		{"a client that is silent for Postfix's 300 s", func(t *testing.T, nc net.Conn) {
			miltertest.Play(t, nc, hello)
			for range 10 {
				time.Sleep(300 * time.Second)
				miltertest.Play(t, nc, "> H again\n< c")
			}
			nc.Close()
		}, 3000 * time.Second, ""},
		{"half a length", func(t *testing.T, nc net.Conn) { nc.Write([]byte{0, 0}) }, 30 * time.Second, milter.ReasonFrameTime},
		{"a byte every ten seconds", func(t *testing.T, nc net.Conn) {
			miltertest.Play(t, nc, hello)
			nc.Write([]byte{0, 0, 1, 0, 'H'})
			for {
				time.Sleep(10 * time.Second)
				if _, err := nc.Write([]byte{'x'}); err != nil {
					return
				}
			}
		}, 30 * time.Second, milter.ReasonFrameTime},
		{"hung up in a frame", func(t *testing.T, nc net.Conn) {
			nc.Write([]byte{0, 0, 0, 13, 'O', 0})
			nc.Close()
		}, 0, milter.ReasonTruncated},
		{"a reader that does not read", func(t *testing.T, nc net.Conn) {
			miltertest.Play(t, nc, hello+"\n> H again")
		}, 37500 * time.Millisecond, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var reasons []milter.Reason
				s := newServer(&miltertest.Filter{})
				s.Hooks.ProtocolError = func(r milter.Reason) { reasons = append(reasons, r) }
				mta, filter := net.Pipe()
				defer mta.Close()
				start := time.Now()
				var player sync.WaitGroup
				player.Go(func() { test.play(t, mta) })
				s.ServeConn(t.Context(), filter)
				took := time.Since(start)
				player.Wait()
				if took != test.lasts {
					t.Errorf("took %v, expected %v", took, test.lasts)
				}
				if got := strings.Trim(fmt.Sprint(reasons), "[]"); got != string(test.reason) {
					t.Errorf("reasons %s, expected %s", got, test.reason)
				}
			})
		})
	}
}

// A long message keeps the MTA patient, but not for ever.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deadline time.Duration
		f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
			switch line {
			case "eom":
				d, _ := ctx.Deadline()
				deadline = time.Until(d)
				<-ctx.Done()
				time.Sleep(time.Minute) // does not heed it
			case "helo slow":
				<-ctx.Done()
			}
		}}
		mta := pipe(t, newServer(f))
		start := time.Now()
		miltertest.Play(t, mta, "> O\n< O\n> C x U\n< c\n> H slow\n< c")
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("HELO had %v", took)
		}
		start = time.Now()
		miltertest.Play(t, mta, envelope+"\n> E\n< p\n< p\n< p\n< p")
		mta.SetDeadline(time.Now().Add(time.Hour))
		if code, _, err := miltertest.ReadFrame(mta); err != nil || code != 'c' {
			t.Errorf("got %q, %v", code, err)
		}
		if took := time.Since(start); took != 85*time.Second || deadline != 25*time.Second {
			t.Errorf("took %v, ctx had %v", took, deadline)
		}
		// The reader of the vigil gave the connection back.
		miltertest.Play(t, mta, "> A"+envelope+"\n> Q\n< end")
	})
}

// Whoever waits for something is told that nobody waits for the answer.
func TestContextEndsWithTheConnection(t *testing.T) {
	for _, event := range []string{"helo", "mail", "rcpt", "eom"} {
		t.Run(event, func(t *testing.T) {
			cause := make(chan error, 1)
			f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
				if strings.HasPrefix(line, event) {
					child, cancel := context.WithCancel(ctx) // as any library would
					defer cancel()
					<-child.Done()
					cause <- context.Cause(child)
				}
			}}
			s := newServer(f)
			s.ReplyTime, s.MessageTime = time.Hour, time.Hour
			addr := listen(t, s)
			nc, err := net.Dial(addr.Network, addr.Address)
			if err != nil {
				t.Fatal(err)
			}
			script := hello + envelope + content
			letter := map[string]string{"helo": "> H ", "mail": "> M ", "rcpt": "> R ", "eom": "> E"}[event]
			end := strings.Index(script, letter)
			end += strings.IndexByte(script[end:]+"\n", '\n')
			miltertest.Play(t, nc, script[:end])
			nc.Close()
			if err := <-cause; err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("cause: %v", err)
			}
		})
	}
}

func TestShutdown(t *testing.T) {
	f := &miltertest.Filter{}
	s := newServer(f)
	addr := listen(t, s)
	dial := func(script string) net.Conn {
		nc, err := net.Dial(addr.Network, addr.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		miltertest.Play(t, nc, script)
		return nc
	}
	fresh := dial("")
	idle := dial(hello)
	between := dial(hello + envelope + content + "\n< c\n> A")
	var inMessage []net.Conn
	for range 20 {
		inMessage = append(inMessage, dial(hello+envelope))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	down := make(chan error)
	go func() { down <- s.Shutdown(ctx) }()
	for _, nc := range []net.Conn{fresh, idle, between} {
		miltertest.Play(t, nc, "< end")
	}
	if nc, err := net.Dial(addr.Network, addr.Address); err == nil {
		t.Error("the socket still answers")
		nc.Close()
	}
	for _, nc := range inMessage {
		select {
		case err := <-down:
			t.Fatal("Shutdown did not wait:", err)
		default:
		}
		miltertest.Play(t, nc, content+"\n< c\n< end")
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if n := len(slices.DeleteFunc(f.Events(), func(e string) bool { return e != "eom" })); n != 21 {
		t.Errorf("%d verdicts", n)
	}
}

func TestForcedShutdown(t *testing.T) {
	var waiting sync.WaitGroup
	waiting.Add(1)
	f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
		if line == "eom" {
			waiting.Done()
			<-ctx.Done()
		}
	}}
	s := newServer(f)
	addr := listen(t, s)
	var conns []net.Conn
	for _, script := range []string{hello + envelope, hello + envelope + content} {
		nc, err := net.Dial(addr.Network, addr.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		miltertest.Play(t, nc, script)
		conns = append(conns, nc)
	}
	waiting.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	miltertest.Play(t, conns[0], "< end")
	miltertest.Play(t, conns[1], "< c\n< end") // the verdict that came in time is still given
	events := f.Events()
	if n := len(slices.DeleteFunc(events, func(e string) bool { return e != "close" })); n != 2 {
		t.Errorf("%d sessions closed", n)
	}
}

func TestSessionThatIgnoresEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
			if line == "helo stuck" {
				<-release
			}
		}}
		s := newServer(f)
		mta := pipe(t, s)
		miltertest.Play(t, mta, "> O\n< O\n> C x U\n< c\n> H stuck")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if err := s.Shutdown(ctx); err == nil || time.Since(start) != 15*time.Second {
			t.Errorf("Shutdown: %v after %v", err, time.Since(start))
		}
		close(release)
	})
}

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
				if len(sites) != i+1 || !strings.Contains(sites[i], "server_test.go:") {
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

// The context of an event is a context like any other, and ends with the event.
func TestEventContext(t *testing.T) {
	type key struct{}
	var kept []context.Context
	var derived context.Context
	f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
		if line == "new" {
			return
		}
		kept = append(kept, ctx)
		if strings.HasPrefix(line, "mail") {
			if ctx.Err() != nil || ctx.Value(key{}) != "value" {
				t.Error("context of an event:", ctx.Err(), ctx.Value(key{}))
			}
			var cancel context.CancelFunc
			derived, cancel = context.WithCancel(ctx) // must end with its parent
			t.Cleanup(cancel)
		}
	}}
	s := newServer(f)
	mta, filter := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(context.WithValue(t.Context(), key{}, "value"), filter)
	}()
	miltertest.Play(t, mta, hello+envelope+content+"\n< c\n> Q\n< end")
	<-done
	<-derived.Done()
	for i, ctx := range kept {
		if ctx.Err() == nil {
			t.Errorf("context %d outlives its event", i)
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
