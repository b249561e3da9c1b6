// Package rotation changes the keys that a domain signs with, without a moment in
// which mail goes out with a signature that nobody can verify.
//
// A key lives through four stages (package keys):
//
//	next      it has been made; somebody publishes its record
//	active    every server has shown the record for long enough: it signs
//	retiring  the next key has taken over; it is still published, for the mail
//	          that it has signed and that is still on its way
//	retired   its signatures have all expired; an empty p= is published instead
//
// What makes a key active is what the DNS shows, not what somebody says: every
// authoritative server of the zone, asked directly, and the resolver of this host
// with an empty cache, must all give the record; and, if the domain signs already,
// must have done so each time that we looked for as long as anybody may remember
// that it was not there: the larger of the record's TTL and the zone's negative TTL
// (RFC 2308, section 5).
//
// The work is divided so that each part can be proven:
//
//	step.go       the life of keys, a pure function of state, sight and time
//	observe.go    what the DNS shows
//	directory.go  the files, one atomic change at a time, under a lock
//	rotation.go   one turn: look, lock, step, write
//	keeper.go     turns by the clock, for the daemon, with metrics
//
// A directory is changed by one writer at a time, be it the daemon, a command or
// another host that shares it. A turn may be cut off anywhere: what it leaves is
// the state before or the state after, and the next turn goes on from there.
package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"milterd/dkim"
	"milterd/internal/keys"
	"milterd/message"
)

// Looker looks for a key in the DNS; [Observer] does.
type Looker interface {
	Look(ctx context.Context, name, record string) Sight
}

// A Turn is what one turn found and did.
type Turn struct {
	State  *keys.State      // as it is now; with a dry run, as it would be
	Seen   map[string]Sight // by selector
	Events []Event
}

// Rotate takes one turn with the keys in dir: it looks, and moves every key by at
// most one stage. With dry it only says what it would do; a key that it would make
// is then not in the State.
//
// The error is that of keys.ReadState, and then there is no Turn; or ErrBusy where
// another one is at work in dir, or that of a file that cannot be written: then the
// Turn has what was seen, and the State as it was.
func Rotate(ctx context.Context, dir string, dns Looker, now time.Time, p Policy, dry bool) (*Turn, error) {
	return rotate(ctx, disk{}, dir, dns, now, p, dry)
}

func rotate(ctx context.Context, d disk, dir string, dns Looker, now time.Time, p Policy, dry bool) (*Turn, error) {
	state, err := keys.ReadState(dir)
	if err != nil {
		return nil, err
	}
	// Looking takes time, so it is done before the lock is taken. What another one
	// has changed meanwhile has no sight, and waits for the next turn.
	turn := &Turn{State: state, Seen: See(ctx, dns, state)}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	now = now.UTC().Truncate(time.Second)
	after, events, missing := step(state, turn.Seen, now, p)
	if dry {
		turn.State, turn.Events = after, events
		for _, algorithm := range missing {
			turn.Events = append(turn.Events, Event{newSelector(dir, state, algorithm, now), Made})
		}
		return turn, nil
	}
	if len(missing) == 0 && slices.Equal(encode(state), encode(after)) {
		return turn, nil // the usual hour: the disk is left alone
	}
	unlock, err := d.lock(dir)
	if err != nil {
		return turn, err
	}
	defer unlock()
	if state, err = keys.ReadState(dir); err != nil {
		return turn, err
	}
	after, events, missing = step(state, turn.Seen, now, p)
	for _, algorithm := range missing {
		k, err := d.makeKey(dir, after, algorithm, bitsOf(state, algorithm), newSelector(dir, after, algorithm, now), now)
		if err != nil {
			return turn, err
		}
		after.Keys = append(after.Keys, k)
		events = append(events, Event{k.Selector, Made})
	}
	if err := d.writeState(dir, after); err != nil {
		return turn, err
	}
	turn.State, turn.Events = after, events
	return turn, nil
}

