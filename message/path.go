package message

import (
	"fmt"
	"strings"
)

// A Path is a reverse-path or forward-path of the envelope, as the MTA handed it
// over (RFC 5321, section 4.1.2). A path that cannot be read stays what it is: it
// travels on in Raw, and whoever authenticates it sees Err and the zero Address,
// never a guess.
type Path struct {
	Raw     string  // as given, with or without angle brackets
	Null    bool    // the null reverse-path
	Address Address // zero when Null or when Err is set
	Err     error   // why there is no address: [ErrAddress], [ErrDomain] or [ErrPath]
}

// ErrPath is a path with one angle bracket, or with something around the brackets.
var ErrPath = fmt.Errorf("%w: angle brackets that do not enclose it", ErrAddress)

// ParsePath reads a path as MAIL FROM and RCPT TO give it, "<a@example.org>" or
// "<>", and as Postfix gives it for local submission, "a@example.org" or "".
//
// Source routes are refused with [ErrRoute]: RFC 5321, section 4.1.1.3, would have
// them ignored, but they serve nobody except those who want two readers to see two
// domains. A bare "postmaster", any case, is an address with a zero Domain (RFC
// 5321, section 4.5.1); any other word without a domain is [ErrNoDomain].
func ParsePath(raw string) Path {
	p := Path{Raw: raw}
	if raw == "" || raw == "<>" {
		p.Null = true
		return p
	}
	inner, opened := strings.CutPrefix(raw, "<")
	inner, closed := strings.CutSuffix(inner, ">")
	switch {
	case opened != closed:
		p.Err = ErrPath
	case strings.EqualFold(inner, "postmaster"):
		p.Address = Address{Local: inner}
	default:
		p.Address, p.Err = ParseAddress(inner)
	}
	return p
}
