package signing

import (
	"slices"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

// ours is a client in networks.mynetworks; local is sendmail(1), as Postfix shows it.
func ours(m checktest.Mail) checktest.Mail { m.Client = "192.0.2.50"; return m }

func TestWhoIsSigned(t *testing.T) {
	s := newSite(t)
	s.key("example.org", "ed", ed25519Key())
	h := s.check(`
domains:
  example.org: {keys: [{selector: ed, file: $DIR/example.org/ed.pem}]}
  xn--bcher-kva.example: {keys: [{selector: ed, file: $DIR/example.org/ed.pem}]}
  below.example: {subdomains: true, keys: [{selector: ed, file: $DIR/example.org/ed.pem}]}
`)
	for _, test := range []struct {
		name   string
		login  string
		role   message.Role
		from   string // the From field
		text   string // in its place the whole message
		path   string
		reason Reason
		domain string
	}{
		{"a login and its own domain", "ann@example.org", "", "Ann <ann@example.org>", "", "", Signed, "example.org"},
		{"whatever the case", "Ann@Example.ORG", "", "Ann <ANN@EXAMPLE.org>", "", "", Signed, "example.org"},
		{"a colleague, by the binding of domains", "ann@example.org", "", "bob@example.org", "", "", Signed, "example.org"},
		{"a bare login", "ann", "", "ann@example.org", "", "", Signed, "example.org"},
		{"a network of ours", "", "", "printer@example.org", "", "", Signed, "example.org"},
		{"a bounce", "", "", "MAILER-DAEMON@example.org (Mail Delivery System)", "", "<>", Signed, "example.org"},
		{"two authors and a sender", "ann@example.org", "", "", "Sender: ann@example.org\n" + mailOf("ann@example.org, bob@example.org"), "", Signed, "example.org"},
		{"a U-label is its A-label", "", "", "ann@bücher.example", "", "", Signed, "xn--bcher-kva.example"},
		{"an A-label", "ann@xn--bcher-kva.example", "", "ann@xn--bcher-kva.example", "", "", Signed, "xn--bcher-kva.example"},
		{"a login with a U-label", "ann@bücher.example", "", "ann@xn--bcher-kva.example", "", "", Signed, "xn--bcher-kva.example"},
		{"a subdomain, where they are included", "", "", "ann@mail.below.example", "", "", Signed, "below.example"},
		{"the login of the domain above it", "ann@below.example", "", "ann@mail.below.example", "", "", Signed, "below.example"},

		{"a foreign author", "ann@example.org", "", "ceo@bank.example", "", "", Foreign, ""},
		{"a foreign author of a bare login", "ann", "", "ceo@bank.example", "", "", Foreign, ""},
		{"a foreign author from our networks", "", "", "ceo@bank.example", "", "", Foreign, ""},
		{"a name that looks like ours", "ann@example.org", "", "\"ann@example.org\" <ceo@bank.example>", "", "", Foreign, ""},
		{"a domain that ends like ours", "", "", "ann@notexample.org", "", "", Foreign, ""},
		{"a subdomain, where they are not included", "ann@example.org", "", "ann@mail.example.org", "", "", Foreign, ""},
		{"another domain of ours", "ann@example.org", "", "ann@below.example", "", "", NotOwner, "below.example"},
		{"the domain above that of the login", "ann@tenant.below.example", "", "ceo@below.example", "", "", NotOwner, "below.example"},
		{"a domain beside that of the login", "ann@tenant.below.example", "", "ceo@mail.below.example", "", "", NotOwner, "below.example"},
		{"a login of a foreign domain", "ann@other.example", "", "ann@example.org", "", "", NotOwner, "example.org"},
		{"a login with a broken domain", "ann@exa mple.org", "", "ann@example.org", "", "", NotOwner, "example.org"},

		{"two From fields", "ann@example.org", "", "", "From: ann@example.org\n" + mailOf("admin@example.org"), "", NoAuthor, "example.org"},
		{"two From fields, one foreign", "ann@example.org", "", "", "From: ann@example.org\n" + mailOf("ceo@bank.example"), "", NoAuthor, "example.org"},
		{"two domains in From", "ann@example.org", "", "ann@example.org, ceo@bank.example", "", "", NoAuthor, "example.org"},
		{"two authors without a sender", "ann@example.org", "", "ann@example.org, admin@example.org", "", "", NoAuthor, "example.org"},
		{"no From", "ann@example.org", "", "", "Subject: hi\n\nhi\n", "", NoAuthor, ""},
		{"a bare word", "", "", "MAILER-DAEMON", "", "<>", NoAuthor, ""},
		{"a group", "ann@example.org", "", "us: ann@example.org;", "", "", NoAuthor, "example.org"},
		{"a route", "", "", "<@relay.example:ANN@Example.org>", "", "", NoAuthor, "example.org"},
		{"an address literal", "", "", "ann@[192.0.2.1]", "", "", NoAuthor, ""},

		{"a stranger who writes our name", "", message.Inbound, "ann@example.org", "", "", Inbound, ""},
		{"a stranger", "", message.Inbound, "joe@sender.test", "", "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := test.text
			if text == "" {
				text = mailOf(test.from)
			}
			out := seal(t, h, ours(checktest.Mail{Login: test.login, Role: test.role, From: test.path, Text: text}))
			if out.Reason != test.reason || out.Domain.String() != test.domain {
				t.Fatalf("%q for %q, want %q for %q: %s", out.Reason, out.Domain, test.reason, test.domain, out.Why)
			}
			if out.Reason != "" && out.Result.Note == "" {
				t.Error("nobody is told")
			}
			if (len(out.Edits) > 0) != (test.reason == Signed) {
				t.Fatalf("%s, and the edits are %v", test.reason, out.Edits)
			}
			own := test.domain != "" && test.reason != Signed
			if slices.Contains(out.findings(), "SIGNING_UNSIGNED") != own {
				t.Errorf("findings %v of a message that is own %v", out.findings(), own)
			}
			foreign := test.login != "" && test.reason != Signed
			if slices.Contains(out.findings(), "SIGNING_FOREIGN") != foreign {
				t.Errorf("findings %v of a login whose From is foreign %v", out.findings(), foreign)
			}
			if out.Result.Demand != nil {
				t.Errorf("demand %+v without on_foreign: reject", out.Result.Demand)
			}
		})
	}
}

