package dnslist

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"milterd/message"
)

// A Question is one thing that one list is asked about.
type Question struct {
	List    *List
	Subject Subject
	// Item is the thing as people know it: an address, a domain, a mail address. It
	// is harmless text.
	Item string
	name string // what is asked, without the zone
}

// AboutAddr makes a question about an IP address. It is false for a list that does
// not have such addresses.
func (l *List) AboutAddr(s Subject, a netip.Addr) (Question, bool) {
	a = a.Unmap().WithZone("")
	name, ok := reversed(a)
	return Question{List: l, Subject: s, Item: a.String(), name: name}, ok && (a.Is4() || l.IPv6)
}

// reversed spells an address as lists want it (RFC 5782, sections 2.1 and 2.4).
func reversed(a netip.Addr) (string, bool) {
	switch {
	case a.Is4():
		b := a.As4()
		out := make([]byte, 0, 16)
		for i := 3; i >= 0; i-- {
			out = strconv.AppendUint(out, uint64(b[i]), 10)
			out = append(out, '.')
		}
		return string(out[:len(out)-1]), true
	case a.Is6():
		const digits = "0123456789abcdef"
		b := a.As16()
		out := make([]byte, 0, 64)
		for i := 15; i >= 0; i-- {
			out = append(out, digits[b[i]&15], '.', digits[b[i]>>4], '.')
		}
		return string(out[:len(out)-1]), true
	}
	return "", false
}

// AboutDomain makes a question about a domain or host name, in lower case and
// A-labels. It is false for what is no such name, and for an IPv4 address or the end
// of one: lists of domains take that for abuse and refuse us.
func (l *List) AboutDomain(s Subject, name string) (Question, bool) {
	top := name[strings.LastIndexByte(name, '.')+1:]
	ok := askable(name) && len(top) < len(name) && strings.Trim(top, "0123456789") != ""
	return Question{List: l, Subject: s, Item: name, name: name}, ok
}

// askable reports whether a name has only what host names have: it goes into logs
// and into questions to strangers.
func askable(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			if label++; label > 63 {
				return false
			}
		case c == '.' && label > 0:
			label = 0
		default:
			return false
		}
	}
	return label > 0
}

// AboutEmail makes a question about a mail address, which leaves this host only as
// a hash. Case does not count, nor what follows a + in the local part.
func (l *List) AboutEmail(a message.Address) (Question, bool) {
	if a.Domain.IsZero() || a.Local == "" {
		return Question{}, false
	}
	local := strings.ToLower(a.Local)
	if base, _, tagged := strings.Cut(local, "+"); tagged && base != "" {
		local = base
	}
	text := []byte(local + "@" + a.Domain.String())
	var label string
	switch l.Hash {
	case MD5:
		sum := md5.Sum(text)
		label = hex.EncodeToString(sum[:])
	case SHA256: // its 64 hexadecimal digits would be one too many for a label
		sum := sha256.Sum256(text)
		label = strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
	default:
		sum := sha1.Sum(text)
		label = hex.EncodeToString(sum[:])
	}
	item := message.SafeText(local, 64) + "@" + a.Domain.String()
	return Question{List: l, Subject: Email, Item: item, name: label}, true
}

// full returns the whole name of a question, false when it is too long to be asked.
func (q *Question) full() (string, bool) {
	n := len(q.name) + 1 + len(q.List.Zone)
	return q.name + "." + q.List.Zone, q.name != "" && n <= 253
}
