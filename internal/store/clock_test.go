package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"milterd/internal/store"
)

// A host has a clock that may be set, and processes on it.
type host struct {
	wall    time.Time
	running time.Duration
}

func (h *host) run(d time.Duration) { h.wall, h.running = h.wall.Add(d), h.running+d }

// start begins a process.
func (h *host) start() *store.Clock {
	h.running = 0
	return store.NewClock(func() time.Time { return h.wall }, func() time.Duration { return h.running })
}

const year = 365 * 24 * time.Hour

func TestClock(t *testing.T) {
	begin := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	h := &host{wall: begin}
	want, showed := begin, (*store.Clock)(nil)
	s := store.NewMemory(func() time.Time { return showed.Now() }, 1<<20) // its records end by the clock
	keep := func() {
		t.Helper()
		if err := showed.Keep(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if got := showed.Now(); !got.Equal(want) {
			t.Errorf("the clock shows %v, want %v", got, want)
		}
	}
	restart := func() { showed = h.start() }
	run := func(d time.Duration) { h.run(d); want = want.Add(d) }

	restart()
	keep()
	run(time.Hour)
	keep()
	h.wall = h.wall.Add(year) // while the process runs
	keep()
	run(time.Minute)
	keep()
	restart() // it has noted both clocks: nothing to believe or not
	keep()
	h.wall = h.wall.Add(-year)
	restart() // set back while no process was running
	keep()
	run(time.Minute)
	keep()
	h.wall = h.wall.Add(3 * time.Hour) // the host was off
	want = want.Add(3 * time.Hour)
	restart()
	keep()
	h.wall = h.wall.Add(year) // or was it?
	restart()
	keep()
	run(time.Minute)
	keep()
}

// TestClockWithoutStore: until the store answers, the clock is the host's; then it is
// the one of the process before.
func TestClockWithoutStore(t *testing.T) {
	h := &host{wall: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	s := store.NewMemory(func() time.Time { return h.wall }, 1<<20)
	if err := h.start().Keep(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	before := h.wall
	h.wall = h.wall.Add(year)
	c := h.start()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Keep(canceled, s); !errors.Is(err, context.Canceled) || !c.Now().Equal(h.wall) {
		t.Errorf("%v, %v", err, c.Now())
	}
	h.run(time.Minute)
	if err := c.Keep(t.Context(), s); err != nil || !c.Now().Equal(before) {
		t.Errorf("%v, %v, want %v", err, c.Now(), before)
	}
	h.run(time.Minute)
	if !c.Now().Equal(before.Add(time.Minute)) {
		t.Errorf("%v after a minute", c.Now())
	}
}

// TestClockHold: the clock is noted every minute, and a killed process has lost no
// more than one.
func TestClockHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := store.NewMemory(time.Now, 1<<20)
		c := store.NewClock(nil, nil)
		done := make(chan struct{})
		go func() { defer close(done); c.Hold(ctx, s) }()
		time.Sleep(10*time.Minute + 30*time.Second)
		kept := store.NewClock(func() time.Time { return time.Now().Add(year) }, nil)
		if err := kept.Keep(ctx, s); err != nil {
			t.Fatal(err)
		}
		if lost := time.Since(kept.Now()); lost != 30*time.Second {
			t.Errorf("%v lost", lost)
		}
		cancel()
		<-done
	})
}

// TestClockOfItsStore: the store that carries the clock on asks it for the time
// meanwhile.
func TestClockOfItsStore(t *testing.T) {
	c := store.NewClock(nil, nil)
	s := store.NewMemory(c.Now, 1<<20)
	for range 2 {
		if err := c.Keep(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// A host's clock that is set by more than a time server would is told about, once; one
// that drifts, and a process that starts, are not.
func TestClockJumps(t *testing.T) {
	h := &host{wall: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	clock := h.start()
	s := store.NewMemory(clock.Now, 1<<20)
	var jumps []time.Duration
	clock.OnJump = func(by time.Duration) { jumps = append(jumps, by) }
	keep := func(jump time.Duration, want ...time.Duration) {
		t.Helper()
		h.run(time.Minute)
		h.wall, jumps = h.wall.Add(jump), nil
		if err := clock.Keep(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(jumps, want) {
			t.Errorf("told of %v, want %v", jumps, want)
		}
	}
	keep(year) // before anybody looked
	keep(0)
	keep(59 * time.Minute)
	keep(-time.Hour)
	keep(year, year)
	keep(0)
	keep(-year, -year)
}
