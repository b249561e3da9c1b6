package milter_test

import (
	"context"
	"errors"
	"net"
	"slices"
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

// A long message keeps the MTA patient, but not for ever.

// Whoever waits for something is told that nobody waits for the answer.

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

// The context of an event is a context like any other, and ends with the event.
