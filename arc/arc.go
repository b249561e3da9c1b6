// Package arc implements the Authenticated Received Chain (RFC 8617): it
// validates chains and adds to them.
//
// Mailing lists and forwarders break what SPF and DKIM prove. With ARC, a host
// that passes mail on writes down what it found when the mail came in, and seals
// it. Each host adds a set of three fields on top, with the next number in i=:
//
//	ARC-Seal: i=2; a=rsa-sha256; cv=pass; d=list.example; s=s1; b=<signature>
//	ARC-Message-Signature: i=2; a=rsa-sha256; c=relaxed/relaxed; d=list.example;
//		s=s1; h=from:to:subject; bh=<hash of the body>; b=<signature>
//	ARC-Authentication-Results: i=2; list.example; dmarc=pass header.from=a.example
//
// ARC-Authentication-Results is what the host found. ARC-Message-Signature is a
// DKIM signature of the message as the host let it go. ARC-Seal signs the sets of
// all hosts up to and with this one, and says in cv= whether the chain was in
// order when it arrived.
//
// A chain passes when it is numbered without gaps, its newest message signature
// verifies, and all of its seals do ([Verifier]). That proves who says so, never
// that it is true: anybody can seal a lie with a domain of his own. A chain means
// something only to those who trust its sealers, and only as far down as all the
// newer ones are trusted too, since each of them could change the message
// ([Result.Trusted]). A chain that fails is worth no less than none (section 5.2).
//
// ARC is an experiment that is ending: the IETF is about to make RFC 8617
// Historic. Validating is of use as long as large forwarders seal; sealing
// ([Sealer]) is for those whose receivers ask for it.
//
//	parse.go    section 4      the three fields, and which of them make a set
//	verify.go   section 5.2    validating a chain
//	results.go  section 4.1.1  ARC-Authentication-Results
//	seal.go     section 5.1    adding a set
//
// Fields come from strangers. Sets, keys and message signatures looked at have
// limits, the header is hashed once whatever the number of seals, and what cannot
// be read is a chain that fails, never an error.
package arc

import (
	"errors"
	"fmt"
	"time"

	"milterd/authres"
	"milterd/dkim"
	"milterd/message"
)

// Names of the three fields of a set (RFC 8617, section 4.1).
const (
	ResultsName   = "ARC-Authentication-Results"
	SignatureName = dkim.ARCFieldName // ARC-Message-Signature
	SealName      = "ARC-Seal"
)

const (
	// MaxSets is the longest chain there may be (RFC 8617, section 4.2.1).
	MaxSets = 50
	// MaxKeys is how many different keys the signatures of one chain may have.
	// The RFC wants every seal verified, so they all are; this bounds what that
	// costs. A chain that has ten keys has gone through ten organizations.
	MaxKeys = 10
	// MaxMessageSignatures is how many message signatures are verified, from the
	// newest one on. All but the newest only serve oldest-pass.
	MaxMessageSignatures = 10
)

// Status is the outcome of a chain, or of one of its signatures.
type Status string

const (
	// None: the message has no chain; a signature that was not looked at.
	None Status = "none"
	// Pass: the chain is in order (RFC 8617, section 5.2).
	Pass Status = "pass"
	// Fail: it is not. The message is to be treated like one without a chain.
	Fail Status = "fail"
	// TempError: nothing is wrong with the chain but that a key could not be
	// fetched. The RFC, section 5.2.1, calls that a failure as well, and
	// [Status.Wire] does; here it stays apart, because DNS trouble says nothing
	// about a message.
	TempError Status = "temperror"
)

// Wire returns the word for cv= and for Authentication-Results: none, pass or
// fail (RFC 8617, section 4.4).
func (s Status) Wire() string {
	if s == TempError {
		return string(Fail)
	}
	return string(s)
}

// Result is what became of the chain of one message.
type Result struct {
	Status Status
	// Reason says in a few fixed words why Status is neither pass nor none: the
	// text of an error of this package, or the name of a field and that of an
	// error of package dkim, never that of a stranger.
	Reason string
	// Err is Reason with details for a log. One of the errors of this package or
	// of package dkim is in its chain. Its text may quote a resolver's.
	Err error
	// Instance is the set that Reason is about, 0 for the chain as a whole.
	Instance int

	// OldestPass tells how far back the message is unchanged (section 5.2, step
	// 5): the lowest instance whose message signature verifies together with all
	// above it, 0 when that is true of every set. Only with pass.
	OldestPass int

	// Sets are the sets of the message, oldest first; with fail they may have
	// gaps, and anything in them may be missing.
	Sets []Set

	// BodyHash is the SHA-256 of the body in relaxed form, with [Verifier.ForSealing].
	BodyHash []byte

	highest int // the highest instance, MaxSets when there are too many to look
}

