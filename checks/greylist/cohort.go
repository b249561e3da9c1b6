package greylist

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"milterd/internal/store"
)

// Nobody says when somebody does not come back. So those who are asked to are
// counted by the hour, and those who do are taken off the count of the hour in which
// they were asked; what is left when the hour's window has passed never came.
// The counts lie in the store, so that they outlive the daemon, and each hour is
// settled by one host only where several share it.

// hourOf numbers the hours.
func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

func cohortKey(hour int64) []byte { return binary.BigEndian.AppendUint64([]byte{'h'}, uint64(hour)) }

// settled is the operation that takes a sender off the count of his hour.
func (s *sight) settled(window time.Duration) store.Op {
	return store.Add(cohortKey(hourOf(s.entry.at)), window+cohortLife, 0, 1)
}

const (
	// cohortLife is how long after its window an hour can still be settled: a daemon
	// that was off for longer does not know.
	cohortLife = 7 * 24 * time.Hour
	// settleEvery is how often that is done.
	settleEvery = 10 * time.Minute
)

// settled says when hours were last settled.
type settled struct {
	mu   sync.Mutex
	last time.Time
}

// due reports whether it is time again, and takes the turn.
func (s *settled) due(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.last); 0 <= age && age < settleEvery {
		return false
	}
	s.last = now
	return true
}

// settle counts those who never came back, of all hours whose window has passed.
func (c *check) settle(ctx context.Context, now time.Time) error {
	if !c.settled.due(now) {
		return nil
	}
	last := hourOf(now.Add(-c.window)) - 1
	var keys [][]byte
	for hour := last - int64(cohortLife/time.Hour) + 1; hour <= last; hour++ {
		keys = append(keys, cohortKey(hour))
	}
	values, err := c.store.Get(ctx, Space, keys...)
	if err != nil {
		return err
	}
	for i, value := range values {
		if value == nil {
			continue
		}
		won, err := c.apply(ctx, []store.Op{store.If(keys[i], value), store.Delete(keys[i])})
		if err != nil {
			return err
		}
		if missing := store.Counter(value, 0) - store.Counter(value, 1); won && missing > 0 {
			c.metrics.senders.WithLabelValues(never).Add(float64(missing))
		}
	}
	return nil
}
