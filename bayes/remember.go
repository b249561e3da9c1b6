package bayes

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// A regression that is trained once through forgets: a thousand ham in a row teach it
// that everything is ham, and the thousand spam behind them the opposite. So of each
// class some messages are remembered, as the hashes of their tokens, and with each
// lesson one of the other class is looked at again. Mostly it is judged right and
// nothing is done; else it is taught once more. Order hardly matters then.
//
// A message has one place where it is remembered, by its digest, in which it takes the
// place of who is there; and one place of the other class, where it looks for the
// message that is taught again with it. Both follow from its digest, so a lesson can
// be undone with all that it has done.
const (
	// rememberedPlaces is how many messages of each class are remembered, of the site
	// and of each user; 2 KiB each, mostly.
	rememberedPlaces = 128
	// rememberedTokens is how many tokens a message may have that is remembered.
	rememberedTokens = 500
	// recalledTokens bounds what is read for a group.
	recalledTokens = 24_000
	// misjudged is from which error on a remembered message is taught again.
	misjudged = 0.05
)

// digest names a message in the records.
type digest [16]byte

func (d digest) String() string { return hex.EncodeToString(d[:]) }

// opposite returns the other class.
func (c Class) opposite() Class {
	if c == Spam {
		return Ham
	}
	return Spam
}

// home is where a message of the class is remembered, and guest where one of the
// class is looked for when the message is taught as the opposite.
func (d digest) home(s scope, c Class) []byte  { return rememberedKey(s, c, d[0]%rememberedPlaces) }
func (d digest) guest(s scope, c Class) []byte { return rememberedKey(s, c, d[1]%rememberedPlaces) }

func rememberedKey(s scope, c Class, place byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("r"), uint64(s)), c[0], place)
}

// kept is a remembered message as it lies in the store: its digest, then its tokens.
type kept struct {
	digest digest
	ids    []uint64
}

func (r *kept) value() []byte {
	value := make([]byte, 0, len(r.digest)+8*len(r.ids))
	value = append(value, r.digest[:]...)
	for _, id := range r.ids {
		value = binary.BigEndian.AppendUint64(value, id)
	}
	return value
}

// readKept reads a value. ok is false for what is none, or nothing.
func readKept(value []byte) (r kept, ok bool) {
	if len(value) <= len(r.digest) || len(value) > len(r.digest)+8*rememberedTokens || len(value)%8 != 0 {
		return kept{}, false
	}
	r.digest, value = digest(value[:len(r.digest)]), value[len(r.digest):]
	for ; len(value) > 0; value = value[8:] {
		r.ids = append(r.ids, binary.BigEndian.Uint64(value))
	}
	return r, true
}

// memory is a place of remembered messages while a group is learned.
type memory struct {
	key     []byte
	class   Class
	digest  digest
	tokens  []int // by their place in the group's, none where nobody is remembered
	record  int   // likewise
	changed bool
}

// memories are the places that a group may need, by their keys.
type memories map[string]*memory

// places returns the keys of the places where lessons of a group may look for a
// message, each once.
func (g *group) places() (keys [][]byte) {
	for i := range g.lessons {
		for _, c := range [...]Class{Spam, Ham} {
			keys = append(keys, g.lessons[i].digest.guest(g.scope, c))
		}
	}
	slices.SortFunc(keys, slices.Compare)
	return slices.CompactFunc(keys, slices.Equal)
}

// remember takes up what is remembered at the places, with the tokens and records that
// it needs.
func (g *group) remember(keys, values [][]byte) {
	g.memories = make(memories, len(keys))
	for i, key := range keys {
		m := &memory{key: key, class: Spam}
		if key[len(key)-2] == Ham[0] {
			m.class = Ham
		}
		g.memories[string(key)] = m
		r, ok := readKept(values[i])
		if !ok || len(g.tokens) > recalledTokens {
			continue
		}
		m.digest, m.record = r.digest, g.recordAt(r.digest)
		for _, id := range r.ids {
			m.tokens = append(m.tokens, g.tokenAt(Token{ID: id}))
		}
	}
}

// recall looks for a message at a place that was taught as the place's class, nil when
// there is none.
func (g *group) recall(key []byte) *memory {
	m := g.memories[string(key)]
	if m == nil || len(m.tokens) == 0 {
		return nil
	}
	if r := &g.now[m.record]; r.Class != m.class || r.Version != version {
		return nil
	}
	return m
}

// again teaches the message once more that stands at the lesson's place in the other
// class, if it is misjudged, and notes that in the lesson's record.
func (g *group) again(p *prepared, r *Record) {
	m := g.recall(p.digest.guest(g.scope, p.Class.opposite()))
	if m == nil {
		return
	}
	step, mistake := g.step(m.tokens, m.class)
	if mistake < misjudged || step == 0 {
		return
	}
	g.move(m.tokens, step)
	g.now[m.record].Step += step
	r.Again, r.AgainStep = m.digest.String(), step
}

// notAgain undoes what a lesson has taught once more. A message that is not remembered
// any more keeps it: it has become part of its own lesson.
func (g *group) notAgain(p *prepared, r *Record) {
	if r.Again == "" {
		return
	}
	m := g.recall(p.digest.guest(g.scope, r.Class.opposite()))
	if m == nil || m.digest.String() != r.Again || g.now[m.record].At.After(r.At) {
		return
	}
	g.move(m.tokens, -r.AgainStep)
	g.now[m.record].Step -= r.AgainStep
}

// keep remembers a message that was taught, and drops one that was not.
func (g *group) keep(p *prepared, c Class, taught bool) {
	key := p.digest.home(g.scope, c)
	m := g.memories[string(key)]
	if m == nil {
		m = &memory{key: key, class: c}
		g.memories[string(key)] = m
	}
	m.changed, m.digest, m.record, m.tokens = true, p.digest, p.record, nil
	if taught && len(p.tokens) <= rememberedTokens {
		m.tokens = p.tokens
	}
}

// value is what lies in the store.
func (m *memory) value(tokens []Token) []byte {
	r := kept{digest: m.digest}
	for _, i := range m.tokens {
		r.ids = append(r.ids, tokens[i].ID)
	}
	return r.value()
}
