package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"milterd/internal/store"

	"github.com/redis/go-redis/v9"
)

// batch is operations on their way to the server.
type batch struct {
	keys []string
	args []any
	size int
	// answer receives the outcome for Apply; nil for Post.
	answer chan error
}

// pipelined bounds the batches and the bytes of one pipeline.
const (
	pipelined      = 256
	pipelinedBytes = 4 << 20
)

// after is how much longer than the record the server keeps it, in milliseconds.
const after = 60_000

func newID() []byte {
	id := make([]byte, 8)
	rand.Read(id)
	return id
}

// Apply implements [store.Store].
func (s *Store) Apply(ctx context.Context, space string, ops ...store.Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := s.batch(space, ops)
	if err != nil {
		return err
	}
	b.answer = make(chan error, 1)
	if err := s.enqueue(b); err != nil {
		return err
	}
	select {
	case err := <-b.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Post implements [store.Store].
func (s *Store) Post(space string, ops ...store.Op) error {
	b, err := s.batch(space, ops)
	if err != nil {
		return err
	}
	if len(ops) > 0 {
		b.keys = append(b.keys, fmt.Sprintf("%s:batch:%s:%d", s.prefix, s.id, s.number.Add(1)))
	}
	return s.enqueue(b)
}

// batch makes the arguments of the script.
func (s *Store) batch(space string, ops []store.Op) (*batch, error) {
	size, err := store.Validate(space, ops)
	if err != nil {
		return nil, err
	}
	now := s.o.Now()
	b := &batch{size: size, args: []any{now.UnixMilli(), len(ops)}}
	for i := range ops {
		o := &ops[i]
		b.keys = append(b.keys, s.name(space, o.Key))
		switch o.Kind {
		case store.KindIf:
			have := "0"
			if o.Value != nil {
				have = "1"
			}
			b.args = append(b.args, "i", have, o.Value)
		case store.KindPut:
			b.args = append(b.args, "p", end(now, o.TTL), life(o.TTL), o.Value)
		case store.KindAdd:
			b.args = append(b.args, "a", endAt(now, o.TTL), life(o.TTL), len(o.Deltas))
			for _, d := range o.Deltas {
				b.args = append(b.args, d)
			}
		case store.KindDelete:
			b.args = append(b.args, "d")
		}
	}
	return b, nil
}

// end is the moment of a record's end as the record tells it.
func end(now time.Time, ttl time.Duration) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, endBytes), uint64(endAt(now, ttl)))
}

// endAt is that moment in milliseconds, 0 for never.
func endAt(now time.Time, ttl time.Duration) int64 {
	if ttl <= 0 {
		return 0
	}
	return cmp.Or(now.UnixMilli()+ttl.Milliseconds(), 1) // 0 would be for ever
}

// life is how long the server keeps a record.
func life(ttl time.Duration) string {
	if ttl == 0 {
		return ""
	}
	return strconv.FormatInt(ttl.Milliseconds()+after, 10)
}

func (s *Store) enqueue(b *batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return store.ErrClosed
	case s.queued+b.size > s.o.QueueBytes && s.queued > 0:
		s.stats.Refused++
		return store.ErrBusy
	}
	s.queued += b.size
	s.waiting = append(s.waiting, b)
	select {
	case s.wake <- struct{}{}:
	default: // it knows
	}
	return nil
}

// run is the writer. It ends when Close was called and nothing waits, or nothing
// can be done about what does.
func (s *Store) run() {
	defer close(s.done)
	for {
		ended := false
		select {
		case <-s.wake:
		case <-s.ending:
			ended = true
		}
		for {
			group := s.take()
			if len(group) == 0 {
				break
			}
			left, err := s.send(group)
			s.settle(group, left, err)
			if err == nil {
				continue
			}
			if ended {
				s.refuseAll(err)
				return
			}
			select {
			case <-time.After(s.o.Retry):
			case <-s.ending:
				ended = true
			}
		}
		if ended {
			return
		}
	}
}

// take returns what is to be sent next; it stays in the queue's bytes.
func (s *Store) take() []*batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, size := 0, 0
	for n < len(s.waiting) && n < pipelined && (n == 0 || size+s.waiting[n].size <= pipelinedBytes) {
		size += s.waiting[n].size
		n++
	}
	group := slices.Clone(s.waiting[:n])
	s.waiting = slices.Delete(s.waiting, 0, n)
	return group
}

