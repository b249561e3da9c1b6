package mime

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Place says where in a message a URL stands. One that stands in several places
// has several bits.
type Place uint8

const (
	// InText is plain text, and the text of HTML outside of links.
	InText Place = 1 << iota
	// InLabel is the text of a link: shown, while the link leads where it wants.
	InLabel
	// InLink is where a link or a form leads to.
	InLink
	// InSource is what a mail program fetches by itself: pictures, frames, style
	// sheets.
	InSource
)

// String returns the names of the places, separated by commas: text, label,
// link, source.
func (p Place) String() string {
	var names []string
	for i, name := range [...]string{"text", "label", "link", "source"} {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// URL is one URL of a message, read as browsers read it (the URL standard of
// WHATWG), because what a browser opens is what counts.
type URL struct {
	// Raw is the URL as it was written, character references decoded, at most
	// 8 KiB of it.
	Raw string
	// Scheme is in lower case; "http" for what was written without one.
	Scheme string
	// Host is the name of the host in lower case and in A-labels, or its IP
	// address in the usual notation, IPv6 without brackets. It is empty when
	// there is none, and when there is one that cannot be a host, which has the
	// fact URL_BAD_HOST.
	Host string
	// Addr is the address when the host is one, in whatever notation.
	Addr netip.Addr
	// Port is empty for the usual one of the scheme.
	Port string
	// Path is all that follows: path, query and fragment, as written.
	Path string

	// Where has the places where the URL stands.
	Where Place
	// Schemeless is set for what was written without a scheme, such as
	// www.example.com or example.com/path, and only looks like a URL.
	Schemeless bool
	// Hidden is set when the URL stands only where a reader does not see it.
	Hidden bool
	// Displayed is the text of the link, with white space squeezed, at most 200
	// bytes; of several links the one whose text shows another host.
	Displayed string
	// DisplayedHost is the host that this text shows, if it shows one.
	DisplayedHost string
	// Part is where the URL was found; nil when it was found in a mere string.
	Part *Part

	// Facts are of this URL alone: those whose names begin with URL_.
	Facts Facts
}

// String returns the URL with its host normalised: what tools that compare URLs
// should compare.
func (u *URL) String() string {
	if u.Host == "" {
		return u.Raw
	}
	if u.Scheme == "mailto" {
		return u.Raw
	}
	host := u.Host
	if strings.IndexByte(host, ':') >= 0 {
		host = "[" + host + "]"
	}
	if u.Port != "" {
		host += ":" + u.Port
	}
	return u.Scheme + "://" + host + u.Path
}

// Domain returns the registrable domain of the host by the Public Suffix List
// that is compiled in, private suffixes included: "example.co.uk" for
// www.example.co.uk, "evil.github.io" for evil.github.io. For an address, a
// public suffix itself and a single label it is the host.
func (u *URL) Domain() string { return registrable(u.Host) }

// Unicode returns the host as a reader sees it, with U-labels.
func (u *URL) Unicode() string {
	if !strings.Contains(u.Host, "xn--") {
		return u.Host
	}
	wide, err := idna.Punycode.ToUnicode(u.Host)
	if err != nil {
		return u.Host
	}
	return wide
}

// registrable is Domain for a normalised host.
func registrable(host string) string {
	if strings.IndexByte(host, '.') < 0 || host[len(host)-1] <= '9' && isIPv4(host) {
		return host
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return domain
}

func isIPv4(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// How much is kept: of a URL, and of a link's text.
const (
	maxURL       = 8 << 10
	maxBase      = 1 << 10 // of the path that relative URLs begin with
	maxDisplayed = 200
)

// ParseURL reads a URL as an attribute of HTML or a header field gives it, with
// the tolerance of browsers: white space around it and line breaks in it do not
// count, backslashes are slashes, and any number of slashes may follow the
// scheme. It is not ok for what is no URL by itself: a relative one, a fragment,
// nothing.
func ParseURL(ref string) (u URL, ok bool) { return parseURL(ref, nil) }

// parseURL is ParseURL for a document whose relative URLs start at base.
func parseURL(ref string, base *URL) (u URL, ok bool) {
	if ref != "" && (trimmed(ref[0]) || trimmed(ref[len(ref)-1])) {
		ref = strings.Trim(ref, trimmedFromURLs)
	}
	if strings.ContainsAny(ref, "\t\r\n") {
		ref = withoutBreaks.Replace(ref)
	}
	if ref == "" || ref[0] == '#' {
		return URL{}, false
	}
	scheme, rest := cutScheme(ref)
	switch {
	case scheme == "":
		u, ok = parseRelative(ref, base)
	case hierarchical(scheme):
		u.Scheme = scheme
		u.authority(rest)
		ok = true
	case scheme == "mailto":
		u.Scheme = scheme
		u.mailbox(rest)
		ok = true
	case scheme == "cid" || scheme == "mid" || scheme == "about":
		// the message itself, and nothing
	default:
		u.Scheme = scheme
		u.Path = cutText(rest, maxURL)
		ok = true
	}
	u.Raw = cutText(ref, maxURL)
	return u, ok
}

// trimmed says whether c may be a part of what is trimmed from URLs.
func trimmed(c byte) bool { return c <= ' ' || c >= 0x80 }

const trimmedFromURLs = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f \u00a0"

var withoutBreaks = strings.NewReplacer("\t", "", "\r", "", "\n", "")

// maxScheme is longer than any scheme that matters.
const maxScheme = 20

// cutScheme returns the scheme of a URL in lower case, empty if it has none, and
// what follows its colon.
func cutScheme(ref string) (scheme, rest string) {
	for i := range min(len(ref), maxScheme+1) {
		switch c := ref[i]; {
		case c == ':' && i > 0:
			return strings.ToLower(ref[:i]), ref[i+1:]
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return "", ref
		}
	}
	return "", ref
}

// hierarchical says whether a URL of the scheme names a host after two slashes.
func hierarchical(scheme string) bool {
	switch scheme {
	case "http", "https", "ftp", "ftps", "ws", "wss", "file", "hxxp", "hxxps":
		return true
	}
	return false
}

// parseRelative reads a reference without a scheme.
func parseRelative(ref string, base *URL) (u URL, ok bool) {
	slashes := len(ref) - len(strings.TrimLeft(ref, `/\`))
	switch {
	case slashes >= 2:
		// The scheme of the page is left away; a mail has none, so it is a guess.
		u.Scheme = "http"
		if base != nil {
			u.Scheme = base.Scheme
		} else if ref[0] == '\\' {
			u.Scheme = "file" // a server in the local network
		}
		u.Schemeless = true
		u.authority(ref)
		return u, u.Host != "" || u.Facts != 0
	case base != nil && base.Host != "":
		u.Scheme, u.Host, u.Addr, u.Port, u.Facts = base.Scheme, base.Host, base.Addr, base.Port, base.Facts
		dir := base.Path[:pathEnd(base.Path)]
		dir = dir[:strings.LastIndexByte(dir, '/')+1]
		switch {
		case slashes == 1:
			u.Path = ref
		case ref[0] == '?':
			u.Path = base.Path[:pathEnd(base.Path)] + ref
		case dir == "":
			u.Path = "/" + ref
		default:
			u.Path = dir + ref
		}
		u.Path = cutText(u.Path, maxURL)
		return u, true
	}
	// What was meant as a URL, and what mail programs take for one.
	host := ref[:authorityEnd(ref)]
	if len(host) > 4 && strings.EqualFold(host[:4], "www.") || len(host) < len(ref) && ref[len(host)] == '/' && knownName(host) {
		u.Scheme, u.Schemeless = "http", true
		u.authority("//" + ref)
		return u, u.Host != ""
	}
	return URL{}, false
}

// authority reads what follows the scheme's colon: slashes, userinfo, host,
// port, and the rest.
func (u *URL) authority(rest string) {
	trimmed := strings.TrimLeft(rest, `/\`)
	if slashes := rest[:len(rest)-len(trimmed)]; u.Scheme == "file" {
		if len(slashes) == 3 || strings.Contains(trimmed[:authorityEnd(trimmed)], ":") {
			u.Path = cutText(rest, maxURL) // a file of one's own
			return
		}
	} else if slashes != "//" {
		u.Facts.add(URLOddSyntax)
	}
	end := authorityEnd(trimmed)
	authority := trimmed[:end]
	u.Path = cutText(trimmed[end:], maxURL)
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		u.Facts.add(URLUserinfo)
		authority = authority[at+1:]
	}
	host := authority
	if colon := strings.LastIndexByte(authority, ':'); colon > strings.LastIndexByte(authority, ']') {
		host = authority[:colon]
		u.port(authority[colon+1:])
	}
	if u.Scheme == "hxxp" || u.Scheme == "hxxps" {
		u.Facts.add(URLDefanged)
	}
	u.setHost(host)
}

// port keeps a port that is not the usual one.
func (u *URL) port(port string) {
	digits := strings.TrimLeft(port, "0")
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' || i > 4 {
			u.Facts.add(URLBadHost)
			return
		}
	}
	switch {
	case digits == "80" && u.Scheme == "http", digits == "443" && u.Scheme == "https", digits == "21" && u.Scheme == "ftp":
	default:
		u.Port = digits
	}
}

// mailbox reads what follows "mailto:"; the host is that of the first address.
func (u *URL) mailbox(rest string) {
	u.Path = cutText(rest, maxURL)
	address := rest
	if i := strings.IndexAny(address, "?,;"); i >= 0 {
		address = address[:i]
	}
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		u.setHost(address[at+1:])
	} else if at := strings.LastIndex(address, "%40"); at >= 0 {
		u.setHost(address[at+3:])
	}
}

// authorityEnd returns where the authority that s begins with ends.
func authorityEnd(s string) int {
	if i := strings.IndexAny(s, `/\?#`); i >= 0 {
		return i
	}
	return len(s)
}

// pathEnd returns where the path that s begins with ends.
func pathEnd(s string) int {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		return i
	}
	return len(s)
}
