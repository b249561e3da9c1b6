package dkim

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"milterd/message"
)

// junk is a well-formed signature of d that cannot verify.
func junk(d string, i int) message.Field {
	return message.Field{Name: FieldName, Value: fmt.Sprintf(" v=1; a=ed25519-sha256; d=%s; s=s%d; h=From; bh=%s=; b=AAAAAAA%d", d, i, strings.Repeat("A", 43), 1000+i)}
}

// A thousand signatures, and the only good one is the last: it is found, and the
// others cost next to nothing.
func TestThousandSignatures(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	good := forge(t, testKey(t, "ed25519"), "v=1; a=ed25519-sha256; d=example.org; s=ed25519; h=From:Subject; bh=?; b=?", fields, testBody)
	var many []message.Field
	for i := range 999 {
		switch i % 3 {
		case 0:
			many = append(many, junk("attack.test", i))
		case 1:
			many = append(many, message.Field{Name: FieldName, Value: " nothing"})
		default:
			f := junk("example.org", i)
			f.Value = strings.Replace(f.Value, "h=From", "h=To", 1)
			many = append(many, f)
		}
	}
	many = append(many, good...)
	z := testZone(t, "")
	s := (&Verifier{Resolver: z}).Start(t.Context(), many, exampleOrg(t))
	s.Write([]byte(testBody))
	results := s.Finish(t.Context())
	if len(results) != 8 || s.Skipped() != 992 {
		t.Errorf("%d results, %d skipped", len(results), s.Skipped())
	}
	if r := results[len(results)-1]; r.Status != Pass || r.Index != 999 {
		t.Errorf("%+v", r)
	}
	if !slices.IsSortedFunc(results, func(a, b Result) int { return a.Index - b.Index }) {
		t.Error("not in the order of the header")
	}
	if len(z.asked) > 10 {
		t.Errorf("%d DNS queries", len(z.asked))
	}
}

func TestWhichSignatures(t *testing.T) {
	prefer, err := message.ParseDomain("mail.example.org")
	if err != nil {
		t.Fatal(err)
	}
	var fields []message.Field
	for i, d := range []string{"attack.test", "org.test", "example.net", "news.example.org", "a.b.mail.example.org", "example.org", "mail.example.org", "xmail.example.org"} {
		fields = append(fields, junk(d, i))
	}
	fields = append(fields, message.Field{Name: FieldName, Value: " d=mail.example.org"})
	for most, want := range map[int]string{
		1: "[6]", 2: "[4 6]", 3: "[4 5 6]", 4: "[3 4 5 6]", 5: "[3 4 5 6 7]", 6: "[0 3 4 5 6 7]", 8: "[0 1 2 3 4 5 6 7]", 9: "[0 1 2 3 4 5 6 7 8]",
	} {
		inOrder := fmt.Sprint([]int{0, 1, 2, 3, 4, 5, 6, 7, 8}[:most])
		for prefer, want := range map[message.Domain]string{prefer: want, {}: inOrder} {
			s := (&Verifier{Resolver: zoneOf(""), MaxSignatures: most}).Start(t.Context(), fields, prefer)
			var got []int
			for _, r := range s.Finish(t.Context()) {
				got = append(got, r.Index)
			}
			if fmt.Sprint(got) != want {
				t.Errorf("%d of %q: %v, want %s", most, prefer, got, want)
			}
		}
	}
}

