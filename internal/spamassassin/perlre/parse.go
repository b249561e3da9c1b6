package perlre

import (
	"fmt"
	"strconv"
	"strings"
)

// maxDepth bounds how deep groups may nest.
const maxDepth = 100

// maxRepeat is Perl's own bound of a count.
const maxRepeat = 65534

type parser struct {
	src    string
	at     int
	flags  Flags
	groups int // opened so far
	total  int // in the whole expression
	names  map[string]int
	nodes  int
}

func (p *parser) errorf(format string, args ...any) error {
	return &SyntaxError{Offset: p.at, What: fmt.Sprintf(format, args...)}
}

// countGroups finds how many captures there are, which tells \10 the
// back-reference from \10 the octal number.
func (p *parser) countGroups() {
	inClass := false
	for i := 0; i < len(p.src); i++ {
		switch c := p.src[i]; {
		case c == '\\':
			i++
		case inClass:
			inClass = c != ']'
		case c == '[':
			inClass = true
			if strings.HasPrefix(p.src[i+1:], "^") {
				i++
			}
			if strings.HasPrefix(p.src[i+1:], "]") {
				i++
			}
		case c == '(':
			rest := p.src[i+1:]
			named := strings.HasPrefix(rest, "?<") && !strings.HasPrefix(rest, "?<=") && !strings.HasPrefix(rest, "?<!") ||
				strings.HasPrefix(rest, "?P<") || strings.HasPrefix(rest, "?'")
			if named || !strings.HasPrefix(rest, "?") && !strings.HasPrefix(rest, "*") {
				p.total++
			}
		}
	}
}

func (p *parser) peek() (byte, bool) {
	if p.at < len(p.src) {
		return p.src[p.at], true
	}
	return 0, false
}

// take consumes prefix if it is next.
func (p *parser) take(prefix string) bool {
	if strings.HasPrefix(p.src[p.at:], prefix) {
		p.at += len(prefix)
		return true
	}
	return false
}

func (p *parser) alternation(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, p.errorf("groups nested deeper than %d", maxDepth)
	}
	flags := p.flags // those of (?i) end with the group
	defer func() { p.flags = flags }()
	var branches []*node
	for {
		branch, err := p.sequence(depth)
		if err != nil {
			return nil, err
		}
		branches = append(branches, branch)
		if !p.take("|") {
			return alternate(branches...), nil
		}
	}
}

func (p *parser) sequence(depth int) (*node, error) {
	var parts []*node
	for {
		p.skip()
		c, ok := p.peek()
		if !ok || c == '|' || c == ')' {
			return concat(parts...), nil
		}
		atom, err := p.atom(depth)
		if err != nil {
			return nil, err
		}
		if atom == nil { // a comment, flags
			continue
		}
		if atom, err = p.repeats(atom); err != nil {
			return nil, err
		}
		if p.nodes++; p.nodes > 20000 {
			return nil, p.errorf("an expression too long to carry")
		}
		parts = append(parts, atom)
	}
}

// skip passes over what means nothing under x.
func (p *parser) skip() {
	for p.flags.Extended && p.at < len(p.src) {
		switch c := p.src[p.at]; {
		case c == ' ' || '\t' <= c && c <= '\r':
			p.at++
		case c == '#':
			end := strings.IndexByte(p.src[p.at:], '\n')
			if end < 0 {
				p.at = len(p.src)
				return
			}
			p.at += end + 1
		default:
			return
		}
	}
}

func (p *parser) atom(depth int) (*node, error) {
	c := p.src[p.at]
	switch c {
	case '(':
		return p.group(depth)
	case '[':
		return p.class()
	case '\\':
		return p.escape()
	case '.':
		p.at++
		if p.flags.DotAll {
			return &node{op: opSet, set: everything()}, nil
		}
		return &node{op: opSet, set: notLineFeed()}, nil
	case '^':
		p.at++
		if p.flags.MultiLine {
			return &node{op: opAssert, assert: beginEach}, nil
		}
		return &node{op: opAssert, assert: beginText}, nil
	case '$':
		p.at++
		if p.flags.MultiLine {
			return &node{op: opAssert, assert: endEach}, nil
		}
		return &node{op: opAssert, assert: endLine}, nil
	case '*', '+', '?':
		return nil, p.errorf("a %c with nothing to repeat", c)
	}
	p.at++
	return single(c, p.flags.Fold), nil
}

// repeats wraps atom in the repeat that follows it, if one does.
func (p *parser) repeats(atom *node) (*node, error) {
	p.skip()
	c, ok := p.peek()
	if !ok {
		return atom, nil
	}
	n := &node{op: opRepeat, subs: []*node{atom}, max: -1}
	switch c {
	case '*':
	case '+':
		n.min = 1
	case '?':
		n.max = 1
	case '{':
		length, lo, hi, ok := braces(p.src[p.at:])
		if !ok {
			return atom, nil
		}
		if lo > maxRepeat || hi > maxRepeat || hi >= 0 && lo > hi {
			return nil, p.errorf("a repeat that cannot be: %s", p.src[p.at:p.at+length])
		}
		n.min, n.max = lo, hi
		p.at += length - 1
	default:
		return atom, nil
	}
	p.at++
	p.skip()
	switch {
	case p.take("?"):
		n.lazy = true
	case p.take("+"):
		n.possessive = true
	}
	p.skip()
	if c, ok := p.peek(); ok && (c == '*' || c == '+' || c == '?') {
		return nil, p.errorf("a repeat of a repeat")
	}
	return n, nil
}

// braces reads {n}, {n,}, {n,m} or {,m} at the beginning of s.
func braces(s string) (length, lo, hi int, ok bool) {
	end := strings.IndexByte(s, '}')
	if end < 2 || end > 14 {
		return 0, 0, 0, false
	}
	first, second, comma := strings.Cut(s[1:end], ",")
	number := func(text string, dflt int) (int, bool) {
		if text = strings.Trim(text, " \t"); text == "" {
			return dflt, comma
		}
		n, err := strconv.ParseUint(text, 10, 31)
		return int(n), err == nil
	}
	if lo, ok = number(first, 0); !ok {
		return 0, 0, 0, false
	}
	if !comma {
		return end + 1, lo, lo, true
	}
	if strings.Trim(first+second, " \t") == "" {
		return 0, 0, 0, false
	}
	hi, ok = number(second, -1)
	return end + 1, lo, hi, ok
}
