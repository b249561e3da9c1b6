package spf

import (
	"errors"
	"strconv"
	"strings"
)

// The reasons of a permerror or temperror. [Result.Reason] is their text, and the
// error that comes with a Result has exactly one of them in its chain.
var (
	ErrMailbox         = errors.New("sender is not a valid mailbox")
	ErrMultipleRecords = errors.New("more than one SPF record")
	ErrRecordSize      = errors.New("SPF record is too long")
	ErrSyntax          = errors.New("SPF record has a syntax error")
	ErrInclude         = errors.New("included domain has no SPF record")
	ErrRedirect        = errors.New("redirect to a domain without SPF record")
	ErrLookups         = errors.New("too many DNS look-ups")
	ErrVoids           = errors.New("too many void DNS look-ups")
	ErrMX              = errors.New("too many MX names")
	ErrDepth           = errors.New("SPF records are nested too deep")
	ErrBudget          = errors.New("DNS budget of the sender is used up")

	ErrDNS  = errors.New("DNS look-up failed") // temperror
	ErrTime = errors.New("out of time")        // temperror
)

// The reasons of none. None is an answer, so no error comes with it.
const (
	reasonClient   = "client address is not known"
	reasonHelo     = "HELO is not a domain name"
	reasonLiteral  = "sender has an address literal"
	reasonName     = "domain is not a valid name"
	reasonNXDomain = "domain does not exist"
	reasonNoRecord = "domain has no SPF record"
)

// Error says why a check ended in temperror or permerror, for a log: unlike
// [Result.Reason] its text quotes the sender's record.
type Error struct {
	Status Status // TempError or PermError
	Reason error  // ErrMailbox ... ErrTime
	Domain string // whose record was read; empty with ErrMailbox
	Term   string // the term at fault, as written, if it was one
	Err    error  // what resolver or parser said, if anything
}

// Error returns one line of printable text.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Reason.Error())
	if e.Domain != "" {
		b.WriteString(": " + strconv.QuoteToASCII(clip(e.Domain)))
	}
	if e.Term != "" {
		b.WriteString(": term " + strconv.QuoteToASCII(clip(e.Term)))
	}
	if e.Err != nil {
		b.WriteString(": " + strings.Map(printable, clip(e.Err.Error())))
	}
	return b.String()
}

// Unwrap gives [errors.Is] the reason and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Err}
}

// SyntaxError says which term of a record breaks which rule. It wraps [ErrSyntax].
type SyntaxError struct {
	Term    string // as written
	Problem string // from a fixed list, without text of the record
}

// Error quotes the term, shortened.
func (e *SyntaxError) Error() string {
	return strconv.QuoteToASCII(clip(e.Term)) + ": " + e.Problem
}

// Unwrap returns [ErrSyntax].
func (e *SyntaxError) Unwrap() error { return ErrSyntax }

// printable puts a "?" where a line could break or a terminal obey.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

// clip keeps a stranger's text from filling a log line.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
