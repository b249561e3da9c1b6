package arc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"milterd/dkim"
	"milterd/message"
)

func TestChain(t *testing.T) {
	z := &zone{}
	m := chained(t, z, 3, false)
	r := m.verify(t, z)
	if r.Status != Pass || r.OldestPass != 0 || len(r.Sets) != 3 {
		t.Fatalf("%+v", r)
	}
	top := r.Newest()
	if top.Seal.Domain != domain(t, "host3.test") || top.Seal.Selector != "s" || top.Seal.Algorithm != dkim.Ed25519SHA256 || top.Seal.KeyBits != 256 ||
		!top.Seal.Signed.Equal(clock()) || top.Message.Domain != top.Seal.Domain {
		t.Errorf("%+v", top)
	}
	said, err := top.Results()
	if err != nil || said.AuthservID != "host3.test" || len(said.Methods) != 2 || said.Methods[0].Method != "arc" || said.Methods[0].Result != "pass" {
		t.Errorf("%+v, %v", said, err)
	}
	if want := []string{"s._domainkey.host1.test", "s._domainkey.host2.test", "s._domainkey.host3.test"}; !slices.Equal(sorted(z.asked[len(z.asked)-3:]), want) {
		t.Errorf("asked for %v", z.asked)
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// remembering knows every answer beforehand.
type remembering struct{ *zone }

func (remembering) KnowsTXT(string) bool { return true }

// Keys that are known are there when the body begins.
func TestKnownKeys(t *testing.T) {
	z := &zone{}
	m := chained(t, z, 3, false)
	v := verifier(z)
	v.DKIM.Resolver = remembering{z}
	before := len(z.asked)
	s := v.Start(t.Context(), m.fields)
	if got := len(z.asked) - before; got != 3 {
		t.Errorf("asked for %v", z.asked[before:])
	}
	s.Write([]byte(m.body))
	if r := s.Finish(t.Context()); r.Status != Pass {
		t.Errorf("%+v", r)
	}
}

func TestNoChain(t *testing.T) {
	z := &zone{}
	m := newMail()
	s := verifier(z).Start(t.Context(), m.fields)
	if s.NeedsBody() {
		t.Error("the body is wanted for nothing")
	}
	r := s.Finish(t.Context())
	checkInvariants(t, &r)
	if r.Status != None || len(z.asked) != 0 || r.Newest() != nil || r.BodyHash != nil {
		t.Errorf("%+v", r)
	}
}

// What breaks a chain, and why it is said to be broken.
func TestBrokenChains(t *testing.T) {
	tests := []struct {
		name     string
		change   func(m *mail) // a chain of three
		err      error
		instance int
	}{
		{"body", func(m *mail) { m.body += "more" }, dkim.ErrBodyHash, 3},
		{"signed field", func(m *mail) { m.replace(t, "Subject", 1, "Hello", "Win!") }, dkim.ErrSignature, 3},
		{"field added", func(m *mail) { m.fields = append(m.fields, message.Field{Name: "From", Value: " eve@evil.test"}) }, dkim.ErrSignature, 3},
		{"first results", func(m *mail) { m.replace(t, ResultsName, 3, "author.test", "victim.test") }, dkim.ErrSignature, 3},
		{"newest results", func(m *mail) { m.replace(t, ResultsName, 1, "author.test", "victim.test") }, dkim.ErrSignature, 3},
		{"first message signature", func(m *mail) { m.replace(t, SignatureName, 3, "h=From", "h=X:From") }, dkim.ErrSignature, 3},
		{"first seal's time", func(m *mail) { m.replace(t, SealName, 3, "t=1", "t=2") }, dkim.ErrSignature, 3},
		{"newest message signature's domain", func(m *mail) { m.replace(t, SignatureName, 1, "host3", "host2") }, dkim.ErrSignature, 3},
		{"newest seal's domain", func(m *mail) { m.replace(t, SealName, 1, "host3", "host2") }, dkim.ErrSignature, 3},
		{"no key", func(m *mail) { m.replace(t, SealName, 1, "host3", "nobody") }, dkim.ErrNoKey, 3},
		{"newest set gone", func(m *mail) {
			m.fields = m.fields[3:]
			m.body += "more"
		}, dkim.ErrBodyHash, 2},
		{"gap", func(m *mail) {
			m.fields = slices.Delete(m.fields, 3, 6)
		}, ErrGap, 3},
		{"first set gone", func(m *mail) { m.fields = slices.Delete(m.fields, 6, 9) }, ErrGap, 2},
		{"results gone", func(m *mail) { m.without(t, ResultsName, 2) }, ErrIncomplete, 2},
		{"message signature gone", func(m *mail) { m.without(t, SignatureName, 1) }, ErrIncomplete, 3},
		{"seal gone", func(m *mail) { m.without(t, SealName, 3) }, ErrIncomplete, 1},
		{"two seals", func(m *mail) { m.fields = append(m.fields, m.fields[0]) }, ErrDuplicate, 3},
		{"two message signatures", func(m *mail) { m.fields = append(m.fields, m.fields[7]) }, ErrDuplicate, 1},
		{"two results", func(m *mail) { m.fields = append(m.fields, m.fields[5]) }, ErrDuplicate, 2},
		{"first cv", func(m *mail) { m.replace(t, SealName, 3, "cv=none", "cv=pass") }, ErrCV, 1},
		{"second cv", func(m *mail) { m.replace(t, SealName, 2, "cv=pass", "cv=none") }, ErrCV, 2},
		{"second cv fail", func(m *mail) { m.replace(t, SealName, 2, "cv=pass", "cv=fail") }, ErrCV, 2},
		{"second cv unknown", func(m *mail) { m.replace(t, SealName, 2, "cv=pass", "cv=Pass") }, ErrCV, 2},
		{"no cv", func(m *mail) { m.replace(t, SealName, 1, "cv=pass; ", "") }, ErrCV, 3},
		{"newest cv fail", func(m *mail) { m.replace(t, SealName, 1, "cv=pass", "cv=fail") }, ErrSealedFail, 3},
		{"newest cv fail, others gone", func(m *mail) {
			m.replace(t, SealName, 1, "cv=pass", "cv=fail")
			m.fields = slices.Delete(m.fields, 3, 8)
		}, ErrSealedFail, 3},
		{"h in seal", func(m *mail) { m.replace(t, SealName, 2, "i=2", "i=2; h=from") }, ErrSealFields, 2},
		{"seal in h", func(m *mail) { m.replace(t, SignatureName, 1, "h=From", "h=arc-seal:From") }, ErrSealSigned, 3},
		{"seal without instance", func(m *mail) { m.replace(t, SealName, 2, "i=2; ", "") }, dkim.ErrMissingTag, 0},
		{"seal with instance 0", func(m *mail) { m.replace(t, SealName, 2, "i=2", "i=0") }, dkim.ErrSyntax, 0},
		{"seal with instance 51", func(m *mail) { m.replace(t, SealName, 2, "i=2", "i=51") }, dkim.ErrSyntax, 0},
		{"seal with two instances", func(m *mail) { m.replace(t, SealName, 2, "i=2", "i=2; i=2") }, dkim.ErrSyntax, 0},
		{"message signature without instance", func(m *mail) { m.replace(t, SignatureName, 2, "i=2; ", "") }, dkim.ErrMissingTag, 0},
		{"results without instance", func(m *mail) { m.replace(t, ResultsName, 2, "i=2; ", "") }, ErrResults, 0},
		{"results with an instance too large", func(m *mail) { m.replace(t, ResultsName, 2, "i=2", "i=99") }, ErrResults, 0},
		{"sha1", func(m *mail) { m.replace(t, SealName, 1, "ed25519-sha256", "rsa-sha1") }, dkim.ErrSHA1, 3},
		{"old seal's algorithm", func(m *mail) { m.replace(t, SealName, 3, "ed25519-sha256", "rsa-sha256") }, dkim.ErrSignature, 3},
		{"d", func(m *mail) { m.replace(t, SealName, 2, "d=host2.test", "d=host2.test(.evil.test") }, dkim.ErrDomain, 2},
		{"s", func(m *mail) { m.replace(t, SealName, 2, "s=s;", "s=s/t;") }, dkim.ErrSelector, 2},
		{"b", func(m *mail) { m.replace(t, SealName, 2, "b=", "b=(") }, dkim.ErrSyntax, 2},
		{"expired", func(m *mail) {
			m.replace(t, SignatureName, 1, "i=3", "x=1895262400; i=3").replace(t, SignatureName, 1, "x=1895262400", "x=1700000000")
		}, dkim.ErrTimes, 3},
		{"partial", func(m *mail) {
			m.replace(t, SignatureName, 1, "i=3", "i=3; l=0").replace(t, SignatureName, 1, "bh=", "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; zz=")
		}, dkim.ErrPartial, 3},
		{"l too long", func(m *mail) { m.replace(t, SignatureName, 1, "i=3", "i=3; l=1000") }, dkim.ErrLength, 3},
	}
	z := &zone{}
	whole := chained(t, z, 3, false)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := whole.clone()
			test.change(m)
			r := m.verify(t, z)
			if r.Status != Fail || !errors.Is(r.Err, test.err) || r.Instance != test.instance {
				t.Errorf("%s at %d: %v, want %v at %d", r.Status, r.Instance, r.Err, test.err, test.instance)
			}
		})
	}
}

