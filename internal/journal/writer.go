package journal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options says where the journal lies and how much of it is kept.
type Options struct {
	Dir     string
	MaxSize int64         // of all files together; the oldest go first
	MaxAge  time.Duration // of a record; it may live an eighth longer, with its file
	Now     func() time.Time
	Logger  *slog.Logger
}

const (
	// fileName is the time at which a file was begun, so that names sort by age.
	fileName = "20060102T150405.000000000Z.jsonl"
	// queueLength is how many records may wait for a slow disk. More are
	// dropped and counted: a verdict never waits for its record.
	queueLength = 4096
	// filesKept is the number of files that size and age are divided by: what
	// is over either goes one file at a time.
	filesKept = 8
	// tidyEvery is how often files are looked through for what is too old,
	// where no mail comes to give the occasion.
	tidyEvery = time.Hour
	// writeSize is how many bytes of records that wait go out with one write, and
	// a record more.
	writeSize = 32 << 10
)

// Writer appends records to files named after the time they were begun. It
// writes in a goroutine of its own.
type Writer struct {
	o       Options
	queue   chan *Record
	ending  chan struct{} // closed by Close
	done    chan struct{}
	dropped atomic.Int64
	stop    sync.Once

	// The file that is being written, nil when the next record begins one.
	file  *os.File
	began time.Time
	size  int64
	// lines are records that the file does not have yet. It is empty whenever the
	// queue is, but for the room that it keeps for the next ones.
	lines   []byte
	failing bool // the last record was lost
}

// Open starts a journal in a directory, which it makes if need be.
func Open(o Options) (*Writer, error) {
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	w := &Writer{o: o, queue: make(chan *Record, queueLength), ending: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w, nil
}

// Add hands over a record. It never waits.
func (w *Writer) Add(r *Record) {
	select {
	case <-w.ending:
	default:
		select {
		case w.queue <- r:
			return
		default:
		}
	}
	w.dropped.Add(1)
}

// Dropped returns how many records were lost to a slow, full or broken disk.
func (w *Writer) Dropped() int64 { return w.dropped.Load() }

// Close writes what waits and ends the writer. What comes later is dropped.
func (w *Writer) Close(ctx context.Context) error {
	w.stop.Do(func() { close(w.ending) })
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("journal: %w", ctx.Err())
	}
}

func (w *Writer) run() {
	defer close(w.done)
	defer w.end()
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	w.tidy()
	for {
		select {
		case r := <-w.queue:
			w.keep(r)
		case <-tidy.C:
			w.tidy()
		case <-w.ending:
			for len(w.queue) > 0 {
				w.keep(<-w.queue)
			}
			return
		}
	}
}

// keep writes a record, and with it what came meanwhile. No record waits for one
// that is not there yet.
func (w *Writer) keep(r *Record) {
	w.add(r)
	for len(w.queue) > 0 && len(w.lines) < writeSize {
		w.add(<-w.queue)
	}
	w.flush()
}

// add puts a record behind the lines that wait. Those that would take the file
// over its share together are written before, so that files are as long as if
// every record were written by itself.
func (w *Writer) add(r *Record) {
	before := len(w.lines)
	lines, err := appendRecord(w.lines, r)
	if err == nil && len(lines)-before >= maxLine {
		err = fmt.Errorf("record %s has %d bytes", r.ID, len(lines)-before+1)
	}
	if err != nil {
		w.note(1, err)
		return
	}
	w.lines = append(lines, '\n')
	if before > 0 && w.full(len(w.lines)) {
		last := w.lines[before:]
		w.lines = w.lines[:before]
		w.flush()
		w.lines = append(w.lines, last...)
	}
}

// flush writes the lines that wait, or counts them as lost.
func (w *Writer) flush() {
	if len(w.lines) == 0 {
		return
	}
	n, err := w.write(w.lines)
	w.note(bytes.Count(w.lines[n:], []byte{'\n'}), err)
	w.lines = w.lines[:0]
}

