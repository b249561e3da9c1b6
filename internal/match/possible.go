package match

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Many texts are short: header fields, addresses. In these a needle may be no more than an
// @, and most patterns that are tried for it do not match. So before that is done, what each
// match must have is held against the text.

// possible says whether a text may match, by its length, its signs if it is short, and its
// first bytes: to ask that costs less than a search. f is what was found in it.
func (p *pattern) possible(f *found, text string) bool {
	if len(text) < p.least {
		return false
	}
	if len(text) <= shortText {
		for _, s := range p.signs {
			if strings.Count(text, s.text) < s.times {
				return false
			}
		}
	}
	if !p.begins {
		return true
	}
	return (p.lead == nil || p.lead.opens(text)) && !(p.ends && len(text) > p.size.in(f.measure(text, p.size.runs > 0)))
}

// anchored says whether matches begin where the text does, so that only its
// beginning is looked at.
func anchored(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText:
		return true
	case syntax.OpConcat, syntax.OpCapture:
		return len(re.Sub) > 0 && anchored(re.Sub[0])
	}
	return false
}

// ended says whether matches end where the text does.
func ended(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpEndText:
		return true
	case syntax.OpConcat, syntax.OpCapture:
		return len(re.Sub) > 0 && ended(re.Sub[len(re.Sub)-1])
	}
	return false
}

// least returns how many characters a match of an expression has at least.
func least(re *syntax.Regexp) (n int) {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return least(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			n = min(n+least(sub), unbounded)
		}
	case syntax.OpAlternate:
		n = least(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			n = min(n, least(sub))
		}
	}
	return n
}

// A sign is a character of ASCII that is no letter, digit or blank.
type sign struct {
	text  string
	times int // how often it is in each match at least
}

// severalSigns returns the signs that each match of an expression has more than once.
func severalSigns(re *syntax.Regexp) (list []sign) {
	for c := range rune(utf8.RuneSelf) {
		if c > ' ' && !isWord[c] {
			if n := times(re, c); n > 1 {
				list = append(list, sign{string(c), n})
			}
		}
	}
	return list
}

// times returns how often a match of an expression has a sign at least.
func times(re *syntax.Regexp, sign rune) (n int) {
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if r == sign {
				n++
			}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return times(re.Sub[0], sign)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			n = min(n+times(sub, sign), unbounded)
		}
	case syntax.OpAlternate:
		n = times(re.Sub[0], sign)
		for _, sub := range re.Sub[1:] {
			n = min(n, times(sub, sign))
		}
	}
	return n
}
