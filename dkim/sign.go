package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"milterd/message"
)

// SigningKey is a private key and the name its public half is published under.
type SigningKey struct {
	Domain   message.Domain
	Selector string
	Private  crypto.Signer // RSA of 1024 bits or more (RFC 8301), or Ed25519
}

// Check reports a key that cannot be used.
func (k *SigningKey) Check() error {
	if k.Domain.Labels() < 2 {
		return errors.New("dkim: a signing domain must have two labels or more")
	}
	if _, ok := parseSelector(k.Selector); !ok {
		return fmt.Errorf("dkim: %q is not a selector", k.Selector)
	}
	if k.Private == nil {
		return errors.New("dkim: no private key")
	}
	switch public := k.Private.Public().(type) {
	case ed25519.PublicKey:
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < 1024 {
			return fmt.Errorf("dkim: an RSA key of %d bits is too short", bits)
		}
	default:
		return fmt.Errorf("dkim: a key of type %T is neither RSA nor Ed25519", public)
	}
	return nil
}

// Algorithm returns the a= of the key's signatures.
func (k *SigningKey) Algorithm() Algorithm {
	if _, ok := k.Private.Public().(ed25519.PublicKey); ok {
		return Ed25519SHA256
	}
	return RSASHA256
}

// Sign signs a SHA-256 digest (RFC 6376, section 3.3; RFC 8463, section 3).
func (k *SigningKey) Sign(digest []byte) ([]byte, error) {
	opts := crypto.SHA256
	if k.Algorithm() == Ed25519SHA256 {
		opts = crypto.Hash(0) // the digest is the message
	}
	return k.Private.Sign(rand.Reader, digest, opts)
}

// Signer signs messages, with several keys in one pass. Once made it is safe for
// concurrent use as long as its fields are left alone.
type Signer struct {
	Keys []SigningKey

	// Names are the fields to sign, each as often as a message has it. Oversign
	// are those that are named once more than that in h=, so that nobody can add
	// another one. See [StandardNames].
	Names, Oversign []string

	// Header and Body are the canonicalizations; empty means relaxed.
	Header, Body Canonicalization

	// Identity is i=, in the domain of each key or below it; empty for none. A
	// DKIM-Signature only.
	Identity string

	// Expire is how long a signature holds (x=); zero means for ever. A
	// DKIM-Signature only.
	Expire time.Duration

	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// StandardNames returns the fields to sign, after RFC 6376, section 5.4.1: all
// that readers see and mail programs act upon. The fields that mailing lists add
// or replace (List-*, Sender) are left to them, but for those by which a reader
// unsubscribes with one click, if the message has them: a receiver obeys them only
// if they are signed (RFC 8058, section 4).
func StandardNames() (names, oversign []string) {
	return []string{"In-Reply-To", "References", "List-Unsubscribe", "List-Unsubscribe-Post"},
		[]string{"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To",
			"MIME-Version", "Content-Type", "Content-Transfer-Encoding"}
}

// ListFriendlyNames is StandardNames for a domain whose users write to mailing
// lists that add fields and change neither Subject nor body: everything is signed
// that is there, but only From is protected from a second one, and Reply-To is left
// to the list.
func ListFriendlyNames() (names, oversign []string) {
	return []string{"To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "List-Unsubscribe", "List-Unsubscribe-Post"}, []string{"From"}
}

// Check reports what is wrong with the signer's fields.
func (s *Signer) Check() error {
	if len(s.Keys) == 0 {
		return errors.New("dkim: no keys to sign with")
	}
	for i := range s.Keys {
		if err := s.Keys[i].Check(); err != nil {
			return err
		}
		if s.Identity == "" {
			continue
		}
		at := strings.LastIndexByte(s.Identity, '@')
		d, err := message.ParseDomain(s.Identity[at+1:])
		if at < 0 || err != nil || !d.HasSuffix(s.Keys[i].Domain) || !isToken(s.Identity) {
			return fmt.Errorf("dkim: identity %q is not in %s", s.Identity, s.Keys[i].Domain)
		}
	}
	for _, name := range slices.Concat(s.Names, s.Oversign) {
		if name == "" || !isToken(name) || strings.Contains(name, ":") {
			return fmt.Errorf("dkim: %q is not a field name", name)
		}
	}
	for _, c := range []Canonicalization{s.Header, s.Body} {
		if c != "" && c != Simple && c != Relaxed {
			return fmt.Errorf("dkim: unknown canonicalization %q", c)
		}
	}
	return nil
}

// isToken reports what needs no encoding in a tag: printable ASCII but ";".
func isToken(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ';' }) < 0
}

