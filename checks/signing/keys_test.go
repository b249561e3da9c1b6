package signing

import (
	"crypto"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"milterd/checks/checktest"
	"milterd/internal/keys"
	"milterd/message"
)

var ann = checktest.Mail{Client: "192.0.2.50", Login: "ann@example.org", Text: mailOf("ann@example.org")}

// waits wants the message to be asked to come again, and nobody to be told why.
func (s *site) waits(out sealed, problem string) {
	s.tb.Helper()
	d := out.Result.Demand
	if out.Reason != NoKey || d == nil || d.Action != message.TempFail || d.Reply != message.ReplySigning || !d.Outbound || len(out.Edits) > 0 {
		s.tb.Fatalf("%s, %+v, %v: %s", out.Reason, d, out.Edits, out.Why)
	}
	if !slices.Equal(out.findings(), []string{"SIGNING_NO_KEY", "SIGNING_UNSIGNED"}) {
		s.tb.Errorf("findings %v", out.findings())
	}
	if !strings.Contains(s.log.String(), "level=ERROR") || !strings.Contains(s.log.String(), problem) {
		s.tb.Errorf("the log does not say %q aloud:\n%s", problem, s.log.String())
	}
	for _, told := range []string{out.Result.Note, out.Result.Findings[0].Detail} {
		if strings.Contains(told, s.dir) {
			s.tb.Errorf("a path stands in the journal: %s", told)
		}
	}
}

// A volume that is not unlocked yet: mail of the domain waits, other mail does not,
// and all is well when it appears.
func TestKeysThatCome(t *testing.T) {
	s := newSite(t)
	s.key("other.example", "ed", ed25519Key())
	h := s.check(`
domains:
  example.org: {keys: [{selector: rsa, file: $DIR/example.org/rsa.pem}, {selector: ed, file: $DIR/example.org/ed.pem}]}
  managed.example: {directory: $DIR/managed.example}
  other.example: {keys: [{selector: ed, file: $DIR/other.example/ed.pem}]}
`)
	managed, other := ann, ann
	managed.Login, managed.Text = "ann@managed.example", mailOf("ann@managed.example")
	other.Login, other.Text = "ann@other.example", mailOf("ann@other.example")
	if n := strings.Count(s.log.String(), "mail of the domain waits"); n != 2 {
		t.Errorf("%d warnings at the start, want 2:\n%s", n, s.log.String())
	}
	s.waits(seal(t, h, ann), "rsa.pem")
	s.waits(seal(t, h, managed), "state.json")
	s.wantVerified(seal(t, h, other).text(), 1)

	s.key("example.org", "rsa", rsaKey())
	s.later()
	s.waits(seal(t, h, ann), "ed.pem") // one of two is not what receivers expect

	s.key("example.org", "ed", ed25519Key())
	s.state("managed.example", keys.Active)
	s.later()
	s.wantVerified(seal(t, h, ann).text(), 2)
	s.wantVerified(seal(t, h, managed).text(), 1)

	if err := os.Remove(filepath.Join(s.dir, "example.org", "rsa.pem")); err != nil {
		t.Fatal(err)
	}
	s.later()
	s.waits(seal(t, h, ann), "rsa.pem")
	if got := s.metric("example.org", "waiting"); got != 3 {
		t.Errorf("%v waiting, want 3", got)
	}
	// In mode tag nobody waits: then it leaves unsigned, and that is said as well.
	sealAs(t, h, ann, message.Verdict{Action: message.Accept, Mode: message.Tag})
	if got := s.metric("example.org", "unsigned"); got != 1 {
		t.Errorf("%v unsigned, want 1", got)
	}
}

// state writes the state file of a domain with one managed key, and the key.
func (s *site) state(domain string, stage keys.Stage) {
	s.tb.Helper()
	s.key(domain, "202611", ed25519Key())
	k := keys.Key{Selector: "202611", Algorithm: keys.Ed25519, Bits: 256, File: "202611.pem", Stage: stage,
		Name: "202611._domainkey." + domain, Record: keys.Record(ed25519Key().Public()), Created: s.now, Activated: s.now}
	text, err := json.Marshal(keys.State{Version: 1, Domain: domain, Keys: []keys.Key{k}})
	if err != nil {
		s.tb.Fatal(err)
	}
	s.file(domain+"/state.json", string(text))
}