// sendmail(1) and the bounces of Postfix come from here with port 0; they own all
// signing domains whatever the networks own.
func TestThisHost(t *testing.T) {
	_, h := standard(t, "senders: {127.0.0.0/8: [example.net]}")
	for from, want := range map[string]Reason{"<root@example.org>": Signed, "<>": Signed} {
		m := checktest.Mail{Role: message.Outbound, Client: "127.0.0.1", Host: "localhost", From: from, Text: mailOf("root@example.org")}
		msg := m.Message(t)
		msg.Session.Port = 0
		out, _ := h.Check().(*check).decide(msg)
		msg.Body.Release()
		if out.Reason != want || !strings.Contains(out.Why, "this host") {
			t.Errorf("%s: %s, %s", from, out.Reason, out.Why)
		}
	}
	if out := seal(t, h, checktest.Mail{Client: "127.0.0.1", Text: mailOf("root@example.org")}); out.Reason != NotOwner {
		t.Errorf("a client on this host, of a network that is listed: %s, %s", out.Reason, out.Why)
	}
}

func TestOnForeign(t *testing.T) {
	for _, test := range []struct {
		binding, senders string
		login, from      string
		refused          bool
	}{
		{"domain", "{}", "ann@example.org", "ceo@bank.example", true},
		{"domain", "{}", "ann@other.example", "ann@example.org", true},
		{"domain", "{}", "ann", "ceo@bank.example", true},
		{"domain", "{}", "ann@example.org", "ann@example.org, admin@example.org", true},
		{"domain", "{}", "ann@example.org", "bob@example.org", false},
		{"domain", "{}", "ann@other.example", "ann@other.example", false}, // not ours to sign, but his
		{"domain", "{ann: [ann@mail.example, example.org]}", "ann", "ann@mail.example", false},
		{"domain", "{ann: [ann@mail.example, example.org]}", "ann", "ann@else.example", true},
		{"address", "{}", "ann@example.org", "bob@example.org", true},
		{"address", "{}", "ann@example.org", "ann+shop@example.org", false},
		{"off", "{}", "ann", "anybody@example.org", false},
		{"off", "{}", "ann", "ceo@bank.example", true},
		{"domain", "{}", "", "ceo@bank.example", false}, // no login, nobody to hold to it
		{"domain", "{}", "", "a: b;", false},
	} {
		_, h := standard(t, "on_foreign: reject\nsender_binding: "+test.binding+"\nsenders: "+test.senders+"\n")
		out := seal(t, h, ours(checktest.Mail{Login: test.login, Text: mailOf(test.from)}))
		d := out.Result.Demand
		if (d != nil) != test.refused {
			t.Errorf("%+v: demand %+v, %s", test, d, out.Why)
			continue
		}
		if d != nil && (d.Reply != message.ReplyNotOwner || d.Action != message.RejectMail || !d.Outbound || d.Always || d.Finding != "SIGNING_FOREIGN") {
			t.Errorf("%+v: %+v", test, d)
		}
		if test.refused && len(out.Edits) > 0 {
			t.Errorf("%+v: refused and signed", test)
		}
	}
}

