package arc

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
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

// BenchmarkWithDKIM verifies distinct messages that have a DKIM signature and a
// chain, as the checks of both do it: one after the other here, so that the time is
// that of the processor. apart is the body hashed by each.
func BenchmarkWithDKIM(b *testing.B) {
	z := &zone{}
	host := z.host(b, "list.test")
	signer := &dkim.Signer{Keys: []dkim.SigningKey{host.Key}, Names: []string{"From", "Subject"}, Now: clock}
	for _, size := range []int{5 << 10, 50 << 10, 1 << 20} {
		letters := make([]*mail, 8+(1<<20)/size)
		for i := range letters {
			m := newMail()
			line := fmt.Sprintf("Line of message %d, as long as lines in a letter are, more or less.\r\n", i)
			m.body = strings.Repeat(line, size/len(line))
			signing, err := signer.Start(m.fields)
			if err != nil {
				b.Fatal(err)
			}
			fmt.Fprint(signing, m.body)
			signatures, err := signing.Finish()
			if err != nil {
				b.Fatal(err)
			}
			m.fields = append(signatures, m.fields...)
			letters[i] = m.through(b, z, host)
		}
		chains, signatures := verifier(z), dkim.Verifier{Resolver: z, Now: clock}
		for name, hash := range map[string]func(*message.Spool, *dkim.Verification, *Verification) error{
			"together": func(body *message.Spool, signature *dkim.Verification, chain *Verification) error {
				return errors.Join(signature.Follow(b.Context(), body.Reader()), chain.Follow(b.Context(), body.Reader()))
			},
			"apart": func(body *message.Spool, signature *dkim.Verification, chain *Verification) error {
				piece, err := body.Bytes(body.Size())
				signature.Write(piece)
				chain.Write(piece)
				return err
			},
		} {
			b.Run(fmt.Sprintf("%dk/%s", size>>10, name), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					z.asked = z.asked[:0]
					m := letters[i%len(letters)]
					i++
					body := message.NewSpool(message.SpoolOptions{Memory: 2 << 20})
					io.WriteString(body, m.body)
					body.Finish()
					signature, chain := signatures.Start(b.Context(), m.fields, message.Domain{}), chains.Start(b.Context(), m.fields)
					err := hash(body, signature, chain)
					if rs, r := signature.Finish(b.Context()), chain.Finish(b.Context()); err != nil || rs[0].Status != dkim.Pass || r.Status != Pass {
						b.Fatal(err, rs, r.Err)
					}
					body.Release()
				}
			})
		}
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
