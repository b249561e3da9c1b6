package bayes

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/internal/store"
)

// What was read is believed for ten seconds, of that token of that scope alone, and not
// after a lesson or when the clock went back; also that a token is not there.
func TestCache(t *testing.T) {
	const life = uint64(cacheLife / time.Second)
	for _, now := range []uint64{0, 1_790_000_000, 1<<40 - life/2} { // the last one: where seconds come around
		for _, want := range []numbers{{spam: 3, ham: 1, weight: -5}, {}} {
			c := newCache(1<<4, cacheLife)
			known := func(s scope, id, now uint64) bool {
				found := []numbers{{spam: 99}}
				missing := c.get(s, []uint64{id}, now, found, nil, 5)
				if len(missing) == 0 && found[0] != want {
					t.Errorf("%d: %+v, want %+v", now, found[0], want)
				}
				return !slices.Equal(missing, []int{5})
			}
			id := func(n uint64) uint64 { return n << 32 } // all in one bucket
			if known(7, id(1), now) {
				t.Errorf("%d: an empty cache knows", now)
			}
			c.put(7, id(1), want, now, 0)
			for _, ask := range []struct {
				scope scope
				id    uint64
				after uint64
				known bool
			}{
				{7, 1, 0, true}, {7, 1, life - 1, true}, {7, 1, life, false}, {7, 1, 100 * life, false}, {7, 1, ^uint64(0), false},
				{8, 1, 0, false}, {7, 2, 0, false},
			} {
				if known(ask.scope, id(ask.id), now+ask.after) != ask.known {
					t.Errorf("%d: %+v", now, ask)
				}
			}
			c.put(7, id(1), want, now, 0)
			c.put(7, id(2), want, now, 0)
			if !known(7, id(1), now) || !known(7, id(2), now) {
				t.Errorf("%d: there is room for two", now)
			}
			c.put(7, id(3), want, now, 0)
			if want != (numbers{}) && known(7, id(1), now) || !known(7, id(2), now) || !known(7, id(3), now) {
				t.Errorf("%d: the newcomer takes the place of who came first", now)
			}
			c.forget(8, []Token{{ID: id(2)}, {ID: id(3)}})
			if !known(7, id(2), now) || !known(7, id(3), now) {
				t.Errorf("%d: somebody else's lesson", now)
			}
			c.forget(7, []Token{{ID: id(2)}, {ID: id(3)}})
			if known(7, id(2), now) || known(7, id(3), now) {
				t.Errorf("%d: known after a lesson", now)
			}
			c.put(7, id(4), want, now, 1) // read before the second lesson
			if known(7, id(4), now) {
				t.Errorf("%d: what was read before a lesson is taken up", now)
			}
			if c.forget(7, []Token{{ID: id(1)}}); known(7, id(1), now) {
				t.Errorf("%d: the third is known after a lesson", now)
			}
			c.put(7, id(4), want, now, 3)
			if c.clear(); known(7, id(4), now) {
				t.Errorf("%d: known after it was cleared", now)
			}
		}
	}
	c := newCache(-1, cacheLife)
	if c.put(0, 1, numbers{spam: 1}, 100, 0); c.get(0, []uint64{1}, 100, make([]numbers, 1), nil, 0) == nil {
		t.Error("a cache nobody wanted")
	}
}

// Tokens that the store has not leave their places to those that it has, and one of
// them may stand where nobody else does.
func TestCacheKinds(t *testing.T) {
	c := newCache(1, cacheLife)
	for _, step := range []struct {
		id    uint64
		n     numbers
		known []uint64 // then, with the spam of their ids if more than 3
	}{
		{1, numbers{}, []uint64{1}},
		{2, numbers{}, []uint64{1, 2}},
		{3, numbers{}, []uint64{1, 2, 3}},
		{4, numbers{spam: 4}, []uint64{2, 3, 4}},
		{5, numbers{spam: 5}, []uint64{2, 3, 4, 5}},
		{1, numbers{}, []uint64{1, 3, 4, 5}},
		{6, numbers{spam: 6}, []uint64{1, 3, 5, 6}},
	} {
		c.put(0, step.id<<32, step.n, 100, 0)
		for id := range uint64(7) {
			found := make([]numbers, 1)
			known := len(c.get(0, []uint64{id << 32}, 100, found, nil, 0)) == 0
			if known != slices.Contains(step.known, id) || known && id > 3 != (uint64(found[0].spam) == id) {
				t.Errorf("after %d: %d known %t, %+v", step.id, id, known, found)
			}
		}
	}
}

// asked counts what a store is asked for.
type asked struct {
	Store
	keys int
}

func (a *asked) Get(ctx context.Context, space string, keys ...[]byte) ([][]byte, error) {
	a.keys += len(keys)
	return a.Store.Get(ctx, space, keys...)
}

// A message whose words were all met asks the store for nothing; a lesson is seen at
// once all the same, in the totals as well as in the words.
func TestAsksOnce(t *testing.T) {
	now := time.UnixMilli(1_790_000_000_000)
	s := &asked{Store: store.NewMemory(func() time.Time { return now }, 1<<20)}
	c := New(s, Options{Now: func() time.Time { return now }})
	m := about(9, "minutes of the meeting")
	learn(t, c, "joe", Spam, about(0, "cheap pills"))
	classify := func() Verdict {
		v, err := c.Classify(t.Context(), "joe", m)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	first, before := classify(), s.keys
	if again := classify(); s.keys != before || again.Probability != first.Probability || again.User != (Totals{Spam: 1}) {
		t.Errorf("asked for %d keys, %+v after %+v", s.keys-before, again, first)
	}
	learn(t, c, "joe", Ham, about(1, "minutes of the meeting"))
	if v := classify(); v.User != (Totals{Spam: 1, Ham: 1}) || v.Probability >= first.Probability {
		t.Errorf("after a lesson: %+v", v)
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
