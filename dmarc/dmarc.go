// Package dmarc implements Domain-based Message Authentication, Reporting, and
// Conformance (RFC 9989, which obsoletes RFC 7489 and RFC 9091).
//
// SPF and DKIM each prove that some domain had a hand in a message. Neither
// asks whether it is the domain that the reader sees. DMARC does: the owner of
// the Author Domain, the domain in From, publishes what shall become of mail
// that uses its name without proof.
//
//	_dmarc.example.org. TXT "v=DMARC1; p=reject; rua=mailto:dmarc@example.org"
//
// An evaluation has two halves, because the first can begin long before the
// second:
//
//   - [Discover] finds the policy of an Author Domain: the record at the domain
//     itself, else at its Organizational Domain, else at its Public Suffix
//     Domain. It needs the From field only, so a milter starts it at the end of
//     the header and the DNS hides behind the body.
//   - [Policy.Evaluate] takes the domains that SPF and DKIM authenticated and
//     says whether one of them is aligned with the Author Domain: identical to
//     it (strict), or of the same Organizational Domain (relaxed).
//
// What the Organizational Domain is the DNS itself tells: the DNS Tree Walk asks
// for a record at the domain and at each parent, eight names at most, and the
// records found say who belongs together. RFC 7489 looked it up in the Public
// Suffix List, and many senders still expect that; both methods are here, and
// [Both] shows where they differ.
//
// The code follows the order of the RFC, one file a section:
//
//	record.go    sections 4.7, 4.8  the record: tags, defaults, what a bad tag costs
//	uri.go       section 4.6        where reports go
//	lookup.go    section 4.10       one question a name, shared by all walks
//	walk.go      section 4.10       the DNS Tree Walk and what it concludes
//	suffix.go    RFC 7489, 3.2      the Public Suffix List in its place
//	discover.go  section 4.10.1     which record applies, and which of its tags
//	evaluate.go  section 4.10.2     alignment, pass and fail
//
// Names, records and identifiers are written by strangers, the Author Domain by
// whoever wants to be taken for its owner. So nothing here costs more than a
// fixed number of questions, a record is read in one pass, and DNS that does not
// answer never becomes "no policy": the policy is then unknown ([TempError]).
package dmarc

import (
	"context"

	"milterd/message"
)

// Status is the outcome of an evaluation, spelled as in Authentication-Results.
// Source: RFC 9989, section 9.2.
type Status string

// The five outcomes.
const (
	None      Status = "none"      // no policy applies to the Author Domain
	Pass      Status = "pass"      // an authenticated identifier is aligned
	Fail      Status = "fail"      // none is
	TempError Status = "temperror" // DNS did not answer, and the answer matters
	PermError Status = "permerror" // the policy cannot be interpreted
)

// Disposition is what a Domain Owner wants done with mail that fails.
// Source: RFC 9989, section 4.7, tags p, sp and np.
type Disposition string

// The three dispositions.
const (
	DispositionNone Disposition = "none"
	Quarantine      Disposition = "quarantine"
	Reject          Disposition = "reject"
)

// lower is the disposition one level down (RFC 9989, section 4.7, tag t).
func (d Disposition) lower() Disposition {
	if d == Reject {
		return Quarantine
	}
	return DispositionNone
}

// stricter returns the stricter of two dispositions.
func stricter(a, b Disposition) Disposition {
	if a == Reject || b == Reject {
		return Reject
	}
	if a == Quarantine || b == Quarantine {
		return Quarantine
	}
	return DispositionNone
}

// Resolver looks TXT records up in the DNS.
//
// Names are absolute, without a final dot. The strings of one record are joined
// without a separator (RFC 9989, section 4.5). A name without TXT records (NODATA)
// is an empty answer and a nil error. An error is or wraps a [*net.DNSError]: with
// IsNotFound the name does not exist (NXDOMAIN), everything else is temporary.
//
// An error whose chain has a method BudgetExceeded() bool that returns true says
// that no more questions may be asked for this message. Where an identifier was
// looked into, it then counts as not aligned: its owner made it expensive. The
// policy of an Author Domain is somebody else's and never becomes "none" that way,
// it is unknown; a caller with a budget reserves [MaxPolicyQueries] for it.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Limits of one evaluation, in questions to the Resolver.
const (
	// MaxWalkQueries is the most that one DNS Tree Walk asks (RFC 9989, section 4.10).
	MaxWalkQueries = 8
	// MaxPolicyQueries is the most that Discover asks: a walk, and whether the
	// Author Domain exists.
	MaxPolicyQueries = MaxWalkQueries + 1
	// MaxQueries is the most that Discover and Evaluate ask together. What an
	// identifier would need beyond that is not asked; it is not aligned.
	MaxQueries = 32
)

// Method says how Organizational Domains are found.
type Method string

// The methods. The zero Method is TreeWalk.
const (
	TreeWalk Method = "treewalk" // RFC 9989, section 4.10
	PSL      Method = "psl"      // RFC 7489, section 3.2
	Both     Method = "both"     // TreeWalk, with the result by PSL beside it
)

// Options for Discover. The zero value is right for most.
type Options struct {
	// Method is how Organizational Domains are found.
	Method Method
	// Suffixes is the Public Suffix List of method PSL; nil is the one that was
	// compiled in, which is as old as the program.
	Suffixes SuffixList
}

// Identifiers are the domains that SPF and DKIM authenticated for a message
// (RFC 9989, section 3.2.1), and those for which they could not tell.
type Identifiers struct {
	// SPF is the domain of the MAIL FROM identity, that of HELO only when the
	// reverse-path was null (section 4.4.2). A zero Domain is none.
	SPF Identifier
	// DKIM has the d= of signatures (section 4.4.1).
	DKIM []Identifier
}

// Identifier is a domain that was authenticated, or would have been had the DNS
// answered.
type Identifier struct {
	Domain message.Domain
	// TempError says that the mechanism ended in a temperror. Such a domain never
	// makes a pass; if it is aligned, it keeps the message from failing.
	TempError bool
}
