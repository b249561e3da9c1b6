package integration

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/dkim"
	"milterd/message"

	msgauth "github.com/emersion/go-msgauth/dkim"
)

// A signingSite is a bed of its own, whose one milterd signs: submission, mail of
// this host and bounces all come to it.
type signingSite struct {
	*Bed
	daemon *Daemon
	keys   string            // directory of the keys
	dns    map[string]string // their TXT records
}

// signingConfig signs for three domains. The keys of example.test are on a volume
// that is not there at first.
const signingConfig = `
signing:
  domains:
    example.test:
      keys:
        - {selector: rsa, file: %[1]s/example.test/rsa.pem}
        - {selector: ed, file: %[1]s/example.test/ed.pem}
    lists.example.test: {keys: [{selector: list, file: %[1]s/here/list.pem}]}
    second.test: {keys: [{selector: ed, file: %[1]s/here/second.pem}], canonicalization: simple/simple}
`

func newSigningSite(t *testing.T) *signingSite {
	t.Helper()
	testBed(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := buildOnce(ctx); err != nil {
		t.Fatal(err)
	}
	filter, err := ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(filter.Release)
	login := "smtpd_sasl_auth_enable = yes"
	s := &signingSite{dns: map[string]string{}}
	s.Bed, err = Start(ctx, Config{
		// As Postfix comes: mail of this host gets what it lacks.
		MainCF: "local_header_rewrite_clients = permit_inet_interfaces\n",
		Listeners: []Listener{
			{Name: "strict", Milter: "unix:milterd/strict.sock", Options: []string{login}},
			{Name: "bare", Options: []string{login, "local_header_rewrite_clients ="}},
			{Name: "filtered", Options: []string{login, "content_filter = smtp:[127.0.0.1]:" + port(filter)}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	passOn, err := StartSink(filter.Addr(), func(m Received) string {
		c, err := DialSMTP(t.Context(), s.Addr("reinject"), "filter.test", nil)
		if err != nil {
			return "451 4.3.0 " + err.Error()
		}
		defer c.Close()
		raw := append([]byte("X-Filtered: yes\n"), m.Raw...)
		if r, err := c.Send(m.From, m.To, raw); err != nil || r.Code != 250 {
			return "451 4.3.0 not re-injected"
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { passOn.Close() })
	s.keys = filepath.Join(s.Dir(), "keys")
	s.put(t, "here/list.pem", "list._domainkey.lists.example.test", newEd25519(t))
	s.put(t, "here/second.pem", "ed._domainkey.second.test", newEd25519(t))
	yaml := fmt.Sprintf(signingConfig, s.keys)
	for _, c := range []DaemonConfig{
		{Name: "milterd", YAML: yaml},
		{Name: "strict", YAML: yaml + "  on_foreign: reject\n  sender_binding: address\n"},
	} {
		c.DNS = []string{shared.names.Addr()}
		d, err := s.StartDaemon(ctx, shared.binary, c)
		if err != nil {
			t.Fatal(err)
		}
		if c.Name == "milterd" {
			s.daemon = d
		}
	}
	return s
}

func newEd25519(t *testing.T) crypto.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

// put writes a key as an operator would, for root and the daemon's group, and
// publishes it.
func (s *signingSite) put(t *testing.T, file, name string, private crypto.Signer) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.keys, file)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o640), chown(path, "root", daemonUser)); err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	kind := "rsa"
	if raw, ok := private.Public().(ed25519.PublicKey); ok {
		kind, public = "ed25519", raw
	}
	s.dns[name] = "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(public)
}

// LookupTXT implements dkim.TXTResolver.
func (s *signingSite) LookupTXT(_ context.Context, name string) ([]string, error) {
	if record, ok := s.dns[name]; ok {
		return []string{record}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// login is a session of alice's at a listener.
func (s *signingSite) login(t *testing.T, listener string) *SMTP {
	t.Helper()
	c := s.dial(t, listener, "")
	if err := errors.Join(c.StartTLS(), c.Auth(alice, "pass")); err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *signingSite) dial(t *testing.T, listener, xclient string) *SMTP {
	t.Helper()
	c, err := s.Client(within(t), listener, xclient)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// sunk waits for a message at the sink.
func (s *signingSite) sunk(t *testing.T, subject string) Received {
	t.Helper()
	got, err := s.Sink.Wait(within(t), subject)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// wantSigned wants the message to bear exactly the signatures of these selectors,
// in this order, each valid here and by go-msgauth.
func (s *signingSite) wantSigned(t *testing.T, got Received, selectors ...string) {
	t.Helper()
	fields, body := rawParts(string(got.Raw))
	v := (&dkim.Verifier{Resolver: s, MaxSignatures: 20}).Start(t.Context(), fields, message.Domain{})
	v.Write([]byte(body))
	var passed, failed []string
	for _, r := range v.Finish(t.Context()) {
		if r.Status == dkim.Pass {
			passed = append(passed, r.Selector)
		} else {
			failed = append(failed, fmt.Sprintf("%s %s: %v", r.Selector, r.Status, r.Err))
		}
	}
	check(t, len(failed) == 0 && slices.Equal(passed, selectors), "signatures of %v pass and %v do not, want %v on\n%s", passed, failed, selectors, got.Raw)
	theirs, err := msgauth.VerifyWithOptions(strings.NewReader(strings.ReplaceAll(string(got.Raw), "\n", "\r\n")), &msgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return s.LookupTXT(t.Context(), name) },
	})
	check(t, err == nil && len(theirs) == len(selectors), "go-msgauth sees %d signatures, %v", len(theirs), err)
	for _, one := range theirs {
		check(t, one.Err == nil, "go-msgauth: %v on\n%s", one.Err, got.Raw)
	}
	wantNothingOfOurs(t, got.Delivered)
}

// rawParts divides a message whose lines end in LF.
func rawParts(raw string) (fields []message.Field, body string) {
	head, body, _ := strings.Cut(raw, "\n\n")
	for line := range strings.SplitSeq(head, "\n") {
		if last := len(fields) - 1; last >= 0 && strings.IndexAny(line, " \t") == 0 {
			fields[last].Value += "\n" + line
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		fields = append(fields, message.Field{Name: name, Value: value})
	}
	return fields, strings.ReplaceAll(body, "\n", "\r\n")
}

func TestSigning(t *testing.T) {
	t.Parallel()
	s := newSigningSite(t)
	outward := func(t *testing.T, from, body string) Mail {
		m := newMail(t, body)
		m.From, m.To = from, "x@remote.test"
		return m
	}

	// The volume with the keys is not there: submission waits, verification goes on,
	// and the other domains sign.
	m := outward(t, alice, "too early")
	r := sendFrom(t, s.login(t, "submission"), alice, m, m.To)
	wantRefusal(t, r, 451, "4.7.5")
	check(t, strings.Contains(r.Text(), "Signing unavailable"), "reply %v", r)
	report := outward(t, "cron@example.test", "a report that waits")
	if err := s.Sendmail(within(t), "cron@example.test", []string{report.To}, report.Bytes()); err != nil {
		t.Fatal(err)
	}
	_, err := s.daemon.Log.Wait(within(t), 0, "msg=verdict", "cron@example.test", "action=tempfail", "4.7.5")
	check(t, err == nil, "mail of this host is not told to wait: %v", err)
	inbound := newMail(t, "inbound all the same")
	r = send(t, s.dial(t, "mx", stranger), inbound)
	check(t, r.Code == 250, "inbound: %v", r)
	carols := outward(t, carol, "of another domain")
	sendFrom(t, s.dial(t, "reinject", ""), carol, carols, carols.To)
	s.wantSigned(t, s.sunk(t, carols.Subject), "ed")
	n, err := s.daemon.Metric(within(t), "milterd_dkim_sign_total", `domain="example.test"`, `result="waiting"`)
	check(t, err == nil && n == 2, "%v waiting, %v", n, err)

	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, "example.test/rsa.pem", "rsa._domainkey.example.test", rsaKey)
	s.put(t, "example.test/ed.pem", "ed._domainkey.example.test", newEd25519(t))
	heals := within(t)
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for r = sendFrom(t, s.login(t, "submission"), alice, m, m.To); r.Code == 451; r = sendFrom(t, s.login(t, "submission"), alice, m, m.To) {
		select {
		case <-again.C:
		case <-heals.Done():
			t.Fatalf("does not heal: %v", r)
		}
	}
	check(t, r.Code == 250, "healed: %v", r)
	s.wantSigned(t, s.sunk(t, m.Subject), "rsa", "ed")

	if _, err := s.Postfix(within(t), "postqueue", "-f"); err != nil { // or it waits for pickup's next minute
		t.Fatal(err)
	}
	s.wantSigned(t, s.sunk(t, report.Subject), "rsa", "ed")

	t.Run("submission", func(t *testing.T) { testSubmission(t, s, outward) })
	t.Run("this host", func(t *testing.T) { testOwnHost(t, s, outward) })
	t.Run("lists", func(t *testing.T) { testLocalList(t, s, outward) })
	t.Run("foreign", func(t *testing.T) { testForeign(t, s, outward) })
	t.Run("explained", func(t *testing.T) { testSigningExplained(t, s) })
}

type outwardMail func(t *testing.T, from, body string) Mail

// testSubmission sends what people write.
func testSubmission(t *testing.T, s *signingSite, outward outwardMail) {
	for name, change := range map[string]func(*Mail){
		"plain":           func(*Mail) {},
		"blanks and dots": func(m *Mail) { m.Body = "trailing  \t\n.\n..dots\n\n \n\n\n" },
		"empty":           func(m *Mail) { m.Body = "" },
		"8bit": func(m *Mail) {
			m.Header = []string{"MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"}
			m.Body = "größer als \xff"
		},
		"MIME": func(m *Mail) {
			m.Header = []string{"Content-Type: multipart/mixed;\r\n\tboundary=\"x\"", "MIME-Version: 1.0"}
			m.Body = "--x\nContent-Type: text/plain\n\nhello\n--x\nContent-Type: text/html\n\n<p>hello\n--x--"
		},
		"odd folding": func(m *Mail) { m.From = "Alice\r\n\t=?utf-8?q?=C3=A4?=\r\n  <" + alice + ">  " },
		"Bcc":         func(m *Mail) { m.Header = []string{"Bcc: hidden@remote.test", "Return-Path: <x@y.test>"} },
		"forged marks": func(m *Mail) {
			m.Header = []string{"X-Milterd-Id: k7q2m9zt4w1c 0123", "Authentication-Results: mx.example.test; dkim=pass"}
		},
		"long lines": func(m *Mail) { m.Body = strings.Repeat(strings.Repeat("x", 970)+"\n", 40) },
		"large":      func(m *Mail) { m.Body = strings.Repeat("a line as long as people write them \n", 1<<20/38) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := outward(t, alice, "hello")
			change(&m)
			r := sendFrom(t, s.login(t, "submission"), alice, m, m.To)
			check(t, r.Code == 250, "got %v", r)
			s.wantSigned(t, s.sunk(t, m.Subject), "rsa", "ed")
		})
	}
	// Without Date and Message-ID: Postfix adds them for clients on this host before
	// the milter sees the header, and never for others.
	for listener, want := range map[string]int{"submission": 1, "bare": 0} {
		t.Run("without Date at "+listener, func(t *testing.T) {
			t.Parallel()
			m := outward(t, alice, "")
			text := fmt.Sprintf("From: %s\r\nTo: x@remote.test\r\nSubject: %s\r\n\r\nhello\r\n", alice, m.Subject)
			r, err := s.login(t, listener).Send(alice, []string{m.To}, []byte(text))
			check(t, err == nil && r.Code == 250, "%v, %v", r, err)
			got := s.sunk(t, m.Subject)
			check(t, len(got.All("Date")) == want && len(got.All("Message-ID")) == want, "Date %q, Message-ID %q", got.All("Date"), got.All("Message-ID"))
			s.wantSigned(t, got, "rsa", "ed")
		})
	}
	t.Run("through a content filter", func(t *testing.T) {
		t.Parallel()
		m := outward(t, alice, "twice through the same door")
		r := sendFrom(t, s.login(t, "filtered"), alice, m, m.To)
		check(t, r.Code == 250, "got %v", r)
		got := s.sunk(t, m.Subject)
		check(t, got.Get("X-Filtered") == "yes", "it was not filtered:\n%s", got)
		s.wantSigned(t, got, "rsa", "ed")
	})
}

// testOwnHost sends mail of machines, of programs, and what Postfix itself writes.
func testOwnHost(t *testing.T, s *signingSite, outward outwardMail) {
	t.Run("our networks", func(t *testing.T) {
		t.Parallel()
		m := outward(t, "printer@example.test", "paper jam")
		r := sendFrom(t, s.dial(t, "reinject", ""), "printer@example.test", m, m.To)
		check(t, r.Code == 250, "got %v", r)
		s.wantSigned(t, s.sunk(t, m.Subject), "rsa", "ed")
	})
	t.Run("sendmail", func(t *testing.T) {
		t.Parallel()
		m := outward(t, "cron@example.test", "the daily report")
		if err := s.Sendmail(within(t), "cron@example.test", []string{m.To}, m.Bytes()); err != nil {
			t.Fatal(err)
		}
		s.wantSigned(t, s.sunk(t, m.Subject), "rsa", "ed")
	})
	t.Run("sendmail, with a subject and no more", func(t *testing.T) {
		t.Parallel()
		m := outward(t, "", "")
		text := fmt.Sprintf("Subject: %s\r\n\r\ndone\r\n", m.Subject)
		if err := s.Sendmail(within(t), "cron@example.test", []string{m.To}, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got := s.sunk(t, m.Subject)
		check(t, strings.Contains(got.Get("From"), "cron@example.test"), "From: %q", got.Get("From"))
		s.wantSigned(t, got, "rsa", "ed")
	})
	t.Run("a bounce", func(t *testing.T) {
		t.Parallel()
		m := outward(t, "printer@example.test", "to somebody who left")
		r := sendFrom(t, s.dial(t, "reinject", ""), "reports@remote.test", m, "gone@remote.test")
		check(t, r.Code == 250, "got %v", r)
		got := s.sunk(t, "Undelivered Mail Returned to Sender")
		check(t, got.From == "", "envelope sender %q", got.From)
		s.wantSigned(t, got, "rsa", "ed")
	})
}

// testLocalList plays a list manager on this host: mail of a stranger comes in and
// goes out again, changed.
func testLocalList(t *testing.T, s *signingSite, outward outwardMail) {
	m := newMail(t, "hello, list")
	r := send(t, s.dial(t, "mx", stranger), m)
	check(t, r.Code == 250, "got %v", r)
	delivered, err := s.Find(within(t), alice, "INBOX", m.Subject)
	if err != nil {
		t.Fatal(err)
	}
	check(t, delivered.Get("X-Milterd-Id") != "", "no mark on inbound mail")

	resend := func(subject, sender, fields string) Received {
		t.Helper()
		text := strings.ReplaceAll(fields+delivered.String(), "Subject: "+m.Subject, "Subject: "+subject)
		if err := s.Sendmail(within(t), sender, []string{"member@remote.test"}, []byte(text)); err != nil {
			t.Fatal(err)
		}
		return s.sunk(t, subject)
	}
	got := resend("[dev] "+m.Subject, "dev-bounces@lists.example.test", "List-Id: Developers <dev.lists.example.test>\nPrecedence: list\n")
	check(t, got.Get("From") == joe, "From: %q", got.Get("From"))
	s.wantSigned(t, Received{From: got.From, To: got.To, Raw: withoutSpam(got.Raw), Delivered: parseDelivered(withoutSpam(got.Raw))}, "list")

	// A user's filter sends it on as it is: it is still the stranger's.
	forwarded := resend("Fwd: "+m.Subject, joe, "")
	check(t, len(forwarded.All("DKIM-Signature")) == 0, "a stranger's mail is signed:\n%s", forwarded)
}

// withoutSpam takes off the X-Spam family, which a list keeps from the mail that
// came in and which may be a user's own on mail that leaves. It is not signed.
func withoutSpam(raw []byte) []byte {
	head, body, _ := strings.Cut(string(raw), "\n\n")
	lines := slices.DeleteFunc(strings.Split(head, "\n"), func(l string) bool { return strings.HasPrefix(l, "X-Spam") })
	return []byte(strings.Join(lines, "\n") + "\n\n" + body)
}

// testForeign sends what is not the sender's own.
func testForeign(t *testing.T, s *signingSite, outward outwardMail) {
	for name, from := range map[string]string{
		"bank": "ceo@bank.test", "other tenant": carol, "two authors": alice + ", admin@example.test",
		"two domains": alice + ", ceo@bank.test", "name": `"alice@example.test" <ceo@bank.test>`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := outward(t, from, "not mine")
			r := sendFrom(t, s.login(t, "submission"), alice, m, m.To)
			check(t, r.Code == 250, "got %v", r)
			got := s.sunk(t, m.Subject)
			check(t, len(got.All("DKIM-Signature")) == 0, "signed:\n%s", got)
			v := verdict(t, s.daemon, r.QueueID())
			check(t, strings.Contains(v["findings"], "SIGNING_FOREIGN") && strings.Contains(v["notes"], "signing not signed: "), "verdict %v", v)
			if own := strings.Contains(v["findings"], "SIGNING_UNSIGNED"); check(t, own == (name != "bank" && name != "name"), "findings %v", v) && own {
				_, err := s.daemon.Log.Wait(within(t), 0, "mail of a signing domain leaves unsigned", r.QueueID())
				check(t, err == nil, "own mail leaves unsigned in silence: %v", err)
			}

			m = outward(t, from, "not mine")
			wantRefusal(t, sendFrom(t, s.login(t, "strict"), alice, m, m.To), 553, "5.7.1")
		})
	}
	t.Run("a colleague, where the address counts", func(t *testing.T) {
		m := outward(t, bob, "not mine")
		wantRefusal(t, sendFrom(t, s.login(t, "strict"), alice, m, m.To), 553, "5.7.1")
	})
	t.Run("our networks are not held to it", func(t *testing.T) {
		m := outward(t, "ceo@bank.test", "a machine's mail")
		r := sendFrom(t, s.dial(t, "reinject", ""), alice, m, m.To)
		check(t, r.Code == 250, "got %v", r)
		check(t, len(s.sunk(t, m.Subject).All("DKIM-Signature")) == 0, "signed")
	})
	t.Run("a stranger with our name", func(t *testing.T) {
		m := newMail(t, "I am alice")
		m.From = alice
		r := send(t, s.dial(t, "mx", stranger), m)
		check(t, r.Code == 250, "got %v", r)
		got, err := s.Find(within(t), alice, "INBOX", m.Subject)
		check(t, err == nil && len(got.All("DKIM-Signature")) == 0, "signed, or %v", err)
	})
}

// testSigningExplained asks why.
func testSigningExplained(t *testing.T, s *signingSite) {
	m := newMail(t, "why?")
	m.From = alice
	path := filepath.Join(t.TempDir(), "m.eml")
	if err := os.WriteFile(path, m.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]string{
		alice:             "signing     signed: d=example.test s=rsa a=rsa-sha256 s=ed a=ed25519-sha256, sent by login " + alice,
		carol:             "signing     not signed: login " + carol + " does not own example.test",
		"eve@remote.test": "signing     not signed: login eve@remote.test does not own example.test",
	} {
		out, _, err := s.daemon.Command(within(t), "scan", "--explain", "--user", user, path)
		check(t, err == nil && strings.Contains(out, want), "scan --user %s: %v\n%s", user, err, out)
	}
	out, _, err := s.daemon.Command(within(t), "scan", "--explain", "--ip", "203.0.113.7", path)
	check(t, err == nil && strings.Contains(out, "signing     not signed: the message is inbound"), "scan: %v\n%s", err, out)

	mine := m
	mine.Subject += " again"
	r := sendFrom(t, s.login(t, "submission"), alice, mine, "x@remote.test")
	id := verdict(t, s.daemon, r.QueueID())["id"]
	out, _, err = s.daemon.Command(within(t), "why", id)
	check(t, err == nil && strings.Contains(out, "signing     signed: d=example.test"), "why %s: %v\n%s", id, err, out)
}
