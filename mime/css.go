package mime

import (
	"strconv"
	"strings"
)

// look is how text shows at one place, as far as it can make text invisible.
type look struct {
	hidden     bool // with all that is inside
	invisible  bool // visibility: what is inside may be visible again
	font       float32
	ink, paper colour
}

var (
	paper   = look{font: 16, ink: colour{known: true}, paper: colour{255, 255, 255, true}}
	linkInk = colour{0, 0, 238, true}
)

// smallest is a font that nobody can see, in pixels: "1px" and "1pt" are.
const smallest = 1.5

func (l look) isHidden() bool {
	return l.hidden || l.invisible || l.font < smallest || l.ink.transparent() || l.ink.like(l.paper)
}

// apply is what the attributes of older HTML do.
func (a *attributes) apply(l *look) {
	if a.ink != "" {
		l.ink = attributeColour(a.ink)
	}
	if a.paper != "" {
		l.paper = attributeColour(a.paper)
	}
	if a.picture {
		l.paper = colour{}
	}
}

// style is what declarations in CSS say of one element, as far as it can hide
// it. Each property is known or not, and when known, does its part in hiding or
// not.
type style struct {
	known, hides property
	important    property // those marked so, which win over all others
	font         length
	ink, paper   colour
}

// property is a property of CSS.
type property uint32

const (
	display property = 1 << iota
	visibility
	opacity
	msoHide
	clip
	width
	height
	maxWidth
	maxHeight
	overflow
	position
	offset
	indent
	transform
	fontSize
	ink
	background
)

// length is a length in pixels, or of that around it.
type length struct {
	n        float32
	relative bool
}

func (s *style) note(p property, hides bool) {
	s.known |= p
	s.hides &^= p
	if hides {
		s.hides |= p
	}
}

// merge adds what a later or more specific rule says.
func (s *style) merge(later *style) {
	of := later.known &^ (s.important &^ later.important)
	s.known |= of
	s.hides = s.hides&^of | later.hides&of
	s.important |= later.important & of
	if of&fontSize != 0 {
		s.font = later.font
	}
	if of&ink != 0 {
		s.ink = later.ink
	}
	if of&background != 0 {
		s.paper = later.paper
	}
}

// shows are the properties by which the style may make text visible.
func (s *style) shows() property {
	shows := s.known &^ s.hides
	if s.known&fontSize != 0 && (!s.font.relative && s.font.n < smallest || s.font.relative && s.font.n < 0.2) {
		shows &^= fontSize
	}
	return shows
}

// doubt takes back what hides, for properties of which nobody knows whether
// another rule makes them show.
func (s *style) doubt(of property) {
	s.known |= of & (visibility | fontSize | ink | background)
	s.hides &^= of
	if of&fontSize != 0 {
		s.font = paperFont
	}
	if of&ink != 0 {
		s.ink = colour{}
	}
	if of&background != 0 {
		s.paper = colour{}
	}
}

// apply changes the look of an element's inside.
func (s *style) apply(l *look) {
	if s.known == 0 {
		return
	}
	both := func(p property) bool { return s.hides&p == p }
	switch {
	case s.hides&(display|opacity|msoHide|indent|transform) != 0,
		both(position | clip), both(position | offset),
		s.hides&overflow != 0 && s.hides&(width|height|maxWidth|maxHeight) != 0:
		l.hidden = true
	}
	if s.known&visibility != 0 {
		l.invisible = s.hides&visibility != 0
	}
	if s.known&fontSize != 0 {
		if s.font.relative {
			l.font *= s.font.n
		} else {
			l.font = s.font.n
		}
	}
	if s.known&ink != 0 {
		l.ink = s.ink
	}
	if s.known&background != 0 && !s.paper.transparent() {
		l.paper = s.paper
	}
}

// parse reads declarations, "name: value; name: value", and adds them to s. Those
// that do not matter are passed over.
func (s *style) parse(text string) {
	if strings.Contains(text, "/*") {
		text = withoutCSSComments(text)
	}
	for text != "" {
		var declaration string
		declaration, text = cutDeclaration(text)
		colon := strings.IndexByte(declaration, ':')
		if colon < 0 {
			continue
		}
		var buf [len("background-color")]byte
		name := trimSpace(declaration[:colon])
		if len(name) > len(buf) {
			continue
		}
		value := trimSpace(declaration[colon+1:])
		mark := strings.LastIndexByte(value, '!')
		if mark < 0 && s.important == 0 {
			s.declare(string(lowerInto(buf[:], name)), value)
			continue
		}
		var one style // by itself, so as to see which property it is
		if mark >= 0 {
			value = trimSpace(value[:mark])
		}
		one.declare(string(lowerInto(buf[:], name)), value)
		if mark >= 0 {
			one.important = one.known
		}
		s.merge(&one)
	}
}

// trimSpace takes white space away from both ends.
func trimSpace(s string) string {
	for s != "" && isHTMLSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isHTMLSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// lowerInto writes s in lower case into buf, which is as long or longer.
func lowerInto(buf []byte, s string) []byte {
	for i := range len(s) {
		if buf[i] = s[i]; s[i] >= 'A' && s[i] <= 'Z' {
			buf[i] |= 0x20
		}
	}
	return buf[:len(s)]
}

// cutDeclaration returns what stands before the first semicolon that is in no
// quotes and no parentheses, and what follows it.
func cutDeclaration(text string) (declaration, rest string) {
	parens, quote := 0, byte(0)
	for i := range len(text) {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '(':
			parens++
		case c == ')':
			parens = max(parens-1, 0)
		case c == ';' && parens == 0:
			return text[:i], text[i+1:]
		}
	}
	return text, "" // what is never closed has the rest in it
}

