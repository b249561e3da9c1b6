package dkim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"milterd/message"

	msgauth "github.com/emersion/go-msgauth/dkim"
)

func exampleOrg(t testing.TB) message.Domain {
	t.Helper()
	d, err := message.ParseDomain("example.org")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// testKeys returns the test keys as signing keys of example.org.
func testKeys(t testing.TB, names ...string) []SigningKey {
	t.Helper()
	var keys []SigningKey
	for _, name := range names {
		keys = append(keys, SigningKey{Domain: exampleOrg(t), Selector: name, Private: testKey(t, name)})
	}
	return keys
}

// sign returns the fields that s puts on top of the message.
func sign(t testing.TB, s *Signer, fields []message.Field, body string) []message.Field {
	t.Helper()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	g, err := s.Start(fields)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(g, body)
	signatures, err := g.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return signatures
}

// wire is the message as it travels: line ends are CRLF.
func wire(fields []message.Field, body string) string {
	var b strings.Builder
	for i := range fields {
		b.Write(AppendHeader(nil, Simple, &fields[i]))
	}
	return b.String() + "\r\n" + body
}

// theirVerdicts asks the other implementation.
func theirVerdicts(t testing.TB, r TXTResolver, fields []message.Field, body string) []*msgauth.Verification {
	t.Helper()
	verdicts, err := msgauth.VerifyWithOptions(strings.NewReader(wire(fields, body)), &msgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return r.LookupTXT(t.Context(), name) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return verdicts
}

var allKeys = []string{"rsa1024", "rsa2048", "rsa4096", "ed25519"}

// What we sign, with all keys in one pass, is accepted here and by the other
// implementation.
func TestSignVerifies(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	z := testZone(t, "")
	for _, header := range []Canonicalization{Simple, Relaxed} {
		for _, bodyCanon := range []Canonicalization{Simple, Relaxed} {
			s := &Signer{Keys: testKeys(t, allKeys...), Header: header, Body: bodyCanon, Identity: "ann@mail.example.org", Expire: time.Hour}
			s.Names, s.Oversign = StandardNames()
			signed := append(sign(t, s, fields, testBody), fields...)
			for i, r := range verifyParts(t, &Verifier{Resolver: z}, signed, testBody) {
				if r.Status != Pass || r.Selector != allKeys[i] || r.Identity != s.Identity || r.Expires.Sub(r.Signed) != time.Hour {
					t.Errorf("%s/%s: %+v", header, bodyCanon, r)
				}
			}
			for i, theirs := range theirVerdicts(t, z, signed, testBody) {
				if theirs.Err != nil {
					t.Errorf("%s/%s %s: the other says %v", header, bodyCanon, allKeys[i], theirs.Err)
				}
			}
			for _, f := range signed[:len(s.Keys)] {
				for line := range strings.SplitSeq(f.Name+":"+f.Value, "\n") {
					if len(line) > 78 {
						t.Errorf("a line of %d characters: %q", len(line), line)
					}
				}
			}
		}
	}
}

// What the other implementation signs is accepted here, wherever the body is cut.
func TestTheirSignaturesVerify(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(8463, 1))
	fields, _ := parseMessage(t, testHeader)
	bodies := []string{testBody, "", "\r\n\r\n", "no line end", strings.Repeat("a line of text with  blanks \t\r\n", 300) + "\r\n\r\n"}
	for _, name := range allKeys {
		for _, header := range []msgauth.Canonicalization{"simple", "relaxed"} {
			for _, bodyCanon := range []msgauth.Canonicalization{"simple", "relaxed"} {
				for _, body := range bodies {
					var b strings.Builder
					err := msgauth.Sign(&b, strings.NewReader(wire(fields, body)), &msgauth.SignOptions{
						Domain: "example.org", Selector: name, Signer: testKey(t, name), HeaderCanonicalization: header, BodyCanonicalization: bodyCanon,
						HeaderKeys: []string{"From", "From", "Received", "Subject", "Received", "Received", "Cc"},
					})
					if err != nil {
						t.Fatal(err)
					}
					signed, _ := parseMessage(t, b.String())
					s := (&Verifier{Resolver: testZone(t, "")}).Start(t.Context(), signed, message.Domain{})
					for rest := body; rest != ""; {
						n := 1 + random.IntN(len(rest))
						s.Write([]byte(rest[:n]))
						rest = rest[n:]
					}
					r := s.Finish(t.Context())[0]
					checkInvariants(t, &r)
					if r.Status != Pass {
						t.Errorf("%s %s/%s %q: %+v", name, header, bodyCanon, body, r)
					}
				}
			}
		}
	}
}

// The field as it looks; Ed25519 signs the same bytes the same way every time.
func TestSignGolden(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	s := &Signer{Keys: testKeys(t, "ed25519"), Now: testNow, Expire: 7 * 24 * time.Hour}
	s.Names, s.Oversign = StandardNames()
	got := sign(t, s, fields, testBody)[0]
	const want = " v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org;\n" +
		"\ts=ed25519; t=2000000000; x=2000604800; h=From:From:To:To:Cc:Subject:Subject:\n" +
		"\tDate:Message-ID:Message-ID:Reply-To:MIME-Version:Content-Type:\n" +
		"\tContent-Transfer-Encoding;"
	if got.Name != FieldName || !strings.HasPrefix(got.Value, want) {
		t.Errorf("%s:%s", got.Name, got.Value)
	}
	if again := sign(t, s, fields, testBody)[0]; again != got {
		t.Errorf("not the same twice:\n%s\n%s", got.Value, again.Value)
	}
	other := sign(t, &Signer{Keys: s.Keys, Oversign: []string{"From"}, Names: []string{"from", "To", "X", "Received"}, Header: Simple, Now: testNow}, fields, "")[0]
	if !strings.Contains(other.Value, "c=simple/relaxed;") || !strings.Contains(other.Value, "h=From:From:To:Received:Received;") {
		t.Errorf("%s", other.Value)
	}
}

// Nobody can add one of the oversigned fields, at the top or at the bottom.
func TestOversign(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	s := &Signer{Keys: testKeys(t, "ed25519")}
	s.Names, s.Oversign = StandardNames()
	signed := append(sign(t, s, fields, testBody), fields...)
	v := &Verifier{Resolver: testZone(t, "")}
	for _, name := range s.Oversign {
		added := message.Field{Name: strings.ToUpper(name), Value: " x"}
		for _, fs := range [][]message.Field{append([]message.Field{added}, signed...), append(append([]message.Field{}, signed...), added)} {
			if r := verifyParts(t, v, fs, testBody)[0]; r.Status != Fail {
				t.Errorf("another %s: %s", name, r.Status)
			}
		}
	}
	for _, name := range []string{"List-Id", "Received", "X-Spam", "DKIM-Signature"} {
		fs := append([]message.Field{{Name: name, Value: " x"}}, signed...)
		if r := verifyParts(t, v, fs, testBody); r[len(r)-1].Status != Pass {
			t.Errorf("another %s: %s", name, r[len(r)-1].Status)
		}
	}
}

// An ARC-Message-Signature has an instance in i= and no version (RFC 8617, section
// 4.1.2), and is no DKIM signature.
func TestParseARC(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	signatures := sign(t, &Signer{Keys: testKeys(t, "rsa2048"), Names: []string{"From", "Subject"}, Now: testNow}, fields, testBody)
	signatures[0].Name, signatures[0].Value = ARCFieldName, strings.Replace(signatures[0].Value, "v=1;", "i=3;", 1)
	signed := append(signatures, fields...)
	v := &Verifier{Resolver: testZone(t, ""), Now: testNow}
	if results := verifyParts(t, v, signed, testBody); len(results) != 0 {
		t.Errorf("taken for a DKIM signature: %+v", results)
	}
	if sig, err := ParseSignature(signed, 0); err != nil || sig.Instance != 3 || sig.Domain != exampleOrg(t) {
		t.Errorf("%+v, %v", sig, err)
	}
	for _, bad := range []string{"0", "51", "x", "", "100"} {
		f := message.Field{Name: ARCFieldName, Value: strings.Replace(signatures[0].Value, "i=3", "i="+bad, 1)}
		if _, err := ParseSignature([]message.Field{f}, 0); !errors.Is(err, ErrSyntax) {
			t.Errorf("i=%s: %v", bad, err)
		}
	}
}

func TestSignErrors(t *testing.T) {
	good := testKeys(t, "ed25519")[0]
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	one, err := message.ParseDomain("localhost")
	if err != nil {
		t.Fatal(err)
	}
	for want, s := range map[string]*Signer{
		"no keys":       {},
		"two labels":    {Keys: []SigningKey{{Domain: one, Selector: "s", Private: good.Private}}},
		"not a select":  {Keys: []SigningKey{{Domain: good.Domain, Selector: "s.", Private: good.Private}}},
		"no private":    {Keys: []SigningKey{{Domain: good.Domain, Selector: "s"}}},
		"neither RSA":   {Keys: []SigningKey{{Domain: good.Domain, Selector: "s", Private: p256}}},
		"identity":      {Keys: []SigningKey{good}, Identity: "@example.net"},
		`"a;b@example`:  {Keys: []SigningKey{good}, Identity: "a;b@example.org"},
		`"example.org"`: {Keys: []SigningKey{good}, Identity: "example.org"},
		"not a field":   {Keys: []SigningKey{good}, Names: []string{"From:To"}},
		`"Fr om"`:       {Keys: []SigningKey{good}, Oversign: []string{"Fr om"}},
		"unknown":       {Keys: []SigningKey{good}, Body: "nowsp"},
	} {
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}

	s := &Signer{Keys: []SigningKey{{Domain: good.Domain, Selector: "s", Private: brokenKey{good.Private}}}, Oversign: []string{"From"}}
	if _, err := s.Start([]message.Field{{Name: "To", Value: " x"}}); !errors.Is(err, ErrNoFrom) {
		t.Error(err)
	}
	g, err := s.Start([]message.Field{{Name: "From", Value: " x"}})
	if err != nil {
		t.Fatal(err)
	}
	if fields, err := g.Finish(); !errors.Is(err, errBroken) || fields != nil {
		t.Errorf("%v, %v", fields, err)
	}
}

type brokenKey struct{ crypto.Signer }

var errBroken = fmt.Errorf("the device is gone")

func (brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errBroken }
