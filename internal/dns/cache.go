package dns

import (
	"hash/maphash"
	"time"
)

// lives says how long answers are kept.
type lives struct {
	min, max time.Duration // positive answers
	negative time.Duration // the most for NXDOMAIN and NODATA
	failure  time.Duration // SERVFAIL, REFUSED, silence and nonsense
}

// of returns how long to keep a.
func (l lives) of(a *answer) time.Duration {
	switch a.outcome {
	case OutcomeOK:
		return min(max(a.ttl, l.min), l.max)
	case OutcomeNXDomain, OutcomeNoData:
		return min(max(a.ttl, l.min), l.negative)
	default:
		return l.failure
	}
}

// A cache keeps answers until their time is over, and forgets the least recently
// used ones when they need more memory than it may have. Its owner locks it.
//
// A message asks it some fifty things, nearly all of which lie in memory that the
// processor has not seen for a while. So an answer is reached by few steps: a small
// table by hash, and the entry that has all in it.
type cache struct {
	most  int // bytes
	bytes int
	seed  maphash.Seed
	items map[uint64]*entry // by the hash of their key; of two with the same one there is only the last
	order entry             // a ring of all entries, the most recently used behind it
}

// entry is an answer and its place in the order of use.
type entry struct {
	key        key
	expires    time.Time
	answer     answer
	used       time.Time // when it came to the front
	prev, next *entry
	bytes      int
}

// usedAgain is for how long an entry at the front of the order needs not be brought
// there again: to do so means to write to those around it.
const usedAgain = time.Second

func newCache(most int) *cache {
	c := &cache{most: most, seed: maphash.MakeSeed(), items: make(map[uint64]*entry)}
	c.order.prev, c.order.next = &c.order, &c.order
	return c
}

func (c *cache) len() int { return len(c.items) }

// hash is what k is filed under. Nobody who does not know the seed can make two names
// share one.
func (c *cache) hash(k key) uint64 {
	return maphash.String(c.seed, k.name) + uint64(k.qtype)*0x9e3779b97f4a7c15
}

// get returns the answer for k, or nil where there is none that is still alive.
func (c *cache) get(k key, now time.Time) *answer {
	e := c.items[c.hash(k)]
	if e == nil || e.key != k {
		return nil
	}
	if !now.Before(e.expires) {
		c.remove(e)
		return nil
	}
	if now.Sub(e.used) >= usedAgain || now.Before(e.used) {
		e.leave()
		c.toFront(e, now)
	}
	return &e.answer
}

// put keeps a as the answer for k, which comes now, until expires.
func (c *cache) put(k key, a *answer, now, expires time.Time) {
	h := c.hash(k)
	if old := c.items[h]; old != nil {
		c.remove(old)
	}
	e := &entry{key: k, expires: expires, answer: *a, bytes: entryBytes + len(k.name) + a.bytes()}
	c.items[h] = e
	c.toFront(e, now)
	c.bytes += e.bytes
	for c.bytes > c.most {
		c.remove(c.order.prev)
	}
}

func (c *cache) remove(e *entry) {
	e.leave()
	delete(c.items, c.hash(e.key))
	c.bytes -= e.bytes
}

func (c *cache) toFront(e *entry, now time.Time) {
	e.used = now
	e.prev, e.next = &c.order, c.order.next
	e.prev.next, e.next.prev = e, e
}

func (e *entry) leave() { e.prev.next, e.next.prev = e.next, e.prev }

// entryBytes is about what an entry needs besides its name and records: entry, slot in
// the table, error.
const entryBytes = 512

// bytes estimates the memory of a's records.
func (a *answer) bytes() int {
	n := 24 * len(a.addrs)
	for _, s := range a.texts {
		n += 16 + len(s)
	}
	for _, s := range a.hosts {
		n += 16 + len(s)
	}
	for _, mx := range a.mxs {
		n += 32 + len(mx.Host)
	}
	return n
}
