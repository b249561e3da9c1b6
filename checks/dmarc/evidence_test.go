package dmarc

import (
	"fmt"
	"strings"
	"testing"

	"milterd/checks/checktest"
	"milterd/message"
)

// TestListDomains: what the List fields of strangers may do.
func TestListDomains(t *testing.T) {
	for _, c := range []struct {
		fields []string
		want   string
		is     bool
	}{
		{nil, "[]", false},
		{[]string{"List-Unsubscribe: <mailto:x@y.test>"}, "[]", false},
		{[]string{"List-Id: <a.b.test>"}, "[a.b.test]", true},
		{[]string{"LIST-ID: \"A <x.test> list\"\n <A.B.test>"}, "[a.b.test]", true},
		{[]string{"List-Id: a.b.test"}, "[a.b.test]", true},
		{[]string{"List-Id: <a.b.test"}, "[a.b.test]", true},
		{[]string{"List-Id: <a b.test>", "List-Id:", "List-Id: <"}, "[]", true},
		{[]string{"List-Post: <mailto:a@b.test>"}, "[b.test]", true},
		{[]string{"List-Post: <MAILTO:a@b.test?subject=x>"}, "[b.test]", true},
		{[]string{"List-Post: NO", "List-Post: <https://b.test/>", "List-Post: <mailto:a>"}, "[]", true},
		{[]string{"List-Id: <a.test>", "List-Id: <b.test>", "List-Id: <c.test>", "List-Id: <d.test>"}, "[a.test b.test c.test]", true},
	} {
		m := checktest.Mail{Text: from("a@victim.test", c.fields...)}.Message(t)
		domains, is := listDomains(m.Header)
		m.Body.Release()
		if got := fmt.Sprint(domains); is != c.is || strings.NewReplacer("{", "", "}", "").Replace(got) != c.want {
			t.Errorf("%q: %s, %t, want %s", c.fields, got, is, c.want)
		}
	}
}

// TestForwarders: those whom the operator named are spared in every mode.
func TestForwarders(t *testing.T) {
	const forwarders = "forwarders: {networks: [198.51.100.0/24, 2001:db8::/32], domains: [Forward.test]}\n"
	for _, mode := range []string{"enforce", "strict", "score"} {
		h := newHarness(t, zone("_dmarc.victim.test", "v=DMARC1; p=reject", "_dmarc.lame.test", "FAIL"), forwarders+"mode: "+mode)
		for _, c := range []struct {
			client, author, prior string
			spared                bool
		}{
			{"198.51.100.7", "victim.test", "spf=none dkim=none", true},
			{"::ffff:198.51.100.7", "victim.test", "spf=none dkim=none", true},
			{"2001:db8::1", "victim.test", "spf=none dkim=none", true},
			{"192.0.2.1", "victim.test", "spf=none dkim=pass:forward.test", true},
			{"192.0.2.1", "victim.test", "spf=none dkim=fail:forward.test", false},
			{"192.0.2.1", "victim.test", "spf=none dkim=temperror:forward.test", false},
			{"192.0.2.1", "victim.test", "spf=pass:forward.test dkim=none", false},
			{"192.0.2.1", "victim.test", "spf=none dkim=pass:a.forward.test", false},
			{"unknown", "victim.test", "spf=none dkim=none", false},
			{"198.51.100.7", "lame.test", "spf=none dkim=none", true},
		} {
			res := h.Run(checktest.Mail{Client: c.client, Text: from("a@" + c.author), Prior: prior(t, c.prior)})
			if c.spared && res.Demand != nil || !c.spared && mode != "score" && (res.Demand == nil || res.Demand.Action != message.RejectMail) {
				t.Errorf("%s, %s, %s: %s", mode, c.client, c.prior, describe(res))
			}
			if c.author == "victim.test" && (describe(res) == "INDIRECT") != c.spared {
				t.Errorf("%s, %s, %s: %s", mode, c.client, c.prior, describe(res))
			}
		}
	}
}

// FuzzListDomains: what strangers write into List fields is a list of domain names
// or nothing.
func FuzzListDomains(f *testing.F) {
	for _, s := range []string{
		"<chat.lists.test>", "\"a\" <a.test> <b.test>", "<mailto:a@b.test?subject=<c.test>>", "mailto:a@b.test", "<<<", "<>", ">", "NO",
		"<mailto:\"a>b\"@c.test>", "<a.test\n .b.test>", "<a\x00.test>", "<\xff>", strings.Repeat("<", 70000), "<" + strings.Repeat("a.", 40000) + "test>",
	} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, id, post string) {
		h := message.NewHeader([]message.Field{{Name: "List-Id", Value: id}, {Name: "List-Post", Value: post}}, 0)
		domains, is := listDomains(h)
		if !is || len(domains) > 2 {
			t.Errorf("%q, %q: %v, %t", id, post, domains, is)
		}
		for _, d := range domains {
			text := strings.ToLower(message.Unfold(id) + " " + message.Unfold(post))
			if d.IsZero() || !strings.Contains(d.String(), "xn--") && !strings.Contains(text, d.String()) {
				t.Errorf("%q, %q: %v", id, post, domains)
			}
		}
	})
}
