package bayes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"milterd/internal/store"
)

// Class is what somebody says a message is.
type Class string

// The classes. Forget takes back what was taught before.
const (
	Spam   Class = "spam"
	Ham    Class = "ham"
	Forget Class = "forget"
)

// Lesson is one message with what somebody says about it.
type Lesson struct {
	Class Class
	Message
	// By and Source are kept in the record: a login or uid, and the way that the
	// lesson came, such as "learn" or "imap". At most 256 bytes of each.
	By, Source string
}

// Result says what became of a lesson.
type Result string

// The results of Learn.
const (
	Learned   Result = "learned"   // for the first time
	Known     Result = "known"     // the same was taught before: nothing was done
	Flipped   Result = "flipped"   // the opposite was taught before, and is taken back
	Forgotten Result = "forgotten" // what was taught before is taken back
)

const (
	// attempts is how often lessons are tried that meet others on the same message.
	attempts = 5
	// groupLessons and groupTokens bound what goes into one batch of the store, which
	// waits for the disk once.
	groupLessons = 32
	groupTokens  = 8_000
)

// Learn takes a lesson in for a user, or with an empty name for the site, and returns
// when it is on stable storage. The message may have been taught before; see
// [Result]. An error means that nothing was changed, but for that of a ctx that ends
// while the store writes.
func (c *Classifier) Learn(ctx context.Context, user string, l Lesson) (Result, error) {
	results, err := c.LearnAll(ctx, user, l)
	if err != nil {
		return "", err
	}
	return results[0], nil
}

// LearnAll takes many lessons in, in their order, and waits for the disk once for
// dozens of them. On error it returns the results of those that are stored; the
// others were not learned, as with [Classifier.Learn]. Lessons of both classes are
// best mixed: the regression learns from the difference.
func (c *Classifier) LearnAll(ctx context.Context, user string, lessons ...Lesson) ([]Result, error) {
	for i := range lessons {
		if class := lessons[i].Class; class != Spam && class != Ham && class != Forget {
			return nil, fmt.Errorf("bayes: class %q, expected spam, ham or forget", class)
		}
	}
	key, err := c.made(ctx)
	if err != nil {
		return nil, err
	}
	s := key.scope(user)
	results := make([]Result, 0, len(lessons))
	for len(lessons) > 0 {
		g := newGroup(s)
		for len(lessons) > 0 && len(g.lessons) < groupLessons && len(g.tokens) < groupTokens {
			g.add(key, lessons[0], c.words)
			lessons = lessons[1:]
		}
		done, err := c.learn(ctx, g)
		if err != nil {
			return results, err
		}
		results = append(results, done...)
	}
	return results, nil
}

// learn takes a group in. Its batch holds only if the records are still what was
// read, so what it takes back was taught, once.
func (c *Classifier) learn(ctx context.Context, g *group) (results []Result, err error) {
	for range attempts {
		if results, err = c.attempt(ctx, g); !errors.Is(err, store.ErrConflict) {
			return results, err
		}
	}
	return nil, err
}

func (c *Classifier) attempt(ctx context.Context, g *group) ([]Result, error) {
	places := g.places()
	values, err := c.store.Get(ctx, Space, slices.Concat(g.records, places)...)
	if err != nil {
		return nil, fmt.Errorf("bayes: %w", err)
	}
	n := len(g.records)
	g.remember(places, values[n:])
	values = values[:n]
	if len(g.records) > n { // those of remembered messages
		more, err := c.store.Get(ctx, Space, g.records[n:]...)
		if err != nil {
			return nil, fmt.Errorf("bayes: %w", err)
		}
		values = append(values, more...)
	}
	k, err := c.recall(ctx, g.scope, g.tokens, new(scratch))
	if err != nil {
		return nil, err
	}
	there, err := c.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	g.begin(values, k, c.maxTokens-there)
	results := make([]Result, len(g.lessons))
	for i := range g.lessons {
		results[i] = g.take(&g.lessons[i], c.now)
	}
	ops, err := g.batch(crowdKey(c.now().UnixMilli() / period.Milliseconds()))
	if err != nil || len(ops) == 0 {
		return results, err
	}
	err = c.store.Apply(ctx, Space, ops...)
	c.cache.forget(g.scope, g.tokens) // whatever the error says: it may have been done
	if err != nil {
		return nil, fmt.Errorf("bayes: %w", err)
	}
	c.grown(g.fresh + g.seen)
	return results, nil
}

