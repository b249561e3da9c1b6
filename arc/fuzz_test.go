package arc

import (
	"crypto/sha256"
	"math/rand/v2"
	"strings"
	"testing"

	"milterd/authres"
	"milterd/dkim"
	"milterd/message"
)

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

// sealedText notes all that the seals and message signatures of the seeds cover.
// Nobody else has the keys, so whatever passes is made of it.
type sealedText struct {
	fields map[string]bool // canonical fields, seals without b=
	bodies map[string]bool
	froms  map[string]bool
}

// canonicalFields returns the fields of ARC, seals without b=.
func canonicalFields(fields []message.Field) []string {
	var all []string
	for i := range fields {
		switch k := kindOf(&fields[i]); {
		case k < 0:
		case kinds[k] == SealName:
			tags, err := dkim.ParseTags(fields[i].Value)
			if err != nil {
				continue
			}
			all = append(all, string(appendUnsealed(nil, tags.Without("b"))))
		default:
			all = append(all, string(dkim.AppendHeader(nil, dkim.Relaxed, &fields[i])))
		}
	}
	return all
}

func bodyHash(t testing.TB, body string) string {
	t.Helper()
	r := verifyParts(t, &Verifier{ForSealing: true}, nil, body)
	return string(r.BodyHash)
}

func (s *sealedText) add(t testing.TB, m *mail) {
	t.Helper()
	for _, f := range canonicalFields(m.fields) {
		s.fields[f] = true
	}
	s.bodies[bodyHash(t, m.body)] = true
	s.froms[froms(m.fields)] = true
}

// froms returns all From fields together, which the seeds oversign.
func froms(fields []message.Field) string {
	var all strings.Builder
	for i := range fields {
		if strings.EqualFold(fieldName(&fields[i]), "From") {
			all.Write(dkim.AppendHeader(nil, dkim.Relaxed, &fields[i]))
		}
	}
	return all.String()
}

