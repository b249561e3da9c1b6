package bayes

import (
	"math"
	"strings"
	"testing"
	"time"

	"milterd/internal/store"
)

// What was read is believed for ten seconds, of that token of that scope alone, and not
// after a lesson or when the clock went back.
func TestCache(t *testing.T) {
	const life = int64(cacheLife / time.Millisecond)
	for _, now := range []int64{0, 1_790_000_000_000, int64(math.MaxUint32)*100 - life/2} { // the last one: where ticks come around
		c := newCache(1<<4, cacheLife)
		want := numbers{spam: 3, ham: 1, weight: -5}
		if _, ok := c.get(7, 1, now); ok {
			t.Errorf("%d: an empty cache knows", now)
		}
		c.put(7, 1, want, now, 0)
		for _, ask := range []struct {
			scope scope
			id    uint64
			after int64
			known bool
		}{
			{7, 1, 0, true}, {7, 1, life - 100, true}, {7, 1, life, false}, {7, 1, 100 * life, false}, {7, 1, -1000, false},
			{8, 1, 0, false}, {7, 2, 0, false}, {7, 1 + 1<<4, 0, false},
		} {
			if got, ok := c.get(ask.scope, ask.id, now+ask.after); ok != ask.known || ok && got != want {
				t.Errorf("%d: %+v: %v, %v", now, ask, got, ok)
			}
		}
		c.put(7, 1+1<<4, want, now, 0) // takes the same place
		if _, ok := c.get(7, 1, now); ok {
			t.Errorf("%d: there is room for one", now)
		}
		c.put(7, 1, want, now, 0)
		c.forget(8, []Token{{ID: 1}})
		if _, ok := c.get(7, 1, now); !ok {
			t.Errorf("%d: somebody else's lesson", now)
		}
		c.forget(7, []Token{{ID: 1}})
		if _, ok := c.get(7, 1, now); ok {
			t.Errorf("%d: known after a lesson", now)
		}
		c.put(7, 1, want, now, 1) // read before the second lesson
		if _, ok := c.get(7, 1, now); ok {
			t.Errorf("%d: what was read before a lesson is taken up", now)
		}
	}
	if c := newCache(-1, cacheLife); c.entries != nil {
		t.Error("a cache nobody wanted")
	}
}

// What somebody else has taught is seen after ten seconds, or ten minutes where there
// should be nobody else, or at once when it is said that the store has been filled anew.
func TestSeenLater(t *testing.T) {
	for alone, life := range map[bool]time.Duration{false: cacheLife, true: cacheLifeAlone} {
		now := time.UnixMilli(1_790_000_000_000)
		s := store.NewMemory(func() time.Time { return now }, 1<<20)
		o := Options{Now: func() time.Time { return now }, Random: strings.NewReader(strings.Repeat("secret", 100)), Alone: alone}
		mine := New(s, o)
		learn(t, mine, "", Spam, about(0, "cheap pills"))
		others := New(s, Options{Now: o.Now})
		sees := func() bool { return probability(t, mine, "", about(9, "minutes of the meeting")) < 0.5 }
		if sees() {
			t.Fatal("ham before anybody taught it")
		}
		for i := range 3 {
			learn(t, others, "", Ham, about(i, "minutes of the meeting"))
		}
		now = now.Add(life - time.Second)
		if sees() {
			t.Errorf("alone %v: seen before its time", alone)
		}
		now = now.Add(time.Second)
		if !sees() {
			t.Errorf("alone %v: not seen after %v", alone, life)
		}
		for i := range 3 {
			learn(t, others, "", Spam, about(i, "minutes of the meeting"))
		}
		if !sees() {
			t.Errorf("alone %v: the other way round before its time", alone)
		}
		if mine.Refresh(); sees() {
			t.Errorf("alone %v: not refreshed", alone)
		}
	}
}
