// Package bayes learns from messages what people call spam, and says of a new one
// how much it is like it.
//
// A message is taken apart into tokens: words of the text and the Subject, names and
// values of header fields, hosts of links, facts about its structure. Only hashes of
// them, keyed by a secret of the store, are ever kept, so nobody reads letters out of
// the store. What is learned about a token are three numbers: in how many spam and in
// how many ham messages it was seen, and a weight.
//
// # Two opinions, one score
//
// The counts say how much a token is at home in spam (Robinson's f(w)); those that say
// something, less than 1 in 10 against, are averaged as log odds, the places where
// they stand (header, beginning, text, links ...) each by themselves, so that a long
// text does not drown a telling Subject. The weights come from a logistic regression
// that is trained once, message by message, on its own mistakes: where the counts
// believe that tokens are independent, it learns what they say together. Their errors
// have little in common, so the sum is better than either; `make accuracy` shows how
// much. Pairs of words (OSB) were tried and left out: in that sum they made nothing
// better.
//
// A regression forgets, so some messages are remembered and looked at again: it hardly
// matters then in which order mail is taught. See remember.go.
//
// # The first message counts
//
// A user's counts are added to the site's rates as if the site were a handful of
// messages, so what the site knows is the beginning of what the user knows, and the
// first message that a user teaches already moves what is new in it. As long as
// little has been learned, or only of one kind, the score is drawn to the middle, and
// so is that of a message of whose words few are known. A message unlike everything
// learned has a probability near one half.
//
// # Learning can be undone
//
// Every lesson leaves a record of what was taught, by whom, when, and of the step
// that the weights made; teaching the same message again does nothing, teaching the
// opposite takes the first lesson back. All of a lesson is one batch of the store
// that depends on the record, so of two processes that teach the same, one does.
package bayes

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"milterd/internal/store"
	"milterd/message"
	"milterd/mime"
)

// Store is what learning needs of a memory; see package internal/store.
type Store interface {
	Get(ctx context.Context, space string, keys ...[]byte) ([][]byte, error)
	Apply(ctx context.Context, space string, ops ...store.Op) error
	Post(space string, ops ...store.Op) error
}

// Space is where everything lies in the store.
const Space = "bayes"

// Message is what is learned and judged: a header, and the body taken apart.
type Message struct {
	Header *message.Header
	Tree   *mime.Tree
}

// Parse takes a message apart that is given in one piece, with line ends of either
// kind and perhaps an mbox line on top.
func Parse(raw []byte, limits mime.Limits) Message {
	if len(raw) > 5 && string(raw[:5]) == "From " {
		for i, c := range raw {
			if c == '\n' {
				raw = raw[i+1:]
				break
			}
		}
	}
	tree := mime.WalkMessage(raw, limits)
	fields := make([]message.Field, len(tree.Root.Header))
	for i, f := range tree.Root.Header {
		fields[i] = message.Field{Name: f.Name, Value: f.Value}
	}
	return Message{message.NewHeader(fields, fromLimit), tree}
}

// fromLimit bounds the bytes of From that are read, as limits.from_bytes does.
const fromLimit = 8 << 10

// Options of a Classifier. The zero value is right for most.
type Options struct {
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Random makes the secret of a new store; nil: crypto/rand.
	Random io.Reader
	// MaxTokens is how many tokens are kept. At that number words that were never seen
	// before are not taken up until old ones have expired. 0: one million, about
	// 100 MB of a bolt file.
	MaxTokens int64
	// CacheTokens is how many tokens are kept in memory, and of how many more that the store
	// has not, at 32 bytes for one of each; rounded up to a power of two. 0: 131072, 4 MiB;
	// below 0: none.
	CacheTokens int
	// Alone says that no other process teaches what is in the store. Then what was read
	// is believed for ten minutes; else for ten seconds.
	Alone bool
	// Words is how many words of a message are looked at, header, names and links included. 0: 20,000,
	// which is next to all that the bounds on each of these let through.
	Words int
}

// Classifier learns and judges. Its methods may be called from many goroutines.
// Everything it knows is in the store, so any number of them may share one.
type Classifier struct {
	store     Store
	now       clock
	random    io.Reader
	maxTokens int64
	words     int
	cache     *cache
	touched   touched
	imports   imports
	scratches sync.Pool // of *scratch
	secret    atomic.Pointer[secret]

	mu      sync.Mutex // guards crowd
	crowd   crowd
	crowdAt time.Time
}

// clock is where the time comes from.
type clock func() time.Time

// New returns a classifier over s.
func New(s Store, o Options) *Classifier {
	c := &Classifier{store: s, now: o.Now, random: o.Random, maxTokens: o.MaxTokens}
	if c.now == nil {
		c.now = time.Now
	}
	if c.random == nil {
		c.random = rand.Reader
	}
	if c.maxTokens == 0 {
		c.maxTokens = 1_000_000
	}
	if c.words = o.Words; c.words == 0 {
		c.words = 20_000
	}
	size := o.CacheTokens
	if size == 0 {
		size = 1 << 17
	}
	c.scratches.New = func() any { return new(scratch) }
	life := cacheLife
	if o.Alone {
		life = cacheLifeAlone
	}
	c.cache = newCache(size, life)
	return c
}

// Refresh forgets what was read: the store has been filled with something else.
func (c *Classifier) Refresh() {
	c.cache.clear()
	c.touched.clear()
}

// Totals are how many messages somebody has taught.
type Totals struct{ Spam, Ham int64 }

// Totals returns what the user, or with an empty name the site, has been taught.
func (c *Classifier) Totals(ctx context.Context, user string) (Totals, error) {
	key, err := c.known(ctx)
	if err != nil || key == nil {
		return Totals{}, err
	}
	values, err := c.store.Get(ctx, Space, totalsKey(key.scope(user)))
	if err != nil {
		return Totals{}, fmt.Errorf("bayes: %w", err)
	}
	return totalsOf(values[0]), nil
}

func totalsOf(value []byte) Totals {
	return Totals{max(store.Counter(value, 0), 0), max(store.Counter(value, 1), 0)}
}

// known returns the secret of the store, nil when there is none yet: then nothing
// has been learned.
func (c *Classifier) known(ctx context.Context) (*secret, error) {
	if s := c.secret.Load(); s != nil {
		return s, nil
	}
	values, err := c.store.Get(ctx, Space, secretKey)
	if err != nil {
		return nil, fmt.Errorf("bayes: %w", err)
	}
	if len(values[0]) != secretSize {
		return nil, nil
	}
	s := newSecret([secretSize]byte(values[0]))
	c.secret.Store(s)
	return s, nil
}

// made returns the secret, making it first where there is none.
func (c *Classifier) made(ctx context.Context) (*secret, error) {
	s, err := c.known(ctx)
	if s != nil || err != nil {
		return s, err
	}
	var fresh [secretSize]byte
	if _, err := io.ReadFull(c.random, fresh[:]); err != nil {
		return nil, fmt.Errorf("bayes: no random bytes: %w", err)
	}
	err = c.store.Apply(ctx, Space, store.If(secretKey, nil), store.Put(secretKey, fresh[:], 0))
	if err != nil && !errors.Is(err, store.ErrConflict) { // somebody else has made one
		return nil, fmt.Errorf("bayes: %w", err)
	}
	if s, err = c.known(ctx); s == nil && err == nil {
		err = errors.New("bayes: the secret in the store is damaged")
	}
	return s, err
}
