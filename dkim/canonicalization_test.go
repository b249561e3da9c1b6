package dkim

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"math/rand/v2"
	"strings"
	"testing"

	"milterd/message"
)

// recorder is a hash.Hash whose sum is everything that was written.
type recorder struct{ bytes.Buffer }

func (r *recorder) Sum(b []byte) []byte { return append(b, r.Bytes()...) }
func (r *recorder) Size() int           { return r.Len() }
func (r *recorder) BlockSize() int      { return 1 }

// canonicalBody returns the canonical form itself, with the body cut into
// pieces of the given lengths (the rest in one).
func canonicalBody(c Canonicalization, body string, cuts ...int) string {
	b := BodyHashes{newHash: func() hash.Hash { return new(recorder) }}
	b.Want(c, -1)
	rest := []byte(body)
	for _, n := range cuts {
		n = min(max(n, 0), len(rest))
		b.Write(rest[:n])
		rest = rest[n:]
	}
	b.Write(rest)
	sum, n := b.Sum(c, -1)
	if n != int64(len(sum)) {
		panic("the length is not that of the body")
	}
	return string(sum)
}

func TestBody(t *testing.T) {
	tests := []struct{ body, simple, relaxed string }{
		// RFC 6376, section 3.4.5.
		{" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
		// Sections 3.4.3 and 3.4.4.
		{"", "\r\n", ""},
		{"\r\n", "\r\n", ""},
		{"\r\n\r\n\r\n", "\r\n", ""},
		{" \t", " \t\r\n", ""},
		{" \r\n\t\r\n", " \r\n\t\r\n", ""},
		{"a", "a\r\n", "a\r\n"},
		{"a\r\n", "a\r\n", "a\r\n"},
		{"a \r\n \r\n", "a \r\n \r\n", "a\r\n"},
		{"\r\n\r\na", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
		{"a\r\n\r\n  b", "a\r\n\r\n  b\r\n", "a\r\n\r\n b\r\n"},
		{"a\t\tb  c d\r\n", "a\t\tb  c d\r\n", "a b c d\r\n"},
		// LF stands for CRLF, CR for itself.
		{"a\nb\n\n", "a\r\nb\r\n", "a\r\nb\r\n"},
		{"a\r\n\nb", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
		{"a\rb", "a\rb\r\n", "a\rb\r\n"},
		{"a\r", "a\r\r\n", "a\r\r\n"},
		{"\r", "\r\r\n", "\r\r\n"},
		{"\r\r\n\r\n", "\r\r\n", "\r\r\n"},
		{"a \r\r\n", "a \r\r\n", "a \r\r\n"},
		{"a \r \r\n", "a \r \r\n", "a \r\r\n"},
		{"\r\r\r", "\r\r\r\r\n", "\r\r\r\r\n"},
		// Bytes of all kinds are themselves.
		{"\x00\x01 \xff\v\f\xa0\u00a0 .\r\n", "\x00\x01 \xff\v\f\xa0\u00a0 .\r\n", "\x00\x01 \xff\v\f\xa0\u00a0 .\r\n"},
		{"a\vb \v \r\n", "a\vb \v \r\n", "a\vb \v\r\n"},
	}
	for _, tt := range tests {
		for c, want := range map[Canonicalization]string{Simple: tt.simple, Relaxed: tt.relaxed} {
			if got := slowBody(c, tt.body); got != want {
				t.Errorf("the oracle: %s %q is %q, want %q", c, tt.body, got, want)
			}
			// Cut at any two places.
			for i := range len(tt.body) + 1 {
				for j := range len(tt.body) - i + 1 {
					if got := canonicalBody(c, tt.body, i, j); got != want {
						t.Fatalf("%s %q cut after %d and %d is %q, want %q", c, tt.body, i, i+j, got, want)
					}
				}
			}
		}
	}
}

// Long bodies of every mixture of what matters, against the oracle.
func TestBodyRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(6376, 3))
	pieces := []string{"\r\n", "\r\n", "\n", "\r", " ", "  ", "\t", " \r\n", "\r\n ", "a", "word", "eight888", "a sentence of words",
		strings.Repeat("x", 76) + "\r\n", strings.Repeat("\r\n", 700), strings.Repeat(" ", 1100), strings.Repeat("y", 1500), "\x00", "\xff"}
	for range 300 {
		var b strings.Builder
		some := pieces[random.IntN(len(pieces)):]
		for range random.IntN(60) {
			b.WriteString(some[random.IntN(len(some))])
		}
		body := b.String()
		cuts := make([]int, random.IntN(8))
		for i := range cuts {
			cuts[i] = random.IntN(len(body)/4 + 2)
		}
		for _, c := range []Canonicalization{Simple, Relaxed} {
			want := slowBody(c, body)
			if got := canonicalBody(c, body, cuts...); got != want {
				t.Fatalf("%s %q cut %v is %q, want %q", c, body, cuts, got, want)
			}
			checkSums(t, c, body, want, cuts, int64(random.IntN(len(want)+1)), int64(random.IntN(len(want)+9)))
		}
	}
}

// checkSums compares the hashes of body, and of its beginnings, with those of
// its canonical form.
func checkSums(t *testing.T, c Canonicalization, body, canonical string, cuts []int, lengths ...int64) {
	t.Helper()
	var b BodyHashes
	for _, l := range lengths {
		b.Want(c, l)
	}
	b.Want(c, -1)
	rest := []byte(body)
	for _, n := range cuts {
		n = min(n, len(rest))
		b.Write(rest[:n])
		rest = rest[n:]
	}
	b.Write(rest)
	for _, l := range append(lengths, -1) {
		sum, n := b.Sum(c, l)
		if n != int64(len(canonical)) {
			t.Fatalf("%s %q has %d bytes, want %d", c, body, n, len(canonical))
		}
		if l > n {
			if sum != nil {
				t.Fatalf("%s %q has a hash of %d bytes", c, body, l)
			}
			continue
		}
		part := canonical
		if l >= 0 {
			part = canonical[:l]
		}
		if want := sha256.Sum256([]byte(part)); !bytes.Equal(sum, want[:]) {
			t.Fatalf("%s %q cut %v: hash of %d bytes is %x, want %x", c, body, cuts, l, sum, want)
		}
	}
}

func TestHeader(t *testing.T) {
	tests := []struct{ name, value, simple, relaxed string }{
		// RFC 6376, section 3.4.5; Postfix has cut the blank before the colon.
		{"A", " X", "A: X\r\n", "a:X\r\n"},
		{"B", " Y\t\r\n\tZ  ", "B: Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
		{"B ", " Y\t\n\tZ  ", "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
		{"C", "", "C:\r\n", "c:\r\n"},
		{"C", " \n \t", "C: \r\n \t\r\n", "c:\r\n"},
		{"Subject", "a\n b\n\n c", "Subject:a\r\n b\r\n\r\n c\r\n", "subject:a b c\r\n"},
		{"Subject", " \u00a0a\rb \x00", "Subject: \u00a0a\rb \x00\r\n", "subject:\u00a0a\rb \x00\r\n"},
	}
	for _, tt := range tests {
		f := message.Field{Name: tt.name, Value: tt.value}
		for c, want := range map[Canonicalization]string{Simple: tt.simple, Relaxed: tt.relaxed} {
			if got := string(AppendHeader([]byte("x"), c, &f)); got != "x"+want {
				t.Errorf("%s %q:%q is %q, want %q", c, tt.name, tt.value, got[1:], want)
			}
			if got := slowField(c, tt.name, tt.value) + "\r\n"; got != want {
				t.Errorf("the oracle: %s %q:%q is %q, want %q", c, tt.name, tt.value, got, want)
			}
		}
	}
}
