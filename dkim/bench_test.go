package dkim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"milterd/message"
)

// warm is a TXTResolver that answers at once and without allocating, as a cache
// would: what is measured is this package.
type warm map[string][]string

func (w warm) LookupTXT(_ context.Context, name string) ([]string, error) { return w[name], nil }

// letters writes messages of about size bytes of text, all of them different.
func letters(n, size int) (fields [][]message.Field, bodies [][]byte) {
	random := rand.New(rand.NewPCG(1, uint64(size)))
	words := strings.Fields("the of and a to in is you that it he was for on are as with his they at be this have from or one had by word but not what")
	for i := range n {
		var b strings.Builder
		for line := 0; b.Len() < size; {
			w := words[random.IntN(len(words))]
			if line += len(w) + 1; line > 72 {
				b.WriteString("\r\n")
				line = 0
			}
			b.WriteString(w + " ")
		}
		var fs []message.Field
		for name, value := range map[string]string{
			"Received":   " from mail%[1]d.example.org (mail%[1]d.example.org [192.0.2.1])\n\tby mx.example.net (Postfix) with ESMTPS id 4abc%[1]d\n\tfor <bob@example.net>; Mon, 1 Jun 2026 12:00:00 +0000 (UTC)",
			"From":       " \"Ann Example\" <ann%d@example.org>",
			"To":         " Bob Example <bob%d@example.net>",
			"Subject":    " Minutes of the meeting number %d, and what we said there",
			"Date":       " Mon, 1 Jun 2026 12:00:%02d +0000",
			"Message-ID": " <%d.20260601@mail.example.org>",
		} {
			fs = append(fs, message.Field{Name: name, Value: fmt.Sprintf(value, i)})
		}
		for name, value := range map[string]string{
			"MIME-Version": " 1.0", "Content-Type": " text/plain; charset=utf-8", "Content-Transfer-Encoding": " 8bit",
			"User-Agent": " Mail/1.0", "List-Unsubscribe": " <https://example.org/u?x=1>, <mailto:u@example.org>", "X-Mailer": " none",
			"Return-Path": " <ann@example.org>", "Delivered-To": " bob@example.net",
		} {
			fs = append(fs, message.Field{Name: name, Value: value})
		}
		fields, bodies = append(fields, fs), append(bodies, []byte(b.String()))
	}
	return fields, bodies
}

// verifyBench verifies messages of about size bytes, signed with the keys.
func verifyBench(b *testing.B, size int, c Canonicalization, keys ...string) {
	fields, bodies := letters(max(1, min(200, 4<<20/size)), size)
	s := &Signer{Keys: testKeys(b, keys...), Header: c, Body: c}
	s.Names, s.Oversign = StandardNames()
	for i := range fields {
		fields[i] = append(sign(b, s, fields[i], string(bodies[i])), fields[i]...)
	}
	z := warm{}
	for _, key := range keys {
		z[key+"._domainkey.example.org"] = []string{testRecord(b, key)}
	}
	v := &Verifier{Resolver: z}
	ctx := b.Context()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		i := i % len(fields)
		run := v.Start(ctx, fields[i], message.Domain{})
		for body := bodies[i]; len(body) > 0; {
			n := min(len(body), 65535)
			run.Write(body[:n])
			body = body[n:]
		}
		for _, r := range run.Finish(ctx) {
			if r.Status != Pass {
				b.Fatalf("%+v", r)
			}
		}
	}
}

func BenchmarkVerifyRSA2048(b *testing.B) { verifyBench(b, 5<<10, Relaxed, "rsa2048") }
func BenchmarkVerifyEd25519(b *testing.B) { verifyBench(b, 5<<10, Relaxed, "ed25519") }
func BenchmarkVerifyBoth(b *testing.B)    { verifyBench(b, 5<<10, Relaxed, "rsa2048", "ed25519") }
func BenchmarkVerifyMegabyteRelaxed(b *testing.B) {
	verifyBench(b, 1<<20, Relaxed, "ed25519")
}
func BenchmarkVerifyMegabyteSimple(b *testing.B) { verifyBench(b, 1<<20, Simple, "ed25519") }

func BenchmarkVerifyUnsigned(b *testing.B) {
	fields, _ := letters(1, 100)
	v := &Verifier{Resolver: warm{}}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		v.Start(ctx, fields[0], message.Domain{}).Finish(ctx)
	}
}

func signBench(b *testing.B, keys ...string) {
	fields, bodies := letters(200, 5<<10)
	s := &Signer{Keys: testKeys(b, keys...)}
	s.Names, s.Oversign = StandardNames()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		i := i % len(fields)
		g, err := s.Start(fields[i])
		if err != nil {
			b.Fatal(err)
		}
		g.Write(bodies[i])
		if _, err := g.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignRSA2048(b *testing.B) { signBench(b, "rsa2048") }
func BenchmarkSignEd25519(b *testing.B) { signBench(b, "ed25519") }
func BenchmarkSignBoth(b *testing.B)    { signBench(b, "rsa2048", "ed25519") }

func BenchmarkBody(b *testing.B) {
	_, text := letters(1, 1<<20)
	base64 := []byte(strings.Repeat(strings.Repeat("aB3/", 19)+"\r\n", 1<<20/78))
	for name, body := range map[string][]byte{"text": text[0], "base64": base64} {
		for _, c := range []Canonicalization{Simple, Relaxed} {
			b.Run(name+"/"+string(c), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					var h BodyHashes
					h.Want(c, -1)
					h.Write(body)
					h.Sum(c, -1)
				}
			})
		}
	}
}
