package arc

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/dkim"
	"milterd/message"
)

// What a list and other forwarders do to mail, for tests: each host seals with a
// key that a zone publishes.

// clock is the time of all tests.
func clock() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func verifier(z *zone) *Verifier {
	return &Verifier{DKIM: dkim.Verifier{Resolver: z, Now: clock}}
}

func domain(t testing.TB, s string) message.Domain {
	t.Helper()
	d, err := message.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ed25519Key returns the same key for the same name at every run.
func ed25519Key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// publish puts a key into the zone.
func (z *zone) publish(t testing.TB, name string, public crypto.PublicKey) {
	t.Helper()
	if z.txt == nil {
		z.txt = map[string]string{}
	}
	switch k := public.(type) {
	case ed25519.PublicKey:
		z.txt[name] = "v=DKIM1; k=ed25519; p=" + b64(k)
	case *rsa.PublicKey:
		z.txt[name] = "v=DKIM1; p=" + b64(x509.MarshalPKCS1PublicKey(k))
	default:
		t.Fatalf("key of type %T", public)
	}
}

// host returns the sealer of a host whose key is in the zone.
func (z *zone) host(t testing.TB, name string) *Sealer {
	t.Helper()
	key := ed25519Key(name)
	s := &Sealer{Key: dkim.SigningKey{Domain: domain(t, name), Selector: "s", Private: key}, Now: clock}
	s.Names, s.Oversign = StandardNames()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	z.publish(t, "s._domainkey."+name, key.Public())
	return s
}

// mail is a message on its way.
type mail struct {
	fields []message.Field
	body   string
}

func newMail() *mail {
	m := &mail{}
	m.fields, m.body = parseMessage("From: Ann <ann@author.test>\nTo: list@list.test\nSubject: Hello\nDate: Sat, 21 Nov 2026 12:00:00 +0000\n\n" +
		"A line.\r\nAnother,  with  blanks \r\n\r\n")
	return m
}

func (m *mail) clone() *mail { return &mail{slices.Clone(m.fields), m.body} }

func (m *mail) verify(t testing.TB, z *zone) Result {
	t.Helper()
	return verifyParts(t, verifier(z), m.fields, m.body)
}

// text returns the message in one piece.
func (m *mail) text() string {
	var b strings.Builder
	for _, f := range m.fields {
		b.WriteString(f.Name + ":" + f.Value + "\n")
	}
	return b.String() + "\n" + m.body
}

// through takes the message through a host that seals what it found.
func (m *mail) through(t testing.TB, z *zone, s *Sealer) *mail {
	t.Helper()
	v := verifier(z)
	v.ForSealing = true
	found := verifyParts(t, v, m.fields, m.body)
	set, err := s.Seal(m.fields, &found, s.Key.Domain.String()+"; arc="+found.Status.Wire()+";\n\tdmarc=pass header.from=author.test")
	if err != nil {
		t.Fatal(err)
	}
	m.fields = append(set, m.fields...)
	return m
}

// field returns the n-th field of that name from the top.
func (m *mail) field(t testing.TB, name string, n int) *message.Field {
	t.Helper()
	for i := range m.fields {
		if m.fields[i].Name == name {
			if n--; n == 0 {
				return &m.fields[i]
			}
		}
	}
	t.Fatalf("no field %s", name)
	return nil
}

// without drops the n-th field of that name.
func (m *mail) without(t testing.TB, name string, n int) *mail {
	t.Helper()
	f := m.field(t, name, n)
	i := slices.IndexFunc(m.fields, func(g message.Field) bool { return g == *f })
	m.fields = slices.Delete(m.fields, i, i+1)
	return m
}

// replace changes the n-th field of that name.
func (m *mail) replace(t testing.TB, name string, n int, old, with string) *mail {
	t.Helper()
	f := m.field(t, name, n)
	if !strings.Contains(f.Value, old) {
		t.Fatalf("no %q in %s:%s", old, f.Name, f.Value)
	}
	f.Value = strings.Replace(f.Value, old, with, 1)
	return m
}

// chained returns a message that has come through n hosts, one.test, two.test ...
// or all through the same one.
func chained(t testing.TB, z *zone, n int, same bool) *mail {
	t.Helper()
	m := newMail()
	for i := range n {
		name := fmt.Sprintf("host%d.test", i+1)
		if same {
			name = "host.test"
		}
		m.through(t, z, z.host(t, name))
	}
	return m
}
