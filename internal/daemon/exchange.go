package daemon

import (
	"context"
	"errors"
	"sync/atomic"

	"milterd/internal/store"
)

// exchange is the store that everything in a daemon uses. What stands behind it
// changes when a daemon takes over another one's work, or gives its own away: the file
// is one process's at a time. Before the first use it holds nothing, [store.ErrClosed].
type exchange struct{ behind atomic.Pointer[Store] }

var _ Store = (*exchange)(nil)

// use puts s behind e and returns what stood there.
func (e *exchange) use(s Store) (before Store) {
	if old := e.behind.Swap(&s); old != nil {
		return *old
	}
	return nil
}

// with calls f with what stands behind e, and again with what took its place where it
// was closed meanwhile.
func (e *exchange) with(f func(Store) error) error {
	for {
		s := e.behind.Load()
		if s == nil {
			return store.ErrClosed
		}
		err := f(*s)
		if !errors.Is(err, store.ErrClosed) || e.behind.Load() == s {
			return err
		}
	}
}

func (e *exchange) Get(ctx context.Context, space string, keys ...[]byte) (values [][]byte, err error) {
	err = e.with(func(s Store) (err error) {
		values, err = s.Get(ctx, space, keys...)
		return err
	})
	return values, err
}

func (e *exchange) Apply(ctx context.Context, space string, ops ...store.Op) error {
	return e.with(func(s Store) error { return s.Apply(ctx, space, ops...) })
}

func (e *exchange) Post(space string, ops ...store.Op) error {
	return e.with(func(s Store) error { return s.Post(space, ops...) })
}

func (e *exchange) Walk(ctx context.Context, each func(space string, key []byte, r store.Record) error) error {
	s := e.behind.Load()
	if s == nil {
		return store.ErrClosed
	}
	return (*s).Walk(ctx, each) // half of one and half of another would be neither
}

func (e *exchange) Stats() store.Stats {
	if s := e.behind.Load(); s != nil {
		return (*s).Stats()
	}
	return store.Stats{}
}

func (e *exchange) Close(ctx context.Context) error {
	if s := e.behind.Load(); s != nil {
		return (*s).Close(ctx)
	}
	return nil
}

// shortMemory is the store of a daemon that has no other.
type shortMemory struct {
	*store.Memory
	failing bool // there should be another
}

func (m shortMemory) Stats() store.Stats          { return store.Stats{Failing: m.failing} }
func (m shortMemory) Close(context.Context) error { return nil }