// Set is one ARC set: what one host has added.
type Set struct {
	Instance int // i=
	// CV is what the host found about the chain before it, "" when its seal
	// cannot be read.
	CV Status

	// Seal and Message are the signatures ARC-Seal and ARC-Message-Signature.
	Seal, Message Signature

	payload string // of ARC-Authentication-Results, "" when there is none
}

// Results returns what the host says it found (ARC-Authentication-Results). The
// error is authres's: the chain may be in order nevertheless, but such a set says
// nothing.
func (s *Set) Results() (authres.Field, error) { return authres.Parse(s.payload) }

// Signature is one of the signatures of a set. Everything but Status and Reason
// is what the field says; only with pass does it mean anything.
type Signature struct {
	// Status is none for a signature that was not looked at: those of a chain
	// that failed before their turn, and all but the newest message signatures
	// once one of them does not verify.
	Status Status
	Reason string // one of package dkim's or of this one's; "" with pass and none

	Domain    message.Domain // d=
	Selector  string         // s=
	Algorithm dkim.Algorithm // a=
	KeyBits   int            // 0 when no key was seen
	Signed    time.Time      // t=; zero when not given
	// SignsFrom says that a message signature covers the From field. RFC 8617 does
	// not ask for it as RFC 6376 does.
	SignsFrom bool
}

// Newest returns the set on top of the chain, nil when there is none.
func (r *Result) Newest() *Set {
	if len(r.Sets) == 0 {
		return nil
	}
	return &r.Sets[len(r.Sets)-1]
}

// Trusted returns the sets of a chain that passes whose word may be taken, newest
// first: those with a sealer that is trusted, down to the first that is not.
// Below that one everything can be true and still not be about this message,
// since an untrusted host has had it in its hands. The sets are none when the
// newest sealer is not trusted.
func (r *Result) Trusted(trusted func(sealer message.Domain) bool) []*Set {
	var sets []*Set
	if r.Status != Pass {
		return nil
	}
	for i := len(r.Sets) - 1; i >= 0 && trusted(r.Sets[i].Seal.Domain); i-- {
		sets = append(sets, &r.Sets[i])
	}
	return sets
}

// The reasons of a chain that fails, beside those of package dkim for its
// signatures. [Result.Reason] is their text.
var (
	ErrTooMany     = errors.New("too many ARC sets")
	ErrIncomplete  = errors.New("incomplete ARC set")
	ErrDuplicate   = errors.New("an ARC field comes twice")
	ErrGap         = errors.New("a gap between the ARC sets")
	ErrCV          = errors.New("cv= does not fit the place in the chain")
	ErrSealedFail  = errors.New("sealed as a failed chain")
	ErrResults     = errors.New("malformed " + ResultsName)
	ErrSealFields  = errors.New("h= in " + SealName)
	ErrSealSigned  = errors.New(SealName + " in h= of " + SignatureName)
	ErrTooManyKeys = errors.New("too many different keys")
)

// A fault is a rule that a chain breaks.
type fault struct {
	instance int
	field    string // the name, where err is one of package dkim
	err      error
}

// status returns fail or, where the DNS is to blame, temperror.
func (f *fault) status() Status {
	if f.field == "" {
		return Fail
	}
	if s, _ := dkim.OutcomeOf(f.err); s == dkim.TempError {
		return TempError
	}
	return Fail
}

// words returns the fixed text of err.
func (f *fault) words() string {
	if f.field == "" {
		return f.err.Error()
	}
	_, text := dkim.OutcomeOf(f.err)
	return text
}

// failed makes the fault that of the chain.
func (r *Result) failed(f *fault) {
	r.Status, r.Reason, r.Instance, r.Err = f.status(), f.words(), f.instance, f.err
	if f.field != "" {
		r.Reason = f.field + ": " + r.Reason
		r.Err = fmt.Errorf("%s: %w", f.field, r.Err)
	}
	if f.instance > 0 {
		r.Err = fmt.Errorf("i=%d: %w", f.instance, r.Err)
	}
}
