package rotation

import (
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/internal/keys"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// publicRecord is the record of a key that depends on its selector alone.
func publicRecord(selector string) string {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, selector)
	return keys.Record(ed25519.NewKeyFromSeed(seed).Public())
}

// key makes a key of a test: "202611e next 2h" was made 2 h before noon, and came
// to its stage then. All that sign, or did, have a TTL of an hour.
func key(t testing.TB, text string) keys.Key {
	t.Helper()
	var selector, stage, age, visible string
	fmt.Sscan(text, &selector, &stage, &age, &visible)
	ago := func(s string) time.Time {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return noon.Add(-d)
	}
	k := keys.Key{Selector: selector, Algorithm: keys.Ed25519, Bits: 256, File: selector + ".pem", Stage: keys.Stage(stage),
		Name: selector + "._domainkey.example.org", Record: publicRecord(selector), Created: ago(age)}
	if k.Stage != keys.Next {
		k.Visible, k.Activated, k.TTL = k.Created, k.Created, 3600
	}
	if visible != "" {
		k.Visible = ago(visible)
	}
	switch k.Stage {
	case keys.Retiring:
		k.RetiringSince = k.Created
	case keys.Retired:
		k.RetiringSince, k.RetiredAt, k.Record = k.Created, k.Created, keys.Revoked(keys.Ed25519)
	}
	if !strings.Contains(selector, "e") { // a stand-in: nobody looks into the record
		k.Algorithm = keys.RSA
	}
	return k
}

func state(t testing.TB, texts ...string) *keys.State {
	s := &keys.State{Version: 1, Domain: "example.org"}
	for _, text := range texts {
		s.Keys = append(s.Keys, key(t, text))
	}
	return s
}

