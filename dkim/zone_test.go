package dkim

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"milterd/message"
)

// zone is a TXTResolver that answers from memory and keeps a list of what it was
// asked.
type zone struct {
	txt  map[string][]string // names in lower case; an empty list is NODATA
	fail map[string]error

	mu    sync.Mutex
	asked []string
}

// zoneOf reads lines of "name text"; a text of SERVFAIL or TIMEOUT is that
// error, NODATA a name without TXT records.
func zoneOf(lines string) *zone {
	z := &zone{txt: map[string][]string{}, fail: map[string]error{}}
	for line := range strings.Lines(lines) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != "" {
			z.add(name, strings.TrimSpace(text))
		}
	}
	return z
}

func (z *zone) add(name, text string) {
	switch text {
	case "SERVFAIL":
		z.fail[name] = &net.DNSError{Err: "server failure", Name: name, IsTemporary: true}
	case "TIMEOUT":
		z.fail[name] = &net.DNSError{Err: "timeout", Name: name, IsTimeout: true}
	case "BUDGET":
		z.fail[name] = &net.DNSError{UnwrapErr: errBudget{}, Err: "budget", Name: name}
	case "NODATA":
		z.txt[name] = []string{}
	default:
		z.txt[name] = append(z.txt[name], text)
	}
}

type errBudget struct{}

func (errBudget) Error() string        { return "budget used up" }
func (errBudget) BudgetExceeded() bool { return true }

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, name)
	if err := ctx.Err(); err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: name, IsTimeout: true}
	}
	if err := z.fail[name]; err != nil {
		return nil, err
	}
	if txt, ok := z.txt[name]; ok {
		return txt, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// parseMessage cuts a message into fields, as a milter gets them (folds are LF),
// and body. Lines end with CRLF or LF.
func parseMessage(t testing.TB, raw string) ([]message.Field, string) {
	t.Helper()
	var fields []message.Field
	for raw != "" {
		line, rest, _ := strings.Cut(raw, "\n")
		raw = rest
		line = strings.TrimSuffix(line, "\r")
		switch {
		case line == "":
			return fields, raw
		case isBlank(line[0]) && len(fields) > 0:
			fields[len(fields)-1].Value += "\n" + line
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				t.Logf("line without a colon passed over: %q", line)
				continue
			}
			fields = append(fields, message.Field{Name: strings.TrimRight(name, " \t"), Value: value})
		}
	}
	return fields, ""
}

// verify runs v over a message.
func verify(t testing.TB, v *Verifier, raw string) []Result {
	t.Helper()
	fields, body := parseMessage(t, raw)
	return verifyParts(t, v, fields, body)
}

func verifyParts(t testing.TB, v *Verifier, fields []message.Field, body string) []Result {
	t.Helper()
	s := v.Start(t.Context(), fields, message.Domain{})
	s.Write([]byte(body))
	results := s.Finish(t.Context())
	for i := range results {
		checkInvariants(t, &results[i])
	}
	return results
}

// checkInvariants holds for every result, whatever the input.
func checkInvariants(t testing.TB, r *Result) {
	t.Helper()
	switch r.Status {
	case Pass:
		if r.Reason != "" || r.Err != nil || r.Domain.IsZero() || r.Selector == "" || !r.BodyMatches || !r.HeaderMatches || r.Partial ||
			r.KeyBits != 256 && r.KeyBits < 1024 || len(r.BPrefix) < 8 {
			t.Errorf("a pass that is none: %+v", r)
		}
		return
	case Fail, Policy, Neutral, TempError, PermError:
	default:
		t.Errorf("status %q", r.Status)
	}
	if r.Err == nil || r.Reason == "" || reasonOf(r.Err).text != r.Reason {
		t.Errorf("reason %q does not belong to error %v", r.Reason, r.Err)
	}
	if want := reasonOf(r.Err).status; r.Status != want && !(r.TestMode && want == Fail && r.Status == Neutral) {
		t.Errorf("status %s with reason %q", r.Status, r.Reason)
	}
	if strings.ContainsFunc(r.BPrefix+r.Selector+r.Domain.String()+r.Reason, func(c rune) bool { return c <= ' ' && !strings.ContainsRune(r.Reason, c) || c > '~' }) {
		t.Errorf("unprintable text in %+v", r)
	}
}
