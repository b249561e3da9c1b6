package store

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Memory is a Store that forgets everything when the process ends: for the
// demonstration, for tests, and for whoever wants no file. What is stable storage
// to others is its map, so Apply and Post differ in nothing but the context.
type Memory struct {
	now      func() time.Time
	maxBytes int

	mu     sync.Mutex
	spaces map[string]map[string]Record
	bytes  int
	swept  time.Time // when expired records were last looked for
	closed bool
}

var _ Store = (*Memory)(nil)

// recordOverhead is roughly what a record takes in a map beside its bytes.
const recordOverhead = 100

// NewMemory returns an empty store that takes about maxBytes at most and reads the
// time from now.
func NewMemory(now func() time.Time, maxBytes int) *Memory {
	return &Memory{now: now, maxBytes: maxBytes, spaces: make(map[string]map[string]Record)}
}

// Get implements [Store].
func (m *Memory) Get(ctx context.Context, space string, keys ...[]byte) ([][]byte, error) {
	if err := ValidateKeys(space, keys); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	now, records := m.now(), m.spaces[space]
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = slices.Clone(records[string(k)].At(now).Value)
	}
	return values, nil
}

// Apply implements [Store].
func (m *Memory) Apply(ctx context.Context, space string, ops ...Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return m.write(space, ops)
}

// Post implements [Store].
func (m *Memory) Post(space string, ops ...Op) error {
	if err := m.write(space, ops); err != ErrConflict {
		return err
	}
	return nil
}

func (m *Memory) write(space string, ops []Op) error {
	if _, err := Validate(space, ops); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if m.closed {
		return ErrClosed
	}
	if m.bytes > m.maxBytes && slices.ContainsFunc(ops, func(o Op) bool { return o.Kind == KindPut || o.Kind == KindAdd }) {
		m.sweep(now)
		if m.bytes > m.maxBytes {
			return ErrFull
		}
	}
	records := m.spaces[space]
	if records == nil {
		records = make(map[string]Record)
		m.spaces[space] = records
	}
	for i := range ops {
		if ops[i].Kind == KindIf && !ops[i].Holds(records[string(ops[i].Key)].At(now)) {
			return ErrConflict
		}
	}
	for i := range ops {
		if ops[i].Kind != KindIf {
			m.set(records, string(ops[i].Key), ops[i].Change(records[string(ops[i].Key)].At(now), now))
		}
	}
	return nil
}

// set puts r in the place of what key holds; m.mu is held.
func (m *Memory) set(records map[string]Record, key string, r Record) {
	if old, ok := records[key]; ok {
		m.bytes -= recordOverhead + len(key) + len(old.Value)
		delete(records, key)
	}
	if r.Value != nil {
		m.bytes += recordOverhead + len(key) + len(r.Value)
		records[key] = r
	}
}

// sweep gives back what has expired; m.mu is held. A store full of living records
// must not be walked through at every try.
func (m *Memory) sweep(now time.Time) {
	if age := now.Sub(m.swept); 0 <= age && age < time.Second {
		return
	}
	m.swept = now
	for _, records := range m.spaces {
		for key, r := range records {
			if r.At(now).Value == nil {
				m.set(records, key, Record{})
			}
		}
	}
}

// Close forgets everything. It always returns nil.
func (m *Memory) Close(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.spaces, m.bytes = true, nil, 0
	return nil
}

var _ Walker = (*Memory)(nil)

// Walk implements [Walker].
func (m *Memory) Walk(ctx context.Context, each func(space string, key []byte, r Record) error) error {
	type found struct {
		space, key string
		r          Record
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	now := m.now()
	var all []found
	for space, records := range m.spaces {
		for key, r := range records {
			if r = r.At(now); r.Value != nil {
				all = append(all, found{space, key, Record{Value: slices.Clone(r.Value), Expires: r.Expires}})
			}
		}
	}
	m.mu.Unlock() // each may be slow
	for _, f := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(f.space, []byte(f.key), f.r); err != nil {
			return err
		}
	}
	return nil
}
