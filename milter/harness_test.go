package milter_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"milterd/milter"
	"milterd/milter/miltertest"
)

// pipe serves one connection over a pipe and gives the MTA's end. The test ends
// only when the server has let go of the connection.
func pipe(t testing.TB, s *milter.Server) net.Conn {
	t.Helper()
	mta, filter := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(context.Background(), filter)
	}()
	t.Cleanup(func() {
		mta.Close()
		<-done
	})
	return mta
}

// listen serves a unix socket until the test ends, and gives its address.
func listen(t testing.TB, s *milter.Server) milter.Addr {
	t.Helper()
	addr := milter.Addr{Network: "unix", Address: filepath.Join(socketDir(t), "s")}
	l, err := milter.Listen(t.Context(), addr, milter.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		if err := s.Serve(context.Background(), l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what is still open is of no interest any more
		s.Shutdown(ctx)
		served.Wait()
	})
	return addr
}

// socketDir is a directory whose path is short enough for a socket.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// logbook is a logger that a test can read.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logbook) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.buf.String(), "\n"), "\n")
}

func mustReply(t testing.TB, code int, enhanced string, lines ...string) milter.Reply {
	t.Helper()
	r, err := milter.NewReply(code, enhanced, lines...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newServer(f *miltertest.Filter) *milter.Server {
	return &milter.Server{
		NewSession: f.NewSession,
		Actions:    milter.AllActions,
		Protocol:   0,
	}
}
