package dkim

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"milterd/integration/peers"
	"milterd/message"
)

// 2,000 letters of every kind, signed with all keys and canonicalizations in turn,
// are accepted here, wherever their body is cut, and by the other implementation.
// One more field of any oversigned name, and neither accepts a signature.
func TestLetters(t *testing.T) {
	type letter struct {
		about string
		raw   []byte
	}
	var letters []letter
	for about, raw := range peers.Letters(6376, 2000) {
		letters = append(letters, letter{about, raw})
	}
	z := testZone(t, "")
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		t.Run(fmt.Sprint("part ", worker), func(t *testing.T) {
			t.Parallel()
			for i := worker; i < len(letters); i += workers {
				checkLetter(t, z, i, letters[i].about, string(letters[i].raw))
			}
		})
	}
}

func checkLetter(t *testing.T, z TXTResolver, i int, about, raw string) {
	names := []string{"rsa1024"} // the quickest
	if i%10 == 0 {
		names = append(names, []string{"ed25519", "rsa2048", "ed25519", "rsa4096"}[i/10%4])
	}
	canons := [...]Canonicalization{Relaxed, Simple}
	s := &Signer{Keys: testKeys(t, names...), Header: canons[i/3%2], Body: canons[i/7%2]}
	s.Names, s.Oversign = StandardNames()
	about = fmt.Sprintf("%s, %s/%s %v", about, s.Header, s.Body, names)

	fields, body := parseMessage(t, raw)
	signed := append(sign(t, s, fields, body), fields...)
	checkJudges(t, z, about, signed, body, len(names), true)
	headerMatches := func(fields []message.Field) bool {
		// The body does not matter, and takes its time.
		return slices.ContainsFunc(verifyParts(t, &Verifier{Resolver: z}, fields, ""), func(r Result) bool { return r.HeaderMatches })
	}
	if !headerMatches(signed) {
		t.Errorf("%s: the header does not match", about)
	}
	for j, name := range s.Oversign {
		at := 0
		if j%2 == 0 {
			at = len(signed) // below the others, where signatures look first
		}
		added := slices.Insert(slices.Clone(signed), at, message.Field{Name: name, Value: " <mallory@example.net>"})
		if headerMatches(added) {
			t.Errorf("%s: another %s, and the header still matches", about, name)
		}
		if j == i%len(s.Oversign) && len(body) < 1<<16 {
			checkJudges(t, z, about+", another "+name, added, body, len(names), false)
		}
	}
}

// checkJudges wants the same word of both implementations on every signature.
func checkJudges(t *testing.T, z TXTResolver, about string, signed []message.Field, body string, signatures int, pass bool) {
	checkOurs(t, z, about, signed, body, signatures, pass)
	theirs := theirVerdicts(t, z, signed, body)
	if len(theirs) != signatures {
		t.Errorf("%s: the other sees %d signatures, want %d", about, len(theirs), signatures)
	}
	for _, r := range theirs {
		if (r.Err == nil) != pass {
			t.Errorf("%s: the other says %v", about, r.Err)
		}
	}
}

func checkOurs(t *testing.T, z TXTResolver, about string, signed []message.Field, body string, signatures int, pass bool) {
	random := rand.New(rand.NewPCG(6376, uint64(len(body))))
	v := (&Verifier{Resolver: z}).Start(t.Context(), signed, message.Domain{})
	for rest := body; rest != ""; {
		n := 1 + random.IntN(min(len(rest), 1<<random.IntN(17)))
		v.Write([]byte(rest[:n]))
		rest = rest[n:]
	}
	results := v.Finish(t.Context())
	if len(results) != signatures {
		t.Errorf("%s: %d signatures, want %d", about, len(results), signatures)
	}
	for i := range results {
		checkInvariants(t, &results[i])
		if (results[i].Status == Pass) != pass {
			t.Errorf("%s: %s: %s, %v", about, results[i].Selector, results[i].Status, results[i].Err)
		}
	}
}
