package bolt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"milterd/internal/store"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The file has a bucket for each space, and one that says what it is. Its name
// cannot be that of a space.
var (
	formatBucket = []byte("FORMAT")
	formatKey    = []byte("milterd")
	formatNow    = []byte("1")
)

// Open opens the store in the file at path, which it makes if need be; the
// directory must exist. The error is [ErrLocked], [ErrDamaged] or one of the file
// system.
func Open(path string, o Options) (*Store, error) {
	if min(o.MaxBytes, int64(o.QueueBytes), int64(o.CommitEvery), int64(o.SweepEvery)) < 0 {
		return nil, errors.New("store: negative time or size")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.MaxBytes = cmp.Or(o.MaxBytes, 1<<30)
	o.QueueBytes = cmp.Or(o.QueueBytes, 16<<20)
	o.CommitEvery = cmp.Or(o.CommitEvery, 250*time.Millisecond)
	o.SweepEvery = cmp.Or(o.SweepEvery, 10*time.Second)
	s := &Store{o: o, wake: make(chan struct{}, 1), ending: make(chan struct{}), done: make(chan struct{})}
	if err := s.guard(func() error { return s.open(path) }); err != nil {
		s.closeFile()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	go s.run()
	return s, nil
}

func (s *Store) open(path string) error {
	_, err := os.Stat(path)
	fresh := errors.Is(err, os.ErrNotExist)
	s.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:      lockWait,
		FreelistType: bbolt.FreelistMapType, // the array gets slow in a large file
		// Address space, not memory. A file that outgrows it is mapped anew, for which
		// readers and writer wait for each other.
		InitialMmapSize: int(s.o.MaxBytes),
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			s.file, err = os.OpenFile(name, flag, mode)
			return s.file, err
		},
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return ErrLocked
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return err
	}
	if err := s.db.Update(identify); err != nil && !errors.Is(err, errNothing) {
		return err
	}
	if fresh { // else a loss of power could take the name and leave the promises
		if err := syncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return s.measure()
}

// errNothing ends a transaction that has nothing to write.
var errNothing = errors.New("nothing to write")

// identify makes an empty file ours and refuses one that is somebody else's.
func identify(tx *bbolt.Tx) error {
	bucket := tx.Bucket(formatBucket)
	if bucket == nil {
		if name, _ := tx.Cursor().First(); name != nil {
			return errors.New("store: not a file of milterd")
		}
		bucket, err := tx.CreateBucket(formatBucket)
		if err != nil {
			return err
		}
		return bucket.Put(formatKey, formatNow)
	}
	if v := bucket.Get(formatKey); string(v) != string(formatNow) {
		return fmt.Errorf("store: file has format %q, expected %q: made by another version of milterd", v, formatNow)
	}
	return errNothing
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// closeFile closes the database; a damaged one may hold locks that nobody will ever
// release, so there only the file goes, and its lock with it.
func (s *Store) closeFile() error {
	if s.damage.Load() == nil && s.db != nil {
		return s.db.Close()
	}
	if s.file != nil {
		s.file.Close()
	}
	return nil
}

// guard calls f, which reads or writes the file, and makes an error of what is
// wrong with the file: a page that cannot be read, a tree that is none.
func (s *Store) guard(f func() error) (err error) {
	if d := s.damage.Load(); d != nil {
		return *d
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, v)
			if s.damage.CompareAndSwap(nil, &err) {
				s.o.Logger.Error("store cannot read its file and is out of use until the next start", "err", err)
			}
		}
	}()
	return f()
}

// measure notes how much of the file is in use.
func (s *Store) measure() error {
	return s.db.View(func(tx *bbolt.Tx) error {
		stats := s.db.Stats()
		used := tx.Size() - int64(stats.FreePageN+stats.PendingPageN)*int64(s.db.Info().PageSize)
		s.full.Store(used > s.o.MaxBytes)
		s.mu.Lock()
		s.stats.UsedBytes = used
		s.mu.Unlock()
		return nil
	})
}

// A stored record is its end, 8 bytes big-endian, and its value.

func decode(stored []byte) store.Record {
	if len(stored) < 8 { // nothing, or nothing of ours
		return store.Record{}
	}
	return store.Record{Value: stored[8:], Expires: int64(binary.BigEndian.Uint64(stored))}
}

func encode(r store.Record) []byte {
	stored := make([]byte, 8, 8+len(r.Value))
	binary.BigEndian.PutUint64(stored, uint64(r.Expires))
	return append(stored, r.Value...)
}
