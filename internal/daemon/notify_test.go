package daemon

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is a service manager that hears sd_notify(3).
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return &manager{t, conn}
}

func (m *manager) next() string {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 4096)
	n, err := m.conn.Read(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b[:n])
}

// TestNotify: a service manager hears of the start, of each reload whatever
// comes of it, and of the end.
func TestNotify(t *testing.T) {
	for kind, name := range map[string]string{"file": "", "abstract": fmt.Sprintf("@milterd-test-%d", os.Getpid())} {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t, "")
			if name == "" {
				name = h.path("notify")
			}
			m := newManager(t, name)
			h.run()
			if got := m.next(); got != "READY=1" {
				t.Errorf("at the start: %q", got)
			}
			last := int64(0)
			for _, yaml := range []string{"mode: tag", "mode: nonsense", "mode: observe"} {
				h.write(yaml)
				h.reload <- struct{}{}
				state, at, _ := strings.Cut(m.next(), "\n")
				usec, err := strconv.ParseInt(strings.TrimPrefix(at, "MONOTONIC_USEC="), 10, 64)
				if state != "RELOADING=1" || err != nil || usec <= last {
					t.Errorf("%s: %q %q, %v", yaml, state, at, err)
				}
				last = usec
				if got := m.next(); got != "READY=1" {
					t.Errorf("%s: then %q", yaml, got)
				}
			}
			h.stop()
			if got := m.next(); got != "STOPPING=1" {
				t.Errorf("at the end: %q", got)
			}
		})
	}
}

// TestNotifyNobody: a service manager that is gone is worth a word, no more.
func TestNotifyNobody(t *testing.T) {
	h := newHouse(t, "")
	t.Setenv("NOTIFY_SOCKET", h.path("gone"))
	h.run()
	h.send(h.dial(), "4bHam", ham)
	h.stop()
	if h.log.count("service manager cannot be told") != 2 {
		t.Errorf("the log:\n%s", h.log)
	}
}
