package bayes

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"milterd/internal/store"
)

// The counts are those of the store: many processes that ask at once, and those that
// come after them, get together what there is for one day.
func TestTake(t *testing.T) {
	now := time.Unix(1795269600, 0)
	memory := store.NewMemory(func() time.Time { return now }, 1<<20)
	process := func() *Classifier { return New(memory, Options{Now: func() time.Time { return now }}) }
	take := func(domain string) bool {
		ok, err := process().Take(t.Context(), Share{"all", 10}, Share{"domain " + domain, 4})
		if err != nil {
			t.Error(err)
		}
		return ok
	}
	for day := range 2 {
		got := 0
		for range 6 {
			if take("shop.test") {
				got++
			}
		}
		if got != 4 {
			t.Errorf("day %d: %d of one domain, want 4", day, got)
		}
		for i := range 20 {
			if take(fmt.Sprint("s", i, ".test")) {
				got++
			}
		}
		if got != 10 {
			t.Errorf("day %d: %d of all, want 10", day, got)
		}
		now = now.Add(24 * time.Hour)
	}
	var got atomic.Int64
	var askers sync.WaitGroup
	for range 50 {
		askers.Go(func() {
			if take("shop.test") {
				got.Add(1)
			}
		})
	}
	askers.Wait()
	if got.Load() > 4 {
		t.Errorf("%d of one domain at once, want at most 4", got.Load())
	}
	if ok, err := New(broken{}, Options{}).Take(t.Context(), Share{"all", 10}); ok || err == nil {
		t.Errorf("without a store: %v, %v", ok, err)
	}
}

func TestAuthorDomain(t *testing.T) {
	for from, want := range map[string]string{"a@x.y.shop.example": "shop.example", "A <a@Shop.CO.UK>": "shop.co.uk", "a@b.c, d@e.f": "", "nobody": "", "a@localhost": "localhost"} {
		if got := AuthorDomain(parsed("From: " + from + "\n\n").Header); got != want {
			t.Errorf("%s: %q, want %q", from, got, want)
		}
	}
}
