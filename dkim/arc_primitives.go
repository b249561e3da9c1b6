package dkim

import (
	"fmt"

	"milterd/message"
)

// ParseSeal reads the ARC-Seal in fields[index] as far as it is a signature
// (RFC 8617, section 4.1.3): i= (the instance), a=, d=, s=, t= and b=. The Tags
// are all it has, for what ARC defines itself, and for [Tags.Without].
//
// As with [ParseSignature] an error is one of this package's and the first rule
// that the field breaks; the Signature then holds what could be read.
func ParseSeal(fields []message.Field, index int) (*Signature, Tags, error) {
	s := &Signature{Index: index, Length: -1, Header: Relaxed}
	tags, err := ParseTags(fields[index].Value)
	if err != nil {
		return s, tags, err
	}
	p := signatureParser{s: s, tags: tags}
	p.instance()
	p.domain()
	p.selector()
	p.algorithm()
	s.Signed = p.time("t")
	if v, ok := p.required("b"); ok {
		if s.Value, ok = decodeBase64(dropSpace(v)); !ok {
			p.fail(fmt.Errorf("%w: b=", ErrSyntax))
		}
	}
	return s, tags, p.err
}

// Accept judges a well-formed signature by clock and limits, as Start does:
// [ErrHeaderNames], [ErrExpired], [ErrFuture] or nil.
func (v *Verifier) Accept(sig *Signature) error { return v.accept(sig) }

// OutcomeOf returns what an error of this package means for a signature: its
// status, and the fixed words of [Result.Reason].
func OutcomeOf(err error) (Status, string) {
	r := reasonOf(err)
	return r.status, r.text
}
