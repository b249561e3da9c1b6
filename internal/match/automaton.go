package match

import "unicode/utf8"

const (
	// maxCells bounds the table of a set, at four bytes a cell. The 1,577 stock
	// rules of SpamAssassin take a tenth of it.
	maxCells = 1 << 24
	// maxNeedle is how much of a literal is looked for. More is hardly rarer.
	maxNeedle = 12
	// longestNeedle is that with the rest of its last character.
	longestNeedle = maxNeedle + utf8.UTFMax - 1
)

// automaton finds all needles of a set in one pass over a text: the machine of
// Aho and Corasick, as a table. It reads a text as if it were folded.
type automaton struct {
	class [256]uint8 // of a byte: bytes that are in no literal are all alike
	width int        // of a row
	// next holds for a state, which is the place where its row begins, and a
	// class the following state, with the bit accepting if literals end there.
	// What ends there is what the first cell of its row says, the place of the
	// first one in ends.
	next    []uint32
	ends    []ending
	needles []sought
	first   int32 // the number in the set of the first of them
}

const (
	accepting = 1 << 31
	endsCell  = 0 // of a row
	// otherBytes is the class of bytes that are in no literal.
	otherBytes = 1
)

// sought is a needle that is looked for.
type sought struct {
	spot
	before, after extent
}

// spot is what there is to know of a needle where it ends.
type spot struct {
	list                 int32 // the number of the list it is in
	size                 int32 // bytes of the literal
	beginsWord, endsWord bool
}

// ending is a needle that ends in a state. It has all that the search looks at, since each
// look at another place of memory takes time.
type ending struct {
	spot
	more   bool // the one behind it ends there, too
	needle int32
}

// newAutomaton builds the machine for lists of needles, of so many cells at most.
// full are the lists, by number, that did not fit into it.
func newAutomaton(lists [][]needle, cells int) (a *automaton, full []int) {
	a = new(automaton)
	short := make([][]needle, len(lists))
	for i, list := range lists {
		for _, n := range list {
			short[i] = append(short[i], n.beginning(maxNeedle))
		}
	}
	a.classify(short)
	a.next = make([]uint32, a.width)
	ends := [][]int32{nil} // by row
	for i, list := range short {
		room := 0
		for _, n := range list {
			room += len(n.text)
		}
		if room > 0 && len(a.next)+room*a.width > cells {
			full = append(full, i)
			continue
		}
		for _, n := range list {
			ends = a.insert(n, int32(i), ends)
		}
	}
	a.order(a.link(ends), ends)
	return a, full
}

// classify gives each byte that is in a literal a class of its own. Those of common
// letters come first: what is used of a row should lie close together.
func (a *automaton) classify(lists [][]needle) {
	var used [256]bool
	for _, list := range lists {
		for _, n := range list {
			for _, c := range []byte(n.bare()) {
				used[c] = true
			}
		}
	}
	a.width = otherBytes + 1
	for c := range a.class {
		a.class[c] = otherBytes
	}
	add := func(c byte) {
		if used[c] && a.class[c] == otherBytes {
			a.class[c] = uint8(a.width) // folding leaves 225 different bytes
			a.width++
		}
	}
	for _, c := range []byte(" etaoinsrhldcumfpgwyb") {
		add(c)
	}
	for c := range 256 {
		add(byte(c))
	}
	for c := range byte(utf8.RuneSelf) {
		a.class[c] = a.class[fold(c)]
	}
}

// insert adds a needle and the states that it passes through. ends are, by row, the
// needles that end there.
func (a *automaton) insert(n needle, list int32, ends [][]int32) [][]int32 {
	state := uint32(0)
	literal := n.bare()
	for _, c := range []byte(literal) {
		to := state + uint32(a.class[c])
		if a.next[to] == 0 {
			next := uint32(len(a.next))
			a.next = append(a.next, make([]uint32, a.width)...)
			a.next[to], ends = next, append(ends, nil)
		}
		state = a.next[to]
	}
	row := int(state) / a.width
	ends[row] = append(ends[row], int32(len(a.needles)))
	a.needles = append(a.needles, sought{spot{list, int32(len(literal)), n.beginsWord(), n.endsWord()}, n.before, n.after})
	return ends
}

