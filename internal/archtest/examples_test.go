package archtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"milterd/internal/dns/zone"
)

// consoleBlock is an example that is tried: commands after "$ ", and what they print.
var consoleBlock = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

// gtube stands in no file, which a mail filter on the way would refuse.
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// TestExamples runs the console examples of the documents, each document in a copy of
// testdata/<its name>, with the binary of MILTERD_BIN or one that it builds. What an
// example prints must be what stands there; "..." stands for anything.
func TestExamples(t *testing.T) {
	binary := binary(t)
	for _, name := range []string{"commands", "rules", "configuration"} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t, binary, name)
			if name == "commands" {
				s.serve()
			}
			blocks := consoleBlock.FindAllStringSubmatch(readDocument(t, "docs/"+name+".md"), -1)
			if len(blocks) == 0 {
				t.Fatal("no examples in it")
			}
			for _, b := range blocks {
				s.block(b[1])
			}
		})
	}
}

func binary(t *testing.T) string {
	if path := os.Getenv("MILTERD_BIN"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "milterd")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, root+"/cmd/milterd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// A sandbox is a directory with a configuration, and a daemon where one is wanted.
type sandbox struct {
	t    *testing.T
	dir  string
	env  []string
	http string // of the daemon
	last int    // exit code of the last command
}

func newSandbox(t *testing.T, binary, name string) *sandbox {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "m") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.CopyFS(dir, os.DirFS("testdata/"+name)); err != nil {
		t.Fatal(err)
	}
	s := &sandbox{t: t, dir: dir}
	if hello, err := os.ReadFile(filepath.Join(dir, "hello.eml")); err == nil {
		spam := strings.NewReplacer("hello@", "gtube@", "See you there.", gtube).Replace(string(hello))
		if err := os.WriteFile(filepath.Join(dir, "gtube.eml"), []byte(spam), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(abs(t, binary), filepath.Join(bin, "milterd")); err != nil {
		t.Fatal(err)
	}
	s.env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "TZ=UTC",
		"MILTERD_CONFIG=milterd.yaml", "MILTERD_DNS_SERVERS=[" + s.names() + "]", "MILTERD_HTTP=off",
	}
	return s
}

func abs(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// names serves zone.txt, if there is one, and nothing else in the world.
func (s *sandbox) names() string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "zone.txt"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	records, err := zone.Parse(string(text))
	if err != nil {
		s.t.Fatal(err)
	}
	z, err := zone.New(records)
	if err != nil {
		s.t.Fatal(err)
	}
	server, err := zone.Serve(z.Handle)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { server.Close() })
	return fmt.Sprintf("%q", server.Addr())
}

// serve runs the daemon of the sandbox until the test ends.
func (s *sandbox) serve() {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.http = l.Addr().String()
	l.Close()
	var log bytes.Buffer
	cmd := exec.Command(filepath.Join(s.dir, "bin/milterd"), "serve", "--allow-root")
	cmd.Dir, cmd.Env, cmd.Stderr = s.dir, append(s.env[:len(s.env):len(s.env)], "MILTERD_HTTP="+s.http), &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || s.t.Failed() {
			s.t.Errorf("serve: %v\n%s", err, log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + s.http + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the daemon does not get ready: %v\n%s", err, log.String())
		}
	}
}

// block tries the commands of one example.
func (s *sandbox) block(text string) {
	var command string
	var want []string
	try := func() {
		if command != "" {
			s.command(command, want)
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if next, ok := strings.CutPrefix(line, "$ "); ok {
			try()
			command, want = next, nil
			continue
		}
		want = append(want, line)
	}
	try()
}

func (s *sandbox) command(command string, want []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf("(exit %d); %s", s.last, command))
	cmd.Dir, cmd.Env = s.dir, s.env
	out, _ := cmd.CombinedOutput()
	s.last = cmd.ProcessState.ExitCode()
	if !printed(want).Match(out) {
		s.t.Errorf("$ %s\n%s\nthe document says\n%s", command, out, strings.Join(want, "\n"))
	}
}

// printed makes an expression of lines: a line of "..." is any lines or none, "..."
// in a line is anything in that line, blanks around it included.
func printed(want []string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`^`)
	for _, line := range want {
		if line == "..." {
			b.WriteString(`(?:.*\n)*`)
			continue
		}
		quoted := regexp.QuoteMeta(strings.TrimRight(line, " "))
		b.WriteString(regexp.MustCompile(` *\\\.\\\.\\\. *`).ReplaceAllString(quoted, `.*`) + ` *\n`)
	}
	return regexp.MustCompile(b.String() + `$`)
}

func TestPrinted(t *testing.T) {
	for _, c := range []struct {
		want, got string
		matches   bool
	}{
		{"a\nb", "a\nb\n", true},
		{"a\nb", "a\nb\nc\n", false},
		{"a\n...", "a\nb\nc\n", true},
		{"a\n...", "a\n", true},
		{"a\n...\nd", "a\nb\nc\nd\n", true},
		{"a\n...\nd", "a\nb\nc\n", false},
		{"id ... end", "id k7q2 end\n", true},
		{"id ... end", "id k7q2\nend\n", false},
		{"", "", true},
		{"", "a\n", false},
	} {
		var want []string
		if c.want != "" {
			want = strings.Split(c.want, "\n")
		}
		if got := printed(want).MatchString(c.got); got != c.matches {
			t.Errorf("%q against %q: %v, expected %v", c.got, c.want, got, c.matches)
		}
	}
}

// TestMetricsAreFound compares what a running daemon exposes with the metrics that
// were found in the code, and tries the other two pages.
func TestMetricsAreFound(t *testing.T) {
	s := newSandbox(t, binary(t), "commands")
	s.serve()
	s.command("milterd send --rcpt bob@example.org hello.eml", []string{"..."})
	known := map[string]metric{}
	for _, m := range metrics(t) {
		known[m.name] = m
	}
	seen := 0
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (milterd_\S+) (\S+)$`).FindAllStringSubmatch(s.page("/metrics"), -1) {
		seen++
		if known[m[1]].kind != m[2] {
			t.Errorf("the daemon exposes %s, a %s; the code has %+v", m[1], m[2], known[m[1]])
		}
	}
	if seen < 15 {
		t.Errorf("only %d metrics exposed", seen)
	}
	if got := s.page("/healthz"); got != "ok\n" {
		t.Errorf("/healthz: %q", got)
	}
	if got := s.page("/readyz"); got != "ready\n" {
		t.Errorf("/readyz: %q", got)
	}
}

func (s *sandbox) page(path string) string {
	s.t.Helper()
	resp, err := http.Get("http://" + s.http + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}
