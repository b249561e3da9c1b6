package dmarc

import (
	"context"
	"sync"
	"time"
)

// memoryRecall keeps notes as long as the process. It forgets the oldest half when
// it is full: notes that are asked for stay.
type memoryRecall struct {
	mu         sync.Mutex
	young, old map[string]note
}

type note struct{ at, until time.Time }

// maxNotes bounds each half, of about 150 bytes a note.
const maxNotes = 20_000

func newRecall() *memoryRecall { return &memoryRecall{young: map[string]note{}} }

// Since implements recall.
func (r *memoryRecall) Since(_ context.Context, key string, now time.Time, ttl time.Duration) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, known := r.young[key]
	if !known {
		n, known = r.old[key]
	}
	if !known || !now.Before(n.until) || now.Before(n.at) { // never, expired, or the clock was set back
		n = note{now, now.Add(ttl)}
	}
	if len(r.young) >= maxNotes {
		r.young, r.old = map[string]note{}, r.young
	}
	r.young[key] = n
	return n.at
}

// Forget implements recall.
func (r *memoryRecall) Forget(_ context.Context, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.young, key)
	delete(r.old, key)
}