// newSealedText returns messages that have come through one to three hosts, and
// what these have sealed.
func newSealedText(t testing.TB, z *zone) (seeds []string, known sealedText) {
	known = sealedText{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for n := 1; n <= 3; n++ {
		m := chained(t, z, n, false)
		known.add(t, m)
		seeds = append(seeds, m.text())
	}
	return seeds, known
}

// check verifies a message: without the keys nobody makes a chain that passes, but
// by leaving a sealed message as it was; and however the body is cut, the result
// is the same.
func (s *sealedText) check(t *testing.T, z *zone, text string, cut int) Status {
	t.Helper()
	fields, body := parseMessage(text)
	z.asked = nil
	r := verifyParts(t, verifier(z), fields, body)
	if len(z.asked) > MaxKeys {
		t.Fatalf("%d look-ups", len(z.asked))
	}
	arc := canonicalFields(fields)
	if r.Status == None && len(arc) > 0 {
		t.Fatalf("none beside %q", arc)
	}
	at := cut % (len(body) + 1)
	again := verifyParts(t, verifier(z), fields, body[:at], body[at:])
	if again.Status != r.Status || again.Reason != r.Reason || again.OldestPass != r.OldestPass {
		t.Fatalf("%s (%s) in one piece, %s (%s) cut at %d", r.Status, r.Reason, again.Status, again.Reason, at)
	}
	if r.Status != Pass {
		return r.Status
	}
	for _, field := range arc {
		if !s.fields[field] {
			t.Errorf("a chain passes with %q, which nobody sealed", field)
		}
	}
	if !s.bodies[bodyHash(t, body)] || !s.froms[froms(fields)] {
		t.Errorf("a chain passes with a message that nobody sealed: %q", text)
	}
	return r.Status
}

func FuzzVerify(f *testing.F) {
	z := &zone{}
	seeds, known := newSealedText(f, z)
	for _, seed := range append(seeds,
		"ARC-Seal: i=1; cv\nFrom: a@b.test\n\nbody\n",
		"ARC-Seal: i=1; cv=none; a=rsa-sha256; d=host1.test; s=s; b="+strings.Repeat("A", 5000)+"\n\n",
		"ARC-Authentication-Results: i=1; (null)=pass\nARC-Message-Signature: i=1; bh=; b=\nARC-Seal: i=1\n\n",
		"ARC-Seal: i=50; cv=fail; a=ed25519-sha256; d=host1.test; s=s; b=AA==\n\n",
		"ARC-Seal\t: i=51\n\n\r\n\r\n",
		"From: a@b.test\n\n \t\r\r\n",
		"",
	) {
		f.Add(seed, uint16(3))
	}
	f.Fuzz(func(t *testing.T, text string, cut uint16) { known.check(t, z, text, int(cut)) })
}

// Three thousand attempts at changing a sealed message where nobody sees it.
func TestForgeries(t *testing.T) {
	z := &zone{}
	seeds, known := newSealedText(t, z)
	random := rand.New(rand.NewPCG(8617, 2))
	counts := map[Status]int{}
	for range 3000 {
		text := seeds[random.IntN(len(seeds))]
		other := seeds[random.IntN(len(seeds))]
		for range 1 + random.IntN(2) {
			at := random.IntN(len(text))
			end := min(len(text), at+1+random.IntN(20))
			switch random.IntN(6) {
			case 0: // another character
				text = text[:at] + string(rune(1+random.IntN(126))) + text[at+1:]
			case 1: // a piece gone
				text = text[:at] + text[end:]
			case 2: // a piece twice
				text = text[:end] + text[at:]
			case 3: // a line from elsewhere
				lines := strings.SplitAfter(other, "\n")
				at = strings.LastIndexByte(text[:at], '\n') + 1
				text = text[:at] + lines[random.IntN(len(lines))] + text[at:]
			case 4: // white space, which may be meaningless
				text = text[:at] + []string{" ", "\t", "\n\t", "\r\n "}[random.IntN(4)] + text[at:]
			case 5: // a line gone
				start := strings.LastIndexByte(text[:at], '\n') + 1
				text = text[:start] + text[start+strings.IndexByte(text[start:]+"\n", '\n'):]
			}
			if text == "" {
				break
			}
		}
		counts[known.check(t, z, text, random.IntN(100))]++
	}
	if counts[Fail] < 1000 || counts[Pass] < 50 {
		t.Errorf("the forgeries are too clumsy or too good: %v", counts)
	}
	t.Log(counts)
}

// FuzzSet: whatever the three fields say, they are read in one way.
func FuzzSet(f *testing.F) {
	z := &zone{}
	m := chained(f, z, 2, false)
	for i := 0; i < 6; i += 3 {
		f.Add(m.fields[i].Value, m.fields[i+1].Value, m.fields[i+2].Value)
	}
	f.Add(" i=1; cv", " i=1", " i=1; (null)=pass")
	f.Add(" i=1; cv=none; h=from", " i=1; b="+strings.Repeat("A", 5000), "(((i=1;")
	f.Add(" i=2; i=1", " i=01; i=1", " i = 1 (x) ; a.test; spf=pass")
	f.Add(" i=1; cv=none;; a=rsa-sha256", " i=1; c=simple; l=0", "\r\n\ti=1;")
	f.Fuzz(func(t *testing.T, seal, signature, results string) {
		fields := []message.Field{{Name: SealName, Value: seal}, {Name: SignatureName, Value: signature}, {Name: ResultsName, Value: results}}
		c := parse(fields, MaxSets)
		if c.fault == nil && len(c.links) != 1 {
			t.Fatalf("three fields make %d sets and no fault", len(c.links))
		}
		if n, payload, ok := parseResults(results); ok {
			if n < 1 || n > MaxSets || !strings.HasSuffix(results, ";"+payload) {
				t.Errorf("instance %d, payload %q of %q", n, payload, results)
			}
			if prefix := strings.TrimSuffix(results, payload); !strings.ContainsAny(prefix, "0123456789") {
				t.Errorf("an instance without a number: %q", prefix)
			}
		}
		if c.fault != nil {
			return
		}
		l := &c.links[0]
		if l.set.Instance != 1 || l.set.CV != None || l.sealed.Domain.IsZero() || l.sealed.Selector == "" || len(l.sealed.Value) == 0 {
			t.Errorf("a set in order with %+v", l.set)
		}
		// The order of the fields does not matter.
		again := parse([]message.Field{fields[2], fields[0], fields[1]}, MaxSets)
		if again.fault != nil || len(again.links) != 1 || again.links[0].set.Seal != l.set.Seal || again.links[0].set.payload != l.set.payload {
			t.Errorf("in another order: %+v", again)
		}
	})
}

// FuzzResults: what is put together from Authentication-Results can be sealed, and
// says what the fields said.
func FuzzResults(f *testing.F) {
	f.Add(" mx.test; spf=pass", " mx.test; dkim=fail (x;y) reason=\"a;b\"", "mx.test")
	f.Add(" mx.test;", "mx.test; none;;", "mx.test")
	f.Add("\r\n\tmx.test\r\n\t; arc=none;\r\n\tspf=pass ", "MX.TEST; dmarc=pass;;;", "mx.test")
	f.Fuzz(func(t *testing.T, one, two, id string) {
		fields := []message.Field{{Name: "Authentication-Results", Value: one}, {Name: "Authentication-Results", Value: two}}
		both := Results(fields, id)
		if both == "" {
			return
		}
		got, err := authres.Parse(both)
		if err != nil {
			if len(one)+len(two)+len(id) > authres.MaxBytes/2 || strings.Count(both, "=") > authres.MaxMethods {
				return // two that are just within the limits may be over them together
			}
			t.Fatalf("%q and %q make %q: %v", one, two, both, err)
		}
		var want []authres.Method
		for _, value := range []string{one, two} {
			if field, err := authres.Parse(value); err == nil && strings.EqualFold(field.AuthservID, id) && Results([]message.Field{{Name: "Authentication-Results", Value: value}}, id) != "" {
				want = append(want, field.Methods...)
			}
		}
		if len(got.Methods) != len(want) {
			t.Fatalf("%q and %q make %q", one, two, both)
		}
		for i := range want {
			if got.Methods[i].Method != want[i].Method || got.Methods[i].Result != want[i].Result || len(got.Methods[i].Props) != len(want[i].Props) {
				t.Errorf("method %d is %+v, want %+v", i, got.Methods[i], want[i])
			}
		}
	})
}
