package bayes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

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
	groupLessons = 64
	groupTokens  = 12_000
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
			g.add(key, lessons[0])
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
	values, err := c.store.Get(ctx, Space, g.records...)
	if err != nil {
		return nil, fmt.Errorf("bayes: %w", err)
	}
	k, err := c.recall(ctx, g.scope, g.tokens)
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
	c.grown(g.fresh + g.again)
	return results, nil
}

// group is a number of lessons that are learned in one batch.
type group struct {
	scope   scope
	lessons []prepared
	tokens  []Token // of all lessons, each once
	index   map[uint64]int
	records [][]byte // keys, each once
	which   map[string]int

	// What one attempt knows and changes.
	known        *known
	mine         []numbers // of tokens: the site's or the user's, as the lessons change them
	before       []numbers
	present      []bool // in the store, or made by a lesson of the group
	changed      []bool
	old          [][]byte // records as they were read
	now          []Record // and as they are to be; without a class where there is none
	spam, ham    int64    // what is added to the totals
	room         int64
	fresh, again int64 // tokens that are made, and that are seen again
}

// prepared is a lesson taken apart.
type prepared struct {
	Lesson
	tokens []int // by their place in the group's
	record int
}

func newGroup(s scope) *group {
	return &group{scope: s, index: map[uint64]int{}, which: map[string]int{}}
}

func (g *group) add(key *secret, l Lesson) {
	p := prepared{Lesson: l}
	for _, t := range key.tokens(l.Message) {
		i, there := g.index[t.ID]
		if !there {
			i = len(g.tokens)
			g.index[t.ID], g.tokens = i, append(g.tokens, t)
		}
		p.tokens = append(p.tokens, i)
	}
	at := recordKey(g.scope, key.digest(sum(l.Message)))
	i, there := g.which[string(at)]
	if !there {
		i = len(g.records)
		g.which[string(at)], g.records = i, append(g.records, at)
	}
	p.record, p.Message = i, Message{} // the message itself is not needed any more
	g.lessons = append(g.lessons, p)
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
	g.spam, g.ham, g.fresh, g.again = 0, 0, 0, 0
}

// take learns one lesson.
func (g *group) take(p *prepared, now clock) Result {
	r := &g.now[p.record]
	if r.Class == p.Class || r.Class == "" && p.Class == Forget {
		return Known
	}
	result := Learned
	if r.Class != "" {
		g.takeBack(p.tokens, *r)
		result = Flipped
	}
	if p.Class == Forget {
		*r = Record{}
		return Forgotten
	}
	*r = Record{Class: p.Class, At: now().UTC(), By: cut(p.By), Source: cut(p.Source), Step: g.teach(p.tokens, p.Class), Version: version}
	return result
}

// takeBack undoes an earlier lesson. Of one that another version of the tokenizer took
// in only the totals can be undone: nobody knows any more what its tokens were.
func (g *group) takeBack(tokens []int, r Record) {
	if r.Class == Spam {
		g.spam--
	} else {
		g.ham--
	}
	if r.Version != version {
		return
	}
	for _, i := range tokens {
		n := &g.mine[i]
		if !g.present[i] {
			continue // expired since, or never taken up for want of room
		}
		g.changed[i] = true
		n.weight -= r.Step
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
	wide := math.Sqrt(float64(max(len(tokens), 1)))
	var opinion float64
	for _, i := range tokens {
		opinion += g.known.weight(i)
	}
	target := 0.0
	if class == Spam {
		target = 1
		g.spam++
	} else {
		g.ham++
	}
	step = int64(math.Round(rate * (target - sigmoid(opinion/wide)) / wide / millionth))
	for _, i := range tokens {
		n := &g.mine[i]
		if !g.present[i] {
			if g.fresh >= g.room {
				continue // known words are still counted
			}
			g.present[i] = true
			g.fresh++
		} else if n.spam+n.ham == 1 {
			g.again++
		}
		g.changed[i] = true
		n.weight += step
		if class == Spam {
			n.spam++
		} else {
			n.ham++
		}
	}
	return step
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
	if g.fresh+g.again > 0 {
		ops = append(ops, store.Add(crowd, lifeOfOld+period, g.fresh, g.again))
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
