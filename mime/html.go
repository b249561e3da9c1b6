package mime

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// HTMLText returns the text that a mail program shows for an HTML source, at
// most limit bytes of it. Scripts, styles, titles, templates, frames and
// comments are left out, character references decoded, and white space is one
// space, or one line break where a block begins or ends. Tags inside a line
// leave no gap: "in<b></b>voice" reads "invoice".
//
// It works on tokens, not on a tree, so that no nesting is too deep for it. What
// a style sheet would hide is still there.
func HTMLText(source string, limit int) string {
	z := html.NewTokenizer(strings.NewReader(source))
	var t visibleText
	t.out.Grow(min(len(source)/2, max(limit, 0)))
	templates := 0
	raw := false // the next text is no text
	var buf [len("blockquote")]byte
	for t.out.Len() < limit {
		switch z.Next() {
		case html.ErrorToken: // the end, since a string has no other error
			return t.cut(limit)
		case html.TextToken:
			if templates == 0 && !raw {
				t.write(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name := tagName(z.Raw(), &buf)
			switch string(name) {
			case "script", "style", "title", "iframe":
				raw = true
			case "noscript", "noembed", "noframes":
				z.NextIsNotRawText() // shown, as mail programs run no scripts
			case "template":
				templates++
			default:
				if templates == 0 {
					t.separate(name)
				}
			}
		case html.EndTagToken:
			name := tagName(z.Raw(), &buf)
			switch string(name) {
			case "script", "style", "title", "iframe":
				raw = false
			case "template":
				templates = max(templates-1, 0)
			default:
				if templates == 0 {
					t.separate(name)
				}
			}
		}
	}
	return t.cut(limit)
}

// tagName returns the name of a tag such as "</P>" in lower case, in buf. A
// name that does not fit is none we know; it comes back cut to nothing. The
// tokenizer's own TagName takes memory for every tag.
func tagName(tag []byte, buf *[len("blockquote")]byte) []byte {
	tag = bytes.TrimPrefix(tag[1:], []byte("/"))
	for i, c := range tag {
		if isSpace(c) || c == '\f' || c == '/' || c == '>' {
			return buf[:i]
		}
		if i == len(buf) {
			break
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	return nil
}

// visibleText collects text and brings its white space down to what shows.
type visibleText struct {
	out strings.Builder
	gap byte // what comes before the next word: 0, a space or a line break
}

// separate notes the gap that a tag leaves.
func (t *visibleText) separate(tag []byte) {
	switch string(tag) {
	case "address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer", "form",
		"h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tr", "ul":
		t.gap = '\n'
	case "td", "th", "img", "button", "input", "option", "select", "textarea":
		if t.gap == 0 {
			t.gap = ' '
		}
	}
}

func (t *visibleText) write(text []byte) {
	for len(text) > 0 {
		n := 0
		for n < len(text) && spaceAt(text[n:]) == 0 {
			n++
		}
		if n > 0 {
			if t.gap != 0 && t.out.Len() > 0 {
				t.out.WriteByte(t.gap)
			}
			t.gap = 0
			t.out.Write(text[:n])
			text = text[n:]
			continue
		}
		text = text[spaceAt(text):]
		if t.gap == 0 {
			t.gap = ' '
		}
	}
}

// spaceAt returns the length of the white space character that text begins
// with, 0 if it begins with another. The no-break space counts.
func spaceAt(text []byte) int {
	switch text[0] {
	case ' ', '\t', '\n', '\f', '\r':
		return 1
	case 0xc2:
		if len(text) > 1 && text[1] == 0xa0 {
			return 2
		}
	}
	return 0
}

// cut returns the text, valid and not longer than limit.
func (t *visibleText) cut(limit int) string {
	text := t.out.String()
	if len(text) > limit {
		end := max(limit, 0)
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	return text
}
