package lists

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/dkim"
	"milterd/dmarc"
	"milterd/message"
	"milterd/spf"
)

// What the other checks say in these tests.
type (
	dmarcSays dmarc.Status
	dkimSays  []dkim.Result
	spfSays   spf.Result
)

func (d dmarcSays) DMARC() dmarc.Result            { return dmarc.Result{Status: dmarc.Status(d)} }
func (d dkimSays) DKIM() []dkim.Result             { return d }
func (s spfSays) SPF() (mailFrom, helo spf.Result) { return spf.Result(s), spf.Result{} }
func says(check string, detail any) []checks.Result {
	return []checks.Result{{Check: check, Detail: detail}}
}
func signed(status dkim.Status, d string) []checks.Result {
	return says("dkim", dkimSays{{Status: status, Domain: domain(d)}})
}

func domain(s string) message.Domain {
	d, err := message.ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

const mail = "From: Alice <alice@example.org>\nSubject: x\n\nhello\n"

func TestLists(t *testing.T) {
	proven := says("dmarc", dmarcSays(dmarc.Pass))
	for _, c := range []struct {
		name   string
		config string
		mail   checktest.Mail
		want   string // NAME: detail
	}{
		{"nothing", "", checktest.Mail{Text: mail}, ""},
		{"allowed and proven", "allow: [alice@example.org]", checktest.Mail{Text: mail, Prior: proven}, "LISTS_ALLOW: author alice@example.org"},
		{"the domain", "allow: [.org, .example.org]", checktest.Mail{Text: mail, Prior: proven}, "LISTS_ALLOW: author alice@example.org is in .example.org"},
		{"not proven", "allow: [alice@example.org]", checktest.Mail{Text: mail, Prior: says("dmarc", dmarcSays(dmarc.Fail))}, "LISTS_ALLOW_UNPROVEN: author alice@example.org"},
		{"nobody was asked", "allow: [alice@example.org]", checktest.Mail{Text: mail}, "LISTS_ALLOW_UNPROVEN: author alice@example.org"},
		{"unsigned", "allow: [{who: [alice@example.org], unsigned: true}]", checktest.Mail{Text: mail}, "LISTS_ALLOW: author alice@example.org"},
		{"an item behind one that is not proven", "allow: [alice@example.org, {who: [example.org], unsigned: true}]", checktest.Mail{Text: mail},
			"LISTS_ALLOW_UNPROVEN: author alice@example.org; LISTS_ALLOW: author alice@example.org is in example.org"},
		{"signed by the domain, which has no policy", "allow: [example.org]", checktest.Mail{Text: mail, Prior: signed(dkim.Pass, "example.org")}, "LISTS_ALLOW: author alice@example.org is in example.org"},
		{"signed by the domain above", "allow: [mail.example.org]", checktest.Mail{Text: "From: a@mail.example.org\n\nx", Prior: signed(dkim.Pass, "example.org")}, "LISTS_ALLOW: author a@mail.example.org is in mail.example.org"},
		{"signed by a domain below: not the same owner, for all we know", "allow: [example.org]", checktest.Mail{Text: mail, Prior: signed(dkim.Pass, "user.example.org")},
			"LISTS_ALLOW_UNPROVEN: author alice@example.org is in example.org"},
		{"signed by somebody", "allow: [example.org]", checktest.Mail{Text: mail, Prior: signed(dkim.Pass, "evil.test")}, "LISTS_ALLOW_UNPROVEN: author alice@example.org is in example.org"},
		{"a broken signature", "allow: [example.org]", checktest.Mail{Text: mail, Prior: signed(dkim.Fail, "example.org")}, "LISTS_ALLOW_UNPROVEN: author alice@example.org is in example.org"},
		{"SPF of the domain", "allow: [example.org]", checktest.Mail{Text: mail, Prior: says("spf", spfSays{Status: spf.Pass, Domain: "example.org"})}, "LISTS_ALLOW: author alice@example.org is in example.org"},
		{"SPF of the attacker", "allow: [example.org]", checktest.Mail{Text: mail, Prior: says("spf", spfSays{Status: spf.Pass, Domain: "evil.test"})}, "LISTS_ALLOW_UNPROVEN: author alice@example.org is in example.org"},
		{"SPF fail", "allow: [example.org]", checktest.Mail{Text: mail, Prior: says("spf", spfSays{Status: spf.Fail, Domain: "example.org"})}, "LISTS_ALLOW_UNPROVEN: author alice@example.org is in example.org"},
		{"the envelope sender proves nothing", "allow: [sender.test]", checktest.Mail{Text: mail, Prior: proven}, "LISTS_ALLOW_UNPROVEN: envelope sender sender@sender.test is in sender.test"},
		{"a host proves itself", "allow: [192.0.2.0/24]", checktest.Mail{Text: mail}, "LISTS_ALLOW: client 192.0.2.1 is in 192.0.2.0/24"},
		{"an unknown client", "allow: [192.0.2.0/24]", checktest.Mail{Client: "unknown", Text: mail}, ""},
		{"two authors of one domain", "allow: [bob@example.org]", checktest.Mail{Text: "From: alice@example.org, bob@example.org\n\nx", Prior: proven}, "LISTS_ALLOW: author bob@example.org"},
		{"an ambiguous author has no domain to prove", "allow: [example.org]", checktest.Mail{Text: "From: a@example.org, b@evil.test\n\nx", Prior: proven[:0]}, "LISTS_ALLOW_UNPROVEN: author a@example.org is in example.org"},
		{"for one recipient", "allow: [{recipient: [ann@mx.test]}]", checktest.Mail{Text: mail, To: []string{"<bob@mx.test>", "<Ann@mx.test>"}}, "LISTS_ALLOW: every sender"},
		{"for another recipient", "allow: [{recipient: [ann@mx.test], who: [192.0.2.1]}]", checktest.Mail{Text: mail}, ""},
		{"blocked", "block: [alice@example.org]", checktest.Mail{Text: mail}, "LISTS_BLOCK: author alice@example.org"},
		{"blocked by envelope", "block: [sender.test]", checktest.Mail{Text: mail}, "LISTS_BLOCK: envelope sender sender@sender.test is in sender.test"},
		{"blocked by host", "block: [\"192.0.2.1\"]", checktest.Mail{Text: mail}, "LISTS_BLOCK: client 192.0.2.1 is in 192.0.2.1/32"},
		{"blocked for both", "block: [{recipient: [mx.test]}]", checktest.Mail{Text: mail, To: []string{"<a@mx.test>", "<b@mx.test>"}}, "LISTS_BLOCK: every sender"},
		{"blocked for one of two", "block: [{recipient: [a@mx.test], who: [example.org]}]", checktest.Mail{Text: mail, To: []string{"<a@mx.test>", "<b@mx.test>"}}, ""},
		{"a recipient without a domain has no list", "block: [{recipient: [mx.test]}]", checktest.Mail{Text: mail, To: []string{"<postmaster>"}}, ""},
		{"both", "allow: [example.org]\nblock: [alice@example.org]", checktest.Mail{Text: mail, Prior: proven}, "LISTS_ALLOW: author alice@example.org is in example.org; LISTS_BLOCK: author alice@example.org"},
		{"hostile text", "block: [evil.test]", checktest.Mail{Text: "From: \"\x1b[2J\"@evil.test\n\nx"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := checktest.New(t, Spec(), c.config, checks.Env{}).Run(c.mail)
			var got []string
			for _, f := range res.Findings {
				got = append(got, f.Name+": "+f.Detail)
			}
			if g := strings.Join(got, "; "); g != c.want {
				t.Errorf("got  %s\nwant %s", g, c.want)
			}
		})
	}
}

// TestExempt: from the checks that the item names, and only where it counts.
func TestExempt(t *testing.T) {
	h := checktest.New(t, Spec(), "allow: [{who: [example.org], exempt: [dnsbl, greylist]}]", checks.Env{})
	if res := h.Run(checktest.Mail{Text: mail, Prior: signed(dkim.Pass, "example.org")}); strings.Join(res.Exempt, " ") != "dnsbl greylist" {
		t.Errorf("%v", res.Exempt)
	}
	if res := h.Run(checktest.Mail{Text: mail}); res.Exempt != nil {
		t.Errorf("not proven, and exempt from %v", res.Exempt)
	}
}

// TestAtRcpt: what the envelope and the client say is enough to exempt a recipient at RCPT
// TO; nobody looks there where nothing exempts.
func TestAtRcpt(t *testing.T) {
	if at := checktest.New(t, Spec(), "allow: [192.0.2.0/24]", checks.Env{}).Check().(checks.Doorkeeper).AtRcpt(); at != nil {
		t.Error("somebody looks for nothing")
	}
	for config, want := range map[string]string{
		"allow: [{who: [192.0.2.0/24], exempt: [greylist]}]":                   "greylist",
		"allow: [{who: [sender.test], unsigned: true, exempt: [dnsbl]}]":       "dnsbl",
		"allow: [{who: [sender.test], exempt: [dnsbl]}]":                       "",
		"allow: [{who: [example.org], unsigned: true, exempt: [dnsbl]}]":       "",
		"allow: [{recipient: [ann@mx.test], exempt: [greylist]}]":              "greylist",
		"allow: [{recipient: [bob@mx.test], exempt: [greylist]}]":              "",
		"allow: [{who: [203.0.113.1], exempt: [greylist]}]":                    "",
		"allow: [192.0.2.1, {who: [192.0.2.0/24], exempt: [greylist, bayes]}]": "",
	} {
		at := checktest.New(t, Spec(), config, checks.Env{}).Check().(checks.Doorkeeper).AtRcpt()
		m := checktest.Mail{Client: "192.0.2.1", From: "<sender@sender.test>", To: []string{"<ann@mx.test>"}, Text: mail}.Message(t)
		m.Body.Release()
		m.Header, m.Body = nil, nil
		res, err := at.Run(t.Context(), &checks.Input{Message: m, Recipient: &m.Recipients[0]})
		if got := strings.Join(res.Exempt, " "); err != nil || got != want {
			t.Errorf("%s: exempt from %q, want %q (%v)", config, got, want, err)
		}
	}
}

// TestFile: a file of entries is followed; one that is broken keeps what was.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "block.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("evil.test # since May\n")
	now := time.Unix(1_700_000_000, 0)
	h := checktest.New(t, Spec(), "block: [{who: "+path+"}]", checks.Env{Now: func() time.Time { return now }})
	blocked := func() bool { return len(h.Run(checktest.Mail{Text: mail}).Findings) > 0 }
	if blocked() {
		t.Error("blocked from the beginning")
	}
	write("evil.test\nexample.org # today\n")
	now = now.Add(time.Minute)
	if !blocked() {
		t.Error("the file has changed, and nobody has seen it")
	}
	write("example.org\nnot good at all, this line\n")
	now = now.Add(time.Minute)
	if !blocked() {
		t.Error("a broken file has lost the entries")
	}
}

