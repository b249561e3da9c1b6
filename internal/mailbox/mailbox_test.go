package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// tree makes files below a new directory that everybody may read.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root, err := os.MkdirTemp("", "scan")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// read lists what Messages yields and what it passes over, one a line, names
// relative to root.
func read(root string, stdin io.Reader, paths ...string) (files, skipped []string) {
	name := func(path string) string { return strings.TrimPrefix(path, root+"/") }
	for f := range Messages(paths, stdin, func(path, why string) { skipped = append(skipped, name(path)+": "+why) }) {
		if f.Err != nil {
			files = append(files, name(f.Name)+" unreadable")
			continue
		}
		line, _, _ := bytes.Cut(f.Raw, []byte("\n"))
		files = append(files, name(f.Name)+" "+string(line))
	}
	return files, skipped
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want +got:\n%s", what, diff)
	}
}

// TestDirectory: all of it, in name order, and nothing left out without a word.
func TestDirectory(t *testing.T) {
	root := tree(t, map[string]string{
		"b.eml":              "Subject: b\n\nx",
		"a.eml":              "Subject: a\r\n\r\nx",
		"cur/1:2,S":          "Subject: maildir\n\n",
		"cur/deep/er/2":      "Subject: deeper\n\n",
		"mbox":               "From joe@x.test Mon Jan  1 00:00:00 2001\nSubject: mbox\n\n",
		"no-header.txt":      "just text, no header: line\n",
		"empty":              "",
		"only-mbox-line":     "From joe@x.test Mon Jan  1 00:00:00 2001\n",
		"binary":             "\x7fELF: not a field",
		".hidden":            "Subject: hidden\n\n",
		".git/config":        "Subject: hidden\n\n",
		"long-name":          strings.Repeat("X", 300) + ": y\n\n",
		"dovecot.index.log":  "\x01\x03",
		"blank-line-first":   "\nSubject: too late\n",
		"continuation-first": " folded: into nothing\n",
	})
	if err := syscall.Mkfifo(filepath.Join(root, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"loop": ".", "link.eml": "a.eml", "dangling": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	files, skipped := read(root, nil, root)
	same(t, "files", files, "a.eml Subject: a\r", "b.eml Subject: b", "cur/1:2,S Subject: maildir", "cur/deep/er/2 Subject: deeper", "mbox Subject: mbox")
	const no = ": no header line at its beginning"
	same(t, "skipped", skipped, ".git: its name begins with a dot", ".hidden: its name begins with a dot", "binary"+no, "blank-line-first"+no,
		"continuation-first"+no, "dangling: not a regular file", "dovecot.index.log"+no, "empty"+no, "fifo: not a regular file",
		"link.eml: not a regular file", "long-name"+no, "loop: not a regular file", "no-header.txt"+no, "only-mbox-line"+no)
}

// TestNamed: who names a file means it. It is read whatever it is called, and
// what is no message is an error, after which the run goes on.
func TestNamed(t *testing.T) {
	root := tree(t, map[string]string{".hidden": "Subject: hidden\n\n", "text": "hello\n", "dir/a": "Subject: a\n\n", "dir/b": "no\n"})
	if err := os.Symlink("dir", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".hidden", filepath.Join(root, "linked")); err != nil {
		t.Fatal(err)
	}
	files, skipped := read(root, strings.NewReader("From x\nSubject: stdin\n\n"), root+"/text", root+"/missing", root+"/.hidden", root+"/linked", root+"/link", "-", root+"/dir/")
	same(t, "files", files, "text unreadable", "missing unreadable", ".hidden Subject: hidden", "linked Subject: hidden", "link/a Subject: a",
		"- Subject: stdin", "dir/a Subject: a")
	same(t, "skipped", skipped, "link/b: no header line at its beginning", "dir/b: no header line at its beginning")
}

func TestRelative(t *testing.T) {
	root := tree(t, map[string]string{"x/a": "Subject: a\n\n"})
	t.Chdir(root)
	for path, want := range map[string]string{".": "x/a Subject: a", "x": "x/a Subject: a", "./x/a": "./x/a Subject: a"} {
		files, _ := read("", nil, path)
		same(t, path, files, want)
	}
}

func TestStdin(t *testing.T) {
	files, _ := read("", strings.NewReader("no message"), "-")
	same(t, "no message", files, "- unreadable")
	files, _ = read("", iotest.ErrReader(errors.New("broken pipe")), "-")
	same(t, "broken", files, "- unreadable")
}

func TestSizeLimit(t *testing.T) {
	if raw, err := readAll(strings.NewReader("12345"), 5); err != nil || string(raw) != "12345" {
		t.Errorf("%q, %v", raw, err)
	}
	if raw, err := readAll(strings.NewReader("123456"), 5); err == nil || raw != nil {
		t.Errorf("over the limit: %q, %v; a part of a message is no message", raw, err)
	}
}

// TestUnreadable: a file and a directory that we may not read are named, and
// what lies beside them is read.
func TestUnreadable(t *testing.T) {
	root := tree(t, map[string]string{"a": "Subject: a\n\n", "b": "Subject: b\n\n", "c/d": "Subject: d\n\n", "e": "Subject: e\n\n"})
	for _, name := range []string{"b", "c"} {
		if err := os.Chmod(filepath.Join(root, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	var files []string
	asNobody(func() { files, _ = read(root, nil, root) })
	same(t, "files", files, "a Subject: a", "b unreadable", "c unreadable", "e Subject: e")
}

// asNobody runs f on a thread that may not read everything, also where the test
// is run by root.
func asNobody(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if os.Geteuid() == 0 {
			unix.Setfsuid(65534)
		}
		f()
	}()
	<-done
}

// TestStop: who has seen enough is not read to.
func TestStop(t *testing.T) {
	root := tree(t, map[string]string{"a": "Subject: a\n\n", "b": "Subject: b\n\n"})
	n := 0
	for range Messages([]string{root, root, "-"}, strings.NewReader("Subject: x\n\n"), func(string, string) {}) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d files", n)
	}
}

func TestErrorsSayWhich(t *testing.T) {
	for f := range Messages([]string{"/nowhere/x.eml"}, nil, nil) {
		if !errors.Is(f.Err, fs.ErrNotExist) || f.Name != "/nowhere/x.eml" {
			t.Errorf("%+v", f)
		}
	}
}

// TestMbox: each message by itself, as it was before it was put there.
func TestMbox(t *testing.T) {
	const two = "From joe@x.test Mon Jan  1 00:00:00 2001\nSubject: one\n\n>From here on\n>>From there\nFrom me, 2001\n\nFrom my point of view it is 12:30\n\n" +
		"From MAILER-DAEMON Tue Jan 02 10:00:00 2001 +0100\r\nSubject: two\r\n\r\nlast\r\n\r\n"
	root := tree(t, map[string]string{"two": two, "none": "From joe@x.test Mon Jan  1 00:00:00 2001\n\nFrom joe@x.test Mon Jan  1 00:00:00 2001\nSubject: x\n"})
	var got []string
	for m := range Messages([]string{root + "/two", "-"}, strings.NewReader(two), nil) {
		got = append(got, strings.TrimPrefix(m.Name, root+"/")+" "+string(m.Raw))
	}
	one := "Subject: one\n\nFrom here on\n>From there\nFrom me, 2001\n\nFrom my point of view it is 12:30\n"
	second := "Subject: two\r\n\r\nlast\r\n"
	same(t, "messages", got, "two#1 "+one, "two#2 "+second, "-#1 "+one, "-#2 "+second)
	files, skipped := read(root, nil, root+"/")
	same(t, "in a directory", files, "none#2 Subject: x", "two#1 Subject: one", "two#2 Subject: two\r")
	same(t, "skipped", skipped, "none#1: no header line at its beginning")
}

// TestMboxLimit: a message that is too large does not hide the next one.
func TestMboxLimit(t *testing.T) {
	mbox := "From a 00:00 2001\nA: " + strings.Repeat("x", 200<<10) + "\n\nFrom a 00:00 2001\nB: y\n"
	var got []string
	messages(strings.NewReader(mbox), 100, func(raw []byte, err error) bool {
		got = append(got, fmt.Sprintf("%q %v", raw, err))
		return true
	})
	same(t, "messages", got, `"" larger than 100 bytes`, `"B: y\n" <nil>`)
}

// TestMaildir: what is still being written is no message yet.
func TestMaildir(t *testing.T) {
	root := tree(t, map[string]string{"m/cur/1:2,S": "Subject: cur\n\n", "m/new/2": "Subject: new\n\n", "m/tmp/3": "Subject: tmp\n\n", "tmp/4": "Subject: a directory of that name\n\n"})
	files, skipped := read(root, nil, root)
	same(t, "files", files, "m/cur/1:2,S Subject: cur", "m/new/2 Subject: new", "tmp/4 Subject: a directory of that name")
	same(t, "skipped", skipped, "m/tmp: messages in it are still being written")
	if size := Size([]string{root}); size != 77 {
		t.Errorf("%d bytes", size)
	}
}

// FuzzMessages: what is put into an mbox comes out of it.
func FuzzMessages(f *testing.F) {
	for _, s := range []string{"Subject: x\n\n", "From x\nA: b\n", "From: x\n", ">From x\n", "\n", ":\n", "a b: c", "\xff: x", "From x", "A:", "A: b\n\nFrom x@y Mon Jan  1 00:00:00 2001\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !startsWithField(raw) {
			return
		}
		if len(raw) == 0 || raw[len(raw)-1] != '\n' {
			raw = append(raw, '\n')
		}
		var mbox []byte
		for range 3 {
			mbox = append(mbox, "From a@b Mon Jan  1 00:00:00 2001\n"...)
			for line := range bytes.Lines(raw) {
				if bytes.HasPrefix(bytes.TrimLeft(line, ">"), from) {
					mbox = append(mbox, '>')
				}
				mbox = append(mbox, line...)
			}
			mbox = append(mbox, '\n')
		}
		n := 0
		for m := range Messages([]string{"-"}, bytes.NewReader(mbox), nil) {
			n++
			if m.Err != nil || !bytes.Equal(m.Raw, raw) {
				t.Fatalf("message %d: %q, %v, want %q", n, m.Raw, m.Err, raw)
			}
		}
		if n != 3 {
			t.Fatalf("%d messages", n)
		}
	})
}
