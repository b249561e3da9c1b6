package bayes

import (
	"context"
	"fmt"
	"slices"
)

// Verdict is what a classifier thinks of a message.
type Verdict struct {
	// Probability that the message is spam, from 0 to 1. One half is no opinion.
	Probability float64
	// Site and User are how many messages the opinion rests on. Where both are zero
	// nothing was ever learned, and the probability is one half.
	Site, User Totals
	// Clues are those of the tokens that had the greatest say, at most thirty, the
	// strongest first.
	Clues []Clue
	// Cut says that the message has more words than Options.Words, and the rest had no say.
	Cut bool
	// Imported is what the memory of another filter said, nil where none was asked.
	Imported *Imported

	odds float64 // the probability, before an import, as log odds
}

// Classify judges a message for a user, or for the site when the name is empty. The
// error is the store's, or that of ctx: then there is no opinion.
func (c *Classifier) Classify(ctx context.Context, user string, m Message) (Verdict, error) {
	key, err := c.known(ctx)
	if err != nil {
		return Verdict{}, err
	}
	if key == nil {
		return Verdict{Probability: 0.5}, nil
	}
	d := c.scratches.Get().(*scratch)
	defer func() {
		clear(d.tokenizer.tokens) // they hold the text of the message
		c.scratches.Put(d)
	}()
	d.tokenizer.read(key, m, c.words)
	k, err := c.recall(ctx, key.scope(user), d.tokenizer.tokens, d)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Site: k.siteAll, User: k.userAll, Cut: d.tokenizer.cut}
	v.odds, v.Clues = k.weigh(d)
	v.Probability = sigmoid(v.odds)
	if err := c.consult(ctx, key, key.scope(user), m, &v); err != nil {
		return Verdict{}, err
	}
	return v, nil
}

// scratch is the memory in which a message is judged, a hundred kilobytes. It is kept for the next
// one: all that is new has to come from beyond the caches of the processor.
type scratch struct {
	tokenizer tokenizer
	ids       []uint64
	found     []numbers
	missing   []int
	weights   []float64
}

// sized returns a slice of n elements, in the memory of s if there is enough; what they
// are is left open.
func sized[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// recall reads what is known of tokens, from memory where that is fresh, the rest in
// one Get. The answer lies in d.
func (c *Classifier) recall(ctx context.Context, user scope, tokens []Token, d *scratch) (*known, error) {
	scopes := []scope{0}
	if user != 0 {
		scopes = append(scopes, user)
	}
	n := 1 + len(tokens) // numbers of each scope: its totals, and of each token
	ids, found := sized(d.ids, n), sized(d.found, len(scopes)*n)
	ids[0] = allMessages
	for i := range tokens {
		ids[1+i] = tokens[i].ID
	}
	now, learned := uint64(c.now().Unix()), c.cache.learned.Load()
	missing := d.missing[:0]
	c.cache.mu.RLock()
	for at, s := range scopes {
		missing = c.cache.get(s, ids, now, found[at*n:], missing, at*n)
	}
	c.cache.mu.RUnlock()
	d.ids, d.found, d.missing = ids, found, missing
	if len(missing) > 0 {
		keys, buf := make([][]byte, 0, len(missing)), make([]byte, 0, 17*len(missing))
		for _, i := range missing {
			from := len(buf)
			buf = appendNumbersKey(buf, scopes[i/n], ids[i%n])
			keys = append(keys, buf[from:len(buf):len(buf)])
		}
		values, err := c.store.Get(ctx, Space, keys...)
		if err != nil {
			return nil, fmt.Errorf("bayes: %w", err)
		}
		c.cache.mu.Lock()
		for j, i := range missing {
			found[i] = numbersOf(values[j])
			c.cache.put(scopes[i/n], ids[i%n], found[i], now, learned)
		}
		c.cache.mu.Unlock()
	}
	k := &known{site: found[1:n:n], siteAll: found[0].totals()}
	if user != 0 {
		k.user, k.userAll = found[n+1:], found[n].totals()
	}
	return k, nil
}
