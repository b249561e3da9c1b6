package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"milterd/internal/store"
	"milterd/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// server is a real redis-server on a unix socket.
type server struct {
	dir, socket string
	cmd         *exec.Cmd
}

// start starts a server, and skips loudly where there is none to start.
func start(tb testing.TB, more ...string) *server {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		tb.Skip("NOT TESTED: there is no redis-server (Debian package redis-server)")
	}
	dir, err := os.MkdirTemp("/tmp", "r") // the path of a socket must be short
	if err != nil {
		tb.Fatal(err)
	}
	s := &server{dir: dir, socket: filepath.Join(dir, "s")}
	s.run(tb, more...)
	tb.Cleanup(func() {
		s.stop()
		os.RemoveAll(dir)
	})
	return s
}

func (s *server) run(tb testing.TB, more ...string) {
	tb.Helper()
	args := append([]string{"--port", "0", "--unixsocket", s.socket, "--dir", s.dir, "--save", "", "--appendonly", "yes",
		"--appendfsync", "always", "--daemonize", "no", "--loglevel", "warning", "--databases", "64"}, more...)
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	for until := time.Now().Add(20 * time.Second); ; {
		if c, err := net.Dial("unix", s.socket); err == nil {
			fmt.Fprint(c, "PING\r\n")
			answer := make([]byte, 5)
			n, _ := c.Read(answer)
			c.Close()
			if strings.HasPrefix(string(answer[:n]), "+PONG") || strings.HasPrefix(string(answer[:n]), "-NOAU") {
				return
			}
		}
		if time.Now().After(until) {
			tb.Fatal("redis-server does not answer")
		}
		time.Sleep(10 * time.Millisecond) // of another process nobody tells us
	}
}

func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// say has a command done by the server itself.
func (s *server) say(tb testing.TB, command string) {
	tb.Helper()
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "%s\r\n", command)
	answer := make([]byte, 100)
	if n, err := c.Read(answer); err != nil || string(answer[:n]) != "+OK\r\n" {
		tb.Fatalf("%s: %q, %v", command, answer[:n], err)
	}
}

// open opens the store of database db.
func (s *server) open(tb testing.TB, db int, o Options) *Store {
	tb.Helper()
	st, err := Open(fmt.Sprintf("redis+unix://%s?db=%d", s.socket, db), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		st.Close(ctx)
	})
	return st
}

// TestRedis is what every store must pass.
func TestRedis(t *testing.T) {
	s := start(t)
	var db atomic.Int32
	storetest.Run(t, func(tb testing.TB, now func() time.Time) storetest.Store {
		return s.open(tb, int(db.Add(1)), Options{Now: now})
	})
}

func put(key, value string) store.Op { return store.Put([]byte(key), []byte(value), 0) }

func holds(t *testing.T, s *Store, key, want string) {
	t.Helper()
	values, err := s.Get(t.Context(), "test", []byte(key))
	if err != nil || string(values[0]) != want {
		t.Errorf("%s holds %q, %v, want %q", key, values, err, want)
	}
}

