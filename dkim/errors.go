package dkim

import (
	"errors"
)

// The reasons why a signature does not pass. [Result.Reason] is their text, and
// [Result.Err] has exactly one of them in its chain. Each belongs to one status.
var (
	// The field itself (RFC 6376, section 6.1.1).
	ErrSyntax       error = &reason{PermError, "malformed signature field"}
	ErrMissingTag   error = &reason{PermError, "a required tag is missing"}
	ErrDomain       error = &reason{PermError, "d= is not a host name"}
	ErrSelector     error = &reason{PermError, "s= is not a selector"}
	ErrIdentity     error = &reason{PermError, "i= does not belong to d="}
	ErrFromUnsigned error = &reason{PermError, "From is not signed"}
	ErrTimes        error = &reason{PermError, "x= is not after t="}
	ErrExpired      error = &reason{PermError, "signature has expired"}
	ErrFuture       error = &reason{PermError, "signature is from the future"}
	ErrSHA1         error = &reason{PermError, "rsa-sha1 is no longer valid"}
	ErrLength       error = &reason{PermError, "l= is larger than the body"}

	// What this verifier does not know.
	ErrVersion          error = &reason{Neutral, "unknown signature version"}
	ErrAlgorithm        error = &reason{Neutral, "unknown algorithm"}
	ErrCanonicalization error = &reason{Neutral, "unknown canonicalization"}
	ErrQuery            error = &reason{Neutral, "unknown query method"}

	// What it does not accept.
	ErrHeaderNames error = &reason{Policy, "too many names in h="}
	ErrKeyShort    error = &reason{Policy, "key is too short"}
	ErrKeyLong     error = &reason{Policy, "key is too long"}
	ErrPartial     error = &reason{Policy, "l= does not cover the whole body"}

	// The key (RFC 6376, section 6.1.2).
	ErrNoKey         error = &reason{PermError, "no key for signature"}
	ErrKeyCount      error = &reason{PermError, "too many key records"}
	ErrKeySyntax     error = &reason{PermError, "malformed key record"}
	ErrKeyRevoked    error = &reason{PermError, "key is revoked"}
	ErrKeyAlgorithm  error = &reason{PermError, "key is for another algorithm"}
	ErrKeyHash       error = &reason{PermError, "key does not allow the hash algorithm"}
	ErrKeyService    error = &reason{PermError, "key is not for mail"}
	ErrKeySubdomains error = &reason{PermError, "key does not allow subdomains in i="}
	ErrBudget        error = &reason{PermError, "DNS budget of the sender is used up"}
	ErrDNS           error = &reason{TempError, "key could not be fetched"}
	ErrTime          error = &reason{TempError, "out of time"}

	// The message (RFC 6376, section 6.1.3).
	ErrBodyHash  error = &reason{Fail, "body hash did not verify"}
	ErrSignature error = &reason{Fail, "signature did not verify"}
)

// A reason is an error from the list above.
type reason struct {
	status Status
	text   string
}

func (r *reason) Error() string { return r.text }

// reasonOf returns the reason in the chain of err.
func reasonOf(err error) *reason {
	r, ok := errors.AsType[*reason](err)
	if !ok {
		// Every error of this package is made from a reason.
		panic("dkim: error without a reason: " + err.Error())
	}
	return r
}
