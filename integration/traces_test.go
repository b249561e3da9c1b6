package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// traced are the system calls by which a process starts another one, listens, or
// opens a file.
const traced = "execve,execveat,fork,vfork,clone,clone3,bind,listen,open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,symlink,symlinkat,link,linkat"

// readable is what milterd may read beside its own files: how the host resolves names
// and users, what time it is there, and what the kernel says of the machine.
var readable = []string{"/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/localtime", "/etc/ssl/", "/etc/services",
	"/etc/protocols", "/etc/host.conf", "/usr/share/zoneinfo", "/proc/", "/sys/", "/dev/null", "/dev/urandom"}

// TestTrace watches the system calls of a daemon from its start to its end, with
// messages through it: it starts no process, listens where the configuration says and
// nowhere else, and touches no file but its own.
func TestTrace(t *testing.T) {
	t.Parallel()
	b := testBed(t)
	strace, err := exec.LookPath("strace")
	if err != nil {
		skipLoudly(t, "the daemon's system calls: strace is not installed")
	}
	if out, err := exec.Command(strace, "-D", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		// No test of ours may fail because a container forbids ptrace.
		what := fmt.Sprintf("*** NOT TESTED: the daemon's system calls: strace may not look here: %v %s ***", err, out)
		fmt.Fprintln(os.Stderr, what)
		t.Skip(what)
	}
	if err := buildOnce(within(t)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	trace, script := filepath.Join(dir, "trace"), filepath.Join(dir, "milterd")
	// With -D the daemon is our child and strace its grandchild, so signals arrive.
	text := fmt.Sprintf("#!/bin/sh\nexec %s -D -f -q -s 256 -e trace=%s -e signal=none -o %s %s \"$@\"\n", strace, traced, trace, shared.binary)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := b.StartDaemon(within(t), script, DaemonConfig{Name: "trace", DNS: []string{shared.names.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, "trace", stranger)
	for _, body := range []string{"hello", gtube, strings.Repeat("a long line of a long message\n", 100_000)} {
		m := newMail(t, body)
		r := send(t, c, m)
		check(t, r.Code == 250 || r.Code == 554, "got %v", r)
	}
	c.Quit()
	if _, err := d.Reload(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	calls := readTrace(t, within(t), trace)
	listening, execs := 0, 0
	for _, call := range calls {
		name, _, _ := strings.Cut(call, "(")
		switch name {
		case "execve", "execveat":
			execs++
			check(t, strings.Contains(call, shared.binary), "a program is started: %s", call)
		case "fork", "vfork":
			t.Errorf("a process is started: %s", call)
		case "clone", "clone3":
			check(t, strings.Contains(call, "CLONE_THREAD"), "a process is started: %s", call)
		case "listen":
			listening++
		case "bind":
			check(t, boundWhere(call, d), "a socket is bound that is not in the configuration: %s", call)
		default:
			check(t, touchesOwn(call, d), "a file is touched that is none of milterd's: %s", call)
		}
	}
	check(t, execs == 1, "%d programs started, expected milterd alone", execs)
	check(t, listening == 3, "%d listening sockets, expected those of listen, control and http", listening)
	check(t, len(calls) > 20, "only %d system calls seen; nothing is proved", len(calls))
}

// readTrace returns the calls that strace saw, once it has written the last. Calls that
// were cut in two by another thread's are put together.
func readTrace(t *testing.T, ctx context.Context, path string) (calls []string) {
	t.Helper()
	var text []byte
	for !strings.Contains(string(text), "+++ exited with 0 +++") {
		var err error
		if text, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the trace has no end:\n%s", text[max(0, len(text)-1000):])
		case <-time.After(10 * time.Millisecond): // another process writes it
		}
	}
	begun := map[string]string{}
	for line := range strings.Lines(string(text)) {
		pid, call, _ := strings.Cut(strings.TrimSpace(line), " ")
		call = strings.TrimSpace(call)
		switch {
		case strings.HasPrefix(call, "+++"), strings.HasPrefix(call, "---"):
		case strings.HasSuffix(call, "<unfinished ...>"):
			begun[pid] = strings.TrimSuffix(call, "<unfinished ...>")
		case strings.HasPrefix(call, "<..."):
			_, rest, _ := strings.Cut(call, "resumed>")
			calls = append(calls, begun[pid]+rest)
			delete(begun, pid)
		default:
			calls = append(calls, call)
		}
	}
	return calls
}

// boundWhere reports whether a socket is bound to an address of the configuration. Go
// asks at the start what the kernel can do, by sockets with port 0 that never listen.
func boundWhere(call string, d *Daemon) bool {
	_, port, _ := strings.Cut(d.http.Addr(), ":")
	for _, own := range []string{fmt.Sprintf("sun_path=%q", d.Socket()), fmt.Sprintf("sun_path=%q", filepath.Join(d.dir, "state/control.sock")),
		"sin_port=htons(" + port + ")", "sin_port=htons(0)", "sin6_port=htons(0)"} {
		if strings.Contains(call, own) {
			return true
		}
	}
	return false
}

var (
	quotedPath = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
	writing    = regexp.MustCompile(`O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|^(?:creat|rename|unlink|symlink|link)`)
)

// touchesOwn reports whether every path of a call is milterd's: to write only below its
// state directory, its spool, and its socket's name.
func touchesOwn(call string, d *Daemon) bool {
	may := []string{filepath.Join(d.dir, "state") + "/", d.Socket(), "/var/tmp/milterd", "/dev/null"}
	if !writing.MatchString(call) {
		may = slices.Concat(may, []string{d.dir, filepath.Dir(d.Socket()), shared.binary}, readable)
	}
	for _, m := range quotedPath.FindAllStringSubmatch(call, -1) {
		path := m[1]
		if !slices.ContainsFunc(may, func(prefix string) bool { return strings.HasPrefix(path, prefix) }) {
			return false
		}
	}
	return true
}
