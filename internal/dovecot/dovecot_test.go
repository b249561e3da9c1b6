package dovecot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// captured is what Dovecot 2.3 sends when a message is moved to Junk.
const captured = "VERSION\tscript\t4\t0\nenv_USER=bob@example.test\nenv_HOME=/var/mail/bob\nenv_HOST=mx\n-\nspam\nbob@example.test\nAPPEND\n\n" +
	"Return-Path: <x@y.test>\nSubject: x\n\nhello\n"

func TestReadRequest(t *testing.T) {
	q, err := ReadRequest(strings.NewReader(captured))
	if err != nil {
		t.Fatal(err)
	}
	message, err := io.ReadAll(q.Message)
	if err != nil || !strings.HasPrefix(string(message), "Return-Path: <x@y.test>\n") || !strings.HasSuffix(string(message), "\nhello\n") {
		t.Errorf("%q, %v", message, err)
	}
	if fmt.Sprint(q.Args) != "[spam bob@example.test APPEND]" || q.Env["USER"] != "bob@example.test" || q.Env["HOST"] != "mx" {
		t.Errorf("%q %q", q.Args, q.Env)
	}
	q, err = ReadRequest(strings.NewReader("VERSION\tscript\t4\t1\nalarm=10\nenv_SENDER=\nenv_X=a\x01tb\x01nc\x011d\x01\n-\n\x010\n\n"))
	if err != nil || q.Env["X"] != "a\tb\nc\x01d\x01" || q.Args[0] != "\x00" {
		t.Errorf("%+v, %v", q, err)
	}
	for name, text := range map[string]string{
		"nothing":            "",
		"another protocol":   "GET / HTTP/1.1\n\n",
		"another version":    "VERSION\tscript\t5\t0\n-\n\n",
		"an end in the head": "VERSION\tscript\t4\t0\nenv_A=b\n",
		"a long line":        "VERSION\tscript\t4\t0\nenv_A=" + strings.Repeat("x", maxLine) + "\n-\n\n",
		"many lines":         "VERSION\tscript\t4\t0\n-\n" + strings.Repeat("a\n", maxLines) + "\n",
	} {
		if q, err := ReadRequest(strings.NewReader(text)); !errors.Is(err, ErrProtocol) || q != nil {
			t.Errorf("%s: %+v, %v", name, q, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	for want, a := range map[string]Answer{"+\n": {OK: true}, "-\n": {}, "SPAM\n+\n": {Text: "SPAM", OK: true}, "a\nb\n+\n": {Text: "a\nb\n", OK: true}} {
		var b strings.Builder
		if n, err := a.WriteTo(&b); err != nil || b.String() != want || int(n) != len(want) {
			t.Errorf("%q, want %q", b.String(), want)
		}
	}
}

// serve runs a server; end stops it and waits for it.
func serve(t *testing.T, s *Server) (socket string, end func()) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "d") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	end = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(end)
	return socket, end
}

// call sends text, half closes, and returns the answer.
func call(t *testing.T, socket, text string) string {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestServer(t *testing.T) {
	socket, _ := serve(t, &Server{MaxMessage: 1 << 10, Handler: func(_ context.Context, p Peer, q *Request) Answer {
		if int(p.UID) != os.Getuid() || int(p.PID) != os.Getpid() {
			t.Errorf("%+v", p)
		}
		switch q.Args[0] {
		case "panic":
			panic("handler")
		case "unread":
			return Answer{Text: "unread", OK: true}
		}
		text, err := io.ReadAll(q.Message)
		return Answer{Text: fmt.Sprint(len(text), " ", err), OK: err == nil}
	}})
	head := "VERSION\tscript\t4\t0\n-\n"
	var all sync.WaitGroup
	for text, want := range map[string]string{
		head + "x\n\nhello\n": "6 <nil>\n+\n",
		head + "x\n\n":        "0 <nil>\n+\n",
		head + "x\n\n" + strings.Repeat("x", 1<<10):           "1024 <nil>\n+\n",
		head + "x\n\n" + strings.Repeat("x", 1<<10+1):         "1024 dovecot: the message is too large\n-\n",
		head + "unread\n\n" + strings.Repeat("hello\n", 1000): "unread\n+\n",
		head + "panic\n\nhello":                               "-\n",
		"EHLO x\n":                                            "-\n",
	} {
		all.Go(func() {
			if got := call(t, socket, text); got != want {
				t.Errorf("%.40q: got %q, want %q", text, got, want)
			}
		})
	}
	all.Wait()
}

// TestEnd: the server ends although somebody is silent, and nobody is left over.
func TestEnd(t *testing.T) {
	called := make(chan struct{})
	socket, end := serve(t, &Server{Timeout: time.Hour, Handler: func(_ context.Context, _ Peer, q *Request) Answer {
		close(called)
		_, err := io.ReadAll(q.Message)
		return Answer{OK: err == nil}
	}})
	silent, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	slow, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := io.WriteString(slow, "VERSION\tscript\t4\t0\n-\n\nbegun"); err != nil {
		t.Fatal(err)
	}
	<-called
	end()
	answer, _ := io.ReadAll(slow)
	if string(answer) == "+\n" {
		t.Error("half a message was taken for a whole one")
	}
}

// FuzzReadRequest: no head makes more than its lines, and what is written reads
// back.
func FuzzReadRequest(f *testing.F) {
	f.Add([]byte(captured))
	f.Add([]byte("VERSION\tscript\t4\t0\n-\n\n"))
	f.Add([]byte("VERSION\tscript\t4\t0\nenv_=\x01\n-\n\x01\n\x01\x01\n\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		q, err := ReadRequest(strings.NewReader(string(text)))
		if err != nil {
			return
		}
		rest, err := io.ReadAll(q.Message)
		if err != nil || !strings.HasSuffix(string(text), string(rest)) {
			t.Fatalf("%q, %v: not what the text ends with", rest, err)
		}
		var again strings.Builder
		again.WriteString("VERSION\tscript\t4\t0\n")
		for name, value := range q.Env {
			again.WriteString("env_" + name + "=" + escape(value) + "\n")
		}
		again.WriteString("-\n")
		for _, a := range q.Args {
			again.WriteString(escape(a) + "\n")
		}
		for line := range strings.Lines(again.String()) {
			if len(line) > maxLine {
				return // a line that was short enough before its control characters were escaped
			}
		}
		p, err := ReadRequest(strings.NewReader(again.String() + "\n"))
		if err != nil || len(p.Args) != len(q.Args) || fmt.Sprint(p.Env) != fmt.Sprint(q.Env) || fmt.Sprint(p.Args) != fmt.Sprint(q.Args) {
			t.Fatalf("%+v, then %+v, %v", q, p, err)
		}
	})
}

// escape writes text as Dovecot does.
func escape(s string) string {
	return strings.NewReplacer("\x01", "\x011", "\x00", "\x010", "\t", "\x01t", "\r", "\x01r", "\n", "\x01n").Replace(s)
}
