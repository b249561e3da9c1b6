package spf

import (
	"strconv"
	"strings"
	"time"
)

const (
	// maxParts is the largest number of right-hand parts a macro may ask for. RFC
	// 7208, section 7.3 wants at least 127; more than that has no use in a name.
	maxParts = 128

	// A name is cut down to maxName at the end; the buffer it grows in is cut to
	// its last keepName bytes whenever it exceeds maxBuffer, which gives the same.
	keepName  = 2 * maxName
	maxBuffer = 4 * maxName
)

// macro is one macro-expand (RFC 7208, section 7.1):
//
//	macro-expand = ( "%{" macro-letter transformers *delimiter "}" )
//	               / "%%" / "%_" / "%-"
//	transformers = *DIGIT [ "r" ]
//	delimiter    = "." / "-" / "+" / "," / "/" / "_" / "="
type macro struct {
	letter  byte   // lower case; '%', '_' and '-' for the other three
	escape  bool   // the letter was upper case
	parts   int    // right-hand parts to keep, 0 for all
	reverse bool   // parts from right to left
	delims  string // what separates parts, "" for "."
}

// Problems of a syntax error in a macro.
const (
	problemMacro      = `"%" is not followed by "{", "%", "_" or "-"`
	problemLetter     = "unknown macro letter"
	problemTextLetter = "macro letters c, r and t are for explanations only"
	problemDigits     = "macro transformer is not a number from 1 to 128"
	problemBrace      = `macro is not closed by "}"`
)

// readMacro reads the macro that s begins with; s[0] is '%'. It returns its
// length, or what is wrong with it.
func readMacro(s string) (m macro, n int, problem string) {
	if len(s) < 2 {
		return m, 0, problemMacro
	}
	switch s[1] {
	case '%', '_', '-':
		return macro{letter: s[1]}, 2, ""
	case '{':
	default:
		return m, 0, problemMacro
	}
	i := 2
	if i == len(s) || !isAlpha(s[i]) || strings.IndexByte("slodiphcrtv", s[i]|0x20) < 0 {
		return m, 0, problemLetter
	}
	m.letter, m.escape = s[i]|0x20, s[i]&0x20 == 0

	digits := i + 1
	for i = digits; i < len(s) && isDigit(s[i]); i++ {
		m.parts = min(m.parts*10+int(s[i]-'0'), maxParts+1) // no overflow, however long
	}
	if i > digits && (m.parts == 0 || m.parts > maxParts) {
		return m, 0, problemDigits
	}
	if i < len(s) && s[i]|0x20 == 'r' {
		m.reverse = true
		i++
	}
	delims := i
	for i < len(s) && isDelimiter(s[i]) {
		i++
	}
	m.delims = s[delims:i]
	if i == len(s) || s[i] != '}' {
		return m, 0, problemBrace
	}
	return m, i + 1, ""
}

func isDelimiter(c byte) bool { return strings.IndexByte(".-+,/_=", c) >= 0 }

// expandName expands a domain-spec of the record of domain into a name without
// final dot, at most 253 bytes long; "" when no label boundary allows that.
func (c *check) expandName(spec, domain string) (string, *Error) {
	name := spec
	if strings.IndexByte(spec, '%') >= 0 {
		var err *Error
		if c.buf, err = c.expand(c.buf[:0], spec, domain, false); err != nil {
			return "", err
		}
		name = string(c.buf)
	}
	name = strings.TrimSuffix(name, ".")
	// RFC 7208, section 7.3: labels are removed from the left until the name fits.
	for len(name) > maxName {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return "", nil
		}
		name = rest
	}
	return name, nil
}

// expandText expands an explanation published for domain (RFC 7208, section 6.2).
//
//	explain-string = *( macro-string / SP )
func (c *check) expandText(text, domain string) (string, *Error) {
	if problem := checkMacros(text, false); problem != "" {
		return "", &Error{Status: PermError, Reason: ErrSyntax, Err: &SyntaxError{Term: text, Problem: problem}}
	}
	buf, err := c.expand(c.buf[:0], text, domain, true)
	c.buf = buf
	return string(buf), err
}

// checkMacros looks for a macro that is not well formed.
func checkMacros(s string, name bool) (problem string) {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return ""
		}
		m, n, problem := readMacro(s[i:])
		if problem != "" {
			return problem
		}
		// RFC 7208, section 7.2: c, r and t are for "exp" text only.
		if name && (m.letter == 'c' || m.letter == 'r' || m.letter == 't') {
			return problemTextLetter
		}
		s = s[i+n:]
	}
}

