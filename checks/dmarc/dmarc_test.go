package dmarc

import (
	"context"
	"errors"
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/dmarc"
	"milterd/message"

	"github.com/prometheus/client_golang/prometheus"
)

// TestRun: what becomes of mail in the four modes.
func TestRun(t *testing.T) {
	for _, c := range []struct {
		name   string
		record string // at _dmarc.victim.test
		prior  string
		mail   checktest.Mail // Text empty: from a@victim.test
		// What is found and demanded; strict "" is as enforce.
		enforce, strict, score, observe string
		auth                            string
	}{
		{name: "pass by SPF", record: "v=DMARC1; p=reject", prior: "spf=pass:mail.victim.test dkim=none", enforce: "PASS", score: "PASS", observe: "PASS",
			auth: "dmarc=pass (p=reject) header.from=victim.test policy.dmarc=reject"},
		{name: "pass by DKIM", record: "v=DMARC1; p=reject", prior: "spf=fail:victim.test dkim=pass:victim.test", enforce: "PASS", score: "PASS", observe: "PASS",
			auth: "dmarc=pass (p=reject) header.from=victim.test policy.dmarc=reject"},
		{name: "no policy", prior: "spf=pass:victim.test dkim=none", enforce: "NONE", score: "NONE", observe: "NONE",
			auth: `dmarc=none reason="no DMARC record" header.from=victim.test`},
		{name: "no author", mail: checktest.Mail{From: "<>", Text: from("MAILER-DAEMON")}, prior: "spf=none dkim=none", enforce: "NONE", score: "NONE", observe: "NONE",
			auth: `dmarc=none reason="no Author Domain"`},
		{name: "an address literal", mail: checktest.Mail{Text: from("a@[192.0.2.1]")}, prior: "spf=none dkim=none", enforce: "NONE", score: "NONE", observe: "NONE",
			auth: `dmarc=none reason="no Author Domain"`},
		{name: "unusable policy", record: "v=DMARC1; p=rejct", prior: "spf=pass:victim.test dkim=none", enforce: "PERMERROR", score: "PERMERROR", observe: "PERMERROR",
			auth: `dmarc=permerror reason="policy is not none, quarantine or reject, and there is nobody to report to" header.from=victim.test`},

		// Direct mail that fails.
		{name: "p=reject", record: "v=DMARC1; p=reject", prior: "spf=pass:attack.test dkim=pass:attack.test",
			enforce: "FAIL_REJECT " + rejected, score: "FAIL_REJECT", observe: "OBSERVED",
			auth: "dmarc=fail (p=reject) header.from=victim.test policy.dmarc=reject"},
		{name: "p=quarantine", record: "v=DMARC1; p=quarantine", prior: "spf=none dkim=none",
			enforce: "FAIL_QUARANTINE -> junk", score: "FAIL_QUARANTINE", observe: "OBSERVED",
			auth: "dmarc=fail (p=quarantine) header.from=victim.test policy.dmarc=quarantine"},
		{name: "p=none", record: "v=DMARC1; p=none", prior: "spf=none dkim=none", enforce: "FAIL_NONE", score: "FAIL_NONE", observe: "OBSERVED",
			auth: "dmarc=fail (p=none) header.from=victim.test policy.dmarc=none"},
		{name: "p=reject and t=y", record: "v=DMARC1; p=reject; t=y", prior: "spf=none dkim=none",
			enforce: "FAIL_QUARANTINE -> junk", score: "FAIL_QUARANTINE", observe: "OBSERVED",
			auth: `dmarc=fail (p=reject t=y) header.from=victim.test policy.dmarc=quarantine`},
		{name: "p=quarantine and t=y", record: "v=DMARC1; p=quarantine; t=y", prior: "spf=none dkim=none", enforce: "FAIL_NONE", score: "FAIL_NONE", observe: "OBSERVED"},
		{name: "only HELO passes", record: "v=DMARC1; p=reject", prior: "spf=none:no.victim.test helo=pass:victim.test dkim=none",
			enforce: "FAIL_REJECT " + rejected, score: "FAIL_REJECT", observe: "OBSERVED"},
		{name: "SPF is switched off", record: "v=DMARC1; p=reject", prior: "dkim=none", enforce: "FAIL_REJECT -> junk", score: "FAIL_REJECT", observe: "OBSERVED"},
		{name: "DKIM is switched off", record: "v=DMARC1; p=reject", prior: "spf=fail:victim.test", enforce: "FAIL_REJECT -> junk", score: "FAIL_REJECT", observe: "OBSERVED"},

		// Indirect mail that fails.
		{name: "a list by List-Id", record: "v=DMARC1; p=reject", prior: "spf=none dkim=pass:bounces.lists.test", mail: checktest.Mail{Text: from("a@victim.test", listID)},
			enforce: "INDIRECT -> junk", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED",
			auth: `dmarc=fail (p=reject, mailing list) header.from=victim.test policy.dmarc=reject`},
		{name: "a list by List-Post", record: "v=DMARC1; p=reject", prior: "spf=none dkim=pass:lists.test", mail: checktest.Mail{Text: from("a@victim.test", listPost)},
			enforce: "INDIRECT -> junk", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "a list by its envelope", record: "v=DMARC1; p=reject", prior: "spf=pass:bounce.provider.test dkim=none",
			mail:    checktest.Mail{From: "<x@bounce.provider.test>", Text: from("a@victim.test", "List-Id: nonsense")},
			enforce: "INDIRECT -> junk", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "a list for which nobody vouches", record: "v=DMARC1; p=reject", prior: "spf=none dkim=pass:attack.test", mail: checktest.Mail{Text: from("a@victim.test", listID, listPost)},
			enforce: "FAIL_REJECT " + rejected, score: "FAIL_REJECT", observe: "OBSERVED"},
		{name: "no list, but somebody vouches", record: "v=DMARC1; p=reject", prior: "spf=pass:attack.test dkim=pass:attack.test", mail: checktest.Mail{From: "<x@attack.test>"},
			enforce: "FAIL_REJECT " + rejected, score: "FAIL_REJECT", observe: "OBSERVED"},
		{name: "a list with p=quarantine", record: "v=DMARC1; p=quarantine", prior: "spf=none dkim=pass:lists.test", mail: checktest.Mail{Text: from("a@victim.test", listID)},
			enforce: "INDIRECT -> junk", strict: "FAIL_QUARANTINE -> junk", score: "INDIRECT", observe: "OBSERVED"},
		{name: "a list with p=none", record: "v=DMARC1; p=none", prior: "spf=none dkim=pass:lists.test", mail: checktest.Mail{Text: from("a@victim.test", listID)},
			enforce: "FAIL_NONE", score: "FAIL_NONE", observe: "OBSERVED"},
		{name: "only the body was changed", record: "v=DMARC1; p=reject", prior: "spf=none dkim=body:mail.victim.test",
			enforce: "INDIRECT -> junk", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED",
			auth: "dmarc=fail (p=reject) header.from=victim.test policy.dmarc=reject"},
		{name: "something was appended", record: "v=DMARC1; p=reject", prior: "spf=none dkim=partial:victim.test",
			enforce: "INDIRECT -> junk", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "a stranger's body was changed", record: "v=DMARC1; p=reject", prior: "spf=none dkim=body:attack.test",
			enforce: "FAIL_REJECT " + rejected, score: "FAIL_REJECT", observe: "OBSERVED"},
		{name: "a relative's body was changed, but alignment is strict", record: "v=DMARC1; p=reject; adkim=s", prior: "spf=none dkim=body:mail.victim.test",
			enforce: "FAIL_REJECT " + rejected, score: "FAIL_REJECT", observe: "OBSERVED"},
		{name: "a key that anybody could break", record: "v=DMARC1; p=reject", prior: "spf=none dkim=short:victim.test",
			enforce: "FAIL_REJECT " + rejected, score: "FAIL_REJECT", observe: "OBSERVED"},
		{name: "a relay of ours", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none", mail: checktest.Mail{Peer: message.Relay},
			enforce: "INDIRECT -> junk", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED",
			auth: `dmarc=fail (p=reject, trusted forwarder) header.from=victim.test policy.dmarc=reject`},
		{name: "a trusted sealer", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=sealer.test",
			enforce: "INDIRECT -> junk", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "a sealer whom nobody trusts", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=",
			enforce: "FAIL_REJECT " + rejected, score: "FAIL_REJECT", observe: "OBSERVED"},

		{name: "a trusted sealer with p=quarantine", record: "v=DMARC1; p=quarantine", prior: "spf=none dkim=none arc=sealer.test",
			enforce: "INDIRECT -> junk", strict: "FAIL_QUARANTINE -> junk", score: "INDIRECT", observe: "OBSERVED"},

		// What a trusted sealer found. The result stays fail.
		{name: "a trusted sealer found DMARC to pass", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=sealer.test+dmarc:victim.test",
			enforce: "INDIRECT", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED",
			auth: "dmarc=fail (p=reject) header.from=victim.test policy.dmarc=reject"},
		{name: "of p=quarantine", record: "v=DMARC1; p=quarantine", prior: "spf=none dkim=none arc=sealer.test+dmarc:victim.test",
			enforce: "INDIRECT", strict: "FAIL_QUARANTINE -> junk", score: "INDIRECT", observe: "OBSERVED"},
		{name: "of p=none", record: "v=DMARC1; p=none", prior: "spf=none dkim=none arc=sealer.test+dmarc:victim.test", enforce: "FAIL_NONE", score: "FAIL_NONE", observe: "OBSERVED"},
		{name: "through a relay of ours too", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=sealer.test+dmarc:victim.test", mail: checktest.Mail{Peer: message.Relay},
			enforce: "INDIRECT", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "for somebody else", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=sealer.test+dmarc:attack.test",
			enforce: "INDIRECT -> junk", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "a signature of the author's", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=sealer.test+dkim:victim.test",
			enforce: "INDIRECT", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "a signature of his organization", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=sealer.test+dkim:mail.victim.test",
			enforce: "INDIRECT", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "but alignment is strict", record: "v=DMARC1; p=reject; adkim=s", prior: "spf=none dkim=none arc=sealer.test+dkim:mail.victim.test",
			enforce: "INDIRECT -> junk", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "SPF of the author's", record: "v=DMARC1; p=reject; adkim=s", prior: "spf=none dkim=none arc=sealer.test+spf:mail.victim.test",
			enforce: "INDIRECT", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "but SPF must be strict", record: "v=DMARC1; p=reject; aspf=s", prior: "spf=none dkim=none arc=sealer.test+spf:mail.victim.test",
			enforce: "INDIRECT -> junk", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "a stranger's signature", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=sealer.test+dkim:attack.test",
			enforce: "INDIRECT -> junk", strict: "FAIL_REJECT " + rejected, score: "INDIRECT", observe: "OBSERVED"},
		{name: "the sealer's key unknown", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=?sealer.test",
			enforce: "TEMPERROR " + waits, strict: "FAIL_REJECT " + rejected, score: "TEMPERROR", observe: "TEMPERROR",
			auth: "dmarc=fail (p=reject) header.from=victim.test policy.dmarc=reject"},
		{name: "the sealer's key unknown, p=quarantine", record: "v=DMARC1; p=quarantine", prior: "spf=none dkim=none arc=?sealer.test",
			enforce: "TEMPERROR " + waits, strict: "FAIL_QUARANTINE -> junk", score: "TEMPERROR", observe: "TEMPERROR"},
		{name: "the sealer's key unknown, p=none", record: "v=DMARC1; p=none", prior: "spf=none dkim=none arc=?sealer.test", enforce: "FAIL_NONE", score: "FAIL_NONE", observe: "OBSERVED"},
		{name: "the sealer's key unknown, but the author is proven", record: "v=DMARC1; p=reject", prior: "spf=pass:victim.test dkim=none arc=?sealer.test", enforce: "PASS", score: "PASS", observe: "PASS"},
		{name: "ARC failed to work on a chain", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc!", mail: checktest.Mail{Text: from("a@victim.test", "ARC-Seal: i=1")},
			enforce: "TEMPERROR " + waits, strict: "FAIL_REJECT " + rejected, score: "TEMPERROR", observe: "TEMPERROR"},
		{name: "ARC failed to work, without a chain", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc!",
			enforce: "FAIL_REJECT " + rejected, score: "FAIL_REJECT", observe: "OBSERVED"},

		// Mail that cannot be judged.
		{name: "SPF unknown, but a trusted sealer found DMARC to pass", record: "v=DMARC1; p=reject", prior: "spf=temperror:victim.test dkim=none arc=sealer.test+dmarc:victim.test",
			enforce: "TEMPERROR", strict: "TEMPERROR " + waits, score: "TEMPERROR", observe: "TEMPERROR"},
		{name: "policy unknown, but a trusted sealer found it to pass", record: "FAIL", prior: "spf=none dkim=none arc=sealer.test+dmarc:victim.test",
			enforce: "TEMPERROR", strict: "TEMPERROR " + waits, score: "TEMPERROR", observe: "TEMPERROR"},
		{name: "policy and with it alignment unknown", record: "FAIL", prior: "spf=none dkim=none arc=sealer.test+dkim:victim.test", enforce: "TEMPERROR " + waits, score: "TEMPERROR", observe: "TEMPERROR"},
		{name: "policy unknown", record: "FAIL", prior: "spf=none dkim=none", enforce: "TEMPERROR " + waits, score: "TEMPERROR", observe: "TEMPERROR",
			auth: `dmarc=temperror reason="DNS did not answer for the policy" header.from=victim.test`},
		{name: "policy unknown, but the author is proven", record: "FAIL", prior: "spf=pass:victim.test dkim=none", enforce: "TEMPERROR", score: "TEMPERROR", observe: "TEMPERROR"},
		{name: "SPF unknown", record: "v=DMARC1; p=quarantine", prior: "spf=temperror:victim.test dkim=none", enforce: "TEMPERROR " + waits, score: "TEMPERROR", observe: "TEMPERROR",
			auth: `dmarc=temperror (p=quarantine) reason="SPF or DKIM of an aligned domain met a DNS error" header.from=victim.test policy.dmarc=quarantine`},
		{name: "a key unknown", record: "v=DMARC1; p=reject", prior: "spf=fail:victim.test dkim=temperror:victim.test", enforce: "TEMPERROR " + waits, score: "TEMPERROR", observe: "TEMPERROR"},
		{name: "a key unknown, p=none", record: "v=DMARC1; p=none", prior: "spf=none dkim=temperror:victim.test", enforce: "TEMPERROR", score: "TEMPERROR", observe: "TEMPERROR"},
		{name: "a stranger's key unknown", record: "v=DMARC1; p=reject", prior: "spf=temperror:attack.test dkim=temperror:attack.test",
			enforce: "FAIL_REJECT " + rejected, score: "FAIL_REJECT", observe: "OBSERVED"},
		{name: "one unknown, another passes", record: "v=DMARC1; p=reject", prior: "spf=temperror:victim.test dkim=pass:victim.test", enforce: "PASS", score: "PASS", observe: "PASS"},

		// A check of ours that failed is no proof against the sender.
		{name: "SPF failed to work", record: "v=DMARC1; p=reject", prior: "spf! dkim=none", mail: checktest.Mail{From: "<a@victim.test>"}, enforce: "TEMPERROR " + waits, score: "TEMPERROR", observe: "TEMPERROR"},
		{name: "SPF failed to work, null sender", record: "v=DMARC1; p=reject", prior: "spf! dkim=none", mail: checktest.Mail{From: "<>", Helo: "mx.victim.test"}, enforce: "TEMPERROR " + waits, score: "TEMPERROR", observe: "TEMPERROR"},
		{name: "SPF failed to work, for somebody else", record: "v=DMARC1; p=reject", prior: "spf! dkim=none", mail: checktest.Mail{From: "<>", Helo: "[192.0.2.1]"},
			enforce: "FAIL_REJECT " + rejected, score: "FAIL_REJECT", observe: "OBSERVED"},
		{name: "DKIM failed to work", record: "v=DMARC1; p=reject", prior: "spf=none dkim!", enforce: "TEMPERROR " + waits, score: "TEMPERROR", observe: "TEMPERROR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := zone("_dmarc.victim.test", c.record)
			if c.strict == "" {
				c.strict = c.enforce
			}
			if c.mail.Text == "" {
				c.mail.Text = from("a@victim.test")
			}
			c.mail.Prior = prior(t, c.prior)
			for mode, want := range map[string]string{"enforce": c.enforce, "strict": c.strict, "score": c.score, "observe": c.observe} {
				res := newHarness(t, r, "mode: "+mode).Run(c.mail)
				if got := describe(res); got != want {
					t.Errorf("%s: got  %s\nwant %s", mode, got, want)
				}
				if got := auth(res); c.auth != "" && got != c.auth && mode == "enforce" {
					t.Errorf("Authentication-Results: %s\nwant %s", got, c.auth)
				}
				for _, f := range res.Findings {
					if f.Detail == "" {
						t.Errorf("%s: %s says nothing", mode, f.Name)
					}
				}
			}
		})
	}
}

