package mime

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// TextURLs yields the URLs in a text, in their order, as mail programs find
// them to make links: with a scheme (http, https, ftp, and hxxp, see
// [URL.Facts]), names that begin with www., and names of hosts under a top level
// domain that exists, such as example.com/path. The latter two are Schemeless,
// and the last kind is a guess: "readme.md" is one, Moldova having that domain.
// Addresses of mail are none.
//
// URLs are not deduplicated; stop when you have enough. The time grows with the
// length of the text and nothing else.
func TextURLs(text string) iter.Seq[URL] {
	return func(yield func(URL) bool) {
		s := textScanner{text: text, dot: -1, colon: -1}
		for {
			u, ok := s.next(&watch{})
			if !ok {
				return
			}
			if !yield(u) {
				return
			}
		}
	}
}

// textScanner goes through a text from dot to dot and from "://" to "://",
// since no URL is without one of them.
type textScanner struct {
	text       string
	from       int // what is before belongs to the URL that came last
	dot, colon int // the next ones; -1 where not known, len(text) for none
	start, end int // of the URL that came last
	seen       int // what is before has been paid for
}

// next returns the next URL, found in the time of w; start and end say where it is.
func (s *textScanner) next(w *watch) (URL, bool) {
	for {
		s.dot = nextIndex(s.text, ".", s.dot, s.from)
		s.colon = nextIndex(s.text, "://", s.colon, s.from)
		switch {
		case s.dot == len(s.text) && s.colon == len(s.text), !s.inTime(w, min(s.dot, s.colon)):
			return URL{}, false
		case s.colon < s.dot:
			if u, ok := s.withScheme(s.colon); ok {
				return u, true
			}
			s.from = max(s.from, s.colon+len("://"))
		default:
			if u, ok := s.bare(s.dot); ok {
				return u, true
			}
			s.from = max(s.from, s.dot+1)
		}
	}
}

// inTime says whether w has time to look at what is at to.
func (s *textScanner) inTime(w *watch, to int) bool {
	work := to - s.seen + lookUpWork
	s.seen = to
	return w.spend(work)
}

// nextIndex returns where sub is next, at or after from, when at was the last
// answer.
func nextIndex(text, sub string, at, from int) int {
	if at >= from {
		return at
	}
	if i := strings.Index(text[from:], sub); i >= 0 {
		return from + i
	}
	return len(text)
}

// textSchemes are those that mail programs make links of.
var textSchemes = [...]string{"https", "http", "hxxps", "hxxp", "ftps", "ftp"}

// withScheme reads the URL around the "://" at at. What stands right before the
// scheme does not matter: some programs want a space there, some do not.
func (s *textScanner) withScheme(at int) (URL, bool) {
	scheme := ""
	for _, known := range textSchemes {
		if start := at - len(known); start >= s.from && strings.EqualFold(s.text[start:at], known) {
			scheme = known
			break
		}
	}
	if scheme == "" {
		return URL{}, false
	}
	start, end := at-len(scheme), s.urlEnd(at+len("://"))
	if end == at+len("://") {
		return URL{}, false
	}
	u := URL{Scheme: scheme, Raw: cutText(s.text[start:end], maxURL), Where: InText}
	u.authority(s.text[at+1 : end])
	s.from, s.start, s.end = end, start, end
	return u, true
}

// bare reads the name with the dot at at, if it is one of a host.
func (s *textScanner) bare(at int) (URL, bool) {
	start, end := s.wordStart(at), s.wordEnd(at)
	if start == at || end == at+1 {
		return URL{}, false
	}
	s.from = max(s.from, end)
	if start > 0 && s.text[start-1] == '@' || end < len(s.text) && s.text[end] == '@' {
		return URL{}, false // an address of mail
	}
	host := strings.TrimRight(s.text[start:end], ".-_")
	if !s.meansHost(host, end) {
		return URL{}, false
	}
	// A path, a port or a query may follow.
	if end = start + len(host); end < len(s.text) {
		switch c := s.text[end]; {
		case c == '/', c == '?', c == '#', c == ':' && end+1 < len(s.text) && s.text[end+1] >= '0' && s.text[end+1] <= '9':
			end = s.urlEnd(end)
		}
	}
	u := URL{Scheme: "http", Schemeless: true, Raw: cutText(s.text[start:end], maxURL), Where: InText}
	u.authority("//" + s.text[start:end])
	s.from, s.start, s.end = end, start, end
	return u, u.Host != "" && !u.Facts.Has(URLUserinfo)
}

