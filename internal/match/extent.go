package match

import (
	"math/bits"
	"regexp/syntax"
	"unicode/utf8"
)

// An extent is the most that something can be long in any text: so many bytes, or
// characters where those are fewer, and so many runs. How many bytes characters have,
// and how long a run is, depends on the text at hand.
//
// Most texts are ASCII, or nearly so: there, .{0,80} is 80 bytes and not 320.
//
// A run is what a repeat without an end, such as \w+ or \s*, can match at most: an
// unbroken row of characters of words, or one of white space. In most texts that is
// a few dozen bytes, where the expression alone would say "anything".
type extent struct {
	bytes int // unbounded: no bound
	chars int // not more than bytes
	runs  int
}

// ofCharacter is the extent of one character of so many bytes.
func ofCharacter(bytes int) extent { return extent{bytes: bytes, chars: 1} }

// ofBytes is the extent of so many bytes, whatever they are.
func ofBytes(bytes int) extent { return extent{bytes: bytes, chars: bytes} }

// measures are what the length of an extent depends on in a text.
type measures struct {
	run  int // bytes of the longest run
	wide int // bytes in all that are not the first of a character
}

const unbounded = 1 << 30

// plus is the extent of two things that follow each other.
func (e extent) plus(other extent) extent {
	return extent{min(e.bytes+other.bytes, unbounded), min(e.chars+other.chars, unbounded), min(e.runs+other.runs, unbounded)}
}

// or is the extent of one thing or the other.
func (e extent) or(other extent) extent {
	return extent{max(e.bytes, other.bytes), max(e.chars, other.chars), max(e.runs, other.runs)}
}

// in returns the bytes in a text with such measures.
func (e extent) in(m measures) int {
	if e.bytes >= unbounded || e.runs > 0 && m.run >= unbounded/e.runs {
		return unbounded
	}
	return min(e.bytes, e.chars+m.wide) + e.runs*m.run
}

// reach returns the bytes in any text.
func (e extent) reach() int { return e.in(measures{unbounded, unbounded}) }

// repeated is the extent of an expression that is repeated without end: a run, if
// all characters of it are of one kind.
func repeated(re *syntax.Regexp) extent {
	if k := kindsIn(re); k == inRun || k == spaces {
		return extent{runs: 1}
	} else if k == 0 {
		return extent{}
	}
	return ofBytes(unbounded)
}

// kind is what a byte can be a part of. Several are a set.
type kind uint8

const (
	spaces kind = 1 << iota // of a run of white space
	inRun                   // of a run of characters of words
	apart                   // of none
)

// kindOf is the kind of each byte: the characters of words are those that expressions for
// names, amounts and addresses have in their classes, and all beyond ASCII.
var kindOf = func() (table [256]kind) {
	for c := range table {
		table[c] = apart
		if isWord[c] || c >= 0x80 {
			table[c] = inRun
		}
	}
	for _, c := range []byte(".,-+@$'") {
		table[c] = inRun
	}
	for _, c := range []byte(" \t\n\v\f\r") {
		table[c] = spaces
	}
	return table
}()

// isWord says which bytes are characters of words as \b and \w see it.
var isWord = func() (table [256]bool) {
	for c := range table {
		table[c] = 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80 || '0' <= c && c <= '9' || c == '_'
	}
	return table
}()

// kindsIn returns the kinds of all characters that an expression in simple form can match.
func kindsIn(re *syntax.Regexp) (kinds kind) {
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return apart
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			kinds |= kindOf[min(r, 0x80)] // the other case of a letter is a letter
		}
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= min(re.Rune[i+1], 0x80); r++ {
				kinds |= kindOf[r]
			}
			if re.Rune[i+1] >= 0x80 {
				kinds |= inRun
			}
		}
	}
	for _, sub := range re.Sub {
		kinds |= kindsIn(sub)
	}
	return kinds
}

// wide returns how many bytes of a text are not the first of a character.
func wide(text string) (n int) {
	const high = 0x80808080_80808080
	for ; len(text) >= 8; text = text[8:] {
		eight := uint64(text[0]) | uint64(text[1])<<8 | uint64(text[2])<<16 | uint64(text[3])<<24 |
			uint64(text[4])<<32 | uint64(text[5])<<40 | uint64(text[6])<<48 | uint64(text[7])<<56
		n += bits.OnesCount64(eight &^ (eight << 1) & high) // 0b10...... is one of them
	}
	for i := range len(text) {
		if !utf8.RuneStart(text[i]) {
			n++
		}
	}
	return n
}

// longestRun returns the bytes of the longest run in a text. There is a new run at
// every other word, so the loop has no branches to be guessed wrong.
func longestRun(text string) int {
	longest, n, last := 0, 0, apart
	for i := range len(text) {
		k := kindOf[text[i]]
		n++
		if k != last {
			n = 1
		}
		if k == apart {
			n = 0
		}
		longest = max(longest, n)
		last = k
	}
	return longest
}
