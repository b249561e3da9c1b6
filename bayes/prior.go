package bayes

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"milterd/internal/spamassassin/tokens"
)

// Imported is what an import says of a message.
//
// It is a beginning: what nobody has taught yet it knows already. The more is taught
// the less it counts, and when enough is known it is not asked any more.
type Imported struct {
	Spam, Ham int64 // messages that the other filter had learned
	// Clues are the tokens that had a say, the strongest first.
	Clues []ImportedClue
}

// ImportedClue is a token of another filter's that had a say.
type ImportedClue struct {
	Text      string // a stranger's: it may hold anything
	Spam, Ham int64
	Weight    float64 // its part in the log odds; above 0 speaks for spam
}

// Unlearned reports whether an opinion rests on nothing.
func (v *Verdict) Unlearned() bool {
	return v.Site == (Totals{}) && v.User == (Totals{}) && v.Imported == nil
}

// The constants were chosen by a memory of SpamAssassin's that had learned one half of
// the development mail, on the other half: TestImportTable prints another deal
// of it.
const (
	// importedDoubt is as how many messages SpamAssassin counts the belief that a token
	// it hardly knows speaks for neither, importedMiddle what it believes then.
	importedDoubt, importedMiddle = 0.03, 0.538
	// importedTelltale is how far from one half a token must be to have a say.
	importedTelltale = 0.346
	// importedSilence is how many silent tokens stand beside those that have one.
	importedSilence = 5
	// importedSteepness turns the mean of their log odds into log odds.
	importedSteepness = 2
	// importedFirst and importedEnough say how much is made of them by how many messages
	// of the rarer class the other filter had learned: half at 32, nearly all at 500.
	importedFirst, importedEnough = 4, 40
	// handover is after how many messages of the rarer class that were taught here an
	// import counts half. Own learning counts a fifth at the beginning, as after firstLessons
	// messages, and gains what the import loses; outgrown is when an import is not asked
	// any more.
	handover, firstLessons, outgrown = 100, 20, 1000
)

// consult lets an import have its say in a verdict, if there is one. A user's own
// stands in place of the site's.
func (c *Classifier) consult(ctx context.Context, key *secret, user scope, m Message, v *Verdict) error {
	fewer := min(v.Site.Spam+v.User.Spam, v.Site.Ham+v.User.Ham)
	if fewer >= outgrown {
		return nil
	}
	i, s, err := c.importFor(ctx, user)
	if err != nil || i == nil {
		return err
	}
	evidence, clues, err := c.evidence(ctx, key, s, i, m)
	if err != nil {
		return err
	}
	taught, rarer := float64(fewer), float64(min(i.Spam, i.Ham))
	own, share := (taught+firstLessons)/(taught+handover), handover/(taught+handover)
	share *= (rarer + importedFirst) / (rarer + importedEnough) * importedSteepness
	v.Imported = &Imported{Spam: i.Spam, Ham: i.Ham, Clues: clues}
	v.Probability = sigmoid(own*v.odds + share*evidence)
	return nil
}

// evidence is the mean log odds that an import gives to the tokens of a message.
func (c *Classifier) evidence(ctx context.Context, key *secret, s scope, i *Import, m Message) (float64, []ImportedClue, error) {
	all := tokens.Of(m.Header, m.Tree)
	hashes := make([]uint64, len(all))
	which := make(map[uint32]int, len(all))
	keys := make([][]byte, 0, len(all))
	for n := range all {
		hashes[n] = key.imported(all[n].Sum)
		index := i.index(hashes[n])
		if _, there := which[index]; !there {
			which[index] = len(keys)
			keys = append(keys, i.recordKey(s, index))
		}
	}
	if len(keys) == 0 {
		return 0, nil, nil
	}
	records, err := c.store.Get(ctx, Space, keys...)
	if err != nil {
		return 0, nil, fmt.Errorf("bayes: %w", err)
	}
	var sum float64
	clues := make([]ImportedClue, 0, len(all)/2)
	for n := range all {
		spam, ham, ok := findCounts(records[which[i.index(hashes[n])]], hashes[n])
		if !ok {
			continue
		}
		if belief := i.belief(spam, ham); belief != 0 {
			sum += belief
			clues = append(clues, ImportedClue{Text: all[n].Text, Spam: int64(spam), Ham: int64(ham), Weight: belief})
		}
	}
	slices.SortFunc(clues, func(a, b ImportedClue) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)), cmp.Compare(a.Text, b.Text))
	})
	for n := range clues {
		clues[n].Weight /= float64(len(clues) + importedSilence)
	}
	return sum / float64(len(clues)+importedSilence), clues, nil
}

// belief is the log odds that a message with such a token is spam, 0 for one that
// says nothing: Robinson's f(w) with SpamAssassin's constants.
func (i *Import) belief(spam, ham uint64) float64 {
	inSpam, inHam := float64(spam)/float64(i.Spam), float64(ham)/float64(i.Ham)
	if inSpam+inHam == 0 {
		return 0
	}
	seen := float64(spam) + float64(ham)
	f := (importedDoubt*importedMiddle + seen*inSpam/(inSpam+inHam)) / (importedDoubt + seen)
	if math.Abs(f-0.5) < importedTelltale {
		return 0
	}
	return math.Log(f / (1 - f))
}

// imports remembers for a while who has an import, and above all who has none.
type imports struct {
	mu    sync.Mutex
	known map[scope]importSeen
}

type importSeen struct {
	found *Import // nil for none
	until time.Time
}

// maxImports bounds what is remembered; then it is asked for anew.
const maxImports = 10_000

func (i *imports) forget(s scope) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.known, s)
}

func (i *imports) get(s scope, now time.Time) (found *Import, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	seen, ok := i.known[s]
	if !ok || !now.Before(seen.until) || seen.until.Sub(now) > cacheLife {
		return nil, false
	}
	return seen.found, true
}

func (i *imports) put(s scope, found *Import, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == nil || len(i.known) >= maxImports {
		i.known = map[scope]importSeen{}
	}
	i.known[s] = importSeen{found, now.Add(cacheLife)}
}

// importFor returns the import that counts for a user and whose it is, nil when there
// is none.
func (c *Classifier) importFor(ctx context.Context, user scope) (*Import, scope, error) {
	now := c.now()
	scopes := []scope{user}
	if user != 0 {
		scopes = append(scopes, 0)
	}
	found := make([]*Import, len(scopes))
	var keys [][]byte
	var missing []int
	for n, s := range scopes {
		i, ok := c.imports.get(s, now)
		if found[n] = i; !ok {
			keys, missing = append(keys, importKey(s)), append(missing, n)
		}
	}
	if len(keys) > 0 {
		values, err := c.store.Get(ctx, Space, keys...)
		if err != nil {
			return nil, 0, fmt.Errorf("bayes: %w", err)
		}
		for v, n := range missing {
			if i, ok := readImport(values[v]); ok {
				found[n] = &i
			}
			c.imports.put(scopes[n], found[n], now)
		}
	}
	for n, i := range found {
		if i != nil {
			return i, scopes[n], nil
		}
	}
	return nil, 0, nil
}
