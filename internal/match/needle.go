package match

import (
	"math"
	"strings"
	"unicode/utf8"
)

// A needle is a literal that is looked for, with what is known of a match around
// it. Of "(?i)\b(?:dear|hello) friend.{0,20}$" that is a literal "dear friend" that
// begins where a word does, with nothing of a match before it and at most 80 bytes
// after it.
type needle struct {
	text          string // folded, with marks
	before, after extent // the most of a match on either side
}

// mark stands in literals where a word has to begin or end: \b. It is no part of
// any text that is UTF-8. It is left out where it says nothing, inside of a
// literal and beside what is no part of a word.
const mark = "\xff"

// join is one literal after the other.
func join(a, b string) string {
	switch {
	case a == "" || b == "":
		return a + b
	case a == mark:
		return mark + strings.TrimPrefix(b, mark)
	case b == mark:
		return strings.TrimSuffix(a, mark) + mark
	}
	return strings.TrimSuffix(a, mark) + strings.TrimPrefix(b, mark)
}

// needles makes needles of all that an expression matches.
func needles(exact []string) []needle {
	list := make([]needle, len(exact))
	for i, text := range exact {
		bare := unmarked(text)
		if bare == "" {
			continue
		}
		list[i].text = bare
		if text[0] == mark[0] && isWord[bare[0]] {
			list[i].text = mark + list[i].text
		}
		if text[len(text)-1] == mark[0] && isWord[bare[len(bare)-1]] {
			list[i].text += mark
		}
	}
	return reduce(list)
}

// bare is the literal without marks.
func (n needle) bare() string { return unmarked(n.text) }

func unmarked(text string) string { return strings.TrimSuffix(strings.TrimPrefix(text, mark), mark) }

// beginsWord says that a word has to begin where the literal does.
func (n needle) beginsWord() bool { return strings.HasPrefix(n.text, mark) }

// endsWord says that a word has to end where the literal does.
func (n needle) endsWord() bool { return strings.HasSuffix(n.text, mark) }

// beginning returns a needle of the first size bytes, or a few more: no less than
// whole characters.
func (n needle) beginning(size int) needle {
	bare := n.bare()
	for size < len(bare) && !utf8.RuneStart(bare[size]) {
		size++
	}
	if size >= len(bare) {
		return n
	}
	short := needle{bare[:size], n.before, n.after.plus(ofBytes(len(bare) - size))}
	if n.beginsWord() {
		short.text = mark + short.text
	}
	return short
}

// shift returns needles of a piece of an expression as those of the whole of it.
// before and after are what there is around the piece.
func shift(list []needle, before, after extent) []needle {
	if list == nil {
		return nil
	}
	shifted := make([]needle, len(list))
	for i, n := range list {
		shifted[i] = needle{n.text, n.before.plus(before), n.after.plus(after)}
	}
	return shifted
}

// reduce leaves out literals that contain another one, which is enough.
func reduce(list []needle) (kept []needle) {
	for i, short := range list {
		if containsOther(list, i) {
			continue
		}
		for j, long := range list {
			if i != j && strings.Contains(long.text, short.text) {
				// The rest of the long one is around the short one, on either side.
				rest := ofBytes(len(long.text) - len(short.text))
				short.before = short.before.or(long.before.plus(rest))
				short.after = short.after.or(long.after.plus(rest))
			}
		}
		kept = append(kept, short)
	}
	return kept
}

// containsOther says whether the literal numbered i contains another one of a list, or
// is there once more before.
func containsOther(list []needle, i int) bool {
	long := list[i].text
	for j, short := range list {
		if len(short.text) < len(long) && strings.Contains(long, short.text) || j < i && short.text == long {
			return true
		}
	}
	return false
}

// better says whether it is better to search for a than for b.
func better(a, b []needle) bool { return worth(a) > worth(b) }

// worth says how good it is to search for a list of literals, 0 when it is no
// good: the rarer they are, the better.
func worth(list []needle) float64 {
	if lightest(list) < minLiteral || len(list) > maxLiterals {
		return 0
	}
	sum := 0.0
	for _, n := range list {
		sum += n.expected()
	}
	return max(-math.Log2(sum), 1)
}

func lightest(list []needle) int {
	if len(list) == 0 {
		return 0
	}
	n := weight(list[0].bare())
	for _, l := range list[1:] {
		n = min(n, weight(l.bare()))
	}
	return n
}

// weight is the length of a literal in bytes; one with a character that most texts
// do not have counts for more.
func weight(literal string) int {
	switch {
	case strings.ContainsAny(literal, rare):
		return len(literal) + minLiteral - 1
	case strings.ContainsFunc(literal, func(r rune) bool { return r >= utf8.RuneSelf }):
		return len(literal) + 1
	}
	return len(literal)
}

// rare are characters that most texts do not have.
const rare = "$&#@*=~^{}|<>\\"
