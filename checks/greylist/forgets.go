package greylist

import (
	"sync/atomic"
	"time"
)

// forgets knows of a store that did not take a record lately, because it is full or
// cannot be written. Such a store may well be read, and then everybody is new in it, the
// sender who comes back as well: he would be asked to come back until he gives up. So
// nobody is asked, until a record may be tried again.
type forgets struct{ since atomic.Pointer[time.Time] }

// forgetsFor is for how long one failure keeps the check from asking anybody.
const forgetsFor = time.Minute

// note remembers a record that was not taken.
func (f *forgets) note(now time.Time) { f.since.Store(&now) }

// lately reports whether there was one within forgetsFor. A clock that was set does not
// matter where now has a monotonic reading.
func (f *forgets) lately(now time.Time) bool {
	since := f.since.Load()
	return since != nil && now.Sub(*since).Abs() < forgetsFor
}
