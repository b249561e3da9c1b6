package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"milterd/internal/dns/dnstest"
)

// cmd runs a command as the shell would.
func cmd(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(args, strings.NewReader(stdin), &out, &err)
	return code, out.String(), err.String()
}

// want runs a command and fails unless it ends with that code and prints those
// words, on either stream.
func want(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	got, stdout, stderr := cmd(t, "", args...)
	if got != code {
		t.Errorf("milterd %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	flat := strings.Join(strings.Fields(stdout+stderr), " ") // help is wrapped
	for _, word := range words {
		if !strings.Contains(stdout+stderr, word) && !strings.Contains(flat, word) {
			t.Errorf("milterd %s: %q is not in\n%s%s", strings.Join(args, " "), word, stdout, stderr)
		}
	}
}

// site is a directory with a milterd.yaml that names nothing outside of it.
// MILTERD_CONFIG points there.
func site(t *testing.T, yaml string) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "m") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	names := dnstest.Start(t, dnstest.Zone{
		"sender.example":  {"TXT v=spf1 ip4:192.0.2.10 -all"},
		"include.example": {"TXT v=spf1 include:sender.example ?all"},
		"mail.example":    {"TXT v=spf1 ip4:192.0.2.10 -all"},
	})
	names.Lie("silent.example", dnstest.ServFail)
	put(t, dir, "conf.d/00-test.yaml", fmt.Sprintf("listen: [unix:../m.sock]\ncontrol: unix:../c.sock\nhttp: off\nspool: ..\ndns: {servers: [%q]}\njournal: {path: ../state/verdicts}\nstore: bolt:../state/state.db\n", names.Addr()))
	put(t, dir, "milterd.yaml", yaml)
	t.Setenv("MILTERD_CONFIG", filepath.Join(dir, "milterd.yaml"))
	return dir
}

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	ham = "Return-Path: <joe@sender.example>\nReceived: from mail.example (mail.example [192.0.2.10]) by mx.here.example (Postfix) with ESMTP id 1\n" +
		"From: joe@sender.example\nTo: ann@here.example\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-ID: <ham@sender.example>\nSubject: minutes\n\nhello\n"
	gtube = "From: joe@sender.example\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-ID: <spam@sender.example>\n\nXJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\n"
)

// TestHelp: the help of milterd names every command and every exit code.
func TestHelp(t *testing.T) {
	want(t, exitOK, []string{"0 ok", "1 findings (spam, lint errors, failed tests)", "64 usage", "65 unreadable message", "69 a service is missing", "75 temporary", "77 permission", "78 configuration",
		"serve", "check", "scan", "send", "why", "rules list", "rules test", "spf check", "version", "--config", "MILTERD_CONFIG"}, "--help")
	for _, args := range [][]string{{"serve"}, {"check"}, {"scan"}, {"send"}, {"why"}, {"rules"}, {"rules", "test"}, {"spf", "check"}} {
		usage := []string{"Usage: milterd " + strings.Join(args, " ")}
		want(t, exitOK, usage, append(args, "--help")...)
		want(t, exitOK, usage, append([]string{"help"}, args...)...)
	}
	want(t, exitOK, []string{"Usage: milterd <command>", "dkim genkey"}, "help")
	want(t, exitUsage, []string{"nonsense"}, "help", "nonsense")
}

