package evidence

import (
	"errors"
	"slices"
	"testing"

	"milterd/checks"
	"milterd/dkim"
	"milterd/dmarc"
	"milterd/message"
	"milterd/spf"
)

// What the checks say in these tests.
type (
	dmarcSays dmarc.Status
	dkimSays  []dkim.Result
	spfSays   struct{ mailFrom, helo spf.Result }
)

func (d dmarcSays) DMARC() dmarc.Result            { return dmarc.Result{Status: dmarc.Status(d)} }
func (d dkimSays) DKIM() []dkim.Result             { return d }
func (s spfSays) SPF() (mailFrom, helo spf.Result) { return s.mailFrom, s.helo }

func domain(name string) message.Domain {
	d, err := message.ParseDomain(name)
	if err != nil {
		panic(err)
	}
	return d
}

func byDMARC(s dmarc.Status) checks.Prior { return checks.Prior{"dmarc": {Detail: dmarcSays(s)}} }

func bySPF(s spf.Status, mailFrom string) checks.Prior {
	return checks.Prior{"spf": {Detail: spfSays{mailFrom: spf.Result{Status: s, Domain: mailFrom}}}}
}

// signed are signatures: a status and the domain it is of, and so on.
func signed(statusAndDomain ...string) checks.Prior {
	var all dkimSays
	for pair := range slices.Chunk(statusAndDomain, 2) {
		r := dkim.Result{Status: dkim.Status(pair[0])}
		if pair[1] != "" {
			r.Domain = domain(pair[1])
		}
		all = append(all, r)
	}
	return checks.Prior{"dkim": {Detail: all}}
}

func TestProves(t *testing.T) {
	helo := checks.Prior{"spf": {Detail: spfSays{helo: spf.Result{Status: spf.Pass, Domain: "example.org"}}}}
	broken := signed("pass", "example.org")
	broken["dkim"].Err = errors.New("out of time")
	for _, c := range []struct {
		name  string
		prior checks.Prior
		want  bool
	}{
		{"nobody was asked", nil, false},
		{"DMARC passes", byDMARC(dmarc.Pass), true},
		{"DMARC fails", byDMARC(dmarc.Fail), false},
		{"DMARC has no policy", byDMARC(dmarc.None), false},
		{"signed by the domain", signed("pass", "example.org"), true},
		{"signed by the domain above", signed("pass", "org"), true},
		{"signed by a domain below", signed("pass", "mail.example.org"), false},
		{"signed by a name that ends alike", signed("pass", "ample.org"), false},
		{"signed by another one", signed("pass", "other.test"), false},
		{"signed by another one, then by the domain", signed("pass", "other.test", "pass", "example.org"), true},
		{"signed by nobody", signed("pass", ""), false},
		{"the signature fails", signed("fail", "example.org"), false},
		{"the key does not resolve", signed("temperror", "example.org"), false},
		{"one of another passes, that of the domain fails", signed("fail", "example.org", "pass", "other.test"), false},
		{"DKIM could not do its job", broken, false},
		{"a result of somebody else", checks.Prior{"dkim": {Detail: dmarcSays(dmarc.Pass)}, "dmarc": {}}, false},
		{"SPF passes", bySPF(spf.Pass, "Example.ORG"), true},
		{"SPF passes for the domain above", bySPF(spf.Pass, "org"), true},
		{"SPF passes for a domain below", bySPF(spf.Pass, "bounces.example.org"), false},
		{"SPF passes for another one", bySPF(spf.Pass, "other.test"), false},
		{"SPF passes for no domain", bySPF(spf.Pass, ""), false},
		{"SPF passes for something else", bySPF(spf.Pass, "exa mple.org"), false},
		{"SPF fails", bySPF(spf.Fail, "example.org"), false},
		{"SPF does not know", bySPF(spf.Softfail, "example.org"), false},
		{"SPF passes for HELO", helo, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Proves(domain("example.org"), c.prior); got != c.want {
				t.Errorf("got %v, expected %v", got, c.want)
			}
			// Whatever passes, it is no proof of an author without a domain.
			if Proves(message.Domain{}, c.prior) {
				t.Error("proves the zero domain")
			}
		})
	}
}

func TestMailFrom(t *testing.T) {
	if d, ok := MailFrom(bySPF(spf.Pass, "Bounces.example.org")); !ok || d != domain("bounces.example.org") {
		t.Errorf("got %s and %v", d, ok)
	}
	for _, prior := range []checks.Prior{nil, bySPF(spf.Fail, "example.org"), bySPF(spf.Neutral, "example.org"), bySPF(spf.Pass, ""), bySPF(spf.Pass, "a..b")} {
		if d, ok := MailFrom(prior); ok {
			t.Errorf("%v proves %s", prior, d)
		}
	}
}

func TestSigners(t *testing.T) {
	prior := signed("pass", "b.test", "fail", "c.test", "pass", "a.test", "pass", "b.test")
	want := []message.Domain{domain("b.test"), domain("a.test"), domain("b.test")}
	if got := slices.Collect(Signers(prior)); !slices.Equal(got, want) {
		t.Errorf("got %v, expected %v", got, want)
	}
	for first := range Signers(prior) { // who has enough may stop
		if first != want[0] {
			t.Errorf("the first is %s", first)
		}
		break
	}
	if got := slices.Collect(Signers(nil)); len(got) > 0 {
		t.Errorf("nobody looked, and %v signed", got)
	}
}

// TestResults: what the checks say arrives as it is, and their absence is told apart
// from an empty answer.
func TestResults(t *testing.T) {
	if r, ok := SPF(bySPF(spf.TempError, "example.org")); !ok || r.Status != spf.TempError || r.Domain != "example.org" {
		t.Errorf("got %+v and %v", r, ok)
	}
	if r, ok := DKIM(signed("fail", "a.test", "pass", "b.test")); !ok || len(r) != 2 || r[0].Status != dkim.Fail {
		t.Errorf("got %+v and %v", r, ok)
	}
	if r, ok := DKIM(signed()); !ok || len(r) > 0 {
		t.Errorf("no signatures: got %+v and %v", r, ok)
	}
	failed := errors.New("out of time")
	for _, prior := range []checks.Prior{nil, {"spf": {Err: failed}, "dkim": {Err: failed}}, {"spf": {}, "dkim": {}}} {
		if _, ok := SPF(prior); ok {
			t.Errorf("%v: SPF has an answer", prior)
		}
		if _, ok := DKIM(prior); ok {
			t.Errorf("%v: DKIM has an answer", prior)
		}
	}
}
