package authres

import (
	"strconv"
	"strings"
)

// scanner walks over the value once, from left to right.
type scanner struct {
	text string
	at   int
	// remarks are the comments met before the first result, with all nested
	// ones in one piece; IsOurs looks into them.
	remarks []string
	inHead  bool
}

func (s *scanner) syntax(what string) error { return &ParseError{s.at, what, ErrSyntax} }
func (s *scanner) limit(what string) error  { return &ParseError{s.at, what, ErrLimit} }

// peek returns the next byte, 0 at the end. A NUL in the text is refused
// wherever a byte is consumed, so the two do not mix.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) done() bool { return s.at >= len(s.text) }

// word reads as many bytes as ok accepts, at least one.
func (s *scanner) word(ok func(byte) bool, what string) (string, error) {
	start := s.at
	for !s.done() && ok(s.peek()) {
		s.at++
	}
	if s.at == start {
		return "", s.syntax(what + " expected")
	}
	return s.text[start:s.at], nil
}

// number reads a version.
func (s *scanner) number() (n int, err error) {
	digits, err := s.word(func(c byte) bool { return c >= '0' && c <= '9' }, "version")
	if err != nil {
		return 0, err
	}
	if n, err = strconv.Atoi(digits); err != nil || n > maxVersion {
		return 0, s.limit("version too large")
	}
	return n, nil
}

// quoted reads a quoted-string (RFC 5322, section 3.2.4) and returns what it
// means: unescaped, and with the line breaks of folding taken out.
func (s *scanner) quoted() (string, error) {
	s.at++
	start := s.at
	plain := true
	for ; !s.done(); s.at++ {
		switch c := s.peek(); {
		case c == '"':
			v := s.text[start:s.at]
			s.at++
			if plain {
				return v, nil
			}
			return unescape(v), nil
		case c == '\\':
			plain = false
			s.at++
			if s.done() || isControl(s.peek()) {
				return "", s.syntax("escaped character expected")
			}
		case c == '\r' || c == '\n':
			plain = false
			if !s.atFold() {
				return "", s.syntax("line break in a quoted-string")
			}
		case isControl(c):
			return "", s.syntax("control character")
		}
	}
	return "", s.syntax("quote expected")
}

// comments reads [CFWS] and returns the text of its first comment.
func (s *scanner) comments() (first string, err error) {
	for !s.done() {
		if s.peek() == '(' {
			text, err := s.comment()
			if err != nil {
				return "", err
			}
			if first == "" {
				first = text
			}
			continue
		}
		if !isSpace(s.peek()) {
			break
		}
		if err := s.space(); err != nil {
			return "", err
		}
	}
	return first, nil
}

// skip reads [CFWS] and says whether there was any.
func (s *scanner) skip() (bool, error) {
	start := s.at
	for !s.done() {
		c := s.peek()
		var err error
		switch {
		case c == '(':
			_, err = s.comment()
		case isSpace(c):
			err = s.space()
		default:
			return s.at > start, nil
		}
		if err != nil {
			return false, err
		}
	}
	return s.at > start, nil
}

// space reads one character of white space. A line break counts only where a
// folded line follows; at the very end of the value it is an MTA's leftover.
func (s *scanner) space() error {
	if c := s.peek(); (c == '\r' || c == '\n') && !s.atFold() {
		if strings.Trim(s.text[s.at:], "\r\n") != "" {
			return s.syntax("line break without folding")
		}
		s.at = len(s.text)
		return nil
	}
	s.at++
	return nil
}

// atFold says whether the line break here is CRLF or LF before white space.
func (s *scanner) atFold() bool {
	rest := s.text[s.at:]
	if rest[0] == '\r' {
		rest = rest[1:]
		return len(rest) > 0 && rest[0] == '\n'
	}
	return len(rest) > 1 && (rest[1] == ' ' || rest[1] == '\t')
}

// comment reads a comment with all that is nested in it (RFC 5322, section
// 3.2.2) and returns its text without the outer parentheses.
func (s *scanner) comment() (string, error) {
	start, depth, plain := s.at+1, 0, true
	for ; !s.done(); s.at++ {
		switch c := s.peek(); {
		case c == '(':
			if depth++; depth > maxCommentDepth {
				return "", s.limit("comments nested too deep")
			}
		case c == ')':
			if depth--; depth > 0 {
				continue
			}
			text := s.text[start:s.at]
			s.at++
			if s.inHead {
				s.remarks = append(s.remarks, text)
			}
			if plain {
				return text, nil
			}
			return unescape(text), nil
		case c == '\\':
			plain = false
			s.at++
			if s.done() || isControl(s.peek()) {
				return "", s.syntax("escaped character expected")
			}
		case c == '\r' || c == '\n':
			plain = false
			if !s.atFold() {
				return "", s.syntax("line break in a comment")
			}
		case isControl(c):
			return "", s.syntax("control character")
		}
	}
	return "", s.syntax("closing parenthesis expected")
}

// unescape takes backslashes and the line breaks of folding out of s.
func unescape(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\r', '\n':
			continue
		case '\\':
			i++
		}
		out = append(out, s[i])
	}
	return string(out)
}

func isSpace(c byte) bool   { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// isKeywordChar accepts the underscore too, which some hosts use.
func isKeywordChar(c byte) bool { return isLetterDigit(c) || c == '-' || c == '_' }
func isTokenOr8bit(c byte) bool { return isTokenChar(c) || c >= 0x80 }

// isValueChar is what a bare value may hold: all but what could begin or end
// something else.
func isValueChar(c byte) bool { return c > ' ' && c != 0x7f && strings.IndexByte(`;()"\`, c) < 0 }
