package match

import (
	"math/bits"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// Expressions without literals are often told by their beginning: a match of
// "\b[A-Z]{3,} \d" begins with three capitals, and three in a row are rare. So for an
// expression without needles the bytes are looked up with which a match can begin, and
// it is tried only where they stand.

const (
	// maxLead is how many bytes of a beginning are looked at.
	maxLead = 8
	// maxCommon is how often, of all places in a text, a beginning may be expected
	// for a search for it to pay.
	maxCommon = 1.0 / 50
)

// lead is with what each match of an expression begins: for every byte, a bit for each of
// the first places at which it can stand.
type lead struct {
	places [256]uint8
	size   int            // of those places
	share  float64        // of all places in a text, roughly, that begin so
	needs  syntax.EmptyOp // what has to be before them: the begin of the text, \b
}

// maxAlternatives is how many leads an expression can have.
const maxAlternatives = 3

// leadsOf returns the leads with one of which each match of an expression in simple form
// begins, none if that is no good. Of \b(?:bc1|[13])[1-9a-z]{7} these are two: with one
// for all of it, "business" would be such a beginning.
func leadsOf(re *syntax.Regexp) (list []lead) {
	whole := leadOf(re)
	if whole.size == 0 {
		return nil
	}
	share := 0.0
	for _, one := range alternatives(re) {
		l := leadOf(one)
		list, share = append(list, l), share+l.share
	}
	if slices.ContainsFunc(list, func(l lead) bool { return l.size == 0 }) || share > whole.share/2 {
		return []lead{whole}
	}
	return list
}

// alternatives returns what an expression may begin with, each with what follows it; the
// expression itself if that is one thing, or too many.
func alternatives(re *syntax.Regexp) (list []*syntax.Regexp) {
	switch re.Op {
	case syntax.OpCapture:
		return alternatives(re.Sub[0])
	case syntax.OpAlternate:
		list = re.Sub
	case syntax.OpConcat:
		first := slices.IndexFunc(re.Sub, func(sub *syntax.Regexp) bool { return sub.Op != syntax.OpWordBoundary && sub.Op != syntax.OpBeginText })
		if first < 0 {
			break
		}
		for _, one := range alternatives(re.Sub[first]) {
			list = append(list, &syntax.Regexp{Op: syntax.OpConcat, Flags: re.Flags, Sub: slices.Concat(re.Sub[:first], []*syntax.Regexp{one}, re.Sub[first+1:])})
		}
	}
	if len(list) == 0 || len(list) > maxAlternatives {
		return []*syntax.Regexp{re}
	}
	return list
}

// leadOf returns the lead of an expression in simple form; it is no good if its size is
// 0. It follows the program of package regexp/syntax through all it may do with the
// first bytes. It is for texts without the two characters whose other case is ASCII.
func leadOf(re *syntax.Regexp) (l lead) {
	program, err := syntax.Compile(re)
	if err != nil {
		return lead{}
	}
	l.share = 1
	at := reached(program, []uint32{uint32(program.Start)})
	for l.size < maxLead {
		var next []uint32
		share, whole := 0.0, true
		for _, pc := range at {
			inst := &program.Inst[pc]
			if inst.Op == syntax.InstMatch {
				at = nil // what follows is not part of every match
				break
			}
			next = append(next, inst.Out)
			whole = whole && !beyondASCII(inst)
		}
		if at == nil {
			break
		}
		for c := range l.places {
			for _, pc := range at {
				if inst := &program.Inst[pc]; c < utf8.RuneSelf && matches(inst, rune(c)) || c >= utf8.RuneSelf && beyondASCII(inst) {
					l.places[c] |= 1 << l.size
					share += frequency[c]
					break
				}
			}
		}
		l.size++
		l.share *= share
		if !whole {
			break // a character of several bytes: the next place is not that of the next one
		}
		at = reached(program, next)
	}
	l.needs = needsBefore(re)
	if l.share > maxCommon && l.needs&syntax.EmptyBeginText == 0 {
		return lead{}
	}
	return l
}

// opens says whether a text begins with it.
func (l *lead) opens(text string) bool {
	if len(text) < l.size {
		return false
	}
	for i := range l.size {
		if l.places[text[i]]>>i&1 == 0 {
			return false
		}
	}
	return true
}

// reached returns the instructions that look at a character, or end a match, which can
// be the next ones.
func reached(program *syntax.Prog, from []uint32) (to []uint32) {
	seen := make([]bool, len(program.Inst))
	for len(from) > 0 {
		pc := from[len(from)-1]
		from = from[:len(from)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		switch inst := &program.Inst[pc]; inst.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			from = append(from, inst.Out, inst.Arg)
		case syntax.InstCapture, syntax.InstNop, syntax.InstEmptyWidth:
			from = append(from, inst.Out)
		case syntax.InstFail:
		default:
			to = append(to, pc)
		}
	}
	return to
}

// matches says whether an instruction takes a character.
func matches(inst *syntax.Inst, r rune) bool {
	switch inst.Op {
	case syntax.InstRuneAny:
		return true
	case syntax.InstRuneAnyNotNL:
		return r != '\n'
	}
	return inst.MatchRune(r)
}

// beyondASCII says whether an instruction takes characters beyond ASCII, apart from the
// other cases of k and s.
func beyondASCII(inst *syntax.Inst) bool {
	if inst.Op == syntax.InstRuneAny || inst.Op == syntax.InstRuneAnyNotNL {
		return true
	}
	if len(inst.Rune) == 1 {
		return inst.Rune[0] >= utf8.RuneSelf
	}
	for i := 0; i+1 < len(inst.Rune); i += 2 {
		lo, hi := inst.Rune[i], inst.Rune[i+1]
		if hi >= utf8.RuneSelf && !(lo == hi && (lo == '\u017f' || lo == '\u212a')) {
			return true
		}
	}
	return false
}

// needsBefore returns what has to be before each match, of the begin of the text and of
// a word boundary.
func needsBefore(re *syntax.Regexp) syntax.EmptyOp {
	switch re.Op {
	case syntax.OpBeginText:
		return syntax.EmptyBeginText
	case syntax.OpWordBoundary:
		return syntax.EmptyWordBoundary
	case syntax.OpConcat, syntax.OpCapture:
		if len(re.Sub) > 0 {
			return needsBefore(re.Sub[0])
		}
	}
	return 0
}

// leads looks for the leads of up to eight expressions in one pass.
type leads struct {
	places [256]uint64 // of each lead a byte
	last   uint64      // the bits of the last places
	needs  []syntax.EmptyOp
	first  int32    // the number of the first lead among the needles
	sought []sought // the leads as needles
}

// add adds a lead, if there is room.
func (l *leads) add(one *lead, s sought) bool {
	n := len(l.sought)
	if n == 8 {
		return false
	}
	for c, places := range one.places {
		l.places[c] |= uint64(places) << (8 * n)
	}
	l.last |= 1 << (8*n + one.size - 1)
	l.needs = append(l.needs, one.needs)
	l.sought = append(l.sought, s)
	return true
}

// scan notes in f where in a text matches may begin.
func (l *leads) scan(text string, f *found) {
	const begin = 0x0101010101010101 // the first place of each lead
	at := uint64(0)
	for i := range len(text) {
		at = (at<<1 | begin) & l.places[text[i]]
		for ends := at & l.last; ends != 0; ends &= ends - 1 {
			n := bits.TrailingZeros64(ends) / 8
			s := &l.sought[n]
			from := i + 1 - int(s.size)
			if needs := l.needs[n]; needs&syntax.EmptyBeginText != 0 && from > 0 || needs&syntax.EmptyWordBoundary != 0 && !boundary(text, from) {
				continue
			}
			f.add(l.first+int32(n), s.list, i+1)
		}
	}
}

// boundary says whether a word begins or ends at a place before the end of a text.
func boundary(text string, at int) bool {
	return isWord[text[at]] != (at > 0 && isWord[text[at-1]])
}
