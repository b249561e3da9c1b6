package integration

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"milterd/arc"
	"milterd/authres"
	"milterd/dkim"
	"milterd/internal/dns"
	"milterd/message"
)

// Two hosts that seal: mail goes from arc-first to arc-next. The first one seals
// whatever comes, and says what it found; the second one trusts the first, and
// broken.test, whose keys the DNS keeps back.
const (
	arcFirst = "arc-first"
	arcNext  = "arc-next"
)

var sealers = map[string]string{arcFirst: "first.test", arcNext: "next.test"}

// arcListeners are the smtpds of the two.
func arcListeners() []Listener {
	var list []Listener
	for name := range sealers {
		list = append(list, Listener{Name: name, Milter: "unix:milterd/" + name + ".sock"})
	}
	return list
}

// arcZone is what the DNS says of those who seal.
func arcZone() string {
	return selector + `._domainkey.first.test TXT ` + newSigner("first.test").record() + "\n" +
		selector + `._domainkey.next.test  TXT ` + newSigner("next.test").record() + "\n" +
		`first.test TXT v=spf1 ip4:203.0.113.50 -all` + "\n"
}

// arcDaemons starts both daemons, once.
var arcDaemons = sync.OnceValues(func() (map[string]*Daemon, error) {
	yaml := map[string]string{
		arcFirst: "checks: {dmarc: {mode: observe}, arc: {seal: %s}}\n",
		arcNext:  "checks: {arc: {trusted_sealers: [first.test, broken.test], seal: %s}}\n",
	}
	daemons := map[string]*Daemon{}
	for name, domain := range sealers {
		key, err := writeKey(shared.bed.Dir(), domain)
		if err != nil {
			return nil, err
		}
		seal := fmt.Sprintf("{domain: %s, selector: %s, key: %s}", domain, selector, key)
		if daemons[name], err = startDaemon(name, DaemonConfig{YAML: fmt.Sprintf(yaml[name], seal)}); err != nil {
			return nil, err
		}
	}
	return daemons, nil
})

// writeKey writes the private key of a domain as a packager would leave it: root's,
// for the group of the daemon to read.
func writeKey(dir, domain string) (path string, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(newSigner(domain).key)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, domain+".pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o640); err != nil {
		return "", err
	}
	return path, chown(path, "root", daemonUser)
}

func startARC(t *testing.T) map[string]*Daemon {
	t.Helper()
	testBed(t)
	daemons, err := arcDaemons()
	if err != nil {
		t.Fatal(err)
	}
	return daemons
}

