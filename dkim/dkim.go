// Package dkim implements DomainKeys Identified Mail: it verifies signatures and
// makes them (RFC 6376, with RFC 8301, 8463 and 8616).
//
// A signature is a header field that a mail server puts on top of a message:
//
//	DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.org; s=s1;
//		h=from:to:subject:date; bh=<hash of the body>; b=<signature>
//
// The domain in d= (the SDID) claims responsibility for the message. It proves
// it with a private key whose public half stands in DNS as a TXT record at
// <s=>._domainkey.<d=>. The key signs the header fields named in h=, and the
// signature field itself with an empty b=; that field holds the hash of the
// body, so the body is covered too. Since mail is changed a little on its way,
// both header and body are hashed in a canonical form: "simple" forgives next to
// nothing, "relaxed" forgives changes of white space (c=).
//
// A message may carry many signatures, each is judged on its own, and none of
// them says anything about the author: whether d= has to do with From is for
// DMARC. A signature that does not pass is worth no less than none at all
// (section 6.3): mailing lists break them every day.
//
// The code follows the order of the RFC, one file a section:
//
//	tags.go              sections 2, 3.2   tag=value lists, white space, base64
//	canonicalization.go  section 3.4       simple and relaxed, header and body
//	parse.go             section 3.5       the signature field
//	key.go               section 3.6.1     the key record
//	lookup.go            section 3.6.2     fetching it
//	hash.go              section 3.7       the two hashes
//	sign.go, write.go    section 5         signing, and writing the field
//	headers.go           section 5.4.2     which fields h= names
//	verify.go            section 6         verifying
//	explain*.go          -                 what broke it, for people
//
// Everything that is verified was written by a stranger: the field, and the key
// record as well. The number of signatures, of names in h= and of key records,
// and the size of keys have limits, and everything is linear in the size of the
// message. The body is read once, in pieces cut anywhere, and hashed once for
// each canonicalization. What has two readings (a name that is no host name, a
// tag given twice) is an error, never repaired.
//
// ARC (RFC 8617) signs by the same rules in fields of its own; [Verifier] and
// [Signer] do its ARC-Message-Signature too, and the parts they are made of are
// exported for its seal.
package dkim

import (
	"time"

	"milterd/message"
)

// Names of the fields that this package verifies and makes.
const (
	FieldName    = "DKIM-Signature"
	ARCFieldName = "ARC-Message-Signature" // RFC 8617, section 4.1.2
)

// Status is the outcome of one signature, spelled as in Authentication-Results.
// Source: RFC 8601, section 2.7.1.
type Status string

// The seven outcomes.
const (
	// None is the outcome of a message without signatures. No [Result] has it.
	None Status = "none"
	// Pass means that the domain in d= signed this message as it is here.
	Pass Status = "pass"
	// Fail means that field and key are in order but the message, or its
	// signature, is not the one that was made.
	Fail Status = "fail"
	// Policy means that the signature may be correct but is not accepted: a
	// short key, a body that is only covered in part, a limit.
	Policy Status = "policy"
	// Neutral means that the signature cannot be judged by us (a version, an
	// algorithm that we do not know), or did not verify while its domain says
	// that it is only testing.
	Neutral Status = "neutral"
	// TempError means that the key could not be fetched; another try may succeed.
	TempError Status = "temperror"
	// PermError means that the signature cannot be used and never will be.
	PermError Status = "permerror"
)

// Algorithm is the a= tag: how a signature was made.
type Algorithm string

// The algorithms of RFC 6376, 8301 and 8463.
const (
	RSASHA256     Algorithm = "rsa-sha256"
	Ed25519SHA256 Algorithm = "ed25519-sha256"
	// RSASHA1 is known by name only: RFC 8301, section 3.1 forbids to accept it.
	RSASHA1 Algorithm = "rsa-sha1"
)

// Canonicalization is one half of the c= tag: what changes on the way a hash
// forgives (RFC 6376, section 3.4).
type Canonicalization string

// The two canonicalizations, each of them for header and for body.
const (
	Simple  Canonicalization = "simple"
	Relaxed Canonicalization = "relaxed"
)

// Result is what became of one signature. Status and Reason are always set; the
// rest as far as it could be read, whatever Status is. Only with [Pass] does
// Domain mean anything about the message.
type Result struct {
	Status Status
	// Reason says in a few fixed words why Status is not pass; it is the text of
	// one of this package's errors and never that of a stranger. Empty with pass.
	Reason string
	// Err is Reason with details for a log, nil with pass. One of the errors of
	// this package is in its chain. Its text may quote a resolver's.
	Err error

	// Index is the place of the signature among the fields given to
	// [Verifier.Start].
	Index int

	Domain    message.Domain // d=, the SDID; zero when it is not a host name
	Selector  string         // s= in lower case, as A-labels
	Identity  string         // i=, the AUID, without white space; "@" and Domain when not given
	Algorithm Algorithm      // a= in lower case, also when unknown
	KeyBits   int            // of the RSA modulus, 256 for Ed25519; 0 when no key was seen
	Header    Canonicalization
	Body      Canonicalization
	Names     []string  // h= as written
	Signed    time.Time // t=; zero when not given
	Expires   time.Time // x=; zero when not given

	// BPrefix is the beginning of b= that tells this signature from the others
	// of the message, 8 characters or more (RFC 6008, section 4).
	BPrefix string

	// TestMode reports that the domain's key is marked t=y. A pass is still one:
	// only the domain could have made it. But what fails is neutral, since
	// testing must do no harm (RFC 6376, section 3.6.1).
	TestMode bool

	// Partial reports that l= leaves the end of the body uncovered: of
	// BodyLength bytes in canonical form only Covered were signed. Such a
	// signature never passes, since anybody can append what readers will see.
	Partial             bool
	Covered, BodyLength int64

	// BodyMatches reports that the body, or its part covered by l=, has the hash
	// in bh=. HeaderMatches reports that the header fields and the signature
	// field (bh= with it) are what the key signed. With HeaderMatches alone the
	// body was changed, as mailing lists do.
	BodyMatches, HeaderMatches bool
}
