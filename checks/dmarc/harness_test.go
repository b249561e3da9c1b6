package dmarc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"milterd/authres"
	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/dkim"
	"milterd/message"
	"milterd/spf"
)

// records is a DNS with TXT records in it: "_dmarc.example.org" to a text, or to
// FAIL for a question that nobody answers.
type records struct {
	mu    sync.Mutex
	txt   map[string]string
	asked int
}

func zone(pairs ...string) *records {
	r := &records{txt: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		r.txt[pairs[i]] = pairs[i+1]
	}
	return r
}

func (r *records) set(name, txt string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.txt[name] = txt
}

func (r *records) LookupTXT(_ context.Context, name string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	switch txt, ok := r.txt[name]; {
	case txt == "FAIL":
		return nil, &net.DNSError{Err: "SERVFAIL", Name: name, IsTemporary: true}
	case ok:
		return []string{txt}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (r *records) LookupIP(context.Context, string, string) ([]netip.Addr, error) { return nil, nil }
func (r *records) LookupMX(context.Context, string) ([]*net.MX, error)            { return nil, nil }
func (r *records) LookupAddr(context.Context, netip.Addr) ([]string, error)       { return nil, nil }

// What other checks tell.
type (
	spfSays  struct{ mailFrom, helo spf.Result }
	dkimSays []dkim.Result
	// arcSays is a trusted sealer and what it vouches for: "", "sealer.test",
	// "sealer.test+dmarc:victim.test", "sealer.test+dkim:victim.test", or "?sealer.test"
	// for one whose key is not to be had.
	arcSays string
)

func (s spfSays) SPF() (mailFrom, helo spf.Result) { return s.mailFrom, s.helo }
func (s dkimSays) DKIM() []dkim.Result             { return s }

func (s arcSays) TrustedSealer() (message.Domain, bool) {
	sealer, _, _ := strings.Cut(string(s), "+")
	d, err := message.ParseDomain(sealer)
	return d, err == nil
}

func (s arcSays) Vouched(author message.Domain, aligned func(mailFrom, signers []message.Domain) bool) (message.Domain, bool) {
	sealer, ok := s.TrustedSealer()
	_, claim, _ := strings.Cut(string(s), "+")
	method, name, _ := strings.Cut(claim, ":")
	d, err := message.ParseDomain(name)
	switch {
	case err != nil || !ok:
		return message.Domain{}, false
	case method == "dmarc":
		return sealer, d == author
	case method == "dkim":
		return sealer, aligned(nil, []message.Domain{d})
	}
	return sealer, aligned([]message.Domain{d}, nil)
}

func (s arcSays) Undecided() bool { return strings.HasPrefix(string(s), "?") }
func (s arcSays) Reason() string {
	if s.Undecided() {
		return "arc=temperror as[1].d=" + string(s[1:])
	}
	sealer, _ := s.TrustedSealer()
	return "arc=pass as[1].d=" + sealer.String()
}

// prior reads what earlier checks have found: "spf=pass:a.test dkim=pass:b.test
// dkim=temperror:c.test". The word of dkim may also be body (the body was changed)
// or partial (l=); "spf!" and "dkim!" are checks that failed.
func prior(t testing.TB, text string) []checks.Result {
	t.Helper()
	var says spfSays
	var signatures dkimSays
	var all []checks.Result
	spfThere, dkimThere := false, false
	for _, word := range strings.Fields(text) {
		if name, failed := strings.CutSuffix(word, "!"); failed {
			all = append(all, checks.Result{Check: name, Err: errors.New("oops")})
			continue
		}
		name, rest, _ := strings.Cut(word, "=")
		status, domain, _ := strings.Cut(rest, ":")
		switch name {
		case "spf":
			spfThere = true
			says.mailFrom = spf.Result{Status: spf.Status(status), Domain: domain}
		case "helo":
			says.helo = spf.Result{Status: spf.Status(status), Domain: domain}
		case "dkim":
			dkimThere = true
			if status == "none" {
				continue
			}
			r := dkim.Result{Status: dkim.Status(status), Selector: "s"}
			r.Domain, _ = message.ParseDomain(domain)
			switch status {
			case "body":
				r.Status, r.HeaderMatches, r.Err = dkim.Fail, true, fmt.Errorf("%w: other hash", dkim.ErrBodyHash)
			case "partial":
				r.Status, r.HeaderMatches, r.Partial, r.Err = dkim.Policy, true, true, dkim.ErrPartial
			case "short":
				r.Status, r.HeaderMatches, r.Err = dkim.Policy, true, dkim.ErrKeyShort
			}
			signatures = append(signatures, r)
		case "arc":
			all = append(all, checks.Result{Check: "arc", Detail: arcSays(rest)})
		default:
			t.Fatalf("%q", word)
		}
	}
	if spfThere {
		all = append(all, checks.Result{Check: "spf", Detail: says})
	}
	if dkimThere {
		all = append(all, checks.Result{Check: "dkim", Detail: signatures})
	}
	return all
}

func newHarness(t testing.TB, r checks.Resolver, config string) *checktest.Harness {
	t.Helper()
	return checktest.New(t, Spec(), config, checks.Env{Resolver: r})
}

// from makes a message of that author, with more header fields.
func from(author string, fields ...string) string {
	return "From: " + author + "\n" + strings.Join(append(fields, ""), "\n") + "\nhello\n"
}

// describe is a result in one line: findings, then what is demanded.
func describe(res checks.Result) string {
	var words []string
	for _, f := range res.Findings {
		words = append(words, strings.TrimPrefix(f.Name, "DMARC_"))
	}
	if d := res.Demand; d != nil {
		words = append(words, "->", string(d.Action))
		if !d.Reply.IsZero() {
			words = append(words, d.Reply.String())
		}
	}
	return strings.Join(words, " ")
}

// auth gives what Authentication-Results will say.
func auth(res checks.Result) string {
	s := authres.Field{AuthservID: "mx.test", Methods: res.Auth}.String()
	_, s, _ = strings.Cut(s, ";\n\t")
	return strings.ReplaceAll(s, "\n\t", " ")
}

const (
	listID   = "List-Id: Chat <chat.lists.test>"
	listPost = "List-Post: <mailto:chat@lists.test?subject=x>"
	rejected = "-> reject 550 5.7.26 victim.test DMARC policy reject"
	waits    = "-> tempfail 451 4.7.0 Sender policy lookup failed, try again"
)