func TestLists(t *testing.T) {
	s := newSite(t)
	s.key("example.org", "ed", ed25519Key())
	s.key("lists.example.org", "ed", ed25519Key())
	h := s.check(`
domains:
  example.org: {keys: [{selector: ed, file: $DIR/example.org/ed.pem}]}
  lists.example.org: {keys: [{selector: ed, file: $DIR/lists.example.org/ed.pem}]}
`)
	for _, test := range []struct {
		name, login, path, fields string
		domain                    string // that signs; "" is none
	}{
		{"by List-Id", "", "<dev-bounces@lists.example.org>", "List-Id: Developers <dev.lists.example.org>", "lists.example.org"},
		{"by List-Id of the upper domain", "", "<dev@example.org>", "List-Id: <dev.example.org>", "example.org"},
		{"a list with dots in its name", "", "<dev@example.org>", "List-Id: <a.b.dev.example.org>", "example.org"},
		{"without brackets", "", "<x@remote.test>", "List-Id: dev.lists.example.org", "lists.example.org"},
		{"folded", "", "<x@remote.test>", "List-Id: \"a <b>\"\n\t<dev.lists.example.org>", "lists.example.org"},
		{"by the reverse-path of Mailman", "", "<dev-bounces+bob=example.net@lists.example.org>", "X-A: b", "lists.example.org"},
		{"by the reverse-path of Majordomo", "", "<owner-dev@lists.example.org>", "X-A: b", "lists.example.org"},
		{"by the reverse-path of ezmlm", "", "<dev-return-7-bob=example.net@lists.example.org>", "X-A: b", "lists.example.org"},
		{"by List-Post and reverse-path", "", "<anything@lists.example.org>", "List-Post: <mailto:dev@lists.example.org>", "lists.example.org"},
		{"by Precedence and reverse-path", "", "<anything@lists.example.org>", "Precedence: list", "lists.example.org"},

		{"a foreign list", "", "<dev-bounces@lists.remote.test>", "List-Id: <dev.lists.remote.test>", ""},
		{"a name that only ends like ours", "", "<x@remote.test>", "List-Id: <dev.notexample.org>", ""},
		{"a list's name that is our domain", "", "<x@remote.test>", "List-Id: <example.org>", ""},
		{"two identifiers, the last one counts", "", "<x@remote.test>", "List-Id: <dev.example.org> <dev.remote.test>", ""},
		{"an identifier without end", "", "<x@remote.test>", "List-Id: <dev.example.org", ""},
		{"no domain", "", "<x@remote.test>", "List-Id: <dev.exa_mple.org>", ""},
		{"too long", "", "<x@remote.test>", "List-Id: <" + strings.Repeat("a.", 130) + "example.org>", ""},
		{"mail of ours that is no list's", "", "<ann@example.org>", "X-A: b", ""},
		{"a login", "ann@example.org", "<dev-bounces@lists.example.org>", "List-Id: <dev.lists.example.org>", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := seal(t, h, ours(checktest.Mail{Login: test.login, From: test.path, Text: test.fields + "\n" + mailOf("joe@sender.test")}))
			if (out.Reason == Signed) != (test.domain != "") || out.Domain.String() != test.domain || out.List != (test.domain != "") {
				t.Fatalf("%s for %q, %s", out.Reason, out.Domain, out.Why)
			}
			if test.domain != "" {
				s.wantVerified(out.text(), 1)
			}
		})
	}
	t.Run("a network that does not own the list", func(t *testing.T) {
		h := s.check("domains: {example.org: {keys: [{selector: ed, file: $DIR/example.org/ed.pem}]}}\nsenders: {192.0.2.64/26: [shop.example], 192.0.2.128/26: [example.org]}")
		for client, want := range map[string]Reason{"192.0.2.1": Signed, "192.0.2.65": Foreign, "192.0.2.130": Signed} {
			out := seal(t, h, checktest.Mail{Client: client, Text: "List-Id: <dev.example.org>\n" + mailOf("joe@sender.test")})
			if out.Reason != want {
				t.Errorf("%s: %s, %s", client, out.Reason, out.Why)
			}
		}
	})
	t.Run("no From", func(t *testing.T) {
		out := seal(t, h, ours(checktest.Mail{Text: "List-Id: <dev.example.org>\nSubject: x\n\nx\n"}))
		if out.Reason != NoAuthor || !slices.Contains(out.findings(), "SIGNING_UNSIGNED") {
			t.Errorf("%s %v", out.Reason, out.findings())
		}
	})
}

