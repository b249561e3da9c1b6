package message

import (
	"errors"
	"slices"
	"strings"
	"unicode"
)

// An Author is the identity of the From field: who claims to have written the
// message (RFC 5322, section 3.6.2). Its Domain is the Author Domain that DMARC
// works on (RFC 9989).
//
// People see this identity, and their programs read it each in its own way. So an
// Author with a Domain is one in whose field no reader that honours quotes, ignores
// them or their backslashes, ignores comments, or decodes before it reads, finds a
// mailbox of another domain. A field that can be read in two ways is Refusable, and
// has no Domain. One thing is tolerated, because honest mail is full of it: a name
// that shows an address, quoted or encoded, before the address in angle brackets.
// It has the problem [AuthorNameIsAddress].
type Author struct {
	// Addresses holds every address that was found, also when the author is
	// not usable; it is evidence then, not identity. A local part may be longer
	// than [ParseAddress] allows, see [AuthorLongLocal].
	Addresses []Address
	// Names are the display names as a reader sees them: decoded, unquoted,
	// controls turned into blanks. Names[i] belongs to Addresses[i] and may be
	// empty; a From without an address has its words here.
	Names []string
	// Domain is the one domain of all addresses. It is zero when the author is
	// Refusable, and for an address literal.
	Domain Domain
	// Problems are what is wrong with the field, each one once, in the order
	// found. Some are tolerated, see [AuthorProblem.Refusable].
	Problems []AuthorProblem
}

// An AuthorProblem is a defect of the From field, from a closed set.
type AuthorProblem string

// These make the author unusable: there is none, or readers would differ about who
// it is. The field is not taken apart any further once one is found.
const (
	AuthorMissing        AuthorProblem = "MISSING"         // no From field
	AuthorMultipleFields AuthorProblem = "MULTIPLE_FIELDS" // more than one
	AuthorEmpty          AuthorProblem = "EMPTY"           // nothing in it, or "Name <>"
	AuthorBareWord       AuthorProblem = "BARE_WORD"       // words, and no '@' anywhere: MAILER-DAEMON
	AuthorTooLong        AuthorProblem = "TOO_LONG"        // more bytes than the limit; it was not read
	AuthorUnparsable     AuthorProblem = "UNPARSABLE"      // no mailbox list by any grammar
	AuthorControl        AuthorProblem = "CONTROL"         // a control character, or a line that is no fold
	AuthorUnbalanced     AuthorProblem = "UNBALANCED"      // a bracket, quote or parenthesis without its partner
	AuthorGroup          AuthorProblem = "GROUP"           // name:a@example.org;
	AuthorRoute          AuthorProblem = "ROUTE"           // <@relay.example,@b.example:a@example.org>
	AuthorTwoDomains     AuthorProblem = "TWO_DOMAINS"     // addresses of different domains
	AuthorBadDomain      AuthorProblem = "BAD_DOMAIN"      // no domain name: a_b.example, xn--paypal-
	AuthorTrailingDot    AuthorProblem = "TRAILING_DOT"    // a@example.org.
	AuthorFullStop       AuthorProblem = "FULL_STOP"       // a full stop of another script in the domain
	AuthorZeroWidth      AuthorProblem = "ZERO_WIDTH"      // an invisible character in the address
	AuthorEncodedAddress AuthorProblem = "ENCODED_ADDRESS" // an encoded word that is, or hides, an address
	AuthorAmbiguous      AuthorProblem = "AMBIGUOUS"       // a name or comment that some readers take for the address
)

// These are tolerated: wrong or odd, but every reader sees the same domain.
const (
	AuthorUnquotedComma    AuthorProblem = "UNQUOTED_COMMA"    // Smith, John <a@example.org>
	AuthorUnquotedAt       AuthorProblem = "UNQUOTED_AT"       // a@example.org <a@example.org>
	AuthorUnquotedBrackets AuthorProblem = "UNQUOTED_BRACKETS" // [Sales] Ann <a@example.org>
	AuthorLiteral          AuthorProblem = "LITERAL"           // a@[192.0.2.1]
	AuthorNoSender         AuthorProblem = "NO_SENDER"         // several addresses, and no Sender field (RFC 5322, section 3.6.2)
	AuthorLongLocal        AuthorProblem = "LONG_LOCAL"        // a local part of more than 64 octets
	AuthorLocalDots        AuthorProblem = "LOCAL_DOTS"        // a..b.@example.org, given out by some carriers
	AuthorNameIsAddress    AuthorProblem = "NAME_IS_ADDRESS"   // "ceo@bank.example" <a@example.org>
	AuthorNameBidi         AuthorProblem = "NAME_BIDI"         // direction overrides in the name
	AuthorNameControl      AuthorProblem = "NAME_CONTROL"      // encoded line breaks or NUL in the name
)

