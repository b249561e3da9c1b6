package perlre

import (
	"fmt"
	"strings"
)

// writer writes nodes.
type writer struct {
	out          strings.Builder
	backtracking bool
	groups       bool // they have numbers that matter
	fold         bool // (?i) is on
	dotAll       bool // (?s) is on
	overlong     bool // it was given up
	multi        bool // (?m) is on
}

// write writes an expression. It is not ok when that gets too long.
func write(root *node, backtracking bool) (text string, ok bool) {
	w := writer{backtracking: backtracking}
	count := struct{ dots, allDots, lineEdges int }{}
	either, exact := false, false // there are letters of either case, of one case
	has(root, func(n *node) bool {
		switch {
		case n.op == opBackref:
			w.groups = true
			either = either || n.fold
		case n.op == opSet && n.set == everything():
			count.allDots++
		case n.op == opSet && n.set == notLineFeed():
			count.dots++
		case n.op == opSet:
			// A class that has both cases needs no flag; letters that are to
			// have both do.
			either = either || n.fold && n.set != n.set.folded()
			exact = exact || n.bytes() != n.bytes().folded()
		case n.op == opAssert && (n.assert == beginEach || n.assert == endEach):
			count.lineEdges++
		}
		return false
	})
	w.fold = either && (!exact || w.groups)
	w.dotAll = count.allDots > 0 && count.dots == 0
	w.multi = count.lineEdges > 0
	flags := ""
	for _, f := range []struct {
		on     bool
		letter string
	}{{w.fold, "i"}, {w.multi, "m"}, {w.dotAll, "s"}} {
		if f.on {
			flags += f.letter
		}
	}
	if flags != "" {
		w.out.WriteString("(?" + flags + ")")
	}
	w.node(root, false)
	return w.out.String(), !w.overlong
}

// maxWritten bounds what an expression may come to: repeats inside of each other
// are written in pieces.
const maxWritten = 1 << 20 // bytes

// node writes n; one piece says that it has to be one for what follows.
func (w *writer) node(n *node, onePiece bool) {
	if w.out.Len() > maxWritten {
		w.overlong = true
		return
	}
	switch n.op {
	case opEmpty:
		if onePiece {
			w.out.WriteString("(?:)")
		}
	case opSet:
		w.set(n)
	case opConcat:
		w.group(onePiece, func() {
			for _, s := range n.subs {
				w.node(s, s.op == opAlt)
			}
		})
	case opAlt:
		w.group(onePiece, func() {
			for i, s := range n.subs {
				if i > 0 {
					w.out.WriteByte('|')
				}
				w.node(s, false)
			}
		})
	case opRepeat:
		if n.possessive {
			plain := *n
			plain.possessive = false
			w.wrapped("(?>", &plain)
			return
		}
		w.repeat(n, onePiece)
	case opCapture:
		if w.groups {
			w.wrapped("(", n.subs[0])
		} else {
			w.node(n.subs[0], onePiece || n.subs[0].op == opAlt)
		}
	case opAtomic:
		w.wrapped("(?>", n.subs[0])
	case opAssert:
		w.group(onePiece, func() { w.out.WriteString(w.place(n.assert)) })
	case opLook:
		kind := "(?="
		switch {
		case n.behind && n.negative:
			kind = "(?<!"
		case n.behind:
			kind = "(?<="
		case n.negative:
			kind = "(?!"
		}
		w.wrapped(kind, n.subs[0])
	case opBackref:
		fmt.Fprintf(&w.out, `(?:\%d)`, n.index)
	}
}

func (w *writer) wrapped(open string, n *node) {
	w.out.WriteString(open)
	w.node(n, false)
	w.out.WriteByte(')')
}

func (w *writer) group(needed bool, body func()) {
	if needed {
		w.out.WriteString("(?:")
	}
	body()
	if needed {
		w.out.WriteByte(')')
	}
}

// place writes a place. Engines that backtrack have Unicode's words beside their
// \b, whatever their \w.
func (w *writer) place(a assert) string {
	switch a {
	case beginText:
		if w.multi {
			return `\A`
		}
		return "^"
	case endText:
		return `\z`
	case endLine:
		return `(?:\n?\z)`
	case beginEach:
		return "^"
	case endEach:
		return "$"
	case wordEdge:
		if w.backtracking {
			return `(?:(?<=\w)(?!\w)|(?<!\w)(?=\w))`
		}
		return `\b`
	}
	if w.backtracking {
		return `(?:(?<=\w)(?=\w)|(?<!\w)(?!\w))`
	}
	return `\B`
}

// maxCount is RE2's bound of a count, and of the product of those inside of each
// other.
const maxCount = 1000

// weight is the product of counts inside of each other, the greatest there is.
func weight(n *node) int {
	inner := 1
	for _, s := range n.subs {
		inner = max(inner, weight(s))
	}
	if n.op == opRepeat && !(n.min == 0 && n.max == 1) && !(n.max < 0 && n.min <= 1) {
		if most := max(n.min, n.max); most > maxCount/inner {
			return maxCount // it will be written in pieces
		} else if most > 1 {
			return inner * most
		}
	}
	return inner
}