// TestUsage: what is wrong with a command line is 64, whatever it is, and says
// where to read on.
func TestUsage(t *testing.T) {
	site(t, "")
	for _, args := range [][]string{
		{}, {"nonsense"}, {"--nonsense"}, {"serve", "--nonsense"}, {"scan"}, {"scan", "--ip", "nowhere", "x"}, {"scan", "--jso", "x"}, {"why"}, {"why", "a", "b"},
		{"rules"}, {"spf", "check"}, {"spf", "check", "nowhere", "x@y"}, {"version", "x"}, {"send"}, {"check", "extra"},
	} {
		want(t, exitUsage, []string{"milterd: ", "(see milterd --help)"}, args...)
	}
	want(t, exitUsage, []string{"--play is a part of --demo"}, "serve", "--play")
	want(t, exitUsage, []string{"socket"}, "send", "--socket", "nowhere", "x")
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := cmd(t, "", "version")
	if code != exitOK || stdout != "milterd "+version+"\n" || stderr != "" {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
}

// TestCheck: everything that is wrong, at once, each with its place; the code is
// 78.
func TestCheck(t *testing.T) {
	dir := site(t, "mode: tag\n")
	code, stdout, stderr := cmd(t, "", "check")
	if code != exitOK || !strings.HasPrefix(stdout, "configuration is in order: 2 file(s), ") || !strings.Contains(stdout, "mode tag\n") || !strings.Contains(stdout, "\nchecks that are off: ") || stderr != "" {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}

	put(t, dir, "milterd.yaml", "mode: loud\nlimit: {idle: 5}\nlog: {level: 3}\n")
	put(t, dir, "conf.d/10.yaml", "listen: []\n")
	code, stdout, stderr = cmd(t, "", "check")
	main := filepath.Join(dir, "milterd.yaml")
	for _, want := range []string{main + ":1:7: mode: ", main + ":2:1: limit: unknown key, did you mean limits?", main + ":3:14: log.level: ", "/conf.d/10.yaml:1:9: listen: ", "milterd: 4 problem(s) in the configuration\n"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not in\n%s", want, stderr)
		}
	}
	if code != exitConfig || stdout != "" || strings.Count(stderr, "\n") != 5 {
		t.Errorf("%d %q\n%s", code, stdout, stderr)
	}

	put(t, dir, "conf.d/10.yaml", "")
	put(t, dir, "milterd.yaml", "rules: [bad.yaml]\nchecks: {author: {mode: loud}, spf: {enabled: 3}}\n")
	put(t, dir, "bad.yaml", "rules:\n  - name: BAD\n    header: Subject\n    match: minutes\n    tests: {hit: [hours], miss: [days]}\n")
	want(t, exitConfig, []string{"bad.yaml:5:", ":2:25: checks.author.mode: ", ":2:47: checks.spf.enabled: ", "3 problem(s)"}, "check")

	put(t, dir, "bad.yaml", "rules:\n  - name: SLOW\n    body: {match: '[a-z]+[0-9]'}\n    tests: {hit: [a1], miss: ['-']}\n")
	put(t, dir, "milterd.yaml", "rules: [bad.yaml]\n")
	want(t, exitOK, []string{"bad.yaml:2:5: rule SLOW is costly", "configuration is in order"}, "check")

	put(t, dir, "milterd.yaml", "limits: {message_time: 20s}\nchecks: {clamav: {enabled: true}}\n")
	want(t, exitOK, []string{":2:18: checks.clamav.timeout: 20s is no less than limits.message_time (20s): ", " (a warning)\n", "configuration is in order"}, "check")
}

// TestCheckWithout: a file that is named must be there, the one at the default
// place need not.
func TestCheckWithout(t *testing.T) {
	site(t, "")
	want(t, exitConfig, []string{"/nowhere/milterd.yaml: is not there"}, "check", "--config", "/nowhere/milterd.yaml")
	want(t, exitConfig, []string{"/nowhere/milterd.yaml: is not there"}, "--config", "/nowhere/milterd.yaml", "scan", "x")
	want(t, exitConfig, []string{"/nowhere/milterd.yaml: is not there"}, "why", "x", "--config=/nowhere/milterd.yaml")
	t.Setenv("MILTERD_CONFIG", "/nowhere/else.yaml")
	want(t, exitConfig, []string{"/nowhere/else.yaml: is not there"}, "rules", "list")
	if _, err := os.Stat("/etc/milterd"); err == nil {
		t.Log("NOT TESTED without any file: this host has /etc/milterd")
		return
	}
	os.Unsetenv("MILTERD_CONFIG") // Setenv above restores it
	want(t, exitOK, []string{"configuration is in order: 0 file(s)"}, "check")
}

