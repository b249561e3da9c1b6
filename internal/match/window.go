package match

import (
	"regexp/syntax"
	"unicode"
	"unicode/utf8"
)

// An expression whose matches are of bounded length need not be tried on a whole
// text: only around each place where one of its literals stands. Most texts that
// pass the literals are passed over in this way, too, and cost a hundredth.

const (
	// maxReach is up to which length of a match this pays.
	maxReach = 1000
	// margin is left around a window, so that a match in it does not touch its
	// edges: there, the expression would see the end of the text where there is
	// none, or a character cut in two.
	margin = utf8.UTFMax
)

// reach returns the most bytes that a match of an expression in simple form can
// have, or more than maxReach when it is more than that.
func reach(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpNoMatch, syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return 0
	case syntax.OpLiteral:
		n := 0
		for _, r := range re.Rune {
			n += size(r)
			if re.Flags&syntax.FoldCase != 0 {
				longest := 0
				for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
					longest = max(longest, size(other)-size(r))
				}
				n += longest
			}
		}
		return n
	case syntax.OpCharClass:
		if len(re.Rune) == 0 {
			return 0
		}
		return size(re.Rune[len(re.Rune)-1])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return utf8.UTFMax
	case syntax.OpCapture, syntax.OpQuest:
		return reach(re.Sub[0])
	case syntax.OpConcat:
		n := 0
		for _, sub := range re.Sub {
			if n += reach(sub); n > maxReach {
				break
			}
		}
		return n
	case syntax.OpAlternate:
		n := 0
		for _, sub := range re.Sub {
			n = max(n, reach(sub))
		}
		return n
	}
	return maxReach + 1 // a star, a plus
}

// size returns the bytes of a character. The replacement character also stands
// for a byte that is no UTF-8, which is shorter.
func size(r rune) int { return max(1, utf8.RuneLen(r)) }

// maxWindow bounds a window, in bytes, where literals stand close together; and
// the piece of a text that is searched before the clock is looked at.
const maxWindow = 16 << 10

// clock says whether the time for a search is up.
type clock func() bool

// near returns the leftmost match in text, as regexp does, or nil. Literals of
// the pattern end at the places of f, beginning with the one numbered n, and
// nowhere else. slow says that it gave up.
func (p *pattern) near(text string, f *found, n int32, up clock) (loc []int, slow bool) {
	for n != 0 {
		end := int(f.places[n-1].end)
		from := wholeRune(text, max(0, end-p.reach-margin))
		to := end + p.reach + margin
		for n = f.places[n-1].next; n != 0 && int(f.places[n-1].end) <= to && to-from < maxWindow; n = f.places[n-1].next {
			to = int(f.places[n-1].end) + p.reach + margin
		}
		if loc := p.leftmost(text, from, to); loc != nil {
			return loc, false
		}
		if n != 0 && up() {
			return nil, true
		}
	}
	return nil, false
}

// along returns the leftmost match in a text of which nothing is known, or nil. It
// goes piece by piece, so that it can give up.
func (p *pattern) along(text string, up clock) (loc []int, slow bool) {
	if len(text) <= 2*maxWindow {
		return p.linear.index(text), false
	}
	for from := 0; from < len(text); from += maxWindow {
		if from > 0 && up() {
			return nil, true
		}
		if loc := p.leftmost(text, wholeRune(text, max(0, from-margin)), from+maxWindow+p.reach+margin); loc != nil {
			return loc, false
		}
	}
	return nil, false
}

// leftmost returns the leftmost match in text if it begins in text[from:to]. It
// may reach beyond; nothing matches before.
func (p *pattern) leftmost(text string, from, to int) []int {
	loc, sure := p.within(text, from, min(to, len(text)))
	if loc == nil {
		return nil
	}
	if sure && loc[0]+p.reach+margin > to {
		// Further to the right there may be more of this match, or of one
		// that begins before it.
		loc, sure = p.within(text, from, min(loc[0]+p.reach+margin, len(text)))
	}
	if !sure {
		return p.linear.index(text)
	}
	return loc
}

// within searches text[from:to]. It is not sure of a match at the edges.
func (p *pattern) within(text string, from, to int) (loc []int, sure bool) {
	loc = p.linear.index(text[from:to])
	if loc == nil {
		return nil, true
	}
	loc[0] += from
	loc[1] += from
	return loc, (from == 0 || loc[0] > from) && (to == len(text) || loc[1] <= to-margin)
}

// wholeRune returns i, or where the character begins that i is inside of.
func wholeRune(text string, i int) int {
	for back := range min(utf8.UTFMax, i+1) {
		if utf8.RuneStart(text[i-back]) {
			return i - back
		}
	}
	return i
}
