package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/dkim"
	"milterd/internal/keys"
	"milterd/message"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/prometheus/client_golang/prometheus"
)

// The keys of the tests, made once.
var (
	rsaKey     = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ed25519Key = sync.OnceValue(func() crypto.Signer {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		return private
	})
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A site is a directory of keys and a clock.
type site struct {
	tb  testing.TB
	dir string
	now time.Time
	log bytes.Buffer
	reg *prometheus.Registry
	dns map[string]string // TXT records of the keys
}

func newSite(tb testing.TB) *site {
	return &site{tb: tb, dir: tb.TempDir(), now: time.Now().Truncate(time.Second), // the other implementation has no other clock
		reg: prometheus.NewRegistry(), dns: map[string]string{}}
}

// key writes a private key to DOMAIN/SELECTOR.pem and publishes it; the result is
// the path.
func (s *site) key(domain, selector string, private crypto.Signer) string {
	s.tb.Helper()
	path := filepath.Join(s.dir, domain, selector+".pem")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.tb.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		s.tb.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.tb.Fatal(err)
	}
	s.dns[selector+"._domainkey."+domain] = keys.Record(private.Public())
	return path
}

// file writes a file beside the keys; the result is the path.
func (s *site) file(name, text string) string {
	s.tb.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.tb.Fatal(err)
	}
	return path
}

// LookupTXT implements [dkim.TXTResolver] for the keys of the site.
func (s *site) LookupTXT(_ context.Context, name string) ([]string, error) {
	if r, ok := s.dns[name]; ok {
		return []string{r}, nil
	}
	return nil, nil
}

func (s *site) env() checks.Env {
	return checks.Env{Now: func() time.Time { return s.now }, Registerer: s.reg, Logger: slog.New(slog.NewTextHandler(&s.log, nil))}
}

// check makes the check. Paths in the configuration are relative to the working
// directory, so $DIR stands for the site's.
func (s *site) check(config string) *checktest.Harness {
	s.tb.Helper()
	return checktest.New(s.tb, Spec(), strings.ReplaceAll(config, "$DIR", s.dir), s.env())
}

// try is check for a configuration that may be wrong.
func (s *site) try(config string) error {
	_, err := checktest.TryNew(s.tb, Spec(), strings.ReplaceAll(config, "$DIR", s.dir), s.env())
	return err
}

// later lets the files be looked at again.
func (s *site) later() { s.now = s.now.Add(2 * time.Second) }

// standard is a site with one domain and an Ed25519 key, and its check with more of
// the configuration.
func standard(tb testing.TB, more string) (*site, *checktest.Harness) {
	tb.Helper()
	s := newSite(tb)
	s.key("example.org", "ed", ed25519Key())
	return s, s.check("domains: {example.org: {keys: [{selector: ed, file: $DIR/example.org/ed.pem}]}}\n" + more)
}

// mailOf is a message with that From.
func mailOf(from string) string {
	return "From: " + from + "\nTo: bob@example.net\nSubject: hello\nDate: Fri, 20 Nov 2026 12:00:00 +0000\nMessage-ID: <1@example.org>\n\nhello\n"
}

// A sealed is a message with what the check made of it.
type sealed struct {
	checktest.Mail
	checks.Result
	Outcome
	Edits []message.Edit
}

// seal runs the check and lets it seal as the pipeline would.
func seal(tb testing.TB, h *checktest.Harness, m checktest.Mail) sealed {
	tb.Helper()
	return sealAs(tb, h, m, message.Verdict{Action: message.Accept, Mode: message.Enforce})
}

func sealAs(tb testing.TB, h *checktest.Harness, m checktest.Mail, v message.Verdict) sealed {
	tb.Helper()
	if m.Role == "" {
		m.Role = message.Outbound
	}
	s := sealed{Mail: m, Result: h.Run(m)}
	var ok bool
	if s.Outcome, ok = s.Result.Detail.(Outcome); !ok {
		tb.Fatalf("the detail is a %T", s.Result.Detail)
	}
	if d := s.Result.Demand; d != nil && v.Mode == message.Enforce {
		v.Action, v.Reply = d.Action, d.Reply
	}
	msg := m.Message(tb)
	defer msg.Body.Release()
	s.Result.Check = "signing"
	var err error
	s.Edits, err = h.Check().(checks.Sealer).Seal(tb.Context(), &checks.Input{Message: msg, Prior: checks.Prior{"signing": &s.Result}}, &v)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// text is the message as it leaves, with CRLF. The edits are applied as the MTA
// applies them: in their order, each on top of what is there.
func (s sealed) text() string {
	var b strings.Builder
	for _, e := range s.Edits {
		fmt.Fprintf(&b, "%s: %s\n", e.Name, e.Value)
	}
	return strings.ReplaceAll(strings.ReplaceAll(b.String()+s.Mail.Text, "\r\n", "\n"), "\n", "\r\n")
}

// findings are their names.
func (s sealed) findings() []string {
	var names []string
	for _, f := range s.Result.Findings {
		names = append(names, f.Name)
	}
	return names
}

// ourVerdicts verifies a message with package dkim.
func (s *site) ourVerdicts(text string) []dkim.Result {
	m := checktest.Mail{Text: text}.Message(s.tb)
	defer m.Body.Release()
	v := (&dkim.Verifier{Resolver: s, Now: func() time.Time { return s.now }, MaxSignatures: 20}).Start(s.tb.Context(), m.Header.Fields, message.Domain{})
	if err := v.Follow(s.tb.Context(), m.Body.Reader()); err != nil {
		s.tb.Fatal(err)
	}
	return v.Finish(s.tb.Context())
}

// passing lists the selectors of the signatures that pass here.
func (s *site) passing(text string) []string {
	var all []string
	for _, r := range s.ourVerdicts(text) {
		if r.Status == dkim.Pass {
			all = append(all, r.Selector)
		}
	}
	slices.Sort(all)
	return all
}

// wantVerified wants n signatures that pass here and by the other implementation.
func (s *site) wantVerified(text string, n int) {
	s.tb.Helper()
	ours := s.ourVerdicts(text)
	if len(ours) != n {
		s.tb.Fatalf("%d signatures, want %d, on\n%s", len(ours), n, head(text))
	}
	for _, r := range ours {
		if r.Status != dkim.Pass {
			s.tb.Errorf("%s: %s %v\n%s", r.Selector, r.Status, r.Err, head(text))
		}
	}
	theirs, err := msgauth.VerifyWithOptions(strings.NewReader(text), &msgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return s.LookupTXT(s.tb.Context(), name) },
	})
	if err != nil || len(theirs) != n {
		s.tb.Fatalf("the other implementation sees %d signatures, want %d: %v\n%s", len(theirs), n, err, head(text))
	}
	for _, v := range theirs {
		if v.Err != nil {
			s.tb.Errorf("the other implementation says %v\n%s", v.Err, head(text))
		}
	}
}

// head is the beginning of a message.
func head(text string) string { return text[:min(len(text), 3000)] }
