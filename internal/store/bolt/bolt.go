// Package bolt is the store of one host: one file, owned by one process.
//
// The file is a bbolt database, a B+tree that is never changed in place. A
// transaction writes new pages beside the old ones, syncs them, and then changes
// one page that says where the tree begins; so a process that is killed, or a
// machine that loses power, leaves the state before the transaction or after it.
// Reading is done in the caller's goroutine from the memory-mapped file and waits
// for no lock that is held while the disk works.
//
// # Writing
//
// A sync costs milliseconds, on a tired disk much more, so mail never waits for
// one. Batches go into a queue in memory, and one goroutine, the writer, takes all
// that waits into one transaction: at once when somebody waits in Apply, else
// within Options.CommitEvery. What the disk refuses stays in the queue and is tried
// again; whoever waits is told at once. The queue is bounded, and so is the file.
//
// # Expiry
//
// An expired record is invisible at once and takes its space until the sweep comes
// by: every Options.SweepEvery the writer looks at a bounded number of records and
// deletes what is over, beginning where it stopped the last time. There is no index
// by time; it would cost every write a second one.
//
// # Damage
//
// A memory-mapped file that cannot be read is a fault of the processor, not an
// error. Store turns it into one, [ErrDamaged], and from then on refuses everything
// at once until the daemon is started with a good file: what else the file says is
// not to be trusted.
package bolt

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"milterd/internal/store"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Options says how to keep a store. The zero value is right for most.
type Options struct {
	// Now is the clock by which records expire. Nil: time.Now.
	Now func() time.Time
	// Logger hears when writing begins to fail and when it works again. Nil: nobody.
	Logger *slog.Logger
	// MaxBytes is how much the file may hold. Over it writing is refused with
	// store.ErrFull, deleting is not. The file itself may be larger by what one
	// transaction needs, and never shrinks. Zero: 1 GiB.
	MaxBytes int64
	// QueueBytes is how much may wait to be written. Zero: 16 MiB.
	QueueBytes int
	// CommitEvery is how long a posted batch waits for company. Zero: 250 ms.
	CommitEvery time.Duration
	// SweepEvery is how often the writer looks for expired records, 16,384 of them
	// each time. Zero: 10 s.
	SweepEvery time.Duration
}

const (
	// commitOps bounds the operations of one transaction, and with it the pages
	// that it copies and the time that it takes.
	commitOps = 8192
	// retryAfter is the pause after a failed transaction when nobody waits.
	retryAfter = time.Second
	// lockWait is how long Open waits for a process that is just ending.
	lockWait = time.Second
)

var (
	// ErrLocked is a file that another process has open: most likely a daemon.
	ErrLocked = errors.New("store: another process has the file open")
	// ErrDamaged is a file that cannot be read, or not as what it should be.
	ErrDamaged = errors.New("store: file is damaged")
)

// Store is a store.Store in a file. It ends with Close.
type Store struct {
	o    Options
	db   *bbolt.DB
	file *os.File // the one that db uses

	damage atomic.Pointer[error] // set once, when the file is not to be trusted
	full   atomic.Bool           // the last transaction left more than MaxBytes

	wake   chan struct{} // something waits that the writer may not know of
	ending chan struct{} // closed by Close
	done   chan struct{} // closed when the writer has ended

	mu      sync.Mutex // guards what follows
	waiting []*batch
	queued  int  // bytes, of waiting and of what is being written
	urgent  bool // an Apply is waiting
	closed  bool
	stats   store.Stats

	// Of the writer alone.
	failing bool
	sweepAt place
	lost    error // what Close returns
}

var _ store.Store = (*Store)(nil)

// Stats returns the state of s.
func (s *Store) Stats() store.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.QueuedBytes = s.queued
	st.Failing = st.Failing || s.damage.Load() != nil
	return st
}

// Get implements [store.Store]. The context is looked at before each eighth key, since on
// a cold disk each may cost a seek.
func (s *Store) Get(ctx context.Context, space string, keys ...[]byte) ([][]byte, error) {
	if err := store.ValidateKeys(space, keys); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	err := s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error { return s.read(ctx, tx, space, keys, values) })
	})
	switch {
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return nil, store.ErrClosed
	case err != nil:
		return nil, err // and no values: they may lie in the file
	}
	return values, nil
}

// read fills values. They are copied into one piece of memory, because those of
// the file are gone when the transaction ends.
func (s *Store) read(ctx context.Context, tx *bbolt.Tx, space string, keys, values [][]byte) error {
	bucket := tx.Bucket([]byte(space))
	if bucket == nil {
		return ctx.Err()
	}
	cursor := bucket.Cursor() // one for all: bucket.Get makes one for each key
	now, size := s.o.Now(), 0
	for i, key := range keys {
		if i%8 == 0 && ctx.Err() != nil { // and not Done, for which some contexts would set a timer
			return ctx.Err()
		}
		if found, stored := cursor.Seek(key); bytes.Equal(found, key) {
			values[i] = decode(stored).At(now).Value
		}
		size += len(values[i])
	}
	copied := make([]byte, 0, size)
	for i, v := range values {
		if v != nil {
			start := len(copied)
			copied = append(copied, v...)
			values[i] = copied[start:len(copied):len(copied)]
		}
	}
	return nil
}

// Close writes what waits, ends the writer and closes the file. What comes later is
// refused. The error says what could not be written, or that ctx ended before the
// disk had done its part; the writer goes on alone then.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.ending)
	}
	s.mu.Unlock()
	select {
	case <-s.done:
		return s.lost
	case <-ctx.Done():
		return ctx.Err()
	}
}
