package message

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

// appendName adds the display name of the address that was found last, from the
// phrase in tokens [lo, hi), or else from the comments in [lo, end): in
// "a@example.org (Ann)" the comment is the name.
func (p *authorParser) appendName(a *Author, lo, hi, end int) {
	name, simple := p.simpleName(lo, hi)
	if !simple {
		name = p.phraseText(lo, hi)
	}
	if name == "" {
		name, simple = p.commentText(lo, end), false
	}
	if !simple && name != "" {
		if strings.Contains(name, "=?") {
			name = decodeWords(name)
		}
		if strings.ContainsFunc(name, isNameControl) {
			a.note(AuthorNameControl)
		}
		name = strings.Join(strings.FieldsFunc(name, isBlankOrControl), " ")
	}
	a.Names = append(a.Names, name)
}

func isNameControl(r rune) bool    { return r != '\t' && unicode.IsControl(r) }
func isBlankOrControl(r rune) bool { return r == ' ' || unicode.IsControl(r) }

// simpleName returns a name that stands in the field as it is: plain words with one
// blank between, or one quoted string. It copies nothing.
func (p *authorParser) simpleName(lo, hi int) (string, bool) {
	if lo == hi {
		return "", true
	}
	if hi > lo+1 || p.tokens[lo].kind != quotedToken {
		for i := lo; i < hi; i++ {
			t := &p.tokens[i]
			if t.kind != wordToken || t.encoded || i > lo && (t.start != p.tokens[i-1].end+1 || p.field[t.start-1] != ' ') {
				return "", false
			}
		}
	}
	name := p.field[p.tokens[lo].start:p.tokens[hi-1].end]
	if name[0] == '"' {
		name = strings.Trim(name[1:len(name)-1], " ")
		if strings.IndexByte(name, '\\') >= 0 || strings.Contains(name, "  ") || strings.Contains(name, "=?") {
			return "", false
		}
	}
	return name, !strings.ContainsFunc(name, unicode.IsControl)
}

// phraseText returns tokens [lo, hi) without quotes and comments.
func (p *authorParser) phraseText(lo, hi int) string {
	var b strings.Builder
	for i := lo; i < hi; i++ {
		t := &p.tokens[i]
		if t.kind == commentToken {
			continue
		}
		if b.Len() > 0 && (t.space || p.tokens[i-1].kind == commentToken) {
			b.WriteByte(' ')
		}
		text := p.text(i)
		if t.kind == quotedToken {
			text = unescape(Unfold(text[1 : len(text)-1]))
		}
		b.WriteString(text)
	}
	return b.String()
}

// commentText returns the comments in tokens [lo, hi), without their outer
// parentheses.
func (p *authorParser) commentText(lo, hi int) string {
	var b strings.Builder
	for i := lo; i < hi; i++ {
		if p.tokens[i].kind == commentToken {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			text := p.text(i)
			b.WriteString(unescape(Unfold(text[1 : len(text)-1])))
		}
	}
	return b.String()
}

// decodeWords decodes the encoded words of an unfolded text (RFC 2047) as a lenient
// reader does: wherever they stand, blanks in them allowed, and with characters that
// were cut in two between words of one charset.
func decodeWords(s string) string {
	var b strings.Builder
	var charset string // of the bytes in pending
	var pending []byte
	flush := func() {
		b.WriteString(decodeCharset(charset, pending))
		pending = pending[:0]
	}
	after := false // an encoded word stands right before s
	for {
		start := strings.Index(s, "=?")
		if start < 0 {
			break
		}
		word, size, complete := parseEncodedWord(s[start:])
		if !complete {
			break // there is no "?=" in all the rest
		}
		if gap := s[:start]; !after || strings.Trim(gap, " \t") != "" || size == 0 {
			flush()
			b.WriteString(gap)
		}
		if size == 0 {
			b.WriteString("=?")
			s, after = s[start+2:], false
			continue
		}
		if !strings.EqualFold(word.charset, charset) {
			flush()
			charset = word.charset
		}
		pending = word.appendBytes(pending)
		s, after = s[start+size:], true
	}
	flush()
	b.WriteString(s)
	return b.String()
}

