package dmarc

import (
	"iter"
	"strings"

	"milterd/message"
)

// URIs is the value of rua or ruf: a list of URIs separated by commas, printable
// ASCII as its owner wrote it (RFC 9989, section 4.6).
type URIs string

// maxURIs is how many of a list are looked at. Reports go to a handful of places.
const maxURIs = 50

// URI is one place where reports may go.
type URI struct {
	// Text is the URI without the obsolete size limit ("!10m").
	Text string
	// Mailbox is the address of a mailto: URI, zero for other schemes, which we do
	// not send to.
	Mailbox message.Address
}

// All yields the valid URIs of the list, in its order, of the first 50 members.
// A mailto: without a mailbox is not valid.
func (u URIs) All() iter.Seq[URI] {
	return func(yield func(URI) bool) {
		n := 0
		for text := range strings.SplitSeq(string(u), ",") {
			if n++; n > maxURIs {
				return
			}
			if uri, ok := parseURI(strings.Trim(text, blanks)); ok && !yield(uri) {
				return
			}
		}
	}
}

// any reports whether there is a valid URI in the list.
func (u URIs) any() bool {
	for range u.All() {
		return true
	}
	return false
}

// parseURI reads a dmarc-uri or obs-dmarc-uri (RFC 9989, section 4.8).
func parseURI(text string) (URI, bool) {
	// RFC 9989, section 4.8: a size limit is obsolete and ignored. An exclamation
	// mark of the URI itself is encoded.
	text, size, limited := strings.Cut(text, "!")
	text = strings.TrimRight(text, blanks)
	if limited && !isSize(strings.Trim(size, blanks)) {
		return URI{}, false
	}
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok || !isScheme(scheme) || rest == "" || !isURIText(rest) {
		return URI{}, false
	}
	if !strings.EqualFold(scheme, "mailto") {
		return URI{Text: text}, true
	}
	// RFC 6068, section 2: one address, percent-encoded, and header fields that
	// a report has no use for.
	mailbox, _, _ := strings.Cut(rest, "?")
	address, err := message.ParseAddress(unescape(mailbox))
	return URI{Text: text, Mailbox: address}, err == nil
}

// isSize reports an obs-dmarc-report-size without its exclamation mark.
func isSize(s string) bool {
	if s != "" && strings.IndexByte("kmgt", s[len(s)-1]|0x20) >= 0 {
		s = s[:len(s)-1]
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// isScheme reports a scheme (RFC 3986, section 3.1).
func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || (s[i] < '0' || s[i] > '9') && strings.IndexByte("+-.", s[i]) < 0) {
			return false
		}
	}
	return s != ""
}

// isURIText reports what may follow a scheme: unreserved and reserved characters
// and whole percent-encodings (RFC 3986, section 2).
func isURIText(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~:/?#[]@$&'()*+;=", c) >= 0:
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			i += 2
		default:
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

// unescape decodes percent-encodings that isURIText has seen.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		b = append(b, hex(s[i+1])<<4|hex(s[i+2]))
		i += 2
	}
	return string(b)
}

func hex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return (c | 0x20) - 'a' + 10
}
