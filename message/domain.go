package message

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// A Domain is a domain name in the one form in which names may be compared:
// lower case, A-labels for international names, no trailing dot. It can be had
// only from [ParseDomain], so whoever holds one that is not zero holds a
// syntactically valid name (RFC 5321, section 4.1.2; RFC 5890, section 2.3.1).
// Domains may be compared with == and used as map keys. The zero Domain means
// "none".
type Domain struct{ name string }

// Every error of [ParseDomain] is ErrDomain (errors.Is); the ones that tell of
// an attempt to be read in two ways have names of their own.
var (
	ErrDomain       = errors.New("not a domain name")
	ErrTrailingDot  = fmt.Errorf("%w: it ends in a dot", ErrDomain)
	ErrFullStop     = fmt.Errorf("%w: a full stop that is not ASCII's", ErrDomain)
	ErrInvisible    = fmt.Errorf("%w: an invisible character", ErrDomain)
	errDomainEmpty  = fmt.Errorf("%w: it is empty", ErrDomain)
	errDomainLength = fmt.Errorf("%w: longer than 253 octets", ErrDomain)
	errDomainByte   = fmt.Errorf("%w: a character that is no letter, digit or hyphen", ErrDomain)
	errLabelEmpty   = fmt.Errorf("%w: an empty label", ErrDomain)
	errLabelLength  = fmt.Errorf("%w: a label longer than 63 octets", ErrDomain)
	errLabelHyphen  = fmt.Errorf("%w: a label that begins or ends with a hyphen", ErrDomain)
	errLabelIDN     = fmt.Errorf("%w: a label that is no valid U-label or A-label", ErrDomain)
)

// RFC 1035, section 2.3.4: 63 octets a label, and 255 a name as it travels in
// DNS, which leaves 253 for the text.
const (
	maxLabel  = 63
	maxDomain = 253
	// A U-label takes up to four bytes a character, and never has more
	// characters than its A-label has octets.
	maxDomainInput = 4 * maxDomain
)

// ParseDomain reads a domain name as an address, a HELO or a tag gives it.
//
// It takes labels of letters, digits and hyphens, and U-labels, which it turns
// into A-labels (IDNA2008, RFC 5890 and 5892, without any mapping but to lower
// case). It refuses what one reader would repair in one way and another in
// another: a trailing dot, an empty label, full stops of other scripts, invisible
// characters, wide and compatibility forms, underscores, and A-labels that do
// not come out of their own U-label, such as "xn--paypal-". A name may have one
// label only.
func ParseDomain(s string) (Domain, error) {
	if s == "" {
		return Domain{}, errDomainEmpty
	}
	if len(s) > maxDomainInput {
		return Domain{}, errDomainLength
	}
	if s[len(s)-1] == '.' {
		return Domain{}, ErrTrailingDot
	}
	var upper, wide, ace bool
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			switch c := s[i]; {
			case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-':
			case 'A' <= c && c <= 'Z':
				upper = true
			case c >= utf8.RuneSelf:
				wide = true
			default:
				return Domain{}, errDomainByte
			}
			continue
		}
		label := s[start:i]
		switch {
		case label == "":
			return Domain{}, errLabelEmpty
		case label[0] == '-' || label[len(label)-1] == '-':
			return Domain{}, errLabelHyphen
		case len(label) > maxLabel && !wide:
			return Domain{}, errLabelLength
		}
		ace = ace || len(label) >= 4 && strings.EqualFold(label[:4], "xn--")
		start = i + 1
	}
	if wide || ace {
		name, err := internationalName(s)
		return Domain{name}, err
	}
	if len(s) > maxDomain {
		return Domain{}, errDomainLength
	}
	if upper {
		s = strings.ToLower(s)
	}
	return Domain{s}, nil
}

// strictIDNA maps nothing: what is not already in the one valid form is an error.
// Hyphens are looked at in internationalName, because plain labels may have two
// of them in the third place (r3---sn-4g5e6nsz).
var strictIDNA = idna.New(idna.ValidateForRegistration(), idna.CheckHyphens(false))

// internationalName returns the A-label form of a name with U-labels or A-labels.
func internationalName(s string) (string, error) {
	low, err := lowerName(s)
	if err != nil {
		return "", err
	}
	name, err := strictIDNA.ToASCII(low)
	if err != nil {
		return "", errLabelIDN
	}
	wide, err := strictIDNA.ToUnicode(name)
	if err != nil {
		return "", errLabelIDN
	}
	given, wides := strings.Split(low, "."), strings.Split(wide, ".")
	for i, label := range strings.Split(name, ".") {
		if i >= len(given) || i >= len(wides) || label != given[i] && wides[i] != given[i] {
			return "", errLabelIDN
		}
		if label != wides[i] && !validULabel(wides[i]) {
			return "", errLabelIDN
		}
	}
	if len(name) > maxDomain {
		return "", errDomainLength
	}
	return name, nil
}

