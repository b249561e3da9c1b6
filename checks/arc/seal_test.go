package arc_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"milterd/authres"
	"milterd/checks"
	check "milterd/checks/arc"
	"milterd/checks/checktest"
	"milterd/message"
)

// keyFile writes a private key to a file of that mode.
func keyFile(t *testing.T, block string, der []byte, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: block, Bytes: der}), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sealing(host, file string) string {
	return "seal: {domain: " + host + ", selector: s, key: " + file + "}"
}

func accepted() *message.Verdict { return &message.Verdict{Action: message.Accept} }

// A message that one milterd seals has a chain that passes at the next.
func TestSeal(t *testing.T) {
	l := newLab(t)
	file := keyFile(t, "PRIVATE KEY", pkcs8(t, key), 0o600)
	h := checktest.New(t, check.Spec(), sealing("forwarder.test", file), checks.Env{Resolver: l.resolver, Now: now})
	sealer := h.Check().(checks.Sealer)
	next := checktest.New(t, check.Spec(), "trusted_sealers: [forwarder.test]", checks.Env{Resolver: l.resolver, Now: now})
	for _, text := range []string{text, l.through(t, text, "list.test", passed)} {
		res := h.Run(checktest.Mail{Text: text})
		in := &checks.Input{Message: checktest.Mail{Text: text}.Message(t), Prior: checks.Prior{
			"arc":    &res,
			"spf":    {Auth: []authres.Method{{Method: "spf", Result: "pass", Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: "\"a; dmarc=pass\"@evil.test"}}}}},
			"dkim":   {Auth: []authres.Method{{Method: "dkim", Result: "pass"}}},
			"dmarc":  {Auth: []authres.Method{{Method: "dmarc", Result: "pass", Props: []authres.Prop{{Ptype: "header", Property: "from", Value: "author.test"}}}}},
			"broken": {Err: errors.New("half-way"), Auth: []authres.Method{{Method: "iprev", Result: "pass"}}},
		}}
		defer in.Message.Body.Release()
		edits, err := sealer.Seal(t.Context(), in, accepted())
		if err != nil || len(edits) != 3 {
			t.Fatalf("%+v, %v", edits, err)
		}
		top := ""
		for _, e := range edits {
			if e.Op != message.Insert || e.Index != 0 || e.Value == "" || e.Value[0] == ' ' {
				t.Errorf("%+v", e)
			}
			top += e.Name + ": " + e.Value + "\n"
		}
		again := next.Run(checktest.Mail{Text: top + text})
		out := again.Detail.(check.Outcome)
		if got, want := again.Findings[len(again.Findings)-1].Detail, "forwarder.test says spf=pass dkim=pass dmarc=pass for author.test"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		said, err := out.Result.Newest().Results()
		if err != nil || said.AuthservID != "mx.test" || len(said.Methods) != 4 {
			t.Errorf("%+v, %v", said, err)
		}
		want := "none"
		if len(out.Result.Sets) == 2 {
			want = "pass"
		}
		if last := said.Methods[3]; last.Method != "arc" || last.Result != want {
			t.Errorf("about the chain before: %+v, want %s", last, want)
		}
		// The same message at the same time gives the same bytes.
		repeated, err := sealer.Seal(t.Context(), in, accepted())
		if err != nil || repeated[0] != edits[0] || repeated[1] != edits[1] || repeated[2] != edits[2] {
			t.Errorf("%+v, then %+v (%v)", edits, repeated, err)
		}
	}
}

func TestSealNothing(t *testing.T) {
	l := newLab(t)
	file := keyFile(t, "PRIVATE KEY", pkcs8(t, key), 0o640)
	h := checktest.New(t, check.Spec(), sealing("forwarder.test", file), checks.Env{Resolver: l.resolver, AuthservID: "our.id", Now: now})
	sealer := h.Check().(checks.Sealer)
	unknown := l.through(t, text, "broken.test", passed)
	mail := func(text string) *checks.Input {
		res := h.Run(checktest.Mail{Text: text})
		m := checktest.Mail{Text: text}.Message(t)
		t.Cleanup(m.Body.Release)
		return &checks.Input{Message: m, Prior: checks.Prior{"arc": &res}}
	}
	in := mail(text)
	for _, action := range message.Actions {
		edits, err := sealer.Seal(t.Context(), in, &message.Verdict{Action: action})
		if err != nil || (len(edits) == 0) != (action.Refuses() || action == message.Discard) {
			t.Errorf("%s: %d edits, %v", action, len(edits), err)
		}
		if len(edits) > 0 && !strings.HasPrefix(edits[2].Value, "i=1; our.id;\n\tarc=none") {
			t.Errorf("%s: %+v", action, edits[2])
		}
	}
	// A broken chain is closed once.
	broken := l.through(t, text, "list.test", passed) + "footer\n"
	edits, err := sealer.Seal(t.Context(), mail(broken), accepted())
	if err != nil || len(edits) != 3 || !strings.Contains(edits[0].Value, "cv=fail") {
		t.Fatalf("%+v, %v", edits, err)
	}
	closed := edits[0].Name + ": " + edits[0].Value + "\n" + edits[1].Name + ": " + edits[1].Value + "\n" + edits[2].Name + ": " + edits[2].Value + "\n" + broken
	if edits, err := sealer.Seal(t.Context(), mail(closed), accepted()); err != nil || len(edits) != 0 {
		t.Errorf("closed again: %+v, %v", edits, err)
	}
	// One of which nobody knows is left as it is.
	l.sever(t)
	h = checktest.New(t, check.Spec(), sealing("forwarder.test", file), checks.Env{Resolver: l.resolver, Now: now})
	if edits, err := h.Check().(checks.Sealer).Seal(t.Context(), mail(unknown), accepted()); err != nil || len(edits) != 0 {
		t.Errorf("undecided: %+v, %v", edits, err)
	}
	// No result, no seal.
	in.Prior = checks.Prior{}
	if edits, err := sealer.Seal(t.Context(), in, accepted()); err == nil || len(edits) != 0 {
		t.Errorf("without a result: %+v, %v", edits, err)
	}
	if _, ok := checktest.New(t, check.Spec(), "", checks.Env{}).Check().(checks.Sealer); ok {
		t.Error("sealing is not off by default")
	}
}

// TestKeyFiles: which files hold a key that may be used is for internal/keys to say;
// here its word is the operator's.
func TestKeyFiles(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := keyFile(t, "PRIVATE KEY", pkcs8(t, key), 0o600)
	for _, c := range []struct{ name, config, want string }{
		{"Ed25519", sealing("a.test", good), ""},
		{"RSA", sealing("a.test", keyFile(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), 0o640)), ""},
		{"read by all", sealing("a.test", keyFile(t, "PRIVATE KEY", pkcs8(t, key), 0o644)), "checks.arc.seal.key: "},
		{"a public key", sealing("a.test", keyFile(t, "PUBLIC KEY", pkcs8(t, key), 0o600)), "expected a PRIVATE KEY"},
		{"absent", sealing("a.test", filepath.Join(t.TempDir(), "none")), "none: is not there"},
		{"a bad selector", "seal: {domain: a.test, selector: s/t, key: " + good + "}", "selector"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := checktest.TryNew(t, check.Spec(), c.config, checks.Env{})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
