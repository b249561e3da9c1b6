package dkim

import (
	"cmp"
	"crypto/sha256"
	"hash"
	"slices"
)

// BodyHashes computes the hashes of a body that bh= tags hold (RFC 6376, section
// 3.7, step 1): the body is read once and hashed once for each canonicalization,
// whatever the number of signatures.
//
// Say with Want what is needed, then write the body or let Follow read it, then ask
// Sum. It is for one goroutine.
type BodyHashes struct {
	simple, relaxed *bodyCanonicalizer
	closed, failed  bool
	newHash         func() hash.Hash // nil is sha256.New; others cannot be shared
}

// Want asks for the hash of the first length bytes of the canonical body, or of
// all of it when length is negative. Call it before the first Write.
func (b *BodyHashes) Want(c Canonicalization, length int64) {
	at := &b.simple
	if c == Relaxed {
		at = &b.relaxed
	}
	if *at == nil {
		h := sha256.New()
		if b.newHash != nil {
			h = b.newHash()
		}
		*at = &bodyCanonicalizer{relaxed: c == Relaxed, out: &bodyHash{hash: h}}
	}
	if length >= 0 {
		(*at).out.stopAt(length)
	}
}

// Empty reports whether nothing was wanted, so that there is no need to write.
func (b *BodyHashes) Empty() bool { return b.simple == nil && b.relaxed == nil }

// Write takes the next piece of the body, as received: with CRLF or LF line
// ends, cut anywhere. It never fails.
func (b *BodyHashes) Write(p []byte) (int, error) {
	if b.simple != nil {
		b.simple.write(p)
	}
	if b.relaxed != nil {
		b.relaxed.write(p)
	}
	return len(p), nil
}

// Sum ends the body and returns the hash that was wanted, and the length of the
// whole body in canonical form. A part longer than the body has no hash: nil, nor
// has a body that could not be followed to its end.
func (b *BodyHashes) Sum(c Canonicalization, length int64) (sum []byte, body int64) {
	b.close()
	if b.failed {
		return nil, 0
	}
	h := b.simple
	if c == Relaxed {
		h = b.relaxed
	}
	if length < 0 {
		return h.out.sum, h.out.hashed
	}
	for i := range h.out.stops {
		if h.out.stops[i].at == length {
			return h.out.stops[i].sum, h.out.hashed
		}
	}
	return nil, h.out.hashed
}

// close ends the body, once.
func (b *BodyHashes) close() {
	if b.closed {
		return
	}
	b.closed = true
	if b.simple != nil {
		b.simple.close()
	}
	if b.relaxed != nil {
		b.relaxed.close()
	}
}

// A bodyHash hashes one canonical form. A hash can be read at any place without
// ending it, so the parts that l= tags speak of cost nothing extra.
type bodyHash struct {
	hash   hash.Hash
	hashed int64
	sum    []byte // of all, once closed
	stops  []stop // ascending; those before next are done
	next   int

	// Short pieces are collected before they are hashed.
	buf [1 << 10]byte
	n   int
}

type stop struct {
	at  int64
	sum []byte
}

func (h *bodyHash) stopAt(length int64) {
	i, found := slices.BinarySearchFunc(h.stops, length, func(s stop, at int64) int { return cmp.Compare(s.at, at) })
	if !found {
		h.stops = slices.Insert(h.stops, i, stop{at: length})
	}
}

// stopsAt reports whether the hash stops at all these places. It looks at the places
// alone: sums may come in at the same time.
func (h *bodyHash) stopsAt(places []stop) bool {
	next := 0
	for i := range h.stops {
		if next < len(places) && h.stops[i].at == places[next].at {
			next++
		}
	}
	return next == len(places)
}

func (h *bodyHash) write(p []byte) {
	if len(p) <= len(h.buf)-h.n {
		h.n += copy(h.buf[h.n:], p)
		return
	}
	h.flush()
	if len(p) < len(h.buf)/4 {
		h.n = copy(h.buf[:], p)
		return
	}
	h.add(p)
}

func (h *bodyHash) flush() {
	h.add(h.buf[:h.n])
	h.n = 0
}

func (h *bodyHash) add(p []byte) {
	for h.next < len(h.stops) && h.stops[h.next].at <= h.hashed+int64(len(p)) {
		s := &h.stops[h.next]
		n := s.at - h.hashed
		h.hash.Write(p[:n])
		h.hashed += n
		p = p[n:]
		s.sum = h.hash.Sum(nil)
		h.next++
	}
	h.hash.Write(p)
	h.hashed += int64(len(p))
}

func (h *bodyHash) close() {
	h.flush()
	h.sum = h.hash.Sum(nil)
}

// Digest returns the hash that the signature in sig signs (RFC 6376, section
// 3.7, step 2): the fields that h= names, and the signature field without the
// value of b=. The fields are those of the message with the signature's own among
// them.
func (h *Header) Digest(sig *Signature) [sha256.Size]byte {
	h.buf = h.appendSigned(h.buf[:0], sig)
	return sha256.Sum256(h.buf)
}

// appendSigned appends what the signature signs.
func (h *Header) appendSigned(dst []byte, sig *Signature) []byte {
	for _, i := range h.Select(sig.Names, sig.Index) {
		if i >= 0 {
			dst = AppendHeader(dst, sig.Header, &h.fields[i])
		}
	}
	return appendHeader(dst, sig.Header, h.fields[sig.Index].Name, sig.unsigned)
}