// ErrNoFrom is returned for a message that has no From field: a signature must
// cover it (RFC 6376, section 5.4).
var ErrNoFrom = errors.New("dkim: message has no From field")

// Start begins the signatures of a message with the given header, from top to
// bottom. Folds may be CRLF or LF.
func (s *Signer) Start(fields []message.Field) (*Signing, error) {
	g := &Signing{s: s, header: or(s.Header, Relaxed), bodyCanon: or(s.Body, Relaxed)}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	g.time = now()
	h := NewHeader(fields)
	if h.Count("From") == 0 {
		return nil, ErrNoFrom
	}
	g.names = s.names(h)
	for _, i := range h.Select(g.names, -1) {
		if i >= 0 {
			g.signed = AppendHeader(g.signed, g.header, &fields[i])
		}
	}
	g.body.Want(g.bodyCanon, -1)
	return g, nil
}

func or(c, standard Canonicalization) Canonicalization {
	if c == "" {
		return standard
	}
	return c
}

// names returns h= for a message.
func (s *Signer) names(h *Header) []string {
	var names []string
	for _, name := range s.Oversign {
		for range h.Count(name) + 1 {
			names = append(names, name)
		}
	}
	for _, name := range s.Names {
		if slices.ContainsFunc(s.Oversign, func(o string) bool { return equalFold(o, name) }) {
			continue
		}
		for range h.Count(name) {
			names = append(names, name)
		}
	}
	return names
}

// Signing is the signing of one message. It is for one goroutine.
type Signing struct {
	s         *Signer
	header    Canonicalization
	bodyCanon Canonicalization
	names     []string
	signed    []byte // the signed fields in canonical form
	time      time.Time
	body      BodyHashes
}

// Write takes the next piece of the body, with CRLF or LF line ends, cut
// anywhere. It never fails.
func (g *Signing) Write(piece []byte) (int, error) { return g.body.Write(piece) }

// Follow is Write of the whole body while it arrives. What others that follow the
// same body want as well is hashed once for all ([BodyHashes.Follow]).
func (g *Signing) Follow(ctx context.Context, body *message.BodyReader) error {
	return g.body.Follow(ctx, body)
}

// Finish ends the body and returns one signature field for each key, in the
// order of the keys, to be put on top of the header. A value begins with a blank
// and has folds of LF and tab; it must not be changed.
func (g *Signing) Finish() ([]message.Field, error) {
	bodyHash, _ := g.body.Sum(g.bodyCanon, -1)
	fields := make([]message.Field, 0, len(g.s.Keys))
	for i := range g.s.Keys {
		k := &g.s.Keys[i]
		w := g.tags(k, bodyHash)
		digest := sha256.Sum256(appendHeader(bytes.Clone(g.signed), g.header, FieldName, w.String()))
		value, err := k.Sign(digest[:])
		if err != nil {
			return nil, fmt.Errorf("dkim: sign for %s: %w", KeyName(k.Domain, k.Selector), err)
		}
		w.Value(value)
		fields = append(fields, message.Field{Name: FieldName, Value: w.String()})
	}
	return fields, nil
}

// tags writes the field up to "b=".
func (g *Signing) tags(k *SigningKey, bodyHash []byte) *TagWriter {
	w := NewTagWriter(FieldName)
	w.Tag("v", "1")
	w.Tag("a", string(k.Algorithm()))
	w.Tag("c", string(g.header)+"/"+string(g.bodyCanon))
	w.Tag("d", k.Domain.String())
	w.Tag("s", k.Selector)
	if g.s.Identity != "" {
		w.Tag("i", g.s.Identity)
	}
	w.Tag("t", strconv.FormatInt(g.time.Unix(), 10))
	if g.s.Expire > 0 {
		w.Tag("x", strconv.FormatInt(g.time.Add(g.s.Expire).Unix(), 10))
	}
	w.List("h", g.names)
	w.Base64("bh", bodyHash)
	w.Tag("b", "")
	return w
}
