package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"milterd/checks/all"
	"milterd/internal/config"
	"milterd/milter"
)

// The tests of this file need a process of their own: they change its user or
// hand it descriptors. The test binary is that process, when the environment
// says so.
const (
	childDir  = "MILTERD_TEST_CHILD" // directory of milterd.yaml
	childUser = "MILTERD_TEST_USER"  // Options.User
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

// child is a daemon that tells on standard output when it serves, and who it is.
func child(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := Run(ctx, Options{
		Load: func() (*config.Config, error) {
			return config.Load(filepath.Join(dir, "milterd.yaml"), config.Options{Checks: all.Names(), Environ: os.Environ()})
		},
		User: os.Getenv(childUser), Version: "test", Stderr: os.Stderr,
		Ready: func(string) {
			fmt.Println("ready", identity())
		},
	}, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// identity is what the kernel says of all threads of this process, if it is the
// same for all.
func identity() string {
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(tasks) < 2 {
		return fmt.Sprint("threads: ", len(tasks), err)
	}
	seen := ""
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		var who strings.Builder
		for line := range strings.Lines(string(text)) {
			if key, value, _ := strings.Cut(line, ":"); key == "Uid" || key == "Gid" || key == "Groups" || key == "CapEff" {
				fmt.Fprintf(&who, "%s=%s ", key, strings.Join(strings.Fields(value), ","))
			}
		}
		if seen != "" && seen != who.String() {
			return "threads differ: " + seen + " and " + who.String()
		}
		seen = who.String()
	}
	return strings.TrimSpace(seen)
}

// childHouse starts a daemon in a process of its own and returns what it says
// when it serves.
func childHouse(t *testing.T, prepare func(*exec.Cmd), environ ...string) (h *house, says string, end func()) {
	t.Helper()
	h = newHouse(t, "http: off\n")
	if err := os.Chmod(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The shell tells LISTEN_PID, which nobody knows before; then it is the daemon.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, self)
	cmd.Env = append(os.Environ(), append(environ, "GORACE=atexit_sleep_ms=0", childDir+"="+h.dir,
		fmt.Sprintf("MILTERD_DNS_SERVERS=[%q]", h.names.Addr()), "MILTERD_SPOOL="+h.dir, "MILTERD_JOURNAL_PATH="+h.path("milterd-state/verdicts"), "MILTERD_STORE=bolt:"+h.path("milterd-state/state.db"),
		"MILTERD_LISTEN=[unix:"+h.path("milterd-run/m.sock")+"]", "MILTERD_CONTROL=unix:"+h.path("milterd-run/c.sock"))...)
	cmd.Stderr = h.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		cmd.Wait()
		t.Fatalf("the daemon does not start:\n%s", h.log)
	}
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the daemon ends with %v\n%s", err, h.log)
		}
	}
	t.Cleanup(end)
	return h, strings.TrimPrefix(lines.Text(), "ready "), end
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root may become another user; run the tests as root")
	}
}

