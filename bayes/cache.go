package bayes

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// For how long a number from the store is believed. What another process has learned is
// seen after cacheLife at the latest; where there is none, only what is too old to be in
// the store any more would be seen later.
const (
	cacheLife      = 10 * time.Second
	cacheLifeAlone = 10 * time.Minute
)

// cache holds the numbers of hot tokens, also of those that the store does not have:
// words that every message contains are looked up once in a while. It is a table
// of a fixed size in which a newcomer takes the place of who is there; 32 bytes an
// entry.
type cache struct {
	mask    uint64
	life    uint32       // in ticks
	mu      sync.RWMutex // guards entries: taken once for all tokens of a message
	entries []entry
	// learned counts lessons. Numbers that were read before one and come after it
	// are not taken up.
	learned atomic.Uint64
}

// entry is what is known of a token.
type entry struct {
	key    uint64
	weight int64
	spam   uint32
	ham    uint32
	until  uint32 // see tick; 0 is an empty entry
}

// tick is a point in time in tenths of a second, which come around after 13 years.
func tick(milliseconds int64) uint32 { return uint32(milliseconds / 100) }

func newCache(size int, life time.Duration) *cache {
	if size < 0 {
		return &cache{}
	}
	size = 1 << bits.Len(uint(size-1))
	return &cache{mask: uint64(size - 1), life: tick(life.Milliseconds()), entries: make([]entry, size)}
}

// keyOf makes one number of two that are both hashes under a key of ours.
func keyOf(s scope, id uint64) uint64 { return id ^ uint64(s)*0x9e3779b97f4a7c15 }

// get returns the numbers of a token. The caller holds mu, as for put.
func (c *cache) get(s scope, id uint64, now int64) (n numbers, ok bool) {
	if c.entries == nil {
		return numbers{}, false
	}
	key := keyOf(s, id)
	e := &c.entries[key&c.mask]
	if left := e.until - tick(now); e.key == key && left-1 < c.life {
		return numbers{e.spam, e.ham, e.weight}, true
	}
	return numbers{}, false
}

// put takes numbers up that were read when learned was as given.
func (c *cache) put(s scope, id uint64, n numbers, now int64, learned uint64) {
	if c.entries != nil && c.learned.Load() == learned {
		key := keyOf(s, id)
		c.entries[key&c.mask] = entry{key, n.weight, n.spam, n.ham, tick(now) + c.life}
	}
}

// forget drops what a lesson has changed.
func (c *cache) forget(s scope, tokens []Token) {
	c.learned.Add(1)
	if c.entries == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range tokens {
		key := keyOf(s, tokens[i].ID)
		if e := &c.entries[key&c.mask]; e.key == key {
			*e = entry{}
		}
	}
}

// clear drops everything.
func (c *cache) clear() {
	c.learned.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
}
