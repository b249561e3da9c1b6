package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// Key is a public key as its domain publishes it (RFC 6376, section 3.6.1).
type Key struct {
	// Bits is the length of the RSA modulus, or 256 for Ed25519.
	Bits int
	// TestMode is flag y: the domain is testing DKIM.
	TestMode bool
	// Strict is flag s: i= must be in d= itself, not below it.
	Strict bool

	rsa      *rsa.PublicKey    // one of the two is set
	ed25519  ed25519.PublicKey //
	noSHA256 bool              // h= does not have it
	noMail   bool              // s= has neither "*" nor "email"
	record   string
}

const (
	ed25519Bits = 256
	// maxKeyRecord is the longest record read, in bytes. The key of 16,384 bits
	// has 2,800 characters.
	maxKeyRecord = 8 << 10
)

// ParseKey reads a key record, its character-strings joined. Tags that are not
// known, and unknown words in known ones, are passed over. Errors are
// [ErrKeySyntax], [ErrKeyRevoked], and [ErrKeyAlgorithm] for a kind of key that
// is not known. [ErrNoKey] is the error for a text that is no key record at all,
// but something else that has strayed to this name.
func ParseKey(record string) (*Key, error) {
	if len(record) > maxKeyRecord {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrKeySyntax, maxKeyRecord)
	}
	tags, problem := parseTags(record, true)
	_, hasKey := tags.Get("p")
	version, versioned := tags.Get("v")
	switch {
	case len(tags.list) == 0, versioned && version != "DKIM1", problem == "" && !versioned && !hasKey:
		// A record with another version "MUST be discarded".
		return nil, ErrNoKey
	case problem != "":
		return nil, fmt.Errorf("%w: %s", ErrKeySyntax, problem)
	case versioned && tags.list[0].name != "v":
		return nil, fmt.Errorf("%w: v= is not the first tag", ErrKeySyntax)
	}
	k := &Key{record: record}
	if err := k.parsePublic(tags); err != nil {
		return nil, err
	}
	if v, ok := tags.Get("h"); ok {
		k.noSHA256 = !hasMember(v, "sha256")
	}
	if v, ok := tags.Get("s"); ok {
		k.noMail = !hasMember(v, "*", "email")
	}
	if v, ok := tags.Get("t"); ok {
		k.TestMode = hasMember(v, "y")
		k.Strict = hasMember(v, "s")
	}
	return k, nil
}

// parsePublic reads k= and p=.
func (k *Key) parsePublic(tags Tags) error {
	p, ok := tags.Get("p")
	if !ok {
		return fmt.Errorf("%w: no p=", ErrKeySyntax)
	}
	if p == "" {
		return ErrKeyRevoked
	}
	der, ok := decodeBase64(dropSpace(p))
	if !ok {
		return fmt.Errorf("%w: p= is not base64", ErrKeySyntax)
	}
	kind, ok := tags.Get("k")
	switch {
	case !ok || equalFold(kind, "rsa"):
		// RFC 6376 has RSAPublicKey in its text and SubjectPublicKeyInfo in its
		// examples; erratum 3017 and RFC 8301 allow both.
		public, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			public, err = x509.ParsePKCS1PublicKey(der)
		}
		if k.rsa, ok = public.(*rsa.PublicKey); err != nil || !ok {
			return fmt.Errorf("%w: p= is no RSA key", ErrKeySyntax)
		}
		k.Bits = k.rsa.N.BitLen()
	case equalFold(kind, "ed25519"):
		// RFC 8463, section 4.2: the 32 bytes of the key and nothing around them.
		if len(der) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: p= is no Ed25519 key", ErrKeySyntax)
		}
		k.ed25519, k.Bits = der, ed25519Bits
	default:
		return fmt.Errorf("%w: unknown k=", ErrKeyAlgorithm)
	}
	return nil
}

// allows reports by its error whether the key may be used for the signature
// (RFC 6376, section 6.1.2, steps 4 to 8).
func (k *Key) allows(a Algorithm, subdomain bool) error {
	switch {
	case (a == Ed25519SHA256) != (k.ed25519 != nil):
		return ErrKeyAlgorithm
	case k.noSHA256:
		return ErrKeyHash
	case k.noMail:
		return ErrKeyService
	case k.Strict && subdomain:
		return ErrKeySubdomains
	}
	return nil
}

// Verify reports whether value is the key's signature of digest, a SHA-256 hash.
func (k *Key) Verify(digest, value []byte) bool {
	if k.ed25519 != nil {
		// RFC 8463, section 3: PureEdDSA of the hash.
		return ed25519.Verify(k.ed25519, digest, value)
	}
	return rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, digest, value) == nil
}

// Equal reports whether both are the same public key, however it was written.
func (k *Key) Equal(other *Key) bool {
	if k.ed25519 != nil || other.ed25519 != nil {
		return k.ed25519.Equal(other.ed25519)
	}
	return k.rsa.Equal(other.rsa)
}

// Allows reports by its error, ErrKeyAlgorithm, ErrKeyHash or ErrKeyService, that
// the record does not let the key make signatures of mail with that algorithm.
func (k *Key) Allows(a Algorithm) error { return k.allows(a, false) }
