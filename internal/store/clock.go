package store

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// Clock is a clock for the ends of records that no jump of the host's clock moves.
// A host whose clock is set a year ahead, by a broken time server or a dead battery,
// must not forget in that moment everything it knows.
//
// While the process runs, only the time that it has run counts. From one process to
// the next the clock is carried by a record in the store, made by [Clock.Keep]: it
// says what both clocks showed. Where the host's clock has moved since by more than a
// host is switched off for, or has gone back, it is not believed and the time
// between is taken for none.
//
// On a host whose clock is right it shows the same as that.
type Clock struct {
	// OnJump, if set, is told when Keep finds that the host's clock was set by more than
	// an hour since the Keep before: ahead is positive. Set it before the first Keep.
	OnJump func(by time.Duration)

	wall    func() time.Time
	running func() time.Duration

	mu    sync.Mutex
	start time.Time // what it showed when running was 0

	keeping sync.Mutex // one Keep at a time; the store asks for the time meanwhile
	resumed bool
	ahead   time.Duration // of wall before running, as of the last Keep
	looked  bool          // there was one
}

// NewClock returns a clock that begins with what wall shows. running tells how long
// the process has been running, whatever the host's clock does; nil for both are
// those of package time.
func NewClock(wall func() time.Time, running func() time.Duration) *Clock {
	if wall == nil {
		wall = time.Now
	}
	if running == nil {
		began := time.Now() // with its monotonic reading
		running = func() time.Duration { return time.Since(began) }
	}
	return &Clock{wall: wall, running: running, start: wall().Add(-running()).Round(0)}
}

// Now returns the time by which records end.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start.Add(c.running())
}

const (
	clockSpace = "clock"
	// longestOff is for how long a host may have been off. One that was off for
	// longer keeps its records for longer.
	longestOff = 7 * 24 * time.Hour
	// longJump is what no time server corrects on a host that is well.
	longJump = time.Hour
	// KeepClockEvery is how often [Clock.Keep] is to be called.
	KeepClockEvery = time.Minute
)

var clockKey = []byte("now")

// Keep carries on the clock of the process before, when it is called first, and notes
// in the store what this one shows. An error means that the store could not be asked;
// the next call tries again.
func (c *Clock) Keep(ctx context.Context, s Store) error {
	c.watch()
	if err := c.resume(ctx, s); err != nil {
		return err
	}
	note := binary.BigEndian.AppendUint64(nil, uint64(c.wall().UnixMilli()))
	note = binary.BigEndian.AppendUint64(note, uint64(c.Now().UnixMilli()))
	return s.Post(clockSpace, Put(clockKey, note, 0))
}

// watch compares how far the two clocks have come.
func (c *Clock) watch() {
	ahead := time.Duration(c.wall().UnixNano()) - c.running()
	c.keeping.Lock()
	by, looked := ahead-c.ahead, c.looked
	c.ahead, c.looked = ahead, true
	c.keeping.Unlock()
	if looked && by.Abs() > longJump && c.OnJump != nil {
		c.OnJump(by)
	}
}

func (c *Clock) resume(ctx context.Context, s Store) error {
	c.keeping.Lock()
	defer c.keeping.Unlock()
	if c.resumed {
		return nil
	}
	values, err := s.Get(ctx, clockSpace, clockKey)
	if err != nil {
		return err
	}
	c.resumed = true
	note := values[0]
	if len(note) != 16 {
		return nil // a new store
	}
	wall, showed := time.UnixMilli(int64(binary.BigEndian.Uint64(note))), time.UnixMilli(int64(binary.BigEndian.Uint64(note[8:])))
	off := c.wall().Sub(wall)
	if off < 0 || off > longestOff {
		off = 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start = showed.Add(off - c.running())
	return nil
}

// Hold calls Keep every [KeepClockEvery] until ctx ends. A store that fails is asked
// again the next time.
func (c *Clock) Hold(ctx context.Context, s Store) {
	t := time.NewTicker(KeepClockEvery)
	defer t.Stop()
	for {
		err := c.Keep(ctx, s)
		if errors.Is(err, ErrClosed) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
