package arc_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"milterd/arc"
	"milterd/checks"
	check "milterd/checks/arc"
	"milterd/checks/checktest"
	"milterd/dkim"
	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/message"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var key = ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))

func now() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

const text = "From: Joe <joe@author.test>\nTo: alice@mx.test\nSubject: hello\nDate: Fri, 20 Nov 2026 10:00:00 +0000\n\nHello Alice.\n"

// evilKey is the key of evil.test, whom nobody trusts.
var evilKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("e", ed25519.SeedSize)))

// A lab is a DNS with a key for list.test, forwarder.test, broken.test, and evil.test
// with one of its own. sever takes away that of broken.test.
type lab struct {
	server   *dnstest.Server
	resolver *dns.Resolver
}

func newLab(t *testing.T) *lab {
	t.Helper()
	record := "TXT v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	zone := dnstest.Zone{}
	for _, host := range []string{"list.test", "forwarder.test", "broken.test"} {
		zone["s._domainkey."+host] = []string{record}
	}
	zone["s._domainkey.evil.test"] = []string{"TXT v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(evilKey.Public().(ed25519.PublicKey))}
	l := &lab{server: dnstest.Start(t, zone)}
	l.resolve(t)
	return l
}

// sever makes the keys of broken.test unavailable, to a resolver that has not asked
// for them yet.
func (l *lab) sever(t *testing.T) {
	t.Helper()
	l.server.Lie("s._domainkey.broken.test", dnstest.ServFail)
	l.resolve(t)
}

// resolve takes a resolver with an empty cache.
func (l *lab) resolve(t *testing.T) {
	t.Helper()
	resolver, err := dns.New(dns.Options{Servers: []string{l.server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resolver.Close() })
	l.resolver = resolver
}

func domain(t testing.TB, name string) message.Domain {
	t.Helper()
	d, err := message.ParseDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// through lets a host seal a message that it found to be so.
func (l *lab) through(t *testing.T, text, host, found string) string {
	t.Helper()
	names, oversign := arc.StandardNames()
	return l.sign(t, text, host, found, names, oversign)
}

// throughBlind is through a host that signs no From field.
func (l *lab) throughBlind(t *testing.T, text, host, found string) string {
	t.Helper()
	return l.sign(t, text, host, found, []string{"Subject"}, nil)
}

func (l *lab) sign(t *testing.T, text, host, found string, names, oversign []string) string {
	t.Helper()
	m := checktest.Mail{Text: text}.Message(t)
	defer m.Body.Release()
	v := &arc.Verifier{DKIM: dkim.Verifier{Resolver: l.resolver, Now: now}, ForSealing: true}
	s := v.Start(t.Context(), m.Header.Fields)
	body, err := m.Body.Bytes(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	s.Write(body)
	r := s.Finish(t.Context())
	private := key
	if host == "evil.test" {
		private = evilKey
	}
	sealer := &arc.Sealer{Key: dkim.SigningKey{Domain: domain(t, host), Selector: "s", Private: private}, Names: names, Oversign: oversign, Now: now}
	set, err := sealer.Seal(m.Header.Fields, &r, host+"; "+found)
	if err != nil || len(set) != 3 {
		t.Fatalf("%q, %v", set, err)
	}
	return render(set) + text
}

// chain lets the same host seal until there are that many sets.
func (l *lab) chain(t *testing.T, text, host, found string, sets int) string {
	t.Helper()
	for range sets - strings.Count(text, "ARC-Seal:") {
		text = l.through(t, text, host, found)
	}
	return text
}

func render(fields []message.Field) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f.Name + ":" + f.Value + "\n")
	}
	return b.String()
}

const passed = "spf=fail smtp.mailfrom=joe@author.test; dkim=fail header.d=other.test; dkim=pass header.d=author.test; dmarc=pass (p=reject) header.from=Author.Test"

// never finds nothing aligned.
func never(_, _ []message.Domain) bool { return false }

func TestRun(t *testing.T) {
	l := newLab(t)
	list := l.through(t, text, "list.test", passed)
	twice := l.through(t, list, "forwarder.test", "arc=pass; dmarc=fail header.from=author.test")
	broken := l.through(t, text, "broken.test", passed)
	l.sever(t)
	for _, c := range []struct {
		name, config, text string
		findings           string
		auth, oldest       string
		outcome            checks.Outcome
		sealer             string // trusted
		vouched, undecided bool
	}{
		{name: "no chain", text: text, outcome: checks.None},
		{name: "a chain of nobody we know", text: list, findings: "ARC_PASS", auth: "pass", oldest: "0", outcome: checks.Found},
		{name: "of a list that we trust", config: "trusted_sealers: [LIST.test]", text: list, findings: "ARC_PASS ARC_TRUSTED", auth: "pass", oldest: "0", outcome: checks.Found,
			sealer: "list.test", vouched: true},
		{name: "of a parent that we trust", config: "trusted_sealers: [test]", text: list, findings: "ARC_PASS", auth: "pass", oldest: "0", outcome: checks.Found},
		{name: "of a list that we trust, through a stranger", config: "trusted_sealers: [list.test]", text: twice, findings: "ARC_PASS", auth: "pass", oldest: "0", outcome: checks.Found},
		{name: "of a stranger, through a forwarder that we trust", config: "trusted_sealers: [forwarder.test]", text: twice, findings: "ARC_PASS ARC_TRUSTED", auth: "pass",
			oldest: "0", outcome: checks.Found, sealer: "forwarder.test"},
		{name: "both trusted", config: "trusted_sealers: [forwarder.test, list.test]", text: twice, findings: "ARC_PASS ARC_TRUSTED", auth: "pass", oldest: "0", outcome: checks.Found,
			sealer: "forwarder.test", vouched: true},
		{name: "changed after the last seal", config: "trusted_sealers: [list.test]", text: list + "footer\n", findings: "ARC_FAIL", auth: "fail", outcome: checks.Found},
		{name: "sealed by nobody", config: "trusted_sealers: [list.test]", text: "ARC-Seal: i=1; cv\n" + text, findings: "ARC_FAIL", auth: "fail", outcome: checks.Found},
		{name: "too many sets", config: "trusted_sealers: [list.test]", text: strings.Repeat("ARC-Seal: i=1; cv=none\n", 51) + text, findings: "ARC_FAIL", auth: "fail", outcome: checks.Found},
		{name: "DNS trouble", text: broken, findings: "ARC_TEMPERROR", auth: "fail", outcome: checks.TempError},
		{name: "DNS trouble with a sealer that we trust", config: "trusted_sealers: [broken.test]", text: broken, findings: "ARC_TEMPERROR", auth: "fail", outcome: checks.TempError, undecided: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			h := checktest.New(t, check.Spec(), c.config, checks.Env{Resolver: l.resolver, Registerer: reg, Now: now})
			res := h.Run(checktest.Mail{Text: c.text})
			var findings []string
			for _, f := range res.Findings {
				findings = append(findings, f.Name)
			}
			auth, oldest := "", ""
			for _, a := range res.Auth {
				auth += a.Result
				for _, p := range a.Props {
					if p.Ptype+"."+p.Property == "header.oldest-pass" {
						oldest = p.Value
					}
				}
				if (a.Result == "pass") != (a.Reason == "") {
					t.Errorf("%s with reason %q", a.Result, a.Reason)
				}
			}
			if got := strings.Join(findings, " "); got != c.findings || auth != c.auth || oldest != c.oldest || res.Ended() != c.outcome {
				t.Errorf("got %s, arc=%s oldest-pass=%s, %s\nwant %s, arc=%s oldest-pass=%s, %s", got, auth, oldest, res.Ended(), c.findings, c.auth, c.oldest, c.outcome)
			}
			out, ok := res.Detail.(check.Outcome)
			if !ok {
				t.Fatalf("Detail: %T", res.Detail)
			}
			sealer, trusted := out.TrustedSealer()
			_, vouched := out.Vouched(domain(t, "author.test"), never)
			if sealer.String() != c.sealer || trusted != (c.sealer != "") || vouched != c.vouched || out.Undecided() != c.undecided {
				t.Errorf("sealer %s, trusted %t, vouched %t, undecided %t", sealer, trusted, vouched, out.Undecided())
			}
			for _, other := range []string{"victim.test", "sub.author.test"} {
				if _, ok := out.Vouched(domain(t, other), never); ok {
					t.Errorf("vouched for %s", other)
				}
			}
			if _, ok := out.Vouched(message.Domain{}, never); ok {
				t.Error("vouched for no author")
			}
			counted, err := testutil.GatherAndCount(reg, "milterd_arc_chains_total")
			if err != nil || (counted == 0) != (c.auth == "") {
				t.Errorf("chains counted: %d, %v", counted, err)
			}
			limits, err := testutil.GatherAndCount(reg, "milterd_arc_limit_hits_total")
			if err != nil || (limits == 1) != (c.name == "too many sets") {
				t.Errorf("limits counted: %d, %v", limits, err)
			}
		})
	}
}

