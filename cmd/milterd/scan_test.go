package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestScanText: a line for the verdict, one for each finding.
func TestScanText(t *testing.T) {
	dir := site(t, "")
	path := put(t, dir, "mail/ham.eml", ham)
	code, stdout, stderr := cmd(t, "", "scan", path)
	if code != exitOK || stderr != "" || !strings.HasPrefix(stdout, path+": accept, score 0.0 of 15.0\n") || !strings.Contains(stdout, "     0.0  SPF_PASS ") {
		t.Errorf("%d %s\n%s", code, stderr, stdout)
	}
	code, stdout, _ = cmd(t, gtube, "scan", "-")
	if code != exitFindings || !regexp.MustCompile(`^-: reject, score 100\d\.\d of 15\.0, 554 5\.7\.1 Message rejected as spam \([0-9a-z]{12}\)\n`).MatchString(stdout) ||
		!strings.Contains(stdout, "  1000.0  GTUBE ") {
		t.Errorf("%d\n%s", code, stdout)
	}
}

// TestScanExplain: also what would be added, and what would have changed it.
func TestScanExplain(t *testing.T) {
	dir := site(t, "mode: observe\nauthserv_id: mx.here.example\n")
	code, stdout, _ := cmd(t, "", "scan", "--explain", put(t, dir, "spam.eml", gtube))
	for _, want := range []string{"spam.eml: accept (would reject), score 100", "\nfindings    +1000.0  GTUBE ", "\nturning     ", "without GTUBE: accept\n",
		"\nheader      insert Authentication-Results: mx.here.example; spf=", "\nheader      insert X-Spam-Flag: YES\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if code != exitFindings {
		t.Errorf("exit %d: spam is spam, whatever the mode lets us do about it", code)
	}
}

// TestScanJSON: one object a line, in the documented shape; what cannot be read
// is an object as well, the run goes on and ends with 65.
func TestScanJSON(t *testing.T) {
	dir := site(t, "")
	put(t, dir, "mail/a.eml", ham)
	put(t, dir, "mail/b.eml", gtube)
	put(t, dir, "mail/c.txt", "no message\n")
	put(t, dir, "mail/.hidden", ham)
	missing := filepath.Join(dir, "missing.eml")
	code, stdout, stderr := cmd(t, ham, "scan", "--json", filepath.Join(dir, "mail"), missing, "-")
	if code != exitData {
		t.Errorf("exit %d", code)
	}
	if diff := cmp.Diff("milterd: "+dir+"/mail/.hidden skipped: its name begins with a dot\nmilterd: "+dir+"/mail/c.txt skipped: no header line at its beginning\n", stderr); diff != "" {
		t.Errorf("stderr: -want +got:\n%s", diff)
	}
	var files []string
	for line := range strings.Lines(stdout) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		files = append(files, strings.TrimPrefix(o["file"].(string), dir+"/"))
		if _, failed := o["error"]; failed {
			if !strings.HasPrefix(line, `{"file":"`+missing+`","error":"`) || len(o) != 2 {
				t.Errorf("%s", line)
			}
			continue
		}
		for _, key := range []string{"file", "id", "role", "action", "score", "objective", "thresholds", "decided_by", "reply", "findings", "auth", "headers", "checks"} {
			if _, ok := o[key]; !ok {
				t.Errorf("%s is missing in %s", key, line)
			}
		}
		if _, ok := o["qid"]; ok {
			t.Errorf("a queue id: %s", line)
		}
		if strings.Contains(line, `\u003c`) {
			t.Errorf("escaped for HTML, which this is not: %s", line)
		}
	}
	if diff := cmp.Diff([]string{"mail/a.eml", "mail/b.eml", "missing.eml", "-"}, files); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if code, stdout, _ := cmd(t, "no message", "scan", "--json", "-"); code != exitData || !strings.HasPrefix(stdout, `{"file":"-","error":"`) {
		t.Errorf("%d %s", code, stdout)
	}
	if code, stdout, stderr := cmd(t, "", "scan", missing); code != exitData || stdout != "" || !strings.Contains(stderr, missing) {
		t.Errorf("in words: %d %q %q", code, stdout, stderr)
	}
}

