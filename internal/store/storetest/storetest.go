// Package storetest is what every store must pass: the promises of package store,
// one test each, and a model that random batches are played against.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/internal/store"
)

// Store is a store that can be closed.
type Store interface {
	store.Store
	Close(ctx context.Context) error
}

// Open makes an empty store whose records expire by now. Run closes it.
type Open func(t testing.TB, now func() time.Time) Store

// A Clock stands still until it is told to move.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows a time with a fraction of a millisecond, as
// they do.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, 11, 1, 12, 0, 0, 123_456_789, time.UTC)}
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock, also backwards.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Run tests the stores that open makes.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s Store, c *Clock)
	}{
		{"get", testGet},
		{"put and delete", testPut},
		{"counters", testCounters},
		{"if", testIf},
		{"batches", testBatches},
		{"spaces", testSpaces},
		{"expiry", testExpiry},
		{"post", testPost},
		{"limits", testLimits},
		{"invalid", testInvalid},
		{"context", testContext},
		{"ownership", testOwnership},
		{"concurrent counting", testConcurrentAdd},
		{"concurrent compare and set", testConcurrentIf},
		{"no torn batch", testTorn},
		{"close", testClose},
		{"walk", testWalk},
		{"model", testModel},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := NewClock()
			s := open(t, c.Now)
			t.Cleanup(func() {
				if err := s.Close(context.Background()); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test.run(t, s, c)
		})
	}
}

const space = "test"

func k(name string) []byte { return []byte(name) }

