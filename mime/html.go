package mime

import (
	"strings"

	"golang.org/x/net/html"
)

// HTMLText returns the text that a reader sees of an HTML source, at most limit
// bytes of it: [View.Visible] of [HTMLView].
func HTMLText(source string, limit int) string {
	view, _ := HTMLView(source)
	return cutText(view.Visible, limit)
}

// HTMLView returns what a mail program shows of an HTML source, and what it does
// not show.
//
// Visible is the text that a reader sees. Scripts and style sheets are left out,
// character references decoded, and white space is one space, or one line feed
// where a block begins or ends. Tags inside a line leave no gap: "in<b></b>voice"
// reads "invoice".
//
// Hidden is text in elements that do not show: by display, visibility, opacity,
// mso-hide or the attribute hidden, by a font of at most one pixel, by the colour
// of its background, by a box without size or outside of the page; in style
// attributes, in the style sheets of the source as far as their selectors are
// simple (an element, a class, an id), and in the attributes of older HTML. Its
// title, its comments and, after all else, what only Outlook shows (conditional
// comments) are there, too. It is a guess, made in favour of visible: what a style
// sheet may show again to some readers, on small screens for instance, is visible;
// and a sheet counts from where it stands.
//
// It works on tokens, not on a tree, so that no nesting is too deep for it: time
// and memory grow with the length of the source and nothing else. Elements deeper
// than 512 count as those around them (LimitHTML).
func HTMLView(source string) (*View, Facts) {
	return htmlView(source, &watch{})
}

// htmlView is HTMLView for as long as there is time.
func htmlView(source string, w *watch) (*View, Facts) {
	r := renderer{view: new(View), anchor: -1, watch: *w}
	r.visible.out.Grow(len(source) / 3)
	r.render(source)
	r.closeAnchor()
	if r.outlook.Len() > 0 {
		r.elements, r.raw, r.comment = elements{}, "", true
		r.render(r.outlook.String())
		r.closeAnchor()
	}
	*w = r.watch
	w.note(&r.facts)
	r.view.Visible, r.view.Hidden = r.visible.out.String(), r.hidden.out.String()
	return r.view, r.facts
}

// renderer goes through an HTML source.
type renderer struct {
	view            *View
	visible, hidden squeezer
	elements        elements
	sheet           sheet
	raw             string          // the element whose text is no text: script, style and the like
	anchor          int             // the open link in view.links; -1 for none
	outlook         strings.Builder // HTML that only Outlook shows; read when all else is
	comment         bool            // in a comment, in what only Outlook shows
	watch           watch
	facts           Facts
}

// render goes through the tokens of source. They are cut by the tokenizer of
// x/net; their insides are read from the source itself, which takes no memory.
func (r *renderer) render(source string) {
	z := html.NewTokenizer(strings.NewReader(source))
	for {
		kind := z.Next()
		if kind == html.ErrorToken { // the end, since a string has no other error
			return
		}
		if !r.watch.spend(len(z.Raw()) + tokenWork) {
			return
		}
		token := source[:len(z.Raw())]
		source = source[len(token):]
		switch kind {
		case html.TextToken:
			r.text(z, token)
		case html.StartTagToken, html.SelfClosingTagToken:
			name, rest := cutTag(token[1:])
			switch name {
			case "noscript", "noembed", "noframes":
				z.NextIsNotRawText() // shown, as mail programs run no scripts
			}
			r.startTag(name, rest)
		case html.EndTagToken:
			name, _ := cutTag(token[2:])
			r.endTag(name)
		case html.CommentToken:
			r.commented(token)
		}
	}
}

// What is not paid for by its length, in bytes: a token, a URL, a name that is looked up.
const (
	tokenWork  = 32
	urlWork    = 256
	lookUpWork = 64
)

// text writes a text to where it belongs.
func (r *renderer) text(z *html.Tokenizer, token string) {
	switch r.raw {
	case "script":
		r.scriptURLs(token)
	case "style":
		r.styleSheet(token)
	case "iframe", "xmp": // their text has no references
		r.write([]byte(token), r.raw == "iframe")
	default:
		r.write(z.Text(), r.raw == "title")
	}
}

func (r *renderer) write(text []byte, hidden bool) {
	if !hidden && !r.comment && !r.elements.lookFor("").isHidden() {
		if r.visible.write(text) {
			r.hidden.separate(' ')
		}
		return
	}
	if r.hidden.write(text) && !r.comment && r.raw == "" {
		r.facts.add(HTMLHidden)
	}
}

// scriptURLs notes the URLs in a script: in an attached page they are where it
// leads to.
func (r *renderer) scriptURLs(script string) {
	s := textScanner{text: script, dot: len(script), colon: -1}
	for u, ok := s.next(&r.watch); ok; u, ok = s.next(&r.watch) {
		r.link(u.Raw, InSource, true)
	}
}

