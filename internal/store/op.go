package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Kind says what an operation does.
type Kind int

// The kinds of operations. The zero Kind is none, so that an Op that nobody filled
// in is an error.
const (
	KindPut Kind = iota + 1
	KindAdd
	KindDelete
	KindIf
)

// Op is one operation of a batch; [Put], [Add], [Delete] and [If] make them.
type Op struct {
	Kind   Kind
	Key    []byte
	Value  []byte        // Put: what the key shall hold; If: what it must hold, nil for nothing
	Deltas []int64       // Add: what to add to the first, second ... counter
	TTL    time.Duration // Put, Add: how long the record lives from now on; 0: forever
}

// Put makes key hold value, for ttl from now or, with 0, forever. Times to live are
// whole milliseconds; fractions are cut off.
func Put(key, value []byte, ttl time.Duration) Op {
	if value == nil {
		value = []byte{}
	}
	return Op{Kind: KindPut, Key: key, Value: value, TTL: ttl}
}

// Add adds to the counters of key, the first delta to the first counter and so on;
// counters that nobody has added to are 0, and those beyond deltas stay what they
// are. A sum that does not fit stays at the largest or smallest number there is.
// The record lives for ttl from now or, with 0, forever, whatever was said before.
//
// The value of such a record is its counters, 8 bytes each, big-endian, two's
// complement; [Counter] reads them. Adding to another value reads that value so,
// with zero bytes where it ends too early.
func Add(key []byte, ttl time.Duration, deltas ...int64) Op {
	return Op{Kind: KindAdd, Key: key, Deltas: deltas, TTL: ttl}
}

// Delete makes key hold nothing.
func Delete(key []byte) Op { return Op{Kind: KindDelete, Key: key} }

// If lets the batch happen only if key holds value, or with a nil value nothing.
// Every If of a batch looks at what was there before the batch, wherever in the
// batch it stands.
func If(key, value []byte) Op { return Op{Kind: KindIf, Key: key, Value: value} }

// Counter returns counter i, from 0, of a value that [Add] made: 0 where nobody has
// added to it, or where value is nil.
func Counter(value []byte, i int) int64 {
	if len(value) < 8*(i+1) {
		return 0
	}
	return int64(binary.BigEndian.Uint64(value[8*i:]))
}

// opOverhead is roughly what an Op takes in memory beside its bytes.
const opOverhead = 96

// Validate reports whether a store can take the batch, and how many bytes of memory
// it takes while it waits. For those who implement a [Store].
func Validate(space string, ops []Op) (size int, err error) {
	if err := validSpace(space); err != nil {
		return 0, err
	}
	for i := range ops {
		o := &ops[i]
		if err := o.valid(); err != nil {
			return 0, fmt.Errorf("%w: operation %d: %w", ErrInvalid, i, err)
		}
		size += opOverhead + len(o.Key) + len(o.Value) + 8*len(o.Deltas)
		if size > MaxBatch {
			return 0, fmt.Errorf("%w: a batch of more than %d bytes", ErrInvalid, MaxBatch)
		}
	}
	return size, nil
}

// ValidateKeys reports whether a store can look for the keys. For those who
// implement a [Store].
func ValidateKeys(space string, keys [][]byte) error {
	if err := validSpace(space); err != nil {
		return err
	}
	if len(keys) > MaxKeys {
		return fmt.Errorf("%w: %d keys, at most %d", ErrInvalid, len(keys), MaxKeys)
	}
	for i, k := range keys {
		if err := validKey(k); err != nil {
			return fmt.Errorf("%w: key %d: %w", ErrInvalid, i, err)
		}
	}
	return nil
}

func (o *Op) valid() error {
	if err := validKey(o.Key); err != nil {
		return err
	}
	switch {
	case o.Kind < KindPut || o.Kind > KindIf:
		return fmt.Errorf("kind %d", o.Kind)
	case len(o.Value) > MaxValue:
		return fmt.Errorf("a value of %d bytes, at most %d", len(o.Value), MaxValue)
	case o.Kind == KindPut && o.Value == nil:
		return fmt.Errorf("put without a value")
	case len(o.Deltas) > MaxCounters || o.Kind == KindAdd && len(o.Deltas) == 0:
		return fmt.Errorf("%d counters, expected 1 to %d", len(o.Deltas), MaxCounters)
	case o.TTL < 0 || 0 < o.TTL && o.TTL < time.Millisecond:
		return fmt.Errorf("a life of %v, expected 0 or at least 1ms", o.TTL)
	}
	return nil
}

func validSpace(space string) error {
	if len(space) == 0 || len(space) > MaxSpace {
		return fmt.Errorf("%w: space %q has %d bytes, expected 1 to %d", ErrInvalid, space[:min(len(space), MaxSpace)], len(space), MaxSpace)
	}
	for i := range len(space) {
		if c := space[i]; c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return fmt.Errorf("%w: space %q, expected a-z, 0-9 and _", ErrInvalid, space)
		}
	}
	return nil
}

func validKey(key []byte) error {
	if len(key) == 0 || len(key) > MaxKey {
		return fmt.Errorf("a key of %d bytes, expected 1 to %d", len(key), MaxKey)
	}
	return nil
}

// Record is what a key holds. The zero Record is nothing. It is what operations
// mean, for those who implement a [Store].
type Record struct {
	// Value is nil for nothing.
	Value []byte
	// Expires is the moment from which the record is gone, in milliseconds since
	// 1970; 0 is never.
	Expires int64
}

// At returns r as it is seen at a moment: nothing, when it has expired.
func (r Record) At(now time.Time) Record {
	if r.Expires != 0 && r.Expires <= now.UnixMilli() {
		return Record{}
	}
	return r
}

// Holds reports whether an If is content with r, which must be as seen now.
func (o *Op) Holds(r Record) bool {
	return (o.Value == nil) == (r.Value == nil) && bytes.Equal(o.Value, r.Value)
}

// Change returns what Put, Add or Delete make of r, which must be as seen at now.
func (o *Op) Change(r Record, now time.Time) Record {
	switch o.Kind {
	case KindPut:
		return Record{Value: o.Value, Expires: expires(now, o.TTL)}
	case KindAdd:
		return Record{Value: o.count(r.Value), Expires: expires(now, o.TTL)}
	case KindDelete:
		return Record{}
	}
	return r
}

func expires(now time.Time, ttl time.Duration) int64 {
	if ttl == 0 {
		return 0
	}
	return cmp.Or(now.UnixMilli()+ttl.Milliseconds(), 1) // 0 would be forever
}

// count returns a new value with the deltas added.
func (o *Op) count(value []byte) []byte {
	sum := make([]byte, max(len(value), 8*len(o.Deltas)))
	copy(sum, value)
	for i, delta := range o.Deltas {
		at := sum[8*i : 8*i+8]
		binary.BigEndian.PutUint64(at, uint64(saturate(int64(binary.BigEndian.Uint64(at)), delta)))
	}
	return sum
}

func saturate(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}
