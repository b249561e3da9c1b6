package arc

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"

	"milterd/dkim"
	"milterd/message"
)

// manyFields is the rest of a header as large as limits.header_bytes allows.
func manyFields() []message.Field {
	var fields []message.Field
	for range 200 {
		fields = append(fields, message.Field{Name: "X-Filler", Value: " " + strings.Repeat("x", 1000)})
	}
	return fields
}

func BenchmarkVerify(b *testing.B) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	z := &zone{}
	host := &Sealer{Key: dkim.SigningKey{Domain: domain(b, "list.test"), Selector: "rsa", Private: private}, Now: clock}
	host.Names, host.Oversign = StandardNames()
	z.publish(b, "rsa._domainkey.list.test", private.Public())
	for _, n := range []int{0, 1, 3, MaxSets} {
		m := newMail()
		m.body = strings.Repeat("A line of a message, as long as they are.\r\n", 500)
		for range n {
			m.through(b, z, host)
		}
		if n == MaxSets {
			// The worst that fits: long signatures over a large header.
			m.fields = append(m.fields, manyFields()...)
		}
		body := []byte(m.body)
		v := verifier(z)
		b.Run(fmt.Sprintf("sets=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				z.asked = z.asked[:0]
				s := v.Start(b.Context(), m.fields)
				if s.NeedsBody() {
					s.Write(body)
				}
				if r := s.Finish(b.Context()); r.Status != Pass && n > 0 {
					b.Fatal(r.Err)
				}
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	z := &zone{}
	m := chained(b, z, 2, false)
	s := z.host(b, "list.test")
	v := verifier(z)
	v.ForSealing = true
	found := verifyParts(b, v, m.fields, m.body)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(m.fields, &found, "list.test; arc=pass"); err != nil {
			b.Fatal(err)
		}
	}
}
