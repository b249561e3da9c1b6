package dkim

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	"milterd/message"
)

// Verifier checks signatures. The zero value with a Resolver is ready for use; it
// is safe for concurrent use as long as its fields are left alone.
type Verifier struct {
	Resolver TXTResolver

	// Now is the clock; nil is time.Now.
	Now func() time.Time

	// Skew is how far a signer's clock may be off, for t= in the future and x= in
	// the past. Zero means 300 s.
	Skew time.Duration

	// MaxSignatures is how many signatures of one message are looked at, so also
	// the most look-ups of keys. Zero means 8.
	MaxSignatures int

	// MaxHeaderNames is the most names in h=. Zero means 100.
	MaxHeaderNames int

	// MinRSABits and MaxRSABits bound the keys that are accepted. Zero means 1024
	// and 4096. Less than 1024 is never accepted (RFC 8301, section 3.2).
	MinRSABits, MaxRSABits int
}

// Start begins with the signatures of a message as soon as its header is there.
// The fields are the whole header from top to bottom, values exactly as received:
// leading blank, folds and all; they must not change until Finish.
//
// Of many signatures only MaxSignatures are looked at: those of the domain in
// prefer (the author's, zero for none) first, then those of its relatives, then
// the others, and last those that cannot be used anyway. The look-ups of their keys start at once and run beside whatever
// the caller does next.
//
// Write the body to the Verification as it comes in, or let it Follow the body, then
// call Finish, which
// must be done in any case.
func (v *Verifier) Start(ctx context.Context, fields []message.Field, prefer message.Domain) *Verification {
	var found []pending
	for i := range fields {
		if equalFold(fields[i].Name, FieldName) {
			found = append(found, v.validate(fields, i))
		}
	}
	most := limit(v.MaxSignatures, 8)
	chosen := found
	if len(found) > most {
		chosen = slices.Clone(found)
		slices.SortStableFunc(chosen, func(a, b pending) int { return cmp.Compare(a.rank(prefer), b.rank(prefer)) })
		chosen = chosen[:most]
		slices.SortFunc(chosen, func(a, b pending) int { return cmp.Compare(a.sig.Index, b.sig.Index) })
	}
	s := v.start(ctx, fields, chosen)
	s.found = found
	return s
}

// A pending is one signature on its way to a Result.
type pending struct {
	sig    *Signature
	err    error // why it cannot pass, known from the field alone
	digest [sha256.Size]byte
	key    *keyQuery // nil with err
}

// rank orders signatures when there are too many.
func (p *pending) rank(prefer message.Domain) int {
	d := p.sig.Domain
	switch {
	case p.err != nil:
		return 4
	case d == prefer:
		return 0
	case d.HasSuffix(prefer), prefer.HasSuffix(d):
		return 1
	case commonLabels(d, prefer) >= 2: // most siblings have that much in common
		return 2
	}
	return 3
}

// commonLabels returns how many labels two names share at their ends.
func commonLabels(a, b message.Domain) int {
	for n := a.Labels(); n > 0; n-- {
		if b.HasSuffix(a) {
			return n
		}
		a, _ = a.Parent()
	}
	return 0
}

// validate reads a signature field and judges what can be judged by itself
// (RFC 6376, section 6.1.1).
func (v *Verifier) validate(fields []message.Field, index int) pending {
	sig, err := ParseSignature(fields, index)
	if err == nil {
		err = v.accept(sig)
	}
	return pending{sig: sig, err: err}
}

// accept judges a well-formed signature by clock and limits.
func (v *Verifier) accept(sig *Signature) error {
	now, skew := time.Now, v.Skew
	if v.Now != nil {
		now = v.Now
	}
	if skew == 0 {
		skew = 300 * time.Second
	}
	switch {
	case len(sig.Names) > limit(v.MaxHeaderNames, 100):
		return ErrHeaderNames
	case !sig.Expires.IsZero() && now().Add(-skew).After(sig.Expires):
		return ErrExpired
	case now().Add(skew).Before(sig.Signed):
		return ErrFuture
	}
	return nil
}

