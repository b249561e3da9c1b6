package rotation

import (
	"cmp"
	"slices"
	"time"

	"milterd/internal/keys"
)

// Policy says how long things take.
type Policy struct {
	// Age is how long a key signs before the next one is made. Zero makes none.
	Age time.Duration
	// Overlap is how long a key that no longer signs stays published: as long as
	// its signatures hold (x=), and a margin for mail that waits in queues.
	Overlap time.Duration
	// New makes the next keys now, whatever the age of those that sign.
	New bool
}

const (
	// DefaultAge changes keys twice a year.
	DefaultAge = 180 * 24 * time.Hour
	// DefaultOverlap is the 7 days that signatures hold, and one more.
	DefaultOverlap = 8 * 24 * time.Hour
	// forgetAfter is how long a retired key stays in the state file, and with it
	// the wish for its empty p=.
	forgetAfter = 365 * 24 * time.Hour
)

// A Change is what happened to a key in one step.
type Change string

// The changes.
const (
	Made      Change = "made"      // a new key, at stage next
	Visible   Change = "visible"   // every server has begun to show the record
	Vanished  Change = "vanished"  // a server shows the record no more
	Activated Change = "activated" // next is now active: it signs
	Replaced  Change = "replaced"  // active is now retiring: it signs no more
	Retired   Change = "retired"   // retiring is now retired: its p= is to be emptied
	Forgotten Change = "forgotten" // retired long ago, its record may go
)

// An Event is a change of one key.
type Event struct {
	Selector string `json:"selector"`
	Change   Change `json:"change"`
}

// step is the whole life of keys: it takes the state, what was seen of the keys in
// the DNS, by selector, and the time, and returns the state as it is from then on,
// what changed, and the algorithms of which a new key is to be made. No key moves
// by more than one stage. It changes nothing that it is given.
//
// Two rules hold, whatever came before: a key begins to sign only while every
// server shows it; and a key stops signing only as another one of its algorithm
// begins.
func step(s *keys.State, seen map[string]Sight, now time.Time, p Policy) (after *keys.State, events []Event, missing []string) {
	after = &keys.State{Version: s.Version, Domain: s.Domain, Keys: slices.Clone(s.Keys)}
	event := func(k *keys.Key, c Change) { events = append(events, Event{k.Selector, c}) }

	for i := range after.Keys {
		look(&after.Keys[i], seen[after.Keys[i].Selector], now, event)
	}
	signing := len(s.Active()) > 0
	for _, k := range ready(after, seen, now, signing) {
		for i := range after.Keys {
			if old := &after.Keys[i]; old.Stage == keys.Active && old.Algorithm == k.Algorithm {
				old.Stage, old.RetiringSince = keys.Retiring, now
				event(old, Replaced)
			}
		}
		k.Stage, k.Activated = keys.Active, now
		event(k, Activated)
	}
	for i := range s.Keys {
		switch k := &after.Keys[i]; {
		case s.Keys[i].Stage == keys.Retiring && now.Sub(k.RetiringSince) >= p.Overlap:
			k.Stage, k.RetiredAt, k.Record = keys.Retired, now, keys.Revoked(k.Algorithm)
			event(k, Retired)
		case s.Keys[i].Stage == keys.Retired && now.Sub(k.RetiredAt) >= forgetAfter:
			event(k, Forgotten)
		}
	}
	after.Keys = slices.DeleteFunc(after.Keys, func(k keys.Key) bool { return slices.Contains(events, Event{k.Selector, Forgotten}) })
	return after, events, due(s, now, p)
}

// look notes what was seen of a key. Silence changes nothing: it neither proves
// that a record is there nor that it is not.
func look(k *keys.Key, seen Sight, now time.Time, event func(*keys.Key, Change)) {
	if k.Stage == keys.Retired || seen.Record != k.Record {
		return // seen before another one changed the state
	}
	k.TTL = max(k.TTL, int(seen.TTL/time.Second))
	switch seen.Status {
	case Shown:
		if k.Visible.IsZero() || k.Visible.After(now) { // the clock was put back
			k.Visible = now
			event(k, Visible)
		}
	case Missing:
		if !k.Visible.IsZero() {
			k.Visible = time.Time{}
			event(k, Vanished)
		}
	}
}

// ready returns the keys of s that may begin to sign, one of each algorithm at
// most, the oldest first.
func ready(s *keys.State, seen map[string]Sight, now time.Time, signing bool) []*keys.Key {
	var all []*keys.Key
	for i := range s.Keys {
		k := &s.Keys[i]
		if k.Stage == keys.Next && seen[k.Selector].Status == Shown && seen[k.Selector].Record == k.Record &&
			!now.Before(readyAt(k, signing)) {
			all = append(all, k)
		}
	}
	slices.SortStableFunc(all, func(a, b *keys.Key) int { return a.Created.Compare(b.Created) })
	slices.SortStableFunc(all, func(a, b *keys.Key) int { return cmp.Compare(b.Algorithm, a.Algorithm) }) // rsa first
	return slices.CompactFunc(all, func(a, b *keys.Key) bool { return a.Algorithm == b.Algorithm })
}

// readyAt returns when a visible key may begin to sign: once nobody can remember
// any more that it was not there. While the domain does not sign at all nobody has
// asked for its keys, and mail with a signature that some cannot verify yet is no
// worse than mail without one: then it is at once.
func readyAt(k *keys.Key, signing bool) time.Time {
	if !signing {
		return k.Visible
	}
	return k.Visible.Add(time.Duration(k.TTL) * time.Second)
}

// due returns the algorithms of which the next key is to be made: those that sign,
// for long enough, without a next one.
func due(s *keys.State, now time.Time, p Policy) []string {
	var missing []string
	for _, algorithm := range []string{keys.RSA, keys.Ed25519} {
		var newest time.Time
		waiting := false
		for _, k := range s.Keys {
			switch {
			case k.Algorithm != algorithm:
			case k.Stage == keys.Next:
				waiting = true
			case k.Stage == keys.Active && k.Activated.After(newest):
				newest = k.Activated
			}
		}
		if !waiting && !newest.IsZero() && (p.New || p.Age > 0 && now.Sub(newest) >= p.Age) {
			missing = append(missing, algorithm)
		}
	}
	return missing
}
