package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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

// idle is a writer whose records wait until drain writes them.
func idle(o Options) *Writer {
	o.MaxAge, o.Now, o.Logger = day, time.Now, slog.New(slog.DiscardHandler)
	return &Writer{o: o, queue: make(chan *Record, queueLength), ending: make(chan struct{})}
}

func drain(w *Writer) {
	for len(w.queue) > 0 {
		w.keep(<-w.queue)
	}
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

// TestOneWrite: what waits goes out together, as far as one write may hold it, and in the
// order in which it came. The file is a socket here, which keeps writes apart.
func TestOneWrite(t *testing.T) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	in, out := os.NewFile(uintptr(ends[0]), "in"), os.NewFile(uintptr(ends[1]), "out")
	defer out.Close()
	w := idle(Options{MaxSize: 1 << 30})
	w.file, w.began = in, time.Now()
	packet := make([]byte, 2*writeSize)
	read := func() []byte {
		n, err := out.Read(packet)
		if err != nil {
			t.Fatal(err)
		}
		return packet[:n]
	}
	const waiting = 300
	for i := range waiting {
		w.Add(record(fmt.Sprintf("id%010d", i), func(r *Record) { r.Helo = strings.Repeat("x", i) }))
	}
	next := 0
	for writes := 0; len(w.queue) > 0; writes++ {
		w.keep(<-w.queue)
		written := read()
		if len(w.queue) > 0 && (len(written) < writeSize || len(written) > writeSize+1<<10) {
			t.Errorf("write %d has %d bytes", writes, len(written))
		}
		for line := range bytes.Lines(written) {
			var r Record
			if err := json.Unmarshal(line, &r); err != nil || r.ID != fmt.Sprintf("id%010d", next) {
				t.Fatalf("line %d: %q, %v", next, line, err)
			}
			next++
		}
	}
	if next != waiting || len(w.lines) != 0 || w.Dropped() != 0 {
		t.Errorf("%d of %d written, %d bytes wait, %d dropped", next, waiting, len(w.lines), w.Dropped())
	}
	w.keep(record("alone")) // and nobody waits for more
	if written := read(); bytes.Count(written, []byte("\n")) != 1 || !bytes.Contains(written, []byte("alone")) {
		t.Errorf("then %q", written)
	}
	// What can be neither written nor cut is left alone, and the next record begins a file.
	w.o.Dir = t.TempDir()
	out.Close()
	w.keep(record("lost"))
	w.keep(record("after"))
	w.end()
	if ids := kept(t, w.o.Dir); len(ids) != 1 || ids[0] != "after" || w.Dropped() != 1 {
		t.Errorf("kept %v, dropped %d", ids, w.Dropped())
	}
}

// TestTogetherOrAlone: files are as long whether their records came at once or one by one.
func TestTogetherOrAlone(t *testing.T) {
	sizes := func(together int) (all []int64) {
		dir := t.TempDir()
		w := idle(Options{Dir: dir, MaxSize: 32 << 10})
		for i := range 130 {
			w.Add(record(fmt.Sprintf("id%010d", i), func(r *Record) { r.Helo = strings.Repeat("x", i*i%701) }))
			if i%97 == 50 { // more than the share of a file
				w.Add(record(fmt.Sprintf("large%07d", i), func(r *Record) { r.Helo = strings.Repeat("x", 5000) }))
			}
			if i%together == 0 {
				drain(w)
			}
		}
		drain(w)
		w.end()
		files, err := list(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			all = append(all, f.size)
		}
		if w.Dropped() != 0 || len(files) < filesKept/2 {
			t.Errorf("%d dropped, %d files", w.Dropped(), len(files))
		}
		return all
	}
	alone := sizes(1)
	for _, together := range []int{2, 7, 1000} {
		if got := sizes(together); !slices.Equal(got, alone) {
			t.Errorf("%d together: %v, alone %v", together, got, alone)
		}
	}
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
	for _, together := range []int{1, 7, 200} {
		dir, filler := filepath.Join(disk, "verdicts"), filepath.Join(disk, "filler")
		w := idle(Options{Dir: dir, MaxSize: 1 << 20})
		if err := os.WriteFile(filler, make([]byte, 40<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			w.Add(record(fmt.Sprintf("id%010d", i)))
			if i%together == 0 {
				drain(w)
			}
		}
		drain(w)
		lost := w.Dropped()
		ids := kept(t, dir)
		if lost == 0 || int64(len(ids)) != 200-lost {
			t.Errorf("%d together: %d kept, %d dropped", together, len(ids), lost)
		}
		if len(ids) > 0 && (ids[0] != "id0000000000" || ids[len(ids)-1] != fmt.Sprintf("id%010d", len(ids)-1)) {
			t.Errorf("%d together: there was room for the first %d, kept %v", together, len(ids), ids)
		}
		if n, files := size(t, dir); files != 1 || n < 16<<10 {
			t.Errorf("%d together: %d bytes in %d files, and room for more", together, n, files)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		w.keep(record("after"))
		w.end()
		if ids := kept(t, dir); ids[len(ids)-1] != "after" || w.Dropped() != lost {
			t.Errorf("%d together: kept %v, dropped %d", together, ids, w.Dropped())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
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

// BenchmarkKeep is a record on its way into the file: by itself, and as one of eight that wait.
func BenchmarkKeep(b *testing.B) {
	var records []*Record
	for _, o := range busy(256) {
		records = append(records, NewRecord(o, true))
	}
	for _, together := range []int{1, 8} {
		b.Run(fmt.Sprint(together), func(b *testing.B) {
			w := idle(Options{Dir: b.TempDir(), MaxSize: 64 << 20})
			defer w.end()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				w.Add(records[i%len(records)])
				if (i+1)%together == 0 {
					drain(w)
				}
			}
			drain(w)
			if w.Dropped() > 0 {
				b.Errorf("%d dropped", w.Dropped())
			}
		})
	}
}
