package bayes

import (
	"sync"
	"time"

	"milterd/internal/store"
)

// strongest is how many clues a verdict names, and Touch looks at.
const strongest = 30

// Touch keeps alive what had a say in a verdict: tokens that are of use do not expire,
// though nobody teaches them any more. Of the clues every sixteenth is
// written, chosen by the message itself, so it costs little and what is used often
// is met soon; and each once in touchAgain, as far as that is remembered. It does not
// wait for the store; what that refuses is touched another time.
func (c *Classifier) Touch(user string, m Message, v Verdict) {
	key := c.secret.Load()
	if key == nil {
		return
	}
	salt := key.hash([]byte(m.Header.Text("Message-ID")))
	s, now := key.scope(user), c.now()
	var due []uint64
	for i := range v.Clues {
		clue := &v.Clues[i]
		if id := clue.Token.ID; clue.Spam+clue.Ham > 0 && (id^salt)&15 == 0 && !c.touched.lately(s, id, uint64(now.Unix())) {
			due = append(due, id)
		}
	}
	if len(due) == 0 {
		return
	}
	ops := make([]store.Op, 0, len(due)+1)
	for _, id := range due {
		ops = append(ops, store.Add(appendTokenKey(nil, s, id), lifeOfOld, 0, 0, 0))
	}
	ops = append(ops, store.Add(crowdKey(now.UnixMilli()/period.Milliseconds()), lifeOfOld+period, 0, int64(len(due))))
	if c.store.Post(Space, ops...) == nil {
		c.touched.note(s, due, uint64(now.Unix()))
	}
}

// touched remembers which tokens were touched lately, 16,384 of them. The few that have a
// say in most messages would else be written again and again, and be counted as so
// many tokens: see Tokens.
type touched struct {
	mu    sync.Mutex
	marks [1 << 14]mark
}

// touchAgain is after how long a token is touched again, well before it expires.
const touchAgain = lifeOfOld / 4

func (t *touched) place(key uint64) *mark { return &t.marks[key%uint64(len(t.marks))] }

func (t *touched) lately(s scope, id, now uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := keyOf(s, id)
	return t.place(key).fresh(key, now, uint64(touchAgain/time.Second))
}

func (t *touched) note(s scope, ids []uint64, now uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		key := keyOf(s, id)
		*t.place(key) = markOf(key, now, uint64(touchAgain/time.Second))
	}
}

func (t *touched) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.marks[:])
}
