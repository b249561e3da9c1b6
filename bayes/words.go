package bayes

import (
	"iter"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"
)

// words yields from where to where in a text there is what looks like a word: letters and
// digits with the marks that stand inside them (don't, 12.5, joe@example.org), runs of
// marks that shout (!!!, $$$), and pairs of neighbours in scripts that put no blanks
// between words.
func words(s string) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		for i := 0; i < len(s); {
			kind, size := characters[s[i]].kind, 1
			if s[i] >= utf8.RuneSelf {
				kind, size = kindAt(s, i)
			}
			end := i + size
			switch kind {
			case letter:
				end = wordEnd(s, end)
				if !yield(i, end) {
					return
				}
			case shout:
				for end < len(s) && s[end] == s[i] {
					end++
				}
				if !yield(i, min(end, i+4)) {
					return
				}
			case dense:
				next, more := kindAt(s, end)
				if next == dense {
					if !yield(i, end+more) {
						return
					}
				} else if before := lastKind(s, i); before != dense && !yield(i, end) {
					return
				}
			}
			i = end
		}
	}
}

// wordEnd returns where the word ends that s[:i] is in the middle of.
func wordEnd(s string, i int) int {
	for i < len(s) {
		n := bits.TrailingZeros64(^plain(eight(s, i))&tops) / 8
		if i += n; n == 8 || i == len(s) {
			continue
		}
		next := i
		if s[i] < utf8.RuneSelf {
			if !characters[s[i]].inside {
				break
			}
			next++
		}
		kind, size := kindAt(s, next)
		if kind != letter {
			break
		}
		i = next + size
	}
	return i
}

// kind is what a character means to words.
type kind uint8

const (
	other  kind = iota
	letter      // or digit, or mark on a letter
	shout
	dense // of a script without blanks
)

// characters is what there is to know of those in ASCII. It is a table because there is
// one to be looked up for each byte of a message.
var characters = func() (table [256]struct {
	kind         kind
	inside       bool // stands in words, between two letters
	upper, lower uint8
	folded       byte
}) {
	for c := range table {
		t := &table[c]
		t.folded = byte(c)
		switch {
		case 'a' <= c && c <= 'z':
			t.kind, t.lower = letter, 1
		case 'A' <= c && c <= 'Z':
			t.kind, t.upper, t.folded = letter, 1, byte(c-'A'+'a')
		case '0' <= c && c <= '9':
			t.kind = letter
		case strings.IndexByte("!$*?%#", byte(c)) >= 0:
			t.kind = shout
		}
		t.inside = strings.IndexByte("'-.,:@_+%$*", byte(c)) >= 0
	}
	return table
}()

func kindAt(s string, i int) (kind, int) {
	if i >= len(s) {
		return other, 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		return characters[c].kind, 1
	}
	r, size := utf8.DecodeRuneInString(s[i:])
	return kindOf(r), size
}

func lastKind(s string, i int) kind {
	r, _ := utf8.DecodeLastRuneInString(s[:i])
	return kindOf(r)
}

func kindOf(r rune) kind {
	switch {
	case r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar):
		return dense
	case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
		return letter
	}
	return other
}

// A word longer than longest bytes is known by its first half.
const longest = 24

// appendFolded appends a word as it is hashed: in lower case, and short. loud says
// that it is written in capitals.
func appendFolded(dst []byte, w string) (folded []byte, loud bool) {
	start, upper, lower, all := len(dst), 0, 0, byte(0)
	for i := range min(len(w), longest+1) { // the rest is cut below
		c := &characters[w[i]]
		upper += int(c.upper)
		lower += int(c.lower)
		all |= c.folded
		dst = append(dst, c.folded)
	}
	if all >= utf8.RuneSelf {
		low := strings.ToLower(strings.ToValidUTF8(w, "\ufffd"))
		loud = len(low) > 2 && low != w && strings.ToUpper(w) == w
		dst = append(dst[:start], low...)
	} else {
		loud = upper > 0 && lower == 0 && len(w) > 2
	}
	if len(dst)-start > longest {
		n := 0
		for i := range string(dst[start:]) {
			if n++; n > longest/2 {
				dst = append(dst[:start+i], '~')
				break
			}
		}
	}
	return dst, loud
}
