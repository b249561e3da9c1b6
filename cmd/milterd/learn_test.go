package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// school is a configuration with a store of its own, and mail.
func school(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "m") // short, for the control socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	put(t, dir, "milterd.yaml", "control: unix:c.sock\nhttp: off\nstore: bolt:state/state.db\njournal: {path: state/verdicts}\n")
	const one = "From: a@b.example\nMessage-ID: <1@x>\nSubject: one\n\nsome words\n"
	put(t, dir, "one.eml", one)
	put(t, dir, "two.eml", strings.ReplaceAll(one, "1@x", "never@x"))
	put(t, dir, "box", "From x Mon Jan  1 00:00:00 2026\n"+one+"\nFrom x Mon Jan  1 00:00:00 2026\n"+strings.ReplaceAll(one, "1@x", "2@x"))
	put(t, dir, "md/cur/3", strings.ReplaceAll(one, "1@x", "3@x"))
	put(t, dir, "md/new/4", strings.ReplaceAll(one, "1@x", "4@x"))
	put(t, dir, "md/tmp/5", "half")
	put(t, dir, "backup", "v\t3\tdb_version # this must be the first line!!!\nv\t1\tnum_spam\nt\t1\t0\t1700000000\t0123456789\n")
	t.Setenv("MILTERD_CONFIG", filepath.Join(dir, "milterd.yaml"))
	return dir
}

