package bolt

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"milterd/internal/store"
)

// token is key i of a store of words: 8 bytes, spread evenly.
func token(i uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, i*0x9e3779b97f4a7c15)
}

// BenchmarkGet reads the words of a message: 500 keys, half of them known.
func BenchmarkGet(b *testing.B) {
	for _, records := range []int{1000, 200_000} {
		b.Run(fmt.Sprint("of ", records), func(b *testing.B) {
			s := open(b, file(b), Options{})
			for from := 0; from < records; from += 1000 {
				var ops []store.Op
				for i := range 1000 {
					ops = append(ops, store.Add(token(uint64(from+i)), 0, 1, 2))
				}
				if err := s.Apply(b.Context(), space, ops...); err != nil {
					b.Fatal(err)
				}
			}
			random := rand.New(rand.NewPCG(1, 2))
			keys := make([][]byte, 500)
			b.ReportAllocs()
			for b.Loop() {
				for i := range keys {
					keys[i] = token(random.Uint64N(uint64(2 * records)))
				}
				if _, err := s.Get(b.Context(), space, keys...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGetOne is the question of a greylist.
func BenchmarkGetOne(b *testing.B) {
	s := open(b, file(b), Options{})
	apply(b, s, put("a", "1"))
	key := []byte("a")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(b.Context(), space, key); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPost is what a note costs the mail that makes it; the writer's work is
// in it too, as far as the disk keeps pace.
func BenchmarkPost(b *testing.B) {
	s := open(b, file(b), Options{})
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		for s.Post(space, store.Put(token(n), []byte("12345678"), 0)) != nil { // busy
			apply(b, s)
		}
	}
}

// BenchmarkApply is one synced batch after the other, of 1 and of 500 counters.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 500} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := open(b, file(b), Options{})
			random := rand.New(rand.NewPCG(1, 2))
			ops := make([]store.Op, size)
			for b.Loop() {
				for i := range ops {
					ops[i] = store.Add(token(random.Uint64N(200_000)), 0, 1, 0)
				}
				if err := s.Apply(b.Context(), space, ops...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
