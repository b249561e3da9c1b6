package postgrey

import (
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"

	"milterd/internal/table"
)

// A translation is an entry of checks.greylist.
type translation struct {
	text    string
	pattern bool // it belongs to the regular expressions
}

// slashes holds a regular expression: no blanks, as postgrey has it.
var slashes = regexp.MustCompile(`^/(\S+)/$`)

// partial is an IPv4 address or its beginning.
var partial = regexp.MustCompile(`^\d{1,3}(\.\d{1,3}){0,3}$`)

// translateClient says what an entry of whitelist_clients is to milterd.
func translateClient(entry string) (translation, fate, string) {
	if m := slashes.FindStringSubmatch(entry); m != nil {
		re, f, why := expression(m[1])
		if f == carried && re.MatchString("unknown") {
			return translation{}, notCarried, "it fits unknown, as Postfix calls clients without a name: everybody without a name would be let in"
		}
		return translation{m[1], true}, f, why
	}
	if partial.MatchString(entry) {
		return network(entry)
	}
	if strings.Contains(entry, ":") || strings.Contains(entry, "/") {
		return network(entry)
	}
	return below(entry)
}

// translateRecipient says what an entry of whitelist_recipients is to milterd.
func translateRecipient(entry string) (translation, fate, string) {
	if m := slashes.FindStringSubmatch(entry); m != nil {
		_, f, why := expression(m[1])
		return translation{m[1], true}, f, why
	}
	if why := unreadable(entry); why != "" {
		return translation{}, notCarried, why
	}
	user, domain, hasAt := strings.Cut(entry, "@")
	switch name := strings.ToLower(user); {
	case !hasAt:
		return below(entry)
	case user == "":
		return translation{}, notCarried, fmt.Sprintf("postgrey finds no address by it; expected %s for every address there", domain)
	case name == "postmaster" || name == "abuse":
		return translation{}, notNeeded, name + " is never greylisted"
	case domain == "":
		all := "^" + regexp.QuoteMeta(user) + `(?:\+[^@]+)?@`
		if len(all) > maxPattern {
			return translation{}, notCarried, fmt.Sprintf("a name of %d bytes", len(user))
		}
		return translation{all, true}, carried, ""
	}
	if _, err := table.New(entry); err != nil {
		return translation{}, notCarried, err.Error()
	}
	return translation{text: entry}, carried, ""
}

// maxPattern is how long a regular expression may be in checks.greylist.
const maxPattern = 1000

// expression reads one of Perl's regular expressions, as far as RE2 knows it.
func expression(text string) (*regexp.Regexp, fate, string) {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return nil, notCarried, "it holds bytes that are no printable text"
	}
	if len(text) > maxPattern {
		return nil, notCarried, fmt.Sprintf("a regular expression of %d bytes, expected at most %d", len(text), maxPattern)
	}
	re, err := regexp.Compile("(?i)" + text)
	if err != nil {
		why := err.Error()
		if e, ok := err.(*syntax.Error); ok {
			why = e.Code.String() + ": " + e.Expr
		}
		return nil, notCarried, "not a regular expression in the words of RE2: " + why
	}
	return re, carried, ""
}

// network reads an address, the beginning of one, or a network.
func network(entry string) (translation, fate, string) {
	address, bits := entry, ""
	if partial.MatchString(entry) {
		if dots := strings.Count(entry, "."); dots < 3 {
			address, bits = entry+strings.Repeat(".0", 3-dots), fmt.Sprintf("/%d", 8*(dots+1))
		}
	}
	if !strings.Contains(entry, "/") && bits == "" {
		if a, err := netip.ParseAddr(address); err == nil && a.Zone() == "" {
			return translation{text: a.Unmap().String()}, carried, ""
		}
	} else if p, err := netip.ParsePrefix(address + bits); err == nil && !p.Addr().Is4In6() {
		return translation{text: p.Masked().String()}, carried, ""
	}
	return translation{}, notCarried, "neither an address nor a network nor a name"
}

// below reads a name, which stands for all names below it as well.
func below(entry string) (translation, fate, string) {
	if why := unreadable(entry); why != "" {
		return translation{}, notCarried, why
	}
	if name, dot := strings.CutPrefix(entry, "."); dot {
		return translation{}, notCarried, fmt.Sprintf("postgrey finds no name by it; expected %s for the name and all below it", name)
	}
	if _, err := table.New("." + entry); err != nil || strings.Contains(entry, "@") {
		return translation{}, notCarried, "not a host or domain name"
	}
	return translation{text: "." + entry}, carried, ""
}

// unreadable says why an entry can be no name or address.
func unreadable(entry string) string {
	switch {
	case strings.ContainsFunc(entry, unicode.IsSpace):
		return "more than one word, which postgrey itself does not take"
	case !utf8.ValidString(entry) || strings.ContainsFunc(entry, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "it holds bytes that are no printable text"
	}
	return ""
}