// TestEffective: each key with its value and where that comes from; a secret is
// shown as it is written.
func TestEffective(t *testing.T) {
	site(t, "mode: observe\nauthserv_id: ${env:MILTERD_TEST_SECRET}\n")
	t.Setenv("MILTERD_TEST_SECRET", "hunter2.example")
	code, stdout, stderr := cmd(t, "", "check", "--effective")
	if code != exitOK || stderr != "" || strings.Contains(stdout, "hunter2") {
		t.Errorf("%d %s\n%s", code, stderr, stdout)
	}
	for _, want := range []string{"mode: observe # ", "milterd.yaml:1:7\n", "${env:MILTERD_TEST_SECRET}", "message_time: 25s # default\n", "00-test.yaml:3:7\n", "junk: 6 # default"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
}

func TestRules(t *testing.T) {
	dir := site(t, "rules: [site.yaml]\n")
	put(t, dir, "site.yaml", "rules:\n  - name: SITE_A\n    header: Subject\n    match: minutes\n    score: 1.25\n    tests: {hit: [minutes], miss: [days]}\n"+
		"  - name: SITE_B\n    when: SITE_A && SPF_FAIL\n    state: shadow\n    score: -2\n    tests: {hit: [SITE_A SPF_FAIL], miss: [SITE_A]}\nscores: {SPF_FAIL: 2.75}\n")
	code, stdout, _ := cmd(t, "", "rules", "list")
	rows := map[string]string{}
	for line := range strings.Lines(stdout) {
		name, rest, _ := strings.Cut(line, " ")
		rows[name] = strings.Join(strings.Fields(rest), " ")
	}
	for name, want := range map[string]string{
		"NAME": "SCORE STATE WHAT FROM", "SITE_A": "1.25 active header Subject " + dir + "/site.yaml:2:5", "SITE_B": "-2 shadow when SITE_A && SPF_FAIL " + dir + "/site.yaml:7:5",
		"SPF_FAIL": "2.75 active finding of a check " + dir + "/site.yaml:12:", "GTUBE": "1000 active body shipped/gtube.yaml:",
	} {
		if !strings.HasPrefix(rows[name], want) {
			t.Errorf("%s: %q, want %q", name, rows[name], want)
		}
	}
	if code != exitOK {
		t.Errorf("exit %d", code)
	}
	want(t, exitOK, []string{" rules pass their own tests\n"}, "rules", "test")

	put(t, dir, "site.yaml", "rules:\n  - name: SITE_A\n    header: Subject\n    match: minutes\n    tests: {hit: [hours, days], miss: [minutes]}\n")
	for _, sub := range []string{"list", "test"} {
		want(t, exitFindings, []string{"site.yaml:5:19: ", "site.yaml:5:26: ", "site.yaml:5:40: ", `"hours"`}, "rules", sub)
	}
}

// TestSPF: the steps, the mechanism that matched, the look-ups used.
func TestSPF(t *testing.T) {
	site(t, "")
	code, stdout, stderr := cmd(t, "", "spf", "check", "192.0.2.10", "joe@include.example", "mail.example")
	if code != exitOK || stderr != "" {
		t.Errorf("%d %s", code, stderr)
	}
	for _, want := range []string{"mailfrom=pass domain=include.example matched=include:sender.example in the record of include.example look-ups=1/10 voids=0/2\n",
		"helo=pass domain=mail.example matched=ip4:192.0.2.10 in the record of mail.example look-ups=0/10 voids=0/2\n", "v=spf1 ip4:192.0.2.10 -all"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	code, stdout, _ = cmd(t, "", "spf", "check", "-q", "192.0.2.10", "<joe@include.example>")
	if code != exitOK || strings.Count(stdout, "\n") != 1 {
		t.Errorf("-q: %d\n%s", code, stdout)
	}
	want(t, exitFindings, []string{"mailfrom=fail", "matched=-all"}, "spf", "check", "203.0.113.1", "joe@sender.example")
	want(t, exitFindings, []string{"mailfrom=none"}, "spf", "check", "203.0.113.1", "joe@nobody.example")
	want(t, exitTemporary, []string{"mailfrom=temperror"}, "spf", "check", "203.0.113.1", "joe@silent.example")
	for _, null := range []string{"", "<>"} {
		want(t, exitOK, []string{"=pass domain=mail.example"}, "spf", "check", "192.0.2.10", null, "mail.example")
	}
	code, stdout, _ = cmd(t, "", "spf", "check", "2001:db8::1", "\x1b[2J@sender.example", "\x1b]0;x\a")
	if code != exitFindings || strings.ContainsFunc(stdout, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
		t.Errorf("%d %q", code, stdout)
	}
}
