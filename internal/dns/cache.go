package dns

import (
	"container/list"
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
type cache struct {
	most  int // bytes
	bytes int
	items map[key]*list.Element // of *entry
	order *list.List            // the most recently used in front
}

type entry struct {
	key     key
	answer  *answer
	bytes   int
	expires time.Time
}

func newCache(most int) *cache {
	return &cache{most: most, items: make(map[key]*list.Element), order: list.New()}
}

func (c *cache) len() int { return len(c.items) }

// get returns the answer for k, or nil where there is none that is still alive.
func (c *cache) get(k key, now time.Time) *answer {
	item := c.items[k]
	if item == nil {
		return nil
	}
	e := item.Value.(*entry)
	if !now.Before(e.expires) {
		c.remove(item)
		return nil
	}
	c.order.MoveToFront(item)
	return e.answer
}

// put keeps a as the answer for k until expires.
func (c *cache) put(k key, a *answer, expires time.Time) {
	if old := c.items[k]; old != nil {
		c.remove(old)
	}
	e := &entry{key: k, answer: a, bytes: entryBytes + len(k.name) + a.bytes(), expires: expires}
	c.items[k] = c.order.PushFront(e)
	c.bytes += e.bytes
	for c.bytes > c.most {
		c.remove(c.order.Back())
	}
}

func (c *cache) remove(item *list.Element) {
	e := c.order.Remove(item).(*entry)
	delete(c.items, e.key)
	c.bytes -= e.bytes
}

// entryBytes is about what an entry needs besides its name and records: entry,
// list element, map slot, answer, error.
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
