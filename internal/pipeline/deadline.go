package pipeline

import (
	"context"
	"slices"
	"sync"
	"time"
)

// grace is how long after its time limit a check may still say itself that it
// has not made it, before the runner says so.
const grace = 200 * time.Millisecond

// deadlined is a context that ends at a time, like that of [context.WithDeadline], and
// sets a timer only once somebody waits for the end: most checks never do.
type deadlined struct {
	context.Context // the run's
	at              time.Time

	mu     sync.Mutex
	waited context.Context // nil until somebody waits
	cancel context.CancelFunc
	over   bool // the check has come back
}

// Deadline implements [context.Context].
func (d *deadlined) Deadline() (time.Time, bool) {
	if at, ok := d.Context.Deadline(); ok && at.Before(d.at) {
		return at, true
	}
	return d.at, true
}

// Done implements [context.Context].
func (d *deadlined) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waited == nil {
		d.waited, d.cancel = context.WithDeadline(d.Context, d.at)
		if d.over {
			d.cancel()
		}
	}
	return d.waited.Done()
}

// Err implements [context.Context].
func (d *deadlined) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.waited != nil:
		return d.waited.Err()
	case d.over:
		return context.Canceled
	case d.Context.Err() == nil && !time.Now().Before(d.at):
		return context.DeadlineExceeded
	}
	return d.Context.Err()
}

// Value implements [context.Context]. What package context keeps there of the context
// that is waited for spares its children a goroutine.
func (d *deadlined) Value(key any) any {
	d.mu.Lock()
	waited := d.waited
	d.mu.Unlock()
	if waited != nil {
		return waited.Value(key)
	}
	return d.Context.Value(key)
}

// end ends the context before its time.
func (d *deadlined) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.cancel != nil {
		d.cancel()
	}
}

// watch gives up on the checks of a run that do not come back in time. It needs one
// timer for all of them.
type watch struct {
	mu    sync.Mutex
	tasks []*task     // all that have a limit, those that are back, too
	timer *time.Timer // nil while nobody is waited for
	next  time.Time   // when it goes off
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

// close stops the timer when all are back. Otherwise it goes on for those who are not.
func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && !slices.ContainsFunc(w.tasks, func(t *task) bool { return !t.lost.IsZero() }) {
		w.timer.Stop()
		w.timer = nil
	}
}