// group is a number of lessons that are learned in one batch.
type group struct {
	scope   scope
	lessons []prepared
	tokens  []Token // of all lessons, each once
	index   map[uint64]int
	records [][]byte // keys, each once
	which   map[digest]int

	// What one attempt knows and changes.
	known       *known
	memories    memories
	mine        []numbers // of tokens: the site's or the user's, as the lessons change them
	before      []numbers
	present     []bool // in the store, or made by a lesson of the group
	changed     []bool
	old         [][]byte // records as they were read
	now         []Record // and as they are to be; without a class where there is none
	spam, ham   int64    // what is added to the totals
	room        int64
	fresh, seen int64 // tokens that are made, and that are seen again
}

// prepared is a lesson taken apart.
type prepared struct {
	Lesson
	digest digest
	tokens []int // by their place in the group's
	record int
}

func newGroup(s scope) *group {
	return &group{scope: s, index: map[uint64]int{}, which: map[digest]int{}}
}

func (g *group) add(key *secret, l Lesson, words int) {
	p := prepared{Lesson: l, digest: key.digest(sum(l.Message))}
	tokens, _ := key.tokens(l.Message, words)
	for _, t := range tokens {
		p.tokens = append(p.tokens, g.tokenAt(t))
	}
	p.record, p.Message = g.recordAt(p.digest), Message{} // the message itself is not needed any more
	g.lessons = append(g.lessons, p)
}

// tokenAt and recordAt return the place of a token and of the record of a message in
// the group, taking them up where they are new.
func (g *group) tokenAt(t Token) int {
	i, there := g.index[t.ID]
	if !there {
		i = len(g.tokens)
		g.index[t.ID], g.tokens = i, append(g.tokens, t)
	}
	return i
}

func (g *group) recordAt(d digest) int {
	i, there := g.which[d]
	if !there {
		i = len(g.records)
		g.which[d], g.records = i, append(g.records, recordKey(g.scope, d))
	}
	return i
}

func (g *group) begin(records [][]byte, k *known, room int64) {
	g.known, g.mine, g.room, g.old = k, k.site, room, records
	if g.scope != 0 {
		g.mine = k.user
	}
	g.before = append(g.before[:0], g.mine...)
	g.present, g.changed = make([]bool, len(g.mine)), make([]bool, len(g.mine))
	for i := range g.mine {
		g.present[i] = g.mine[i] != numbers{}
	}
	g.now = make([]Record, len(records))
	for i := range records {
		g.now[i], _ = recordOf(records[i])
	}
	g.spam, g.ham, g.fresh, g.seen = 0, 0, 0, 0
}

// take learns one lesson.
func (g *group) take(p *prepared, now clock) Result {
	r := &g.now[p.record]
	if r.Class == p.Class || r.Class == "" && p.Class == Forget {
		return Known
	}
	result := Learned
	if r.Class != "" {
		g.takeBack(p, r)
		result = Flipped
	}
	if p.Class == Forget {
		*r = Record{}
		return Forgotten
	}
	*r = Record{Class: p.Class, At: now().UTC(), By: cut(p.By), Source: cut(p.Source), Step: g.teach(p.tokens, p.Class), Version: version}
	g.again(p, r)
	g.keep(p, p.Class, true)
	return result
}

