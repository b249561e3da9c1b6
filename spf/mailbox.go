package spf

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	// RFC 7208, sections 2.3, 2.4 and 4.3.
	postmaster = "postmaster"

	// maxMailbox is the longest MAIL FROM read, in bytes. RFC 5321 promises 256
	// (section 4.5.3.1.3); VERP and SRS senders exceed its 64 for a local-part.
	maxMailbox = 1024

	maxLabel = 63
	maxName  = 253 // RFC 7208, section 7.3
)

// mailbox is the <sender> of check_host(), taken apart.
type mailbox struct {
	local  string // unquoted; "" when there was none
	domain string // as parseDomain returns it
	reason string // not empty: domain cannot be checked, the result is none
}

var (
	errLocalPart = errors.New("local-part is neither a dot-string nor a quoted string")
	errNoDomain  = errors.New("no domain follows the local-part")
	errDomain    = errors.New("domain has characters that no host name has")
	errLiteral   = errors.New("address literal is not [IPv4] or [IPv6:...]")
	errLong      = errors.New("longer than a mailbox can be")
)

// parseMailbox reads s as a Mailbox (RFC 5321, section 4.1.2, extended by RFC
// 6531, section 3.3): no source route, no comment, no display name, no brackets.
// A local-part may be missing (RFC 7208, section 4.3). The strictness is the
// defence: two programs that read one sender differently are how a stranger's SPF
// pass comes to stand for a domain that is not his, as with
// "any@legit.test(a.attack.test" or "@legit.test,@a.test:'any@attack.test".
func parseMailbox(s string, singleLabel bool) (mailbox, error) {
	if len(s) > maxMailbox {
		return mailbox{}, errLong
	}
	local, rest, ok := cutLocalPart(s)
	if !ok {
		return mailbox{}, errLocalPart
	}
	if rest == "" || rest[0] != '@' {
		return mailbox{}, errNoDomain
	}
	domain := rest[1:]
	if strings.HasPrefix(domain, "[") {
		if !isLiteral(domain) {
			return mailbox{}, errLiteral
		}
		return mailbox{local: local, reason: reasonLiteral}, nil
	}
	// A final dot is fine in the DNS and for HELO, but no RFC 5321 Domain has one.
	name, kind := parseDomain(domain, singleLabel)
	if kind == badDomain || kind == dottedDomain {
		return mailbox{}, errDomain
	}
	if kind == noDomain {
		return mailbox{local: local, reason: reasonName}, nil
	}
	return mailbox{local: local, domain: name}, nil
}

// cutLocalPart returns the local-part that s begins with, without its quoting
// (RFC 5321, section 4.1.2: both forms are the same mailbox), and what follows.
func cutLocalPart(s string) (local, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		return cutQuoted(s[1:])
	}
	end := 0
	for end < len(s) && (s[end] == '.' || isAtext(s[end])) {
		end++
	}
	local, rest = s[:end], s[end:]
	// Dot-string = Atom *("." Atom)
	if strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, "..") {
		return "", "", false
	}
	return local, rest, isText(local)
}

// cutQuoted reads up to the closing quote.
func cutQuoted(s string) (local, rest string, ok bool) {
	escaped := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			local, rest = s[:i], s[i+1:]
			if escaped {
				local = unescape(local)
			}
			return local, rest, isText(local)
		case c == '\\':
			// quoted-pairSMTP = %d92 %d32-126
			escaped = true
			if i++; i == len(s) || s[i] < ' ' || s[i] > '~' {
				return "", "", false
			}
		case c < ' ' || c == 0x7f:
			return "", "", false
		}
	}
	return "", "", false
}

func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// isText reports whether s is valid UTF-8 without control characters, those of
// ISO 8859 (U+0080 to U+009F) included.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// isAtext: RFC 5322, section 3.2.3; RFC 6531 adds all beyond ASCII.
func isAtext(c byte) bool {
	return isAlphanum(c) || c >= utf8.RuneSelf || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// isLiteral: RFC 5321, section 4.1.3. IPv6 is the only tag there is.
func isLiteral(s string) bool {
	body, ok := strings.CutSuffix(s[1:], "]")
	if !ok {
		return false
	}
	if tag := "IPv6:"; len(body) > len(tag) && strings.EqualFold(body[:len(tag)], tag) {
		ip, err := netip.ParseAddr(body[len(tag):])
		return err == nil && ip.Is6() && ip.Zone() == ""
	}
	ip, err := netip.ParseAddr(body)
	return err == nil && ip.Is4()
}

// domainKind is what parseDomain makes of a name.
type domainKind int

const (
	goodDomain   domainKind = iota
	dottedDomain            // good, and it had a final dot
	noDomain                // host name characters, but no name the DNS can hold
	badDomain               // other characters
)

// parseDomain reads the domain of a sender or a HELO name: host name characters
// (RFC 5321, section 4.1.2) and U-labels (RFC 6531, section 3.3). The name comes
// back in lower case, as A-labels, without final dot.
//
// RFC 7208, section 4.3: a label that is empty or longer than 63, or a name that
// is not multi-label, is not a domain. A top label of digits is an IPv4 address.
func parseDomain(s string, singleLabel bool) (string, domainKind) {
	if len(s) > maxMailbox {
		return "", badDomain
	}
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			ascii = false
		case !isAlphanum(c) && c != '-' && c != '.':
			return "", badDomain
		}
	}
	s = lowerASCII(s)
	if !ascii {
		// RFC 8616, section 4: U-labels are checked as A-labels. Registration maps
		// nothing: what is not a U-label already (an ideographic full stop, a
		// zero-width space, a full-width letter) is refused, not repaired.
		a, err := idna.Registration.ToASCII(s)
		if err != nil {
			return "", badDomain
		}
		s = a
	}
	name, dotted := strings.CutSuffix(s, ".")
	labels, numeric := 0, false
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return "", noDomain
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return "", badDomain
		}
		labels++
		numeric = strings.Trim(label, "0123456789") == ""
	}
	switch {
	case len(name) > maxName, numeric, labels < 2 && !singleLabel:
		return "", noDomain
	case dotted:
		return name, dottedDomain
	}
	return name, goodDomain
}

// lowerASCII leaves all beyond ASCII alone: strings.ToLower makes an ASCII k of
// the Kelvin sign.
func lowerASCII(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

func isAlphanum(c byte) bool { return isAlpha(c) || isDigit(c) }
func isAlpha(c byte) bool    { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool    { return '0' <= c && c <= '9' }
