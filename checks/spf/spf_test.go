package spf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/authres"
	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/message"
	"milterd/spf"

	"github.com/google/go-cmp/cmp"
)

// client is the address that the zone speaks of.
const client = "192.0.2.1"

var zone = dnstest.Zone{
	"pass.test":       {"TXT v=spf1 ip4:192.0.2.1 -all"},
	"fail.test":       {"TXT v=spf1 ip4:203.0.113.9 -all"},
	"softfail.test":   {"TXT v=spf1 ~all"},
	"neutral.test":    {"TXT v=spf1 ?all"},
	"nothing.test":    {"TXT v=spf1 ip4:203.0.113.9"},
	"none.test":       {"TXT unrelated"},
	"perm.test":       {"TXT v=spf1 nonsense -all"},
	"include.test":    {"TXT v=spf1 include:pass.test -all"},
	"redirect.test":   {"TXT v=spf1 redirect=fail.test"},
	"helo.pass.test":  {"TXT v=spf1 a -all", "A 192.0.2.1"},
	"helo.fail.test":  {"TXT v=spf1 -all"},
	"many.test":       {"TXT v=spf1 a:1.many.test a:2.many.test a:3.many.test -all"},
	"temp-inside.org": {"TXT v=spf1 include:temp.test -all"},
	"1.many.test":     {"A 203.0.113.9"}, "2.many.test": {"A 203.0.113.9"}, "3.many.test": {"A 192.0.2.1"},
}

