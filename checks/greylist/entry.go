package greylist

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"milterd/internal/lazy"
	"milterd/internal/store"
	"milterd/message"
)

// An entry is what the store holds of a sender: a letter and a point in time. It
// ends by itself, by the clock of the store: one that waits with the window, one
// that is known a while after the last message. Its own time only says how long
// somebody has waited, so that a clock that jumps can make nobody wait for more than
// one delay, and makes nobody unknown.
type entry struct {
	state byte
	at    time.Time // of the first sight, or of the last note that he is known
}

// The states of an entry.
const (
	stateWaits    = 'w'
	stateObserved = 'o' // would be asked to come back; the mail was let in
	stateKnown    = 'k'
)

// The entry of somebody our users have written to.
const kindCorrespondent = 'c'

const entryBytes = 9

func (e entry) bytes() []byte {
	return binary.BigEndian.AppendUint64([]byte{e.state}, uint64(e.at.UnixMilli()))
}

// parseEntry reads an entry; what is none is nothing.
func parseEntry(value []byte) (e entry, ok bool) {
	if len(value) != entryBytes {
		return entry{}, false
	}
	switch value[0] {
	case stateWaits, stateObserved, stateKnown:
	default:
		return entry{}, false
	}
	return entry{value[0], time.UnixMilli(int64(binary.BigEndian.Uint64(value[1:])))}, true
}

// standing is how a sender stands with us.
type standing int

const (
	unknownToUs   standing = iota // nobody can tell: the store does not answer
	stranger                      // never seen
	waits                         // asked to come back, and too early
	returned                      // asked to come back, and here he is
	known                         // returned once, or his mail was welcome
	correspondent                 // our users have written to him
)

// A sight is what one message has shown of its sender, for [check.Record].
type sight struct {
	who      who
	standing standing
	keys     [][]byte
	values   [][]byte // of keys when the message was looked at

	// Of one who waits, has returned or is known:
	entry   entry
	index   int           // of its key
	elapsed time.Duration // since entry.at, never negative
	left    time.Duration // until he may return; of a stranger the whole delay
}

// look asks the store about senders, in their order. It waits for storeWait at most.
func (c *check) look(ctx context.Context, all []who) []*sight {
	asking := lazy.WithTimeout(ctx, storeWait)
	defer asking.Cancel()
	sights := make([]*sight, len(all))
	var ask [][]byte
	for i, w := range all {
		sights[i] = &sight{who: w, keys: w.keys(), left: c.delay}
		ask = append(ask, sights[i].keys...)
		for _, from := range w.from {
			ask = append(ask, key(kindCorrespondent, from))
		}
	}
	if c.forgets.lately(c.now()) {
		return sights
	}
	values, err := c.store.Get(asking, Space, ask...)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			c.metrics.storeErrors.Inc()
		}
		return sights
	}
	now := c.now()
	for _, s := range sights {
		own, from := len(s.keys), len(s.who.from)
		s.values = values[:own]
		s.judge(now, c.delay)
		if slices.ContainsFunc(values[own:own+from], func(v []byte) bool { return v != nil }) && s.standing != known {
			s.standing = correspondent
		}
		values = values[own+from:]
	}
	return sights
}

// Space is where everything lies in the store.
const Space = "greylist"

// judge finds the entry that is best for the sender. One from the future was made
// before the clock was set back: it is as good as none, or somebody would wait for
// a year.
func (s *sight) judge(now time.Time, delay time.Duration) {
	s.standing = stranger
	for i, value := range s.values {
		e, ok := parseEntry(value)
		if !ok {
			continue
		}
		elapsed := now.Sub(e.at)
		if e.state == stateKnown {
			s.standing, s.entry, s.index, s.elapsed, s.left = known, e, i, max(elapsed, 0), 0
			return
		}
		if elapsed < 0 || s.standing != stranger && elapsed <= s.elapsed {
			continue
		}
		s.entry, s.index, s.elapsed, s.left = e, i, elapsed, max(delay-elapsed, 0)
		if s.standing = waits; s.left == 0 {
			s.standing = returned
		}
	}
}

// judged is what becomes, or would become, of a message.
func judged(v *message.Verdict) message.Action {
	if v.Would != "" {
		return v.Would
	}
	return v.Action
}

// refresh is how old a note of somebody known must be to be made anew: writing with
// every message would be for nothing.
const refresh = 24 * time.Hour