// What a trusted sealer says is read with care: it had strangers' text to write.
func TestClaims(t *testing.T) {
	l := newLab(t)
	h := checktest.New(t, check.Spec(), "trusted_sealers: [list.test]", checks.Env{Resolver: l.resolver, Now: now})
	for said, want := range map[string]struct {
		line    string
		vouched bool
	}{
		passed:                               {"list.test says spf=fail dkim=pass dmarc=pass for author.test", true},
		"none":                               {"list.test says spf=unsaid dkim=unsaid dmarc=unsaid", false},
		"dmarc=pass":                         {"list.test says spf=unsaid dkim=unsaid dmarc=pass", false},
		"dmarc=fail header.from=author.test": {"list.test says spf=unsaid dkim=unsaid dmarc=fail for author.test", false},
		"dmarc=pass header.from=author.test; dmarc=pass header.from=author.test":     {"list.test says spf=unsaid dkim=unsaid dmarc=unsaid", false},
		"dmarc=pass header.from=other.test header.from=author.test":                  {"list.test says spf=unsaid dkim=unsaid dmarc=pass", false},
		"dmarc=pass header.from=\"author.test(.evil.test\"":                          {"list.test says spf=unsaid dkim=unsaid dmarc=pass", false},
		"dmarc=pass smtp.from=author.test":                                           {"list.test says spf=unsaid dkim=unsaid dmarc=pass", false},
		"spf=pass smtp.mailfrom=\"a; dmarc=pass header.from=author.test\"@evil.test": {"list.test says spf=pass dkim=unsaid dmarc=unsaid", false},
		"spf=none; spf=pass; spf=fail; dkim=neutral; dkim=fail":                      {"list.test says spf=pass dkim=neutral dmarc=unsaid", false},
	} {
		res := h.Run(checktest.Mail{Text: l.through(t, text, "list.test", said)})
		if len(res.Findings) != 2 || res.Findings[1].Detail != want.line {
			t.Errorf("%s: %+v, want %s", said, res.Findings, want.line)
		}
		if _, ok := res.Detail.(check.Outcome).Vouched(domain(t, "author.test"), never); ok != want.vouched {
			t.Errorf("%s: vouched is %t", said, ok)
		}
	}
}

