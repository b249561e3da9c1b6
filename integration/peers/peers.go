// Package peers lets the DKIM implementations that milterd meets in the world sign
// and verify, each through the door that its users go through: OpenDKIM as a milter,
// dkimpy as a Python library, go-msgauth as a Go package, rspamd by its HTTP
// interface. Tests hold their word against package dkim's.
//
//	keys := []peers.Key{{Domain: "example.org", Selector: "s1", Private: private}}
//	opendkim, err := peers.StartOpenDKIM(ctx, peers.Config{Keys: keys, Header: "relaxed", Body: "simple"})
//	defer opendkim.Close()
//	signed, err := opendkim.Sign(ctx, message)
//	verdicts, err := rspamd.Verify(ctx, signed)
//
// Each peer is told the keys that it signs with, or that it finds in the DNS, when
// it is started; nobody asks a name server beyond loopback. The programs are
// Debian's, brought by integration/install.sh; where one is missing its Start
// returns an error that is [ErrMissing]. Each runs in a directory of its own in
// /tmp and ends, at the latest, with the program that started it.
//
// [Letters] are the messages to play: every shape of header and body that breaks
// signatures of careless signers.
//
// Whole filters, as a mail server calls them, run in a [Room]: OpenDKIM with
// OpenDMARC, and rspamd with all that its package brings.
//
//	room, err := peers.NewRoom(answerDNS)
//	defer room.Close()
//	filter, err := room.StartOpenDMARC(ctx, sockets)
//	defer filter.Close()
package peers

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
)

// ErrMissing is the error of a peer that is not installed on this machine.
var ErrMissing = errors.New("not installed")

// A Signer puts DKIM signatures on messages.
type Signer interface {
	// Sign returns the message with one more DKIM-Signature on top for each of
	// the peer's keys, or for the first where a peer can do no more. Lines of raw
	// and of what comes back end with CRLF.
	Sign(ctx context.Context, raw []byte) ([]byte, error)
}

// A Verifier judges the signatures of messages.
type Verifier interface {
	// Verify returns one verdict for each signature of the message, whose lines
	// end with CRLF. Peers that do not tell in which order they judge make no
	// promise of one.
	Verify(ctx context.Context, raw []byte) ([]Verdict, error)
}

// A Verdict is what a peer says of one signature.
type Verdict struct {
	Pass bool
	Text string // in the peer's own words
}

// Config is what a peer needs to know. Those that only verify take the keys for
// what is published in the DNS.
type Config struct {
	Keys []Key
	// Header and Body are the canonicalizations to sign with, "relaxed" or
	// "simple".
	Header, Body string
}

// Key is a private key and the name at which its public half is published.
type Key struct {
	Domain, Selector string
	Private          crypto.Signer // RSA or Ed25519
}

// Name is where the key record stands (RFC 6376, section 3.6.2.1).
func (k Key) Name() string { return k.Selector + "._domainkey." + k.Domain }

// Algorithm is the a= of the key's signatures.
func (k Key) Algorithm() string {
	if k.isEd25519() {
		return "ed25519-sha256"
	}
	return "rsa-sha256"
}

func (k Key) isEd25519() bool {
	_, ok := k.Private.Public().(ed25519.PublicKey)
	return ok
}

// Record is the key record (RFC 6376, section 3.6.1; RFC 8463, section 4). A key
// of another kind than the two is a mistake in a test, and panics.
func (k Key) Record() string {
	switch public := k.Private.Public().(type) {
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			panic(err)
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	default:
		panic(fmt.Sprintf("peers: a key of type %T", public))
	}
}

// records are the keys as TXT records, by name.
func (c Config) records() map[string]string {
	records := make(map[string]string)
	for _, k := range c.Keys {
		records[k.Name()] = k.Record()
	}
	return records
}

// privatePEM is the private key as programs on OpenSSL read it. Those that came
// before PKCS #8 want RSA keys in the older form.
func (k Key) privatePEM() ([]byte, error) {
	if private, ok := k.Private.(*rsa.PrivateKey); ok {
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.Private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
