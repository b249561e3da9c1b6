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

// cache holds the numbers of hot tokens, and which ones the store does not have: words
// that every message contains are looked up once in a while. It is a table of a fixed
// size in which a newcomer takes the place of who came first.
type cache struct {
	mask    uint64
	life    uint64       // in seconds
	mu      sync.RWMutex // guards buckets: taken once for all tokens of a message
	buckets []bucket
	// learned counts lessons. Numbers that were read before one and come after it
	// are not taken up.
	learned atomic.Uint64
}

// bucket is where tokens stand whose keys end alike: two that the store has, with their
// numbers, and two that it has not, of each the one that came last first. It is a line
// of the processor's cache, which is what a look at memory brings.
type bucket struct {
	known   [2]mark
	absent  [2]mark
	numbers [2]numbers // of known
}

const perBucket = len(bucket{}.known)

// mark is the beginning of a token's key, 40 bits, and until when it is believed, in
// seconds, which come around after half a year. The last 16 bits of the key are those of
// the bucket, so 56 bits of a keyed hash tell tokens apart: that one is taken for another
// happens in one message of a billion, and nobody can make it happen.
type mark uint64

// second masks what a mark knows of the time.
const second = 1<<24 - 1

func markOf(key, now, life uint64) mark { return mark(key&^second | (now+life)&second) }

// same reports whether m is that of a key, or was.
func (m mark) same(key uint64) bool { return (uint64(m)^key)&^second == 0 }

// believed reports whether m still is.
func (m mark) believed(now, life uint64) bool { return (uint64(m)-now-1)&second < life }

// fresh reports whether m is that of a key, and believed.
func (m mark) fresh(key, now, life uint64) bool { return m.same(key) && m.believed(now, life) }

func newCache(size int, life time.Duration) *cache {
	if size < 0 {
		size, life = 1, 0 // of which nothing is believed
	}
	size = max(1<<bits.Len(uint(size-1))/perBucket, 1)
	return &cache{mask: uint64(size - 1), life: uint64(life / time.Second), buckets: make([]bucket, size)}
}

// keyOf makes one number of two that are both hashes under a key of ours.
func keyOf(s scope, id uint64) uint64 { return id ^ uint64(s+1)*0x9e3779b97f4a7c15 }

// get fills found with the numbers of ids, as of now in seconds. To missing it appends
// the places of those that it does not know, beginning at first. The caller holds mu,
// as for put.
func (c *cache) get(s scope, ids []uint64, now uint64, found []numbers, missing []int, first int) []int {
	c.touch(s, ids)
	for i, id := range ids {
		n, ok := c.one(keyOf(s, id), now)
		if found[i] = n; !ok {
			missing = append(missing, first+i)
		}
	}
	return missing
}

// touch reads a word of each bucket. Memory brings them side by side then, while a look
// waits for its own. What it returns is of no use, but for having to be read.
//
//go:noinline
func (c *cache) touch(s scope, ids []uint64) (all mark) {
	for _, id := range ids {
		all |= c.buckets[keyOf(s, id)&c.mask].known[0]
	}
	return all
}

// one returns the numbers of one token.
func (c *cache) one(key, now uint64) (n numbers, ok bool) {
	b := &c.buckets[key&c.mask]
	for i := range b.known {
		if b.known[i].fresh(key, now, c.life) {
			return b.numbers[i], true
		}
	}
	for _, m := range b.absent {
		if m.fresh(key, now, c.life) {
			return numbers{}, true
		}
	}
	return numbers{}, false
}

// put takes numbers up that were read when learned was as given.
func (c *cache) put(s scope, id uint64, n numbers, now, learned uint64) {
	if c.learned.Load() != learned {
		return
	}
	key := keyOf(s, id)
	b, m := &c.buckets[key&c.mask], markOf(key, now, c.life)
	if n == (numbers{}) {
		if !b.absent[0].same(key) {
			if !b.known[1].believed(now, c.life) { // a place that nobody needs
				b.known[1], b.numbers[1] = b.absent[1], numbers{}
			}
			b.absent[1] = b.absent[0]
		}
		b.absent[0] = m
		return
	}
	if !b.known[0].same(key) {
		b.known[1], b.numbers[1] = b.known[0], b.numbers[0]
	}
	b.known[0], b.numbers[0] = m, n
}

// forget drops what a lesson has changed.
func (c *cache) forget(s scope, tokens []Token) {
	c.learned.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(keyOf(s, allMessages))
	for i := range tokens {
		c.drop(keyOf(s, tokens[i].ID))
	}
}

func (c *cache) drop(key uint64) {
	b := &c.buckets[key&c.mask]
	for i := range perBucket {
		if b.known[i].same(key) {
			b.known[i] = 0
		}
		if b.absent[i].same(key) {
			b.absent[i] = 0
		}
	}
}

// clear drops everything.
func (c *cache) clear() {
	c.learned.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.buckets)
}
