package arc

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"milterd/dkim"
	"milterd/message"
)

// zone is a TXTResolver that answers from memory and keeps a list of what it was
// asked.
type zone struct {
	txt  map[string]string // names in lower case; SERVFAIL is that error
	wait <-chan struct{}   // nil, or answers come when it is closed

	mu    sync.Mutex
	asked []string
}

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	z.mu.Lock()
	z.asked = append(z.asked, name)
	z.mu.Unlock()
	if z.wait != nil {
		select {
		case <-z.wait:
		case <-ctx.Done():
			return nil, &net.DNSError{Err: ctx.Err().Error(), Name: name, IsTimeout: true}
		}
	}
	switch txt, ok := z.txt[name]; {
	case txt == "SERVFAIL":
		return nil, &net.DNSError{Err: "server failure", Name: name, IsTemporary: true}
	case ok:
		return []string{txt}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// parseMessage cuts a message into fields, as a milter gets them (folds are LF),
// and body.
func parseMessage(raw string) (fields []message.Field, body string) {
	for raw != "" {
		line, rest, _ := strings.Cut(raw, "\n")
		raw = rest
		line = strings.TrimSuffix(line, "\r")
		name, value, ok := strings.Cut(line, ":")
		switch {
		case line == "":
			return fields, raw
		case (line[0] == ' ' || line[0] == '\t') && len(fields) > 0:
			fields[len(fields)-1].Value += "\n" + line
		case ok:
			fields = append(fields, message.Field{Name: name, Value: value})
		}
	}
	return fields, ""
}

// verify runs v over a message and holds the result against what is always true.
func verify(t testing.TB, v *Verifier, raw string) Result {
	t.Helper()
	fields, body := parseMessage(raw)
	return verifyParts(t, v, fields, body)
}

func verifyParts(t testing.TB, v *Verifier, fields []message.Field, pieces ...string) Result {
	t.Helper()
	s := v.Start(t.Context(), fields)
	for _, p := range pieces {
		s.Write([]byte(p))
	}
	r := s.Finish(t.Context())
	checkInvariants(t, &r)
	return r
}

// words are those of [Result.Reason] without the name of a field.
func words(reason string) string {
	for _, name := range []string{SealName, SignatureName} {
		if rest, ok := strings.CutPrefix(reason, name+": "); ok {
			return rest
		}
	}
	return reason
}

// reasons are the fixed words that a chain or a signature may fail with.
var reasons = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for _, err := range []error{
		ErrTooMany, ErrIncomplete, ErrDuplicate, ErrGap, ErrCV, ErrSealedFail, ErrResults, ErrSealFields, ErrSealSigned, ErrTooManyKeys,
		dkim.ErrSyntax, dkim.ErrMissingTag, dkim.ErrDomain, dkim.ErrSelector, dkim.ErrTimes, dkim.ErrExpired, dkim.ErrFuture, dkim.ErrSHA1,
		dkim.ErrLength, dkim.ErrAlgorithm, dkim.ErrCanonicalization, dkim.ErrQuery, dkim.ErrHeaderNames, dkim.ErrKeyShort, dkim.ErrKeyLong,
		dkim.ErrPartial, dkim.ErrNoKey, dkim.ErrKeyCount, dkim.ErrKeySyntax, dkim.ErrKeyRevoked, dkim.ErrKeyAlgorithm, dkim.ErrKeyHash,
		dkim.ErrKeyService, dkim.ErrBudget, dkim.ErrDNS, dkim.ErrTime, dkim.ErrBodyHash, dkim.ErrSignature,
	} {
		all[err.Error()] = true
	}
	return all
})

// checkInvariants holds for every result, whatever the input.
func checkInvariants(t testing.TB, r *Result) {
	t.Helper()
	if good := r.Status == Pass || r.Status == None; good != (r.Reason == "" && r.Err == nil) || !good && !reasons()[words(r.Reason)] {
		t.Errorf("%s with reason %q, error %v", r.Status, r.Reason, r.Err)
	}
	if r.Err != nil && !strings.Contains(r.Err.Error(), words(r.Reason)) {
		t.Errorf("error %q does not tell reason %q", r.Err, r.Reason)
	}
	if len(r.Sets) > MaxSets || r.OldestPass < 0 || r.OldestPass > len(r.Sets) || r.OldestPass > 0 && r.Status != Pass {
		t.Errorf("%d sets, oldest pass %d of a chain that is %s", len(r.Sets), r.OldestPass, r.Status)
	}
	for i := range r.Sets {
		set := &r.Sets[i]
		if set.Instance < 1 || set.Instance > MaxSets || i > 0 && set.Instance <= r.Sets[i-1].Instance {
			t.Errorf("instance %d in place %d", set.Instance, i)
		}
		for _, s := range []*Signature{&set.Seal, &set.Message} {
			known := s.Status == Pass || s.Status == None || s.Status == Fail || s.Status == TempError || *s == Signature{}
			if !known || (s.Status == Fail || s.Status == TempError) != (s.Reason != "") || s.Reason != "" && !reasons()[s.Reason] {
				t.Errorf("i=%d: signature %+v", set.Instance, s)
			}
			if s.Status == Pass && (s.Domain.IsZero() || s.Selector == "" || s.KeyBits < 256) {
				t.Errorf("i=%d: a pass of nobody: %+v", set.Instance, s)
			}
		}
	}
	switch r.Status {
	case None:
		if len(r.Sets) != 0 {
			t.Errorf("none with %d sets", len(r.Sets))
		}
	case Pass:
		checkPass(t, r)
	case Fail, TempError:
	default:
		t.Errorf("status %q", r.Status)
	}
}

// checkPass looks at what a chain that passes must be made of.
func checkPass(t testing.TB, r *Result) {
	t.Helper()
	if len(r.Sets) == 0 || r.Newest().Message.Status != Pass {
		t.Fatalf("a pass without a message signature: %+v", r)
	}
	for i, set := range r.Sets {
		want := Pass
		if i == 0 {
			want = None
		}
		if set.Instance != i+1 || set.CV != want || set.Seal.Status != Pass {
			t.Errorf("a pass with set %+v in place %d", set, i)
		}
		if r.OldestPass > 0 && set.Message.Status == Pass != (set.Instance >= r.OldestPass) || r.OldestPass == 0 && set.Message.Status != Pass {
			t.Errorf("oldest pass %d, message signature %d is %s", r.OldestPass, set.Instance, set.Message.Status)
		}
	}
}