func TestManagedKeys(t *testing.T) {
	s := newSite(t)
	s.state("example.org", keys.Next)
	h := s.check("domains: {example.org: {directory: $DIR/example.org}}")
	s.waits(seal(t, h, ann), "no key in it is active")
	s.state("example.org", keys.Active)
	s.later()
	s.wantVerified(seal(t, h, ann).text(), 1)
	// Beside a key with a file of its own, which stands on top.
	s.key("example.org", "own", rsaKey())
	h = s.check("domains: {example.org: {directory: $DIR/example.org, keys: [{selector: own, file: $DIR/example.org/own.pem}]}}")
	out := seal(t, h, ann)
	s.wantVerified(out.text(), 2)
	if !strings.Contains(out.Edits[0].Value, "s=own;") || !strings.Contains(out.Edits[1].Value, "s=202611;") {
		t.Errorf("order %v", out.Edits)
	}
	// The directory of somebody else.
	s.state("other.example", keys.Active)
	h = s.check("domains: {example.org: {directory: $DIR/other.example}}")
	s.waits(seal(t, h, ann), "holds the keys of other.example")
}

// brokenKey is a key in a device that has gone away.
type brokenKey struct{ crypto.Signer }

func (brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("token removed")
}

type brokenRing struct{ keyring }

func (r brokenRing) Get(path string) (crypto.Signer, error) {
	private, err := r.keyring.Get(path)
	return brokenKey{private}, err
}

func TestKeyThatFails(t *testing.T) {
	s, h := standard(t, "")
	c := h.Check().(*check)
	d := c.domains[must(message.ParseDomain("example.org"))]
	d.cache = brokenRing{d.cache}
	s.waits(seal(t, h, ann), "token removed")
}

func TestKeyFilesInTheConfiguration(t *testing.T) {
	s := newSite(t)
	open := s.key("example.org", "open", ed25519Key())
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	s.key("example.org", "ed", ed25519Key())
	s.file("example.org/junk.pem", "junk")
	os.Chmod(filepath.Join(s.dir, "example.org/junk.pem"), 0o600)
	s.file("example.org/state.json", "{}")
	for config, want := range map[string]string{
		"domains: {example.org: {keys: [{selector: a, file: $DIR/example.org/gone.pem}]}}":                                             "domains[\"example.org\"].keys[0].file: $DIR/example.org/gone.pem: is not there",
		"domains: {example.org: {keys: [{selector: a, file: $DIR/example.org/open.pem}]}}":                                             "cure: chmod",
		"domains: {example.org: {keys: [{selector: a, file: $DIR/example.org/junk.pem}]}}":                                             "is not a key in PEM form",
		"domains: {example.org: {keys: [{selector: A_B!, file: $DIR/example.org/ed.pem}]}}":                                            "is not a selector",
		"domains: {example.org: {keys: [{selector: a}]}}":                                                                              "expected the path of a private key",
		"domains: {example.org: {keys: [{selector: a, file: $DIR/example.org/ed.pem}, {selector: a, file: $DIR/example.org/ed.pem}]}}": "already that of another key",
		"domains: {example.org: {}}":                                                                 "no keys, expected keys:",
		"domains: {example.org: {directory: $DIR/example.org}}":                                      "version 0, expected 1",
		"domains: {bad_domain: {directory: $DIR/x}}":                                                 "is not a domain name",
		"domains: {org: {directory: $DIR/x}}":                                                        "of two labels or more",
		"domains: {bücher.example: {directory: $DIR/x}, xn--bcher-kva.example: {directory: $DIR/x}}": "the same domain as",
		"domains: {example.org: {directory: $DIR/x, expire: 1h}}":                                    "a day or more",
		"domains: {example.org: {directory: $DIR/x, headers: lists}}":                                "expected strict or list-friendly",
		"domains: {example.org: {directory: $DIR/x, canonicalization: relaxed}}":                     "expected relaxed/simple",
		"domains: {example.org: {directory: $DIR/x, subdomain: true}}":                               "did you mean subdomains?",
		"sender_binding: yes":                  "expected off, domain or address",
		"on_foreign: drop":                     "expected unsigned or reject",
		"senders: 5.5.5.5/x":                   "cannot be read",
		"senders: [a]":                         "expected a mapping",
		"senders: {ann: [a@b@c, example.org]}": "senders.ann[0]: got \"a@b@c\", expected an address such as",
		"senders: {ann: \"a@[192.0.2.1]\"}":    "expected an address such as",
		"sender_login_maps: [regexp:/etc/x]":   "expected a table in a text file",
		"sender_login_maps: [\"hash:\"]":       "expected the path of a table",
		"sender_login_maps: [hash:$DIR/gone]":  "sender_login_maps[0]: $DIR/gone cannot be read",
		"enable: true":                         "did you mean enabled?",
	} {
		err := s.try(config)
		want = strings.ReplaceAll(want, "$DIR", s.dir)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "milterd.yaml:1:") {
			t.Errorf("%s\ngives %v\nwant %s", config, err, want)
		}
	}
	// What is not mounted yet is no mistake.
	if err := s.try("domains: {example.org: {directory: $DIR/volume/example.org, keys: [{selector: a, file: $DIR/volume/a.pem}]}}"); err != nil {
		t.Error(err)
	}
}
