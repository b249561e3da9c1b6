package mime

import (
	"slices"
	"strconv"
	"strings"
)

// media is a field like Content-Type: a value and parameters.
type media struct {
	value      string // in lower case
	params     []Param
	boundaries []string // the first and the last boundary, where they differ
	names      []string // of an attachment, in all readings, the one that counts first
	facts      Facts
}

// rawParam is a parameter as it was written. RFC 2231 gives a name up to three
// parts: name, *number of a continuation, * for an extended value.
type rawParam struct {
	name     string
	section  int // -1 without one
	extended bool
	value    string
}

// parseMedia reads the value of a Content-Type or Content-Disposition field
// (RFC 2045, section 5.1; RFC 2183; RFC 2231), at most limit parameters of it.
func parseMedia(field string, limit int) media {
	var m media
	s := paramScanner{text: field}
	m.value = s.until(";")
	if word, rest, found := strings.Cut(m.value, " "); found && strings.Contains(rest, "=") {
		// "text/html charset=utf-8": the semicolon was forgotten.
		m.value = word
		m.facts.add(BadParameter)
		s = paramScanner{text: rest + "; " + s.text[s.at:]}
	}
	m.value = strings.ToLower(m.value)
	var raw []rawParam
	for !s.done() {
		p, ok := s.param()
		if !ok {
			if p.name != "" {
				m.facts.add(BadParameter)
			}
			continue
		}
		if s.bad {
			m.facts.add(BadParameter)
		}
		if len(raw) == limit {
			m.facts.add(LimitParameters)
			break
		}
		raw = append(raw, p)
	}
	if len(raw) > 0 {
		m.assemble(raw)
	}
	return m
}

// assemble makes parameters of what was written: continuations are joined and
// extended values decoded. Where a parameter was written in several ways the
// extended one counts, then the continued one (RFC 2231, section 3).
func (m *media) assemble(raw []rawParam) {
	m.params = make([]Param, 0, len(raw))
	for i, r := range raw {
		if slices.ContainsFunc(raw[:i], func(earlier rawParam) bool { return earlier.name == r.name }) {
			continue
		}
		value := m.join(r.name, raw)
		m.params = append(m.params, Param{r.name, value})
		if r.name != "boundary" {
			continue
		}
		m.addBoundary(value)
		for _, other := range slices.Backward(raw) {
			if other.name == r.name && other.section < 0 && !other.extended {
				m.addBoundary(other.value)
				break
			}
		}
	}
}

func (m *media) addBoundary(b string) {
	if b != "" && !strings.ContainsAny(b, "\r\n") && !slices.Contains(m.boundaries, b) {
		m.boundaries = append(m.boundaries, b)
	}
}

// join returns the value of one parameter.
func (m *media) join(name string, raw []rawParam) string {
	var plain, whole, continued string
	var sections []rawParam
	plains := 0
	isName := name == "name" || name == "filename"
	var others []string // names besides the three
	for _, r := range raw {
		switch {
		case r.name != name:
		case r.section >= 0:
			sections = append(sections, r)
		case r.extended:
			value := decodeExtended(r.value)
			if whole != "" && value != whole {
				m.facts.add(DuplicateParameter)
				others = append(others, whole)
			}
			whole = value
		default:
			if plains++; plains == 1 {
				plain = r.value
			} else if r.value != plain {
				m.facts.add(DuplicateParameter)
				others = append(others, r.value)
			}
		}
	}
	if isName {
		// Encoded words are not for parameters (RFC 2047, section 5), and
		// common there.
		plain = DecodeWords(plain)
		for i := range others {
			others[i] = DecodeWords(others[i])
		}
	}
	if len(sections) > 0 {
		continued = m.continuation(sections, isName)
	}
	value := plain
	for _, better := range [...]string{continued, whole} {
		if better != "" {
			value = better
		}
	}
	if isName {
		m.addNames(value, continued, plain)
		m.addNames(others...)
	}
	return value
}

// addNames notes the names of an attachment, each once.
func (m *media) addNames(names ...string) {
	for _, name := range names {
		if name != "" && !slices.Contains(m.names, name) {
			m.names = append(m.names, name)
		}
	}
}

// continuation joins the sections of a value (RFC 2231, section 3), up to the
// first that is missing. The first one names the charset (section 4.1). The rest
// of the name of an attachment is another name: a program may join all there are.
func (m *media) continuation(sections []rawParam, isName bool) string {
	slices.SortStableFunc(sections, func(a, b rawParam) int { return a.section - b.section })
	var b strings.Builder
	label, gap := "", -1
	for i, s := range sections {
		if i > 0 && s.section == sections[i-1].section {
			m.facts.add(DuplicateParameter)
			continue
		}
		if gap < 0 && (i == 0 && s.section != 0 || i > 0 && s.section != sections[i-1].section+1) {
			m.facts.add(BadParameter)
			gap = b.Len()
		}
		if gap >= 0 && !isName {
			break
		}
		if !s.extended {
			b.WriteString(s.value)
			continue
		}
		value := s.value
		if i == 0 {
			label, value = cutCharset(value)
		}
		b.Write(decodePercent(value))
	}
	if gap < 0 {
		gap = b.Len()
	} else if isName {
		all, _ := toUTF8([]byte(b.String()), label, &watch{})
		defer m.addNames(all)
	}
	text, _ := toUTF8([]byte(b.String()[:gap]), label, &watch{})
	return text
}

