package arc

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"hash"
	"slices"
	"strings"
	"sync"

	"milterd/dkim"
	"milterd/message"
)

// Verifier validates chains. The zero value with a DKIM.Resolver is ready for
// use; it is safe for concurrent use as long as its fields are left alone.
type Verifier struct {
	// DKIM judges the signatures: its resolver, clock and limits hold for ARC as
	// well. MaxSignatures does not.
	DKIM dkim.Verifier

	// MaxSets is the longest chain that is accepted, at most and by default 50.
	MaxSets int

	// ForSealing asks for Result.BodyHash, of messages without a chain too.
	ForSealing bool
}

// Start begins with the chain of a message as soon as its header is there. The
// fields are the whole header from top to bottom, values exactly as received; they
// must not change until Finish. The look-ups of the keys start at once, unless the
// chain has failed already, and run beside whatever the caller does next.
//
// Write the body to the Verification as it comes in, or let it Follow the body, then
// call Finish, which must be done in any case.
func (v *Verifier) Start(ctx context.Context, fields []message.Field) *Verification {
	s := &Verification{v: v, fields: fields}
	if v.ForSealing {
		s.body.Want(dkim.Relaxed, -1)
	}
	most := MaxSets
	if v.MaxSets > 0 {
		most = min(most, v.MaxSets)
	}
	s.chain = parse(fields, most)
	if s.chain.fault == nil && len(s.chain.links) > 0 {
		s.start(ctx)
	}
	return s
}

// Verification is the validation of one message's chain. It is for one goroutine.
type Verification struct {
	v      *Verifier
	fields []message.Field
	chain  *chain
	body   dkim.BodyHashes
	header *dkim.Header // made when it is needed

	queries  []*keyQuery
	cancel   context.CancelFunc
	fetching sync.WaitGroup
}

// A keyQuery is the look-up of one key, shared by the signatures that need it.
type keyQuery struct {
	domain   message.Domain
	selector string
	done     chan struct{} // closed when keys and err stand
	keys     []*dkim.Key
	err      error
	panicked any
}

// newest returns the set on top.
func (s *Verification) newest() *link { return &s.chain.links[len(s.chain.links)-1] }

// start does what the header alone allows, for a chain whose structure is in
// order.
func (s *Verification) start(ctx context.Context) {
	newest := s.newest()
	if s.chain.fault = s.refusal(newest); s.chain.fault != nil {
		return
	}
	// The keys that are needed go before those that are not.
	keys := []*dkim.Signature{newest.signed}
	for _, l := range slices.Backward(s.chain.links) {
		keys = append(keys, l.sealed)
	}
	for _, sig := range keys {
		if !s.plan(sig) {
			s.chain.fault = &fault{err: ErrTooManyKeys}
			return
		}
	}
	for _, l := range s.messages() {
		l.refused = s.refusal(l)
		if l.refused == nil && !s.plan(l.signed) {
			l.refused = &fault{instance: l.set.Instance, err: ErrTooManyKeys}
		}
		if l.refused == nil {
			for _, sig := range l.readings() {
				s.body.Want(sig.Body, sig.Length)
			}
		}
	}
	ctx, s.cancel = context.WithCancel(ctx)
	for _, q := range s.queries {
		fetch := func() {
			defer close(q.done)
			defer func() { q.panicked = recover() }()
			q.keys, q.err = dkim.LookupKeys(ctx, s.v.DKIM.Resolver, q.domain, q.selector)
		}
		if dkim.Knows(s.v.DKIM.Resolver, dkim.KeyName(q.domain, q.selector)) {
			fetch()
		} else {
			s.fetching.Go(fetch)
		}
	}
}

// messages returns the sets whose message signatures are looked at, newest first.
func (s *Verification) messages() []*link {
	var links []*link
	for i := range s.chain.links {
		links = append(links, &s.chain.links[i])
	}
	slices.Reverse(links)
	return links[:min(len(links), MaxMessageSignatures)]
}