type encodedWord struct {
	charset, text string
	base64        bool
}

// parseEncodedWord reads the encoded word that s begins with. A size of 0 means that
// it is none; complete is false when nothing after it can be one either. So every
// byte is searched once: a search that fails is the last.
func parseEncodedWord(s string) (word encodedWord, size int, complete bool) {
	charset, rest, ok := strings.Cut(s[2:], "?")
	if !ok {
		return word, 0, false
	}
	if charset == "" || len(rest) < 2 || rest[1] != '?' || strings.IndexByte("bBqQ", rest[0]) < 0 {
		return word, 0, true
	}
	text, after, ok := strings.Cut(rest[2:], "?=")
	if !ok {
		return word, 0, false
	}
	charset, _, _ = strings.Cut(charset, "*") // RFC 2231, section 5: a language
	return encodedWord{charset, text, rest[0] == 'b' || rest[0] == 'B'}, len(s) - len(after), true
}

// appendBytes undoes the transfer encoding, leaving out what cannot be read. Some
// readers stop at padding and some go on after it; going on finds more.
func (w encodedWord) appendBytes(b []byte) []byte {
	if w.base64 {
		for part := range strings.SplitSeq(w.text, "=") {
			clean := strings.Map(func(r rune) rune {
				if r == '+' || r == '/' || r < utf8.RuneSelf && isAlphanumeric(byte(r)) {
					return r
				}
				return -1
			}, part)
			if len(clean)%4 == 1 {
				clean = clean[:len(clean)-1]
			}
			b, _ = base64.RawStdEncoding.AppendDecode(b, []byte(clean))
		}
		return b
	}
	for i := 0; i < len(w.text); i++ {
		c := w.text[i]
		if c == '_' {
			c = ' '
		} else if c == '=' && i+2 < len(w.text) && isHex(w.text[i+1]) && isHex(w.text[i+2]) {
			c = unhex(w.text[i+1])<<4 | unhex(w.text[i+2])
			i += 2
		}
		b = append(b, c)
	}
	return b
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// decodeCharset returns b as UTF-8. In an unknown charset ASCII stays readable.
func decodeCharset(charset string, b []byte) string {
	if len(b) == 0 {
		return ""
	}
	switch charset = strings.ToLower(charset); charset {
	case "utf-8", "utf8", "us-ascii":
	case "utf-7", "unicode-1-1-utf-7":
		return decodeUTF7(string(b))
	default:
		if enc, err := htmlindex.Get(charset); err == nil {
			if text, err := enc.NewDecoder().Bytes(b); err == nil {
				return string(text)
			}
		}
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}

// decodeUTF7 decodes UTF-7 (RFC 2152), which no library here does and some readers
// still do: an '@' can hide in it.
func decodeUTF7(s string) string {
	var b strings.Builder
	for {
		direct, rest, ok := strings.Cut(s, "+")
		b.WriteString(direct)
		if !ok {
			return strings.ToValidUTF8(b.String(), "\ufffd")
		}
		end := strings.IndexFunc(rest, func(r rune) bool {
			return r >= utf8.RuneSelf || r != '+' && r != '/' && !isAlphanumeric(byte(r))
		})
		if end < 0 {
			end = len(rest)
		}
		if end == 0 && strings.HasPrefix(rest, "-") {
			b.WriteByte('+')
		}
		octets, _ := base64.RawStdEncoding.DecodeString(rest[:end])
		units := make([]uint16, len(octets)/2)
		for i := range units {
			units[i] = uint16(octets[2*i])<<8 | uint16(octets[2*i+1])
		}
		b.WriteString(string(utf16.Decode(units)))
		s = strings.TrimPrefix(rest[end:], "-")
	}
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