// A message signature has the rules of a DKIM signature.
func TestMessageSignatureTimes(t *testing.T) {
	z := &zone{}
	m := chained(t, z, 1, false)
	for _, test := range []struct {
		now time.Duration
		err error
	}{
		{0, nil}, {-299 * time.Second, nil}, {-301 * time.Second, dkim.ErrFuture}, {1000 * time.Hour, nil},
	} {
		v := verifier(z)
		v.DKIM.Now = func() time.Time { return clock().Add(test.now) }
		if r := verifyParts(t, v, m.fields, m.body); !errors.Is(r.Err, test.err) || (r.Err == nil) != (test.err == nil) {
			t.Errorf("%v later: %v, want %v", test.now, r.Err, test.err)
		}
	}
	m.replace(t, SignatureName, 1, "i=1", fmt.Sprintf("x=%d; i=1", clock().Unix()+1))
	v := verifier(z)
	v.DKIM.Now = func() time.Time { return clock().Add(302 * time.Second) }
	if r := verifyParts(t, v, m.fields, m.body); !errors.Is(r.Err, dkim.ErrExpired) {
		t.Errorf("expired: %v", r.Err)
	}
}

// Section 5.2, step 5: hosts that change the message leave it valid for themselves.
func TestOldestPass(t *testing.T) {
	for _, changed := range []struct {
		by     int // before this host seals
		oldest int
	}{{0, 0}, {2, 2}, {3, 3}, {4, 4}} {
		z := &zone{}
		m := newMail()
		for i := 1; i <= 4; i++ {
			if i == changed.by {
				// The list adds its footer behind its own validation: as it
				// arrived the chain was in order.
				v := verifier(z)
				v.ForSealing = true
				found := verifyParts(t, v, m.fields, m.body)
				m.body += "-- \r\nfooter\r\n"
				footed := verifyParts(t, v, m.fields, m.body)
				found.BodyHash = footed.BodyHash
				s := z.host(t, fmt.Sprintf("host%d.test", i))
				set, err := s.Seal(m.fields, &found, "list.test; arc=pass")
				if err != nil {
					t.Fatal(err)
				}
				m.fields = append(set, m.fields...)
				continue
			}
			m.through(t, z, z.host(t, fmt.Sprintf("host%d.test", i)))
		}
		if r := m.verify(t, z); r.Status != Pass || r.OldestPass != changed.oldest {
			t.Errorf("changed by %d: %s, oldest pass %d, want %d (%v)", changed.by, r.Status, r.OldestPass, changed.oldest, r.Err)
		}
	}
}

