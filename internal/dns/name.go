package dns

import (
	"net/netip"
	"strings"

	mdns "github.com/miekg/dns"
)

// A key names one question: what cache and flights are filed under.
type key struct {
	name  string // lower case, without the final dot; "." for the root
	qtype uint16
}

// newKey returns the key of a question for name, which is always taken as fully
// qualified. It is false for a name that no query can carry: an empty label, one
// over 63 octets, or more than 253 in all (RFC 1035, section 2.3.4). Any other
// octet may stand in a label; SPF macros make use of that.
func newKey(name string, qtype uint16) (key, bool) {
	if name == "." {
		return key{name, qtype}, true
	}
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 {
		return key{}, false
	}
	label, upper := 0, false
	for i := range len(name) {
		switch c := name[i]; {
		case c != '.':
			label++
			upper = upper || 'A' <= c && c <= 'Z'
		case label == 0:
			return key{}, false
		default:
			label = 0
		}
		if label > 63 {
			return key{}, false
		}
	}
	if label == 0 {
		return key{}, false
	}
	if upper {
		name = lowerASCII(name)
	}
	return key{name, qtype}, true
}

// lowerASCII folds A to Z alone: DNS compares no other letters without regard to
// case (RFC 4343), and strings.ToLower would rewrite octets that are not UTF-8.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// typeName returns the name of k's type, for metrics.
func (k key) typeName() string { return mdns.TypeToString[k.qtype] }

// reverseName returns the name whose PTR records name addr (RFC 1035, section
// 3.5; RFC 3596, section 2.5). An IPv4 address in IPv6 clothes is undressed.
func reverseName(addr netip.Addr) (string, bool) {
	if !addr.IsValid() {
		return "", false
	}
	name, err := mdns.ReverseAddr(addr.Unmap().WithZone("").String())
	return name, err == nil
}

// hostName reports whether s, a name from a reply in presentation form, is one
// that a host may have: letters, digits, hyphens, and underscores for the many
// who use them. Names from replies go into logs, header fields and further
// questions, so everything else is no name to us.
func hostName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return s != ""
}
