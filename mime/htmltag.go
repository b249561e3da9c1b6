package mime

import (
	"strings"

	"golang.org/x/net/html"
)

// tag says how an element of HTML behaves.
type tag uint16

const (
	block      tag = 1 << iota // begins and ends a line
	spaced                     // leaves a space
	void                       // has no content and no end tag
	rawText                    // its text is not markup
	formatting                 // its end tag leaves open what is in it
	special                    // is not closed by the end tags of others
	closesP                    // ends an open paragraph
	scope                      // end tags inside do not reach beyond it
)

func (t tag) has(bit tag) bool { return t&bit != 0 }

// tags are the elements that are more than an unknown one. It does not change.
var tags = func() map[string]tag {
	all := make(map[string]tag)
	for kind, names := range map[tag]string{
		block | special | closesP: "address article aside blockquote center dd dir div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header li main menu nav ol p pre section ul details summary listing",
		block | special:           "body head html tbody tfoot thead tr caption",
		block | special | scope:   "table",
		block | void:              "br",
		block | void | closesP:    "hr",
		spaced | special | scope:  "td th",
		spaced | void:             "img input",
		spaced:                    "option optgroup label textarea",
		spaced | special:          "button select",
		void:                      "area base basefont bgsound col embed frame keygen link meta param source track wbr image",
		rawText:                   "script style title iframe xmp",
		formatting:                "a b big code em font i nobr s small strike strong tt u",
		special | scope:           "applet marquee object template",
	} {
		for name := range strings.FieldsSeq(names) {
			all[name] = kind
		}
	}
	return all
}()

// cutTag returns the name that begins a tag, in lower case, and the rest of the
// tag up to its angle bracket.
func cutTag(tag string) (name, rest string) {
	end := 0
	upper := false
	for end < len(tag) {
		c := tag[end]
		if c == '>' || c == '/' || isHTMLSpace(c) {
			break
		}
		upper = upper || c >= 'A' && c <= 'Z'
		end++
	}
	name, rest = tag[:end], strings.TrimSuffix(tag[end:], ">")
	if upper {
		name = strings.ToLower(name)
	}
	return name, rest
}

func isHTMLSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' }

// attributeReader goes through the attributes of a tag.
type attributeReader struct {
	text string
	name string // as written
	// value is the one of the attribute, its references not decoded.
	value string
}

// next reads one attribute (HTML standard, section 13.2.5.32 and on).
func (a *attributeReader) next() bool {
	s, i := a.text, 0
	for i < len(s) && (isHTMLSpace(s[i]) || s[i] == '/') {
		i++
	}
	if i == len(s) {
		return false
	}
	start := i
	for i++; i < len(s) && s[i] != '=' && s[i] != '/' && !isHTMLSpace(s[i]); {
		i++
	}
	a.name, a.value = s[start:i], ""
	for i < len(s) && isHTMLSpace(s[i]) {
		i++
	}
	if i == len(s) || s[i] != '=' {
		a.text = s[i:]
		return true
	}
	for i++; i < len(s) && isHTMLSpace(s[i]); {
		i++
	}
	if i == len(s) {
		a.text = ""
		return true
	}
	if quote := s[i]; quote == '"' || quote == '\'' {
		s = s[i+1:]
		end := strings.IndexByte(s, quote)
		if end < 0 {
			end = len(s)
		}
		a.value, a.text = s[:end], s[min(end+1, len(s)):]
		return true
	}
	start = i
	for i < len(s) && !isHTMLSpace(s[i]) {
		i++
	}
	a.value, a.text = s[start:i], s[i:]
	return true
}

// decoded returns the value with its character references decoded.
func (a *attributeReader) decoded() string {
	amp := strings.IndexByte(a.value, '&')
	if amp < 0 {
		return a.value
	}
	var b strings.Builder
	b.Grow(len(a.value))
	rest := a.value
	for amp >= 0 {
		b.WriteString(rest[:amp])
		rest = rest[amp:]
		end := 1
		for end < min(len(rest), maxReference) && (isLetterDigit(rest[end]) || end == 1 && rest[end] == '#') {
			end++
		}
		reference := rest[:end]
		switch {
		case end < len(rest) && rest[end] == ';':
			end++
			reference = html.UnescapeString(rest[:end])
		case end > 1 && rest[1] == '#':
			reference = html.UnescapeString(reference)
		case end > 1 && (end == len(rest) || rest[end] != '='):
			// Without a semicolon only what is the whole of a word counts, so
			// that "?a=1&copy=2" and "?a&notes" stay what they are.
			if char := html.UnescapeString(reference); len(char) <= len("®") {
				reference = char
			}
		}
		b.WriteString(reference)
		rest = rest[end:]
		amp = strings.IndexByte(rest, '&')
	}
	b.WriteString(rest)
	return b.String()
}