// A message signature without c= was made in one of two forms.
func TestNoCanonicalization(t *testing.T) {
	z := &zone{}
	m := chained(t, z, 1, false)
	seal := z.host(t, "host1.test")
	for _, form := range []dkim.Canonicalization{dkim.Simple, dkim.Relaxed} {
		// Sign again, without c=, and seal what came out.
		again := m.clone()
		v := verifier(z)
		v.ForSealing = true
		body := "A line\r\n"
		found := verifyParts(t, v, newMail().fields, body)
		again.body = body
		again.fields = again.fields[1:]
		f := again.field(t, SignatureName, 1)
		bodyHash := f.Value[strings.Index(f.Value, "bh=")+3:]
		bodyHash, _, _ = strings.Cut(bodyHash, ";")
		again.replace(t, SignatureName, 1, "c=relaxed/relaxed;", "").replace(t, SignatureName, 1, bodyHash, b64(found.BodyHash))
		tags, _ := dkim.ParseTags(f.Value)
		value, _ := tags.Get("b")
		sig, err := dkim.ParseSignature(again.fields, 0)
		if err != nil {
			t.Fatal(err)
		}
		sig.Header = form
		digest := dkim.NewHeader(again.fields).Digest(sig)
		signed, _ := seal.Key.Sign(digest[:])
		again.replace(t, SignatureName, 1, value, b64(signed))
		resealed, err := seal.sign(SealName, (&link{results: 1, signature: 0}).appendSigned(nil, again.fields), func(b []byte) string {
			l := layout{s: seal, instance: "1", time: "1"}
			return l.seal(b, None)
		})
		if err != nil {
			t.Fatal(err)
		}
		again.fields = append([]message.Field{resealed}, again.fields...)
		if r := again.verify(t, z); r.Status != Pass {
			t.Errorf("made in %s form: %v", form, r.Err)
		}
		again.body += "more"
		if r := again.verify(t, z); !errors.Is(r.Err, dkim.ErrBodyHash) {
			t.Errorf("made in %s form, body changed: %v", form, r.Err)
		}
	}
}