// TestShared: two hosts on one server see each other's memory, and two prefixes do
// not.
func TestShared(t *testing.T) {
	s := start(t)
	a, b := s.open(t, 0, Options{}), s.open(t, 0, Options{})
	other, err := Open("redis+unix://"+s.socket+"?prefix=other", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	if err := a.Apply(t.Context(), "test", store.Add([]byte("n"), 0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(t.Context(), "test", store.Add([]byte("n"), 0, 1)); err != nil {
		t.Fatal(err)
	}
	values, err := a.Get(t.Context(), "test", []byte("n"))
	if err != nil || store.Counter(values[0], 0) != 2 {
		t.Errorf("%v, %v", values, err)
	}
	if values, err = other.Get(t.Context(), "test", []byte("n")); err != nil || values[0] != nil {
		t.Errorf("another prefix: %v, %v", values, err)
	}
}

// TestHeals: while the server is away reading fails at once, applying as well, and
// what is posted waits; once it is back everything is there, and none of it twice.
func TestHeals(t *testing.T) {
	s := start(t)
	st := s.open(t, 0, Options{Retry: 20 * time.Millisecond})
	if err := st.Apply(t.Context(), "test", put("a", "1")); err != nil {
		t.Fatal(err)
	}
	s.stop()
	if err := st.Post("test", store.Add([]byte("n"), 0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := st.Apply(t.Context(), "test", put("b", "1")); err == nil {
		t.Error("applied on a server that is away")
	}
	if _, err := st.Get(t.Context(), "test", []byte("a")); err == nil {
		t.Error("read from a server that is away")
	}
	if !st.Stats().Failing || st.Stats().QueuedBytes == 0 {
		t.Errorf("%+v", st.Stats())
	}
	s.run(t)
	for until := time.Now().Add(20 * time.Second); st.Stats().QueuedBytes > 0 && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond)
	}
	if err := st.Apply(t.Context(), "test"); err != nil { // in its order: all before is stored
		t.Fatal(err)
	}
	holds(t, st, "a", "1")
	holds(t, st, "b", "")
	values, err := st.Get(t.Context(), "test", []byte("n"))
	if err != nil || store.Counter(values[0], 0) != 1 || st.Stats().Failing {
		t.Errorf("%v, %v, %+v", values, err, st.Stats())
	}
}

// TestAnswerLost: a posted batch whose answer does not arrive is done once.
func TestAnswerLost(t *testing.T) {
	s := start(t)
	front := filepath.Join(s.dir, "front")
	l, err := net.Listen("unix", front)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var lost atomic.Int32
	go func() { // ends with the listener; each connection with its two ends
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go lose(c, s.socket, &lost)
		}
	}()
	st, err := Open("redis+unix://"+front, Options{Retry: 10 * time.Millisecond, Wait: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Apply(t.Context(), "test", put("warm", "1")); err != nil {
		t.Fatal(err)
	}
	lost.Store(1)
	if err := st.Post("test", store.Add([]byte("n"), 0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	values, err := s.open(t, 0, Options{}).Get(t.Context(), "test", []byte("n"))
	if err != nil || store.Counter(values[0], 0) != 1 || lost.Load() != 0 {
		t.Errorf("%v, %v, lost %d", values, err, lost.Load())
	}
}

// lose forwards a connection, and breaks it instead of an answer as often as lost
// says.
func lose(c net.Conn, socket string, lost *atomic.Int32) {
	defer c.Close()
	up, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			if err != nil {
				up.Close()
				return
			}
			if _, err := up.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := up.Read(buf)
		if err != nil {
			return
		}
		if strings.HasPrefix(string(buf[:n]), ":1") && lost.Add(-1) == 0 {
			return
		}
		if lost.Load() < 0 {
			lost.Store(0)
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestFull: a server without memory refuses, and that is the store's word for it.
func TestFull(t *testing.T) {
	s := start(t, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
	st := s.open(t, 0, Options{})
	var err error
	for i := 0; err == nil && i < 200; i++ {
		err = st.Apply(t.Context(), "test", store.Put(fmt.Append(nil, i), make([]byte, 60<<10), 0))
	}
	if !errors.Is(err, store.ErrFull) {
		t.Errorf("%v", err)
	}
	// What is there can be read and deleted, and when there is room, or less of
	// everything else, writing goes on by itself.
	if values, err := st.Get(t.Context(), "test", []byte("0")); err != nil || len(values[0]) != 60<<10 {
		t.Errorf("reading: %d bytes, %v", len(values[0]), err)
	}
	if err := st.Apply(t.Context(), "test", store.Delete([]byte("0"))); err != nil {
		t.Errorf("deleting: %v", err)
	}
	s.say(t, "CONFIG SET maxmemory 0")
	if err := st.Apply(t.Context(), "test", put("later", "1")); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// TestSilent: a server that answers nothing holds nobody up beyond his own time, and
// when it answers again it is used again.
func TestSilent(t *testing.T) {
	s := start(t)
	st := s.open(t, 0, Options{Retry: 20 * time.Millisecond})
	if err := st.Apply(t.Context(), "test", put("a", "1")); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	if _, err := st.Get(short(), "test", []byte("a")); err == nil {
		t.Error("read from a server that says nothing")
	}
	if err := st.Apply(short(), "test", put("b", "1")); err == nil {
		t.Error("applied on a server that says nothing")
	}
	if err := st.Post("test", put("c", "1")); err != nil {
		t.Errorf("what is posted does not wait: %v", err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := st.Apply(t.Context(), "test"); err != nil { // in its order: all before is stored
		t.Error(err)
	}
	holds(t, st, "a", "1")
	holds(t, st, "c", "1")
}

// TestBusy: what waits is bounded.
func TestBusy(t *testing.T) {
	st, err := Open("redis+unix:///nowhere/socket", Options{QueueBytes: 10 << 10, Retry: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; err == nil && i < 1000; i++ {
		err = st.Post("test", put(fmt.Sprint(i), strings.Repeat("x", 100)))
	}
	if !errors.Is(err, store.ErrBusy) || st.Stats().Refused != 1 {
		t.Errorf("%v, %+v", err, st.Stats())
	}
	if err := st.Close(t.Context()); err == nil {
		t.Error("closed without a word about what is lost")
	}
}

// TestPassword: by file, and never shown.
func TestPassword(t *testing.T) {
	s := start(t, "--requirepass", "hunter2")
	file := filepath.Join(s.dir, "password")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good, err := Open("redis+unix://"+s.socket+"?password_file="+file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close(context.Background())
	if err := good.Apply(t.Context(), "test", put("a", "1")); err != nil {
		t.Error(err)
	}
	bad := s.open(t, 0, Options{})
	if err := bad.Apply(t.Context(), "test", put("a", "1")); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("%v", err)
	}
}

func TestParseURL(t *testing.T) {
	for address, want := range map[string]Server{
		"redis://mem.example":                               {Network: "tcp", Addresses: []string{"mem.example:6379"}},
		"redis://joe:secret@[2001:db8::1]:7000/3":           {Network: "tcp", Addresses: []string{"[2001:db8::1]:7000"}, DB: 3, Username: "joe", Password: "secret"},
		"redis://[2001:db8::1]/3":                           {Network: "tcp", Addresses: []string{"[2001:db8::1]:6379"}, DB: 3},
		"rediss://mem.example?prefix=mx":                    {Network: "tcp", Addresses: []string{"mem.example:6379"}, TLS: true, Prefix: "mx"},
		"redis+unix:///run/redis.sock?db=2":                 {Network: "unix", Addresses: []string{"/run/redis.sock"}, DB: 2},
		"redis+sentinel://a.example,b.example:1/mymaster/4": {Network: "tcp", Addresses: []string{"a.example:26379", "b.example:1"}, Master: "mymaster", DB: 4},
	} {
		if want.Prefix == "" {
			want.Prefix = DefaultPrefix
		}
		got, err := ParseURL(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
		} else if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("%s: %s", address, diff)
		}
	}
	for address, want := range map[string]string{
		"http://x":                              `"http" is no scheme`,
		"redis://":                              "no host",
		"redis://x/one":                         `"one" is no database`,
		"redis://x/-1":                          `"-1" is no database`,
		"redis+unix://x/y":                      "a unix socket is",
		"redis+sentinel://a,b":                  "the name of the server behind",
		"redis://x?prefix=a:b":                  "prefix",
		"redis://x?pasword_file=y":              `"pasword_file" is not known`,
		"redis://x?password_file=/nowhere/file": "no such file",
		"redis://joe:hunter2@x:port":            "cannot be read",
	} {
		_, err := ParseURL(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

// FuzzParseURL: an address is refused or names a server; the password is shown in
// no error.
func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"redis://a:b@c:1/2", "redis+sentinel://a,b/m", "redis+unix:///x?db=1", "rediss://[::1]", "redis://%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if strings.Contains(address, "password_file") {
			return // would read the machine's files
		}
		s, err := ParseURL(address)
		if (s == nil) == (err == nil) {
			t.Fatal("both or neither")
		}
		if err == nil && (len(s.Addresses) == 0 || s.Addresses[0] == "" || s.Prefix == "" || s.DB < 0) {
			t.Fatalf("%+v", s)
		}
		// The same behind a user, whose password ends in a word of its own, whatever
		// else is in it.
		const secret = "correcthorse"
		if scheme, rest, ok := strings.Cut(address, "://"); ok && !strings.Contains(rest, "prefix=") {
			if _, err := ParseURL(scheme + "://user:" + rest + secret + "@host"); err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%q shows a password: %v", address, err)
			}
		}
	})
}

// BenchmarkGet500 is what Bayes asks of a message: one round trip.
func BenchmarkGet500(b *testing.B) {
	s := start(b)
	st := s.open(b, 0, Options{})
	var keys [][]byte
	for i := range 20_000 {
		key := fmt.Appendf(nil, "token %d", i)
		if err := st.Post("bayes", store.Add(key, 0, 1, 2)); err != nil {
			if err := st.Apply(b.Context(), "bayes"); err != nil {
				b.Fatal(err)
			}
		}
		keys = append(keys, key)
	}
	if err := st.Apply(b.Context(), "bayes"); err != nil {
		b.Fatal(err)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		at := i * 500 % (len(keys) - 500)
		if _, err := st.Get(b.Context(), "bayes", keys[at:at+500]...); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
