package milter

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestParseAddr(t *testing.T) {
	long := "/" + strings.Repeat("x", 107)
	for s, want := range map[string]string{ // network address, or what the error says
		"unix:/run/milterd/milterd.sock": "unix /run/milterd/milterd.sock",
		"unix:milterd/milterd.sock":      "unix milterd/milterd.sock",
		"local:/run/x":                   "unix /run/x",
		"/run/x":                         "unix /run/x",
		"unix:" + long[:107]:             "unix " + long[:107],
		"inet:8890@127.0.0.1":            "tcp 127.0.0.1:8890",
		"inet:8890@localhost":            "tcp localhost:8890",
		"inet:8890@::1":                  "tcp [::1]:8890",
		"inet:127.0.0.1:8890":            "tcp 127.0.0.1:8890",
		"inet:[::1]:8890":                "tcp [::1]:8890",
		"inet:0.0.0.0:1":                 "tcp 0.0.0.0:1",
		"inet6:8890@::1":                 "tcp6 [::1]:8890",
		"inet6:8890@[::1]":               "tcp6 [::1]:8890",
		"inet6:[::]:8890":                "tcp6 [::]:8890",
		"tcp://mx.example.org:8890":      "tcp mx.example.org:8890",
		"inet:127.0.0.1:08890":           "tcp 127.0.0.1:8890",
		"":                               "expected unix:PATH",
		"milterd.sock":                   "expected unix:PATH",
		"unix:":                          "the path is missing",
		"unix:@abstract":                 "abstract",
		"unix:" + long:                   "108 bytes",
		long:                             "108 bytes",
		"unix:/run/x\n":                  "control character",
		"unix:/run/\x00x":                "control character",
		"inet:8890":                      "HOST:PORT",
		"inet:8890@":                     "host is missing",
		"inet::8890":                     "host is missing",
		"tcp://:8890":                    "host is missing",
		"inet:localhost":                 "HOST:PORT",
		"inet:::1:8890":                  "HOST:PORT",
		"inet:127.0.0.1:http":            "no port number",
		"inet:127.0.0.1:65536":           "no port number",
		"inet:-1@127.0.0.1":              "no port number",
		"inet6:8890@127.0.0.1":           "no IPv6 address",
		"inet:8890@a b":                  "no host",
		"inet:0@@":                       "no host",
		"inet:0@fe80::1%a@b":             "no host",
		"inet:0@fe80::1%eth0":            "tcp [fe80::1%eth0]:0",
		"tcp:127.0.0.1:8890":             "none of unix",
		"http://x":                       "none of unix",
	} {
		a, err := ParseAddr(s)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, expected %q", s, err, want)
			}
			continue
		}
		if got := a.Network + " " + a.Address; got != want {
			t.Errorf("%q: %s, expected %s", s, got, want)
		}
		if again, err := ParseAddr(a.String()); err != nil || again != a {
			t.Errorf("%q: %s is read as %v, %v", s, a, again, err)
		}
	}
}

func FuzzParseAddr(f *testing.F) {
	f.Add("inet:8890@127.0.0.1")
	f.Add("unix:/x")
	f.Add("inet6:[::1]:25")
	f.Add("inet:0@fe80::1%a@")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddr(s)
		if err != nil {
			return
		}
		if again, err := ParseAddr(a.String()); err != nil || again != a {
			t.Fatalf("%q: %s is read as %v, %v", s, a, again, err)
		}
	})
}

func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestListenUnix(t *testing.T) {
	path := socketPath(t)
	addr := Addr{"unix", path}
	l, err := Listen(t.Context(), addr, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(t.Context(), addr, ListenOptions{}); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("second listener: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after closing: %v", err)
	}
	if err := l.Close(); err == nil {
		t.Error("closed twice without a word")
	}

	// What a process that was killed leaves behind.
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	group := strconv.Itoa(os.Getgid())
	l, err = Listen(t.Context(), addr, ListenOptions{Mode: 0o600, Group: group})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	// A socket that is not ours any more stays.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	l.Close()
	if nc, err := net.Dial("unix", path); err != nil {
		t.Errorf("closing took another's socket away: %v", err)
	} else {
		nc.Close()
	}
}

func TestListenRefuses(t *testing.T) {
	path := socketPath(t)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		addr  Addr
		group string
		says  string
	}{
		{Addr{"unix", path}, "", "no socket is there already"},
		{Addr{"unix", filepath.Dir(path)}, "", "no socket is there already"},
		{Addr{"unix", path + "d/s"}, "", filepath.Base(path) + "d: no such file or directory"},
		{Addr{"unix", path + "/s"}, "", "not a directory"},
		{Addr{"unix", path + strings.Repeat("x", 107)}, "", "a socket's may have 107"},
		{Addr{"unix", path + "2"}, "no-such-group-here", "no-such-group-here"},
		{Addr{"tcp", "192.0.2.1:1"}, "", "192.0.2.1:1"},
	} {
		l, err := Listen(t.Context(), test.addr, ListenOptions{Group: test.group})
		if err == nil {
			l.Close()
			t.Errorf("%v: no error", test.addr)
		} else if !strings.Contains(err.Error(), test.says) {
			t.Errorf("%v: %v, expected %q", test.addr, err, test.says)
		}
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Error("the file was touched")
	}
}

func TestListenTCP(t *testing.T) {
	l, err := Listen(t.Context(), Addr{"tcp", "127.0.0.1:0"}, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, ok := l.Addr().(*net.TCPAddr); !ok {
		t.Error(l.Addr())
	}
}

func TestInherited(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for _, getenv := range []func(string) string{env(), env("LISTEN_FDS", "1"), env("LISTEN_FDS", "1", "LISTEN_PID", "2")} {
		if l, err := inherited(getenv, 1, 3); l != nil || err != nil {
			t.Errorf("%v %v", l, err)
		}
	}
	for _, n := range []string{"x", "-1", "65"} {
		if _, err := inherited(env("LISTEN_FDS", n, "LISTEN_PID", "1"), 1, 3); err == nil {
			t.Errorf("LISTEN_FDS=%s: no error", n)
		}
	}

	path := socketPath(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// The descriptors of a service manager: consecutive, beginning at first.
	first := inheritDescriptor(t, l.(*net.UnixListener))
	got, err := inherited(env("LISTEN_FDS", "1", "LISTEN_PID", "1", "LISTEN_FDNAMES", "milter:other"), 1, first)
	if err != nil || len(got) != 1 || got[0].Name != "milter" {
		t.Fatalf("%v, %v", got, err)
	}
	defer got[0].Close()
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	accepted, err := got[0].Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	if _, err := inherited(env("LISTEN_FDS", "1", "LISTEN_PID", "1"), 1, dupDescriptor(t, int(r.Fd()))); err == nil {
		t.Error("a pipe passes for a socket")
	}
}

// inheritDescriptor gives a descriptor of the listener that nobody else owns.
func inheritDescriptor(t *testing.T, l *net.UnixListener) int {
	t.Helper()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return dupDescriptor(t, int(f.Fd()))
}

func dupDescriptor(t *testing.T, fd int) int {
	t.Helper()
	copied, err := syscall.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	return copied
}
