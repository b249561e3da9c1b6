package match

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the search for literals.
const (
	minLiteral  = 3  // in weight: lighter ones are in every text
	maxLiterals = 64 // of one pattern: more take longer to search for than they save
	maxLiteral  = 32 // bytes: what is longer says no more
)

// Cost says what an expression takes to search for.
type Cost struct {
	// Literals are texts of which every match contains one, once it is folded:
	// letters to lower case, white space to blanks. Where there are none the
	// expression is Costly: it has to be tried on all of every text.
	Literals []string
	Costly   bool
}

// Analyse says what an expression takes to search for. For one that needs
// backtracking that is what its gate takes. An expression that does not compile is
// an error.
func Analyse(expr string) (Cost, error) {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		_, gate, relaxed := newBacktracking(expr)
		if relaxed != nil {
			return Cost{}, fmt.Errorf("match: %w", err)
		}
		parsed = gate
	}
	parsed = parsed.Simplify()
	all := literalsOf(parsed)
	var found []string
	for _, n := range all.best() {
		if l := n.bare(); !slices.Contains(found, l) {
			found = append(found, l)
		}
	}
	return Cost{Literals: found, Costly: len(found) == 0 && !(anchored(parsed) && all.size.reach() <= maxReach)}, nil
}

// literals is what is known of the texts that an expression matches, folded.
type literals struct {
	// exact are all of them, with marks, or nil when they are too many to tell.
	exact []string
	// need are literals of which each match contains one; nil when nothing is known.
	need []needle
	// also are other literals of which each match contains one, beside one of need.
	also []needle
	// begin are texts with one of which each match begins, nil when that is not known.
	begin []string
	// size is how long the texts are.
	size extent
}

// best returns the list that is better to search for, nil when none is good.
func (l literals) best() []needle {
	exact := needles(l.exact)
	if better(exact, l.need) {
		return exact
	}
	if better(l.need, nil) {
		return l.need
	}
	return nil
}

// second returns another list of which every match contains one, beside one of
// best: nil when none is good.
func (l literals) second() []needle {
	if worth(l.also) == 0 || better(needles(l.exact), l.need) {
		return nil
	}
	return l.also
}

// literalsOf looks through an expression in simple form: no counted repeats.
func literalsOf(re *syntax.Regexp) literals {
	switch re.Op {
	case syntax.OpWordBoundary:
		return literals{exact: []string{mark}}
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpNoWordBoundary:
		return literals{exact: []string{""}}
	case syntax.OpLiteral:
		list := make([]literals, 0, len(re.Rune))
		for _, r := range re.Rune {
			list = append(list, ofRune(r, re.Flags&syntax.FoldCase != 0))
		}
		return concat(list)
	case syntax.OpCharClass:
		return ofClass(re.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return literals{size: ofCharacter(utf8.UTFMax)}
	case syntax.OpCapture:
		return literalsOf(re.Sub[0])
	case syntax.OpStar:
		return literals{size: repeated(re.Sub[0])}
	case syntax.OpPlus:
		sub, size := literalsOf(re.Sub[0]), repeated(re.Sub[0])
		return literals{need: shift(sub.best(), size, size), also: shift(sub.second(), size, size), begin: sub.exact, size: size}
	case syntax.OpQuest:
		sub := literalsOf(re.Sub[0])
		if sub.exact == nil {
			return literals{size: sub.size}
		}
		return literals{exact: union(sub.exact, []string{""}), size: sub.size}
	case syntax.OpConcat:
		list := make([]literals, 0, len(re.Sub))
		for _, sub := range re.Sub {
			list = append(list, literalsOf(sub))
		}
		return concat(list)
	case syntax.OpAlternate:
		return alternate(re.Sub)
	}
	return literals{} // matches nothing at all
}

// ofRune is what one character of an expression matches.
func ofRune(r rune, fold bool) literals {
	exact, size := []string{folded(r)}, runeSize(r)
	if fold {
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			exact, size = union(exact, []string{folded(other)}), max(size, runeSize(other))
		}
	}
	if r == utf8.RuneError { // matches a byte that is no UTF-8, too
		exact = nil
	}
	return literals{exact: exact, size: ofCharacter(size)}
}

// ofClass is what a class of characters matches, if they are few.
func ofClass(ranges []rune) literals {
	const few = 4 // once they are folded: a letter in both cases is one
	if len(ranges) == 0 {
		return literals{}
	}
	var exact []string
	size := ofCharacter(runeSize(ranges[len(ranges)-1]))
	count := 0
	for i := 0; i+1 < len(ranges); i += 2 {
		lo, hi := ranges[i], ranges[i+1]
		if count += int(hi-lo) + 1; count > 4*few || lo <= utf8.RuneError && utf8.RuneError <= hi {
			return literals{size: size}
		}
		for r := lo; r <= hi; r++ {
			exact = union(exact, []string{folded(r)})
		}
		if len(exact) > few {
			return literals{size: size}
		}
	}
	return literals{exact: exact, size: size}
}

