package dmarc

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/dkim"
	"milterd/message"
	"milterd/spf"
)

// lab is the DNS of the espoofer cases: legit.test refuses whoever is not it, and
// everything below attack.test, whatever the bytes, answers what the attacker wants.
type lab struct{ *records }

const attacker = "203.0.113.66"

func newLab() lab {
	return lab{zone(
		"legit.test", "v=spf1 ip4:198.51.100.1 -all",
		"_dmarc.legit.test", "v=DMARC1; p=reject",
	)}
}

func (l lab) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if strings.HasSuffix(strings.ToLower(name), "attack.test") && !strings.HasPrefix(name, "_dmarc.") {
		return []string{"v=spf1 ip4:" + attacker + " -all"}, nil
	}
	return l.records.LookupTXT(ctx, name)
}

func (l lab) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// TestSpoofs: the espoofer cases that go against DMARC by the envelope, with SPF as
// it is: none passes for legit.test, each is refused.
func TestSpoofs(t *testing.T) {
	l := newLab()
	verifier := spf.Verifier{Resolver: l}
	for _, mode := range []string{"enforce", "strict"} {
		h := newHarness(t, l, "mode: "+mode)
		for name, c := range map[string]struct{ helo, mailFrom, signer string }{
			"a1":                           {"helo.attack.test", "any@mailfrom.notexist.legit.test", ""},
			"a1, HELO of the victim":       {"legit.test", "any@attack.test", ""},
			"a2":                           {"attack.test", "(any@legit.test", ""},
			"a3 and a4, signed by another": {"attack.test", "any@attack.test", "attack.test"},
			"a5":                           {"attack.test", "any@legit.test(a.attack.test", ""},
			"a6":                           {"attack.test", "any@legit.test'@any.attack.test", ""},
			"a7":                           {"attack.test", "@legit.test,@any.test:'any@attack.test", ""},
			"a quoted address":             {"attack.test", `"any@legit.test"@attack.test`, ""},
			"a NUL":                        {"attack.test", "any@legit.test\x00.attack.test", ""},
			"null sender":                  {"attack.test", "", ""},
			"null sender, victim HELO":     {"legit.test", "", ""},
			"victim as a label":            {"attack.test", "any@legit.test.attack.test", "legit.test.attack.test"},
			"victim as the end of one":     {"attack.test", "any@xlegit.attack.test", "xlegit.test"},
			"a trailing dot":               {"attack.test", "any@legit.test.", ""},
			"another full stop":            {"attack.test", "any@legit\u3002test", ""},
		} {
			args := spf.Args{IP: netip.MustParseAddr(attacker), Helo: c.helo, MailFrom: c.mailFrom}
			var says spfSays
			says.mailFrom, _ = verifier.CheckMailFrom(t.Context(), args)
			says.helo, _ = verifier.CheckHelo(t.Context(), args)
			var signatures dkimSays
			if c.signer != "" {
				d, err := message.ParseDomain(c.signer)
				if err != nil {
					t.Fatal(err)
				}
				signatures = dkimSays{{Status: dkim.Pass, Domain: d}}
			}
			res := h.Run(checktest.Mail{
				Client: attacker, Helo: c.helo, From: "<" + c.mailFrom + ">", Text: from("<admin@legit.test>"),
				Prior: []checks.Result{{Check: "spf", Detail: says}, {Check: "dkim", Detail: signatures}},
			})
			if got := describe(res); got != "FAIL_REJECT -> reject 550 5.7.26 legit.test DMARC policy reject" {
				t.Errorf("%s, %s: spf=%s (%s): %s", mode, name, says.mailFrom.Status, says.mailFrom.Domain, got)
			}
		}
		// The positive control: the attacker passes for what is his, the victim for its own.
		for from2, client := range map[string]string{"attack.test": attacker, "legit.test": "198.51.100.1"} {
			var says spfSays
			says.mailFrom, _ = verifier.CheckMailFrom(t.Context(), spf.Args{IP: netip.MustParseAddr(client), Helo: "x." + from2, MailFrom: "a@" + from2})
			if says.mailFrom.Status != spf.Pass {
				t.Errorf("%s: SPF %s", from2, says.mailFrom.Status)
			}
			l.set("_dmarc.attack.test", "v=DMARC1; p=reject")
			res := h.Run(checktest.Mail{Client: client, Text: from("a@" + from2), Prior: []checks.Result{{Check: "spf", Detail: says}, {Check: "dkim", Detail: dkimSays{}}}})
			if describe(res) != "PASS" {
				t.Errorf("%s: %s", from2, describe(res))
			}
		}
		// And the victim's policy does not go away with its DNS.
		l.set("_dmarc.legit.test", "FAIL")
		res := h.Run(checktest.Mail{Client: attacker, Text: from("a@legit.test"), Prior: prior(t, "spf=pass:attack.test dkim=pass:attack.test")})
		if describe(res) != "TEMPERROR "+waits {
			t.Error(describe(res))
		}
		l.set("_dmarc.legit.test", "v=DMARC1; p=reject")
	}
}