// refusal says what is wrong with a message signature by the field alone.
func (s *Verification) refusal(l *link) *fault {
	err := l.signedErr
	if err == nil {
		err = s.v.DKIM.Accept(l.signed)
	}
	if err != nil {
		return &fault{instance: l.set.Instance, field: SignatureName, err: err}
	}
	// RFC 8617, section 4.1.2: no ARC field may be signed here. Signers do it all
	// the same, and it hurts nobody but for the seal, which comes later.
	if slices.ContainsFunc(l.signed.Names, func(n string) bool { return strings.EqualFold(n, SealName) }) {
		return &fault{instance: l.set.Instance, err: ErrSealSigned}
	}
	return nil
}

// plan notes that a signature's key is to be fetched, unless it is one too many.
func (s *Verification) plan(sig *dkim.Signature) bool {
	if s.query(sig) != nil {
		return true
	}
	if len(s.queries) == MaxKeys {
		return false
	}
	s.queries = append(s.queries, &keyQuery{domain: sig.Domain, selector: sig.Selector, done: make(chan struct{})})
	return true
}

// query returns the look-up of a signature's key, nil when there is none.
func (s *Verification) query(sig *dkim.Signature) *keyQuery {
	for _, q := range s.queries {
		if q.domain == sig.Domain && q.selector == sig.Selector {
			return q
		}
	}
	return nil
}

// digestSeals computes what the seals sign: each of them the sets up to and with
// its own, in the order results, signature, seal, all relaxed, its own seal last,
// without b= and a line end (RFC 8617, section 5.1.1). What one seal signs is the
// beginning of what the next one does, so the header is hashed once.
func (s *Verification) digestSeals() [][sha256.Size]byte {
	digests := make([][sha256.Size]byte, len(s.chain.links))
	h := sha256.New()
	var buf []byte
	for i := range s.chain.links {
		l := &s.chain.links[i]
		buf = l.appendSigned(buf[:0], s.fields)
		h.Write(buf)
		buf = appendUnsealed(buf[:0], l.unsealed)
		if i == len(s.chain.links)-1 {
			h.Write(buf)
			h.Sum(digests[i][:0])
			break
		}
		fork := clone(h)
		fork.Write(buf)
		fork.Sum(digests[i][:0])
		buf = dkim.AppendHeader(buf[:0], dkim.Relaxed, &s.fields[l.seal])
		h.Write(buf)
	}
	return digests
}

// appendSigned appends the set without its seal, in canonical form.
func (l *link) appendSigned(dst []byte, fields []message.Field) []byte {
	dst = dkim.AppendHeader(dst, dkim.Relaxed, &fields[l.results])
	return dkim.AppendHeader(dst, dkim.Relaxed, &fields[l.signature])
}

// appendUnsealed appends a seal whose value has no b=, in canonical form and
// without a line end.
func appendUnsealed(dst []byte, value string) []byte {
	dst = dkim.AppendHeader(dst, dkim.Relaxed, &message.Field{Name: SealName, Value: value})
	return bytes.TrimSuffix(dst, []byte("\r\n"))
}

// clone returns a hash in the same state.
func clone(h hash.Hash) hash.Hash {
	c, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic("arc: SHA-256 cannot be cloned: " + err.Error()) // the standard library's can
	}
	return c
}

// Follow is Write of the whole body while it arrives. What others that follow the
// same body want as well, as DKIM does, is hashed once for all
// ([dkim.BodyHashes.Follow]).
func (s *Verification) Follow(ctx context.Context, body *message.BodyReader) error {
	return s.body.Follow(ctx, body)
}

// NeedsBody reports whether the body is needed. If not, writing it does nothing.
func (s *Verification) NeedsBody() bool { return !s.body.Empty() }

// Write takes the next piece of the body as received, with CRLF or LF line ends,
// cut anywhere. It never fails.
func (s *Verification) Write(piece []byte) (int, error) { return s.body.Write(piece) }