// meansHost says whether a word before end was meant as the name of a host.
func (s *textScanner) meansHost(word string, end int) bool {
	if len(word) > 4 && strings.EqualFold(word[:4], "www.") {
		return strings.IndexByte(word[4:], '.') >= 0
	}
	if !knownName(word) {
		return false
	}
	// "the end.In the beginning": a space was forgotten.
	tld := word[strings.LastIndexByte(word, '.')+1:]
	return len(tld) != 2 || tld[0] >= 'a' || tld[1] < 'a' || end < len(s.text) && s.text[end] == '/'
}

// wordStart returns where the word around the dot at at begins.
func (s *textScanner) wordStart(at int) int {
	for at > s.from {
		if c := s.text[at-1]; c < utf8.RuneSelf {
			if !isWordByte(c) {
				break
			}
			at--
			continue
		}
		r, size := utf8.DecodeLastRuneInString(s.text[s.from:at])
		if !isSpacedLetter(r) {
			break
		}
		at -= size
	}
	for s.text[at] == '-' || s.text[at] == '_' {
		at++
	}
	return at
}

// wordEnd returns where the word around the dot at at ends; dots belong to it.
func (s *textScanner) wordEnd(at int) int {
	for at++; at < len(s.text); {
		if c := s.text[at]; c < utf8.RuneSelf {
			if !isWordByte(c) && (c != '.' || s.text[at-1] == '.') {
				break
			}
			at++
			continue
		}
		r, size := utf8.DecodeRuneInString(s.text[at:])
		if !isSpacedLetter(r) {
			break
		}
		at += size
	}
	return at
}

// isWordByte says whether c may be in the name of a host.
func isWordByte(c byte) bool { return isLetterDigit(c) || c == '-' || c == '_' }

// isSpacedLetter says whether r is a letter of a script that puts spaces between
// words. Names in the others begin and end where ASCII does.
func isSpacedLetter(r rune) bool { return r < '\u0e00' && unicode.IsLetter(r) }

// urlEnd returns where the URL ends that goes on at at: before white space,
// quotes, angle brackets and the like, and without the punctuation of the
// sentence around it.
func (s *textScanner) urlEnd(at int) int {
	start, end := at, at
	parens := 0
scan:
	for end < len(s.text) {
		c := s.text[end]
		switch {
		case c <= ' ' || c == 0x7f:
			break scan
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s.text[end:])
			if endsURL(r) {
				break scan
			}
			end += size
			continue
		}
		switch c {
		case '<', '>', '"', '`', '{', '}', '|', '^':
			break scan
		case '(':
			parens++
		case ')':
			if parens--; parens < 0 {
				break scan
			}
		}
		end++
	}
	return start + len(strings.TrimRight(s.text[start:end], ".,;:!?'*_~\\(["))
}

// endsURL says whether a character beyond ASCII ends a URL: spaces, and the
// punctuation and brackets of other scripts.
func endsURL(r rune) bool {
	switch {
	case r < '\u2000':
		return r == '\u00a0' || r == '\u0085' || r == '«' || r == '»'
	case r <= '\u206f':
		return r != '\u200c' && r != '\u200d'
	case r >= '\u3000' && r <= '\u303f':
		return r != '\u3002' && r != '\u3005' && r != '\u3007'
	case r >= '\uff00' && r <= '\uffef':
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\uff0e' && r != '\uff61'
	}
	return r == utf8.RuneError
}

// cutText shortens text to at most n bytes, between two characters.
func cutText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	n = max(n, 0)
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