// newResolver asks the name server of the bed.
func newResolver(t *testing.T) *dns.Resolver {
	t.Helper()
	r, err := dns.New(dns.Options{Servers: []string{shared.names.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// chainOf validates the chain of a message, ready for the next set.
func chainOf(t *testing.T, raw string) (arc.Result, []message.Field) {
	t.Helper()
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	var fields []message.Field
	for _, f := range slices.Backward(fieldsOf(head)) {
		fields = append(fields, message.Field{Name: f.Name, Value: f.Value})
	}
	v := (&arc.Verifier{DKIM: dkim.Verifier{Resolver: newResolver(t)}, ForSealing: true}).Start(within(t), fields)
	fmt.Fprint(v, body)
	return v.Finish(within(t)), fields
}

// sealAs puts a set on top that says whatever is wanted, by somebody who has the key
// of signer and calls himself domain.
func sealAs(t *testing.T, signer, domain, says, raw string) string {
	t.Helper()
	found, fields := chainOf(t, raw)
	d, err := message.ParseDomain(domain)
	if err != nil {
		t.Fatal(err)
	}
	s := &arc.Sealer{Key: dkim.SigningKey{Domain: d, Selector: selector, Private: newSigner(signer).key}}
	s.Names, s.Oversign = arc.StandardNames()
	set, err := s.Seal(fields, &found, "mx."+domain+"; "+says)
	if err != nil || len(set) != 3 {
		t.Fatalf("%+v, %v", set, err)
	}
	top := ""
	for _, f := range set {
		top += f.Name + ":" + strings.ReplaceAll(f.Value, "\n", "\r\n") + "\r\n"
	}
	return top + raw
}

// forwarded is a delivered message as it is sent on.
func forwarded(d Delivered) string { return strings.ReplaceAll(d.String(), "\n", "\r\n") }

const forwarderIP = "ADDR=203.0.113.50 NAME=mail.first.test REVERSE_NAME=mail.first.test PORT=40050"

// pass sends a message to a host of the two and returns what arrives.
func pass(t *testing.T, host, client, from, to, folder, subject, raw string) (Delivered, Verdict) {
	t.Helper()
	daemons := startARC(t)
	r, err := dial(t, host, client).Send(from, []string{to}, []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	if !check(t, r.Code == 250, "%s: got %v, want 250", host, r) {
		t.FailNow()
	}
	return find(t, to, folder, Mail{Subject: subject}), verdict(t, daemons[host], r.QueueID())
}

// wantChain wants a chain of so many sets with that result, by our own judgement and
// by that of two others.
func wantChain(t *testing.T, d Delivered, sets int, status arc.Status) *arc.Result {
	t.Helper()
	raw := forwarded(d)
	r, _ := chainOf(t, raw)
	check(t, r.Status == status && len(r.Sets) == sets, "arc=%s (%v) with %d sets, want %s with %d\n%s", r.Status, r.Err, len(r.Sets), status, sets, raw)
	for _, name := range []string{arc.SealName, arc.SignatureName, arc.ResultsName} {
		check(t, len(d.All(name)) == sets, "%d of %s, want %d", len(d.All(name)), name, sets)
	}
	for name, judge := range arcPeers(t) {
		got, err := judge(within(t), raw)
		check(t, err == nil && got == string(status), "%s says %q, %v, want %s\n%s", name, got, err, status, raw)
	}
	return &r
}

// wantSaid wants the newest set to say what our Authentication-Results says, and what
// was found of the chain before.
func wantSaid(t *testing.T, d Delivered, r *arc.Result, before string) {
	t.Helper()
	sealed, err := r.Newest().Results()
	if !check(t, err == nil, "results of the set: %v", err) {
		return
	}
	ours, err := authres.Parse(d.Get("Authentication-Results"))
	if !check(t, err == nil, "our results: %v", err) {
		return
	}
	check(t, sealed.AuthservID == ours.AuthservID, "sealed by %q, results of %q", sealed.AuthservID, ours.AuthservID)
	lines := func(f authres.Field) (lines []string) {
		for _, m := range f.Methods {
			if line := (authres.Field{AuthservID: "x", Methods: []authres.Method{m}}).String(); m.Method != "arc" || m.Result != "none" {
				lines = append(lines, line)
			}
		}
		slices.Sort(lines)
		return lines
	}
	check(t, slices.Equal(lines(sealed), lines(ours)), "the set says %q, we say %q", lines(sealed), lines(ours))
	i := slices.IndexFunc(sealed.Methods, func(m authres.Method) bool { return m.Method == "arc" })
	check(t, i >= 0 && sealed.Methods[i].Result == before, "of the chain before: %+v, want %s", sealed.Methods, before)
}

// TestSealing lets mail go through two hosts that seal.
func TestSealing(t *testing.T) {
	t.Parallel()
	startARC(t)
	newSubject := func() string { return fmt.Sprintf("sealed %d", serial.Add(1)) }
	first := func(t *testing.T, subject string) Delivered {
		raw := signedBy("legit.test", letter("<admin@legit.test>", subject, "", "a line  \r\n.with a dot\r\n\r\n"))
		d, _ := pass(t, arcFirst, legitIP, "admin@legit.test", alice, "INBOX", subject, raw)
		return d
	}
	t.Run("once and twice", func(t *testing.T) {
		t.Parallel()
		subject := newSubject()
		one := first(t, subject)
		r := wantChain(t, one, 1, arc.Pass)
		wantSaid(t, one, r, "none")
		wantResults(t, one, "spf=pass", "dkim=pass", "dmarc=pass")
		two, _ := pass(t, arcNext, forwarderIP, "srs0=x@first.test", bob, "INBOX", subject, forwarded(one))
		wantResults(t, two, "dkim=pass", "dmarc=pass", "arc=pass")
		r = wantChain(t, two, 2, arc.Pass)
		wantSaid(t, two, r, "pass")
		check(t, r.Sets[0].CV == arc.None && r.Sets[1].CV == arc.Pass, "cv=%s, cv=%s", r.Sets[0].CV, r.Sets[1].CV)
		check(t, r.Sets[1].Seal.Domain.String() == "next.test", "sealed by %s", r.Sets[1].Seal.Domain)
	})
	t.Run("a broken chain is closed once", func(t *testing.T) {
		t.Parallel()
		subject := newSubject()
		changed := forwarded(first(t, subject)) + "a footer\r\n"
		closed, v := pass(t, arcNext, forwarderIP, "srs0=x@first.test", bob, "Junk", subject, changed)
		wantResults(t, closed, "arc=fail", "dmarc=fail")
		check(t, strings.Contains(v["findings"], "DMARC_INDIRECT"), "findings: %v", v)
		r := wantChain(t, closed, 2, arc.Fail)
		wantSaid(t, closed, r, "fail")
		check(t, r.Newest().CV == arc.Fail, "cv=%s", r.Newest().CV)
		again, _ := pass(t, arcNext, forwarderIP, "srs0=x@first.test", alice, "Junk", subject, forwarded(closed))
		wantResults(t, again, "arc=fail")
		wantChain(t, again, 2, arc.Fail)
	})
	t.Run("off by default", func(t *testing.T) {
		t.Parallel()
		daemon(t, "milterd")
		m := newMail(t, "hello")
		send(t, dial(t, "mx", stranger), m)
		got := find(t, alice, "INBOX", m)
		check(t, len(got.Named("ARC-")) == 0, "sealed: %v", got.Named("ARC-"))
	})
}

// TestTrustedSealers: what a chain does to mail of legit.test (p=reject) that fails
// DMARC at the second host. Nothing makes a pass of it.
func TestTrustedSealers(t *testing.T) {
	t.Parallel()
	daemons := startARC(t)
	const (
		lie   = "dmarc=pass header.from=legit.test"
		truth = "dmarc=fail header.from=legit.test"
	)
	// plain is a message without signatures, so only its own host can prove it.
	plain := func(subject string) string { return letter("<admin@legit.test>", subject, "", "hello\r\n") }
	for _, c := range []struct {
		name   string
		raw    func(t *testing.T, subject string) string
		want   string // the refusal, "" for none
		folder string
	}{
		{"the first host has found DMARC to pass", func(t *testing.T, subject string) string {
			d, _ := pass(t, arcFirst, legitIP, "admin@legit.test", alice, "INBOX", subject, plain(subject))
			wantResults(t, d, "spf=pass", "dmarc=pass")
			return forwarded(d)
		}, "", "INBOX"},
		{"the first host has found it to fail", func(t *testing.T, subject string) string {
			d, _ := pass(t, arcFirst, attackerIP, "any@attack.test", alice, "INBOX", subject, plain(subject))
			wantResults(t, d, "dmarc=fail")
			return forwarded(d)
		}, "", "Junk"},
		{"a lie that the first host has sealed", func(t *testing.T, subject string) string {
			d, _ := pass(t, arcFirst, attackerIP, "any@attack.test", alice, "INBOX", subject, sealAs(t, "attack.test", "attack.test", lie, plain(subject)))
			wantResults(t, d, "dmarc=fail", "arc=pass")
			return forwarded(d)
		}, "", "Junk"},
		{"what the first host has found, on another body", func(t *testing.T, subject string) string {
			d, _ := pass(t, arcFirst, legitIP, "admin@legit.test", alice, "INBOX", subject, plain(subject))
			return strings.Replace(forwarded(d), "hello", "sign in", 1)
		}, noDMARC, ""},
		{"what the first host has found, turned round", func(t *testing.T, subject string) string {
			return strings.Replace(sealAs(t, "first.test", "first.test", truth, plain(subject)), truth, lie, 1)
		}, noDMARC, ""},
		{"what the first host has found, through the attacker", func(t *testing.T, subject string) string {
			return sealAs(t, "attack.test", "attack.test", "arc=pass", sealAs(t, "first.test", "first.test", lie, plain(subject)))
		}, noDMARC, ""},
		{"a chain of the attacker's own", func(t *testing.T, subject string) string {
			return sealAs(t, "attack.test", "attack.test", lie, plain(subject))
		}, noDMARC, ""},
		{"a chain in the first host's name", func(t *testing.T, subject string) string {
			return sealAs(t, "attack.test", "first.test", lie, plain(subject))
		}, noDMARC, ""},
		{"results alone in the first host's name", func(t *testing.T, subject string) string {
			return "ARC-Authentication-Results: i=1; mx.first.test; " + lie + "\r\n" + plain(subject)
		}, noDMARC, ""},
		{"51 sets", func(t *testing.T, subject string) string {
			return strings.Repeat("ARC-Seal: i=1; cv=none\r\n", 51) + plain(subject)
		}, noDMARC, ""},
		{"a trusted sealer whose key is not to be had", func(t *testing.T, subject string) string {
			return sealAs(t, "attack.test", "broken.test", lie, plain(subject))
		}, "451 4.7.0", ""},
		{"a chain that is wrong for good, and a key that is not to be had", func(t *testing.T, subject string) string {
			raw := sealAs(t, "attack.test", "first.test", lie, sealAs(t, "attack.test", "attack.test", lie, plain(subject)))
			return strings.ReplaceAll(raw, "d=attack.test", "d=broken.test")
		}, noDMARC, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			subject := fmt.Sprintf("chain %d", serial.Add(1))
			raw := c.raw(t, subject)
			if c.want != "" {
				r, err := dial(t, arcNext, attackerIP).Send("any@attack.test", []string{bob}, []byte(raw))
				if err != nil {
					t.Fatal(err)
				}
				got := fmt.Sprint(r.Code, " ", strings.SplitN(r.Text()+" ", " ", 2)[0])
				check(t, got == c.want, "got %v, want %s", r, c.want)
				return
			}
			d, v := pass(t, arcNext, attackerIP, "any@attack.test", bob, c.folder, subject, raw)
			wantResults(t, d, "dmarc=fail", "arc=pass", "header.from=legit.test")
			check(t, strings.Contains(v["findings"], "DMARC_INDIRECT"), "findings: %v", v)
			explained, code, err := daemons[arcNext].Command(within(t), "why", v["id"])
			check(t, err == nil && code == 0 && strings.Contains(explained, "arc=pass as["), "why: %d, %v\n%s", code, err, explained)
		})
	}
}