// apply applies ops and fails the test if that fails.
func apply(t testing.TB, s Store, ops ...store.Op) {
	t.Helper()
	if err := s.Apply(t.Context(), space, ops...); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

// get describes what the keys hold, in a line: "-" is nothing.
func get(t testing.TB, s Store, names ...string) string {
	t.Helper()
	keys := make([][]byte, len(names))
	for i, name := range names {
		keys[i] = k(name)
	}
	values, err := s.Get(t.Context(), space, keys...)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	if len(values) != len(keys) {
		t.Fatalf("%d values for %d keys", len(values), len(keys))
	}
	words := make([]string, len(values))
	for i, v := range values {
		if words[i] = string(v); v == nil {
			words[i] = "-"
		}
	}
	return strings.Join(words, " ")
}

func want(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func testGet(t *testing.T, s Store, _ *Clock) {
	want(t, get(t, s), "")
	want(t, get(t, s, "a", "b"), "- -")
	apply(t, s, store.Put(k("b"), k("2"), 0), store.Put(k("a"), k("1"), 0), store.Put(k("empty"), nil, 0), store.Put(k("\x00\xff"), k("bin"), 0))
	want(t, get(t, s, "a", "x", "b", "a", "empty", "\x00\xff", "\x00"), "1 - 2 1  bin -")
}

func testPut(t *testing.T, s Store, _ *Clock) {
	apply(t, s, store.Put(k("a"), k("1"), 0))
	apply(t, s, store.Put(k("a"), k("longer"), 0))
	want(t, get(t, s, "a"), "longer")
	apply(t, s, store.Delete(k("a")), store.Delete(k("never there")))
	want(t, get(t, s, "a"), "-")
	apply(t, s, store.Delete(k("a")))
	apply(t, s, store.Put(k("a"), k("again"), 0))
	want(t, get(t, s, "a"), "again")
}

// counters describes the first n counters of a key.
func counters(t testing.TB, s Store, name string, n int) string {
	t.Helper()
	values, err := s.Get(t.Context(), space, k(name))
	if err != nil {
		t.Fatal(err)
	}
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprint(store.Counter(values[0], i))
	}
	return strings.Join(words, " ")
}

func testCounters(t *testing.T, s Store, _ *Clock) {
	want(t, counters(t, s, "n", 2), "0 0")
	apply(t, s, store.Add(k("n"), 0, 5))
	want(t, counters(t, s, "n", 3), "5 0 0")
	apply(t, s, store.Add(k("n"), 0, -7, 0, 3), store.Add(k("n"), 0, 1))
	want(t, counters(t, s, "n", 3), "-1 0 3")
	apply(t, s, store.Add(k("n"), 0, 0, math.MaxInt64, math.MaxInt64), store.Add(k("m"), 0, math.MinInt64))
	apply(t, s, store.Add(k("n"), 0, 0, 1), store.Add(k("m"), 0, -1))
	want(t, counters(t, s, "n", 3)+" "+counters(t, s, "m", 1), "-1 9223372036854775807 9223372036854775807 -9223372036854775808")
	apply(t, s, store.Put(k("x"), k("\x00\x00\x00\x00\x00\x00\x01"), 0))
	apply(t, s, store.Add(k("x"), 0, 1)) // what is no counter ends in zeros
	want(t, counters(t, s, "x", 1), "257")
	apply(t, s, store.Put(k("n"), k(""), 0))
	apply(t, s, store.Add(k("n"), 0, 2))
	want(t, counters(t, s, "n", 2), "2 0")
	want(t, get(t, s, "n"), "\x00\x00\x00\x00\x00\x00\x00\x02")
}

func testIf(t *testing.T, s Store, _ *Clock) {
	conflict := func(ops ...store.Op) {
		t.Helper()
		if err := s.Apply(t.Context(), space, ops...); !errors.Is(err, store.ErrConflict) {
			t.Errorf("apply: %v, want %v", err, store.ErrConflict)
		}
	}
	conflict(store.If(k("a"), k("")), store.Put(k("a"), k("wrong"), 0))
	apply(t, s, store.If(k("a"), nil), store.Put(k("a"), k("1"), 0))
	conflict(store.If(k("a"), nil), store.Put(k("a"), k("wrong"), 0), store.Put(k("b"), k("wrong"), 0))
	conflict(store.Put(k("b"), k("wrong"), 0), store.If(k("a"), k("2"))) // wherever it stands
	want(t, get(t, s, "a", "b"), "1 -")
	apply(t, s, store.Put(k("a"), k("2"), 0), store.If(k("a"), k("1"))) // as it was before
	conflict(store.If(k("a"), k("2")), store.If(k("b"), k("x")), store.Delete(k("a")))
	apply(t, s, store.If(k("a"), k("2")), store.If(k("b"), nil), store.Delete(k("a")))
	want(t, get(t, s, "a", "b"), "- -")
	apply(t, s, store.Put(k("a"), k(""), 0))
	conflict(store.If(k("a"), nil))
	apply(t, s, store.If(k("a"), k("")))
}

func testBatches(t *testing.T, s Store, _ *Clock) {
	apply(t, s)
	apply(t, s, store.Put(k("a"), k("1"), 0), store.Delete(k("a")), store.Add(k("n"), 0, 1), store.Add(k("n"), 0, 1), store.Put(k("b"), k("1"), 0), store.Put(k("b"), k("2"), 0))
	want(t, get(t, s, "a", "b")+" "+counters(t, s, "n", 1), "- 2 2")
	var ops []store.Op
	for i := range 3000 {
		ops = append(ops, store.Add(fmt.Appendf(nil, "n%d", i), 0, int64(i)))
	}
	apply(t, s, ops...)
	apply(t, s, ops...)
	want(t, counters(t, s, "n0", 1)+" "+counters(t, s, "n2999", 1), "0 5998")
}

func testSpaces(t *testing.T, s Store, _ *Clock) {
	apply(t, s, store.Put(k("a"), k("1"), 0))
	if err := s.Apply(t.Context(), "test_2", store.If(k("a"), nil), store.Put(k("a"), k("2"), 0)); err != nil {
		t.Fatal(err)
	}
	want(t, get(t, s, "a"), "1")
	if err := s.Apply(t.Context(), "test_2", store.Delete(k("a"))); err != nil {
		t.Fatal(err)
	}
	want(t, get(t, s, "a"), "1")
}

func testExpiry(t *testing.T, s Store, c *Clock) {
	apply(t, s, store.Put(k("p"), k("1"), time.Minute), store.Add(k("n"), time.Minute, 1), store.Put(k("f"), k("1"), 0), store.Put(k("ms"), k("1"), time.Millisecond))
	want(t, get(t, s, "ms"), "1")
	c.Add(time.Minute - time.Millisecond)
	want(t, get(t, s, "p", "f", "ms")+" "+counters(t, s, "n", 1), "1 1 - 1")
	c.Add(time.Millisecond)
	want(t, get(t, s, "p", "f")+" "+counters(t, s, "n", 1), "- 1 0")
	// What has expired is nothing, to all operations.
	apply(t, s, store.If(k("p"), nil), store.If(k("n"), nil), store.Add(k("n"), time.Minute, 2), store.Put(k("p"), k("2"), time.Hour))
	want(t, get(t, s, "p")+" "+counters(t, s, "n", 1), "2 2")
	// Each writing says anew how long it lives.
	c.Add(50 * time.Second)
	apply(t, s, store.Add(k("n"), time.Minute, 0), store.Put(k("p"), k("3"), time.Minute))
	c.Add(50 * time.Second)
	want(t, get(t, s, "p")+" "+counters(t, s, "n", 1), "3 2")
	apply(t, s, store.Add(k("n"), 0, 1))
	c.Add(1000 * 24 * time.Hour)
	want(t, get(t, s, "p", "f")+" "+counters(t, s, "n", 1), "- 1 3")
	// A clock without a battery makes nothing last forever, nor the end of a record
	// at 0 of the Unix clock.
	c.Add(time.Duration(-c.Now().UnixMilli())*time.Millisecond - time.Hour)
	apply(t, s, store.Put(k("before"), k("1"), time.Minute), store.Put(k("zero"), k("1"), time.Hour))
	want(t, get(t, s, "before", "zero"), "1 1")
	c.Add(time.Minute)
	want(t, get(t, s, "before", "zero"), "- 1")
	c.Add(time.Hour)
	want(t, get(t, s, "before", "zero"), "- -")
}

func testPost(t *testing.T, s Store, _ *Clock) {
	for i := range 100 {
		if err := s.Post(space, store.Add(k("n"), 0, 1), store.Put(k("last"), fmt.Append(nil, i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Post(space, store.If(k("n"), nil), store.Put(k("last"), k("wrong"), 0)); err != nil {
		t.Errorf("a conflict is not the poster's concern: %v", err)
	}
	apply(t, s) // in their order: all of it is stored now
	want(t, counters(t, s, "n", 1)+" "+get(t, s, "last"), "100 99")
	if err := s.Post(space, store.Put(k("soon"), k("1"), 0)); err != nil {
		t.Fatal(err)
	}
	late, again := time.After(time.Second), time.NewTicker(5*time.Millisecond)
	defer again.Stop()
	for get(t, s, "soon") != "1" {
		select {
		case <-late:
			t.Fatal("not to be seen after a second")
		case <-again.C:
		}
	}
}

func testLimits(t *testing.T, s Store, _ *Clock) {
	key, value := bytes.Repeat(k("k"), store.MaxKey), bytes.Repeat(k("v"), store.MaxValue)
	long := strings.Repeat("s", store.MaxSpace)
	deltas := make([]int64, store.MaxCounters)
	deltas[store.MaxCounters-1] = 1
	if err := s.Apply(t.Context(), long, store.Put(key, value, 100*365*24*time.Hour), store.Add(k("n"), 0, deltas...)); err != nil {
		t.Fatal(err)
	}
	values, err := s.Get(t.Context(), long, key, k("n"))
	if err != nil || !bytes.Equal(values[0], value) || store.Counter(values[1], store.MaxCounters-1) != 1 {
		t.Errorf("%d bytes, %v", len(values[0]), err)
	}
	var ops []store.Op
	for i := range store.MaxBatch / (store.MaxValue + 200) {
		ops = append(ops, store.Put(fmt.Append(nil, i), value, 0))
	}
	apply(t, s, append(ops, store.Put(k("short"), k("1"), 0))...)
	values, err = s.Get(t.Context(), space, slices.Repeat([][]byte{k("short")}, store.MaxKeys)...)
	if err != nil || len(values) != store.MaxKeys || string(values[store.MaxKeys-1]) != "1" {
		t.Errorf("%d values, %v", len(values), err)
	}
}

func testInvalid(t *testing.T, s Store, _ *Clock) {
	good := store.Put(k("a"), k("1"), 0)
	big := store.Put(k("b"), make([]byte, store.MaxValue), 0)
	var huge []store.Op
	for range store.MaxBatch / store.MaxValue {
		huge = append(huge, big)
	}
	for name, c := range map[string]struct {
		space string
		ops   []store.Op
	}{
		"no space":          {"", []store.Op{good}},
		"space in capitals": {"Test", []store.Op{good}},
		"space with dots":   {"a.b", []store.Op{good}},
		"long space":        {strings.Repeat("s", store.MaxSpace+1), []store.Op{good}},
		"no key":            {space, []store.Op{good, store.Delete(nil)}},
		"long key":          {space, []store.Op{good, store.If(make([]byte, store.MaxKey+1), nil)}},
		"long value":        {space, []store.Op{good, store.Put(k("b"), make([]byte, store.MaxValue+1), 0)}},
		"no counters":       {space, []store.Op{good, store.Add(k("b"), 0)}},
		"many counters":     {space, []store.Op{good, store.Add(k("b"), 0, make([]int64, store.MaxCounters+1)...)}},
		"negative life":     {space, []store.Op{good, store.Put(k("b"), nil, -1)}},
		"life of a blink":   {space, []store.Op{good, store.Put(k("b"), nil, time.Microsecond)}},
		"no kind":           {space, []store.Op{good, {Key: k("b")}}},
		"unknown kind":      {space, []store.Op{good, {Kind: 99, Key: k("b")}}},
		"put of nil":        {space, []store.Op{good, {Kind: store.KindPut, Key: k("b")}}},
		"huge":              {space, huge},
	} {
		if err := s.Apply(t.Context(), c.space, c.ops...); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("apply, %s: %v", name, err)
		}
		if err := s.Post(c.space, c.ops...); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("post, %s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		space string
		keys  [][]byte
	}{
		"no space":  {"", [][]byte{k("a")}},
		"no key":    {space, [][]byte{k("a"), nil}},
		"long key":  {space, [][]byte{make([]byte, store.MaxKey+1)}},
		"many keys": {space, slices.Repeat([][]byte{k("a")}, store.MaxKeys+1)},
	} {
		if values, err := s.Get(t.Context(), c.space, c.keys...); !errors.Is(err, store.ErrInvalid) || values != nil {
			t.Errorf("get, %s: %d values, %v", name, len(values), err)
		}
	}
	apply(t, s)
	want(t, get(t, s, "a", "b"), "- -")
}

func testContext(t *testing.T, s Store, _ *Clock) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Apply(ctx, space, store.Put(k("a"), k("1"), 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("apply: %v", err)
	}
	if values, err := s.Get(ctx, space, k("a")); !errors.Is(err, context.Canceled) || values != nil {
		t.Errorf("get: %q, %v", values, err)
	}
	want(t, get(t, s, "a"), "-")
}

// testOwnership: what Get returned stays what it was, whoever writes later, and
// changing it changes nothing else.
func testOwnership(t *testing.T, s Store, _ *Clock) {
	apply(t, s, store.Put(k("a"), k("aaaa"), 0), store.Put(k("b"), k("bbbb"), 0))
	values, err := s.Get(t.Context(), space, k("a"), k("b"))
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, store.Put(k("a"), k("xxxx"), 0), store.Delete(k("b")))
	want(t, string(values[0])+string(values[1]), "aaaabbbb")
	values[0] = append(values[0], "yyyy"...)
	values[0][0] = 'y'
	want(t, string(values[1])+get(t, s, "a"), "bbbbxxxx")
}

func testClose(t *testing.T, s Store, _ *Clock) {
	apply(t, s, store.Put(k("a"), k("1"), 0))
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if values, err := s.Get(t.Context(), space, k("a")); !errors.Is(err, store.ErrClosed) || values != nil {
		t.Errorf("get: %q, %v", values, err)
	}
	if err := s.Apply(t.Context(), space, store.Delete(k("a"))); !errors.Is(err, store.ErrClosed) {
		t.Errorf("apply: %v", err)
	}
	if err := s.Post(space, store.Delete(k("a"))); !errors.Is(err, store.ErrClosed) {
		t.Errorf("post: %v", err)
	}
}

func testModel(t *testing.T, s Store, c *Clock) {
	script := make([]byte, 6000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range script {
		script[i] = byte(random.Uint32())
	}
	Play(t, s, c, script)
}
