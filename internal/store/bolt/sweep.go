package bolt

import (
	"bytes"

	"go.etcd.io/bbolt"
)

// sweepRecords is how many records one sweep looks at: a few milliseconds.
const sweepRecords = 16384

// A place in the file: a record, or where one would stand.
type place struct{ space, key []byte }

// sweep looks at the next records of the file and deletes those that have expired.
// Only the writer calls it, so nothing changes between looking and deleting.
func (s *Store) sweep() {
	var over []place
	var next place
	err := s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			over, next = s.look(tx)
			return nil
		})
	})
	if err != nil {
		return // damaged, and said so
	}
	if len(over) > 0 {
		err = s.guard(func() error {
			if err := s.db.Update(func(tx *bbolt.Tx) error { return remove(tx, over) }); err != nil {
				return err
			}
			return s.measure()
		})
		s.report(err)
		if err != nil {
			return // and try the same stretch again
		}
		s.mu.Lock()
		s.stats.Swept += uint64(len(over))
		s.mu.Unlock()
	}
	s.sweepAt = next
}

// look returns the expired among the next records, and where to go on.
func (s *Store) look(tx *bbolt.Tx) (over []place, next place) {
	now, left := s.o.Now(), sweepRecords
	spaces := tx.Cursor()
	for name, _ := spaces.Seek(s.sweepAt.space); name != nil; name, _ = spaces.Next() {
		if bytes.Equal(name, formatBucket) {
			continue
		}
		records := tx.Bucket(name).Cursor()
		key, stored := records.First()
		if bytes.Equal(name, s.sweepAt.space) && s.sweepAt.key != nil {
			key, stored = records.Seek(s.sweepAt.key)
		}
		for ; key != nil; key, stored = records.Next() {
			if left--; left < 0 {
				return over, place{bytes.Clone(name), bytes.Clone(key)}
			}
			if decode(stored).At(now).Value == nil {
				over = append(over, place{bytes.Clone(name), bytes.Clone(key)})
			}
		}
	}
	return over, place{} // the end: begin again
}

func remove(tx *bbolt.Tx, places []place) error {
	for _, p := range places {
		if err := tx.Bucket(p.space).Delete(p.key); err != nil {
			return err
		}
	}
	return nil
}
