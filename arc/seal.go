package arc

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"milterd/authres"
	"milterd/dkim"
	"milterd/message"
)

// Sealer adds to chains. Once made it is safe for concurrent use as long as its
// fields are left alone.
type Sealer struct {
	Key dkim.SigningKey

	// Names are the fields that ARC-Message-Signature covers, each as often as a
	// message has it. Oversign are those that are named once more than that in h=,
	// so that nobody can add another one. Authentication-Results and the fields of
	// ARC must not be among them (RFC 8617, section 4.1.2). See [StandardNames].
	Names, Oversign []string

	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// StandardNames returns the fields to cover: those of a DKIM signature, and the
// DKIM signatures themselves (RFC 8617, section 4.1.2).
func StandardNames() (names, oversign []string) {
	names, oversign = dkim.StandardNames()
	return append(names, dkim.FieldName), oversign
}

// Check reports what is wrong with the sealer's fields.
func (s *Sealer) Check() error {
	for _, list := range [][]string{s.Names, s.Oversign} {
		for _, name := range list {
			f := message.Field{Name: name}
			if kindOf(&f) >= 0 || strings.EqualFold(name, authres.Name) {
				return fmt.Errorf("arc: %s must not be signed", name)
			}
		}
	}
	signer := dkim.Signer{Keys: []dkim.SigningKey{s.Key}, Names: s.Names, Oversign: s.Oversign}
	return signer.Check()
}

// Seal returns the three fields that are to be put on top of the header, in the
// order in which they stand there: ARC-Seal, ARC-Message-Signature,
// ARC-Authentication-Results (RFC 8617, section 5.1). Values begin with a blank and
// have folds of LF and tab; they must not be changed.
//
// fields is the header as it leaves us, but for what no name of the Sealer stands
// for. found is what became of its chain, from a [Verifier] with ForSealing.
// results is what we have found out about the message: the value of our
// Authentication-Results, which should have found in it.
//
// There are no fields, and no error, where none may be added: the chain is sealed
// as failed already (section 5.1.2), it is full, or it is not known whether it is
// in order. A seal that says fail is for ever, so a DNS fault is no reason for one.
func (s *Sealer) Seal(fields []message.Field, found *Result, results string) ([]message.Field, error) {
	instance := found.highest + 1
	newest := found.Newest()
	if found.Status == TempError || instance > MaxSets || newest != nil && newest.CV == Fail {
		return nil, nil
	}
	if len(found.BodyHash) != sha256.Size {
		return nil, errors.New("arc: the body has not been hashed for sealing")
	}
	if _, err := authres.Parse(results); err != nil {
		return nil, fmt.Errorf("arc: results: %w", err)
	}
	l := layout{s: s, instance: strconv.Itoa(instance)}
	l.time = strconv.FormatInt(s.now().Unix(), 10)

	aar := message.Field{Name: ResultsName, Value: " i=" + l.instance + "; " + results}

	h := dkim.NewHeader(fields)
	names := s.names(h)
	var signed []byte
	for _, i := range h.Select(names, -1) {
		if i >= 0 {
			signed = dkim.AppendHeader(signed, dkim.Relaxed, &fields[i])
		}
	}
	ams, err := s.sign(SignatureName, signed, func(b []byte) string { return l.message(b, found.BodyHash, names) })
	if err != nil {
		return nil, err
	}

	// Section 5.1.2: of a chain that has failed nobody knows which fields belong to
	// it, so only this set is sealed.
	signed = signed[:0]
	if found.Status == Pass {
		for _, l := range parse(fields, MaxSets).links {
			signed = l.appendSigned(signed, fields)
			signed = dkim.AppendHeader(signed, dkim.Relaxed, &fields[l.seal])
		}
	}
	signed = dkim.AppendHeader(signed, dkim.Relaxed, &aar)
	signed = dkim.AppendHeader(signed, dkim.Relaxed, &ams)
	as, err := s.sign(SealName, signed, func(b []byte) string { return l.seal(b, found.Status) })
	if err != nil {
		return nil, err
	}
	return []message.Field{as, ams, aar}, nil
}

func (s *Sealer) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// names returns h= for a message.
func (s *Sealer) names(h *dkim.Header) []string {
	var names []string
	for _, name := range s.Names {
		for range h.Count(name) {
			names = append(names, name)
		}
	}
	for _, name := range s.Oversign {
		for range h.Count(name) + 1 {
			names = append(names, name)
		}
	}
	return names
}

// sign returns the field of that name which signs the given text and itself.
// write writes its value around the signature.
func (s *Sealer) sign(name string, text []byte, write func(signature []byte) string) (message.Field, error) {
	f := message.Field{Name: name}
	// A signature as long as the one to come, for the folds to be where they will be.
	tags, err := dkim.ParseTags(write(make([]byte, s.signatureSize())))
	if err != nil {
		return f, fmt.Errorf("arc: %s: %w", name, err)
	}
	f.Value = tags.Without("b")
	text = dkim.AppendHeader(text, dkim.Relaxed, &f)
	digest := sha256.Sum256(text[:len(text)-len("\r\n")])
	signature, err := s.Key.Sign(digest[:])
	if err != nil {
		return f, fmt.Errorf("arc: %s: %w", name, err)
	}
	f.Value = write(signature)
	return f, nil
}

// signatureSize returns the length of the key's signatures in bytes.
func (s *Sealer) signatureSize() int {
	if public, ok := s.Key.Private.Public().(*rsa.PublicKey); ok {
		return public.Size()
	}
	return 64 // RFC 8032: Ed25519
}

// A layout writes the tags of the signatures of one set: in alphabetical order and
// with b= in one piece on a line of its own, as others do. Seals sign the white
// space inside b= too, so with none of it they come out alike, bit by bit.
type layout struct {
	s              *Sealer
	instance, time string
}

// message writes an ARC-Message-Signature (RFC 8617, section 4.1.2).
func (l *layout) message(b, bh []byte, names []string) string {
	w := l.begin(SignatureName, b)
	w.Tag("bh", base64.StdEncoding.EncodeToString(bh))
	w.Tag("c", "relaxed/relaxed")
	w.Tag("d", l.s.Key.Domain.String())
	w.List("h", names)
	return l.end(w)
}

// seal writes an ARC-Seal (section 4.1.3).
func (l *layout) seal(b []byte, cv Status) string {
	w := l.begin(SealName, b)
	w.Tag("cv", cv.Wire())
	w.Tag("d", l.s.Key.Domain.String())
	return l.end(w)
}

func (l *layout) begin(name string, b []byte) *dkim.TagWriter {
	w := dkim.NewTagWriter(name)
	w.Tag("a", string(l.s.Key.Algorithm()))
	w.Tag("b", base64.StdEncoding.EncodeToString(b))
	return w
}

func (l *layout) end(w *dkim.TagWriter) string {
	w.Tag("i", l.instance)
	w.Tag("s", l.s.Key.Selector)
	w.Tag("t", l.time)
	return w.String()
}
