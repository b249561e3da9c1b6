package clamav

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// eicar is the harmless file that every scanner finds, in two pieces so that none
// finds it here.
var eicar = []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-` + `STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`)

// realClamd starts a clamd of its own with a database of one line, and returns its
// socket as configured. Where none is installed the test is skipped.
func realClamd(tb testing.TB) string {
	tb.Helper()
	program, err := exec.LookPath("clamd")
	if err != nil {
		program = "/usr/sbin/clamd"
	}
	if _, err := os.Stat(program); err != nil {
		tb.Skip("NOT TESTED: clamd is not installed; integration/install.sh does it")
	}
	dir, err := os.MkdirTemp("/tmp", "m")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	for name, text := range map[string]string{
		"clamd.conf": "Foreground yes\nLocalSocket " + path + "\nDatabaseDirectory " + dir + "/db\nTemporaryDirectory " + dir +
			"\nStreamMaxLength 1M\nMaxThreads 10\nUser root\nExitOnOOM yes\n",
		"db/test.ndb": "Test.Eicar:0:*:" + hex.EncodeToString(eicar[:60]) + "\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			tb.Fatal(err)
		}
		if os.Getuid() != 0 {
			text = strings.ReplaceAll(text, "User root\n", "")
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-c", filepath.Join(dir, "clamd.conf"))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { defer close(exited); _ = cmd.Wait() }()
	tb.Cleanup(func() { cancel(); <-exited })
	for deadline := time.After(30 * time.Second); ; {
		if pong(path) {
			return "unix:" + path
		}
		select {
		case <-exited:
			tb.Fatalf("clamd has ended: %s", &log)
		case <-deadline:
			tb.Fatal("clamd does not listen")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func pong(path string) bool {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = conn.Write([]byte("zPING\x00"))
	reply, _ := io.ReadAll(conn)
	return string(reply) == "PONG\x00"
}

// impostor is a clamd that answers as it is told.
type impostor struct {
	socket string

	mu      sync.Mutex
	streams [][]byte // what it was given, whole or not
	replies []string // to one stream after the other; the last stays
}

// What an impostor may do instead of an answer.
const (
	hang    = "<hang>"   // say nothing until the other side goes
	drop    = "<drop>"   // close in the middle of the stream
	flood   = "<flood>"  // never stop to answer
	infect  = "<infect>" // find what the stream has in it
	garbage = "\x00\x00" // answer with zeros
	clean   = "stream: OK\x00"
)

func newImpostor(tb testing.TB, replies ...string) *impostor {
	tb.Helper()
	dir, err := os.MkdirTemp("/tmp", "m")
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	i := &impostor{socket: "unix:" + path, replies: replies}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				i.serve(conn)
			})
		}
	})
	tb.Cleanup(func() {
		l.Close()
		serving.Wait()
		os.RemoveAll(dir)
	})
	return i
}

func (i *impostor) next() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	reply := i.replies[0]
	if len(i.replies) > 1 {
		i.replies = i.replies[1:]
	}
	return reply
}

func (i *impostor) serve(conn net.Conn) {
	greeting := make([]byte, len(command))
	if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != command {
		return
	}
	reply := i.next()
	if reply == drop {
		_, _ = io.ReadFull(conn, make([]byte, 10))
		return
	}
	var stream []byte
	for {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(size[:])
		if n == 0 {
			break
		}
		chunk := make([]byte, n)
		if _, err := io.ReadFull(conn, chunk); err != nil {
			return
		}
		stream = append(stream, chunk...)
	}
	i.mu.Lock()
	i.streams = append(i.streams, stream)
	i.mu.Unlock()
	switch reply {
	case hang:
		_, _ = io.Copy(io.Discard, conn)
	case flood:
		for {
			if _, err := conn.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	case infect:
		if bytes.Contains(stream, eicar) {
			fmt.Fprint(conn, "stream: Test.Eicar.UNOFFICIAL FOUND\x00")
			return
		}
		fmt.Fprint(conn, clean)
	default:
		fmt.Fprint(conn, reply)
	}
}

// given returns how many streams there were to their end.
func (i *impostor) given() [][]byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.streams
}