func limit(configured, standard int) int {
	if configured > 0 {
		return configured
	}
	return standard
}

// Verification is the verification of one message's signatures. It is for one
// goroutine.
type Verification struct {
	v        *Verifier
	found    []pending // all signatures
	chosen   []pending // those that are looked at, from top to bottom
	body     BodyHashes
	queries  []*keyQuery
	cancel   context.CancelFunc
	fetching sync.WaitGroup
}

// A keyQuery is the look-up of one key, shared by the signatures that need it.
type keyQuery struct {
	domain   message.Domain
	selector string
	keys     []*Key
	err      error
	panicked any
}

func (v *Verifier) start(ctx context.Context, fields []message.Field, chosen []pending) *Verification {
	s := &Verification{v: v, chosen: chosen, cancel: func() {}}
	if !slices.ContainsFunc(chosen, func(p pending) bool { return p.err == nil }) {
		return s
	}
	ctx, s.cancel = context.WithCancel(ctx)
	for i := range s.chosen {
		if p := &s.chosen[i]; p.err == nil {
			p.key = s.query(ctx, p.sig)
			s.body.Want(p.sig.Body, p.sig.Length)
		}
	}
	// Now the DNS is at work, and we have the time to hash.
	header := NewHeader(fields)
	for i := range s.chosen {
		if p := &s.chosen[i]; p.err == nil {
			p.digest = header.Digest(p.sig)
		}
	}
	return s
}

// query starts the look-up of a signature's key, or finds the one under way.
func (s *Verification) query(ctx context.Context, sig *Signature) *keyQuery {
	for _, q := range s.queries {
		if q.domain == sig.Domain && q.selector == sig.Selector {
			return q
		}
	}
	q := &keyQuery{domain: sig.Domain, selector: sig.Selector}
	s.queries = append(s.queries, q)
	fetch := func() {
		defer func() { q.panicked = recover() }()
		q.keys, q.err = LookupKeys(ctx, s.v.Resolver, q.domain, q.selector)
	}
	if Knows(s.v.Resolver, KeyName(q.domain, q.selector)) {
		fetch()
	} else {
		s.fetching.Go(fetch)
	}
	return q
}

// Follow is Write of the whole body while it arrives. What others that follow the
// same body want as well is hashed once for all ([BodyHashes.Follow]).
func (s *Verification) Follow(ctx context.Context, body *message.BodyReader) error {
	return s.body.Follow(ctx, body)
}

// NeedsBody reports whether any signature needs the body. If not, writing it
// does nothing.
func (s *Verification) NeedsBody() bool { return !s.body.Empty() }

// Skipped returns how many signatures are not looked at, because there are more
// than MaxSignatures.
func (s *Verification) Skipped() int { return len(s.found) - len(s.chosen) }

// Write takes the next piece of the body as received, with CRLF or LF line ends,
// cut anywhere. It never fails.
func (s *Verification) Write(piece []byte) (int, error) { return s.body.Write(piece) }

// Finish ends the body, waits for the keys, and returns one Result for each
// signature looked at, in the order of the header from top to bottom; none for a
// message without signatures. When ctx ends first, the look-ups still under way
// are broken off, and what needs them is a temperror.
func (s *Verification) Finish(ctx context.Context) []Result {
	stop := context.AfterFunc(ctx, s.cancel)
	s.fetching.Wait()
	for _, q := range s.queries {
		if q.panicked != nil { // a Resolver's: here the caller can recover
			panic(q.panicked)
		}
	}
	stop()
	s.cancel()
	results := make([]Result, len(s.chosen))
	for i := range s.chosen {
		results[i] = s.result(&s.chosen[i])
	}
	return results
}