// Finish ends the body, waits for the keys as far as they matter, and returns the
// result. When ctx ends first, the look-ups still under way are broken off, and
// what needs them is a temperror.
func (s *Verification) Finish(ctx context.Context) Result {
	r := Result{highest: s.chain.highest}
	if s.cancel != nil {
		stop := context.AfterFunc(ctx, s.cancel)
		s.validate(&r)
		stop()
		s.cancel()
		s.fetching.Wait()
		for _, q := range s.queries {
			if q.panicked != nil { // a Resolver's: here the caller can recover
				panic(q.panicked)
			}
		}
	} else if r.Status = None; s.chain.fault != nil {
		r.failed(s.chain.fault)
	}
	for i := range s.chain.links {
		r.Sets = append(r.Sets, s.chain.links[i].set)
	}
	if s.v.ForSealing {
		r.BodyHash, _ = s.body.Sum(dkim.Relaxed, -1)
	}
	return r
}

// validate does steps 4 to 7 of RFC 8617, section 5.2. A key that could not be
// fetched does not end it: what is wrong for good counts more.
func (s *Verification) validate(r *Result) {
	var first *fault
	note := func(l *link, sig *Signature, field string, err error) (done bool) {
		sig.Status = Pass
		if err == nil {
			return false
		}
		f := &fault{instance: l.set.Instance, field: field, err: err}
		sig.Status, sig.Reason = f.status(), f.words()
		if first == nil || first.status() == TempError && sig.Status == Fail {
			first = f
		}
		return sig.Status == Fail
	}
	newest := s.newest()
	done := note(newest, &newest.set.Message, SignatureName, s.verifyMessage(newest))
	var digests [][sha256.Size]byte
	if !done {
		digests = s.digestSeals()
	}
	for i := len(s.chain.links) - 1; i >= 0 && !done; i-- {
		l := &s.chain.links[i]
		done = note(l, &l.set.Seal, SealName, s.verify(l.sealed, digests[i][:], &l.set.Seal))
	}
	if first != nil {
		r.failed(first)
		return
	}
	r.Status = Pass
	r.OldestPass = s.oldestPass()
}

// oldestPass verifies the older message signatures, newest first, until one of
// them does not (step 5).
func (s *Verification) oldestPass() int {
	links := s.messages()
	for i, l := range links[1:] {
		f := l.refused
		if f == nil {
			if err := s.verifyMessage(l); err != nil {
				f = &fault{instance: l.set.Instance, field: SignatureName, err: err}
			}
		}
		if f != nil {
			l.set.Message.Status, l.set.Message.Reason = f.status(), f.words()
			return links[i].set.Instance
		}
		l.set.Message.Status = Pass
	}
	if oldest := links[len(links)-1].set.Instance; oldest > 1 {
		return oldest
	}
	return 0
}

// verifyMessage verifies a message signature in each of its readings.
func (s *Verification) verifyMessage(l *link) error {
	var first error
	for _, sig := range l.readings() {
		err := s.verifyReading(l, sig)
		if err == nil {
			return nil
		}
		first = cmp.Or(first, err)
	}
	return first
}

// verifyReading verifies a message signature. As in DKIM a body that is covered
// in part is not covered. The errors are those of package dkim.
func (s *Verification) verifyReading(l *link, sig *dkim.Signature) error {
	sum, size := s.body.Sum(sig.Body, sig.Length)
	switch {
	case sig.Length > size:
		return dkim.ErrLength
	case !bytes.Equal(sum, sig.BodyHash):
		return dkim.ErrBodyHash
	case sig.Length >= 0 && sig.Length < size:
		return dkim.ErrPartial
	}
	if s.header == nil {
		s.header = dkim.NewHeader(s.fields)
	}
	digest := s.header.Digest(sig)
	return s.verify(sig, digest[:], &l.set.Message)
}

// verify waits for the key and tries it.
func (s *Verification) verify(sig *dkim.Signature, digest []byte, to *Signature) error {
	q := s.query(sig)
	<-q.done
	if q.err != nil {
		return q.err
	}
	key, ok, err := s.v.DKIM.VerifyDigest(q.keys, sig, digest)
	to.KeyBits = key.Bits
	if err == nil && !ok {
		err = dkim.ErrSignature
	}
	return err
}
