package table

import (
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"milterd/internal/strictyaml"
)

// DefaultEvery is how often a file is looked at, at most.
const DefaultEvery = 3 * time.Second

// A File is a table in a file that may change. It is for concurrent use.
type File struct {
	path   string
	every  time.Duration
	now    func() time.Time
	logger *slog.Logger

	table atomic.Pointer[Table]
	next  atomic.Int64 // when to look again, in nanoseconds

	mu   sync.Mutex // held while looking
	seen state
	bad  string // the last warning, so that it is not given again and again
}

// state is what tells one version of a file from another.
type state struct {
	size     int64
	modified time.Time
	missing  bool
	file     os.FileInfo // for [os.SameFile]: a file that was renamed into place
}

// Open reads a file. What is wrong with it is the error, as of [Parse]. A nil
// logger is silent, a nil clock that of the system.
func Open(path string, now func() time.Time, logger *slog.Logger) (*File, error) {
	if now == nil {
		now = time.Now
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	f := &File{path: path, every: DefaultEvery, now: now, logger: logger}
	f.seen = look(path)
	t, err := Read(path)
	if err != nil {
		return nil, err
	}
	f.table.Store(t)
	f.next.Store(now().Add(f.every).UnixNano())
	return f, nil
}

// Path returns where the file is.
func (f *File) Path() string { return f.path }

// Table returns what the file says now. Once in a few seconds the call looks
// whether the file has changed, and reads it again if so; a file that is broken
// or gone keeps the table as it was, and a warning says why.
func (f *File) Table() *Table {
	if now := f.now().UnixNano(); now >= f.next.Load() && f.mu.TryLock() {
		f.next.Store(now + int64(f.every))
		f.refresh()
		f.mu.Unlock()
	}
	return f.table.Load()
}

func (f *File) refresh() {
	is := look(f.path)
	if is.missing == f.seen.missing && is.size == f.seen.size && is.modified.Equal(f.seen.modified) && (is.missing || os.SameFile(is.file, f.seen.file)) {
		return
	}
	f.seen = is
	t, err := Read(f.path)
	if err != nil {
		if text := err.Error(); text != f.bad {
			f.bad = text
			f.logger.Warn("a table keeps its old entries, since the file cannot be read", "path", f.path, "entries", f.table.Load().Len(), "err", err)
		}
		return
	}
	f.bad = ""
	f.table.Store(t)
	f.logger.Info("a table was read again", "path", f.path, "entries", t.Len())
}

func look(path string) state {
	info, err := os.Stat(path)
	if err != nil {
		return state{missing: true}
	}
	return state{size: info.Size(), modified: info.ModTime(), file: info}
}

// Read reads a file once. The error is an [fs.PathError], or as of [Parse].
func Read(path string) (*Table, error) {
	text, err := strictyaml.ReadFile(path, MaxBytes)
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}