// TestDetail: what people read in the journal.
func TestDetail(t *testing.T) {
	for _, c := range []struct{ record, prior, mode, want string }{
		{"v=DMARC1; p=reject", "spf=fail:victim.test dkim=fail:victim.test dkim=pass:a.test dkim=pass:b.test dkim=pass:c.test", "enforce",
			"p=reject of victim.test: spf=fail for victim.test, dkim=fail for victim.test + pass for a.test + pass for b.test ..."},
		{"v=DMARC1; p=reject; t=y", "spf=none dkim=none", "enforce", "p=reject t=y of victim.test: spf=none, dkim=none"},
		{"v=DMARC1; p=reject", "", "enforce", "SPF or DKIM is switched off here; p=reject of victim.test: spf=off, dkim=none"},
		{"v=DMARC1; p=reject", "spf=none dkim=none", "observe", "DMARC_FAIL_REJECT: p=reject of victim.test: spf=none, dkim=none"},
		{"v=DMARC1; p=none", "spf=pass:victim.test dkim=pass:mail.victim.test", "enforce", "p=none of victim.test, spf victim.test, dkim mail.victim.test"},
		{"v=DMARC1; p=reject", "spf=none dkim=body:victim.test", "enforce",
			"signed by victim.test, only the body was changed; p=reject of victim.test: spf=none, dkim=fail for victim.test"},
		{"v=DMARC1; p=reject", "spf=none dkim=none arc=sealer.test+dmarc:victim.test", "enforce",
			"arc=pass as[1].d=sealer.test, sealer.test found the author's domain proven; p=reject of victim.test: spf=none, dkim=none"},
		{"v=DMARC1; p=reject", "spf=none dkim=none arc=?sealer.test", "enforce", "arc=temperror as[1].d=sealer.test; p=reject of victim.test: spf=none, dkim=none"},
		{"v=DMARC1; p=\x1b[2J\r\n\x00\xff", "spf=none dkim=none", "enforce",
			"victim.test: policy is not none, quarantine or reject, and there is nobody to report to: v=DMARC1; p=?[2J????"},
		{"FAIL", "spf=none dkim=none", "enforce", "DNS did not answer for the policy: lookup _dmarc.victim.test: SERVFAIL"},
	} {
		h := newHarness(t, zone("_dmarc.victim.test", c.record), "mode: "+c.mode)
		res := h.Run(checktest.Mail{Text: from("a@victim.test"), Prior: prior(t, c.prior)})
		if got := res.Findings[0].Detail; got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

// TestOutcome: what aggregate reports need to know.
func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		config, record, prior string
		mail                  checktest.Mail
		disposition           dmarc.Disposition
		override              OverrideType
	}{
		{record: "v=DMARC1; p=reject", prior: "spf=pass:victim.test dkim=none", disposition: "none"},
		{record: "v=DMARC1; p=reject", prior: "spf=none dkim=none", disposition: "reject"},
		{record: "v=DMARC1; p=quarantine", prior: "spf=none dkim=none", disposition: "quarantine"},
		{record: "v=DMARC1; p=none", prior: "spf=none dkim=none", disposition: "none"},
		{record: "v=DMARC1; p=reject; t=y", prior: "spf=none dkim=none", disposition: "quarantine", override: PolicyTestMode},
		{record: "v=DMARC1; p=quarantine; t=y", prior: "spf=none dkim=none", disposition: "none", override: PolicyTestMode},
		{record: "v=DMARC1; p=reject", prior: "spf=none dkim=body:victim.test", disposition: "quarantine", override: LocalPolicy},
		{record: "v=DMARC1; p=reject", prior: "spf=none dkim=pass:lists.test", mail: checktest.Mail{Text: from("a@victim.test", listID)},
			disposition: "quarantine", override: MailingList},
		{record: "v=DMARC1; p=quarantine", prior: "spf=none dkim=pass:lists.test", mail: checktest.Mail{Text: from("a@victim.test", listID)},
			disposition: "quarantine"},
		{record: "v=DMARC1; p=reject", prior: "spf=none dkim=none", mail: checktest.Mail{Peer: message.Relay}, disposition: "quarantine", override: TrustedForwarder},
		{record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=sealer.test", disposition: "quarantine", override: LocalPolicy},
		{record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=sealer.test+dmarc:victim.test", disposition: "none", override: LocalPolicy},
		{config: "mode: strict", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=sealer.test+dmarc:victim.test", disposition: "reject"},
		{record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=?sealer.test", disposition: "none", override: LocalPolicy},
		{config: "tempfail_max: 0s", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none arc=?sealer.test", disposition: "quarantine", override: LocalPolicy},
		{config: "forwarders: {domains: [lists.test]}", record: "v=DMARC1; p=reject", prior: "spf=none dkim=pass:lists.test", disposition: "none", override: TrustedForwarder},
		{record: "v=DMARC1; p=reject", prior: "spf=none", disposition: "quarantine", override: LocalPolicy},
		{config: "mode: score", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none", disposition: "none", override: LocalPolicy},
		{config: "mode: observe", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none", mail: checktest.Mail{Peer: message.Relay}, disposition: "none", override: LocalPolicy},
		{config: "forwarders: {networks: [192.0.2.0/24]}", record: "v=DMARC1; p=reject", prior: "spf=none dkim=none", disposition: "none", override: TrustedForwarder},
	} {
		if c.mail.Text == "" {
			c.mail.Text = from("a@victim.test")
		}
		c.mail.Prior = prior(t, c.prior)
		out := newHarness(t, zone("_dmarc.victim.test", c.record), c.config).Run(c.mail).Detail.(Outcome)
		if out.Disposition != c.disposition || out.Override.Type != c.override || (out.Override.Comment != "") != (c.override != "") {
			t.Errorf("%s, %s, %s: %s, %+v, want %s, %s", c.config, c.record, c.prior, out.Disposition, out.Override, c.disposition, c.override)
		}
	}
}

// TestMethods: the Public Suffix List in the place of the walk, or beside it.
func TestMethods(t *testing.T) {
	r := zone("_dmarc.co.uk", "v=DMARC1; p=none", "_dmarc.victim.co.uk", "v=DMARC1; p=reject")
	mail := checktest.Mail{Text: from("a@victim.co.uk"), Prior: prior(t, "spf=none dkim=pass:attack.co.uk")}
	for method, want := range map[string]string{
		"treewalk": "PASS",
		"psl":      "FAIL_REJECT -> reject 550 5.7.26 victim.co.uk DMARC policy reject",
		"both":     "PASS METHODS_DIFFER",
	} {
		registry := prometheus.NewRegistry()
		h := checktest.New(t, Spec(), "org_domain: "+method, checks.Env{Resolver: r, Registerer: registry})
		res := h.Run(mail)
		if got := describe(res); got != want {
			t.Errorf("%s: got %s, want %s", method, got, want)
		}
		if n := counted(t, registry, "milterd_dmarc_method_differences_total", ""); (n == 1) != (method == "both") {
			t.Errorf("%s: %v differences", method, n)
		}
		if method == "both" && res.Findings[1].Detail != "treewalk: pass by co.uk, psl: fail reject by victim.co.uk" {
			t.Error(res.Findings[1].Detail)
		}
	}
}

// TestPrepare: the policy is looked up once, whether beforehand or not.
func TestPrepare(t *testing.T) {
	r := zone("_dmarc.victim.test", "v=DMARC1; p=reject")
	h := newHarness(t, r, "")
	mail := checktest.Mail{Text: from("a@victim.test"), Prior: prior(t, "spf=none dkim=none")}
	h.Run(mail)
	if r.asked != 2 {
		t.Errorf("%d questions", r.asked)
	}
	m := mail.Message(t)
	defer m.Body.Release()
	in := &checks.Input{Message: m, Prior: checks.Prior{"spf": &mail.Prior[0], "dkim": &mail.Prior[1]}}
	res, err := h.Check().Run(t.Context(), in)
	if err != nil || describe(res) != "FAIL_REJECT "+rejected || r.asked != 4 {
		t.Errorf("unprepared: %s, %v, %d questions", describe(res), err, r.asked)
	}
}

// TestDeadline: time that runs out is the check's failure, and no result.
func TestDeadline(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := newHarness(t, zone("_dmarc.victim.test", "FAIL"), "")
	res, err := h.Try(ctx, checktest.Mail{Text: from("a@victim.test"), Prior: prior(t, "spf=none dkim=none")})
	if !errors.Is(err, context.Canceled) || res.Demand != nil {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestPriorOfAnotherKind: details that this check does not know are as good as none.
func TestPriorOfAnotherKind(t *testing.T) {
	h := newHarness(t, zone("_dmarc.victim.test", "v=DMARC1; p=reject"), "")
	for _, p := range [][]checks.Result{nil, {{Check: "spf", Detail: 1}, {Check: "dkim"}, {Check: "arc", Detail: "x"}}} {
		if res := h.Run(checktest.Mail{Text: from("a@victim.test"), Prior: p}); describe(res) != "FAIL_REJECT -> junk" {
			t.Error(describe(res))
		}
	}
}

func BenchmarkRun(b *testing.B) {
	r := zone("_dmarc.victim.test", "v=DMARC1; p=reject; rua=mailto:a@victim.test")
	h := newHarness(b, r, "")
	m := checktest.Mail{Text: from("Joe <a@victim.test>")}.Message(b)
	defer m.Body.Release()
	p := prior(b, "spf=fail:victim.test dkim=pass:victim.test")
	c := h.Check().(*check)
	b.ReportAllocs()
	for b.Loop() {
		in := &checks.Input{Message: m, Prior: checks.Prior{"spf": &p[0], "dkim": &p[1]}}
		in.Prepared = c.Prepare(b.Context(), in)
		if res, err := c.Run(b.Context(), in); err != nil || len(res.Findings) != 1 {
			b.Fatal(res, err)
		}
	}
}
