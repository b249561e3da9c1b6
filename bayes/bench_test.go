package bayes

import (
	"encoding/binary"
	"path/filepath"
	"testing"
	"time"

	"milterd/internal/store"
	"milterd/internal/store/bolt"
	"milterd/mime"
)

// What it takes to take a message apart and weigh it, without the store and without
// the walk that other checks need as well.
func BenchmarkTokensAndWeigh(b *testing.B) {
	all := corpus(b)
	deal(all, 5, 1)
	c := New(store.NewMemory(time.Now, 1<<30), Options{CacheTokens: 1 << 20, Now: func() time.Time { return time.UnixMilli(1) }})
	teach(b, c, "", all...)
	for _, m := range all { // fills the cache, and reads the texts
		score(b, c, "", m.Message)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := c.Classify(b.Context(), "", all[i%len(all)].Message); err != nil {
			b.Fatal(err)
		}
	}
}

// One Get of 500 tokens, half of them absent, out of a million in a file, past the
// cache.
func BenchmarkRecallBolt(b *testing.B) {
	const million = 1_000_000
	s, err := bolt.Open(filepath.Join(b.TempDir(), "state.db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(b.Context())
	id := func(i uint64) uint64 { return testSecret.hash(binary.LittleEndian.AppendUint64(nil, i)) }
	for i := uint64(0); i < million; {
		var ops []store.Op
		for range 20_000 {
			ops = append(ops, store.Add(appendTokenKey(nil, 0, id(i)), lifeOfOld, 1, 2, 3))
			i++
		}
		if err := s.Apply(b.Context(), Space, ops...); err != nil {
			b.Fatal(err)
		}
	}
	c := New(s, Options{CacheTokens: -1})
	tokens := make([]Token, 500)
	n := uint64(0)
	for b.Loop() {
		for i := range tokens {
			n += 7919
			tokens[i] = Token{ID: id(n % (2 * million))}
		}
		if _, err := c.recall(b.Context(), 0, tokens); err != nil {
			b.Fatal(err)
		}
	}
}

// Learning into a file, in the groups of LearnAll, parsing included.
func BenchmarkLearnBolt(b *testing.B) {
	all := corpus(b)
	deal(all, 5, 1)
	s, err := bolt.Open(filepath.Join(b.TempDir(), "state.db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(b.Context())
	c, n := New(s, Options{}), 0
	class := map[bool]Class{false: Ham, true: Spam}
	for b.Loop() {
		lessons := make([]Lesson, groupLessons)
		for i := range lessons {
			m := all[n%len(all)]
			lessons[i] = Lesson{Class: class[m.spam != (n/len(all)%2 == 1)], Message: Parse(m.raw, mime.Limits{})} // the second time round they flip
			n++
		}
		if _, err := c.LearnAll(b.Context(), "", lessons...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
}
