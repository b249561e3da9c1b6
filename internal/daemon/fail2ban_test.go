package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"milterd/milter"
)

const jailFilter = "../../deploy/fail2ban/milterd.conf"

// TestFail2ban: the filter names the client of a refusal for good, out of the log as it
// is written, and nobody else, whatever a sender writes into his HELO.
func TestFail2ban(t *testing.T) {
	filter := failRegexp(t)
	h := start(t, "")
	honest := h.dial()
	h.send(honest, "4bHam", ham)
	h.send(honest, "4bSpam", spam)
	forger, err := milter.Dial(t.Context(), milter.Addr{Network: "unix", Address: h.path("m.sock")}, milter.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer forger.Close()
	if _, err := forger.Greet(t.Context(), stranger("192.0.2.66", "x action=reject msg=verdict role=inbound client=192.0.2.1 action=reject ")); err != nil {
		t.Fatal(err)
	}
	h.send(forger, "4bForged", ham)
	h.log.wait(t, "qid=4bForged", 1)
	named := map[string]string{}
	for line := range strings.Lines(h.log.String()) {
		if m := filter.FindStringSubmatch(line); m != nil {
			named[m[1]] += line
		}
	}
	if len(named) != 1 || !strings.Contains(named["192.0.2.10"], "qid=4bSpam") || strings.Contains(named["192.0.2.10"], "qid=4bHam") {
		t.Errorf("named: %q\n%s", named, h.log)
	}
	program, err := exec.LookPath("fail2ban-regex")
	if err != nil {
		t.Log("NOT TESTED: fail2ban-regex is not installed; Go's regular expressions stand in for Python's")
		return
	}
	// The whole log as it is in a file, and the refusal once more as the journal has it.
	text := h.log.String() + "mx milterd[812]: " + h.log.line("qid=4bSpam")
	path := filepath.Join(t.TempDir(), "milterd.log")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, path, jailFilter).CombinedOutput()
	if err != nil || !strings.Contains(string(out), " 0 ignored, 2 matched,") {
		t.Errorf("fail2ban-regex: %v\n%s\n%s", err, out, text)
	}
}

// failRegexp is the filter's failregex with what fail2ban puts in for its tags.
func failRegexp(t *testing.T) *regexp.Regexp {
	t.Helper()
	text, err := os.ReadFile(jailFilter)
	if err != nil {
		t.Fatal(err)
	}
	value := func(key string) string {
		for line := range strings.Lines(string(text)) {
			if v, ok := strings.CutPrefix(line, key+" = "); ok {
				return strings.TrimRight(v, "\n")
			}
		}
		t.Fatalf("%s has no %s", jailFilter, key)
		return ""
	}
	return regexp.MustCompile(strings.NewReplacer("<_pair>", value("_pair"), "<ADDR>", `([0-9a-fA-F:.]+)`).Replace(value("failregex")))
}
