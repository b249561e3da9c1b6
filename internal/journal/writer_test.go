package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// open starts a writer in the bubble of a synctest, whose clock is its clock.
func open(t *testing.T, o Options) *Writer {
	t.Helper()
	o.Now = time.Now
	if o.MaxSize == 0 {
		o.MaxSize = 1 << 20
	}
	if o.MaxAge == 0 {
		o.MaxAge = 30 * day
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

const day = 24 * time.Hour

// add hands over a record and waits until the writer is done with it.
func add(w *Writer, r *Record) {
	w.Add(r)
	synctest.Wait()
}

func closeWriter(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// kept returns the ids of all records in a journal, oldest first, and fails on a
// line that is none.
func kept(t *testing.T, dir string) (ids []string) {
	t.Helper()
	files, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var r Record
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%s: %q: %v", f.path, line, err)
			}
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func size(t *testing.T, dir string) (bytes int64, files int) {
	t.Helper()
	all, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		bytes += f.size
	}
	return bytes, len(all)
}

// TestSizeCap: the journal never holds more than it may, and what it holds is
// the newest without a gap.
func TestSizeCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		const limit, records = 32 << 10, 500
		w := open(t, Options{Dir: dir, MaxSize: limit})
		for i := range records {
			add(w, record(fmt.Sprintf("id%010d", i)))
			if n, _ := size(t, dir); n > limit {
				t.Fatalf("record %d: %d bytes of %d", i, n, limit)
			}
		}
		closeWriter(t, w)
		ids := kept(t, dir)
		if n, files := size(t, dir); n < limit/2 || files < filesKept/2 || files > filesKept {
			t.Errorf("%d bytes in %d files", n, files)
		}
		for i, id := range ids {
			if want := fmt.Sprintf("id%010d", records-len(ids)+i); id != want {
				t.Fatalf("%s at place %d, want %s", id, i, want)
			}
		}
		if w.Dropped() != 0 {
			t.Errorf("%d dropped", w.Dropped())
		}
	})
}

// TestLargeRecord: a record larger than a file's share is written all the same.
func TestLargeRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, Options{Dir: dir, MaxSize: 1 << 10})
		for i := range 3 {
			add(w, record(fmt.Sprint("large", i), func(r *Record) { r.Subject = strings.Repeat("x", 300) }))
		}
		closeWriter(t, w)
		if ids := kept(t, dir); len(ids) == 0 || ids[len(ids)-1] != "large2" {
			t.Errorf("kept %v", ids)
		}
	})
}

// TestAgeCap: with little mail as with much a record lives as long as max_age
// says, and not much longer.
func TestAgeCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, Options{Dir: dir, MaxAge: 30 * day})
		for i := range 100 {
			add(w, record(fmt.Sprintf("day%03d", i)))
			time.Sleep(day)
		}
		synctest.Wait()
		closeWriter(t, w)
		ids := kept(t, dir) // it is day 100
		if ids[len(ids)-1] != "day099" || len(ids) < 30 || len(ids) > 35 {
			t.Errorf("%d days kept: %v", len(ids), ids)
		}
	})
}

// TestAgeWithoutMail: nobody has to write for what is too old to go.
func TestAgeWithoutMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, Options{Dir: dir, MaxAge: 8 * day})
		add(w, record("last"))
		time.Sleep(8 * day)
		synctest.Wait()
		if ids := kept(t, dir); len(ids) != 1 {
			t.Errorf("at its age limit: %v", ids)
		}
		time.Sleep(day + 2*tidyEvery)
		synctest.Wait()
		if ids := kept(t, dir); len(ids) != 0 {
			t.Errorf("too old: %v", ids)
		}
		add(w, record("next"))
		if ids := kept(t, dir); len(ids) != 1 || ids[0] != "next" {
			t.Errorf("then: %v", ids)
		}
		closeWriter(t, w)
	})
}

// TestStartTidies: what grew too old while nobody ran goes at the start.
func TestStartTidies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, Options{Dir: dir})
		add(w, record("old"))
		closeWriter(t, w)
		time.Sleep(60 * day)
		w = open(t, Options{Dir: dir})
		synctest.Wait()
		if ids := kept(t, dir); len(ids) != 0 {
			t.Errorf("kept %v", ids)
		}
		closeWriter(t, w)
	})
}

// TestTwoStarts: a restart at the same moment, or after the clock was set back,
// overwrites nothing.
func TestTwoStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for i := range 3 {
			w := open(t, Options{Dir: dir})
			add(w, record(fmt.Sprint("start", i)))
			closeWriter(t, w)
		}
		if got := strings.Join(kept(t, dir), " "); got != "start0 start1 start2" {
			t.Errorf("kept %s", got)
		}
	})
}

// TestForeignFiles: only files that bear our names are read, counted, removed.
func TestForeignFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		foreign := []string{"notes.txt", "saved.jsonl", "20060102T150405Z.jsonl", "x20060102T150405.000000000Z.jsonl"}
		for _, name := range foreign {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"id":"k7q2m9zt4w1c"}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(dir, "19990102T150405.000000000Z.jsonl"), 0o700); err != nil {
			t.Fatal(err)
		}
		w := open(t, Options{Dir: dir, MaxSize: 1 << 10})
		for i := range 20 {
			add(w, record(fmt.Sprint("record", i)))
		}
		closeWriter(t, w)
		for _, name := range foreign {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
		if found, err := Find(dir, "k7q2m9zt4w1c", 9); err != nil || len(found) != 0 {
			t.Errorf("found %d in strangers' files, %v", len(found), err)
		}
	})
}