// send runs the batches in one pipeline. It returns the posted ones that the server
// may not have had, and why.
func (s *Store) send(group []*batch) (left []*batch, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.o.Wait)
	defer cancel()
	left, err = s.pipeline(ctx, group, apply.EvalSha)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") { // the server was started anew
		if _, err := apply.Load(ctx, s.client).Result(); err != nil {
			return s.fail(group, err), err
		}
		left, err = s.pipeline(ctx, group, apply.EvalSha)
	}
	return left, err
}

type evaluate func(ctx context.Context, c redis.Scripter, keys []string, args ...any) *redis.Cmd

func (s *Store) pipeline(ctx context.Context, group []*batch, eval evaluate) (left []*batch, err error) {
	pipe := s.client.Pipeline()
	answers := make([]*redis.Cmd, len(group))
	for i, b := range group {
		if len(b.keys) > 0 {
			answers[i] = eval(ctx, pipe, b.keys, b.args...)
		}
	}
	if pipe.Len() > 0 {
		_, _ = pipe.Exec(ctx) // each answer has its error
	}
	for _, a := range answers {
		if a != nil && redis.HasErrorPrefix(a.Err(), "NOSCRIPT") {
			return nil, a.Err() // nothing was done: all batches use the one script
		}
	}
	for i, b := range group {
		outcome := error(nil)
		if a := answers[i]; a != nil {
			done, e := a.Int()
			switch {
			case e != nil && unreachable(e):
				err = e
				left = append(left, s.fail([]*batch{b}, e)...)
				continue
			case e != nil:
				outcome = s.wrap(context.Background(), e)
			case done == 0:
				outcome = store.ErrConflict
			}
		}
		b.tell(outcome)
		if outcome != nil && outcome != store.ErrConflict && b.answer == nil {
			s.o.Logger.Error("the store refuses a record", "err", outcome)
		}
	}
	return left, err
}

// unreachable reports an error that says nothing about the batch: the server may
// take it later.
func unreachable(err error) bool {
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redis.ErrClosed) {
		return true
	}
	var answer redis.Error
	return !errors.As(err, &answer) || // a connection that broke
		redis.IsLoadingError(err) || redis.IsReadOnlyError(err) || redis.IsMasterDownError(err) ||
		redis.HasErrorPrefix(err, "MISCONF") || redis.HasErrorPrefix(err, "NOAUTH") || redis.HasErrorPrefix(err, "WRONGPASS")
}

// fail tells whoever waits; the posted batches wait on.
func (s *Store) fail(group []*batch, err error) (left []*batch) {
	for _, b := range group {
		if b.answer == nil {
			left = append(left, b)
			continue
		}
		b.tell(fmt.Errorf("redis: %w", err))
	}
	return left
}

func (b *batch) tell(err error) {
	if b.answer != nil {
		b.answer <- err
	}
}

// settle takes what is done from the queue and puts what is left back at its head.
// Whoever waits behind it in Apply is told as well: nobody waits for long.
func (s *Store) settle(group, left []*batch, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range group {
		s.queued -= b.size
	}
	for _, b := range left {
		s.queued += b.size
	}
	if err != nil {
		s.waiting = slices.DeleteFunc(s.waiting, func(b *batch) bool {
			if b.answer == nil {
				return false
			}
			s.queued -= b.size
			b.tell(fmt.Errorf("redis: %w", err))
			return true
		})
		s.stats.Failures++
	} else {
		s.stats.Commits++
	}
	s.waiting = append(left, s.waiting...)
	if failing := err != nil; failing != s.stats.Failing {
		s.stats.Failing = failing
		if failing {
			s.o.Logger.Error("the store's server cannot be used: what is to be remembered waits in memory", "err", err)
		} else {
			s.o.Logger.Info("the store's server can be used again")
		}
	}
}

// refuseAll ends with what nobody can store any more.
func (s *Store) refuseAll(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.waiting {
		b.tell(fmt.Errorf("redis: %w", err))
	}
	s.waiting = nil
}
