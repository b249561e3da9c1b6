package message

import "strings"

// The lexical tokens of a From field (RFC 5322, section 3.2).
type authorTokenKind uint8

const (
	wordToken authorTokenKind = iota // an atom, with the dots in it
	quotedToken
	commentToken
	literalToken // from '[' to ']': a domain literal, or part of a sloppy name
	atToken
	lessToken
	greaterToken
	commaToken
	colonToken
	semicolonToken
)

type authorToken struct {
	kind       authorTokenKind
	space      bool // white space stands before it
	encoded    bool // it has an encoded word in it, or the beginning of one
	start, end int  // in the field, with quotes and parentheses
}

// Comments in comments serve nobody; the cap is far beyond what people write.
const maxCommentDepth = 16

// lexAuthor returns the tokens of a From field, and the problem that ended them, if
// any. Each byte is looked at a bounded number of times.
func lexAuthor(s string) ([]authorToken, AuthorProblem) {
	tokens := make([]authorToken, 0, 12) // enough for a common field
	space := false
	for i := 0; i < len(s); {
		c := s[i]
		t := authorToken{start: i, space: space}
		var problem AuthorProblem
		switch {
		case c == ' ' || c == '\t':
			space = true
			i++
			continue
		case c == '\r' || c == '\n':
			n := foldLength(s[i:])
			if n == 0 {
				return tokens, AuthorControl
			}
			space = true
			i += n
			continue
		case c == '"':
			t.kind = quotedToken
			t.end, problem = quotedEnd(s, i)
		case c == '(':
			t.kind = commentToken
			t.end, problem = commentEnd(s, i)
		case c == '[':
			t.kind = literalToken
			t.end, problem = literalEnd(s, i)
		case isAtext(c) || c == '.':
			t.end, t.encoded = wordEnd(s, i)
		default:
			t.kind, problem = specialToken(c)
			t.end = i + 1
		}
		if problem != "" {
			return tokens, problem
		}
		tokens = append(tokens, t)
		space = false
		i = t.end
	}
	return tokens, ""
}

// foldLength returns the length of the line break at the beginning of s when it is
// a fold, or the end of the field; else 0 (RFC 5322, section 3.2.2).
func foldLength(s string) int {
	n := 1
	if strings.HasPrefix(s, "\r\n") {
		n = 2
	} else if s[0] == '\r' {
		return 0
	}
	if n == len(s) || s[n] == ' ' || s[n] == '\t' {
		return n
	}
	return 0
}

// specialToken tells what a character is that can be no part of a word.
func specialToken(c byte) (authorTokenKind, AuthorProblem) {
	switch c {
	case '@':
		return atToken, ""
	case '<':
		return lessToken, ""
	case '>':
		return greaterToken, ""
	case ',':
		return commaToken, ""
	case ':':
		return colonToken, ""
	case ';':
		return semicolonToken, ""
	case ')', ']':
		return 0, AuthorUnbalanced
	case '\\':
		return 0, AuthorUnparsable
	}
	return 0, AuthorControl
}

// textByte reads one byte of quoted text or of a comment, or a fold: how far it
// goes, or the problem with it.
func textByte(s string, i int) (next int, problem AuthorProblem) {
	switch c := s[i]; {
	case c == '\r' || c == '\n':
		n := foldLength(s[i:])
		if n == 0 {
			return i, AuthorControl
		}
		return i + n, ""
	case c < ' ' && c != '\t' || c == 0x7f:
		return i, AuthorControl
	case c == '\\':
		if i+1 == len(s) {
			return i, AuthorUnbalanced
		}
		if c := s[i+1]; c < ' ' && c != '\t' || c == 0x7f {
			return i, AuthorControl
		}
		return i + 2, ""
	}
	return i + 1, ""
}

// quotedEnd returns where the quoted string that begins at i ends.
func quotedEnd(s string, i int) (int, AuthorProblem) {
	var problem AuthorProblem
	for i++; i < len(s); {
		if s[i] == '"' {
			return i + 1, ""
		}
		if i, problem = textByte(s, i); problem != "" {
			return i, problem
		}
	}
	return i, AuthorUnbalanced
}

// commentEnd returns where the comment that begins at i ends, with the comments in
// it.
func commentEnd(s string, i int) (int, AuthorProblem) {
	depth := 0
	for i < len(s) {
		var problem AuthorProblem
		switch s[i] {
		case '(':
			if depth++; depth > maxCommentDepth {
				return i, AuthorUnparsable
			}
			i++
		case ')':
			i++
			if depth--; depth == 0 {
				return i, ""
			}
		default:
			if i, problem = textByte(s, i); problem != "" {
				return i, problem
			}
		}
	}
	return i, AuthorUnbalanced
}

// literalEnd returns where the bracketed text that begins at i ends. There is
// nothing in it that could begin anything else.
func literalEnd(s string, i int) (int, AuthorProblem) {
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case c == ']':
			return i + 1, ""
		case c == '[' || c == '<' || c == '>':
			return i, AuthorUnbalanced
		case strings.IndexByte(`"(),;\@`, c) >= 0:
			return i, AuthorUnparsable
		case c < ' ' && c != '\t' || c == 0x7f:
			return i, AuthorControl
		}
	}
	return i, AuthorUnbalanced
}

// wordEnd returns where the word that begins at i ends, and whether there is
// anything of an encoded word in it. A whole encoded word is one with the commas
// and colons that some programs leave in it.
func wordEnd(s string, i int) (end int, encoded bool) {
	for i < len(s) && (isAtext(s[i]) || s[i] == '.') {
		if s[i] == '=' && i+1 < len(s) && s[i+1] == '?' {
			encoded = true
			if n := encodedWordLength(s[i:]); n > 0 {
				i += n
				continue
			}
		}
		i++
	}
	return i, encoded
}

// encodedWordLength returns the length of the encoded word that s begins with
// (RFC 2047, section 2), or 0 when there is none, or when something in it could be
// read as an address or as the beginning of quotes or comments.
func encodedWordLength(s string) int {
	charset, rest, ok := strings.Cut(s[2:], "?")
	if !ok || charset == "" || len(rest) < 2 || rest[1] != '?' || strings.IndexByte("bBqQ", rest[0]) < 0 {
		return 0
	}
	text, after, ok := strings.Cut(rest[2:], "?")
	if !ok || !strings.HasPrefix(after, "=") {
		return 0
	}
	for _, part := range [...]string{charset, text} {
		for i := range len(part) {
			if c := part[i]; c <= ' ' || c == 0x7f || strings.IndexByte(`@<>()"\`, c) >= 0 {
				return 0
			}
		}
	}
	return len(s) - len(after) + 1
}
