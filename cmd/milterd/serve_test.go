package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every wait; nothing waits that long unless it is broken.
const patience = 20 * time.Second

// log is standard error of a command that is still running.
type log struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // closed and replaced at every write
}

func newLog() *log { return &log{written: make(chan struct{})} }

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.written)
	l.written = make(chan struct{})
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns when s stands in the log.
func (l *log) wait(t *testing.T, s string) {
	t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		there, written := strings.Contains(l.text.String(), s), l.written
		l.mu.Unlock()
		if there {
			return
		}
		select {
		case <-written:
		case <-late:
			t.Fatalf("%q is not in the log:\n%s", s, l)
		}
	}
}

// serve runs "milterd serve" in this process until stop, which sends the signal
// that systemd would and returns the exit code.
func serve(t *testing.T, args ...string) (stderr *log, stop func() int) {
	t.Helper()
	stderr = newLog()
	ended := make(chan int, 1)
	go func() { ended <- run(append([]string{"serve"}, args...), nil, new(bytes.Buffer), stderr) }()
	stopped := false
	stop = func() int {
		if stopped {
			return 0
		}
		stopped = true
		syscall.Kill(os.Getpid(), syscall.SIGTERM)
		select {
		case code := <-ended:
			return code
		case <-time.After(patience):
			t.Fatalf("the daemon does not end:\n%s", stderr)
		}
		return -1
	}
	t.Cleanup(func() { stop() })
	stderr.wait(t, "milterd serves")
	return stderr, stop
}

