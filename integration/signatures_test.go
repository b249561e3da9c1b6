package integration

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"milterd/dkim"
	"milterd/integration/peers"
	"milterd/message"
	"milterd/milter"
)

// signingKeys are keys of example.org of every kind and size that may sign, made
// once for all tests.
var signingKeys = sync.OnceValue(func() []peers.Key {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	keys := []peers.Key{{Domain: "example.org", Selector: "ed25519", Private: private}}
	for _, bits := range []int{1024, 2048, 3072, 4096} {
		private, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		keys = append(keys, peers.Key{Domain: "example.org", Selector: fmt.Sprintf("rsa%d", bits), Private: private})
	}
	return keys
})

// keyZone is what the DNS says of keys.
type keyZone map[string]string

func zoneOf(keys []peers.Key) keyZone {
	z := make(keyZone)
	for _, k := range keys {
		z[k.Name()] = k.Record()
	}
	return z
}

// LookupTXT implements dkim.TXTResolver.
func (z keyZone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if record, ok := z[name]; ok {
		return []string{record}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// A signing peer signs with all keys that it was started with.
type signingPeer interface {
	peers.Signer
	Close() error
}

type msgAuth struct{ peers.MsgAuth }

func (msgAuth) Close() error { return nil }

// signers start the peers that sign.
var signers = map[string]func(context.Context, peers.Config) (signingPeer, error){
	"opendkim": func(ctx context.Context, c peers.Config) (signingPeer, error) { return peers.StartOpenDKIM(ctx, c) },
	"dkimpy":   func(ctx context.Context, c peers.Config) (signingPeer, error) { return peers.StartDKIMPy(ctx, c) },
	"go-msgauth": func(_ context.Context, c peers.Config) (signingPeer, error) {
		return msgAuth{peers.MsgAuth{Config: c}}, nil
	},
}

// startPeer skips the test where the peer is not installed, which is allowed for
// rspamd only where nothing else may be, and closes the peer with the test.
func startPeer[P interface{ Close() error }](t *testing.T, name string, start func(context.Context, peers.Config) (P, error), config peers.Config) P {
	t.Helper()
	p, err := start(within(t), config)
	if errors.Is(err, peers.ErrMissing) && name == "rspamd" {
		fmt.Fprintf(os.Stderr, "*** NOT TESTED: %v; not every Debian has it ***\n", err)
		t.Skip(err)
	}
	if errors.Is(err, peers.ErrMissing) {
		skipLoudly(t, err.Error()+". integration/install.sh installs it")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestPeersSignaturesVerify verifies, with the body cut at random, what other
// programs sign: every kind of letter, key and canonicalization.
func TestPeersSignaturesVerify(t *testing.T) {
	t.Parallel()
	for name, start := range signers {
		for _, header := range []string{"relaxed", "simple"} {
			for _, body := range []string{"relaxed", "simple"} {
				t.Run(name+"/"+header+"/"+body, func(t *testing.T) {
					t.Parallel()
					for keys := range slices.Chunk(signingKeys(), 1) {
						p := startPeer(t, name, start, peers.Config{Keys: keys, Header: header, Body: body})
						for about, raw := range peers.Letters(1, 25) {
							signed, err := p.Sign(within(t), raw)
							if err != nil {
								t.Errorf("%s: %v", about, err)
								continue
							}
							if name == "opendkim" && header == "simple" && keys[0].Algorithm() == "ed25519-sha256" {
								wantAgreement(t, about, keys, signed)
							} else {
								wantOurPass(t, about, keys, signed)
							}
						}
					}
				})
			}
		}
	}
}

// wantOurPass verifies a signature of each key.
func wantOurPass(t *testing.T, about string, keys []peers.Key, signed []byte) {
	t.Helper()
	results := verifyOurs(t, zoneOf(keys), signed)
	check(t, len(results) == len(keys), "%s: %d signatures, want %d", about, len(results), len(keys))
	for _, r := range results {
		check(t, r.Status == dkim.Pass, "%s: %s: %s: %v", about, r.Selector, r.Status, r.Err)
	}
}

// wantAgreement is for what OpenDKIM 2.11 beta 2 signs with Ed25519 over a simple
// header: few such signatures are right, to itself no more than to anybody else.
func wantAgreement(t *testing.T, about string, keys []peers.Key, signed []byte) {
	t.Helper()
	theirs, err := peers.MsgAuth{Config: peers.Config{Keys: keys}}.Verify(t.Context(), signed)
	ours := verifyOurs(t, zoneOf(keys), signed)
	check(t, err == nil && len(ours) == 1 && len(theirs) == 1 && (ours[0].Status == dkim.Pass) == theirs[0].Pass,
		"%s: ours %+v, go-msgauth %+v, %v", about, ours, theirs, err)
}

// verifyOurs runs package dkim over a message as the milter does: fields as
// Postfix shows them, and the body in pieces, cut at random but every time alike.
func verifyOurs(t *testing.T, z keyZone, raw []byte) []dkim.Result {
	t.Helper()
	m := milter.ParseMessage(raw)
	v := dkim.Verifier{Resolver: z}
	verification := v.Start(t.Context(), fieldsFor(m), message.Domain{})
	r := mathrand.New(mathrand.NewPCG(6376, uint64(len(raw))))
	for body := m.Body; len(body) > 0; {
		n := 1 + r.IntN(min(len(body), 1<<r.IntN(17)))
		verification.Write(body[:n])
		body = body[n:]
	}
	return verification.Finish(t.Context())
}

func fieldsFor(m *milter.Message) []message.Field {
	fields := make([]message.Field, len(m.Fields))
	for i, f := range m.Fields {
		fields[i] = message.Field(f)
	}
	return fields
}

// A verifyingPeer verifies against the keys that it was started with.
type verifyingPeer interface {
	peers.Verifier
	Close() error
}

// verifiers start the peers that verify.
var verifiers = map[string]func(context.Context, peers.Config) (verifyingPeer, error){
	"opendkim": func(ctx context.Context, c peers.Config) (verifyingPeer, error) { return peers.StartOpenDKIM(ctx, c) },
	"dkimpy":   func(ctx context.Context, c peers.Config) (verifyingPeer, error) { return peers.StartDKIMPy(ctx, c) },
	"rspamd":   func(ctx context.Context, c peers.Config) (verifyingPeer, error) { return peers.StartRspamd(ctx, c) },
	"go-msgauth": func(_ context.Context, c peers.Config) (verifyingPeer, error) {
		return msgAuth{peers.MsgAuth{Config: c}}, nil
	},
}

// rspamdMisreads are the letters whose relaxed body rspamd 3.4 hashes in another
// way than RFC 6376, section 3.4.4 and all others: one with a form feed in it, and
// one of nothing but blanks.
var rspamdMisreads = regexp.MustCompile(`^letter \d+: (control characters|blanks only)`)

// TestPeersVerifyOurs lets other programs verify what package dkim signs, with all
// keys in one pass; and once a second field of an oversigned name is there, no
// signature passes any more.
func TestPeersVerifyOurs(t *testing.T) {
	t.Parallel()
	for name, start := range verifiers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, name, start, peers.Config{Keys: signingKeys()})
			i := 0
			for about, raw := range peers.Letters(2, 50) {
				canon := [...]dkim.Canonicalization{dkim.Relaxed, dkim.Simple}
				s := ourSigner(t, signingKeys(), canon[i%2], canon[i/2%2])
				i++
				signed := signOurs(t, s, raw)
				if misread := name == "rspamd" && s.Body == dkim.Relaxed && rspamdMisreads.MatchString(about); !misread {
					wantVerdicts(t, p, about, signed, len(s.Keys), true)
				}
				if len(raw) > 1<<16 { // a megabyte says nothing new about fields
					continue
				}
				for _, name := range s.Oversign {
					added := append([]byte(name+": <mallory@example.net>\r\n"), signed...)
					wantVerdicts(t, p, about+", another "+name, added, len(s.Keys), false)
				}
			}
		})
	}
}

