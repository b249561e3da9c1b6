package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// store writes a journal of one file a batch of records.
func store(t *testing.T, batches ...[]*Record) string {
	t.Helper()
	dir := t.TempDir()
	for i, batch := range batches {
		var b bytes.Buffer
		for _, r := range batch {
			line, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
		storeFile(t, dir, i, b.Bytes())
	}
	return dir
}

func storeFile(t *testing.T, dir string, nth int, content []byte) {
	t.Helper()
	name := time.Unix(int64(nth), 0).UTC().Format(fileName)
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, dir, key string, limit int) string {
	t.Helper()
	found, err := Find(dir, key, limit)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range found {
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, " ")
}

func TestFind(t *testing.T) {
	long := "<" + strings.Repeat("x", 400) + "@a.test>"
	mail := func(id, qid, messageID string) *Record {
		return record(id, func(r *Record) { r.QueueID, r.MessageID = text(qid), text(messageID) })
	}
	dir := store(t,
		[]*Record{mail("first", "4b1", "<same@a.test>"), mail("second", "4b2", "<a&b<c>'\"d@a.test>"), mail("third", "4b3", long)},
		[]*Record{mail("fourth", "4b1", "<same@a.test>"), mail("fifth", "", ""), mail("sixth", "4b6", "bare@a.test")},
		[]*Record{mail("seventh", "4b7", "<same@a.test>"), mail("eighth", "4b8", "<\xff\xfe@a.test>"), mail("ninth", "4b9", "<SAME@a.test>")},
	)
	for _, c := range []struct {
		key, want string
		limit     int
	}{
		{key: "second", want: "second"},
		{key: "4b1", want: "fourth first"},
		{key: "<same@a.test>", want: "seventh fourth first"},
		{key: "same@a.test", want: "seventh fourth first"},
		{key: " <same@a.test> ", want: "seventh fourth first"},
		{key: "same@a.test", limit: 2, want: "seventh fourth"},
		{key: "same@a.test", limit: 1, want: "seventh"},
		{key: "<a&b<c>'\"d@a.test>", want: "second"},
		{key: "<bare@a.test>", want: "sixth"},
		{key: long, want: "third"},
		{key: strings.Trim(long, "<>"), want: "third"},
		{key: "<\xff\xfe@a.test>", want: "eighth"},
		{key: strings.Repeat("x", 254)}, // a long one is known by its beginning, which is longer
		{key: "4b"},                     // no prefix
		{key: "about first"},            // no subject
		{key: "same@a.tes"},             // no part
		{key: "seventh\n"},              // no line
		{key: ""}, {key: "<>"},          // not everything without an id
		{key: "nobody"},
	} {
		if c.limit == 0 {
			c.limit = 20
		}
		if got := find(t, dir, c.key, c.limit); got != c.want {
			t.Errorf("%.40q, limit %d: %q, want %q", c.key, c.limit, got, c.want)
		}
	}
}

func TestFindWithout(t *testing.T) {
	if _, err := Find(filepath.Join(t.TempDir(), "verdicts"), "x", 9); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no journal: %v", err)
	}
	if got := find(t, t.TempDir(), "x", 9); got != "" {
		t.Errorf("an empty journal: %q", got)
	}
	if found, err := findIn(filepath.Join(t.TempDir(), "gone"), newQuestion("x")); err != nil || found != nil {
		t.Errorf("a file that is gone: %v, %v", found, err)
	}
}

// TestFindAmongRuins: a line cut by a crash, one of another program, and one too
// long for any record of ours hide nothing of what stands around them.
func TestFindAmongRuins(t *testing.T) {
	good, err := json.Marshal(record("k7q2m9zt4w1c"))
	if err != nil {
		t.Fatal(err)
	}
	for name, ruin := range map[string][]byte{
		"cut line":       good[:len(good)/2],
		"cut in the key": good[:bytes.Index(good, []byte("q2m9"))],
		"other JSON":     []byte(`["k7q2m9zt4w1c"]`),
		"wrong types":    []byte(`{"id":"k7q2m9zt4w1c","score":"much"}`),
		"empty lines":    []byte("\n\n\n"),
		"binary":         []byte("\x00\xff k7q2m9zt4w1c \x00"),
		"too long":       fmt.Appendf(nil, `{"id":"k7q2m9zt4w1c","subject":"%s"}`, strings.Repeat("x", maxLine)),
		"much too long":  bytes.Repeat([]byte("k7q2m9zt4w1c"), maxLine),
	} {
		dir := t.TempDir()
		storeFile(t, dir, 1, bytes.Join([][]byte{good, ruin, good, ruin}, []byte("\n")))
		if got := find(t, dir, "k7q2m9zt4w1c", 9); got != "k7q2m9zt4w1c k7q2m9zt4w1c" {
			t.Errorf("%s: found %q", name, got)
		}
	}
}

// TestFindLongestLine: the longest line that is written can be read.
func TestFindLongestLine(t *testing.T) {
	r := record("k7q2m9zt4w1c")
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Subject += strings.Repeat("x", maxLine-len(line)-1)
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, Options{Dir: dir, MaxSize: 64 << 20})
		add(w, r)
		closeWriter(t, w)
		if got := find(t, dir, "k7q2m9zt4w1c", 9); got != "k7q2m9zt4w1c" || w.Dropped() != 0 {
			t.Errorf("found %q, dropped %d", got, w.Dropped())
		}
	})
}

func TestFindUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("SKIPPED: root may read everything; run as another user")
	}
	dir := store(t, []*Record{record("a")})
	files, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{files[0].path, dir} {
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Find(dir, "a", 9); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// FuzzFind: whatever stands in a file, Find comes back without an error, gives
// nothing that was not asked for, and still finds a good line below.
func FuzzFind(f *testing.F) {
	for _, content := range []string{"", "\n", `{"id":"k7q2m9zt4w1c"}`, `{"id":"k7q2m9zt4w1c","auth":[{"props":{"a":1}}]}`, `{"qid":"x"}{"qid":"x"}`,
		"{\"message_id\":\"<x>\"}\r\n", `{"thresholds":{"junk":"NaN"}}`, "\xff\xfe{\x00", `{"time":"x","id":"x"}`, `{"id":"\ud800x"}`, `{"headers":[{"op":7}]}`} {
		f.Add([]byte(content), "x")
		f.Add([]byte(content), "k7q2m9zt4w1c")
		f.Add([]byte(content), "<a\xff\u2028&@b>")
	}
	f.Fuzz(func(t *testing.T, content []byte, key string) {
		dir := t.TempDir()
		storeFile(t, dir, 1, content)
		before, err := Find(dir, key, 10)
		if err != nil {
			t.Fatal(err)
		}
		q := newQuestion(key)
		for _, r := range before {
			if !q.answeredBy(r) {
				t.Fatalf("%q answers to %q", r.MessageID, key)
			}
			r.Explain(new(bytes.Buffer))
		}
		if q.key == "" {
			return
		}
		good, err := json.Marshal(record("k", func(r *Record) { r.MessageID = text("<" + key + ">") }))
		if err != nil {
			t.Fatal(err)
		}
		storeFile(t, dir, 1, bytes.Join([][]byte{content, good, nil}, []byte("\n")))
		after, err := Find(dir, key, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(after) != 1 || after[0].ID != "k" {
			t.Fatalf("%q is not found below %q", key, content)
		}
	})
}