// lowerName turns capitals into small letters. Capitals that are not the capital
// of their own small letter are refused: the Kelvin sign would become an ASCII k,
// the dotted İ an ASCII i, and ẞ an ß with one reader and ss with another.
func lowerName(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errLabelIDN
	}
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
		case isFullStop(r):
			return "", ErrFullStop
		case isInvisible(r):
			return "", ErrInvisible
		default:
			if l := lowerRune(r); l != r && (unicode.ToUpper(l) != r || r == '\u1e9e') {
				return "", errLabelIDN
			}
		}
	}
	return strings.Map(lowerRune, s), nil
}

// lowerRune is unicode.ToLower, except for Cherokee, whose letters fold to the
// capitals, which came first.
func lowerRune(r rune) rune {
	if unicode.Is(unicode.Cherokee, r) {
		return r
	}
	return unicode.ToLower(r)
}

// isFullStop reports the characters that UTS #46 and RFC 5895 turn into a dot.
func isFullStop(r rune) bool {
	return r == '\u3002' || r == '\uff0e' || r == '\uff61' || r == '\u2024' || r == '\ufe52'
}

// isInvisible reports characters that take no room, or change how their
// neighbours are shown: joiners, zero-width spaces, direction marks, soft
// hyphens, variation selectors, fillers, tags.
func isInvisible(r rune) bool {
	return r >= utf8.RuneSelf && unicode.In(r, unicode.Cf, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point)
}

// validULabel makes up for two rules of IDNA2008 that UTS #46 does not have: no
// symbols (RFC 5892, section 2: letters, marks and digits, with few exceptions),
// and no hyphens in the third and fourth place (RFC 5891, section 4.2.3.1).
func validULabel(label string) bool {
	n, hyphens := 0, 0
	for _, r := range label {
		if r == '-' && (n == 2 || n == 3) {
			hyphens++
		}
		n++
		if r < utf8.RuneSelf || unicode.In(r, unicode.L, unicode.Mn, unicode.Mc, unicode.Nd) {
			continue
		}
		switch r {
		case '\u00b7', '\u0375', '\u05f3', '\u05f4', '\u06fd', '\u06fe', '\u0f0b', '\u3007', '\u30fb':
		case '\u200c', '\u200d': // only in an A-label, and only where RFC 5892, appendix A, has them
		default:
			return false
		}
	}
	return hyphens < 2 && label[0] != '-' && label[len(label)-1] != '-'
}

// String returns the name in A-label form, "" for the zero Domain.
func (d Domain) String() string { return d.name }

// Unicode returns the name for people: A-labels as U-labels, except those that
// [ParseDomain] would not take back because they hold a joiner.
func (d Domain) Unicode() string {
	if !strings.Contains(d.name, "xn--") {
		return d.name
	}
	labels := strings.Split(d.name, ".")
	for i, label := range labels {
		if !strings.HasPrefix(label, "xn--") {
			continue
		}
		if u, err := strictIDNA.ToUnicode(label); err == nil && strings.IndexFunc(u, isInvisible) < 0 {
			labels[i] = u
		}
	}
	return strings.Join(labels, ".")
}

// IsZero reports whether d is no domain at all.
func (d Domain) IsZero() bool { return d.name == "" }

// IsSubdomainOf reports whether d lies below parent. A domain is no subdomain of
// itself, and nothing lies below the zero Domain.
func (d Domain) IsSubdomainOf(parent Domain) bool {
	n := len(d.name) - len(parent.name)
	return !parent.IsZero() && n > 1 && d.name[n-1] == '.' && d.name[n:] == parent.name
}

// HasSuffix reports whether d is parent or lies below it, label by label.
func (d Domain) HasSuffix(parent Domain) bool {
	return !d.IsZero() && d == parent || d.IsSubdomainOf(parent)
}

// Labels returns the number of labels: 3 for "mail.example.org", 0 for the zero
// Domain.
func (d Domain) Labels() int {
	if d.IsZero() {
		return 0
	}
	return strings.Count(d.name, ".") + 1
}

// Parent returns d without its first label, and false when there is only one.
func (d Domain) Parent() (Domain, bool) {
	_, rest, ok := strings.Cut(d.name, ".")
	return Domain{rest}, ok
}