// resolver asks a server for zone that may lie.
func resolver(t testing.TB) (*dns.Resolver, *dnstest.Server) {
	t.Helper()
	server := dnstest.Start(t, zone)
	server.Lie("temp.test", dnstest.ServFail)
	r, err := dns.New(dns.Options{Servers: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, server
}

func newHarness(t testing.TB, r checks.Resolver) *checktest.Harness {
	t.Helper()
	return checktest.New(t, Spec(), "", checks.Env{Resolver: r})
}

// findingsOf gives the names of findings.
func findingsOf(res checks.Result) string {
	var names []string
	for _, f := range res.Findings {
		names = append(names, f.Name)
	}
	return strings.Join(names, " ")
}

// auth gives what Authentication-Results will say.
func auth(res checks.Result) string {
	s := authres.Field{AuthservID: "mx.test", Methods: res.Auth}.String()
	_, s, _ = strings.Cut(s, ";\n\t")
	return strings.ReplaceAll(s, "\n\t", " ")
}

func TestRun(t *testing.T) {
	r, _ := resolver(t)
	h := newHarness(t, r)
	for _, c := range []struct {
		name, from, helo string
		findings         string
		auth             string
		outcome          checks.Outcome
		detail           string // of the first finding
	}{
		{"pass", "<joe@pass.test>", "none.test", "SPF_PASS", "spf=pass smtp.mailfrom=joe@pass.test", checks.Found, "pass.test: ip4:192.0.2.1, 0 look-ups"},
		{"fail", "<joe@fail.test>", "none.test", "SPF_FAIL", "spf=fail smtp.mailfrom=joe@fail.test", checks.Found, "fail.test: -all, 0 look-ups"},
		{"softfail", "<joe@softfail.test>", "none.test", "SPF_SOFTFAIL", "spf=softfail smtp.mailfrom=joe@softfail.test", checks.Found, "softfail.test: ~all, 0 look-ups"},
		{"neutral", "<joe@neutral.test>", "none.test", "SPF_NEUTRAL", "spf=neutral smtp.mailfrom=joe@neutral.test", checks.Found, "neutral.test: ?all, 0 look-ups"},
		{"nothing matches", "<joe@nothing.test>", "none.test", "SPF_NEUTRAL", "spf=neutral smtp.mailfrom=joe@nothing.test", checks.Found, "nothing.test: default, 0 look-ups"},
		{"no record", "<joe@none.test>", "none.test", "SPF_NONE", `spf=none reason="domain has no SPF record" smtp.mailfrom=joe@none.test`, checks.None, "domain has no SPF record"},
		{"no domain", "<joe@gone.test>", "none.test", "SPF_NONE", `spf=none reason="domain does not exist" smtp.mailfrom=joe@gone.test`, checks.None, "domain does not exist"},
		{"permerror", "<joe@perm.test>", "none.test", "SPF_PERMERROR", `spf=permerror reason="SPF record has a syntax error" smtp.mailfrom=joe@perm.test`, checks.PermError, ""},
		{"temperror", "<joe@temp.test>", "none.test", "SPF_TEMPERROR", `spf=temperror reason="DNS look-up failed" smtp.mailfrom=joe@temp.test`, checks.TempError, ""},
		{"temperror of an include", "<joe@temp-inside.org>", "none.test", "SPF_TEMPERROR", `spf=temperror reason="DNS look-up failed" smtp.mailfrom=joe@temp-inside.org`, checks.TempError, ""},
		{"include", "<joe@include.test>", "none.test", "SPF_PASS", "spf=pass smtp.mailfrom=joe@include.test", checks.Found, "include.test: include:pass.test, 1 look-ups"},
		{"redirect", "<joe@redirect.test>", "none.test", "SPF_FAIL", "spf=fail smtp.mailfrom=joe@redirect.test", checks.Found, "redirect.test: -all of fail.test, 1 look-ups"},

		// The property is the address as given, whatever it is.
		{"case as given", "<Joe.Doe@PASS.test>", "none.test", "SPF_PASS", "spf=pass smtp.mailfrom=Joe.Doe@PASS.test", checks.Found, "pass.test: ip4:192.0.2.1, 0 look-ups"},
		{"without brackets", "joe@pass.test", "none.test", "SPF_PASS", "spf=pass smtp.mailfrom=joe@pass.test", checks.Found, "pass.test: ip4:192.0.2.1, 0 look-ups"},
		{"quoted", `<"joe doe"@pass.test>`, "none.test", "SPF_PASS", `spf=pass smtp.mailfrom="\"joe doe\"@pass.test"`, checks.Found, "pass.test: ip4:192.0.2.1, 0 look-ups"},

		// Neither identity stands for the other.
		{"HELO passes, MAIL FROM fails", "<joe@fail.test>", "helo.pass.test", "SPF_FAIL SPF_HELO_PASS", "spf=fail smtp.mailfrom=joe@fail.test", checks.Found, "fail.test: -all, 0 look-ups"},
		{"HELO passes, MAIL FROM has none", "<any@mailfrom.gone.test>", "helo.pass.test", "SPF_NONE SPF_HELO_PASS", `spf=none reason="domain does not exist" smtp.mailfrom=any@mailfrom.gone.test`, checks.None, "domain does not exist"},
		{"HELO passes, MAIL FROM has no answer", "<joe@temp.test>", "helo.pass.test", "SPF_TEMPERROR SPF_HELO_PASS", `spf=temperror reason="DNS look-up failed" smtp.mailfrom=joe@temp.test`, checks.TempError, ""},
		{"HELO fails, MAIL FROM passes", "<joe@pass.test>", "helo.fail.test", "SPF_PASS SPF_HELO_FAIL", "spf=pass smtp.mailfrom=joe@pass.test", checks.Found, "pass.test: ip4:192.0.2.1, 0 look-ups"},
		{"HELO has no answer", "<joe@pass.test>", "temp.test", "SPF_PASS", "spf=pass smtp.mailfrom=joe@pass.test", checks.Found, "pass.test: ip4:192.0.2.1, 0 look-ups"},
		{"HELO is a literal", "<joe@pass.test>", "[192.0.2.1]", "SPF_PASS", "spf=pass smtp.mailfrom=joe@pass.test", checks.Found, "pass.test: ip4:192.0.2.1, 0 look-ups"},

		// RFC 7208, section 2.4: a bounce comes from postmaster at the HELO name.
		{"bounce, pass", "<>", "helo.pass.test", "SPF_PASS", "spf=pass smtp.helo=helo.pass.test", checks.Found, "helo.pass.test: a, 1 look-ups"},
		{"bounce, fail", "<>", "helo.fail.test", "SPF_FAIL", "spf=fail smtp.helo=helo.fail.test", checks.Found, "helo.fail.test: -all, 0 look-ups"},
		{"bounce, HELO is a literal", "<>", "[192.0.2.1]", "SPF_NONE", `spf=none reason="HELO is not a domain name" smtp.helo="[192.0.2.1]"`, checks.None, "HELO is not a domain name"},

		// espoofer a2, a5, a6, a7: what is no mailbox stays none, and passes nothing.
		{"a2", "<(any@pass.test>", "none.test", "SPF_PERMERROR", `spf=permerror reason="sender is not a valid mailbox" smtp.mailfrom="(any@pass.test"`, checks.PermError, ""},
		{"a5", "<any@pass.test(a.attack.test>", "none.test", "SPF_PERMERROR", `spf=permerror reason="sender is not a valid mailbox" smtp.mailfrom="any@pass.test(a.attack.test"`, checks.PermError, ""},
		{"a6", "<any@pass.test'@any.attack.test>", "none.test", "SPF_PERMERROR", `spf=permerror reason="sender is not a valid mailbox" smtp.mailfrom="any@pass.test'@any.attack.test"`, checks.PermError, ""},
		{"a7", "<@pass.test,@any.test:'any@attack.test>", "none.test", "SPF_PERMERROR", `spf=permerror reason="sender is not a valid mailbox" smtp.mailfrom="@pass.test,@any.test:'any@attack.test"`, checks.PermError, ""},
		{"result in the address", "<dmarc=pass@fail.test>", "none.test", "SPF_FAIL", "spf=fail smtp.mailfrom=dmarc?pass@fail.test", checks.Found, "fail.test: -all, 0 look-ups"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := h.Run(checktest.Mail{Client: client, From: c.from, Helo: c.helo})
			if got := findingsOf(res); got != c.findings {
				t.Errorf("findings %s, want %s", got, c.findings)
			}
			if got := auth(res); got != c.auth {
				t.Errorf("auth %s\nwant %s", got, c.auth)
			}
			if res.Ended() != c.outcome || res.Demand != nil {
				t.Errorf("ended %s, demands %+v; want %s and nothing", res.Ended(), res.Demand, c.outcome)
			}
			if c.detail != "" && res.Findings[0].Detail != c.detail {
				t.Errorf("detail %q, want %q", res.Findings[0].Detail, c.detail)
			}
			if res.Findings[0].Detail == "" {
				t.Errorf("%s does not say why", res.Findings[0].Name)
			}
		})
	}
}

// The Detail says which identity each result belongs to: DMARC aligns with that
// of MAIL FROM and nothing else.
func TestDetail(t *testing.T) {
	r, _ := resolver(t)
	h := newHarness(t, r)
	out, ok := h.Run(checktest.Mail{Client: client, From: "<joe@fail.test>", Helo: "helo.pass.test"}).Detail.(Outcome)
	if !ok || out.MailFrom.Identity != spf.MailFrom || out.MailFrom.Domain != "fail.test" || out.MailFrom.Status != spf.Fail ||
		out.Helo.Identity != spf.Helo || out.Helo.Domain != "helo.pass.test" || out.Helo.Status != spf.Pass {
		t.Errorf("outcome %+v", out)
	}
	out = h.Run(checktest.Mail{Client: client, From: "<>", Helo: "helo.pass.test"}).Detail.(Outcome)
	if !out.MailFrom.NullSender || out.MailFrom.Domain != "helo.pass.test" || !cmp.Equal(out.MailFrom, out.Helo) {
		t.Errorf("bounce: %+v", out)
	}
	out = h.Run(checktest.Mail{Client: client, From: "<any@pass.test(a.attack.test>", Helo: "helo.pass.test"}).Detail.(Outcome)
	if out.MailFrom.Domain != "" || out.MailFrom.Status == spf.Pass {
		t.Errorf("a sender that is no mailbox has domain %q: %+v", out.MailFrom.Domain, out.MailFrom)
	}
}

// A client nobody knows passes nothing and fails nothing, and costs no question.
func TestUnknownClient(t *testing.T) {
	r, server := resolver(t)
	res := newHarness(t, r).Run(checktest.Mail{Client: "unknown", From: "<joe@pass.test>", Helo: "helo.pass.test"})
	if got := findingsOf(res); got != "SPF_NONE" || server.Total() != 0 {
		t.Errorf("%s after %d questions", got, server.Total())
	}
}

// Look-ups are paid from the message's purse; one that is empty is the sender's
// own doing, never a temperror.
func TestBudget(t *testing.T) {
	r, _ := resolver(t)
	h := newHarness(t, r)
	for _, c := range []struct { // the second finds the answers of the first in the cache
		queries int
		want    string
	}{{2, "SPF_PERMERROR"}, {20, "SPF_PASS"}} {
		ctx := dns.WithGroup(dns.WithBudget(t.Context(), dns.NewBudget(dns.Limits{Queries: c.queries})), "spf")
		res, err := h.Try(ctx, checktest.Mail{Client: client, From: "<joe@many.test>", Helo: "[192.0.2.1]"})
		if err != nil || findingsOf(res) != c.want {
			t.Errorf("%d queries: %s, %v; want %s", c.queries, findingsOf(res), err, c.want)
		}
	}
}

// Both identities are looked up at once, so the slower one is all there is to
// wait for.
func TestIdentitiesSideBySide(t *testing.T) {
	r, server := resolver(t)
	asked, release := make(chan string, 10), make(chan struct{})
	server.LieType("*", "TXT", func(ctx context.Context, q dnstest.Query, reply dnstest.Reply) dnstest.Reply {
		asked <- q.Msg.Question[0].Name
		select {
		case <-release:
		case <-ctx.Done():
		}
		return reply
	})
	done := make(chan checks.Result)
	go func() {
		done <- newHarness(t, r).Run(checktest.Mail{Client: client, From: "<joe@pass.test>", Helo: "helo.pass.test"})
	}()
	both := []string{<-asked, <-asked} // neither has been answered
	slices.Sort(both)
	if want := []string{"helo.pass.test.", "pass.test."}; !slices.Equal(both, want) {
		t.Errorf("asked for %v, want %v", both, want)
	}
	close(release)
	if res := <-done; findingsOf(res) != "SPF_PASS SPF_HELO_PASS" {
		t.Errorf("findings %s", findingsOf(res))
	}
}

// A check that is called off has not done its job; DNS that stays silent is a
// result.
func TestCalledOff(t *testing.T) {
	r, server := resolver(t)
	server.Lie("*", dnstest.Until(nil))
	h := newHarness(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res, err := h.Try(ctx, checktest.Mail{Client: client, From: "<joe@pass.test>"}); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %s, %v", findingsOf(res), err)
	}
	budget := dns.NewBudget(dns.Limits{Queries: 100, Time: 20 * time.Millisecond})
	res, err := h.Try(dns.WithBudget(t.Context(), budget), checktest.Mail{Client: client, From: "<joe@pass.test>"})
	if err != nil || findingsOf(res) != "SPF_TEMPERROR" {
		t.Errorf("silence: %s, %v", findingsOf(res), err)
	}
}

// Whatever a sender puts into his record or address, log and journal stay whole:
// the harness looks at every detail.
func TestHostileText(t *testing.T) {
	r, server := resolver(t)
	server.SetZone(t, dnstest.Zone{"evil.test": {`TXT "v=spf1 exists:\009\010X-Spam:no -all"`}, "bell.test": {`TXT "v=spf1 \007" " -all"`}})
	h := newHarness(t, r)
	for _, from := range []string{"<joe@evil.test>", "<joe@bell.test>", "<\x1b[2J@pass.test>", "<joe\x00@pass.test>",
		"<" + strings.Repeat("x", 70_000) + "@pass.test>", "<joe@" + strings.Repeat("y.", 5000) + "test>"} {
		res := h.Run(checktest.Mail{Client: client, From: from, Helo: "\x1b]0;title\x07"})
		if name := findingsOf(res); name != "SPF_PERMERROR" && name != "SPF_NONE" {
			t.Errorf("%.20q: %s", from, name)
		}
		if line := auth(res); len(line) > 1200 || message.SafeText(line, 2000) != line {
			t.Errorf("%.20q: %d bytes: %q", from, len(line), line)
		}
	}
}

func TestConfiguration(t *testing.T) {
	for config, want := range map[string]string{
		"":                                "",
		"enabled: true\non_error: ignore": "",
		"on_error: reject":                "tempfail or ignore",
		"best_guess: true":                "best_guess",
		"on_error: {mail: tempfail}":      "on_error",
	} {
		_, err := checktest.TryNew(t, Spec(), config, checks.Env{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", config, err, want)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	r, _ := resolver(b)
	h := newHarness(b, r)
	mails := make([]*checks.Input, 256)
	for i := range mails { // distinct senders
		m := checktest.Mail{Client: client, From: fmt.Sprintf("<user%d@include.test>", i), Helo: "helo.pass.test"}.Message(b)
		mails[i] = &checks.Input{Message: m}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := h.Check().Run(b.Context(), mails[i%len(mails)]); err != nil {
			b.Fatal(err)
		}
	}
}

// panicky is a resolver with a bug.
type panicky struct{ checks.Resolver }

func (panicky) LookupTXT(context.Context, string) ([]string, error) { panic("a bug") }

// A panic while HELO is looked up, beside MAIL FROM, ends the check and nothing
// else: the runner can recover it.
func TestPanicInBothIdentities(t *testing.T) {
	h := checktest.New(t, Spec(), "", checks.Env{Resolver: panicky{}})
	m := checktest.Mail{From: "<(bad>", Helo: "mail.sender.test"}.Message(t) // MAIL FROM asks nobody
	defer m.Body.Release()
	defer func() {
		if recover() != "a bug" {
			t.Error("the panic did not reach the caller")
		}
	}()
	h.Check().Run(t.Context(), &checks.Input{Message: m})
}