// commented writes a comment to the hidden text. What it shows to Outlook only is
// HTML.
func (r *renderer) commented(token string) {
	text, isComment := strings.CutPrefix(token, "<!--")
	if isComment {
		text = strings.TrimSuffix(strings.TrimSuffix(text, "-->"), "--!>")
	} else {
		text = strings.TrimSuffix(token[2:], ">")
	}
	switch mark := strings.TrimLeft(text, " \t\r\n<!"); {
	case token[1] == '?' || !isComment && hasPrefixFold(token, "<![if") || hasPrefixFold(mark, "[endif"):
		return // names of namespaces, and what shows in all programs but Outlook
	case hasPrefixFold(mark, "[if") && !r.comment:
		if _, inside, found := strings.Cut(text, "]>"); found {
			inside = strings.TrimSuffix(strings.TrimSuffix(inside, "<![endif]"), "<!")
			if strings.Trim(inside, " \t\r\n") != "" {
				r.outlook.WriteString(inside)
				r.outlook.WriteString(endsOfText)
			}
			return
		}
	}
	outside := r.comment
	if outside { // a comment that never ends, in a piece for Outlook
		text = strings.ReplaceAll(text, endsOfText, " ")
	}
	r.comment = true
	r.write([]byte(text), true)
	r.comment = outside
}

// endsOfText ends whatever swallows the HTML after it.
const endsOfText = "</script></style></title></textarea></iframe></xmp>\n"

// startTag reads a start tag, whose attributes are in rest.
func (r *renderer) startTag(name, rest string) {
	info := tags[name]
	r.elements.impliedEnds(name, info)
	a := r.attributes(name, rest)
	switch name {
	case "script":
		r.facts.add(HTMLScript)
	case "form":
		r.facts.add(HTMLForm)
	case "iframe", "frame", "object", "embed", "applet":
		r.facts.add(HTMLFrame)
	}
	if info.has(rawText) {
		r.raw = name
		r.hidden.gap = '\n'
		return
	}
	look := r.elements.lookFor(name)
	if name == "template" {
		look.hidden = true
	}
	if a.link {
		look.ink = linkInk
	}
	a.apply(&look)
	st := r.sheet.style(a.hidden, name, &a, &r.watch)
	st.apply(&look)
	r.separate(info, look)
	if a.link {
		r.closeAnchor()
		if r.link(a.href, InLink, look.isHidden()) {
			r.anchor = len(r.view.links) - 1
		}
	} else if a.href != "" {
		if name == "base" {
			r.facts.add(HTMLBase)
		}
		r.link(a.href, hrefPlace(name), look.isHidden())
	}
	if !info.has(void) && !r.elements.push(name, info, look) {
		r.facts.add(LimitHTML)
	}
}

// endTag reads an end tag.
func (r *renderer) endTag(name string) {
	info := tags[name]
	if info.has(rawText) {
		r.raw = ""
		r.hidden.gap = '\n'
		return
	}
	r.separate(info, r.elements.look())
	if name == "a" {
		r.closeAnchor()
	}
	r.elements.pop(name, info)
}

// separate notes the gap that a tag leaves, where it shows.
func (r *renderer) separate(info tag, l look) {
	gap := byte(0)
	switch {
	case info.has(block):
		gap = '\n'
	case info.has(spaced):
		gap = ' '
	default:
		return
	}
	r.hidden.separate(gap)
	if !l.hidden && !r.comment {
		r.visible.separate(gap)
	}
}

// maxLinks is how many URLs are noted in one source, most of them copies.
const maxLinks = 20_000

// link notes a URL, if there is room for it. Its text begins here.
func (r *renderer) link(ref string, where Place, hidden bool) bool {
	if len(r.view.links) == maxLinks {
		r.facts.add(LimitURLs)
		return false
	}
	visible, hiddenText := r.visible.out.Len(), r.hidden.out.Len()
	r.view.links = append(r.view.links, link{ref: ref, where: where, hidden: hidden || r.comment,
		visible: extent{visible, visible}, hiddenText: extent{hiddenText, hiddenText}})
	return true
}

// closeAnchor ends the text of the open link.
func (r *renderer) closeAnchor() {
	if r.anchor >= 0 {
		l := &r.view.links[r.anchor]
		l.visible.to, l.hiddenText.to = r.visible.out.Len(), r.hidden.out.Len()
		r.anchor = -1
	}
}

// squeezer collects text and brings its white space down to what shows.
type squeezer struct {
	out strings.Builder
	gap byte // what comes before the next word: 0, a space or a line feed
}

// separate notes a gap; a line feed is more than a space.
func (t *squeezer) separate(gap byte) {
	if t.gap != '\n' {
		t.gap = gap
	}
}

// write says whether there was more than white space in text.
func (t *squeezer) write(text []byte) (wrote bool) {
	for len(text) > 0 {
		n := 0
		for n < len(text) && (text[n] > ' ' && text[n] != nbsp[0] || spaceIn(text[n:]) == 0) {
			n++
		}
		if n > 0 {
			if t.gap != 0 && t.out.Len() > 0 {
				t.out.WriteByte(t.gap)
			}
			t.gap = 0
			t.out.Write(text[:n])
			wrote = true
			text = text[n:]
			continue
		}
		text = text[spaceIn(text):]
		t.separate(' ')
	}
	return wrote
}

// spaceIn is spaceAt for bytes.
func spaceIn(text []byte) int {
	switch text[0] {
	case ' ', '\t', '\n', '\f', '\r':
		return 1
	case nbsp[0]:
		if len(text) > 1 && text[1] == nbsp[1] {
			return 2
		}
	}
	return 0
}
