package daemon

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"milterd/internal/config"
	"milterd/internal/store"
)

// TestStoreClock: a host whose clock jumps a year, while the daemon runs or between
// two, forgets nothing; and what is over ends all the same.
func TestStoreClock(t *testing.T) {
	const day = 24 * time.Hour
	wall, running := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), time.Duration(0)
	at := config.StoreAddr("bolt:" + filepath.Join(t.TempDir(), "state.db"))
	var s Store
	var clock *store.Clock
	start := func() {
		t.Helper()
		running = 0
		began := running
		clock = store.NewClock(func() time.Time { return wall }, func() time.Duration { return running - began })
		var err error
		if s, err = openStoreBy(clock, at, slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
			t.Fatal(err)
		}
	}
	stop := func() {
		t.Helper()
		if err := clock.Keep(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	has := func(want bool) {
		t.Helper()
		values, err := s.Get(t.Context(), "test", []byte("k"))
		if err != nil || (values[0] != nil) != want {
			t.Errorf("%q, %v, want it there: %v", values, err, want)
		}
	}
	start()
	if err := s.Apply(t.Context(), "test", store.Put([]byte("k"), []byte("v"), 35*day)); err != nil {
		t.Fatal(err)
	}
	wall = wall.Add(365 * day)
	has(true)
	stop()
	wall = wall.Add(365 * day)
	start()
	has(true)
	wall, running = wall.Add(34*day), running+34*day
	has(true)
	stop()
	wall = wall.Add(-700 * day)
	start()
	has(true)
	wall, running = wall.Add(day), running+day
	has(false)
	stop()
}
