package message

import "sync/atomic"

// Budget is an amount that messages in flight share: bytes of memory, bytes of
// spool files. Taking never waits, so it cannot deadlock: who gets nothing
// answers 451 and the sender comes back.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of that many units.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Take reserves n units, all or nothing.
func (b *Budget) Take(n int64) bool {
	if b == nil {
		return true
	}
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// Give returns n units.
func (b *Budget) Give(n int64) {
	if b != nil {
		b.used.Add(-n)
	}
}

// Used returns the units taken.
func (b *Budget) Used() int64 { return b.used.Load() }