// result completes one signature.
func (s *Verification) result(p *pending) Result {
	sig := p.sig
	r := Result{
		Index: sig.Index, Domain: sig.Domain, Selector: sig.Selector, Identity: sig.Identity, Algorithm: sig.Algorithm,
		Header: sig.Header, Body: sig.Body, Names: sig.Names, Signed: sig.Signed, Expires: sig.Expires,
		BPrefix: s.prefix(sig),
	}
	err := p.err
	if err == nil {
		err = s.verify(p, &r)
	}
	if err == nil {
		r.Status = Pass
		return r
	}
	why := reasonOf(err)
	r.Status, r.Reason, r.Err = why.status, why.text, err
	// RFC 6376, section 3.6.1, t=y: what fails is not to be treated differently
	// from unsigned mail.
	if r.TestMode && r.Status == Fail {
		r.Status = Neutral
	}
	return r
}

// verify does what needs key and body (RFC 6376, sections 6.1.2 and 6.1.3).
func (s *Verification) verify(p *pending, r *Result) error {
	sig := p.sig
	sum, size := s.body.Sum(sig.Body, sig.Length)
	r.BodyLength, r.Covered = size, size
	if sig.Length >= 0 {
		r.Covered = min(sig.Length, size)
		r.Partial = sig.Length < size
	}
	r.BodyMatches = sum != nil && bytes.Equal(sum, sig.BodyHash)

	if p.key.err != nil {
		return p.key.err
	}
	key, ok, err := s.v.VerifyDigest(p.key.keys, sig, p.digest[:])
	r.HeaderMatches, r.KeyBits, r.TestMode = ok, key.Bits, key.TestMode
	switch {
	case err != nil:
		return err
	case sig.Length > size:
		return fmt.Errorf("%w: %d of %d bytes", ErrLength, sig.Length, size)
	case !r.BodyMatches:
		return ErrBodyHash
	case !r.HeaderMatches:
		return ErrSignature
	case r.Partial:
		return fmt.Errorf("%w: %d of %d bytes", ErrPartial, r.Covered, r.BodyLength)
	}
	return nil
}

// VerifyDigest tries the keys on a signature of digest until one of them fits.
// It returns the key that did, or else the first one, with the error that kept
// it from being tried: [ErrKeyAlgorithm], [ErrKeyHash], [ErrKeyService],
// [ErrKeySubdomains], [ErrKeyShort], [ErrKeyLong]. Of sig it uses Algorithm and
// Value, and that i= may be a subdomain.
func (v *Verifier) VerifyDigest(keys []*Key, sig *Signature, digest []byte) (key *Key, ok bool, err error) {
	for i, k := range keys {
		bad := v.acceptKey(k, sig)
		if bad == nil && k.Verify(digest, sig.Value) {
			return k, true, nil
		}
		// A key that was tried tells more than one that could not be.
		if i == 0 || err != nil && bad == nil {
			key, err = k, bad
		}
	}
	return key, false, err
}

// acceptKey judges whether the key may be used for the signature at all.
func (v *Verifier) acceptKey(k *Key, sig *Signature) error {
	if err := k.allows(sig.Algorithm, sig.subdomain); err != nil {
		return err
	}
	if k.rsa == nil {
		return nil
	}
	const least = 1024 // RFC 8301, section 3.2
	if k.Bits < max(v.MinRSABits, least) {
		return fmt.Errorf("%w: %d bits", ErrKeyShort, k.Bits)
	}
	if k.Bits > limit(v.MaxRSABits, 4096) {
		return fmt.Errorf("%w: %d bits", ErrKeyLong, k.Bits)
	}
	return nil
}

// prefix returns the beginning of b= that no other signature of the message has
// (RFC 6008, section 4), and at least 8 characters.
func (s *Verification) prefix(sig *Signature) string {
	n := 8
	for i := range s.found {
		other := s.found[i].sig
		if other.Index != sig.Index {
			n = max(n, common(sig.valueText, other.valueText)+1)
		}
	}
	return sig.valueText[:min(n, len(sig.valueText))]
}

// common returns how many bytes a and b have in common at their beginning.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