// TestLearn without a daemon: the command opens the store.
func TestLearn(t *testing.T) {
	dir := school(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	mail, err := os.ReadFile(at("one.eml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{[]string{"spam", at("one.eml")}, 0, "learned 1 as spam, known 0, refused 0\n", ""},
		{[]string{"spam", at("box"), at("md")}, 0, "learned 3 as spam, known 1, refused 0\n", "still being written"},
		{[]string{"ham", at("one.eml")}, 0, "learned 1 as ham (1 of them had been called the opposite), known 0, refused 0\n", ""},
		{[]string{"ham", "-"}, 0, "learned 0 as ham, known 1, refused 0\n", ""},
		{[]string{"--user", "Joe", "ham", at("one.eml")}, 0, "learned 1 as ham, known 0, refused 0, for joe\n", ""},
		{[]string{"show", at("two.eml"), at("nothing")}, exitData, at("two.eml") + ": nothing was said of it\n", "no such file"},
		{[]string{"forget", at("box")}, 0, "forgotten 2, known 0, refused 0\n", ""},
		{[]string{"forget", at("box")}, 0, "forgotten 0, known 2, refused 0\n", ""},
		{[]string{"spam", at("backup"), at("one.eml")}, exitData, "learned 1 as spam, known 0, refused 1\n", "milterd import bayes"},
		{[]string{"spam", at("nothing")}, exitData, "learned 0 as spam, known 0, refused 1\n", "no such file"},
		{[]string{"--user", "a\nb", "spam", at("one.eml")}, exitUsage, "", "no name of a user"},
		{[]string{"eggs", at("one.eml")}, exitUsage, "", "eggs"},
		{[]string{"spam"}, exitUsage, "", "path"},
	} {
		code, stdout, stderr := cmd(t, string(mail), append([]string{"learn"}, c.args...)...)
		if code != c.code || stdout != c.stdout || !strings.Contains(stderr, c.stderr) {
			t.Errorf("learn %v: %d %q %q", c.args, code, stdout, stderr)
		}
	}
	code, stdout, stderr := cmd(t, "", "learn", "--user", "joe", "show", at("one.eml"))
	if said := regexp.MustCompile(`one\.eml: ham, said by \S+ at 20\d\d-\S+ \(learn\)\n$`); code != 0 || !said.MatchString(stdout) || stderr != "" {
		t.Errorf("show: %d %q %q", code, stdout, stderr)
	}
	if info, err := os.Stat(at("state/state.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the store: %v, %v", info, err)
	}
}

// TestImportBayes without a daemon: the command opens the store.
func TestImportBayes(t *testing.T) {
	dir := school(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	const backup = "v\t3\tdb_version # this must be the first line!!!\nv\t5\tnum_spam\nv\t7\tnum_nonspam\nt\t3\t0\t1700000000\t0a1b2c3d4e\n"
	for _, c := range []struct {
		args   []string
		stdin  string
		code   int
		stdout string
		stderr string
	}{
		{[]string{}, backup, 0, "imported 1 tokens of 5 spam and 7 ham\n", ""},
		{[]string{"--user", "Joe", "-"}, backup + "x\n", exitFindings, "imported 1 tokens of 5 spam and 7 ham, for joe\n", "milterd: -: line 5: expected a line that begins with v, t or s and a tab\nmilterd: 1 lines were not carried\n"},
		{[]string{"--forget", "--user", "joe"}, "", 0, "forgotten 1 tokens of 5 spam and 7 ham, for joe\n", ""},
		{[]string{"--forget", "--user", "joe"}, "", 0, "nothing was imported, nothing is forgotten\n", ""},
		{[]string{"--forget"}, "", 0, "forgotten 1 tokens of 5 spam and 7 ham\n", ""},
		{[]string{at("backup")}, "", exitData, "", "num_nonspam"},
		{[]string{at("one.eml")}, "", exitData, "", "the first line is not"},
		{[]string{at("nothing")}, "", exitData, "", "no such file"},
		{[]string{"--forget", at("backup")}, "", exitUsage, "", "--forget needs no file"},
		{[]string{"--user", "a\nb"}, backup, exitUsage, "", "no name of a user"},
	} {
		code, stdout, stderr := cmd(t, c.stdin, append([]string{"import", "bayes"}, c.args...)...)
		if code != c.code || stdout != c.stdout || !strings.Contains(stderr, c.stderr) {
			t.Errorf("import bayes %v: %d %q %q", c.args, code, stdout, stderr)
		}
	}
}

// TestStore: what one store had, another has after dump and load.
func TestStore(t *testing.T) {
	dir := school(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	if code, _, stderr := cmd(t, "", "learn", "spam", at("box")); code != 0 {
		t.Fatal(stderr)
	}
	code, dump, stderr := cmd(t, "", "store", "dump")
	if code != 0 || !strings.HasPrefix(dump, `{"milterd":"store","version":1}`) {
		t.Fatalf("%d %.200q %q", code, dump, stderr)
	}
	if code, _, stderr := cmd(t, "", "store", "dump", at("file")); code != 0 {
		t.Fatal(stderr)
	}
	if info, err := os.Stat(at("file")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the dump: %v, %v", info, err)
	}
	if code, _, _ := cmd(t, "", "store", "dump", at("no/such/directory")); code != exitPermission {
		t.Errorf("a file that cannot be made: %d", code)
	}
	if err := os.Mkdir(at("there"), 0o700); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := cmd(t, "", "store", "dump", at("there")); code != exitPermission {
		t.Errorf("a directory stands where the dump shall: %d", code)
	}
	if left, _ := filepath.Glob(at(".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	put(t, dir, "milterd.yaml", "control: unix:c.sock\nstore: bolt:other/state.db\n")
	if code, stdout, stderr := cmd(t, dump, "store", "load"); code != 0 || !strings.HasSuffix(stdout, " records are in the store\n") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	if code, stdout, stderr := cmd(t, "", "learn", "spam", at("box")); code != 0 || stdout != "learned 0 as spam, known 2, refused 0\n" {
		t.Errorf("the other store does not know: %d %q %q", code, stdout, stderr)
	}
	if code, _, stderr := cmd(t, dump[:len(dump)/2], "store", "load"); code != exitData || !strings.Contains(stderr, "not a dump") {
		t.Errorf("half a dump: %d %q", code, stderr)
	}
}