// link fills in where to go on when a literal does not: to the longest end of
// what was read that is the beginning of a literal, too. It returns the states, those
// of short beginnings first.
func (a *automaton) link(ends [][]int32) (states []uint32) {
	width := uint32(a.width)
	fail := make([]uint32, len(ends)) // by row
	states = append(states, 0)
	for i := 0; i < len(states); i++ {
		state := states[i]
		back := fail[state/width]
		if i > 0 {
			ends[state/width] = append(ends[state/width], ends[back/width]...)
		}
		for c := uint32(otherBytes); c < width; c++ {
			if to := a.next[state+c]; to != 0 {
				states = append(states, to)
				if i > 0 {
					fail[to/width] = a.next[back+c]
				}
			} else {
				a.next[state+c] = a.next[back+c]
			}
		}
	}
	return states
}

// order makes the table as it is searched, with its rows in the order of states. Those of
// short beginnings, in which a search is most of the time, are close together then.
func (a *automaton) order(states []uint32, ends [][]int32) {
	width := uint32(a.width)
	moved := make([]uint32, len(states)) // by row
	for i, state := range states {
		moved[state/width] = uint32(i) * width
		if len(ends[state/width]) > 0 {
			moved[state/width] |= accepting
		}
	}
	table := make([]uint32, 0, len(a.next))
	for _, state := range states {
		table = append(table, uint32(len(a.ends)))
		for _, to := range a.next[state+otherBytes : state+width] {
			table = append(table, moved[to/width])
		}
		needles := ends[state/width]
		for i, n := range needles {
			a.ends = append(a.ends, ending{a.needles[n].spot, i+1 < len(needles), n})
		}
	}
	a.next = table
}

// scan notes in f where in a text the needles end. exact says that the text was not
// folded before, so that characters of words are what they were.
//
// A step needs the state that the last one led to, and has to wait for it. So a long
// text is read at two places at once, at its beginning and from its middle on.
func (a *automaton) scan(text string, exact bool, f *found) {
	const long = 256
	half := 0
	if len(text) >= long {
		half = len(text) / 2
	}
	one, two := text[:half], text[half:2*half]
	next, class := a.next, &a.class
	first, second := uint32(0), a.before(text, half)
	for i := range half {
		first = next[first+uint32(class[one[i]])]
		second = next[second+uint32(class[two[i]])]
		if first >= accepting {
			first -= accepting
			a.note(first, text, i+1, exact, f)
		}
		if second >= accepting {
			second -= accepting
			a.note(second, text, half+i+1, exact, f)
		}
	}
	for i := 2 * half; i < len(text); i++ { // all of a short text, the last byte of an odd number
		if second = next[second+uint32(class[text[i]])]; second >= accepting {
			second -= accepting
			a.note(second, text, i+1, exact, f)
		}
	}
}

// before returns the state in which a place in a text is reached.
func (a *automaton) before(text string, at int) (state uint32) {
	for _, c := range []byte(text[max(0, at-longestNeedle):at]) {
		state = a.next[state+uint32(a.class[c])] &^ accepting
	}
	return state
}

// note adds to f the needles of a state that was reached at end.
func (a *automaton) note(state uint32, text string, end int, exact bool, f *found) {
	for at := a.next[state+endsCell]; ; at++ {
		e := &a.ends[at]
		if !exact || e.fits(text, end) {
			f.add(a.first+e.needle, e.list, end)
		}
		if !e.more {
			return
		}
	}
}

// fits says whether words begin and end where they have to around a literal that
// ends at end.
func (s *spot) fits(text string, end int) bool {
	if from := end - int(s.size); s.beginsWord && from > 0 && isWord[text[from-1]] {
		return false
	}
	return !s.endsWord || end == len(text) || !isWord[text[end]]
}
