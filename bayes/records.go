package bayes

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"milterd/internal/store"
)

// What lies in the space of the store, by the first byte of the key:
//
//	k                     the secret that keys all hashes
//	n scope               how many messages were taught: spam, ham
//	t id, u scope id      a token, of the site or of a user: seen in spam, seen in ham, weight
//	m scope digest        what was taught of a message, see Record
//	r scope class place   a message that is remembered: its digest and its tokens, see remember.go
//	b period              tokens that were made in ten days, and those that were seen again
//	q day share           what was learned in a day without anybody having said so
//	i, s scope            what another filter had learned, see imported.go
var secretKey = []byte("k")

func totalsKey(s scope) []byte { return binary.BigEndian.AppendUint64([]byte("n"), uint64(s)) }

func recordKey(s scope, digest digest) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("m"), uint64(s)), digest[:]...)
}

func crowdKey(period int64) []byte { return binary.BigEndian.AppendUint64([]byte("b"), uint64(period)) }

// appendTokenKey is short for the site, which has most of the tokens.
func appendTokenKey(dst []byte, s scope, id uint64) []byte {
	if s == 0 {
		return binary.BigEndian.AppendUint64(append(dst, 't'), id)
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(append(dst, 'u'), uint64(s)), id)
}

// allMessages stands for the messages of a scope where tokens are looked up: in how many
// spam and ham "all messages" was seen are its totals. No token has this ID, see idSet.
const allMessages = 0

func appendNumbersKey(dst []byte, s scope, id uint64) []byte {
	if id == allMessages {
		return append(dst, totalsKey(s)...)
	}
	return appendTokenKey(dst, s, id)
}

// numbers are what is known of a token.
type numbers struct {
	spam, ham uint32
	weight    int64 // in millionths
}

// millionth is the unit of stored weights: whole numbers, so that what is added can
// be taken away again to the last bit.
const millionth = 1e-6

func numbersOf(value []byte) numbers {
	count := func(i int) uint32 { return uint32(min(max(store.Counter(value, i), 0), math.MaxUint32)) }
	return numbers{count(0), count(1), store.Counter(value, 2)}
}

// totals are the numbers of allMessages.
func (n numbers) totals() Totals { return Totals{int64(n.spam), int64(n.ham)} }

// How long things live after they were last touched. A token that was seen in one
// message only is most likely a random one.
const (
	period     = 10 * 24 * time.Hour
	lifeOfNew  = 6 * period
	lifeOfOld  = 36 * period
	crowdStale = time.Minute
)

// version of the tokenizer: a lesson can only be taken back by the one that took it in.
const version = 3

// Record is what the store keeps of a lesson, so that it is not learned twice and can
// be taken back.
type Record struct {
	Class  Class     `json:"class"`
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"`
	Source string    `json:"source,omitempty"`
	Step   int64     `json:"step"` // what was added to the weight of each token, in millionths
	// Again names a message that was taught once more with this one, by AgainStep, which
	// is part of that one's Step.
	Again     string `json:"again,omitempty"`
	AgainStep int64  `json:"again_step,omitempty"`
	Version   int    `json:"version"`
}

// Taught returns what the user, or with an empty name the site, was taught of a
// message; ok is false when that is nothing.
func (c *Classifier) Taught(ctx context.Context, user string, m Message) (r Record, ok bool, err error) {
	key, err := c.known(ctx)
	if err != nil || key == nil {
		return Record{}, false, err
	}
	values, err := c.store.Get(ctx, Space, recordKey(key.scope(user), key.digest(sum(m))))
	if err != nil {
		return Record{}, false, fmt.Errorf("bayes: %w", err)
	}
	r, ok = recordOf(values[0])
	return r, ok, nil
}

func recordOf(value []byte) (r Record, ok bool) {
	if value == nil || json.Unmarshal(value, &r) != nil || r.Class != Spam && r.Class != Ham {
		return Record{}, false
	}
	return r, true
}

// crowd are how many tokens there are, at most: nobody counts those that expire, but
// nothing lives longer than its time unless somebody touches it, and touching is
// counted.
type crowd struct{ tokens int64 }

// Tokens returns how many tokens there are at most, as of the last minute.
func (c *Classifier) Tokens(ctx context.Context) (int64, error) {
	c.mu.Lock()
	crowd, at := c.crowd, c.crowdAt
	c.mu.Unlock()
	now := c.now()
	if age := now.Sub(at); !at.IsZero() && 0 <= age && age < crowdStale {
		return crowd.tokens, nil
	}
	this := now.UnixMilli() / period.Milliseconds()
	keys := make([][]byte, 0, lifeOfOld/period+1)
	for back := range int64(lifeOfOld/period) + 1 {
		keys = append(keys, crowdKey(this-back))
	}
	values, err := c.store.Get(ctx, Space, keys...)
	if err != nil {
		return 0, fmt.Errorf("bayes: %w", err)
	}
	crowd.tokens = 0
	for back, v := range values {
		if back <= int(lifeOfNew/period) {
			crowd.tokens += store.Counter(v, 0)
		}
		crowd.tokens += store.Counter(v, 1)
	}
	c.mu.Lock()
	c.crowd, c.crowdAt = crowd, now
	c.mu.Unlock()
	return crowd.tokens, nil
}

// grown notes tokens of our own at once: a mailbox of a thousand messages is learned
// within the minute.
func (c *Classifier) grown(by int64) {
	c.mu.Lock()
	c.crowd.tokens += by
	c.mu.Unlock()
}