func TestLimits(t *testing.T) {
	z := &zone{}
	m := chained(t, z, MaxSets, true)
	z.asked = nil
	r := m.verify(t, z)
	if r.Status != Pass || len(r.Sets) != MaxSets || r.OldestPass != MaxSets-MaxMessageSignatures+1 || len(z.asked) != 1 {
		t.Errorf("%s (%v) with %d sets, oldest pass %d, asked %v", r.Status, r.Err, len(r.Sets), r.OldestPass, z.asked)
	}
	full := m.clone()
	if m.through(t, z, z.host(t, "host.test")); len(m.fields) != len(full.fields) {
		t.Error("a set was added to a full chain")
	}

	// One too many, whatever it says.
	m.fields = append(m.fields, message.Field{Name: "arc-seal ", Value: " i=51"})
	if r := m.verify(t, z); !errors.Is(r.Err, ErrTooMany) {
		t.Errorf("%d sets: %v", MaxSets+1, r.Err)
	}
	if m.through(t, z, z.host(t, "host.test")); len(m.fields) != len(full.fields)+1 {
		t.Error("a set was added to too many")
	}

	v := verifier(z)
	v.MaxSets = 2
	if r := verifyParts(t, v, chained(t, z, 3, true).fields); !errors.Is(r.Err, ErrTooMany) {
		t.Errorf("three sets of two: %v", r.Err)
	}
	v.MaxSets = 1000
	if r := verifyParts(t, v, m.fields); !errors.Is(r.Err, ErrTooMany) {
		t.Errorf("the limit of the RFC is a limit: %v", r.Err)
	}
}

func TestManyKeys(t *testing.T) {
	z := &zone{}
	m := chained(t, z, MaxKeys, false)
	z.asked = nil
	if r := m.verify(t, z); r.Status != Pass || r.OldestPass != 0 || len(z.asked) != MaxKeys {
		t.Errorf("%s (%v), %d look-ups", r.Status, r.Err, len(z.asked))
	}
	m.through(t, z, z.host(t, "more.test"))
	z.asked = nil
	if r := m.verify(t, z); !errors.Is(r.Err, ErrTooManyKeys) || len(z.asked) != 0 {
		t.Errorf("%v, %d look-ups", r.Err, len(z.asked))
	}
}

