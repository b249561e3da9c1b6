// Package redis is the store that several hosts share: a Redis or Valkey server.
//
// Every call is one round trip. A Get is one MGET; a batch is one script, which
// the server runs as one step, so that no other host sees half of it, and its
// conditions and changes belong together.
//
// # A record
//
// A record stands under PREFIX:SPACE:KEY as a string: eight bytes, the moment of
// its end in milliseconds since 1970 (big-endian, 0 for never), and the value. The
// clock by which it ends is the caller's, so that all stores mean the same by a
// time to live; the server's own expiry, a minute later, only gives the space back.
//
// # Writing
//
// Batches go into a queue in memory, and one goroutine, the writer, sends all that
// waits in one pipeline: so the batches of this host keep their order. What the
// server does not take because it cannot be reached stays in the queue and is tried
// again; whoever waits in Apply is told at once. A posted batch bears a number that
// the server remembers for a while, so that one whose answer was lost is not done
// twice.
//
// What is acknowledged is as safe as the server keeps it: with "appendonly yes" and
// "appendfsync everysec" the last second may be lost in a crash of its machine.
package redis

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"milterd/internal/store"

	"github.com/redis/go-redis/v9"
)

// Options says how to use a server. The zero value is right for most.
type Options struct {
	// Now is the clock by which records expire. Nil: time.Now.
	Now func() time.Time
	// Logger hears when the server cannot be used and when it can again. Nil: nobody.
	Logger *slog.Logger
	// QueueBytes is how much may wait to be written. Zero: 16 MiB.
	QueueBytes int
	// Retry is the pause after the server could not be used. Zero: 1 s.
	Retry time.Duration
	// Wait bounds one answer of the server. Zero: 2 s.
	Wait time.Duration
}

// Store is a store.Store on a server. It ends with Close.
type Store struct {
	o      Options
	client redis.UniversalClient
	prefix string
	id     string        // of this process, before the numbers of batches
	number atomic.Uint64 // of posted batches

	wake   chan struct{}
	ending chan struct{} // closed by Close
	done   chan struct{} // closed when the writer has ended

	mu      sync.Mutex // guards what follows
	waiting []*batch
	queued  int
	closed  bool
	stats   store.Stats
}

var _ store.Store = (*Store)(nil)

//go:embed apply.lua
var applySource string

var apply = redis.NewScript(applySource)

// Open begins to use the server at an address, see [ParseURL]. It causes no
// traffic: a server that is down is one that heals.
func Open(address string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 16 << 20
	}
	if o.Retry == 0 {
		o.Retry = time.Second
	}
	if o.Wait == 0 {
		o.Wait = 2 * time.Second
	}
	server, err := ParseURL(address)
	if err != nil {
		return nil, err
	}
	s := &Store{
		o: o, client: server.client(o.Wait), prefix: server.Prefix, id: fmt.Sprintf("%x", newID()),
		wake: make(chan struct{}, 1), ending: make(chan struct{}), done: make(chan struct{}),
	}
	go s.run() // ended and waited for by Close
	return s, nil
}

// Stats returns the state of s.
func (s *Store) Stats() store.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.QueuedBytes = s.queued
	return st
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, space string, keys ...[]byte) ([][]byte, error) {
	if err := store.ValidateKeys(space, keys); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.isClosed() {
		return nil, store.ErrClosed
	}
	values := make([][]byte, len(keys))
	if len(keys) == 0 {
		return values, nil
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = s.name(space, k)
	}
	answer, err := s.client.MGet(ctx, names...).Result()
	if err != nil {
		return nil, s.wrap(ctx, err)
	}
	now := s.o.Now()
	for i, a := range answer {
		if text, ok := a.(string); ok {
			values[i] = record(text).At(now).Value
		}
	}
	return values, nil
}

// endBytes is how much of a record tells its end.
const endBytes = 8

// record reads what the server holds; what cannot be a record is nothing.
func record(text string) store.Record {
	if len(text) < endBytes {
		return store.Record{}
	}
	raw := []byte(text)
	return store.Record{Expires: int64(binary.BigEndian.Uint64(raw)), Value: raw[endBytes:]}
}

// name returns the server's name of a key.
func (s *Store) name(space string, key []byte) string {
	var b strings.Builder
	b.Grow(len(s.prefix) + len(space) + len(key) + 2)
	b.WriteString(s.prefix)
	b.WriteByte(':')
	b.WriteString(space)
	b.WriteByte(':')
	b.Write(key)
	return b.String()
}

// wrap tells errors of the context and of the store apart from the server's.
func (s *Store) wrap(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, redis.ErrClosed):
		return store.ErrClosed
	case redis.IsOOMError(err):
		return store.ErrFull
	}
	return fmt.Errorf("redis: %w", err)
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Close writes what waits, for as long as the server can be used and ctx lasts.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		close(s.ending)
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		_ = s.client.Close() // ends what the writer waits for
		<-s.done
	}
	lost := s.Stats().QueuedBytes > 0
	if err := s.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return err
	}
	if lost && first {
		return errors.New("redis: the server could not be used to the end: some posted records are lost")
	}
	return nil
}
