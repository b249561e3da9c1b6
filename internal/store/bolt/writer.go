package bolt

import (
	"context"
	"fmt"
	"slices"
	"time"

	"milterd/internal/store"

	"go.etcd.io/bbolt"
)

// A batch waits to be written.
type batch struct {
	space string
	ops   []store.Op
	at    time.Time       // when it was handed over
	size  int             // bytes, for the bound of the queue
	ctx   context.Context // of Apply
	done  chan error      // of Apply, nil for Post; holds one
	err   error           // what came of it in the transaction
}

// Apply implements [store.Store].
func (s *Store) Apply(ctx context.Context, space string, ops ...store.Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := &batch{space: space, ops: ops, ctx: ctx, done: make(chan error, 1)}
	if err := s.enqueue(b); err != nil {
		return err
	}
	select {
	case err := <-b.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Post implements [store.Store].
func (s *Store) Post(space string, ops ...store.Op) error {
	return s.enqueue(&batch{space: space, ops: ops})
}

// enqueue lets b wait for the writer, or says why it may not.
func (s *Store) enqueue(b *batch) (err error) {
	if b.size, err = store.Validate(b.space, b.ops); err != nil {
		return err
	}
	if d := s.damage.Load(); d != nil {
		return *d
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return store.ErrClosed
	case s.full.Load() && slices.ContainsFunc(b.ops, grows):
		s.stats.Refused++
		return store.ErrFull
	case s.queued+b.size > s.o.QueueBytes:
		s.stats.Refused++
		return store.ErrBusy
	}
	b.at = s.o.Now()
	s.queued += b.size
	s.waiting = append(s.waiting, b)
	s.urgent = s.urgent || b.done != nil
	if b.done != nil || len(s.waiting) == 1 {
		select {
		case s.wake <- struct{}{}:
		default: // it will look anyway
		}
	}
	return nil
}

func grows(o store.Op) bool { return o.Kind == store.KindPut || o.Kind == store.KindAdd }

// run is the writer.
func (s *Store) run() {
	defer close(s.done)
	sweep := time.NewTicker(s.o.SweepEvery)
	defer sweep.Stop()
	var due <-chan time.Time // when to write what nobody waits for; nil while nothing waits
	for {
		now := false
		select {
		case <-s.wake:
			now = s.isUrgent()
		case <-due:
			now = true
		case <-sweep.C:
			s.sweep()
		case <-s.ending:
			s.end()
			return
		}
		switch {
		case now && s.flush() != nil:
			due = time.After(retryAfter)
		case now:
			due = nil
		}
		if due == nil && s.somethingWaits() {
			due = time.After(s.o.CommitEvery)
		}
	}
}

// end makes the last attempt and closes the file.
func (s *Store) end() {
	if err := s.flush(); err != nil {
		s.lost = fmt.Errorf("store: closed with %d batches unwritten: %w", len(s.waiting), err)
	}
	if err := s.closeFile(); err != nil && s.lost == nil {
		s.lost = err
	}
}

func (s *Store) isUrgent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.urgent
}

func (s *Store) somethingWaits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) > 0
}

// flush writes all that waits, in its order. On error what was posted still waits.
func (s *Store) flush() error {
	for {
		group := s.take()
		if len(group) == 0 {
			return nil
		}
		switch err := s.commit(group); err {
		case nil:
			s.report(nil)
		case errNothing: // which says nothing about the disk
		default:
			s.report(err)
			s.giveBack(group, err)
			return err
		}
		s.settle(group)
	}
}

// take takes the next batches out of the queue, as many as one transaction may
// have. Those whose callers have gone are left out.
func (s *Store) take() []*batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.urgent = false
	s.waiting = slices.DeleteFunc(s.waiting, func(b *batch) bool {
		gone := b.done != nil && b.ctx.Err() != nil
		if gone {
			s.queued -= b.size
		}
		return gone
	})
	n, ops := 0, 0
	for _, b := range s.waiting {
		if ops += len(b.ops); ops > commitOps && n > 0 {
			break
		}
		n++
	}
	group := slices.Clone(s.waiting[:n])
	s.waiting = slices.Delete(s.waiting, 0, n)
	return group
}

// commit makes one transaction of the batches. It returns errNothing if none of
// them wants or may have anything written.
func (s *Store) commit(group []*batch) error {
	return s.guard(func() error {
		err := s.db.Update(func(tx *bbolt.Tx) error {
			changed := false
			for _, b := range group {
				wrote, err := b.write(tx)
				if err != nil && err != store.ErrConflict {
					return err
				}
				b.err = err
				changed = changed || wrote
			}
			if !changed {
				return errNothing
			}
			return nil
		})
		if err != nil {
			return err
		}
		return s.measure()
	})
}

// write does the operations of b, or none of them, and reports whether that made
// any difference.
func (b *batch) write(tx *bbolt.Tx) (wrote bool, err error) {
	if len(b.ops) == 0 {
		return false, nil
	}
	bucket, err := tx.CreateBucketIfNotExists([]byte(b.space))
	if err != nil {
		return false, err
	}
	for i := range b.ops {
		if o := &b.ops[i]; o.Kind == store.KindIf && !o.Holds(decode(bucket.Get(o.Key)).At(b.at)) {
			return false, store.ErrConflict
		}
	}
	for i := range b.ops {
		o := &b.ops[i]
		stored := bucket.Get(o.Key)
		switch {
		case o.Kind == store.KindIf, o.Kind == store.KindDelete && stored == nil:
			continue
		case o.Kind == store.KindDelete:
			err = bucket.Delete(o.Key)
		default:
			err = bucket.Put(o.Key, encode(o.Change(decode(stored).At(b.at), b.at)))
		}
		if err != nil {
			return false, err
		}
		wrote = true
	}
	return wrote, nil
}

// settle tells the callers of a written group.
func (s *Store) settle(group []*batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range group {
		s.queued -= b.size
		if b.done != nil {
			b.done <- b.err
		}
	}
}

// giveBack puts what was posted back to the head of the queue, and tells everybody
// who waits, in group or behind it, that it will not be today.
func (s *Store) giveBack(group []*batch, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(append(group, s.waiting...), func(b *batch) bool {
		if b.done == nil {
			return false
		}
		s.queued -= b.size
		b.done <- err
		return true
	})
	s.urgent = false
}

// report counts a transaction and says when things turn bad or good again.
func (s *Store) report(err error) {
	s.mu.Lock()
	if err == nil {
		s.stats.Commits++
	} else {
		s.stats.Failures++
	}
	s.stats.Failing = err != nil
	queued := s.queued
	s.mu.Unlock()
	switch {
	case err != nil && !s.failing:
		s.o.Logger.Warn("store cannot be written", "err", err, "queued_bytes", queued)
	case err == nil && s.failing:
		s.o.Logger.Info("store is written again")
	}
	s.failing = err != nil
}