// What went through before is not signed again, if it is what we signed.
func TestSignedBefore(t *testing.T) {
	s, h := standard(t, "")
	first := seal(t, h, ours(checktest.Mail{Login: "ann@example.org", Text: mailOf("ann@example.org")}))
	s.wantVerified(first.text(), 1)
	again := func(text string) sealed {
		t.Helper()
		return seal(t, h, ours(checktest.Mail{Text: text}))
	}
	for name, test := range map[string]struct {
		text string
		want Reason
	}{
		"as it was":                {first.text(), Already},
		"with a field of a filter": {"X-Virus-Scanned: yes\n" + first.text(), Already},
		"behind foreign ones":      {strings.Repeat("DKIM-Signature: v=1; d=sender.test; s=x; b=\n", 20) + first.text(), Already},
		"with a footer":            {first.text() + "-- \r\nthe filter\r\n", Signed},
		"with another subject":     {strings.Replace(first.text(), "Subject: hello", "Subject: hi", 1), Signed},
		"our name, not our key":    {strings.Replace(first.text(), "b=", "b=AAAA", 1), Signed},
		"another selector of ours": {strings.Replace(first.text(), "s=ed;", "s=old;", 1), Signed},
		"a field that is no field": {"DKIM-Signature: d=example.org; s=ed\n" + mailOf("ann@example.org"), Signed},
	} {
		if out := again(test.text); out.Reason != test.want {
			t.Errorf("%s: %s, %s", name, out.Reason, out.Why)
		} else if test.want == Already && (len(out.Edits) > 0 || len(out.Result.Findings) > 0) {
			t.Errorf("%s: %v %v", name, out.Edits, out.findings())
		}
	}
	s.now = s.now.AddDate(0, 0, 30)
	if out := again(first.text()); out.Reason != Signed {
		t.Errorf("a month later: %s, %s", out.Reason, out.Why)
	}
	// Who must not write the author may not send it because somebody else signed it.
	if out := seal(t, h, ours(checktest.Mail{Login: "eve@other.example", Text: first.text()})); out.Reason != NotOwner {
		t.Errorf("from somebody else: %s", out.Reason)
	}
}

// What the check asks for holds for outbound mail, and stands on mail that leaves:
// in mode observe it is only counted.
func TestModesAndMetrics(t *testing.T) {
	s, h := standard(t, "")
	count := func(want map[string]float64) {
		t.Helper()
		for _, r := range results() {
			if got := s.metric("example.org", string(r)); got != want[string(r)] {
				t.Errorf("%s: %v, want %v", r, got, want[string(r)])
			}
		}
	}
	count(nil)
	ann := ours(checktest.Mail{Login: "ann@example.org", Text: mailOf("ann@example.org")})
	first := seal(t, h, ann)
	again := ann
	again.Text = first.text()
	seal(t, h, again)
	sealAs(t, h, ann, message.Verdict{Action: message.RejectMail, Mode: message.Enforce})
	sealAs(t, h, ann, message.Verdict{Action: message.Discard, Mode: message.Enforce})
	sealAs(t, h, ann, message.Verdict{Action: message.Accept, Mode: message.Observe})
	eve := ann
	eve.Login = "eve@other.example"
	seal(t, h, eve)
	foreign := ann
	foreign.Text = mailOf("joe@sender.test")
	seal(t, h, foreign)
	count(map[string]float64{"signed": 1, "already": 1, "refused": 2, "untouched": 1, "unsigned": 1})
	if got := strings.Count(s.log.String(), "leaves unsigned"); got != 1 || !strings.Contains(s.log.String(), "login eve@other.example does not own example.org") {
		t.Errorf("the log says\n%s", s.log.String())
	}
}

func (s *site) metric(domain, result string) float64 {
	s.tb.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.tb.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "milterd_dkim_sign_total" && labels["domain"] == domain && labels["result"] == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	s.tb.Fatalf("no series for %s, %s", domain, result)
	return 0
}

func TestHeaderOverItsLimit(t *testing.T) {
	_, h := standard(t, "on_foreign: reject")
	m := ours(checktest.Mail{Login: "ann@example.org", Role: message.Outbound, Text: mailOf("ann@example.org")}).Message(t)
	defer m.Body.Release()
	m.Header.OverLimit = "header_bytes"
	res, err := h.Check().Run(t.Context(), &checks.Input{Message: m, Body: m.Body.Reader()})
	out := res.Detail.(Outcome)
	if err != nil || out.Reason != Oversize || out.Domain.String() != "example.org" || res.Demand != nil || len(out.Fields) > 0 || !strings.Contains(out.Why, "limits.header_bytes") {
		t.Errorf("%+v, %v", out, err)
	}
}
