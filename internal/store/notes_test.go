package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"milterd/internal/store"
	"milterd/internal/store/storetest"
)

// counting counts what is written.
type counting struct {
	*store.Memory
	posts int
}

func (c *counting) Post(space string, ops ...store.Op) error {
	c.posts++
	return c.Memory.Post(space, ops...)
}

func TestNotes(t *testing.T) {
	c := storetest.NewClock()
	s := &counting{Memory: store.NewMemory(c.Now, 1<<20)}
	n := store.Notes{Store: s, Space: "test"}
	since := func(key string, want time.Duration, posts int) {
		t.Helper()
		s.posts = 0
		if got := c.Now().Sub(n.Since(t.Context(), key, c.Now(), time.Hour)).Truncate(time.Millisecond); got != want {
			t.Errorf("%s since %v, want %v", key, got, want)
		}
		if s.posts != posts {
			t.Errorf("%d posts, want %d", s.posts, posts)
		}
	}
	since("a", 0, 1)
	c.Add(40 * time.Minute)
	since("a", 40*time.Minute, 0) // and asking does not lengthen its life
	since("b", 0, 1)
	c.Add(20 * time.Minute)
	since("a", 0, 1)
	since("b", 20*time.Minute, 0)
	c.Add(-24 * time.Hour) // set back: what was noted has not happened yet
	since("b", 0, 1)
	c.Add(time.Minute)
	since("b", time.Minute, 0)

	s.posts = 0
	n.Forget(t.Context(), "b")
	n.Forget(t.Context(), "b")
	n.Forget(t.Context(), "never noted")
	if s.posts != 1 {
		t.Errorf("%d posts to forget one note", s.posts)
	}
	since("b", 0, 1)
}

// TestNotesOfADeadStore: whoever has no memory sees everything for the first time.
func TestNotesOfADeadStore(t *testing.T) {
	c := storetest.NewClock()
	s := store.NewMemory(c.Now, 1<<20)
	n := store.Notes{Store: s, Space: "test"}
	n.Since(t.Context(), "a", c.Now(), 0)
	c.Add(time.Minute)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if got := n.Since(canceled, "a", c.Now(), 0); !got.Equal(c.Now()) {
		t.Errorf("without time: %v", got)
	}
	if got := n.Since(t.Context(), strings.Repeat("k", store.MaxKey+1), c.Now(), 0); !got.Equal(c.Now()) {
		t.Errorf("an impossible key: %v", got)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := n.Since(t.Context(), "a", c.Now(), 0); !got.Equal(c.Now()) {
		t.Errorf("closed: %v", got)
	}
	n.Forget(t.Context(), "a")
}
