package mime

import (
	"math"
	"sync/atomic"
	"time"
)

// A Clock tells the time. Only how far two answers are apart matters.
type Clock interface {
	Now() time.Time
}

// systemClock is the one that runs while the host does, whatever anybody sets it to.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

// budget is the time that there is left for all work on one tree, whoever asks for it and when. What passes
// while nobody works does not count.
type budget struct {
	clock Clock
	left  atomic.Int64 // nanoseconds
}

// watch goes with one piece of work. It looks at the clock after so much of it, not after so much time, so that work that is
// soon done, such as a short message, never does. The zero value is for work that no tree pays for: on texts whose length is
// bounded, or that a caller brings.
type watch struct {
	budget *budget   // nil: it may take as long as it takes
	quiet  int       // work until the next look
	since  time.Time // the last look; zero before the first
	late   bool      // the time is up
}

// pace is how much work there is between two looks, in bytes that are gone over. The slowest there is, HTML, takes about a
// millisecond for that.
const pace = 16 << 10

// watch begins a piece of work.
func (b *budget) watch() watch {
	if b.left.Load() <= 0 {
		return watch{budget: b, late: true}
	}
	return watch{budget: b, quiet: pace}
}

// spend counts work that is about to be done, and reports whether there is time for it.
func (w *watch) spend(work int) bool {
	w.quiet -= work
	return w.quiet > 0 || w.look()
}

// look looks at the clock.
func (w *watch) look() bool {
	if w.budget == nil {
		w.quiet = math.MaxInt
		return true
	}
	if w.late {
		w.quiet = 0
		return false
	}
	now := w.budget.clock.Now()
	if !w.since.IsZero() && w.budget.left.Add(-int64(now.Sub(w.since))) <= 0 || w.budget.left.Load() <= 0 {
		w.quiet, w.late = 0, true
		return false
	}
	w.quiet, w.since = pace, now
	return true
}

// note adds LimitTime where the time was up.
func (w *watch) note(found *Facts) {
	if w.late {
		found.add(LimitTime)
	}
}

// Late says whether the time is up (Limits.Time), so that something was not read to its end or will not be. What it
// was has the fact LimitTime.
func (t *Tree) Late() bool { return t.budget.left.Load() <= 0 }
