package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"milterd/internal/store"
	"milterd/internal/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(_ testing.TB, now func() time.Time) storetest.Store { return store.NewMemory(now, 64<<20) })
}

// FuzzMemory plays random scripts; it also is the quickest way to a fault of the
// suite itself.
func FuzzMemory(f *testing.F) {
	f.Add([]byte{8, 0, 3, 0, 0, 3, 'x', 5, 4, 6, 0, 1, 0, 0, 1, 4})             // put, look, a conflict, look
	f.Add([]byte{8, 0, 1, 0, 2, 3, 'x', 5, 0, 0xff, 0xff, 2, 0xff, 0xff, 4, 4}) // a short life and a clock that goes back
	f.Add([]byte{8, 1, 2, 0, 0, 5, 0, 0, 0, 0, 5, 0, 0, 4})                     // counters at their ends
	f.Fuzz(func(t *testing.T, script []byte) {
		c := storetest.NewClock()
		storetest.Play(t, store.NewMemory(c.Now, 64<<20), c, script)
	})
}

// TestMemoryFull: a full store refuses, deletes, and has room again when records
// have expired.
func TestMemoryFull(t *testing.T) {
	c := storetest.NewClock()
	m := store.NewMemory(c.Now, 100<<10)
	fill := func(ttl time.Duration) (n int, err error) {
		for n = 0; err == nil && n < 1000; n++ {
			err = m.Post("test", store.Put(fmt.Appendf(nil, "%v %d", ttl, n), make([]byte, 1<<10), ttl))
		}
		return n, err
	}
	if n, err := fill(time.Minute); !errors.Is(err, store.ErrFull) || n < 80 || n > 101 {
		t.Fatalf("%d records, %v", n, err)
	}
	if err := m.Post("test", store.Delete([]byte("1m0s 0")), store.If([]byte("x"), nil)); err != nil {
		t.Errorf("delete: %v", err)
	}
	c.Add(time.Minute)
	if n, err := fill(0); !errors.Is(err, store.ErrFull) || n < 80 {
		t.Errorf("after the first have expired: %d records, %v", n, err)
	}
}
