package view

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// maxURIs is how many there are at most.
const maxURIs = 1000

// inText finds what looks like an address of a page or of a mailbox in a text.
var inText = regexp.MustCompile(`(?i)(?:https?|ftp)://[^\s<>"'\x60|{}]+|mailto:[^\s<>"'\x60|{}]+|[a-z0-9._+=-]+@[a-z0-9.-]+\.[a-z]{2,}|[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)*\.[a-z][a-z0-9-]+(?::[0-9]+)?(?:[/?#][^\s<>"'\x60|{}]*)?`)

// URIs is what the message leads to: the links of HTML as they were written, what
// looks like a link in the paragraphs of the body, and both in the forms to which rules are bound.
func (v *View) URIs() []string {
	list := uriList{seen: map[string]bool{}}
	for _, p := range v.parts() {
		for _, link := range p.links {
			list.add(link)
			list.forms(link)
		}
	}
	for _, paragraph := range v.Body() {
		list.fromText(paragraph)
	}
	return list.all
}

type uriList struct {
	all  []string
	seen map[string]bool
}

func (l *uriList) add(uri string) {
	if len(l.all) < maxURIs && !l.seen[uri] {
		l.seen[uri] = true
		l.all = append(l.all, uri)
	}
}

// fromText adds what a text leads to.
func (l *uriList) fromText(text string) {
	for _, at := range inText.FindAllStringIndex(text, maxURIs) {
		found := text[at[0]:at[1]]
		if at[0] > 0 && !startsHere(text[at[0]-1], found) {
			continue
		}
		found = strings.TrimRight(found, ".,:;!?)]*'~-_=")
		lower := strings.ToLower(found)
		switch {
		case strings.HasPrefix(lower, "http://"), strings.HasPrefix(lower, "https://"), strings.HasPrefix(lower, "ftp://"):
		case strings.HasPrefix(lower, "mailto:"):
		case strings.Contains(found, "@") && !strings.ContainsAny(found[:strings.IndexByte(found, '@')], "/?#"):
			at := strings.LastIndexByte(found, '@')
			if !isDomain(found[at+1:]) {
				continue
			}
			found = "mailto:" + found
		default:
			host := found[:strings.IndexAny(found+"/", "/?#:")]
			if !isDomain(host) {
				continue
			}
			if strings.HasPrefix(lower, "ftp.") {
				found = "ftp://" + found
			} else {
				found = "http://" + found
			}
		}
		l.add(found)
		l.forms(found)
	}
}

// startsHere says whether an address may begin behind a byte.
func startsHere(before byte, found string) bool {
	if strings.Contains(found, "://") {
		return true
	}
	return !isAlnum(before) && strings.IndexByte("@.-_%", before) < 0 && before < 0x80
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// isDomain says whether a name ends in a domain that there is.
func isDomain(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	dot := strings.LastIndexByte(host, '.')
	if dot <= 0 || strings.Contains(host, "..") {
		return false
	}
	_, known := publicsuffix.PublicSuffix("a." + host[dot+1:])
	return known
}

// forms adds the plain forms of an address: with escapes undone, with slashes the
// right way, without what follows in a mailto.
func (l *uriList) forms(uri string) {
	lower := strings.ToLower(uri)
	form := uri
	switch {
	case strings.HasPrefix(lower, "mailto:"):
		if i := strings.IndexByte(uri, '?'); i > 0 {
			l.add(uri[:i])
		}
		return
	case strings.HasPrefix(lower, "cid:"), strings.HasPrefix(lower, "data:"), strings.HasPrefix(lower, "javascript:"):
		return
	}
	form = strings.ReplaceAll(form, `\`, "/")
	if !strings.Contains(form, ":") && form != "" {
		form = "http://" + strings.TrimLeft(form, "/")
	}
	l.add(form)
	for _, other := range hostForms(form) {
		l.add(other)
	}
	plain := form
	if strings.Contains(form, "%") {
		plain = unescape(form)
		l.add(plain)
	}
	if strings.Contains(form, "&amp;") {
		l.add(strings.ReplaceAll(form, "&amp;", "&"))
	}
	// What it hands on.
	for _, scheme := range []string{"http://", "https://"} {
		if i := strings.Index(strings.ToLower(plain[min(len(plain), 8):]), scheme); i >= 0 {
			l.add(plain[8+i:])
		}
	}
}

// hostForms are the forms of an address in which its host is what a browser makes of
// it: of a bare word once a .com, of a number an IP address, without the port that
// goes without saying.
func hostForms(uri string) []string {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return nil
	}
	end := strings.IndexAny(rest+"/", "/?#:")
	host, after := rest[:end], rest[end:]
	if port := map[string]string{"http": ":80", "https": ":443"}[strings.ToLower(scheme)]; port != "" && strings.HasPrefix(after, port) {
		if next := after[len(port):]; next == "" || strings.IndexByte("/?#", next[0]) >= 0 {
			return []string{scheme + "://" + host + next}
		}
	}
	if n, err := strconv.ParseUint(host, 0, 32); err == nil {
		return []string{fmt.Sprintf("%s://%d.%d.%d.%d%s", scheme, byte(n>>24), byte(n>>16), byte(n>>8), byte(n), after)}
	}
	if host == "" || strings.ContainsAny(host, ".@[%") {
		return nil
	}
	return []string{scheme + "://www." + host + ".com" + after}
}

// unescape undoes percent signs that stand for printable ASCII.
func unescape(uri string) string {
	var b strings.Builder
	for i := 0; i < len(uri); i++ {
		if uri[i] == '%' && i+2 < len(uri) {
			if s, err := url.PathUnescape(uri[i : i+3]); err == nil && s[0] > ' ' && s[0] < 0x7f {
				b.WriteString(s)
				i += 2
				continue
			}
		}
		b.WriteByte(uri[i])
	}
	return b.String()
}