// TestServe: a message from send to why, a reload by SIGHUP, the end by SIGTERM.
func TestServe(t *testing.T) {
	dir := site(t, "mode: observe\n")
	stderr, stop := serve(t, "--allow-root")
	path := put(t, dir, "spam.eml", gtube)
	send := []string{"send", "--socket", filepath.Join(dir, "m.sock"), "--from", "joe@sender.example", "--ip", "192.0.2.10", "--queue-id", "4bSERVE", path}
	want(t, exitOK, []string{"continue at eom\n"}, send...)

	put(t, dir, "milterd.yaml", "mode: enforce\n")
	syscall.Kill(os.Getpid(), syscall.SIGHUP)
	stderr.wait(t, "configuration reloaded")
	want(t, exitFindings, []string{"554 5.7.1 Message rejected as spam ("}, send...)

	put(t, dir, "milterd.yaml", "mode: loud\n")
	syscall.Kill(os.Getpid(), syscall.SIGHUP)
	stderr.wait(t, "reload refused")
	if !strings.Contains(stderr.String(), `problem="`+filepath.Join(dir, "milterd.yaml")+":1:7: mode: ") {
		t.Errorf("where is it?\n%s", stderr)
	}
	want(t, exitFindings, []string{"554 5.7.1"}, send...)
	put(t, dir, "milterd.yaml", "")

	if code := stop(); code != exitOK {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	want(t, exitUnavailable, []string{"m.sock"}, send...)
	code, stdout, _ := cmd(t, "", "why", "4bSERVE")
	if code != exitOK || strings.Count(stdout, "\nverdict ") != 3 || strings.Index(stdout, "verdict     reject") > strings.Index(stdout, "in mode enforce it would be reject") {
		t.Errorf("why: %d, the newest first?\n%s", code, stdout)
	}
}

// TestServeRefuses: who may not, cannot or should not be served.
func TestServeRefuses(t *testing.T) {
	dir := site(t, "")
	served := time.AfterFunc(patience, func() { syscall.Kill(os.Getpid(), syscall.SIGTERM) }) // so that one that serves after all fails, and does not hang
	defer served.Stop()
	if os.Geteuid() == 0 {
		want(t, exitPermission, []string{"refusing to run as root: give --user NAME"}, "serve")
	} else {
		t.Log("NOT TESTED: serve as root without --user (run the tests as root)")
	}
	want(t, exitUsage, []string{"nobody-of-that-name"}, "serve", "--user", "nobody-of-that-name")
	want(t, exitConfig, []string{"is not there"}, "serve", "--allow-root", "--config", "/nowhere.yaml")

	put(t, dir, "milterd.yaml", "mode: loud\nnonsense: 1\nlimits: {idle: 5}\n")
	want(t, exitConfig, []string{":1:7: mode: ", ":2:1: nonsense: ", ":3:16: limits.idle: ", "3 problem(s)"}, "serve", "--allow-root")
	put(t, dir, "milterd.yaml", "rules: [bad.yaml]\nchecks: {author: {mode: loud}, spf: {on_error: panic}}\n")
	put(t, dir, "bad.yaml", "rules:\n  - name: BAD\n    header: Subject\n    match: minutes\n    tests: {hit: [hours], miss: [days]}\n")
	want(t, exitConfig, []string{"bad.yaml:5:", ":2:25: checks.author.mode: ", ":2:48: checks.spf.on_error: ", "3 problem(s)"}, "serve", "--allow-root")

	put(t, dir, "milterd.yaml", "")
	put(t, dir, "conf.d/10.yaml", "listen: [nowhere]\n")
	want(t, exitConfig, []string{"1:10: listen[0]: "}, "serve", "--allow-root")
	put(t, dir, "conf.d/10.yaml", "listen: [unix:../milterd.yaml/x.sock]\n") // its directory is a file
	want(t, exitUnavailable, []string{"not a directory"}, "serve", "--allow-root")
}

// TestServeDemo: the demonstration without a play is a daemon like any other.
func TestServeDemo(t *testing.T) {
	_, stop := serve(t, "--demo")
	if code := stop(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// TestServeDemoPlay is the command that newcomers begin with.
func TestServeDemoPlay(t *testing.T) {
	code, stdout, stderr := cmd(t, "", "serve", "--demo", "--play")
	if code != exitOK || stderr != "" {
		t.Errorf("%d %s\n%s", code, stderr, stdout)
	}
	actions := map[string]int{}
	for _, row := range regexp.MustCompile(`(?m)^ +\d+  .*  -?\d+\.\d +(\w+)  `).FindAllStringSubmatch(stdout, -1) {
		actions[row[1]]++
	}
	if actions["accept"] < 5 || actions["junk"] < 1 || actions["tempfail"] < 1 || actions["reject"] < 3 || !strings.Contains(stdout, "metrics http://127.0.0.1:") {
		t.Errorf("%v\n%s", actions, stdout)
	}
}

// TestWhy: a stored verdict is found by each of its names, or it is said that
// there is none.
func TestWhy(t *testing.T) {
	dir := site(t, "")
	want(t, exitUnavailable, []string{"state/verdicts"}, "why", "4bWHY")
	_, stop := serve(t, "--allow-root")
	want(t, exitOK, nil, "send", "--from", "joe@sender.example", "--ip", "192.0.2.10", "--queue-id", "4bWHY", put(t, dir, "ham.eml", ham))
	stop()

	code, stdout, _ := cmd(t, "", "why", "4bWHY")
	for _, want := range []string{"message     id ", " queue 4bWHY message-id <ham@sender.example>\n", "verdict     accept, score ", "\nauth        spf=pass smtp.mailfrom=joe@sender.example\n",
		"SPF_PASS", "\nturning     ", " more points and it is junk; ", "subject     minutes\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if code != exitOK {
		t.Errorf("exit %d", code)
	}
	id := regexp.MustCompile(`id ([0-9a-z]{12}) `).FindStringSubmatch(stdout)[1]
	for _, key := range []string{id, "ham@sender.example", "<ham@sender.example>"} {
		if code, again, _ := cmd(t, "", "why", key); code != exitOK || again != stdout {
			t.Errorf("%s: %d\n%s", key, code, again)
		}
	}
	_, line, _ := cmd(t, "", "why", "--json", id)
	var record map[string]any
	if err := json.Unmarshal([]byte(line), &record); err != nil || record["qid"] != "4bWHY" || strings.Count(line, "\n") != 1 {
		t.Errorf("%v: %s", err, line)
	}
	want(t, exitFindings, []string{`no verdict on "4bNOBODY" in `, "kept for 30d"}, "why", "4bNOBODY")
	want(t, exitFindings, []string{`no verdict on ""`}, "why", "")
}

// TestWhyByDaemon: who may not read the journal may be allowed to ask the daemon.
func TestWhyByDaemon(t *testing.T) {
	dir := site(t, "")
	_, stop := serve(t, "--allow-root")
	want(t, exitOK, nil, "send", "--queue-id", "4bASK", put(t, dir, "ham.eml", ham))
	for _, open := range []string{".", "conf.d"} {
		if err := os.Chmod(filepath.Join(dir, open), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "state"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "state"), 0o700) })
	ask := func(key string) (code int, stdout, stderr string) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			if os.Geteuid() == 0 {
				unix.Setfsuid(65534)
			}
			code, stdout, stderr = cmd(t, "", "why", key)
		}()
		<-done
		return code, stdout, stderr
	}
	code, stdout, stderr := ask("4bASK")
	for late := time.Now().Add(patience); code == exitFindings && time.Now().Before(late); { // it is written off the path of the message
		code, stdout, stderr = ask("4bASK")
	}
	if code != exitOK || !strings.Contains(stdout, "queue 4bASK") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	if code, _, stderr := ask("4bNOBODY"); code != exitFindings || !strings.Contains(stderr, "no verdict") {
		t.Errorf("nobody: %d %s", code, stderr)
	}
	stop()
	if code, _, stderr := ask("4bASK"); code != exitUnavailable || !strings.Contains(stderr, "c.sock") {
		t.Errorf("without a daemon: %d %s", code, stderr)
	}
}