// note counts records that are lost. A broken disk is worth one line in the log,
// not one a message.
func (w *Writer) note(lost int, err error) {
	switch {
	case err != nil && !w.failing:
		w.o.Logger.Error("journal cannot be written, verdicts go on", "err", err)
	case err == nil && w.failing:
		w.o.Logger.Info("journal is written again", "dropped", w.dropped.Load())
	}
	w.failing = err != nil
	w.dropped.Add(int64(lost))
}

// write appends whole lines to the file and returns how many bytes of them it
// has, which is a number of whole lines again. Whether the file is too old or
// gone is asked once for all of them: they came in the same moment.
func (w *Writer) write(lines []byte) (int, error) {
	if w.file != nil && (w.full(len(lines)) || w.old() || w.gone()) {
		w.end()
	}
	if w.file == nil {
		if err := w.begin(); err != nil {
			return 0, err
		}
		w.prune()
	}
	n, err := w.file.Write(lines)
	if err != nil {
		// Half a line on a full disk would spoil the next one.
		n = bytes.LastIndexByte(lines[:n], '\n') + 1
		if cut := w.file.Truncate(w.size + int64(n)); cut != nil {
			w.end()
			return n, errors.Join(err, cut)
		}
	}
	w.size += int64(n)
	return n, err
}

// begin makes a new file.
func (w *Writer) begin() error {
	if err := os.MkdirAll(w.o.Dir, 0o750); err != nil { // somebody may have removed it
		return err
	}
	began := w.o.Now().UTC()
	if !began.After(w.began) { // the clock was set back: names keep their order
		began = w.began
	}
	for ; ; began = began.Add(1) {
		path := filepath.Join(w.o.Dir, began.Format(fileName))
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o640)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		w.file, w.began = f, began
		return nil
	}
}

func (w *Writer) end() {
	if w.file != nil {
		w.file.Close()
		w.file, w.size = nil, 0
	}
}

// full reports whether more bytes would take the file over its share.
func (w *Writer) full(more int) bool { return w.size+int64(more) > w.o.MaxSize/filesKept }

// old reports whether the file holds records for so long that it is to go in one
// piece.
func (w *Writer) old() bool { return w.o.Now().Sub(w.began) > w.o.MaxAge/filesKept }

// gone reports whether the file was removed under our hands: what is written to
// it would be lost without an error.
func (w *Writer) gone() bool {
	info, err := w.file.Stat()
	if err != nil {
		return true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 0
}

// tidy removes what is too old, whether or not mail comes.
func (w *Writer) tidy() {
	if w.file != nil && w.old() {
		w.end()
	}
	w.prune()
}

// prune removes the files that are over MaxSize, room for the current one left,
// and those whose youngest record is over MaxAge. What cannot be removed is for
// the log: the record at hand can be written all the same.
func (w *Writer) prune() {
	files, err := list(w.o.Dir)
	if err != nil {
		w.o.Logger.Warn("journal cannot be tidied", "err", err)
		return
	}
	now, room := w.o.Now(), w.o.MaxSize-w.o.MaxSize/filesKept
	for _, f := range slices.Backward(files) {
		if w.file != nil && f.began.Equal(w.began) {
			continue
		}
		room -= f.size
		if room >= 0 && now.Sub(f.began) <= w.o.MaxAge+w.o.MaxAge/filesKept {
			continue
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.o.Logger.Warn("journal cannot be tidied", "err", err)
		}
	}
}

type file struct {
	path  string
	began time.Time
	size  int64
}

// list returns the files of a journal, oldest first. What else lies there is
// not ours to read, and above all not ours to remove.
func list(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, e := range entries {
		began, err := time.Parse(fileName, e.Name())
		if err != nil || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		files = append(files, file{filepath.Join(dir, e.Name()), began, info.Size()})
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(a.began.Compare(b.began), strings.Compare(a.path, b.path)) })
	return files, nil
}
