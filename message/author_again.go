package message

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The second reading. The grammar has found its addresses; here the field is read
// as programs do that do not follow it. They ignore backslashes, or quotes, or
// comments, they decode encoded words first and parse afterwards, they stop at a
// NUL. None of them may find an address of another domain.
//
// An address needs an '@', so a field with no more of them than addresses, decoded
// or not, is through at once.

// readAgain returns the problem that another reader has with the field in which
// found are the addresses, or "". Of the '@' beyond those in addresses, loose many
// stand in names without quotes, and have been judged.
func (a *Author) readAgain(field string, found []Address, loose int) AuthorProblem {
	plain := Unfold(field)
	decoded := plain
	if strings.Contains(plain, "=?") {
		decoded = decodeWords(plain)
	}
	extra, extraDecoded := countAts(plain)-len(found), countAts(decoded)-len(found)
	sloppy := a.Has(AuthorUnquotedAt) || a.Has(AuthorUnquotedBrackets) || a.Has(AuthorUnquotedComma)
	switch {
	case extra <= 0 && extraDecoded <= 0:
		return ""
	case sloppy && max(extra, extraDecoded) > loose, len(found) == 0 && extra > 0:
		return AuthorAmbiguous // one oddity beside another is too much
	case len(found) == 0:
		return AuthorEncodedAddress
	}
	domain := found[0].Domain
	switch {
	case otherReading(plain, domain, true), otherReading(plain, domain, false):
		return AuthorAmbiguous
	case otherReading(decoded, domain, true), otherReading(decoded, domain, false):
		return AuthorEncodedAddress
	}
	if slices.ContainsFunc(a.Names, func(name string) bool { return mentionsOther(name, domain) }) {
		a.note(AuthorNameIsAddress)
	}
	return ""
}

// isAt reports '@' and what compatibility folding turns into it.
func isAt(r rune) bool { return r == '@' || r == '\uff20' || r == '\ufe6b' }

func countAts(s string) int {
	return strings.Count(s, "@") + strings.Count(s, "\uff20") + strings.Count(s, "\ufe6b")
}

// otherReading reads text as a list with no comments in it, in which quotes only
// keep commas from parting members, with or without backslashes that escape. In a
// member with an address in angle brackets, what counts is brackets, also those in
// quotes, and what comes after them; in any other member every address does. It
// reports whether one of them has another domain.
func otherReading(text string, domain Domain, escapes bool) bool {
	start, open := 0, -1
	quoted, openQuoted := false, false
	for i := 0; i <= len(text); i++ {
		control := i < len(text) && text[i] < ' ' && text[i] != '\t'
		switch {
		case i == len(text), control, !quoted && (text[i] == ',' || text[i] == ';'):
			if holdsOther(text[start:i], domain) {
				return true
			}
			start, open = i+1, -1
			quoted = quoted && !control
		case text[i] == '\\' && quoted && escapes:
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == '<' && open < 0:
			open, openQuoted = i, quoted
		case text[i] == '>' && open >= 0:
			content := text[open+1 : i]
			if isOther(content, domain) {
				return true
			}
			if !openQuoted && countAts(content) > 0 {
				start = i + 1 // what stood before is the name
			}
			open = -1
		}
	}
	return false
}

// mentionsOther reports whether there is an address in text whose domain has more
// than one label and is not the given one.
func mentionsOther(text string, domain Domain) bool { return findOther(text, domain, false, notLocal) }

// holdsOther is mentionsOther for text that is to be an address: there, readers
// pass over blanks around the '@' (RFC 822 allowed them).
func holdsOther(text string, domain Domain) bool { return findOther(text, domain, true, notLocal) }

// isOther is holdsOther for what stands in angle brackets: whatever is before the
// '@', some reader takes it for a local part, and one that unfolds by dropping all
// white space joins a domain that a fold has cut in two.
func isOther(text string, domain Domain) bool {
	if findOther(text, domain, true, "") {
		return true
	}
	joined := strings.NewReplacer("\t", "", " ", "").Replace(text)
	return len(joined) < len(text) && findOther(joined, domain, true, "")
}

// notLocal are bytes before an '@' that make it the beginning of something else: a
// route, a name that somebody has elsewhere.
const notLocal = "<,;:(["

func findOther(text string, domain Domain, blanks bool, notLocal string) bool {
	for i, r := range text {
		if !isAt(r) {
			continue
		}
		before := text[:i]
		if blanks {
			before = strings.TrimRight(before, " \t")
		}
		if before == "" || before[len(before)-1] <= ' ' || strings.IndexByte(notLocal, before[len(before)-1]) >= 0 {
			continue
		}
		after := text[i+utf8.RuneLen(r):]
		if blanks {
			after = strings.TrimLeft(after, " \t")
		}
		if host := leadingHost(after); host != "" && !sameDomain(host, domain) {
			return true
		}
	}
	return false
}

// leadingHost returns what text begins with if that looks like a domain name of
// more than one label, else "". A number in the last place makes it none.
func leadingHost(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && !isFullStop(r) && !unicode.In(r, unicode.L, unicode.M, unicode.Nd)
	})
	if end >= 0 {
		text = text[:end]
	}
	text = strings.TrimFunc(text, func(r rune) bool { return r == '-' || r == '_' || isDot(r) })
	dot := strings.LastIndexFunc(text, isDot)
	if dot < 0 || strings.IndexFunc(text[dot:], unicode.IsLetter) < 0 {
		return ""
	}
	return text
}

func isDot(r rune) bool { return r == '.' || isFullStop(r) }

func sameDomain(host string, domain Domain) bool {
	d, err := ParseDomain(host)
	return err == nil && d == domain
}