// takeBack undoes an earlier lesson. Of one that another version of the tokenizer took
// in only the totals can be undone: nobody knows any more what its tokens were.
func (g *group) takeBack(p *prepared, r *Record) {
	if r.Class == Spam {
		g.spam--
	} else {
		g.ham--
	}
	if r.Version != version {
		return
	}
	g.notAgain(p, r)
	g.keep(p, r.Class, false)
	g.move(p.tokens, -r.Step)
	for _, i := range p.tokens {
		n := &g.mine[i]
		if !g.present[i] {
			continue // expired since, or never taken up for want of room
		}
		g.changed[i] = true
		if r.Class == Spam && n.spam > 0 {
			n.spam--
		} else if r.Class == Ham && n.ham > 0 {
			n.ham--
		}
	}
}

// teach notes the class with every token and moves the weights against their mistake.
// It returns the step that they made.
func (g *group) teach(tokens []int, class Class) (step int64) {
	if class == Spam {
		g.spam++
	} else {
		g.ham++
	}
	for _, i := range tokens {
		n := &g.mine[i]
		if !g.present[i] {
			if g.fresh >= g.room {
				continue // known words are still counted
			}
			g.present[i] = true
			g.fresh++
		} else if n.spam+n.ham == 1 {
			g.seen++
		}
		g.changed[i] = true
		if class == Spam {
			n.spam++
		} else {
			n.ham++
		}
	}
	step, _ = g.step(tokens, class)
	g.move(tokens, step)
	return step
}

// step returns by how much the weights of a message's tokens should move, and how
// wrong they are, from 0 to boldest.
func (g *group) step(tokens []int, class Class) (step int64, mistake float64) {
	wide := math.Sqrt(float64(max(len(tokens), 1)))
	var opinion float64
	for _, i := range tokens {
		opinion += g.known.weight(i)
	}
	target := 0.0
	if class == Spam {
		target = 1
	}
	mistake = max(-boldest, min(target-sigmoid(opinion/wide), boldest))
	return int64(math.Round(rate * mistake / wide / millionth)), math.Abs(mistake)
}

// move adds to the weights of those tokens that there are.
func (g *group) move(tokens []int, step int64) {
	for _, i := range tokens {
		if g.present[i] {
			g.mine[i].weight += step
			g.changed[i] = true
		}
	}
}

// batch returns what is to be written, nothing if the lessons have changed nothing.
func (g *group) batch(crowd []byte) ([]store.Op, error) {
	var ops []store.Op
	for i, key := range g.records {
		was, _ := recordOf(g.old[i])
		switch r := g.now[i]; {
		case r == was:
			continue
		case r.Class == "":
			ops = append(ops, store.If(key, g.old[i]), store.Delete(key))
		default:
			value, err := json.Marshal(r)
			if err != nil {
				return nil, fmt.Errorf("bayes: %w", err)
			}
			ops = append(ops, store.If(key, g.old[i]), store.Put(key, value, lifeOfOld))
		}
	}
	if len(ops) == 0 {
		return nil, nil
	}
	ops = append(ops, store.Add(totalsKey(g.scope), 0, g.spam, g.ham))
	if g.fresh+g.seen > 0 {
		ops = append(ops, store.Add(crowd, lifeOfOld+period, g.fresh, g.seen))
	}
	for _, m := range g.memories {
		switch {
		case !m.changed:
		case len(m.tokens) == 0:
			ops = append(ops, store.Delete(m.key))
		default:
			ops = append(ops, store.Put(m.key, m.value(g.tokens), lifeOfOld))
		}
	}
	keys := make([]byte, 0, 17*len(g.tokens))
	for i, n := range g.mine {
		if !g.changed[i] {
			continue
		}
		life := lifeOfOld
		if n.spam+n.ham < 2 {
			life = lifeOfNew
		}
		from, b := len(keys), g.before[i]
		keys = appendTokenKey(keys, g.scope, g.tokens[i].ID)
		ops = append(ops, store.Add(keys[from:len(keys):len(keys)], life,
			int64(n.spam)-int64(b.spam), int64(n.ham)-int64(b.ham), n.weight-b.weight))
	}
	return ops, nil
}

func cut(s string) string { return s[:min(len(s), 256)] }