// DNS trouble is no failure of the chain, and hides none.
func TestTempError(t *testing.T) {
	z := &zone{}
	m := chained(t, z, 3, false)
	for _, host := range []string{"host1", "host2", "host3"} {
		name := "s._domainkey." + host + ".test"
		record := z.txt[name]
		z.txt[name] = "SERVFAIL"
		if r := m.verify(t, z); r.Status != TempError || r.Status.Wire() != "fail" || !errors.Is(r.Err, dkim.ErrDNS) {
			t.Errorf("%s: %s (%v)", host, r.Status, r.Err)
		}
		broken := m.clone().replace(t, SealName, 2, "t=1", "t=2")
		if r := broken.verify(t, z); r.Status != Fail {
			// Each seal but the first covers the change, and one of them has a key.
			t.Errorf("%s, broken: %s (%v)", host, r.Status, r.Err)
		}
		z.txt[name] = record
	}
	sealed := m.clone()
	z.txt["s._domainkey.host3.test"] = "SERVFAIL"
	if sealed.through(t, z, z.host(t, "host4.test")); len(sealed.fields) != len(m.fields) {
		t.Error("a fault of the DNS was sealed for ever")
	}
}

// The look-ups run while the body comes in, once a key, and end with Finish.
func TestLookupsBesideTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan struct{})
		z := &zone{}
		m := chained(t, z, 2, false)
		z.wait, z.asked = answers, nil
		s := verifier(z).Start(t.Context(), m.fields)
		synctest.Wait()
		if len(z.asked) != 2 {
			t.Errorf("asked %v at the end of the header", z.asked)
		}
		s.Write([]byte(m.body))
		close(answers)
		if r := s.Finish(t.Context()); r.Status != Pass {
			t.Errorf("%s: %v", r.Status, r.Err)
		}
	})
}

func TestOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		m := chained(t, z, 2, false)
		z.wait = make(chan struct{}) // for ever
		s := verifier(z).Start(t.Context(), m.fields)
		s.Write([]byte(m.body))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := s.Finish(ctx)
		if checkInvariants(t, &r); r.Status != TempError || !errors.Is(r.Err, dkim.ErrTime) {
			t.Errorf("%s: %v", r.Status, r.Err)
		}
		// What needs no key needs no waiting.
		s = verifier(z).Start(t.Context(), m.fields)
		s.Write([]byte("another body"))
		if r := s.Finish(t.Context()); !errors.Is(r.Err, dkim.ErrBodyHash) {
			t.Errorf("%s: %v", r.Status, r.Err)
		}
	})
}

// The body may be cut anywhere.
func TestChunkedBody(t *testing.T) {
	z := &zone{}
	random := rand.New(rand.NewPCG(8617, 1))
	for range 50 {
		m := newMail()
		m.body = ""
		for range random.IntN(40) {
			m.body += []string{" ", "\t", "\r\n", "\n", "\r", "a", "word ", ".", "\r\n\r\n", strings.Repeat("x", 2000)}[random.IntN(10)]
		}
		m.through(t, z, z.host(t, "host.test"))
		var pieces []string
		for rest := m.body; rest != ""; {
			n := 1 + random.IntN(len(rest))
			if random.IntN(2) == 0 {
				n = 1
			}
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		if r := verifyParts(t, verifier(z), m.fields, pieces...); r.Status != Pass {
			t.Fatalf("%q in pieces %q: %v", m.body, pieces, r.Err)
		}
	}
}

// Whoever is trusted, an untrusted host above has had the message in its hands.
func TestTrusted(t *testing.T) {
	z := &zone{}
	m := chained(t, z, 4, false)
	r := m.verify(t, z)
	for trusted, want := range map[string]string{
		"":                        "[]",
		"host4":                   "[4]",
		"host3":                   "[]",
		"host4 host3":             "[4 3]",
		"host4 host2":             "[4]",
		"host1 host2 host3 host4": "[4 3 2 1]",
	} {
		var got []int
		for _, set := range r.Trusted(func(d message.Domain) bool {
			return trusted != "" && slices.Contains(strings.Fields(trusted), strings.TrimSuffix(d.String(), ".test"))
		}) {
			got = append(got, set.Instance)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("trusting %q: sets %v, want %s", trusted, got, want)
		}
	}
	m.body += "more"
	broken := m.verify(t, z)
	if sets := broken.Trusted(func(message.Domain) bool { return true }); sets != nil {
		t.Errorf("a broken chain is trusted: %v", sets)
	}
}
