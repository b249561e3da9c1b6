package bolt

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"milterd/internal/store"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// walkBytes is how much is read in one transaction: one that stays open while its
// reader is slow would keep the file from using its space again.
const walkBytes = 1 << 20

var _ store.Walker = (*Store)(nil)

// found is a record on its way to somebody.
type found struct {
	place
	r store.Record
}

// Walk implements [store.Walker].
func (s *Store) Walk(ctx context.Context, each func(space string, key []byte, r store.Record) error) error {
	for at, more := (place{}), true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var some []found
		err := s.guard(func() error {
			return s.db.View(func(tx *bbolt.Tx) error {
				some, at, more = s.stretch(tx, at)
				return nil
			})
		})
		if errors.Is(err, berrors.ErrDatabaseNotOpen) {
			return store.ErrClosed
		}
		if err != nil {
			return err
		}
		for _, f := range some {
			if err := each(string(f.space), f.key, f.r); err != nil {
				return err
			}
		}
	}
	return nil
}

// stretch returns copies of the records from a place on, and where to go on.
func (s *Store) stretch(tx *bbolt.Tx, from place) (some []found, next place, more bool) {
	now, size := s.o.Now(), 0
	spaces := tx.Cursor()
	for name, _ := spaces.Seek(from.space); name != nil; name, _ = spaces.Next() {
		if bytes.Equal(name, formatBucket) {
			continue
		}
		records := tx.Bucket(name).Cursor()
		key, stored := records.First()
		if bytes.Equal(name, from.space) && from.key != nil {
			key, stored = records.Seek(from.key)
		}
		for ; key != nil; key, stored = records.Next() {
			here := place{slices.Clone(name), slices.Clone(key)}
			if size >= walkBytes {
				return some, here, true
			}
			size += len(key) + len(stored)
			if r := decode(stored).At(now); r.Value != nil {
				r.Value = append([]byte{}, r.Value...)
				some = append(some, found{here, r})
			}
		}
	}
	return some, place{}, false
}
