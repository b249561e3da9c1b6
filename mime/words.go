package mime

import (
	"strings"
	"unicode/utf8"
)

// Bounds of DecodeWords. A field longer than what Postfix lets through is cut;
// charsets beyond the common ones each cost some work, so after maxCharsets of
// them, far more than any honest field has, words are read as Windows-1252.
const (
	maxWordsBytes = 64 << 10
	maxCharsets   = 200
)

// DecodeWords returns the unstructured text s, the value of a header field, as
// a reader sees it: unfolded, with its encoded words decoded (RFC 2047), in
// valid UTF-8. It forgives what mail programs forgive: words of any length,
// with spaces in them, next to each other or to other text without a space,
// characters split between two words, and bytes outside of words in UTF-8 or
// Windows-1252. What looks like an encoded word and is none stays as it is.
//
// The text is the sender's: decoded, it may hold line breaks, control
// characters and what looks like encoded words again. Only the first 64 KiB of
// s are read. The time grows with the length of s and nothing else.
func DecodeWords(s string) string {
	s = unfold(s[:min(len(s), maxWordsBytes)])
	if !strings.Contains(s, "=?") {
		return outsideWords(s)
	}
	var out strings.Builder
	out.Grow(len(s))
	d := wordDecoder{out: &out}
	rest := s
	for {
		at := strings.Index(rest, "=?")
		if at < 0 {
			break
		}
		w, ok := cutWord(rest[at:])
		if !ok {
			if w.end < 0 {
				break // no word can be complete any more
			}
			d.literal(rest[:at+2])
			rest = rest[at+2:]
			continue
		}
		if gap := rest[:at]; len(d.pending) == 0 || strings.Trim(gap, " \t") != "" {
			d.literal(gap)
		} // else RFC 2047, section 6.2: white space between two words is not shown
		d.word(w)
		rest = rest[at+w.end:]
	}
	d.literal(rest)
	return out.String()
}

// word is one encoded word.
type word struct {
	charset  string
	encoding byte // 'b' or 'q'
	text     string
	end      int // its length, -1 when there is no "?=" in all that follows
}

// cutWord reads the encoded word that s begins with: =?charset?encoding?text?=
func cutWord(s string) (w word, ok bool) {
	const enough = 2 + maxLabel + 1 // for the charset
	mark := strings.IndexByte(s[2:min(len(s), 2+enough)], '?')
	if mark <= 0 {
		return w, false
	}
	w.charset = s[2 : 2+mark]
	if i := strings.IndexByte(w.charset, '*'); i >= 0 {
		w.charset = w.charset[:i] // a language follows (RFC 2231, section 5)
	}
	if strings.ContainsAny(w.charset, " \t=<>@,\"") {
		return w, false
	}
	s = s[2+mark+1:]
	if len(s) < 2 || s[1] != '?' {
		return w, false
	}
	if w.encoding = s[0] | 0x20; w.encoding != 'b' && w.encoding != 'q' {
		return w, false
	}
	if w.end = strings.Index(s[2:], "?="); w.end < 0 {
		return w, false
	}
	w.text = s[2 : 2+w.end]
	w.end += 2 + mark + 1 + 2 + len("?=")
	return w, true
}

// wordDecoder collects the bytes of neighbouring words, since a character may
// begin in one and end in the next.
type wordDecoder struct {
	out      *strings.Builder
	pending  []byte // decoded, of charset
	charset  string
	charsets int // how many uncommon ones were used
}

func (d *wordDecoder) word(w word) {
	if len(d.pending) > 0 && !strings.EqualFold(d.charset, w.charset) {
		d.flush()
	}
	d.charset = w.charset
	if w.encoding == 'b' {
		d.pending, _ = decodeBase64(d.pending, []byte(w.text), len(w.text), &watch{})
		return
	}
	// The "Q" encoding (RFC 2047, section 4.2) is quoted-printable with
	// underscores for spaces.
	for i := 0; i < len(w.text); i++ {
		c := w.text[i]
		switch {
		case c == '_':
			c = ' '
		case c == '=' && i+2 < len(w.text) && hex[w.text[i+1]] < 16 && hex[w.text[i+2]] < 16:
			c = hex[w.text[i+1]]<<4 | hex[w.text[i+2]]
			i += 2
		}
		d.pending = append(d.pending, c)
	}
}

// literal writes text that is in no word.
func (d *wordDecoder) literal(text string) {
	d.flush()
	d.out.WriteString(outsideWords(text))
}

func (d *wordDecoder) flush() {
	if len(d.pending) == 0 {
		return
	}
	label := d.charset
	if !isCheap(label) {
		if d.charsets++; d.charsets > maxCharsets {
			label = "windows-1252"
		}
	}
	text, _ := toUTF8(d.pending, label, &watch{})
	d.out.WriteString(text)
	d.pending = d.pending[:0]
}

// outsideWords returns text as valid UTF-8.
func outsideWords(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return windows1252([]byte(text), &watch{})
}