// Without a word about DMARC the domains that passed count, if they are aligned.
func TestAlignedClaims(t *testing.T) {
	l := newLab(t)
	h := checktest.New(t, check.Spec(), "trusted_sealers: [list.test]", checks.Env{Resolver: l.resolver, Now: now})
	const other = "spf=pass smtp.mailfrom=x@other.test; "
	for said, want := range map[string]string{ // what DMARC is asked about
		"dkim=pass header.d=author.test":                                                             "spf: dkim: author.test",
		"spf=pass smtp.mailfrom=joe@author.test":                                                     "spf: author.test dkim:",
		"spf=pass smtp.mailfrom=author.test":                                                         "spf: author.test dkim:",
		other + "dkim=fail header.d=c.test; dkim=pass header.d=a.test; dkim=pass header.d=b.test":    "spf: other.test dkim: a.test b.test",
		other + "dmarc=none header.from=author.test":                                                 "spf: other.test dkim:",
		other + "dmarc=temperror":                                                                    "spf: other.test dkim:",
		other + strings.Repeat("dkim=pass header.d=a.test; ", 20) + "dkim=pass header.d=author.test": "spf: other.test dkim:" + strings.Repeat(" a.test", 8),
		"spf=fail smtp.mailfrom=joe@author.test":                                                     "",
		"spf=pass smtp.helo=author.test":                                                             "",
		"spf=pass smtp.mailfrom=joe@author.test; spf=pass smtp.mailfrom=joe@author.test":             "",
		"spf=pass smtp.mailfrom=joe@author.test; spf=pass smtp.mailfrom=\"a(\"":                      "",
		"spf=pass smtp.mailfrom=x@other.test smtp.mailfrom=joe@author.test":                          "",
		"spf=pass smtp.mailfrom=\"joe@author.test(.evil.test\"":                                      "",
		"dkim=pass header.d=other.test header.d=author.test":                                         "",
		"dkim=pass header.i=@author.test":                                                            "",
		"dkim=pass header.d=author.test; dmarc=fail header.from=author.test":                         "",
		"dkim=pass header.d=author.test; dmarc=pass header.from=evil.test":                           "",
		"dkim=pass header.d=author.test; dmarc=none; dmarc=none":                                     "",
		"dkim=pass header.d=author.test; dmarc=none header.from=evil.test header.from=author.test":   "",
	} {
		out := h.Run(checktest.Mail{Text: l.through(t, text, "list.test", said)}).Detail.(check.Outcome)
		asked := ""
		sealer, ok := out.Vouched(domain(t, "author.test"), func(mailFrom, signers []message.Domain) bool {
			asked = "spf:"
			for _, d := range mailFrom {
				asked += " " + d.String()
			}
			asked += " dkim:"
			for _, d := range signers {
				asked += " " + d.String()
			}
			return true
		})
		if asked != want || ok != (want != "") || ok && sealer.String() != "list.test" {
			t.Errorf("%s: asked %q, vouched %t, want %q", said, asked, ok, want)
		}
	}
}