// expand appends the expansion of s, whose syntax was checked. A text stops
// growing when it is too long to be used; of a name only the end is kept.
func (c *check) expand(dst []byte, s, domain string, text bool) ([]byte, *Error) {
	for s != "" {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return append(dst, s...), nil
		}
		dst = append(dst, s[:i]...)
		m, n, _ := readMacro(s[i:])
		s = s[i+n:]
		switch m.letter {
		case '%':
			dst = append(dst, '%')
		case '_':
			dst = append(dst, ' ')
		case '-':
			dst = append(dst, "%20"...)
		default:
			value, err := c.value(m.letter, domain)
			if err != nil {
				return dst, err
			}
			dst = c.transform(dst, m, value)
		}
		if len(dst) > maxBuffer {
			if text {
				return dst, nil
			}
			dst = append(dst[:0], dst[len(dst)-keepName:]...)
		}
	}
	return dst, nil
}

// value is what a macro letter stands for (RFC 7208, sections 7.2 and 7.3).
// Domain is the <domain> of the record the macro is in: an included or redirected
// record has its own, while <sender> stays.
func (c *check) value(letter byte, domain string) (string, *Error) {
	switch letter {
	case 's':
		return c.sender.local + "@" + c.sender.domain, nil
	case 'l':
		return c.sender.local, nil
	case 'o':
		return c.sender.domain, nil
	case 'd':
		return domain, nil
	case 'i':
		return c.dotted(), nil
	case 'p':
		return c.validatedName(domain)
	case 'v':
		if c.ip.Is4() {
			return "in-addr", nil
		}
		return "ip6", nil
	case 'h':
		if len(c.helo) > maxMailbox {
			return "", nil // not read: each of a thousand macros would read it again
		}
		// RFC 8616, section 4: U-labels of the HELO name become A-labels.
		if !isASCII(c.helo) {
			if name, kind := parseDomain(c.helo, true); kind == goodDomain || kind == dottedDomain {
				return name, nil
			}
		}
		return c.helo, nil
	case 'c':
		return c.ip.String(), nil
	case 'r':
		if c.receiver == "" {
			return "unknown", nil
		}
		return c.receiver, nil
	default: // 't'
		now := time.Now
		if c.v.Now != nil {
			now = c.v.Now
		}
		return strconv.FormatInt(now().Unix(), 10), nil
	}
}

// dotted is the client for %{i}: dotted quad, or 32 nibbles for IPv6.
func (c *check) dotted() string {
	if c.ip.Is4() {
		return c.ip.String()
	}
	const hex = "0123456789ABCDEF"
	ip := c.ip.As16()
	b := make([]byte, 0, 4*len(ip))
	for _, octet := range ip {
		b = append(b, hex[octet>>4], '.', hex[octet&15], '.')
	}
	return string(b[:len(b)-1])
}

// validatedName is %{p} (RFC 7208, section 7.3): the validated name of the client
// that is the domain, else one below it, else any, else "unknown". RFC 7208,
// section 4.6.4: its PTR query is one of the 10 look-ups.
func (c *check) validatedName(domain string) (string, *Error) {
	if c.nameState == notAsked {
		if err := c.countTerm(); err != nil {
			return "", err
		}
	}
	if err := c.lookupNames(); err != nil {
		return "", err
	}
	best, rank := "unknown", 0
	for i := range c.names {
		n := &c.names[i]
		r := 1
		switch {
		case strings.EqualFold(n.name, domain):
			r = 3
		case isBelow(n.name, domain):
			r = 2
		}
		if r <= rank {
			continue // no better, even if valid
		}
		ok, err := c.validate(n)
		if err != nil {
			return "", err
		}
		if ok {
			best, rank = n.name, r
		}
	}
	return best, nil
}

// transform appends value, split at the delimiters, reversed, cut to its
// right-hand parts, joined by dots and URL-escaped, as m asks (RFC 7208, section
// 7.3).
func (c *check) transform(dst []byte, m macro, value string) []byte {
	if m.delims == "" && m.parts == 0 && !m.reverse {
		return appendValue(dst, value, m.escape)
	}
	delims := m.delims
	if delims == "" {
		delims = "."
	}
	parts := c.parts[:0]
	for {
		i := strings.IndexAny(value, delims)
		if i < 0 {
			break
		}
		parts = append(parts, value[:i])
		value = value[i+1:]
	}
	parts = append(parts, value)
	c.parts = parts

	keep := len(parts)
	if m.parts > 0 {
		keep = min(keep, m.parts)
	}
	for i := range keep {
		part := parts[len(parts)-keep+i]
		if m.reverse { // the right-hand parts of the reversed list
			part = parts[keep-1-i]
		}
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = appendValue(dst, part, m.escape)
	}
	return dst
}

// appendValue appends s. RFC 7208, section 7.3: an upper case letter escapes all
// but the unreserved characters of RFC 3986.
func appendValue(dst []byte, s string, escape bool) []byte {
	if !escape {
		return append(dst, s...)
	}
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if isAlphanum(c) || c == '-' || c == '.' || c == '_' || c == '~' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}