func TestConfiguration(t *testing.T) {
	for config, want := range map[string]string{
		"allow: [not good]":                        `milterd.yaml:1:9: allow[0]: "not good", expected one entry in a line, or {who:, recipient:, unsigned:, exempt:}`,
		"allow: [{unsigned: true}]":                "milterd.yaml:1:9: allow[0]: for everybody, expected who or recipient",
		"block: [{who: [a.test], unsigned: true}]": "milterd.yaml:1:35: block[0].unsigned: is for lists.allow, expected who or recipient alone",
		"block: [{whom: [a.test]}]":                "milterd.yaml:1:10: block[0].whom: unknown key, did you mean who?",
		"block: [{who: nowhere.txt}]":              "milterd.yaml:1:15: block[0].who: nowhere.txt is not there, expected a file of entries",
		"allow: [{who: [192.0.2.1/24]}]":           "milterd.yaml:1:16: allow[0].who[0]: 192.0.2.1/24 has bits behind its length",
	} {
		if _, err := checktest.TryNew(t, Spec(), config, checks.Env{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got\n%v\nwant\n%s", config, err, want)
		}
	}
}

func BenchmarkLists(b *testing.B) {
	h := checktest.New(b, Spec(), "allow: [.partner.example, 198.51.100.0/24]\nblock: [evil.test, 203.0.113.0/24]", checks.Env{})
	m := checktest.Mail{Text: mail}.Message(b)
	defer m.Body.Release()
	in := &checks.Input{Message: m}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Check().Run(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