// TestScanEnvelope: the options take the place of what the header tells.
func TestScanEnvelope(t *testing.T) {
	dir := site(t, "")
	path := put(t, dir, "ham.eml", ham)
	scan := func(args ...string) (o struct {
		Role, Client, Helo, From, Login, ClientName string
		Rcpt                                        []string
		Auth                                        []struct{ Method, Result string }
	}) {
		t.Helper()
		_, stdout, stderr := cmd(t, "", append([]string{"scan", "--json"}, append(args, path)...)...)
		if err := json.Unmarshal([]byte(stdout), &o); err != nil {
			t.Fatalf("%v: %s%s", args, stdout, stderr)
		}
		return o
	}
	if o := scan(); o.Client != "192.0.2.10" || o.Helo != "mail.example" || o.From != "<joe@sender.example>" || o.Role != "inbound" || o.Auth[0].Result != "pass" {
		t.Errorf("%+v", o)
	}
	if o := scan("--ip", "203.0.113.9", "--helo", "h.example", "--rdns", "r.example", "--from", "<a@sender.example>", "--rcpt", "<x@y.example>", "--rcpt", "\"a,b\"@y.example"); o.Client != "203.0.113.9" ||
		o.Helo != "h.example" || o.From != "<a@sender.example>" || strings.Join(o.Rcpt, " ") != "<x@y.example> <\"a,b\"@y.example>" || o.Auth[0].Result != "fail" {
		t.Errorf("%+v", o)
	}
	for _, null := range []string{"", "<>"} {
		if o := scan("--from", null); o.From != "<>" {
			t.Errorf("--from %q: %+v", null, o)
		}
	}
	if o := scan("--user", "joe"); o.Role != "outbound" || o.Login != "joe" {
		t.Errorf("%+v", o)
	}
}

// TestScanHostile: nothing of a message reaches a terminal as it is.
func TestScanHostile(t *testing.T) {
	dir := site(t, "")
	path := put(t, dir, "\x1b[2Jevil\n.eml", "From: \"\x1b]0;owned\a\" <a@b>, <c@d.example>\nFrom: \x9b31m\nSubject: \x1b[31m\n\n\x1b[2J\n")
	for _, flag := range []string{"--explain", "--json", "--helo=\x1b[1m"} {
		_, stdout, stderr := cmd(t, "", "scan", flag, path, filepath.Join(dir, "\x1bmissing"))
		if flag == "--json" {
			stdout = strings.ReplaceAll(stdout, "\ufffd", "?") // JSON is for programs; control characters are escaped there too
		}
		if strings.ContainsFunc(stdout+stderr, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
			t.Errorf("%s: %q", flag, stdout+stderr)
		}
	}
}

// TestScanConfigBroken: no verdict by half a configuration.
func TestScanConfigBroken(t *testing.T) {
	dir := site(t, "mode: loud\n")
	want(t, exitConfig, []string{"mode: got \"loud\"", "1 problem(s)"}, "scan", put(t, dir, "ham.eml", ham))
	put(t, dir, "milterd.yaml", "checks: {author: {mode: loud}}")
	want(t, exitConfig, []string{"checks.author.mode"}, "scan", filepath.Join(dir, "ham.eml"))
	if left, _ := os.ReadDir(filepath.Join(dir, "state")); left != nil {
		t.Errorf("left: %v", left)
	}
}

// TestScanCompare: which messages another configuration would treat otherwise,
// and what makes the difference.
func TestScanCompare(t *testing.T) {
	dir := site(t, "")
	put(t, dir, "mail/a.eml", ham)
	put(t, dir, "mail/mbox", "From a@b Mon Jan  1 00:00:00 2001\n"+gtube+"\nFrom a@b Mon Jan  1 00:00:00 2001\n"+ham)
	other := put(t, dir, "other/milterd.yaml", "rules: [less.yaml]\n")
	put(t, dir, "other/less.yaml", "rules: [{name: GTUBE, score: 1}]\n")
	code, stdout, stderr := cmd(t, "", "scan", "--compare", other, filepath.Join(dir, "mail"))
	want := dir + "/mail/mbox#1: reject (1000.0) -> accept (1.0): GTUBE -999.0\n1 of 3 messages would be treated otherwise\n"
	if code != exitFindings || stderr != "" || stdout != want {
		t.Errorf("%d %s\n%s\nwant\n%s", code, stderr, stdout, want)
	}
	if code, stdout, _ = cmd(t, "", "scan", "--compare", put(t, dir, "same/milterd.yaml", ""), filepath.Join(dir, "mail")); code != exitOK || stdout != "0 of 3 messages would be treated otherwise\n" {
		t.Errorf("%d\n%s", code, stdout)
	}
	put(t, dir, "other/less.yaml", "")
	put(t, dir, "other/milterd.yaml", "thresholds: {reject: 2000}\n")
	code, stdout, _ = cmd(t, gtube, "scan", "--compare", other, "--json", "-")
	var both struct {
		File          string
		Before, After struct{ Action string }
	}
	if err := json.Unmarshal([]byte(stdout), &both); err != nil || code != exitFindings || both.File != "-" || both.Before.Action != "reject" || both.After.Action != "junk" {
		t.Errorf("%d %v\n%s", code, err, stdout)
	}
	if code, _, stderr = cmd(t, "", "scan", "--compare", put(t, dir, "bad.yaml", "modus: x\n"), filepath.Join(dir, "mail")); code != exitConfig || !strings.Contains(stderr, "bad.yaml:1:1") {
		t.Errorf("%d %s", code, stderr)
	}
}
