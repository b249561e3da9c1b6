package mime

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// RFC 1035, section 2.3.4, and what may become such a name: a character is at
// most four bytes, each of them written with a percent sign and two digits.
const (
	maxHost      = 253
	maxHostLabel = 63
	maxHostInput = 12 * maxHost
)

// browserIDNA maps names as browsers do (UTS #46, not transitional).
var browserIDNA = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.CheckHyphens(false), idna.VerifyDNSLength(false))

// setHost reads a host as it is written in a URL (URL standard, section 3.5).
func (u *URL) setHost(raw string) {
	if raw == "" {
		if u.Scheme != "file" {
			u.Facts.add(URLBadHost)
		}
		return
	}
	host, ok := raw, len(raw) <= maxHostInput
	switch {
	case !ok:
	case raw[0] == '[':
		u.ipv6(raw)
		return
	default:
		host, ok = u.plainHost(raw)
	}
	if !ok {
		u.Facts.add(URLBadHost)
		return
	}
	if endsInNumber(host) {
		u.ipv4(host)
		return
	}
	if !isHostName(host) {
		u.Facts.add(URLBadHost)
		return
	}
	u.Host = host
}

// plainHost undoes what hides a host's name: percent signs, characters of other
// widths, capitals, a dot at the end. It notes what a reader would not expect.
func (u *URL) plainHost(raw string) (host string, ok bool) {
	host = raw
	if strings.IndexByte(host, '%') >= 0 {
		u.Facts.add(URLDisguisedHost)
		host = string(decodePercent(host))
	}
	if !utf8.ValidString(host) {
		return "", false
	}
	ascii, upper, ace := true, false, false
	for i := range len(host) {
		switch c := host[i]; {
		case c >= utf8.RuneSelf:
			ascii = false
		case c >= 'A' && c <= 'Z':
			upper = true
		case c == '-' && i >= 3 && host[i-1] == '-':
			ace = ace || (host[i-2]|0x20) == 'n' && (host[i-3]|0x20) == 'x'
		}
	}
	if upper {
		host = strings.ToLower(host)
	}
	switch {
	case !ascii:
		mapped, err := browserIDNA.ToASCII(host)
		if err != nil {
			return "", false
		}
		wide, err := browserIDNA.ToUnicode(mapped)
		if err != nil || wide != host {
			u.Facts.add(URLDisguisedHost)
		}
		if host = mapped; strings.Contains(host, "xn--") {
			u.Facts.add(URLInternational)
		}
	case ace:
		u.Facts.add(URLInternational)
		if _, err := browserIDNA.ToASCII(host); err != nil {
			u.Facts.add(URLBadHost) // some browsers open it, some do not
		}
	}
	if dotless, found := strings.CutSuffix(host, "."); found {
		u.Facts.add(URLDisguisedHost)
		host = dotless
	}
	return host, true
}

// isHostName says whether a name in lower case can be looked up: labels of
// letters, digits, hyphens and, as DNS and browsers allow, underscores.
func isHostName(host string) bool {
	if len(host) > maxHost {
		return false
	}
	start := 0
	for i := 0; i <= len(host); i++ {
		if i == len(host) || host[i] == '.' {
			if n := i - start; n == 0 || n > maxHostLabel {
				return false
			}
			start = i + 1
			continue
		}
		if c := host[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// ipv6 reads an address in brackets.
func (u *URL) ipv6(raw string) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(raw[1:], "]"))
	if err != nil || addr.Zone() != "" || !addr.Is6() || raw[len(raw)-1] != ']' {
		u.Facts.add(URLBadHost)
		return
	}
	u.Facts.add(URLAddress)
	u.Addr, u.Host = addr, addr.String()
}

// endsInNumber says whether a browser takes the host for an IPv4 address.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" || last[0] < '0' || last[0] > '9' {
		return false
	}
	digits := true
	for i := range len(last) {
		digits = digits && last[i] >= '0' && last[i] <= '9'
	}
	if digits {
		return true
	}
	_, ok := ipv4Number(last)
	return ok
}

// ipv4Number reads one number of an IPv4 address, which may be octal or
// hexadecimal. No number is longer than a host may be.
func ipv4Number(s string) (n uint64, ok bool) {
	base := 10
	switch {
	case len(s) >= 2 && s[0] == '0' && s[1]|0x20 == 'x':
		s, base = s[2:], 16
	case len(s) >= 2 && s[0] == '0':
		s, base = s[1:], 8
	}
	if s = strings.TrimLeft(s, "0"); s == "" {
		return 0, true // "0x" is a zero, too
	}
	n, err := strconv.ParseUint(s, base, 33)
	return n, err == nil && s[0] != '+'
}

// ipv4 reads an IPv4 address in any notation that inet_aton knows, and so do
// browsers: one to four numbers, the last of which fills what is left.
func (u *URL) ipv4(host string) {
	u.Facts.add(URLAddress)
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		u.Facts.add(URLBadHost)
		return
	}
	var sum uint64
	for i, part := range parts {
		n, ok := ipv4Number(part)
		last := i == len(parts)-1
		if !ok || part == "" || !last && n > 255 || last && n >= 1<<(8*(5-len(parts))) {
			u.Facts.add(URLBadHost)
			return
		}
		if last {
			sum += n
		} else {
			sum += n << (8 * (3 - i))
		}
	}
	u.Addr = netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	if u.Host = u.Addr.String(); u.Host != host {
		u.Facts.add(URLOddAddress)
	}
}

// knownName says whether a word can be the name of a host in the Internet: two
// labels or more, the last of them a top level domain that exists.
func knownName(word string) bool {
	dot := strings.LastIndexByte(word, '.')
	if dot <= 0 || len(word) > maxHost {
		return false
	}
	var buf [maxHostLabel]byte
	tld := word[dot+1:]
	switch tld {
	case "рф", "рус", "онлайн", "сайт", "орг", "ком", "дети", "москва", "укр", "бел", "срб", "мкд", "мон", "қаз", "бг", "ею", "ευ", "ελ":
		return true // those that people write without www
	}
	if len(tld) < 2 || len(tld) > len(buf) {
		return false
	}
	for i := range len(tld) {
		c := tld[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if !(c >= 'a' && c <= 'z' || i > 0 && (c == '-' || c >= '0' && c <= '9')) {
			return false
		}
		buf[i] = c
	}
	// A list of suffixes knows a name by its manager; what is not on it has none.
	_, icann := publicsuffix.PublicSuffix(string(buf[:len(tld)]))
	return icann
}
