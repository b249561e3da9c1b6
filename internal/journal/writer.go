package journal

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options says where the journal lies and how much of it is kept.
type Options struct {
	Dir     string
	MaxSize int64         // of all files together; the oldest go first
	MaxAge  time.Duration // of a file
	Now     func() time.Time
	Logger  *slog.Logger
}

const (
	fileSuffix = ".jsonl"
	// queueLength is how many records may wait for a slow disk. More are
	// dropped and counted: a verdict never waits for its record.
	queueLength = 4096
	// filesKept is the number of files that the size is divided by: when the
	// journal is full, one part of this many goes at a time.
	filesKept = 8
)

// Writer appends records to files named after the time they were begun. It
// writes in a goroutine of its own.
type Writer struct {
	o       Options
	queue   chan *Record
	done    chan struct{}
	dropped atomic.Int64
	stop    sync.Once

	file *os.File
	size int64
}

// Open starts a journal in a directory, which it makes if need be.
func Open(o Options) (*Writer, error) {
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	w := &Writer{o: o, queue: make(chan *Record, queueLength), done: make(chan struct{})}
	go w.run()
	return w, nil
}

// Add hands over a record. It never waits.
func (w *Writer) Add(r *Record) {
	select {
	case w.queue <- r:
	default:
		w.dropped.Add(1)
	}
}

// Dropped returns how many records were lost to a slow or full disk.
func (w *Writer) Dropped() int64 { return w.dropped.Load() }

// Close writes what waits and ends the writer. Nobody may Add any more.
func (w *Writer) Close(ctx context.Context) error {
	w.stop.Do(func() { close(w.queue) })
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("journal: %w", ctx.Err())
	}
}

func (w *Writer) run() {
	defer close(w.done)
	failing := false
	for r := range w.queue {
		err := w.write(r)
		if err != nil {
			w.dropped.Add(1)
			if !failing {
				w.o.Logger.Error("journal cannot be written, verdicts go on", "err", err)
			}
		}
		failing = err != nil
	}
	if w.file != nil {
		w.file.Close()
	}
}

func (w *Writer) write(r *Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if w.file == nil || w.size+int64(len(line)) > w.o.MaxSize/filesKept {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	n, err := w.file.Write(line)
	w.size += int64(n)
	if err != nil {
		w.file.Close()
		w.file = nil // a new file, once there is room again
	}
	return err
}

// rotate begins a new file and removes what is over MaxSize or MaxAge.
func (w *Writer) rotate() error {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
	name := filepath.Join(w.o.Dir, w.o.Now().UTC().Format("20060102T150405.000000000Z")+fileSuffix)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	w.file, w.size = f, 0
	return w.prune(name)
}

func (w *Writer) prune(current string) error {
	files, err := list(w.o.Dir)
	if err != nil {
		return err
	}
	room := w.o.MaxSize - w.o.MaxSize/filesKept
	for _, f := range slices.Backward(files) {
		room -= f.size
		if f.path != current && (room < 0 || w.o.Now().Sub(f.modified) > w.o.MaxAge) {
			if err := os.Remove(f.path); err != nil {
				return err
			}
		}
	}
	return nil
}

type file struct {
	path     string
	size     int64
	modified time.Time
}

// list returns the files of a journal, oldest first.
func list(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), fileSuffix) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		files = append(files, file{filepath.Join(dir, e.Name()), info.Size(), info.ModTime()})
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.path, b.path) })
	return files, nil
}