// refusable and tolerated are the closed set, in the order above.
func refusableProblems() []AuthorProblem {
	return []AuthorProblem{
		AuthorMissing, AuthorMultipleFields, AuthorEmpty, AuthorBareWord, AuthorTooLong, AuthorUnparsable,
		AuthorControl, AuthorUnbalanced, AuthorGroup, AuthorRoute, AuthorTwoDomains, AuthorBadDomain,
		AuthorTrailingDot, AuthorFullStop, AuthorZeroWidth, AuthorEncodedAddress, AuthorAmbiguous,
	}
}

func toleratedProblems() []AuthorProblem {
	return []AuthorProblem{
		AuthorUnquotedComma, AuthorUnquotedAt, AuthorUnquotedBrackets, AuthorLiteral, AuthorNoSender,
		AuthorLongLocal, AuthorLocalDots, AuthorNameIsAddress, AuthorNameBidi, AuthorNameControl,
	}
}

// AuthorProblems returns the whole set, the refusable ones first.
func AuthorProblems() []AuthorProblem { return append(refusableProblems(), toleratedProblems()...) }

// Refusable reports whether the problem leaves no author that could be trusted or
// even named.
func (p AuthorProblem) Refusable() bool { return !slices.Contains(toleratedProblems(), p) }

// DefaultFromBytes is how much of a From field is read (limits.from_bytes).
const DefaultFromBytes = 8192

// ParseAuthor reads the identity out of the values of all From fields, as they were
// received: raw bytes, folds as CRLF or LF before white space. senderPresent says
// whether the message has a Sender field. A field longer than limit bytes is not
// read at all; a limit of 0 or less means [DefaultFromBytes].
//
// The grammar is that of RFC 5322, section 3.4, with UTF-8 (RFC 6532) and any
// other 8-bit bytes in names. Of the obsolete forms it takes dots in names and
// nothing else; of the sloppy ones those that [AuthorProblem] calls tolerated.
// Encoded words (RFC 2047) are decoded for Names, and never make an address. The
// time it takes is linear in the length of the fields.
func ParseAuthor(fields []string, senderPresent bool, limit int) Author {
	if limit <= 0 {
		limit = DefaultFromBytes
	}
	var a Author
	switch len(fields) {
	case 0:
		a.note(AuthorMissing)
	case 1:
	default:
		a.note(AuthorMultipleFields)
	}
	left := limit
	for _, field := range fields {
		if len(field) > limit {
			a.note(AuthorTooLong)
			continue
		}
		// Several fields are refused whatever they hold; they are read for the
		// log, and no more of them than one honest field may have.
		if left -= len(field); left >= 0 {
			a.read(field)
		}
	}
	if a.Refusable() {
		return a
	}
	a.Domain = a.Addresses[0].Domain
	if len(a.Addresses) > 1 && !senderPresent {
		a.note(AuthorNoSender)
	}
	return a
}

// Has reports whether the field has that problem.
func (a Author) Has(p AuthorProblem) bool { return slices.Contains(a.Problems, p) }

// Refusable reports whether the author is unusable: there is none, or the field can
// be read in two ways.
func (a Author) Refusable() bool { return slices.ContainsFunc(a.Problems, AuthorProblem.Refusable) }

// note records a problem once; "" is none.
func (a *Author) note(p AuthorProblem) {
	if p != "" && !a.Has(p) {
		a.Problems = append(a.Problems, p)
	}
}

// read adds what one field says.
func (a *Author) read(field string) {
	tokens, problem := lexAuthor(field)
	p := authorParser{field: field, tokens: tokens}
	first := len(a.Addresses)
	if problem == "" {
		problem = p.list(a)
	}
	found := a.Addresses[first:]
	if problem == "" || problem == AuthorBareWord || problem == AuthorEmpty {
		if again := a.readAgain(field, found, p.looseAts); again != "" {
			problem = again
		}
	}
	a.note(problem)
	for i := range found {
		if found[i].Domain != found[0].Domain || found[i].Literal != found[0].Literal {
			a.note(AuthorTwoDomains)
		}
		if found[i].Literal.IsValid() {
			a.note(AuthorLiteral)
		}
	}
	for _, name := range a.Names {
		if strings.IndexFunc(name, isBidiControl) >= 0 {
			a.note(AuthorNameBidi)
		}
	}
}

// isBidiControl reports the characters that turn text around: embeddings,
// overrides, isolates and their ends.
func isBidiControl(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) && r > '\u200f' }

// domainProblem names the problem behind an error of ParseDomain.
func domainProblem(err error) AuthorProblem {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrTrailingDot):
		return AuthorTrailingDot
	case errors.Is(err, ErrFullStop):
		return AuthorFullStop
	case errors.Is(err, ErrInvisible):
		return AuthorZeroWidth
	}
	return AuthorBadDomain
}
