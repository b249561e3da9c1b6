package bayes

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// cacheLife is for how long a number from the store is believed: what another process
// has learned is seen after that at the latest.
const cacheLife = 10 * time.Second

// cache holds the numbers of hot tokens, also of those that the store does not have:
// words that every message contains are looked up once in ten seconds. It is a table
// of a fixed size in which a newcomer takes the place of who is there; 48 bytes an
// entry.
type cache struct {
	mask    uint64
	mu      sync.RWMutex // guards entries: taken once for all tokens of a message
	entries []entry
	// learned counts lessons. Numbers that were read before one and come after it
	// are not taken up.
	learned atomic.Uint64
}

type entry struct {
	scope scope
	id    uint64
	until int64 // milliseconds since 1970; 0 is an empty entry
	numbers
}

func newCache(size int) *cache {
	if size < 0 {
		return &cache{}
	}
	size = 1 << bits.Len(uint(size-1))
	return &cache{mask: uint64(size - 1), entries: make([]entry, size)}
}

func (c *cache) at(s scope, id uint64) *entry {
	return &c.entries[(id^uint64(s)*0x9e3779b97f4a7c15)&c.mask]
}

// get returns the numbers of a token. The caller holds mu, as for put.
func (c *cache) get(s scope, id uint64, now int64) (n numbers, ok bool) {
	if c.entries == nil {
		return numbers{}, false
	}
	e := c.at(s, id)
	if e.scope == s && e.id == id && now < e.until && e.until <= now+cacheLife.Milliseconds() {
		return e.numbers, true
	}
	return numbers{}, false
}

// put takes numbers up that were read when learned was as given.
func (c *cache) put(s scope, id uint64, n numbers, now int64, learned uint64) {
	if c.entries != nil && c.learned.Load() == learned {
		*c.at(s, id) = entry{s, id, now + cacheLife.Milliseconds(), n}
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
		if e := c.at(s, tokens[i].ID); e.scope == s && e.id == tokens[i].ID {
			*e = entry{}
		}
	}
}