func wantVerdicts(t *testing.T, p peers.Verifier, about string, signed []byte, signatures int, pass bool) {
	t.Helper()
	verdicts, err := p.Verify(within(t), signed)
	if !check(t, err == nil && len(verdicts) == signatures, "%s: %d verdicts, want %d: %v, %v", about, len(verdicts), signatures, verdicts, err) {
		return
	}
	for _, v := range verdicts {
		check(t, v.Pass == pass, "%s: %s: pass is %t", about, v.Text, v.Pass)
	}
}

// ourSigner signs as milterd does, with several keys.
func ourSigner(t *testing.T, keys []peers.Key, header, body dkim.Canonicalization) *dkim.Signer {
	t.Helper()
	s := &dkim.Signer{Header: header, Body: body}
	s.Names, s.Oversign = dkim.StandardNames()
	for _, k := range keys {
		d, err := message.ParseDomain(k.Domain)
		if err != nil {
			t.Fatal(err)
		}
		s.Keys = append(s.Keys, dkim.SigningKey{Domain: d, Selector: k.Selector, Private: k.Private})
	}
	return s
}

// signOurs puts the signatures of s on top of a message.
func signOurs(t *testing.T, s *dkim.Signer, raw []byte) []byte {
	t.Helper()
	m := milter.ParseMessage(raw)
	signing, err := s.Start(fieldsFor(m))
	if err != nil {
		t.Fatal(err)
	}
	signing.Write(m.Body)
	fields, err := signing.Finish()
	if err != nil {
		t.Fatal(err)
	}
	var signed strings.Builder
	for _, f := range fields {
		signed.WriteString(f.Name + ":" + strings.ReplaceAll(f.Value, "\n", "\r\n") + "\r\n")
	}
	return append([]byte(signed.String()), raw...)
}