// What a report says of a chain.
func TestReason(t *testing.T) {
	l := newLab(t)
	h := checktest.New(t, check.Spec(), "", checks.Env{Resolver: l.resolver, Now: now})
	list := l.through(t, text, "list.test", passed)
	twice := l.through(t, list, "forwarder.test", passed)
	for _, c := range []struct{ text, want string }{
		{text, "arc=none"},
		{list, "arc=pass as[1].d=list.test as[1].s=s"},
		{twice, "arc=pass as[2].d=forwarder.test as[2].s=s as[1].d=list.test as[1].s=s"},
		{list + "footer\n", "arc=fail as[1].d=list.test as[1].s=s"},
	} {
		if got := h.Run(checktest.Mail{Text: c.text}).Detail.(check.Outcome).Reason(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	long := h.Run(checktest.Mail{Text: l.chain(t, list, "forwarder.test", passed, 50)}).Detail.(check.Outcome).Reason()
	if len(long) > 300 || !strings.HasPrefix(long, "arc=pass as[50].d=forwarder.test as[50].s=s as[49].d=") {
		t.Errorf("%d bytes: %s", len(long), long)
	}
}

func TestAuthLine(t *testing.T) {
	l := newLab(t)
	h := checktest.New(t, check.Spec(), "", checks.Env{Resolver: l.resolver, Now: now})
	list := l.through(t, text, "list.test", passed)
	a := h.Run(checktest.Mail{Text: list}).Auth[0]
	if a.Method != "arc" || a.Comment != "i=1 sealed by list.test" || len(a.Props) != 1 {
		t.Errorf("%+v", a)
	}
	a = h.Run(checktest.Mail{Text: strings.Replace(list, "hello", "Hello!", 1)}).Auth[0]
	if a.Result != "fail" || a.Reason != "ARC-Message-Signature: signature did not verify" || a.Comment != "" {
		t.Errorf("%+v", a)
	}
}

// A body that never ends and a client that has gone are errors, not results.
func TestDropped(t *testing.T) {
	l := newLab(t)
	list := l.through(t, text, "list.test", passed)
	h := checktest.New(t, check.Spec(), "", checks.Env{Resolver: l.resolver, Now: now})
	m := checktest.Mail{Text: list}.Message(t)
	defer m.Body.Release()
	gone := errors.New("gone")
	body := message.NewSpool(message.SpoolOptions{Memory: 1 << 20})
	defer body.Release()
	if _, err := body.Write([]byte("Hello")); err != nil {
		t.Fatal(err)
	}
	body.Fail(gone)
	res, err := h.Check().Run(t.Context(), &checks.Input{Message: m, Body: body.Reader()})
	if !errors.Is(err, gone) || len(res.Findings) > 0 {
		t.Errorf("%+v, %v", res, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res, err := h.Check().Run(ctx, &checks.Input{Message: m, Body: m.Body.Reader()}); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", res, err)
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
}

func TestBadConfig(t *testing.T) {
	for config, want := range map[string]string{
		"sealers: [a.test]":                                            "sealers",
		"trusted_sealers: [a b]":                                       "expected a domain name",
		"trusted_sealers: [.a.test]":                                   "expected a domain name",
		"seal: {domain: a.test}":                                       "belong together",
		"seal: {selector: s}":                                          "belong together",
		"seal: {domain: a.test, selector: s, key: k.pem}":              "expected an absolute path",
		"seal: {domain: a.test, selector: s, key: /nonexistent/k.pem}": "is not there",
	} {
		_, err := checktest.TryNew(t, check.Spec(), config, checks.Env{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
}