// repeat writes a repeat, one over RE2's bound in pieces.
func (w *writer) repeat(n *node, onePiece bool) {
	sub := n.subs[0]
	most := maxCount
	if !w.backtracking {
		most = max(1, maxCount/weight(sub))
	}
	if max(n.min, n.max) <= most || w.backtracking {
		w.group(onePiece, func() { w.count(sub, n.min, n.max, n.lazy) })
		return
	}
	w.group(onePiece, func() {
		for left := n.min; left > 0 && !w.overlong; left -= most {
			w.count(sub, min(left, most), min(left, most), n.lazy)
		}
		if n.max < 0 {
			w.count(sub, 0, -1, n.lazy)
		}
		for left := n.max - n.min; left > 0 && !w.overlong; left -= most {
			w.count(sub, 0, min(left, most), n.lazy)
		}
	})
}

func (w *writer) count(sub *node, lo, hi int, lazy bool) {
	w.node(sub, sub.op != opSet)
	switch {
	case lo == 0 && hi == 1:
		w.out.WriteByte('?')
	case lo == 0 && hi < 0:
		w.out.WriteByte('*')
	case lo == 1 && hi < 0:
		w.out.WriteByte('+')
	case hi < 0:
		fmt.Fprintf(&w.out, "{%d,}", lo)
	case lo == hi:
		fmt.Fprintf(&w.out, "{%d}", lo)
	default:
		fmt.Fprintf(&w.out, "{%d,%d}", lo, hi)
	}
	if lazy {
		w.out.WriteByte('?')
	}
}

// set writes one byte or a class.
func (w *writer) set(n *node) {
	s := n.bytes()
	switch {
	case s == everything():
		if w.dotAll {
			w.out.WriteByte('.')
		} else {
			w.out.WriteString("(?s:.)")
		}
		return
	case s == notLineFeed() && !w.dotAll:
		w.out.WriteByte('.')
		return
	case s == (set{}):
		w.out.WriteString(`[^\x00-\xff]`)
		return
	}
	if w.fold && !sameCase(s) {
		w.out.WriteString("(?-i:")
		w.class(s, false)
		w.out.WriteByte(')')
		return
	}
	w.class(s, w.fold)
}

// sameCase says whether (?i) changes nothing about s: of each letter, those of
// Latin-1 as well, it has both cases or none.
func sameCase(s set) bool {
	for c := range 256 {
		b := byte(c)
		if 'A' <= b && b <= 'Z' || 0xc0 <= b && b <= 0xde && b != 0xd7 {
			if s.has(b) != s.has(b+0x20) {
				return false
			}
		}
	}
	return true
}

func (s set) size() int {
	n := 0
	for c := range 256 {
		if s.has(byte(c)) {
			n++
		}
	}
	return n
}

// class writes a set of bytes, as short as it gets. Under (?i) small letters
// bring the capital ones.
func (w *writer) class(s set, fold bool) {
	one := s
	if fold {
		one = s.and(capitals().not())
	}
	if one.size() == 1 {
		w.out.WriteString(literal(one.only(), `\.+*?()|[]{}^$`))
		return
	}
	for _, known := range []struct {
		s    set
		text string
	}{{digits(), `\d`}, {digits().not(), `\D`}, {words(), `\w`}, {words().not(), `\W`}} {
		if s == known.s {
			w.out.WriteString(known.text)
			return
		}
	}
	w.out.WriteByte('[')
	if s.size() > 128 {
		w.out.WriteByte('^')
		s = s.not()
	}
	if all := words(); s.and(all) == all {
		w.out.WriteString(`\w`)
		s = s.and(all.not())
	} else if all := digits(); s.and(all) == all {
		w.out.WriteString(`\d`)
		s = s.and(all.not())
	}
	if all := spaces(); s.and(all) == all {
		w.out.WriteString(`\s\v`)
		s = s.and(all.not())
	}
	if fold {
		s = s.and(capitals().not())
	}
	for c := 0; c < 256; c++ {
		if !s.has(byte(c)) {
			continue
		}
		end := c
		for end < 255 && s.has(byte(end+1)) {
			end++
		}
		w.out.WriteString(inClass(byte(c)))
		if end > c {
			if end > c+1 {
				w.out.WriteByte('-')
			}
			w.out.WriteString(inClass(byte(end)))
		}
		c = end
	}
	w.out.WriteByte(']')
}

// inClass writes one byte of a class. A hyphen has no backslash: the engine that backtracks
// loses a range that ends in one.
func inClass(c byte) string {
	if c == '-' {
		return `\x2d`
	}
	return literal(c, `\[]^&~`)
}

// literal writes one byte, those of special with a backslash.
func literal(c byte, special string) string {
	switch {
	case strings.IndexByte(special, c) >= 0:
		return `\` + string(rune(c))
	case c == '\n':
		return `\n`
	case c == '\r':
		return `\r`
	case c == '\t':
		return `\t`
	case c < ' ' || c >= 0x7f:
		return fmt.Sprintf(`\x%02x`, c)
	}
	return string(rune(c))
}