// TestStep: each way from one stage to the next, and each reason to stay.
func TestStep(t *testing.T) {
	policy := Policy{Age: 100 * 24 * time.Hour, Overlap: 8 * 24 * time.Hour}
	for _, test := range []struct {
		name   string
		keys   []string
		seen   string // selector=status, with a TTL of an hour; "status" for all
		policy func(*Policy)
		want   string // selector:stage in order; + events; algorithms to be made
	}{
		{"nothing", nil, "shown", nil, "|| "},
		{"first key, not there yet", []string{"e next 5h"}, "missing", nil, "e:next|| "},
		{"first key, shown: at once", []string{"e next 0h"}, "shown", nil, "e:active|e visible e activated| "},
		{"first keys, shown: at once, both", []string{"r next 0h", "e next 0h"}, "shown", nil, "r:active e:active|r visible e visible r activated e activated| "},
		{"first keys, one shown", []string{"r next 0h", "e next 0h"}, "e=shown r=missing", nil, "r:next e:active|e visible e activated| "},
		{"first key, unknown", []string{"e next 5h 4h"}, "unknown", nil, "e:next|| "},
		{"second algorithm waits: mail is signed already", []string{"r active 5h", "e next 5h"}, "shown", nil, "r:active e:next|e visible| "},
		{"shown now for the first time", []string{"e1 active 5h", "e2 next 5h"}, "shown", nil, "e1:active e2:next|e2 visible| "},
		{"shown for less than the TTL", []string{"e1 active 5h", "e2 next 5h 59m59s"}, "shown", nil, "e1:active e2:next|| "},
		{"shown for the TTL", []string{"e1 active 5h", "e2 next 5h 1h"}, "shown", nil, "e1:retiring e2:active|e1 replaced e2 activated| "},
		{"shown for the TTL, but not now", []string{"e1 active 5h", "e2 next 5h 2h"}, "e1=shown e2=missing", nil, "e1:active e2:next|e2 vanished| "},
		{"shown for the TTL, silent now", []string{"e1 active 5h", "e2 next 5h 2h"}, "e1=shown e2=unknown", nil, "e1:active e2:next|| "},
		{"seen in the future: the clock was put back", []string{"e1 active 5h", "e2 next 5h -2h"}, "shown", nil, "e1:active e2:next|e2 visible| "},
		{"the other algorithm is left alone", []string{"r active 5h", "e1 active 5h", "e2 next 5h 1h"}, "shown", nil, "r:active e1:retiring e2:active|e1 replaced e2 activated| "},
		{"two of one algorithm: one after the other, the older first", []string{"e1 active 5h", "e3 next 3h 2h", "e2 next 4h 2h"}, "shown", nil, "e1:retiring e3:next e2:active|e1 replaced e2 activated| "},
		{"the active one is not shown: it stays, there is nothing better", []string{"e1 active 5h"}, "missing", nil, "e1:active|e1 vanished| "},
		{"the active one is not shown, the next takes over", []string{"e1 active 5h", "e2 next 5h 1h"}, "e1=missing e2=shown", nil, "e1:retiring e2:active|e1 vanished e1 replaced e2 activated| "},
		{"seen of another record", []string{"e1 active 5h", "e2 next 5h 2h"}, "stale", nil, "e1:active e2:next|| "},
		{"nothing seen", []string{"e1 active 5h", "e2 next 5h 2h"}, "", nil, "e1:active e2:next|| "},
		{"overlap", []string{"e1 retiring 191h59m59s", "e2 active 191h"}, "shown", nil, "e1:retiring e2:active|| "},
		{"after the overlap", []string{"e1 retiring 192h", "e2 active 192h"}, "shown", nil, "e1:retired e2:active|e1 retired| "},
		{"replaced and retired are two steps", []string{"e1 active 5h", "e2 next 5h 1h"}, "shown", func(p *Policy) { p.Overlap = 0 }, "e1:retiring e2:active|e1 replaced e2 activated| "},
		{"retired for long", []string{"e1 retired 8759h", "e2 retired 8760h", "e3 active 5h"}, "shown", nil, "e1:retired e3:active|e2 forgotten| "},
		{"old enough for a next", []string{"r active 2400h", "e1 active 2400h"}, "shown", nil, "r:active e1:active||rsa ed25519"},
		{"not old enough", []string{"r active 2399h", "e1 active 2399h"}, "shown", nil, "r:active e1:active|| "},
		{"one of two is", []string{"r active 2400h", "e1 active 2399h"}, "shown", nil, "r:active e1:active||rsa"},
		{"next is there", []string{"e1 active 2400h", "e2 next 5h"}, "e1=shown e2=missing", nil, "e1:active e2:next|| "},
		{"never, when switched off", []string{"e1 active 99999h"}, "shown", func(p *Policy) { p.Age = 0 }, "e1:active|| "},
		{"now, when asked for", []string{"e1 active 1h"}, "shown", func(p *Policy) { p.Age, p.New = 0, true }, "e1:active||ed25519"},
		{"asked for while next is there", []string{"e1 active 1h", "e2 next 5h 2h"}, "shown", func(p *Policy) { p.New = true }, "e1:retiring e2:active|e1 replaced e2 activated| "},
		{"asked for without any", []string{"e1 retiring 1h"}, "shown", func(p *Policy) { p.New = true }, "e1:retiring|| "},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := state(t, test.keys...)
			seen := map[string]Sight{}
			for _, k := range s.Keys {
				status, record := test.seen, k.Record
				for word := range strings.FieldsSeq(test.seen) {
					if selector, is, ok := strings.Cut(word, "="); ok && selector == k.Selector {
						status = is
					}
				}
				switch status {
				case "":
					continue
				case "stale":
					status, record = "shown", "another"
				}
				seen[k.Selector] = Sight{Status: Status(status), Record: record, TTL: time.Hour}
			}
			p := policy
			if test.policy != nil {
				test.policy(&p)
			}
			given := state(t, test.keys...)
			after, events, missing := step(s, seen, noon, p)
			if !reflect.DeepEqual(s, given) {
				t.Error("the given state was changed")
			}
			var stages, happened []string
			for _, k := range after.Keys {
				stages = append(stages, k.Selector+":"+string(k.Stage))
			}
			for _, e := range events {
				happened = append(happened, e.Selector+" "+string(e.Change))
			}
			got := strings.Join(stages, " ") + "|" + strings.Join(happened, " ") + "|" + strings.Join(missing, " ")
			if got != strings.TrimSuffix(test.want, " ") {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}

// TestTTLGrows: the longest time that anybody may remember an absence counts, even
// when the zone has a shorter one now.
func TestTTLGrows(t *testing.T) {
	s := state(t, "e1 active 5h", "e2 next 5h 1h")
	sight := func(ttl time.Duration) map[string]Sight {
		return map[string]Sight{"e2": {Status: Shown, Record: s.Keys[1].Record, TTL: ttl}}
	}
	s, _, _ = step(s, sight(2*time.Hour), noon, Policy{})
	if s.Keys[1].Stage != keys.Next || s.Keys[1].TTL != 7200 {
		t.Fatalf("%+v", s.Keys[1])
	}
	s, _, _ = step(s, sight(time.Minute), noon.Add(time.Hour-time.Second), Policy{})
	if s.Keys[1].Stage != keys.Next {
		t.Fatal("active before its time")
	}
	if s, _, _ = step(s, sight(time.Minute), noon.Add(time.Hour), Policy{}); s.Keys[1].Stage != keys.Active {
		t.Fatal("not active in time")
	}
}

// order is that of the stages.
var order = []keys.Stage{keys.Next, keys.Active, keys.Retiring, keys.Retired}

// A model is a domain, its name servers, its operator, and the rest of the world.
type model struct {
	rand    *rand.Rand
	now     time.Time
	policy  Policy
	ttl     time.Duration // how long the world remembers that a record is not there
	state   *keys.State
	servers []map[string]string  // selector to record, at each server
	absent  map[string]time.Time // when some server did not show a key the last time
	signed  map[string]time.Time // when a key signed the last time
	made    int
	flapped bool // a record was taken away since the last turn
}

// publish lets the operator do what the state asks for, at some of the servers, in
// his own time; and now and then undo what he has done to a key that does not sign.
// What comes and goes between two looks cannot be known, so then there is a look.
func (m *model) publish() {
	m.flapped = false
	for _, zone := range m.servers {
		for _, k := range m.state.Keys {
			switch {
			case m.rand.IntN(3) == 0:
				zone[k.Selector] = k.Record
			case k.Stage == keys.Next && m.rand.IntN(20) == 0:
				delete(zone, k.Selector)
				m.flapped = true
			case k.Stage == keys.Next && m.rand.IntN(20) == 0:
				zone[k.Selector] = publicRecord("a mistake")
				m.flapped = true
			}
		}
	}
	for _, k := range m.state.Keys {
		if !m.shown(&k) {
			m.absent[k.Selector] = m.now
		}
	}
}

// shown reports whether all servers show a key.
func (m *model) shown(k *keys.Key) bool {
	return !slices.ContainsFunc(m.servers, func(zone map[string]string) bool { return zone[k.Selector] != k.Record })
}

// look sees what there is, or nothing.
func (m *model) look() map[string]Sight {
	seen := map[string]Sight{}
	for _, k := range m.state.Keys {
		s := Sight{Status: Missing, Record: k.Record, TTL: m.ttl}
		switch {
		case m.rand.IntN(10) == 0 && !m.flapped:
			s.Status, s.TTL = Unknown, 0
		case m.shown(&k):
			s.Status = Shown
		}
		seen[k.Selector] = s
	}
	return seen
}

// turn takes one step, or is cut off before it is written.
func (m *model) turn(t *testing.T) {
	before := m.state
	if m.rand.IntN(10) == 0 {
		before = decode(t, encode(before)) // another process takes it up
	}
	seen := m.look()
	after, events, missing := step(before, seen, m.now, m.policy)
	for _, algorithm := range missing {
		m.made++
		selector := fmt.Sprintf("%s%d", map[string]string{keys.RSA: "r", keys.Ed25519: "e"}[algorithm], m.made)
		after.Keys = append(after.Keys, keys.Key{Selector: selector, Algorithm: algorithm, Bits: 256, Stage: keys.Next, Record: publicRecord(selector), Created: m.now})
	}
	if m.rand.IntN(10) == 0 && !m.flapped {
		return // the power went out
	}
	m.check(t, before, after, seen, events)
	m.state = after
}

// check is what must be true of every step.
func (m *model) check(t *testing.T, before, after *keys.State, seen map[string]Sight, events []Event) {
	t.Helper()
	algorithms := func(s *keys.State) map[string]bool {
		set := map[string]bool{}
		for _, k := range s.Active() {
			set[k.Algorithm] = true
		}
		return set
	}
	now := algorithms(after)
	for algorithm := range algorithms(before) {
		if !now[algorithm] {
			t.Errorf("%v: no %s key signs any more: %v", m.now, algorithm, events)
		}
	}
	was := map[string]*keys.Key{}
	for i := range before.Keys {
		was[before.Keys[i].Selector] = &before.Keys[i]
	}
	for i := range after.Keys {
		k := &after.Keys[i]
		old := was[k.Selector]
		if old == nil {
			continue
		}
		if moved := slices.Index(order, k.Stage) - slices.Index(order, old.Stage); moved < 0 || moved > 1 {
			t.Errorf("%s went from %s to %s", k.Selector, old.Stage, k.Stage)
		}
		switch {
		case k.Stage == keys.Active && !m.shown(k):
			t.Errorf("%v: %s signs, and not every server shows it", m.now, k.Selector)
		case k.Stage == keys.Active && old.Stage == keys.Next && len(before.Active()) > 0 && m.now.Sub(m.absent[k.Selector]) < m.ttl:
			t.Errorf("%v: %s signs, and somebody may remember that it was not there at %v", m.now, k.Selector, m.absent[k.Selector])
		case k.Stage == keys.Active && old.Stage == keys.Next && seen[k.Selector].Status != Shown:
			t.Errorf("%s signs, and was %s", k.Selector, seen[k.Selector].Status)
		case k.Stage == keys.Retired && old.Stage == keys.Retiring && m.now.Sub(m.signed[k.Selector]) < m.policy.Overlap:
			t.Errorf("%v: %s is taken back, and there is mail of %v", m.now, k.Selector, m.signed[k.Selector])
		}
	}
	// What a step leaves is a state in which the same step has nothing more to do at
	// once but what the very stage it reached allows; it comes to rest.
	s := after
	for range 5 {
		next, events, _ := step(s, seen, m.now, Policy{Overlap: m.policy.Overlap})
		if len(events) == 0 {
			return
		}
		s = next
	}
	t.Errorf("%v: steps without end: %v", m.now, events)
}

// TestAlwaysSignedNeverUnverifiable plays years of rotations with slow operators,
// servers that disagree, and turns that are cut off.
func TestAlwaysSignedNeverUnverifiable(t *testing.T) {
	active, retired := 0, 0
	for seed := range uint64(40) {
		m := &model{rand: rand.New(rand.NewPCG(seed, 4)), now: noon, ttl: time.Duration(seed%30) * 10 * time.Minute,
			policy: Policy{Age: 10 * 24 * time.Hour, Overlap: 8 * 24 * time.Hour},
			state:  state(t, "r next 0h", "e next 0h"), absent: map[string]time.Time{}, signed: map[string]time.Time{}}
		for range 1 + seed%4 {
			m.servers = append(m.servers, map[string]string{})
		}
		for range 600 {
			m.now = m.now.Add(time.Duration(m.rand.Int64N(int64(6 * time.Hour))))
			for _, k := range m.state.Active() {
				m.signed[k.Selector] = m.now
			}
			m.publish()
			m.turn(t)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		for _, k := range m.state.Keys {
			if k.Stage == keys.Retired {
				retired++
			}
		}
		active += len(m.state.Active())
	}
	if active != 80 || retired < 250 {
		t.Errorf("%d keys sign and %d have retired: the model does not do what it is for", active, retired)
	}
	t.Logf("%d keys have gone all the way", retired)
}
