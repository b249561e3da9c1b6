package pipeline

import (
	"slices"
	"sync"
	"time"
)

// grace is how long after its time limit a check may still say itself that it
// has not made it, before the runner says so.
const grace = 200 * time.Millisecond

// watch gives up on the checks of a run that do not come back in time. It needs one
// timer for all of them.
type watch struct {
	mu    sync.Mutex
	tasks []*task     // all that have a limit, those that are back, too
	timer *time.Timer // nil while nobody is waited for
	next  time.Time   // when it goes off
	over  bool        // the run is: no check follows
}

// begin gives up on t at a time.
func (w *watch) begin(t *task, lost time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !t.watched {
		t.watched = true
		w.tasks = append(w.tasks, t)
	}
	t.lost = lost
	if w.timer == nil {
		w.next, w.timer = lost, time.AfterFunc(time.Until(lost), w.look)
	} else if lost.Before(w.next) {
		w.next = lost
		w.timer.Reset(time.Until(lost))
	}
}

// end says that t is back.
func (w *watch) end(t *task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.lost = time.Time{}
	if w.over {
		w.rest()
	}
}

// look gives up on those whose time has come, and comes again for the others.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, next := time.Now(), time.Time{}
	for _, t := range w.tasks {
		if t.lost.IsZero() {
			continue
		}
		if !t.lost.After(now) {
			t.lost = time.Time{}
			t.fail(errDeadline)
		} else if next.IsZero() || t.lost.Before(next) {
			next = t.lost
		}
	}
	if w.next = next; next.IsZero() {
		w.timer = nil
		return
	}
	w.timer.Reset(next.Sub(now))
}

// close stops the timer when all are back, now or later. It goes on for those who are not.
func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.rest()
}

// rest stops the timer when nobody is waited for. Until then it keeps the run and all that
// belongs to it in memory: clients who come and go by the thousand must not leave theirs.
func (w *watch) rest() {
	if w.timer != nil && !slices.ContainsFunc(w.tasks, func(t *task) bool { return !t.lost.IsZero() }) {
		w.timer.Stop()
		w.timer = nil
	}
}
