package dkim

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Tags is a tag=value list (RFC 6376, section 3.2): the value of a signature
// field, or a key record. Values keep the folding white space inside them.
type Tags struct {
	text string
	list []tag
}

// A tag lies in the list's text: text[start:end] is the value together with the
// white space around it, so that it can be taken out.
type tag struct {
	name, value string
	start, end  int
}

// maxTags is the most tags of one list. The RFCs define 14 of them.
const maxTags = 100

// ParseTags reads the value of a signature field. The errors are [ErrSyntax]
// with the rule that was broken.
//
// White space around names and values is dropped: blank, tab, and line ends
// (CRLF, or LF as a milter has it) that are followed by one of these. Nothing
// else is white space. Names are told apart by case, and none may come twice.
func ParseTags(value string) (Tags, error) {
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\r':
			if i+1 == len(value) || value[i+1] != '\n' {
				return Tags{}, fmt.Errorf("%w: a bare CR", ErrSyntax)
			}
		case '\n':
			// RFC 6376, section 2.8: FWS = [*WSP CRLF] 1*WSP.
			if i+1 == len(value) || !isBlank(value[i+1]) {
				return Tags{}, fmt.Errorf("%w: a line end that is no fold", ErrSyntax)
			}
		}
	}
	t, problem := parseTags(value, false)
	if problem != "" {
		return Tags{}, fmt.Errorf("%w: %s", ErrSyntax, problem)
	}
	return t, nil
}

// parseTags reads a list; problem says what is wrong with it. People edit key
// records by hand, and ";;" in them has only one reading: tolerant lets it pass.
func parseTags(text string, tolerant bool) (t Tags, problem string) {
	t = Tags{text: text, list: make([]tag, 0, 12)}
	for start := 0; start <= len(text); {
		end := strings.IndexByte(text[start:], ';')
		if end < 0 {
			end = len(text)
		} else {
			end += start
		}
		spec := text[start:end]
		name, value, found := strings.Cut(spec, "=")
		switch {
		case found:
			at := start + len(name) + 1
			name, value = trimSpace(name), trimSpace(value)
			switch _, twice := t.Get(name); {
			case !isTagName(name):
				return t, "a tag without a proper name"
			case !isText(value):
				return t, "a character that no value may have"
			case twice:
				return t, "a tag given twice"
			case len(t.list) == maxTags:
				return t, "too many tags"
			}
			t.list = append(t.list, tag{name, value, at, end})
		case trimSpace(spec) != "":
			return t, "a tag without a value"
		case end < len(text) && !tolerant:
			return t, "an empty tag"
		}
		start = end + 1
	}
	if len(t.list) == 0 {
		return t, "no tags"
	}
	return t, ""
}

// Get returns the value of the tag of that name, without the white space around
// it.
func (t Tags) Get(name string) (value string, ok bool) {
	for i := range t.list {
		if t.list[i].name == name {
			return t.list[i].value, true
		}
	}
	return "", false
}

// Without returns the text of the list with the value of one tag, and all white
// space around that value, deleted: what a signature in that tag signs
// (RFC 6376, section 3.7). No other byte changes.
func (t Tags) Without(name string) string {
	for i := range t.list {
		if t.list[i].name == name {
			return t.text[:t.list[i].start] + t.text[t.list[i].end:]
		}
	}
	return t.text
}

// isTagName: tag-name = ALPHA *ALNUMPUNC, the latter letters, digits and "_".
func isTagName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && (i == 0 || !isDigit(c) && c != '_') {
			return false
		}
	}
	return s != ""
}

// isText: VALCHAR and white space. RFC 8616, section 3 adds everything in UTF-8.
func isText(s string) bool {
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			ascii = false
		case c < ' ' && !isSpace(c), c == 0x7f:
			return false
		}
	}
	return ascii || utf8.ValidString(s)
}

// isBlank reports WSP (RFC 5234).
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isSpace reports what folding white space is made of, and nothing beyond
// ASCII: a no-break space is a character.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

func trimSpace(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// dropSpace removes all white space. It returns s itself when there is none.
func dropSpace(s string) string {
	i := 0
	for i < len(s) && !isSpace(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	b := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		if !isSpace(s[i]) {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// decodeBase64 reads base64 (RFC 6376, section 2.10) from which white space has
// been dropped. Padding may be missing, as in the RFC's grammar.
func decodeBase64(s string) ([]byte, bool) {
	s = strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	b, err := base64.RawStdEncoding.DecodeString(s)
	return b, err == nil && s != ""
}

// decodeQP undoes dkim-quoted-printable (RFC 6376, section 2.11): "=" with two
// hexadecimal digits is that byte, white space is nothing. Any other "=" stands
// for itself.
func decodeQP(s string) string {
	s = dropSpace(s)
	if strings.IndexByte(s, '=') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '=' && i+2 < len(s) {
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high >= 0 && low >= 0 {
				b = append(b, byte(high<<4|low))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// colonList yields the members of a list such as h=, without white space around
// them. No members at all are one empty member.
func colonList(s string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for member := range strings.SplitSeq(s, ":") {
			if !yield(trimSpace(member)) {
				return
			}
		}
	}
}

// hasMember reports whether a list has one of the wanted members, letter case
// aside.
func hasMember(list string, wanted ...string) bool {
	for member := range colonList(list) {
		for _, w := range wanted {
			if equalFold(member, w) {
				return true
			}
		}
	}
	return false
}

// equalFold compares without regard to the case of ASCII letters, and only of
// these: to strings.EqualFold a Kelvin sign is a k.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && (a[i]|0x20 != b[i]|0x20 || !isLetter(a[i])) {
			return false
		}
	}
	return true
}

// lower returns s with its ASCII letters in lower case.
func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return string(appendLower(make([]byte, 0, len(s)), s))
		}
	}
	return s
}

func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}