// One name is asked for once, and an unusable signature asks for nothing.
func TestQueries(t *testing.T) {
	z := zoneOf("")
	fields := []message.Field{junk("example.org", 1), junk("Example.ORG", 1), junk("example.org", 2), junk("example.net", 1), {Name: FieldName, Value: " v=1; d=a.test; s=b"}}
	s := (&Verifier{Resolver: z}).Start(t.Context(), fields, message.Domain{})
	if !s.NeedsBody() {
		t.Error("needs no body")
	}
	if n := len(s.Finish(t.Context())); n != 5 {
		t.Errorf("%d results", n)
	}
	slices.Sort(z.asked)
	if want := []string{"s1._domainkey.example.net", "s1._domainkey.example.org", "s2._domainkey.example.org"}; !slices.Equal(z.asked, want) {
		t.Errorf("asked for %q, want %q", z.asked, want)
	}

	z = zoneOf("")
	s = (&Verifier{Resolver: z}).Start(t.Context(), fields[4:], message.Domain{})
	if s.NeedsBody() || len(s.Finish(t.Context())) != 1 || len(z.asked) != 0 {
		t.Errorf("asked for %q", z.asked)
	}
	s = (&Verifier{}).Start(t.Context(), nil, message.Domain{})
	if s.NeedsBody() || len(s.Finish(t.Context())) != 0 {
		t.Error("results without signatures")
	}
}

// slowResolver answers after a while, or when its context ends.
type slowResolver struct {
	after time.Duration
	TXTResolver
}

func (r slowResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	select {
	case <-time.After(r.after):
		return r.TXTResolver.LookupTXT(ctx, name)
	case <-ctx.Done():
		return nil, &net.DNSError{Err: ctx.Err().Error(), Name: name, IsTimeout: true, UnwrapErr: ctx.Err()}
	}
}

// remembering knows every answer beforehand.
type remembering struct{ TXTResolver }

func (remembering) KnowsTXT(string) bool { return true }

// Keys that are known are there when the body begins.
func TestKnownKeys(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	fields = forge(t, testKey(t, "ed25519"), "v=1; a=ed25519-sha256; d=example.org; s=ed25519; h=From:Subject; bh=?; b=?", fields, testBody)
	z := testZone(t, "")
	s := (&Verifier{Resolver: remembering{z}}).Start(t.Context(), fields, message.Domain{})
	if len(z.asked) != 1 {
		t.Errorf("asked for %q", z.asked)
	}
	s.Write([]byte(testBody))
	if all := s.Finish(t.Context()); len(all) != 1 || all[0].Status != Pass {
		t.Errorf("%+v", all)
	}
}

// The keys are fetched side by side while the body comes in, and nobody waits
// longer than the context says. At the end of a synctest bubble no goroutine is
// left.
func TestKeysBesideBody(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	for _, name := range []string{"rsa1024", "rsa2048", "ed25519"} {
		algorithm := "rsa-sha256"
		if name == "ed25519" {
			algorithm = "ed25519-sha256"
		}
		signed := forge(t, testKey(t, name), "v=1; a="+algorithm+"; d=example.org; s="+name+"; h=From:Subject; bh=?; b=?", fields, testBody)
		fields = signed
	}
	z := testZone(t, "")
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		run := func(after time.Duration) *Verification {
			s := (&Verifier{Resolver: slowResolver{after, z}}).Start(t.Context(), fields, message.Domain{})
			time.Sleep(5 * time.Second) // the body takes its time
			s.Write([]byte(testBody))
			return s
		}
		for i, r := range run(5 * time.Second).Finish(t.Context()) {
			if r.Status != Pass {
				t.Errorf("%d: %+v", i, r)
			}
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("took %v", took)
		}

		begin = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		for i, r := range run(time.Hour).Finish(ctx) {
			if r.Status != TempError || r.Reason != "out of time" || !r.BodyMatches {
				t.Errorf("%d: %+v", i, r)
			}
		}
		if took := time.Since(begin); took != 7*time.Second {
			t.Errorf("took %v", took)
		}
	})

	// A message that is dropped: the context is over before the body.
	ctx, cancel := context.WithCancel(t.Context())
	s := (&Verifier{Resolver: slowResolver{time.Hour, z}}).Start(ctx, fields, message.Domain{})
	cancel()
	for _, r := range s.Finish(t.Context()) {
		if r.Status != TempError {
			t.Errorf("%+v", r)
		}
	}
}
