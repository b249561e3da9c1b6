package perlre

import (
	"strconv"
	"strings"
)

// escape reads what begins with a backslash, outside of a class.
func (p *parser) escape() (*node, error) {
	if p.at+1 >= len(p.src) {
		return nil, p.errorf("a backslash at the end")
	}
	c := p.src[p.at+1]
	place := func(a assert) (*node, error) {
		p.at += 2
		return &node{op: opAssert, assert: a}, nil
	}
	switch c {
	case 'A':
		return place(beginText)
	case 'z':
		return place(endText)
	case 'Z':
		return place(endLine)
	case 'b', 'B':
		if strings.HasPrefix(p.src[p.at+2:], "{") {
			return nil, p.errorf(`\%c{...} is a boundary of Unicode's, and texts are bytes`, c)
		}
		if c == 'B' {
			return place(noWordEdge)
		}
		return place(wordEdge)
	case 'K': // what is matched begins here; whether it is matched does not depend on it
		p.at += 2
		return nil, nil
	case 'R':
		p.at += 2
		return alternate(concat(single('\r', false), single('\n', false)), &node{op: opSet, set: vertical()}), nil
	case 'G', 'X', 'C':
		return nil, p.errorf(`\%c has no equal outside of Perl`, c)
	case 'k':
		return p.namedReference()
	case 'g':
		return p.groupReference()
	}
	if '1' <= c && c <= '9' {
		digits := p.src[p.at+1:]
		digits = digits[:min(3, len(digits)-len(strings.TrimLeft(digits, "0123456789")))]
		if n, _ := strconv.Atoi(digits); n < 10 || n <= p.total {
			if n > p.total {
				return nil, p.errorf(`\%d refers to a group that there is not`, n)
			}
			p.at += 1 + len(digits)
			return &node{op: opBackref, index: n, fold: p.flags.Fold}, nil
		}
	}
	s, one, err := p.classEscape()
	if err != nil {
		return nil, err
	}
	return &node{op: opSet, set: s, fold: one && p.flags.Fold}, nil
}

// namedReference reads \k<name>, \k'name' and \k{name}.
func (p *parser) namedReference() (*node, error) {
	p.at += 2
	for _, pair := range []string{"<>", "''", "{}"} {
		if p.take(pair[:1]) {
			if name, ok := p.until(pair[1]); ok {
				return p.reference(name)
			}
		}
	}
	return nil, p.errorf(`\k without a name`)
}

// groupReference reads \g1, \g{1}, \g{-1} and \g{name}.
func (p *parser) groupReference() (*node, error) {
	p.at += 2
	var text string
	if p.take("{") {
		var ok bool
		if text, ok = p.until('}'); !ok {
			return nil, p.errorf(`\g{ without its }`)
		}
	} else {
		rest := p.src[p.at:]
		text = rest[:len(rest)-len(strings.TrimLeft(rest, "-0123456789"))]
		p.at += len(text)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return p.reference(text)
	}
	if n < 0 {
		n += p.groups + 1
	}
	if n < 1 || n > p.total {
		return nil, p.errorf(`\g%s refers to a group that there is not`, text)
	}
	return &node{op: opBackref, index: n, fold: p.flags.Fold}, nil
}

// classEscape reads an escape that stands for one byte or for a class of them,
// inside of a class and outside. One says that it is a single byte.
func (p *parser) classEscape() (s set, one bool, err error) {
	if p.at+1 >= len(p.src) {
		return s, false, p.errorf("a backslash at the end")
	}
	c := p.src[p.at+1]
	p.at += 2
	switch c {
	case 'd':
		return digits(), false, nil
	case 'D':
		return digits().not(), false, nil
	case 'w':
		return words(), false, nil
	case 'W':
		return words().not(), false, nil
	case 's':
		return spaces(), false, nil
	case 'S':
		return spaces().not(), false, nil
	case 'h':
		return horizontal(), false, nil
	case 'H':
		return horizontal().not(), false, nil
	case 'v':
		return vertical(), false, nil
	case 'V':
		return vertical().not(), false, nil
	case 'N':
		if p.take("{U+") {
			hex, ok := p.until('}')
			if !ok {
				return s, false, p.errorf(`\N{ without its }`)
			}
			return p.number(hex, 16)
		}
		return notLineFeed(), false, nil
	case 't':
		s.add('\t')
	case 'n':
		s.add('\n')
	case 'r':
		s.add('\r')
	case 'f':
		s.add('\f')
	case 'e':
		s.add(0x1b)
	case 'a':
		s.add('\a')
	case 'c':
		if p.at >= len(p.src) {
			return s, false, p.errorf(`\c without a letter`)
		}
		s.add(upper(p.src[p.at]) ^ 0x40)
		p.at++
	case 'x':
		if p.take("{") {
			hex, ok := p.until('}')
			if !ok {
				return s, false, p.errorf(`\x{ without its }`)
			}
			return p.number(strings.TrimSpace(hex), 16)
		}
		return p.number(p.some("0123456789abcdefABCDEF", 2), 16)
	case 'o':
		if p.take("{") {
			octal, ok := p.until('}')
			if !ok {
				return s, false, p.errorf(`\o{ without its }`)
			}
			return p.number(octal, 8)
		}
		return s, false, p.errorf(`\o without {`)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		p.at--
		return p.number(p.some("01234567", 3), 8)
	case 'p', 'P':
		return s, false, p.errorf(`\%c{...} is a class of Unicode's, and texts are bytes`, c)
	default:
		s.add(c)
	}
	return s, true, nil
}