// See looks for every key of a state. A next key whose file does not hold the
// private half of its record is not taken for shown, whatever the DNS says.
func See(ctx context.Context, dns Looker, state *keys.State) map[string]Sight {
	seen := make(map[string]Sight, len(state.Keys))
	for i := range state.Keys {
		k := &state.Keys[i]
		s := dns.Look(ctx, k.Name, k.Record)
		if k.Stage == keys.Next {
			if err := holds(k); err != nil {
				s.Status, s.Err = Unknown, err
			}
		}
		seen[k.Selector] = s
	}
	return seen
}

// holds reports a file that is not the one that a key's record speaks of.
func holds(k *keys.Key) error {
	private, err := keys.Load(k.Path)
	if err != nil {
		return err
	}
	if said, _ := judge(k.Record, keys.Record(private.Public())); said != SaysShown {
		return fmt.Errorf("%s: is not the key of %s", k.Path, k.Name)
	}
	return nil
}

// bitsOf returns the length for a new key of that algorithm.
func bitsOf(s *keys.State, algorithm string) int {
	bits := keys.GoodBits
	for _, k := range s.Active() {
		if k.Algorithm == algorithm {
			bits = max(bits, k.Bits)
		}
	}
	return bits
}

// ErrNextIsThere is for a next key that is asked for while there is one.
var ErrNextIsThere = errors.New("there is a next key already")

// Wish is a key to be made.
type Wish struct {
	Algorithm string // keys.RSA or keys.Ed25519
	Bits      int    // of RSA
	Selector  string // empty: one by the month
}

// Generate makes the next keys of a domain in dir, which it creates where it is
// missing. It returns the state with them; they are its last.
func Generate(dir, domain string, wishes []Wish, now time.Time) (*keys.State, error) {
	return generate(disk{}, dir, domain, wishes, now)
}

func generate(d disk, dir, domain string, wishes []Wish, now time.Time) (*keys.State, error) {
	now = now.UTC().Truncate(time.Second)
	name, err := message.ParseDomain(domain)
	if err != nil || name.Labels() < 2 {
		return nil, fmt.Errorf("%q is not a domain that mail can be signed for", domain)
	}
	if err := d.makeDirectory(dir); err != nil {
		return nil, err
	}
	unlock, err := d.lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	state, err := keys.ReadState(dir)
	if errors.Is(err, keys.ErrMissing) {
		state, err = &keys.State{Version: 1, Domain: name.String()}, nil
	}
	if err != nil {
		return nil, err
	}
	if state.Domain != name.String() {
		return nil, fmt.Errorf("%s holds the keys of %s", dir, state.Domain)
	}
	for _, w := range wishes {
		if w.Selector != "" && !keys.ValidSelector(w.Selector) {
			return nil, fmt.Errorf("%q is not a selector in lower case", w.Selector)
		}
		for _, k := range state.Keys {
			if k.Stage == keys.Next && k.Algorithm == w.Algorithm {
				return nil, fmt.Errorf("%w: %s (%s), made on %s", ErrNextIsThere, k.Selector, k.Algorithm, k.Created.Format(time.DateOnly))
			}
			if k.Selector == w.Selector {
				return nil, fmt.Errorf("selector %s is taken by a key that is %s", k.Selector, k.Stage)
			}
		}
		if w.Selector == "" {
			w.Selector = newSelector(dir, state, w.Algorithm, now)
		}
		k, err := d.makeKey(dir, state, w.Algorithm, w.Bits, w.Selector, now)
		if err != nil {
			return nil, err
		}
		state.Keys = append(state.Keys, k)
	}
	if err := state.Check(); err != nil {
		return nil, err
	}
	return state, d.writeState(dir, state)
}

// nameOf returns where the record of a selector stands.
func nameOf(s *keys.State, selector string) (string, error) {
	domain, err := message.ParseDomain(s.Domain)
	if err != nil {
		return "", err
	}
	return dkim.KeyName(domain, selector), nil
}
