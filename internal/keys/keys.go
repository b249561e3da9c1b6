// Package keys reads private keys for signing from files, and the state file of
// keys that take turns.
//
// A key that others can read signs their mail too, so Load is strict about where
// a key lies: a regular file that only root and we can change, nothing for others
// to read, in directories that nobody else can write, from the root of the file
// system down. What is wrong is said with the command that cures it
// (UnsafeError). What is not there yet may come: an encrypted volume that waits
// for its passphrase (ErrMissing, ErrNoDirectory). A Cache looks again once a
// second, so keys may be put in place, replaced and removed while mail flows.
//
// Two kinds of keys are told apart by the configuration:
//
//   - a file that is named there, with its selector. It signs for as long as it
//     is named.
//   - a directory that holds the keys of one domain and a state.json, which says
//     which of them sign. These are managed: package rotation makes them, moves
//     them from stage to stage as the DNS shows them, and writes the file.
//
// # The state file
//
// The file state.json is made for tools to read:
//
//	{
//	  "version": 1,
//	  "domain": "example.org",
//	  "keys": [
//	    {
//	      "selector": "202611",
//	      "algorithm": "rsa",
//	      "bits": 2048,
//	      "file": "202611.pem",
//	      "stage": "active",
//	      "name": "202611._domainkey.example.org",
//	      "record": "v=DKIM1; k=rsa; p=MIIB...",
//	      "created": "2026-11-01T10:00:00Z",
//	      "visible": "2026-11-01T12:00:00Z",
//	      "activated": "2026-11-01T14:00:00Z"
//	    }
//	  ]
//	}
//
// What shall stand in the DNS is name and record of every key, whatever its
// stage: a tool that publishes all of these and nothing else is always right. A
// tool that changes the file must write a new one beside it and rename it.
package keys

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	// MinBits is the shortest RSA key that may sign (RFC 8301, section 3.2).
	MinBits = 1024
	// GoodBits is the shortest RSA key that should (RFC 8301, section 3.2).
	GoodBits = 2048

	ed25519Bits = 256
	maxKeyFile  = 64 << 10 // a key of 16,384 bits has 13 kB
)

// The algorithms, as k= names them (RFC 6376, section 3.6.1; RFC 8463, section
// 4.2).
const (
	RSA     = "rsa"
	Ed25519 = "ed25519"
)

// Load reads the private key in the file at path: PEM, PKCS#1 or PKCS#8, RSA of
// MinBits or more, or Ed25519 (RFC 8410). Text before the key is passed over.
//
// The error is an *UnsafeError where others could read or change the file, or we
// cannot read it; ErrMissing (errors.Is) where it is not there, which may change
// by itself, and ErrNoDirectory where not even its directory is. Anything else is
// about what is in the file. Every error names the path.
func Load(path string) (crypto.Signer, error) {
	text, _, err := read(path, privately, maxKeyFile)
	if err != nil {
		return nil, err
	}
	return parse(path, text)
}

// parse reads a key from the text of the file at path.
func parse(path string, text []byte) (crypto.Signer, error) {
	private, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return private, nil
}

// Parse reads a private key from the text of a file; see Load.
func Parse(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("is not a key in PEM form (-----BEGIN PRIVATE KEY-----)")
	}
	if another, _ := pem.Decode(rest); another != nil {
		return nil, fmt.Errorf("holds more than one PEM block (%q and %q), expected one private key", block.Type, another.Type)
	}
	var key any
	var err error
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return nil, errors.New("the key is encrypted; take the passphrase off with openssl pkey")
	case block.Type == "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case block.Type == "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("holds a %q, expected a PRIVATE KEY (PKCS#8) or an RSA PRIVATE KEY (PKCS#1)", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("the key cannot be read: %w", err)
	}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return key, nil
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < MinBits {
			return nil, fmt.Errorf("an RSA key of %d bits is too short, expected %d or more", bits, GoodBits)
		}
		return key, nil
	}
	return nil, fmt.Errorf("the key is a %T, expected RSA or Ed25519", key)
}

// Describe returns the algorithm of a public key, RSA or Ed25519, and its length
// in bits. It is for keys that Load accepts; of others it says "".
func Describe(public crypto.PublicKey) (algorithm string, bits int) {
	switch public := public.(type) {
	case *rsa.PublicKey:
		return RSA, public.N.BitLen()
	case ed25519.PublicKey:
		return Ed25519, ed25519Bits
	}
	return "", 0
}

// Record returns the text of the TXT record that publishes a key (RFC 6376,
// section 3.6.1). It has no more tags than it takes: what is not there cannot be
// wrong. It is for keys that Load accepts and panics with others.
func Record(public crypto.PublicKey) string {
	switch public := public.(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			panic(err) // it cannot fail for an RSA key
		}
		return recordOf(RSA, der)
	case ed25519.PublicKey:
		return recordOf(Ed25519, public) // RFC 8463, section 4.2: the 32 bytes, nothing around them
	}
	panic(fmt.Sprintf("keys: Record of a %T", public))
}

// Revoked returns the record that takes a key back: the one with an empty p=
// (RFC 6376, section 3.6.1).
func Revoked(algorithm string) string { return recordOf(algorithm, nil) }

func recordOf(algorithm string, public []byte) string {
	return "v=DKIM1; k=" + algorithm + "; p=" + base64.StdEncoding.EncodeToString(public)
}
