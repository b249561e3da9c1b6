package match

import (
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxCells bounds the table of a set, at four bytes a cell. The 1,577 stock
	// rules of SpamAssassin take a tenth of it.
	maxCells = 1 << 24
	// maxNeedle is how much of a literal is looked for. More is hardly rarer.
	maxNeedle = 12
	// maxPlaces is how many places in one text are kept.
	maxPlaces = 1 << 16
)

// automaton finds all literals of a set in one pass over a text: the machine of
// Aho and Corasick, as a table. It reads a text as if it were folded.
type automaton struct {
	class [256]uint8 // of a byte: bytes that are in no literal are all alike
	width int        // number of classes
	// next holds for a state, which is the place where its row begins, and a
	// class the following state, with the bit accepting if literals end there.
	next []uint32
	// patterns are, by row, those whose literals end there.
	patterns [][]int32
}

const accepting = 1 << 31

// newAutomaton builds the machine, of so many cells at most. full are the
// patterns, by index, whose literals did not fit into it.
func newAutomaton(patterns []pattern, cells int) (a *automaton, full []int) {
	a = new(automaton)
	a.classify(patterns)
	a.addState()
	for i := range patterns {
		room := 0
		for _, l := range patterns[i].literals {
			room += min(len(l), maxNeedle)
		}
		if len(a.next)+room*a.width > cells {
			full = append(full, i)
			continue
		}
		for _, l := range patterns[i].literals {
			a.insert(l[:min(len(l), maxNeedle)], int32(i))
		}
	}
	a.link()
	return a, full
}

// classify gives each byte that is in a literal a class of its own.
func (a *automaton) classify(patterns []pattern) {
	a.width = 1
	for i := range patterns {
		for _, l := range patterns[i].literals {
			for _, c := range []byte(l[:min(len(l), maxNeedle)]) {
				if a.class[c] == 0 {
					a.class[c] = uint8(a.width) // folding leaves 225 different bytes
					a.width++
				}
			}
		}
	}
	for c := range byte(utf8.RuneSelf) {
		a.class[c] = a.class[fold(c)]
	}
}

func (a *automaton) addState() uint32 {
	state := uint32(len(a.next))
	a.next = append(a.next, make([]uint32, a.width)...)
	a.patterns = append(a.patterns, nil)
	return state
}

// insert adds the states that a literal passes through.
func (a *automaton) insert(literal string, pattern int32) {
	state := uint32(0)
	for _, c := range []byte(literal) {
		to := state + uint32(a.class[c])
		if a.next[to] == 0 {
			a.next[to] = a.addState()
		}
		state = a.next[to]
	}
	row := int(state) / a.width
	if !slices.Contains(a.patterns[row], pattern) {
		a.patterns[row] = append(a.patterns[row], pattern)
	}
}

// link fills in where to go on when a literal does not: to the longest end of
// what was read that is the beginning of a literal, too.
func (a *automaton) link() {
	width := uint32(a.width)
	fail := make([]uint32, len(a.patterns)) // by row
	var queue []uint32
	for c := range width {
		if to := a.next[c]; to != 0 {
			queue = append(queue, to)
		}
	}
	for i := 0; i < len(queue); i++ {
		state := queue[i]
		back := fail[state/width]
		for _, p := range a.patterns[back/width] {
			if !slices.Contains(a.patterns[state/width], p) {
				a.patterns[state/width] = append(a.patterns[state/width], p)
			}
		}
		for c := range width {
			if to := a.next[state+c]; to != 0 {
				fail[to/width] = a.next[back+c]
				queue = append(queue, to)
			} else {
				a.next[state+c] = a.next[back+c]
			}
		}
	}
	for i, to := range a.next {
		if a.patterns[to/width] != nil {
			a.next[i] = to | accepting
		}
	}
}

// scan notes in f where in a text the literals of each pattern end.
func (a *automaton) scan(text string, f *found) {
	state := uint32(0)
	for i := range len(text) {
		state = a.next[state+uint32(a.class[text[i]])]
		if state&accepting != 0 {
			state &^= accepting
			for _, p := range a.patterns[state/uint32(a.width)] {
				f.add(p, i+1)
			}
		}
	}
}

// found is where literals ended in a text, as a chain for each pattern.
type found struct {
	first, last []int32 // by pattern: into places, plus 1; 0 is none
	places      []place
	anywhere    []bool // by pattern: there are more places than were kept
	kept        int32  // lists beyond have no places: that they are there is enough
}

type place struct {
	end  int32
	next int32 // into places, plus 1
}

// reset prepares f for a text and so many lists of literals, of which the first
// are those of patterns.
func (f *found) reset(patterns, lists int) {
	f.first = append(f.first[:0], make([]int32, lists)...)
	f.last = append(f.last[:0], make([]int32, patterns)...)
	f.anywhere = append(f.anywhere[:0], make([]bool, lists)...)
	f.places, f.kept = f.places[:0], int32(patterns)
}

// has reports whether a literal of a list is there.
func (f *found) has(list int) bool { return f.first[list] != 0 || f.anywhere[list] }

func (f *found) add(pattern int32, end int) {
	if pattern >= f.kept {
		f.anywhere[pattern] = true
		return
	}
	if len(f.places) >= maxPlaces {
		f.anywhere[pattern] = true
		return
	}
	f.places = append(f.places, place{end: int32(end)})
	n := int32(len(f.places))
	if last := f.last[pattern]; last == 0 {
		f.first[pattern] = n
	} else {
		f.places[last-1].next = n
	}
	f.last[pattern] = n
}

// unfolded says whether a text has characters that folding would change beyond
// those in ASCII, which the automaton takes care of.
func unfolded(text string) bool {
	return strings.Contains(text, longS) || strings.Contains(text, kelvin)
}
