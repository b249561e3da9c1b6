package daemon

import (
	"context"
	"net"
	"strings"
	"testing"

	"milterd/internal/config"
)

// TestHTTPTaken: a port that another program has costs the figures, not the mail.
func TestHTTPTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	h := newHouse(t, "")
	h.run(func(o *Options) {
		o.Load = h.loadWith(func(c *config.Config) { c.HTTP = config.HTTP(taken.Addr().String()) })
	})
	if h.http != "" {
		t.Errorf("HTTP at %s", h.http)
	}
	if line := h.log.line("no /metrics"); !strings.Contains(line, "level=WARN") || !strings.Contains(line, taken.Addr().String()) {
		t.Errorf("the log:\n%s", h.log)
	}
	if out := h.send(h.dial(), "4bHam", ham); !out.Reply.IsContinue() {
		t.Errorf("%s", out.Reply)
	}
}

// TestHTTPOff: off is off.
func TestHTTPOff(t *testing.T) {
	h := newHouse(t, "")
	h.run(func(o *Options) { o.Load = h.loadWith(func(c *config.Config) { c.HTTP = "" }) })
	if h.http != "" || h.log.count("WARN") != 0 {
		t.Errorf("HTTP at %q\n%s", h.http, h.log)
	}
}

// TestSocketsTaken: a second daemon on the same sockets does not start, and does
// not harm the first.
func TestSocketsTaken(t *testing.T) {
	h := start(t, "")
	if err := Run(t.Context(), Options{Load: h.load, Stderr: h.log}, nil); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("%v", err)
	}
	if out := h.send(h.dial(), "4bHam", ham); !out.Reply.IsContinue() {
		t.Errorf("%s", out.Reply)
	}
}

// TestStaleSockets: those of a daemon that was killed are no hindrance.
func TestStaleSockets(t *testing.T) {
	h := newHouse(t, "")
	for _, name := range []string{"m.sock", "c.sock"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: h.path(name)})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	h.run()
	if out := h.send(h.dial(), "4bHam", ham); !out.Reply.IsContinue() {
		t.Errorf("%s", out.Reply)
	}
}

// TestListenerFails: a daemon that nobody can reach any more ends with an error,
// so that whoever supervises it starts another.
func TestListenerFails(t *testing.T) {
	h := newHouse(t, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.run(func(o *Options) { o.Listeners = []net.Listener{l} })
	l.Close()
	<-h.ended
	if h.err == nil || !strings.Contains(h.err.Error(), "accept") {
		t.Errorf("%v", h.err)
	}
}

func TestUnknownUser(t *testing.T) {
	h := newHouse(t, "")
	err := Run(context.Background(), Options{Load: h.load, Stderr: h.log, User: "nobody-of-that-name"}, nil)
	if err == nil || !strings.Contains(err.Error(), "nobody-of-that-name") {
		t.Errorf("%v", err)
	}
}