// concat is one thing after another: what is exact grows into longer literals.
func concat(list []literals) literals {
	// behind is how long a match is from the beginning of a piece on.
	behind := make([]extent, len(list)+1)
	for i, l := range slices.Backward(list) {
		behind[i] = behind[i+1].plus(l.size)
	}
	exact, whole := []string{""}, true
	var need, also []needle
	keep := func(l literals, before, after extent) {
		for _, found := range [][]needle{shift(l.best(), before, after), shift(l.second(), before, after)} {
			switch {
			case better(found, need):
				need, also = found, need
			case better(found, also):
				also = found
			}
		}
	}
	var before, start extent // what is before this piece, and before what is exact
	for i, l := range list {
		if l.exact != nil && len(exact)*len(l.exact) <= maxLiterals && longest(exact) <= maxLiteral {
			exact = cross(exact, l.exact)
			before = before.plus(l.size)
			continue
		}
		whole = false
		if l.begin != nil && len(exact)*len(l.begin) <= maxLiterals && longest(exact) <= maxLiteral {
			exact = cross(exact, l.begin)
		}
		keep(literals{exact: exact}, start, behind[i])
		keep(l, before, behind[i+1])
		start, before = before, before.plus(l.size)
		if exact = l.exact; exact == nil {
			exact, start = []string{""}, before
		}
	}
	if whole {
		return literals{exact: exact, size: before}
	}
	keep(literals{exact: exact}, start, extent{})
	return literals{need: need, also: also, size: before}
}

// alternate is one thing or another: each must have literals.
func alternate(subs []*syntax.Regexp) literals {
	var all literals
	exact, need, two := true, true, false
	for _, sub := range subs {
		l := literalsOf(sub)
		all.size = all.size.or(l.size)
		if exact = exact && l.exact != nil; exact {
			all.exact = union(all.exact, l.exact)
		}
		found := l.best()
		if need = need && found != nil; need {
			all.need = append(all.need, found...)
			if other := l.second(); other != nil {
				all.also, two = append(all.also, other...), true
			} else { // one that has no second: its first will do
				all.also = append(all.also, found...)
			}
		}
	}
	if all.also = reduce(all.also); !two || !need || len(all.also) > maxLiterals {
		all.also = nil
	}
	if !exact || len(all.exact) > maxLiterals {
		all.exact = nil
	}
	if !need {
		all.need = nil
	}
	all.need = reduce(all.need)
	// Too many? Their beginnings may be fewer.
	for n := maxNeedle; len(all.need) > maxLiterals && n >= minLiteral; n /= 2 {
		short := make([]needle, len(all.need))
		for i, l := range all.need {
			short[i] = l.beginning(n)
		}
		all.need = reduce(short)
	}
	if len(all.need) > maxLiterals {
		all.need = nil
	}
	return all
}

func longest(list []string) int {
	n := 0
	for _, s := range list {
		n = max(n, len(s))
	}
	return n
}

func cross(a, b []string) []string {
	all := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			all = append(all, join(x, y))
		}
	}
	return all
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// Folding maps texts so that what expressions commonly take for equal becomes
// equal: ASCII letters to lower case, as (?i) does, with the two characters beyond
// ASCII whose other case is an ASCII letter, U+017F (long s) and U+212A (Kelvin
// sign); and white space to blanks, as \s does. It works byte by byte, so what
// contains a text contains, folded, the folded text; that holds for broken UTF-8
// as well, since both characters begin with a byte that never stands inside
// another.
const (
	longS  = "\u017f"
	kelvin = "\u212a"
)

func folded(r rune) string {
	switch {
	case r == '\u017f':
		return "s"
	case r == '\u212a':
		return "k"
	case r < utf8.RuneSelf:
		return string(rune(fold(byte(r))))
	}
	return string(r)
}

// fold folds one byte.
func fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case '\t' <= c && c <= '\r':
		return ' '
	}
	return c
}

// appendFolded appends text, folded.
func appendFolded(to []byte, text string) []byte {
	to = slices.Grow(to, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == longS[0] && strings.HasPrefix(text[i:], longS):
			c = 's'
			i += len(longS) - 1
		case c == kelvin[0] && strings.HasPrefix(text[i:], kelvin):
			c = 'k'
			i += len(kelvin) - 1
		}
		to = append(to, fold(c))
	}
	return to
}