// maxReference is longer than the name of any character.
const maxReference = 40

// attributes are those of one tag that matter for what shows.
type attributes struct {
	style, class, id string
	href             string
	link             bool // an <a> that leads somewhere
	hidden           bool
	ink, paper       string // colours
	picture          bool   // behind the text
}

// attributes reads the attributes of a tag, and notes the URLs in all of them
// but href. Of several of one name the first counts.
func (r *renderer) attributes(name, text string) (a attributes) {
	var seen uint32 // attributes
	var content string
	refresh := false
	long := len(text) > pace // the token has been paid for, its end would come late
	for reader := (attributeReader{text: text}); reader.next(); {
		if long && !r.watch.spend(len(reader.name)+len(reader.value)) {
			break
		}
		var buf [12]byte
		if len(reader.name) > len(buf) {
			continue
		}
		key := buf[:len(reader.name)]
		for i := range key {
			if key[i] = reader.name[i]; key[i] >= 'A' && key[i] <= 'Z' {
				key[i] |= 0x20
			}
		}
		number := attributeNumber(string(key))
		if number == 0 || seen&(1<<number) != 0 {
			continue
		}
		seen |= 1 << number
		switch number {
		case attrStyle:
			a.style = reader.decoded()
			if hasURLFunction(a.style) {
				r.styleURLs(a.style)
			}
		case attrClass:
			a.class = reader.decoded()
		case attrID:
			a.id = reader.decoded()
		case attrHidden:
			a.hidden = true
		case attrColor:
			if name == "font" || name == "basefont" {
				a.ink = reader.decoded()
			}
		case attrText:
			if name == "body" {
				a.ink = reader.decoded()
			}
		case attrBGColor:
			a.paper = reader.decoded()
		case attrBackground:
			a.picture = true
			r.link(reader.decoded(), InSource, false)
		case attrHref:
			a.href = reader.decoded()
			a.link = name == "a" || name == "area"
		case attrAction:
			r.link(reader.decoded(), InLink, r.elements.look().isHidden())
		case attrSrc:
			r.link(reader.decoded(), InSource, false)
		case attrSrcset:
			r.srcset(reader.decoded())
		case attrData:
			if name == "object" {
				r.link(reader.decoded(), InSource, false)
			}
		case attrContent:
			content = reader.decoded()
		case attrHTTPEquiv:
			refresh = name == "meta" && strings.EqualFold(strings.TrimSpace(reader.decoded()), "refresh")
		}
	}
	if refresh {
		r.refresh(content)
	}
	return a
}

// The attributes that matter.
const (
	attrStyle = 1 + iota
	attrClass
	attrID
	attrHidden
	attrColor
	attrText
	attrBGColor
	attrBackground
	attrHref
	attrAction
	attrSrc
	attrSrcset
	attrData
	attrContent
	attrHTTPEquiv
)

func attributeNumber(name string) int {
	switch name {
	case "style":
		return attrStyle
	case "class":
		return attrClass
	case "id":
		return attrID
	case "hidden":
		return attrHidden
	case "color":
		return attrColor
	case "text":
		return attrText
	case "bgcolor":
		return attrBGColor
	case "background":
		return attrBackground
	case "href", "xlink:href":
		return attrHref
	case "action", "formaction":
		return attrAction
	case "src", "poster", "lowsrc", "dynsrc":
		return attrSrc
	case "srcset":
		return attrSrcset
	case "data":
		return attrData
	case "content":
		return attrContent
	case "http-equiv":
		return attrHTTPEquiv
	}
	return 0
}

// hrefPlace says what the href of an element that is no link is for.
func hrefPlace(name string) Place {
	switch name {
	case "base":
		return inBase
	case "link", "image", "use":
		return InSource
	}
	return InLink // a button that Outlook draws, for one
}

// srcset notes the URLs of a picture in several sizes: "a.png 1x, b.png 2x".
func (r *renderer) srcset(value string) {
	for candidate := range strings.SplitSeq(value, ", ") {
		if ref := strings.TrimSpace(candidate); ref != "" {
			if space := strings.IndexByte(ref, ' '); space > 0 {
				ref = ref[:space]
			}
			r.link(ref, InSource, false)
		}
	}
}

// refresh notes where <meta http-equiv=refresh content="0; url=..."> leads to.
func (r *renderer) refresh(content string) {
	r.facts.add(HTMLRefresh)
	ref := strings.TrimLeft(content, " \t\r\n0123456789.;,")
	if len(ref) >= 3 && strings.EqualFold(ref[:3], "url") {
		if after, found := strings.CutPrefix(strings.TrimLeft(ref[3:], " \t"), "="); found {
			ref = strings.TrimLeft(after, " \t")
		}
	}
	if ref = strings.Trim(ref, `"' `); ref != "" {
		r.link(ref, InLink, false)
	}
}