// some takes at most n characters out of a list.
func (p *parser) some(list string, n int) string {
	from := p.at
	for p.at < len(p.src) && p.at < from+n && strings.IndexByte(list, p.src[p.at]) >= 0 {
		p.at++
	}
	return p.src[from:p.at]
}

// number is the byte that has a number.
func (p *parser) number(text string, base int) (s set, one bool, err error) {
	if text == "" { // Perl takes \x alone for NUL
		text = "0"
	}
	n, err := strconv.ParseUint(text, base, 32)
	if err != nil {
		return s, false, p.errorf("%q is no number", text)
	}
	if n > 0xff {
		return s, false, p.errorf("character U+%04X, and texts are bytes, so it never matches", n)
	}
	s.add(byte(n))
	return s, true, nil
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// class reads a class in brackets.
func (p *parser) class() (*node, error) {
	p.at++ // [
	negative := p.take("^")
	var all set
	first := true
	for {
		c, ok := p.peek()
		if !ok {
			return nil, p.errorf("a [ without its ]")
		}
		if c == ']' && !first {
			p.at++
			break
		}
		first = false
		lo, one, err := p.member()
		if err != nil {
			return nil, err
		}
		if one && p.at+1 < len(p.src) && p.src[p.at] == '-' && p.src[p.at+1] != ']' {
			back := p.at
			p.at++
			hi, single, err := p.member()
			if err != nil {
				return nil, err
			}
			if single {
				from, to := lo.only(), hi.only()
				if from > to {
					return nil, p.errorf("a range from %q to %q", from, to)
				}
				all.addRange(from, to)
				continue
			}
			p.at = back // the minus is one itself
		}
		all = all.or(lo)
	}
	if p.flags.Fold {
		all = all.folded()
	}
	if negative {
		all = all.not()
	}
	return &node{op: opSet, set: all, fold: p.flags.Fold}, nil
}

// only returns the one byte of s.
func (s set) only() byte {
	for c := range 256 {
		if s.has(byte(c)) {
			return byte(c)
		}
	}
	return 0
}

// posix are the classes that have names inside of brackets.
var posix = map[string]string{
	"alpha": "AZaz", "digit": "09", "alnum": "09AZaz", "upper": "AZ", "lower": "az", "space": "\t\r  ", "blank": "\t\t  ",
	"punct": "!/:@[`{~", "print": " ~", "graph": "!~", "cntrl": "\x00\x1f\x7f\x7f", "xdigit": "09AFaf", "word": "09AZ__az", "ascii": "\x00\x7f",
}

// member reads one member of a class.
func (p *parser) member() (s set, one bool, err error) {
	c := p.src[p.at]
	if c == '[' && strings.HasPrefix(p.src[p.at:], "[:") {
		if end := strings.Index(p.src[p.at+2:], ":]"); end >= 0 {
			name, negative := strings.CutPrefix(p.src[p.at+2:p.at+2+end], "^")
			ranges, ok := posix[name]
			if !ok {
				return s, false, p.errorf("[:%s:] is no class", name)
			}
			p.at += 2 + end + 2
			if s = setOf(ranges); negative {
				s = s.not()
			}
			return s, false, nil
		}
	}
	if c == '\\' {
		if p.at+1 < len(p.src) && p.src[p.at+1] == 'b' {
			p.at += 2
			s.add('\b')
			return s, true, nil
		}
		return p.classEscape()
	}
	p.at++
	s.add(c)
	return s, true, nil
}
