package arc

import (
	"crypto/rand"
	"crypto/rsa"
	"slices"
	"strings"
	"testing"

	"milterd/dkim"
	"milterd/message"
)

// A set of either algorithm verifies, and its lines are what may stand in a header.
func TestSeal(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{}
	s := z.host(t, "list.test")
	withRSA := &Sealer{Key: dkim.SigningKey{Domain: domain(t, "list.test"), Selector: "rsa", Private: private}, Now: clock}
	withRSA.Names, withRSA.Oversign = StandardNames()
	z.publish(t, "rsa._domainkey.list.test", private.Public())
	m := newMail()
	m.fields = append([]message.Field{{Name: "DKIM-Signature", Value: " v=1; d=author.test; b=\n\tQUJD"}}, m.fields...)
	m.through(t, z, s).through(t, z, withRSA)
	r := m.verify(t, z)
	if r.Status != Pass || r.Newest().Seal.KeyBits != 2048 || r.Sets[0].Seal.Algorithm != dkim.Ed25519SHA256 {
		t.Fatalf("%+v", r)
	}
	for _, f := range m.fields[:6] {
		if f.Value[0] != ' ' {
			t.Errorf("%s does not begin with a blank: %q", f.Name, f.Value)
		}
		for i, line := range strings.Split(f.Value, "\n") {
			if i > 0 && (line == "" || line[0] != '\t') || len(f.Name)+len(line) > 998 || strings.ContainsAny(line, "\r\x00") {
				t.Errorf("%s: line %q", f.Name, line)
			}
			if len(line) > 78 && !strings.HasPrefix(line, "\tb=") {
				t.Errorf("%s: a line of %d: %q", f.Name, len(line), line)
			}
		}
	}
	var order []string
	for _, f := range m.fields[:3] {
		order = append(order, f.Name)
	}
	if !slices.Equal(order, []string{SealName, SignatureName, ResultsName}) {
		t.Errorf("order %v", order)
	}
	// The author's own signature is covered.
	if r := m.clone().replace(t, "DKIM-Signature", 1, "QUJD", "QUJE").verify(t, z); r.Status != Fail {
		t.Error("a DKIM signature was changed, and nobody noticed")
	}
}

// The same message at the same time gives the same bytes.
func TestSealIsDeterministic(t *testing.T) {
	z := &zone{}
	one, two := chained(t, z, 3, false), chained(t, z, 3, false)
	if one.text() != two.text() {
		t.Errorf("%s\n---\n%s", one.text(), two.text())
	}
}

// A chain that has failed is closed: the seal covers its own set only, and nobody
// adds another one.
func TestSealFailed(t *testing.T) {
	z := &zone{}
	for _, breakIt := range []func(m *mail){
		func(m *mail) { m.body += "more" },
		func(m *mail) { m.without(t, ResultsName, 1) },
		func(m *mail) { m.replace(t, SealName, 2, "i=1", "i=x") },
		func(m *mail) { m.fields = append(m.fields, m.fields[0]) },
	} {
		m := chained(t, z, 2, false)
		breakIt(m)
		before := len(m.fields)
		m.through(t, z, z.host(t, "last.test"))
		if len(m.fields) != before+3 {
			t.Fatalf("%d fields were added", len(m.fields)-before)
		}
		seal := m.field(t, SealName, 1)
		if !strings.Contains(seal.Value, "cv=fail;") || !strings.Contains(seal.Value, "i=3;") {
			t.Errorf("sealed as %s", seal.Value)
		}
		// As if it were the only set there was (RFC 8617, section 5.1.2).
		sig, tags, err := dkim.ParseSeal(m.fields, 0)
		if err != nil {
			t.Fatal(err)
		}
		alone := (&link{results: 2, signature: 1}).appendSigned(nil, m.fields)
		keys, err := dkim.LookupKeys(t.Context(), z, sig.Domain, sig.Selector)
		if err != nil {
			t.Fatal(err)
		}
		digest := sum(appendUnsealed(alone, tags.Without("b")))
		if !keys[0].Verify(digest, sig.Value) {
			t.Error("the seal does not cover its own set, or more than that")
		}
		if r := m.verify(t, z); r.Status != Fail || r.Reason != ErrSealedFail.Error() {
			t.Errorf("%s: %s", r.Status, r.Reason)
		}
		if m.through(t, z, z.host(t, "late.test")); len(m.fields) != before+3 {
			t.Error("a closed chain was sealed again")
		}
	}
}

func TestSealRefuses(t *testing.T) {
	z := &zone{}
	s := z.host(t, "list.test")
	m := newMail()
	found := m.verify(t, z)
	if _, err := s.Seal(m.fields, &found, "list.test; none"); err == nil {
		t.Error("sealed a body that was not hashed")
	}
	v := verifier(z)
	v.ForSealing = true
	found = verifyParts(t, v, m.fields, m.body)
	for _, results := range []string{"", "list.test; spf=pass (", "list.test; none\r\nX-Injected: 1", "list.test; spf=pass\x00"} {
		if set, err := s.Seal(m.fields, &found, results); err == nil {
			t.Errorf("sealed results %q: %q", results, set)
		}
	}
	for _, name := range []string{"ARC-Seal", "arc-message-signature", "ARC-Authentication-Results", "authentication-results", "", "Fr om", "From:", "From;"} {
		for _, bad := range []Sealer{{Key: s.Key, Names: []string{name}}, {Key: s.Key, Oversign: []string{name}}} {
			if bad.Check() == nil {
				t.Errorf("%q may be signed", name)
			}
		}
	}
	if (&Sealer{}).Check() == nil {
		t.Error("a sealer without a key")
	}
}

// What is folded otherwise on its way still verifies, as relaxed promises.
func TestRefolded(t *testing.T) {
	z := &zone{}
	m := chained(t, z, 3, false)
	for i := range m.fields {
		m.fields[i].Name = strings.ToUpper(m.fields[i].Name)
		m.fields[i].Value = " " + strings.Join(strings.Fields(m.fields[i].Value), "\r\n\t ") + " "
	}
	if r := m.verify(t, z); r.Status != Pass || r.OldestPass != 0 {
		t.Errorf("%s: %v", r.Status, r.Err)
	}
}