// remember writes down what the verdict makes of the sender.
func (c *check) remember(ctx context.Context, s *sight, v *message.Verdict, now time.Time) error {
	if s.standing == unknownToUs {
		return nil
	}
	switch judged(v) {
	case message.Greylist:
		if s.standing != stranger && s.standing != waits {
			return nil // it was not this check that asked
		}
		return c.await(ctx, s, v, now)
	case message.TempFail:
		return nil
	case message.Accept:
		return c.welcome(ctx, s, now)
	default:
		return c.unwelcome(ctx, s)
	}
}

// await notes the first sight of a sender who was asked to come back, under every
// key that does not say so yet.
func (c *check) await(ctx context.Context, s *sight, v *message.Verdict, now time.Time) error {
	e := entry{state: stateWaits, at: now}
	if v.Action != message.Greylist {
		e.state = stateObserved // nobody was asked, so nobody is counted
	}
	first := s.standing == stranger
	if !first {
		e = s.entry
	}
	ops := []store.Op{store.If(s.keys[s.index], s.values[s.index])}
	for i, k := range s.keys {
		if old, ok := parseEntry(s.values[i]); !ok || old.at.After(now) {
			ops = append(ops, store.Put(k, e.bytes(), max(c.window-s.elapsed, time.Millisecond)))
		}
	}
	if len(ops) == 1 {
		return nil
	}
	if first && e.state == stateWaits {
		ops = append(ops, store.Add(cohortKey(hourOf(now)), c.window+cohortLife, 1, 0))
	}
	won, err := c.apply(ctx, ops)
	if won && first && e.state == stateWaits {
		c.metrics.senders.WithLabelValues(asked).Inc()
	}
	return err
}

// welcome makes a sender known whose message was let in and is no spam: one who has
// returned, and one who was never asked.
func (c *check) welcome(ctx context.Context, s *sight, now time.Time) error {
	if age := now.Sub(s.entry.at); s.standing == known && 0 <= age && age < refresh {
		return nil
	}
	e := entry{state: stateKnown, at: now}
	var ops []store.Op
	counted := s.waited()
	if counted {
		ops = append(ops, store.If(s.keys[s.index], s.values[s.index]), s.settled(c.window))
	}
	for _, k := range s.keys {
		ops = append(ops, store.Put(k, e.bytes(), c.keep))
	}
	if !counted {
		return c.store.Post(Space, ops...) // nothing is lost with the last second of it
	}
	won, err := c.apply(ctx, ops)
	if won {
		c.metrics.senders.WithLabelValues(returnedHam).Inc()
	}
	return err
}

// unwelcome forgets a sender who was asked to come back and did, with spam: the next
// message that is undecided waits again.
func (c *check) unwelcome(ctx context.Context, s *sight) error {
	if s.standing != returned && s.standing != waits {
		return nil
	}
	ops := []store.Op{store.If(s.keys[s.index], s.values[s.index])}
	for i, k := range s.keys {
		if s.values[i] != nil {
			ops = append(ops, store.Delete(k))
		}
	}
	if s.waited() {
		ops = append(ops, s.settled(c.window))
	}
	won, err := c.apply(ctx, ops)
	if won && s.waited() {
		c.metrics.senders.WithLabelValues(returnedSpam).Inc()
	}
	return err
}

// waited reports whether the sender was really asked to come back.
func (s *sight) waited() bool { return s.entry.state == stateWaits }

// apply does ops. won is false where another message of the sender, here or at
// another host, has been quicker.
func (c *check) apply(ctx context.Context, ops []store.Op) (won bool, err error) {
	err = c.store.Apply(ctx, Space, ops...)
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// rememberRecipients notes whom our users write to: their answers shall not wait.
func (c *check) rememberRecipients(m *message.Message, v *message.Verdict) error {
	if v.Action.Refuses() || v.Action == message.Quarantine || v.Action == message.Discard {
		return nil
	}
	e := entry{state: stateKnown, at: m.Time}
	var ops []store.Op
	for _, r := range m.Recipients[:min(len(m.Recipients), maxRecipients)] {
		if !r.Path.Address.IsZero() {
			ops = append(ops, store.Put(key(kindCorrespondent, path(r.Path)), e.bytes(), c.keep))
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return c.store.Post(Space, ops...)
}
