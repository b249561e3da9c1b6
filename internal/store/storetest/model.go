package storetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"testing"
	"time"

	"milterd/internal/store"
)

// A model is what the store should hold, said as plainly as can be.
type model struct {
	t     testing.TB
	s     Store
	clock *Clock
	holds map[name]*held
}

type name struct{ space, key string }

type held struct {
	value   []byte
	expires int64 // milliseconds since 1970; 0: never
	// doubtful is set once the clock has shown a time at which the record was over.
	// Should the clock go back, the store may have it still or not.
	doubtful bool
}

// The names are few, so that operations meet.
var (
	modelSpaces = []string{"one", "two"}
	modelKeys   = [][]byte{k("a"), k("b"), k("ab"), k("\x00"), k("\xff\xff"), k("longer than the others")}
)

// Play reads script as a sequence of batches, looks and clock jumps, does them to s
// and to a model, and fails when the two disagree. s must be empty and live by clock.
// Any script is valid.
func Play(t testing.TB, s Store, clock *Clock, script []byte) {
	m := &model{t: t, s: s, clock: clock, holds: make(map[name]*held)}
	in := &reader{script}
	for len(in.left) > 0 {
		switch in.below(12) {
		case 0:
			m.move(time.Duration(in.below(3000)) * time.Millisecond)
		case 1:
			m.move(time.Duration(in.below(400)) * 24 * time.Hour)
		case 2:
			m.move(-time.Duration(in.below(3000)) * time.Millisecond)
		case 3:
			m.move(-time.Duration(in.below(400)) * 24 * time.Hour)
		case 4, 5:
			m.compare()
		case 6, 7:
			space, ops := m.batch(in)
			err := s.Apply(t.Context(), space, ops...)
			if done := m.do(space, ops); done && err != nil || !done && !errors.Is(err, store.ErrConflict) {
				t.Fatalf("apply to %s of %+v: %v; the model did it: %v", space, ops, err, done)
			}
		default:
			space, ops := m.batch(in)
			if err := s.Post(space, ops...); err != nil {
				t.Fatalf("post to %s of %+v: %v", space, ops, err)
			}
			m.do(space, ops)
		}
	}
	m.compare()
}

// A reader makes decisions of bytes; after the last one they are all 0.
type reader struct{ left []byte }

func (r *reader) byte() byte {
	if len(r.left) == 0 {
		return 0
	}
	b := r.left[0]
	r.left = r.left[1:]
	return b
}

func (r *reader) below(n int) int {
	if n <= 256 {
		return int(r.byte()) % n
	}
	return (int(r.byte())<<8 | int(r.byte())) % n
}

func (m *model) batch(in *reader) (space string, ops []store.Op) {
	space = modelSpaces[in.below(len(modelSpaces))]
	for range in.below(5) {
		key := modelKeys[in.below(len(modelKeys))]
		ttl := []time.Duration{0, time.Millisecond, time.Second, 1500 * time.Millisecond, 24*time.Hour + 999*time.Microsecond}[in.below(5)]
		switch in.below(8) {
		case 0:
			ops = append(ops, store.Delete(key))
		case 1:
			ops = append(ops, store.If(key, nil))
		case 2: // what it holds, most likely
			if h := m.now(space, key); h != nil {
				ops = append(ops, store.If(key, bytes.Clone(h.value)))
			}
		case 3, 4:
			ops = append(ops, store.Put(key, bytes.Repeat([]byte{in.byte()}, in.below(20)), ttl))
		case 5:
			ops = append(ops, store.Add(key, ttl, math.MaxInt64-int64(in.below(3)), math.MinInt64+int64(in.below(3))))
		default:
			ops = append(ops, store.Add(key, ttl, int64(in.below(256))-128, int64(in.below(3))-1))
		}
	}
	return space, ops
}

// now returns what a key holds at this time, or nil.
func (m *model) now(space string, key []byte) *held {
	h := m.holds[name{space, string(key)}]
	if h == nil || h.expires != 0 && h.expires <= m.clock.Now().UnixMilli() {
		return nil
	}
	return h
}

// do applies a batch to the model and reports whether every If held.
func (m *model) do(space string, ops []store.Op) bool {
	for _, o := range ops {
		if o.Kind != store.KindIf {
			continue
		}
		if h := m.now(space, o.Key); (h == nil) != (o.Value == nil) || h != nil && !bytes.Equal(h.value, o.Value) {
			return false
		}
	}
	for _, o := range ops {
		n := name{space, string(o.Key)}
		h := &held{value: bytes.Clone(o.Value)}
		if o.TTL > 0 {
			h.expires = m.clock.Now().UnixMilli() + int64(o.TTL/time.Millisecond)
		}
		switch o.Kind {
		case store.KindPut:
			m.holds[n] = h
		case store.KindAdd:
			if old := m.now(space, o.Key); old != nil {
				h.value = bytes.Clone(old.value)
			}
			for i, delta := range o.Deltas {
				h.add(i, delta)
			}
			m.holds[n] = h
		case store.KindDelete:
			delete(m.holds, n)
		}
	}
	return true
}

func (h *held) add(i int, delta int64) {
	for len(h.value) < 8*i+8 {
		h.value = append(h.value, 0)
	}
	at := h.value[8*i:]
	sum := new(big.Int).Add(big.NewInt(int64(binary.BigEndian.Uint64(at))), big.NewInt(delta))
	switch most, least := big.NewInt(math.MaxInt64), big.NewInt(math.MinInt64); {
	case sum.Cmp(most) > 0:
		sum = most
	case sum.Cmp(least) < 0:
		sum = least
	}
	binary.BigEndian.PutUint64(at, uint64(sum.Int64()))
}

// move sets the clock. What was posted is stored first, since a batch counts from
// when it was handed over; and once the clock has gone back, a sweep that began
// before is waited for.
func (m *model) move(d time.Duration) {
	m.settle()
	m.clock.Add(d)
	m.settle()
	for n, h := range m.holds {
		switch now := m.now(n.space, []byte(n.key)); {
		case now == nil:
			h.doubtful = true
		case h.doubtful:
			values, err := m.s.Get(m.t.Context(), n.space, []byte(n.key))
			if err != nil {
				m.t.Fatal(err)
			}
			if h.doubtful = false; values[0] == nil {
				delete(m.holds, n)
			}
		}
	}
}

// settle waits until everything is stored.
func (m *model) settle() {
	if err := m.s.Apply(m.t.Context(), modelSpaces[0]); err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) compare() {
	m.t.Helper()
	m.settle()
	for _, space := range modelSpaces {
		values, err := m.s.Get(m.t.Context(), space, modelKeys...)
		if err != nil {
			m.t.Fatal(err)
		}
		for i, key := range modelKeys {
			h := m.now(space, key)
			if (h == nil) != (values[i] == nil) || h != nil && !bytes.Equal(h.value, values[i]) {
				m.t.Fatalf("%s/%q holds %q, expected %+v", space, key, values[i], h)
			}
		}
	}
}