// TestAddNeverWaits: with nobody to write, records are dropped and counted.
func TestAddNeverWaits(t *testing.T) {
	w := &Writer{queue: make(chan *Record, 2), ending: make(chan struct{})}
	for range 5 {
		w.Add(record("x"))
	}
	if w.Dropped() != 3 || len(w.queue) != 2 {
		t.Errorf("%d dropped, %d wait", w.Dropped(), len(w.queue))
	}
}

// TestClose: what waits is written, what comes later is dropped and harms nobody.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, Options{Dir: dir})
		const adders, each = 8, 100
		var adding sync.WaitGroup
		for i := range adders {
			adding.Go(func() {
				for j := range each {
					w.Add(record(fmt.Sprintf("id-%d-%d", i, j)))
				}
			})
		}
		adding.Wait()
		closeWriter(t, w)
		if ids := kept(t, dir); len(ids) != adders*each || w.Dropped() != 0 {
			t.Errorf("%d kept, %d dropped", len(ids), w.Dropped())
		}
		w.Add(record("late"))
		if w.Dropped() != 1 {
			t.Errorf("a late record: %d dropped", w.Dropped())
		}
		closeWriter(t, w) // twice is no harm
	})
}

// TestCloseGivesUp: a disk that hangs holds up the end no longer than allowed.
func TestCloseGivesUp(t *testing.T) {
	w := &Writer{ending: make(chan struct{}), done: make(chan struct{})} // nobody runs
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Close(ctx); err == nil {
		t.Error("no error")
	}
}

// TestDirectoryRemoved: somebody clears the directory while we write to it.
func TestDirectoryRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "verdicts")
		w := open(t, Options{Dir: dir})
		add(w, record("before"))
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		add(w, record("after"))
		closeWriter(t, w)
		if ids := kept(t, dir); len(ids) != 1 || ids[0] != "after" || w.Dropped() != 0 {
			t.Errorf("kept %v, dropped %d", ids, w.Dropped())
		}
	})
}

// TestBrokenDisk: while nothing can be written records are counted as lost, with
// one line in the log and not one a message; then it goes on.
func TestBrokenDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "verdicts")
		var log bytes.Buffer
		w := open(t, Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		add(w, record("before"))
		aside := dir + ".aside"
		if err := os.Rename(dir, aside); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(aside); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // root may do much, but not this
			t.Fatal(err)
		}
		for range 100 {
			add(w, record("lost"))
		}
		if w.Dropped() != 100 {
			t.Errorf("%d dropped of 100", w.Dropped())
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		add(w, record("after"))
		closeWriter(t, w)
		if ids := kept(t, dir); len(ids) != 1 || ids[0] != "after" {
			t.Errorf("kept %v", ids)
		}
		if n := strings.Count(log.String(), "journal cannot be written"); n != 1 || !strings.Contains(log.String(), `"journal is written again" dropped=100`) {
			t.Errorf("the log:\n%s", log.String())
		}
	})
}

// TestFullDisk: no half line, no heap of empty files, and all goes on once there
// is room.
func TestFullDisk(t *testing.T) {
	disk, err := os.MkdirTemp("", "journal")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(disk)
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("SKIPPED: no small disk to fill: %v (run as root with CAP_SYS_ADMIN)", err)
	}
	defer func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		dir, filler := filepath.Join(disk, "verdicts"), filepath.Join(disk, "filler")
		w := open(t, Options{Dir: dir})
		if err := os.WriteFile(filler, make([]byte, 48<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			add(w, record(fmt.Sprintf("id%010d", i)))
		}
		lost := w.Dropped()
		if ids := kept(t, dir); lost == 0 || int64(len(ids)) != 200-lost {
			t.Errorf("%d kept, %d dropped", len(ids), lost)
		}
		if _, files := size(t, dir); files != 1 {
			t.Errorf("%d files", files)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		add(w, record("after"))
		closeWriter(t, w)
		if ids := kept(t, dir); ids[len(ids)-1] != "after" || w.Dropped() != lost {
			t.Errorf("kept %v, dropped %d", ids, w.Dropped())
		}
	})
}

// TestTooLong: a line that nobody would read is not written.
func TestTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, Options{Dir: dir, MaxSize: 64 << 20})
		add(w, record("giant", func(r *Record) { r.Subject = strings.Repeat("x", maxLine) }))
		add(w, record("next"))
		closeWriter(t, w)
		if ids := kept(t, dir); len(ids) != 1 || ids[0] != "next" || w.Dropped() != 1 {
			t.Errorf("kept %v, dropped %d", ids, w.Dropped())
		}
	})
}

func TestOpen(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(blocked, "verdicts")}); err == nil {
		t.Error("no error for a directory that cannot be")
	}
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "a", "b")
		w := open(t, Options{Dir: dir})
		add(w, record("x"))
		closeWriter(t, w)
		files, err := list(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{dir, files[0].path} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
				t.Errorf("%s: %v, %v; strangers' mail is not for everybody to read", path, info.Mode(), err)
			}
		}
	})
}
