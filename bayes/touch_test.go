package bayes

import (
	"strings"
	"testing"
	"time"

	"milterd/internal/store"
)

// posted counts what a store is handed over without waiting.
type posted struct {
	Store
	ops  int
	fail error
}

func (p *posted) Post(space string, ops ...store.Op) error {
	if p.ops += len(ops); p.fail != nil {
		return p.fail
	}
	return p.Store.Post(space, ops...)
}

// teachPills teaches two kinds of mail.
func teachPills(t *testing.T, c *Classifier) {
	t.Helper()
	for i := range 40 {
		learn(t, c, "", Spam, about(400+i, "cheap pills without prescription"))
		learn(t, c, "", Ham, about(500+i, "minutes of the meeting"))
	}
}

// judgePills judges mail of one kind, and touches what had a say.
func judgePills(t *testing.T, c *Classifier) {
	t.Helper()
	for i := range 64 {
		m := about(600+i, "cheap pills without prescription")
		v, err := c.Classify(t.Context(), "", m)
		if err != nil {
			t.Fatal(err)
		}
		c.Touch("", m, v)
	}
}

// A token that has a say in message after message is touched, and counted, once in a
// while; sooner only if the store did not take it, or is another one.
func TestTouchedOnce(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	s := &posted{Store: store.NewMemory(func() time.Time { return now }, 1<<30)}
	c := New(s, Options{Now: func() time.Time { return now }, Random: strings.NewReader(strings.Repeat("secret", 100))})
	teachPills(t, c)
	touch := func() int {
		s.ops = 0
		judgePills(t, c)
		return s.ops
	}
	if s.fail = store.ErrBusy; touch() == 0 {
		t.Error("nothing is touched")
	}
	if s.fail = nil; touch() == 0 {
		t.Error("what the store refused is not touched another time")
	}
	if n := touch(); n != 0 {
		t.Errorf("%d touched again", n)
	}
	if now = now.Add(touchAgain - time.Second); touch() != 0 {
		t.Error("touched again before its time")
	}
	if now = now.Add(time.Second); touch() == 0 {
		t.Error("not touched when it was time")
	}
	if c.Refresh(); touch() == 0 {
		t.Error("not touched in another store")
	}
}

// What is not touched expires, what has a say stays.
func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	c := New(store.NewMemory(func() time.Time { return now }, 1<<30), Options{Now: func() time.Time { return now }})
	teachPills(t, c)
	for range 20 { // thirteen months with mail that needs the words of one kind
		now = now.Add(20 * 24 * time.Hour)
		judgePills(t, c)
	}
	if p := probability(t, c, "", pills2); p < 0.6 {
		t.Errorf("what was used has expired: %.3f", p)
	}
	v, err := c.Classify(t.Context(), "", about(3, "minutes of the meeting"))
	if err != nil {
		t.Fatal(err)
	}
	for _, clue := range v.Clues {
		if clue.Token.String() == "text:minutes" {
			t.Errorf("what nobody used for a year is still there: %+v", clue)
		}
	}
}
