package dkim_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	check "milterd/checks/dkim"
	"milterd/dkim"
	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/message"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var key = ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const text = "From: Joe <joe@author.test>\nTo: alice@mx.test\nSubject: hello\nDate: Fri, 20 Nov 2026 10:00:00 +0000\n\nHello Alice.\n"

// sign puts a signature of the domain on top of a message.
func sign(t *testing.T, text, domain string) string {
	t.Helper()
	d, err := message.ParseDomain(domain)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(text, "\n\n")
	var fields []message.Field
	for line := range strings.SplitSeq(head, "\n") {
		name, value, _ := strings.Cut(line, ":")
		fields = append(fields, message.Field{Name: name, Value: value})
	}
	names, oversign := dkim.StandardNames()
	s := &dkim.Signer{Keys: []dkim.SigningKey{{Domain: d, Selector: "s", Private: key}}, Names: names, Oversign: oversign,
		Now: func() time.Time { return now }}
	signing, err := s.Start(fields)
	if err != nil {
		t.Fatal(err)
	}
	signing.Write([]byte(strings.ReplaceAll(body, "\n", "\r\n")))
	made, err := signing.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return made[0].Name + ":" + strings.ReplaceAll(made[0].Value, "\r\n", "\n") + "\n" + text
}

func TestRun(t *testing.T) {
	record := "TXT v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	server := dnstest.Start(t, dnstest.Zone{
		"s._domainkey.author.test": {record}, "s._domainkey.list.test": {record}, "s._domainkey.broken.test": {record},
	})
	server.Lie("s._domainkey.broken.test", dnstest.ServFail)
	resolver, err := dns.New(dns.Options{Servers: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer resolver.Close()
	signed := sign(t, text, "author.test")
	many := signed
	for range 9 {
		many = sign(t, many, "list.test")
	}
	for _, c := range []struct {
		name, text string
		findings   []string
		auth       []string
		outcome    checks.Outcome
	}{
		{"unsigned", text, []string{"DKIM_NONE"}, []string{"none"}, checks.None},
		{"the author's", signed, []string{"DKIM_PASS", "DKIM_PASS_AUTHOR"}, []string{"pass"}, checks.Found},
		{"a list's", sign(t, text, "list.test"), []string{"DKIM_PASS"}, []string{"pass"}, checks.Found},
		{"body changed", signed + "A footer.\n", []string{"DKIM_FAIL"}, []string{"fail"}, checks.Found},
		{"body changed, then signed by a list", sign(t, signed+"A footer.\n", "list.test"), []string{"DKIM_PASS"}, []string{"pass", "fail"}, checks.Found},
		{"no key", sign(t, text, "nokey.test"), []string{"DKIM_PERMERROR"}, []string{"permerror"}, checks.PermError},
		{"DNS trouble", sign(t, text, "broken.test"), []string{"DKIM_TEMPERROR"}, []string{"temperror"}, checks.TempError},
		{"ten signatures, the author's at the bottom", many, []string{"DKIM_PASS", "DKIM_PASS_AUTHOR", "DKIM_MANY"},
			[]string{"pass", "pass", "pass", "pass", "pass", "pass", "pass", "pass"}, checks.Found},
	} {
		t.Run(c.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			h := checktest.New(t, check.Spec(), "", checks.Env{Resolver: resolver, Registerer: reg, Now: func() time.Time { return now }})
			res := h.Run(checktest.Mail{From: "<joe@author.test>", Text: c.text})
			var findings, auth []string
			for _, f := range res.Findings {
				findings = append(findings, f.Name)
			}
			for _, a := range res.Auth {
				auth = append(auth, a.Result)
			}
			if strings.Join(findings, " ") != strings.Join(c.findings, " ") || strings.Join(auth, " ") != strings.Join(c.auth, " ") || res.Ended() != c.outcome {
				t.Errorf("got %v, %v, %s\nwant %v, %v, %s", findings, auth, res.Ended(), c.findings, c.auth, c.outcome)
			}
			out, ok := res.Detail.(check.Outcome)
			if !ok || c.name != "unsigned" && len(out.Results) != len(c.auth) {
				t.Errorf("Detail: %+v", res.Detail)
			}
			counted, err := testutil.GatherAndCount(reg, "milterd_dkim_signatures_total")
			if err != nil || (counted == 0) != (c.name == "unsigned") {
				t.Errorf("signatures counted: %d, %v", counted, err)
			}
		})
	}
}

func TestAuthLine(t *testing.T) {
	record := "TXT v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	server := dnstest.Start(t, dnstest.Zone{"s._domainkey.author.test": {record}})
	resolver, err := dns.New(dns.Options{Servers: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer resolver.Close()
	h := checktest.New(t, check.Spec(), "", checks.Env{Resolver: resolver, Now: func() time.Time { return now }})
	res := h.Run(checktest.Mail{Text: sign(t, text, "author.test")})
	var props []string
	for _, p := range res.Auth[0].Props {
		props = append(props, p.Ptype+"."+p.Property)
		if p.Property == "b" && len(p.Value) < 8 {
			t.Errorf("header.b=%q", p.Value)
		}
	}
	if got, want := strings.Join(props, " "), "header.d header.i header.s header.a header.b"; got != want {
		t.Errorf("properties %q, want %q", got, want)
	}
}

// A reload makes the check anew on the same registry.
func TestReload(t *testing.T) {
	env := checks.Env{Registerer: prometheus.NewRegistry()}
	for range 2 {
		if _, err := checktest.TryNew(t, check.Spec(), "", env); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := checktest.TryNew(t, check.Spec(), "timeout: 3", env); err == nil {
		t.Error("an unknown key is accepted")
	}
}
