package message

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// An Address is a mailbox (RFC 5321, section 4.1.2): a local part at a domain or
// at an address literal. Addresses may be compared with ==, which is exact: the
// local part keeps its case, because only its own domain may say that case does
// not matter (RFC 5321, section 2.4).
type Address struct {
	// Local is what the local part means: of "a\ b"@example.org it is `a b`.
	Local string
	// Domain is zero for an address literal, and for the bare Postmaster of a
	// [Path]. Ask IsZero before it is used.
	Domain Domain
	// Literal is set for user@[192.0.2.1] and user@[IPv6:2001:db8::1].
	Literal netip.Addr
}

// Every error of [ParseAddress] is ErrAddress or one of [ParseDomain]'s.
var (
	ErrAddress        = errors.New("not a mailbox address")
	ErrNoDomain       = fmt.Errorf("%w: it has no domain", ErrAddress)
	ErrRoute          = fmt.Errorf("%w: a source route", ErrAddress)
	ErrInvisibleLocal = fmt.Errorf("%w: an invisible character in the local part", ErrAddress)
	errAddressLength  = fmt.Errorf("%w: longer than 254 octets", ErrAddress)
	errLocalEmpty     = fmt.Errorf("%w: it has no local part", ErrAddress)
	errLocalLength    = fmt.Errorf("%w: a local part longer than 64 octets", ErrAddress)
	errLocalByte      = fmt.Errorf("%w: a character that a local part cannot have", ErrAddress)
	errLocalDots      = fmt.Errorf("%w: a local part with a dot too many", ErrAddress)
	errLocalQuote     = fmt.Errorf("%w: a broken quoted string", ErrAddress)
	errLiteral        = fmt.Errorf("%w: a broken address literal", ErrAddress)
)

// RFC 5321, section 4.5.3.1: 64 octets for a local part, and 256 for a path with
// its angle brackets.
const (
	maxLocal   = 64
	maxAddress = 254
)

// ParseAddress reads one mailbox as RFC 5321, section 4.1.2, writes it, with
// non-ASCII local parts and domains (RFC 6531, section 3.3). No comments, no
// white space, no source route, no name: what RFC 5322 allows beyond this is
// [ParseAuthor]'s business.
func ParseAddress(s string) (Address, error) {
	if strings.HasPrefix(s, "@") && strings.Contains(s, ":") {
		return Address{}, ErrRoute
	}
	local, host, err := cutLocal(s)
	if err != nil {
		return Address{}, err
	}
	a := Address{Local: local}
	if strings.HasPrefix(host, "[") {
		a.Literal, err = parseLiteral(host)
	} else {
		a.Domain, err = ParseDomain(host)
	}
	if err != nil {
		return Address{}, err
	}
	// A-labels may be longer than the U-labels that were given.
	if max(len(s), len(s)-len(host)+len(a.Domain.name)) > maxAddress {
		return Address{}, errAddressLength
	}
	return a, nil
}

// cutLocal splits s after its local part, which it returns without quotes.
func cutLocal(s string) (local, host string, err error) {
	if !strings.HasPrefix(s, `"`) {
		local, host, found := strings.Cut(s, "@")
		switch {
		case !found:
			return "", "", ErrNoDomain
		case local == "":
			return "", "", errLocalEmpty
		case len(local) > maxLocal:
			return "", "", errLocalLength
		}
		return local, host, checkDotString(local)
	}
	end := 1
	for end < len(s) && s[end] != '"' {
		if s[end] == '\\' {
			end++ // RFC 6531 lets UTF-8 into quoted text, not into quoted pairs
			if end < len(s) && s[end] >= utf8.RuneSelf {
				return "", "", errLocalQuote
			}
		}
		end++
	}
	switch {
	case end >= len(s):
		return "", "", errLocalQuote
	case end+1 > maxLocal:
		return "", "", errLocalLength
	case end+1 == len(s):
		return "", "", ErrNoDomain
	case s[end+1] != '@':
		return "", "", errLocalQuote
	}
	local = unescape(s[1:end])
	return local, s[end+2:], checkLocalText(local)
}

// checkDotString reports what keeps local from being written without quotes.
func checkDotString(local string) error {
	for i := range len(local) {
		switch c := local[i]; {
		case c == '.':
			if i == 0 || i == len(local)-1 || local[i-1] == '.' {
				return errLocalDots
			}
		case !isAtext(c):
			return errLocalByte
		}
	}
	return checkLocalText(local)
}

// isAtext reports the characters of an atom (RFC 5322, section 3.2.3), and every
// byte beyond ASCII (RFC 6532, section 3.2).
func isAtext(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= utf8.RuneSelf ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// checkLocalText reports characters that no local part may have, quoted or not:
// controls, broken UTF-8, and beyond ASCII whatever is invisible, a space, or
// becomes an ASCII special when a reader folds compatibility forms ("＠").
func checkLocalText(local string) error {
	for i, r := range local {
		switch {
		case r < ' ' || r == 0x7f:
			return errLocalByte
		case r < utf8.RuneSelf:
		case r == utf8.RuneError:
			return errLocalByte // U+FFFD itself is no loss
		case isInvisible(r):
			return ErrInvisibleLocal
		case unicode.In(r, unicode.Cc, unicode.Z):
			return errLocalByte
		default:
			form := norm.NFKD.PropertiesString(local[i:]).Decomposition()
			if strings.ContainsAny(string(form), " \"(),.:;<>@[\\]") {
				return errLocalByte
			}
		}
	}
	return nil
}

// unescape removes the backslashes of a quoted string or comment.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// parseLiteral reads "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321, section
// 4.1.3). Literals of other kinds mean nothing to anybody.
func parseLiteral(s string) (netip.Addr, error) {
	text, closed := strings.CutSuffix(strings.TrimPrefix(s, "["), "]")
	v6 := len(text) > 5 && strings.EqualFold(text[:5], "IPv6:")
	if v6 {
		text = text[5:]
	}
	addr, err := netip.ParseAddr(text)
	if !closed || err != nil || addr.Is4() == v6 || addr.Zone() != "" {
		return netip.Addr{}, errLiteral
	}
	// "::" stands for two groups at least; a dotted quad is two.
	if strings.Contains(text, "::") {
		groups := strings.Count(text, ".") / 3
		for group := range strings.SplitSeq(text, ":") {
			if group != "" {
				groups++
			}
		}
		if groups > 6 {
			return netip.Addr{}, errLiteral
		}
	}
	return addr, nil
}

// String returns the address as SMTP writes it: the local part in quotes where it
// needs them, the domain as A-labels. [ParseAddress] reads it back. A zero Address
// is "", and the bare Postmaster its local part alone.
func (a Address) String() string {
	local := a.Local
	if checkDotString(local) != nil || local == "" && !a.IsZero() {
		local = quote(local)
	}
	switch {
	case a.Literal.Is4():
		return local + "@[" + a.Literal.String() + "]"
	case a.Literal.IsValid():
		return local + "@[IPv6:" + a.Literal.String() + "]"
	case a.Domain.IsZero():
		return local
	}
	return local + "@" + a.Domain.name
}

// quote writes a quoted string (RFC 5321, section 4.1.2).
func quote(s string) string {
	b := make([]byte, 0, len(s)+4)
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return string(append(b, '"'))
}

// IsZero reports whether a is no address at all.
func (a Address) IsZero() bool { return a == Address{} }