// decodeExtended decodes charset'language'%41%42 (RFC 2231, section 4).
func decodeExtended(value string) string {
	label, value := cutCharset(value)
	text, _ := toUTF8(decodePercent(value), label, &watch{})
	return text
}

func cutCharset(value string) (label, rest string) {
	label, after, found := strings.Cut(value, "'")
	if _, text, ok := strings.Cut(after, "'"); found && ok {
		return label, text
	}
	return "", value
}

func decodePercent(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hex[s[i+1]] < 16 && hex[s[i+2]] < 16 {
			out = append(out, hex[s[i+1]]<<4|hex[s[i+2]])
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return out
}

// paramScanner walks over a field.
type paramScanner struct {
	text string
	at   int
	bad  bool // the last value was not well-formed
}

func (s *paramScanner) done() bool { return s.at >= len(s.text) }

// param reads one parameter and the semicolon after it. It is not ok without
// an equals sign.
func (s *paramScanner) param() (p rawParam, ok bool) {
	s.bad = false
	name := strings.ToLower(s.until("=;"))
	p = rawParam{name: name, section: -1}
	if s.text[s.at-1] != '=' {
		return p, false
	}
	if base, rest, found := strings.Cut(name, "*"); found {
		p.name = base
		number, star := strings.CutSuffix(rest, "*")
		p.extended = star || rest == ""
		if number != "" {
			n, err := strconv.ParseUint(number, 10, 16)
			if err != nil {
				return p, false
			}
			p.section = int(n)
		}
	}
	p.value = s.value()
	return p, p.name != ""
}

// until reads up to one of the stops and behind it, and returns what it read
// without comments and outer white space. Inner white space is one space each.
func (s *paramScanner) until(stops string) string {
	var commented []string // what stood before each comment
	start := s.at
	for !s.done() && strings.IndexByte(stops, s.text[s.at]) < 0 {
		if s.text[s.at] != '(' {
			s.at++
			continue
		}
		commented = append(commented, s.text[start:s.at])
		s.comment()
		start = s.at
	}
	text := s.text[start:s.at]
	s.at = min(s.at+1, len(s.text))
	if commented != nil {
		text = strings.Join(append(commented, text), " ")
	}
	text = strings.Trim(text, " \t\r\n")
	if commented != nil || strings.ContainsAny(text, "\t\r\n") {
		text = strings.Join(strings.Fields(text), " ")
	}
	return text
}

// comment reads a comment (RFC 5322, section 3.2.2); one that never ends is
// text.
func (s *paramScanner) comment() {
	depth := 0
	for i := s.at; i < len(s.text); i++ {
		switch s.text[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				s.at = i + 1
				return
			}
		}
	}
	s.at = len(s.text)
	s.bad = true
}

// value reads a value and the semicolon after it.
func (s *paramScanner) value() string {
	for !s.done() && (isSpace(s.text[s.at]) || s.text[s.at] == '(') {
		if s.text[s.at] == '(' {
			s.comment()
			continue
		}
		s.at++
	}
	if !s.done() && s.text[s.at] == '"' {
		if value, ok := s.quoted(); ok {
			if s.until(";") != "" {
				s.bad = true
			}
			return value
		}
		s.bad = true
		s.at++ // past the quote that has no partner; read the rest as a bare word
	}
	start := s.at
	for !s.done() && s.text[s.at] != ';' {
		s.at++
	}
	value := strings.Trim(s.text[start:s.at], " \t\r\n")
	s.at = min(s.at+1, len(s.text))
	if isToken(value) {
		return value
	}
	if word, rest := value[:wordEnd(value)], value[wordEnd(value):]; isToken(word) && strings.HasSuffix(rest, ")") && strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), "(") {
		return word // only a comment follows
	}
	s.bad = true
	return unfold(value)
}

// wordEnd returns where the first white space of s is.
func wordEnd(s string) int {
	if i := strings.IndexAny(s, " \t\r\n"); i >= 0 {
		return i
	}
	return len(s)
}

// quoted reads a quoted-string. A backslash escapes a quote or a backslash; in
// front of anything else it stays, for the sake of names like "C:\docs\a.txt".
func (s *paramScanner) quoted() (string, bool) {
	end, plain := -1, true
	for i := s.at + 1; i < len(s.text); i++ {
		if c := s.text[i]; c == '"' {
			end = i
			break
		} else if c == '\\' {
			plain = false
			i++
		} else if c == '\r' || c == '\n' {
			plain = false
		}
	}
	if end < 0 {
		return "", false
	}
	text := s.text[s.at+1 : end]
	s.at = end + 1
	if plain {
		return text, true
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\r' || c == '\n':
			continue
		case c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
		}
		out = append(out, text[i])
	}
	return string(out), true
}

var withoutLineEnds = strings.NewReplacer("\r", "", "\n", "")

// unfold takes line breaks out of s.
func unfold(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	return withoutLineEnds.Replace(s)
}

// isToken says whether s is a token (RFC 2045, section 5.1).
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isLetterDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