// declare notes one declaration. name is in lower case.
func (s *style) declare(name, value string) {
	switch name {
	case "display":
		s.note(display, strings.EqualFold(value, "none"))
	case "visibility":
		s.note(visibility, strings.EqualFold(value, "hidden") || strings.EqualFold(value, "collapse"))
	case "opacity":
		n, ok := parseLength(value)
		s.note(opacity, ok && n.n < 0.06)
	case "mso-hide":
		s.note(msoHide, strings.EqualFold(value, "all"))
	case "clip":
		s.note(clip, hasPrefixFold(value, "rect(0") || hasPrefixFold(value, "rect(1px"))
	case "clip-path":
		s.note(clip|position, hasPrefixFold(value, "inset(100%") || hasPrefixFold(value, "inset(50%") || hasPrefixFold(value, "circle(0"))
	case "width":
		s.note(width, isNothing(value))
	case "height":
		s.note(height, isNothing(value))
	case "max-width":
		s.note(maxWidth, isNothing(value))
	case "max-height":
		s.note(maxHeight, isNothing(value))
	case "overflow", "overflow-x", "overflow-y":
		s.note(overflow, hasPrefixFold(value, "hidden") || hasPrefixFold(value, "clip"))
	case "position":
		s.note(position, hasPrefixFold(value, "absolute") || hasPrefixFold(value, "fixed") || hasPrefixFold(value, "relative"))
	case "left", "top", "right", "bottom":
		if isOutside(value) { // one is enough
			s.note(offset, true)
		}
	case "text-indent", "margin-left", "margin-top":
		if isOutside(value) {
			s.note(indent, true)
		}
	case "transform":
		s.note(transform, hasPrefixFold(value, "scale(0)") || hasPrefixFold(value, "scale(0,"))
	case "font-size", "font":
		s.declareFont(name, value)
	case "color":
		if c, ok := parseColour(value); ok {
			s.note(ink, false)
			s.ink = c
		}
	case "background", "background-color", "background-image":
		s.declareBackground(name, value)
	}
}

// declareFont notes a font's size. "font: bold 0/0 serif" has it before a slash.
func (s *style) declareFont(name, value string) {
	if name == "font" {
		for word := range strings.FieldsSeq(value) {
			if word[0] == '.' || word[0] >= '0' && word[0] <= '9' {
				size, _, _ := strings.Cut(word, "/")
				if n, ok := parseLength(size); ok && (n.n == 0 || size[len(size)-1] > '9' || size[len(size)-1] == '%') {
					s.note(fontSize, false)
					s.font = n
					return
				}
			}
		}
		return
	}
	n, ok := parseLength(value)
	if !ok {
		n = paperFont // a word, such as "small"
	}
	s.note(fontSize, false)
	s.font = n
}

var paperFont = length{n: 16}

// declareBackground notes the colour of the paper, which nobody knows when a
// picture lies on it.
func (s *style) declareBackground(name, value string) {
	if indexURLFunction(value) >= 0 || strings.Contains(value, "gradient") {
		s.note(background, false)
		s.paper = colour{}
		return
	}
	if name == "background-image" {
		return
	}
	if c, ok := parseColour(value); ok {
		s.note(background, false)
		s.paper = c
		return
	}
	for word := range strings.FieldsSeq(value) {
		if c, ok := parseColour(word); ok {
			s.note(background, false)
			s.paper = c
			return
		}
	}
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// isNothing says whether a box of this size has no room for a letter.
func isNothing(value string) bool {
	n, ok := parseLength(value)
	return ok && n.n <= 1 && (!n.relative || n.n < 0.01)
}

// isOutside says whether this is far away from the page, in pixels.
func isOutside(value string) bool {
	n, ok := parseLength(value)
	return ok && (!n.relative && n.n <= -400 || n.relative && n.n <= -20)
}

// parseLength reads a length: a number and its unit.
func parseLength(value string) (length, bool) {
	end := 0
	for end < len(value) && (value[end] >= '0' && value[end] <= '9' || value[end] == '.' || end == 0 && (value[end] == '-' || value[end] == '+')) {
		end++
	}
	if end == 0 || end > 20 {
		return length{}, false
	}
	f, err := strconv.ParseFloat(value[:end], 32)
	if err != nil {
		return length{}, false
	}
	n := float32(f)
	unit := value[end:]
	if len(unit) > 3 {
		return length{}, false
	}
	var buf [3]byte
	switch string(lowerInto(buf[:], unit)) {
	case "", "px":
		return length{n: n}, true
	case "pt":
		return length{n: n * 4 / 3}, true
	case "em":
		return length{n, true}, true
	case "ex", "ch":
		return length{n / 2, true}, true
	case "%":
		return length{n / 100, true}, true
	case "rem", "pc":
		return length{n: n * 16}, true
	case "in":
		return length{n: n * 96}, true
	case "cm":
		return length{n: n * 96 / 2.54}, true
	case "mm":
		return length{n: n * 9.6 / 2.54}, true
	case "vw", "vh":
		return length{n: n * 10}, true
	}
	return length{}, false
}