// TestBecomeUser: started by root with --user the daemon opens its sockets, gives
// up everything, and can still do all of its work.
func TestBecomeUser(t *testing.T) {
	needRoot(t)
	u, err := user.Lookup("daemon")
	if err != nil {
		t.Skipf("SKIPPED: no user daemon on this host: %v", err)
	}
	h, says, end := childHouse(t, nil, childUser+"=daemon")
	four := func(id string) string { return strings.Join([]string{id, id, id, id}, ",") }
	if want := fmt.Sprintf("Uid=%s Gid=%s Groups=%s CapEff=0000000000000000", four(u.Uid), four(u.Gid), u.Gid); says != want {
		t.Errorf("the daemon is %s, want %s", says, want)
	}
	client, err := connect(t.Context(), h.path("milterd-run/m.sock"))
	if err != nil {
		t.Fatal(err)
	}
	h.send(client, "4bHam", ham)
	if err := client.Quit(t.Context()); err != nil {
		t.Error(err)
	}
	owner := func(path string) (uid, gid string, mode fs.FileMode) {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		return strconv.Itoa(int(stat.Uid)), strconv.Itoa(int(stat.Gid)), info.Mode()
	}
	if uid, gid, mode := owner(h.path("milterd-run/c.sock")); uid != u.Uid || gid != u.Gid || mode.Perm() != 0o660 {
		t.Errorf("control socket: %s:%s %v; it is no business of Postfix", uid, gid, mode)
	}
	if uid, _, mode := owner(h.path("milterd-run")); uid != u.Uid || mode.Perm()&0o007 != 0 && hasPostfix() {
		t.Errorf("directory of the sockets: %s %v", uid, mode)
	}
	if uid, gid, mode := owner(h.path("milterd-state/id.key")); uid != u.Uid || gid != u.Gid || mode.Perm() != 0o600 {
		t.Errorf("id.key: %s:%s %v", uid, gid, mode)
	}
	for _, path := range []string{"milterd-state", "milterd-state/state.db"} {
		if uid, gid, mode := owner(h.path(path)); uid != u.Uid || gid != u.Gid || mode.Perm()&0o007 != 0 {
			t.Errorf("%s: %s:%s %v", path, uid, gid, mode)
		}
	}
	end()
	if left, _ := filepath.Glob(h.path("milterd-run/*")); len(left) != 0 {
		t.Errorf("sockets left: %v", left)
	}
	if files, _ := filepath.Glob(h.path("milterd-state/verdicts/*.jsonl")); len(files) != 1 {
		t.Errorf("journal: %v\n%s", files, h.log)
	}
	if n := h.log.count("level=WARN") + h.log.count("level=ERROR"); n != 0 {
		t.Errorf("%d complaints:\n%s", n, h.log)
	}
}

func hasPostfix() bool {
	_, err := user.LookupGroup(postfixGroup)
	return err == nil
}

// TestInherited: sockets that the service manager opened take the place of those
// of the configuration.
func TestInherited(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h, _, _ := childHouse(t, func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{file} }, "LISTEN_FDS=1")
	client, err := milter.Dial(t.Context(), milter.Addr{Network: "tcp", Address: l.Addr().String()}, milter.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Greet(t.Context(), stranger("192.0.2.10", "mail.sender.example")); err != nil {
		t.Fatal(err)
	}
	h.send(client, "4bHam", ham)
	if _, err := os.Stat(h.path("milterd-run/m.sock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the configured socket is there as well: %v", err)
	}
}

// TestHandOver: what the unprivileged user may have put in the place of one of
// its directories is not given to it when root comes by again.
func TestHandOver(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "milterd")
	target := filepath.Join(t.TempDir(), "milterd-secrets")
	for _, d := range []string{dir, target} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "verdicts")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	made := filepath.Join(t.TempDir(), "srv/mail/verdicts") // where the operator wants it, under any name
	if err := handOver(1, 1, link, elsewhere, filepath.Join(dir, "a/b"), made); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(elsewhere, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := handOver(1, 1, file); err == nil {
		t.Error("a file passes for a directory")
	}
	for path, want := range map[string]uint32{target: 0, elsewhere: 0, file: 0, filepath.Join(dir, "a/b"): 1, made: 1, filepath.Dir(made): 1} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != want {
			t.Errorf("%s belongs to %d, want %d", path, uid, want)
		}
	}
}

// TestSocketDir: made where it is missing, so that Postfix alone gets in; one
// that is there is as the operator wants it.
func TestSocketDir(t *testing.T) {
	there := t.TempDir()
	if err := os.Chmod(there, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := socketDir(there); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(there); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	made := filepath.Join(t.TempDir(), "a", "milterd")
	if err := socketDir(made); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(made)
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroup(postfixGroup)
	if os.Geteuid() == 0 && err == nil {
		if gid := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Gid)); gid != group.Gid || info.Mode() != fs.ModeDir|fs.ModeSetgid|0o750 {
			t.Errorf("group %s, %v", gid, info.Mode())
		}
	} else {
		t.Logf("not root, or no Postfix on this host (%v): the group is not looked at", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := socketDir(filepath.Join(file, "x")); err == nil {
		t.Error("below a file")
	}
}
