package integration

import (
	"regexp"
	"strings"
	"testing"
)

// TestInbound plays strangers to the MX of deploy/postfix/main.cf.
func TestInbound(t *testing.T) {
	t.Parallel()
	d := daemon(t, "milterd")

	for name, listener := range map[string]string{"unix": "mx", "inet": "mx-inet", "nomacros": "nomacros"} {
		t.Run("ham over "+name, func(t *testing.T) {
			t.Parallel()
			m := newMail(t, "hello")
			r := send(t, dial(t, listener, stranger), m)
			check(t, r.Code == 250, "got %v, want 250", r)
			v := verdict(t, d, r.QueueID())
			check(t, v["role"] == "inbound" && v["action"] == "accept", "verdict: %v", v)
			check(t, v["client"] == "203.0.113.7", "client: %v", v)
			check(t, transactionID.MatchString(v["id"]), "id %q, want twelve letters and digits", v["id"])
			got := find(t, alice, "INBOX", m)
			wantResults(t, got, "spf=pass", "smtp.mailfrom="+joe)
			status := got.All("X-Spam-Status")
			check(t, len(status) == 1 && strings.HasPrefix(status[0], "No, score="), "X-Spam-Status: %q", status)
			check(t, len(got.All("X-Spam-Score")) == 1, "X-Spam-Score: %q", got.All("X-Spam-Score"))
			check(t, len(got.All("X-Spam-Flag")) == 0, "X-Spam-Flag on ham: %q", got.All("X-Spam-Flag"))
			id := got.Get("X-Milterd-Id")
			check(t, strings.HasPrefix(id, v["id"]), "X-Milterd-Id %q does not begin with the id %q", id, v["id"])
		})
	}
	t.Run("SPF looks at the client of XCLIENT", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "mx", "ADDR=198.51.100.9 NAME=elsewhere.test PORT=40001")
		m := newMail(t, "not from here")
		r := sendFrom(t, c, "joe@strict.test", m, alice)
		check(t, r.Code == 250, "a failed SPF alone refuses nothing: %v", r)
		wantResults(t, find(t, alice, "INBOX", m), "spf=fail", "smtp.mailfrom=joe@strict.test")
	})
	t.Run("IPv6", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "mx", "ADDR=IPV6:2001:db8::25 NAME=mail.sender.test PORT=40002")
		m := newMail(t, "over IPv6")
		r := send(t, c, m)
		wantResults(t, find(t, alice, "INBOX", m), "spf=pass")
		v := verdict(t, d, r.QueueID())
		check(t, v["client"] == "2001:db8::25", "client: %v", v)
	})
	t.Run("GTUBE is refused", func(t *testing.T) {
		t.Parallel()
		r := send(t, dial(t, "mx", stranger), newMail(t, gtube))
		id := wantRefusal(t, r, 554, "5.7.1")
		v, err := d.VerdictOf(within(t), id)
		check(t, err == nil && v["action"] == "reject", "verdict of %s: %v, %v", id, v, err)
		check(t, strings.Contains(v["findings"], "GTUBE"), "findings: %v", v)
	})
	t.Run("a footer makes the reply multi-line", func(t *testing.T) {
		t.Parallel()
		r := send(t, dial(t, "footer", stranger), newMail(t, gtube))
		check(t, r.Code == 554 && len(r.Lines) >= 2, "got %v, want 554 in two lines", r)
		wantRefusal(t, Reply{Code: r.Code, Lines: r.Lines[:1]}, 554, "5.7.1")
		check(t, strings.Contains(r.Text(), "https://example.test/help"), "no help in %v", r)
	})
	t.Run("several points make junk", func(t *testing.T) {
		t.Parallel()
		m := newMail(t, "hello")
		m.Subject += " worth seven"
		r := send(t, dial(t, "mx", stranger), m)
		check(t, r.Code == 250, "got %v, want 250", r)
		got := find(t, alice, "Junk", m)
		check(t, got.Get("X-Spam-Flag") == "YES", "X-Spam-Flag: %q", got.Get("X-Spam-Flag"))
		check(t, strings.Contains(got.Get("X-Spam-Status"), "TEST_SEVEN"), "X-Spam-Status: %q", got.Get("X-Spam-Status"))
		check(t, strings.HasPrefix(got.Get("X-Spam-Level"), "*******"), "X-Spam-Level: %q", got.Get("X-Spam-Level"))
		v := verdict(t, d, r.QueueID())
		check(t, v["action"] == "junk", "verdict: %v", v)
	})
}

// TestForgedHeaders sends what strangers put into their mail to pass for checked.
func TestForgedHeaders(t *testing.T) {
	t.Parallel()
	d := daemon(t, "milterd")
	m := newMail(t, "trust me")
	m.Header = []string{
		"X-Spam-Flag: YES f0rged",
		"X-Spam: Yes f0rged",
		"X-Spam-Status: No, score=-100 f0rged",
		"x-spam-score: -100 f0rged",
		"X-Spam-Something-New: f0rged",
		"X-Milterd-Id: k7q2m9zt4w1c f0rged",
		"X-Milterd-Carry: f0rged",
		"Authentication-Results: mx.example.test; spf=pass smtp.mailfrom=f0rged1@sender.test",
		"Authentication-Results: MX.Example.TEST 1; dkim=pass header.d=f0rged2.test",
		"Authentication-Results: (f0rged3) mx.example.test (comment) 1 ; dmarc=pass",
		"Authentication-Results: \"mx.example.test\"; dmarc=pass header.from=f0rged4.test",
		"Authentication-Results:\r\n mx.example.test;\r\n\tdmarc=pass header.from=f0rged5.test",
		"AUTHENTICATION-RESULTS: mx.example.test; =f0rged6;; ;",
		"Authentication-Results : mx.example.test; dmarc=pass header.from=f0rged7.test",
		"Authentication-Results: mx.example.test",
		"Authentication-Results: mx.other.test; spf=pass smtp.mailfrom=kept@sender.test",
		"Authentication-Results: mx.example.test.other.test; dkim=pass header.d=kept.test",
	}
	r := send(t, dial(t, "mx", stranger), m)
	check(t, r.Code == 250, "got %v, want 250", r)
	got := find(t, alice, "INBOX", m) // and not in Junk, for all the flag says
	wantResults(t, got, "spf=pass", "smtp.mailfrom="+joe)
	for _, f := range got.Fields {
		check(t, !strings.Contains(f.Value, "f0rged"), "left in: %s: %s", f.Name, f.Value)
	}
	results := got.All("Authentication-Results")
	check(t, len(results) == 3, "want ours and two foreign ones, got %q", results)
	for _, foreign := range []string{"kept@sender.test", "header.d=kept.test"} {
		check(t, strings.Contains(strings.Join(results, "\n"), foreign), "%s was removed: %q", foreign, results)
	}
	v := verdict(t, d, r.QueueID())
	check(t, v["role"] == "inbound", "a forged X-Milterd-Id gave role %q", v["role"])
}

// TestAuthor sends mail without exactly one usable author.
func TestAuthor(t *testing.T) {
	t.Parallel()
	daemon(t, "milterd")
	for name, m := range map[string]Mail{
		"none":        {},
		"two fields":  {From: "admin@legit.test", Header: []string{"From: first@attack.test"}},
		"two domains": {From: "<first@attack.test>, <admin@legit.test>"},
		"unbalanced":  {From: "<admin@legit.test>>"},
		"route":       {From: "<@attack.test:admin@legit.test>"},
		"group":       {From: "friends: a@legit.test, b@legit.test;"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := newMail(t, "who am I?")
			whole.From, whole.Header = m.From, m.Header
			wantRefusal(t, send(t, dial(t, "mx", stranger), whole), 550, "5.7.1")
		})
	}
	t.Run("a bounce may go without", func(t *testing.T) {
		t.Parallel()
		m := newMail(t, "undeliverable")
		m.From = ""
		r := sendFrom(t, dial(t, "mx", stranger), "", m, alice)
		check(t, r.Code == 250, "got %v, want 250", r)
		wantResults(t, find(t, alice, "INBOX", m), "smtp.helo=mail.sender.test")
	})
}

// TestSessions sends more than one message, or less, over one connection.
func TestSessions(t *testing.T) {
	t.Parallel()
	d := daemon(t, "milterd")
	t.Run("one of two recipients is refused by Postfix", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "mx", stranger)
		m := newMail(t, "to one of two")
		cmd(t, c, 250, "MAIL FROM:<%s>", joe)
		cmd(t, c, 550, "RCPT TO:<nobody@example.test>")
		cmd(t, c, 250, "RCPT TO:<%s>", alice)
		r, err := c.Data(m.Bytes())
		check(t, err == nil && r.Code == 250, "got %v, %v, want 250", r, err)
		v := verdict(t, d, r.QueueID())
		check(t, v["role"] == "inbound" && v["client"] == "203.0.113.7", "the connection was forgotten: %v", v)
		wantResults(t, find(t, alice, "INBOX", m), "spf=pass", "smtp.mailfrom="+joe)
	})
	t.Run("two messages", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "mx", stranger)
		first, second := newMail(t, "one"), newMail(t, "two")
		r1 := send(t, c, first)
		r2 := sendFrom(t, c, "joe@strict.test", second, bob)
		check(t, r1.Code == 250 && r2.Code == 250, "got %v and %v", r1, r2)
		wantResults(t, find(t, alice, "INBOX", first), "spf=pass", "smtp.mailfrom="+joe)
		wantResults(t, find(t, bob, "INBOX", second), "spf=fail", "smtp.mailfrom=joe@strict.test")
		v1, v2 := verdict(t, d, r1.QueueID()), verdict(t, d, r2.QueueID())
		check(t, v1["id"] != v2["id"] && v2["client"] == "203.0.113.7", "verdicts: %v and %v", v1, v2)
	})
	t.Run("a message after a refused one", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "mx", stranger)
		wantRefusal(t, send(t, c, newMail(t, gtube)), 554, "5.7.1")
		m := newMail(t, "sorry")
		r := send(t, c, m)
		check(t, r.Code == 250, "got %v, want 250", r)
		wantResults(t, find(t, alice, "INBOX", m), "spf=pass")
	})
	t.Run("RSET", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "mx", stranger)
		cmd(t, c, 250, "MAIL FROM:<joe@strict.test>")
		cmd(t, c, 250, "RCPT TO:<%s>", bob)
		cmd(t, c, 250, "RSET")
		m := newMail(t, "once more")
		r := send(t, c, m)
		check(t, r.Code == 250, "got %v, want 250", r)
		wantResults(t, find(t, alice, "INBOX", m), "spf=pass", "smtp.mailfrom="+joe)
	})
	t.Run("commands that are none", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "mx", stranger)
		cmd(t, c, 500, "FOOBAR")
		cmd(t, c, 250, "MAIL FROM:<%s> SIZE=2000 BODY=8BITMIME", joe)
		cmd(t, c, 252, "VRFY %s", alice)
		cmd(t, c, 250, "RCPT TO:<%s>", alice)
		m := newMail(t, "grüße")
		r, err := c.Data(m.Bytes())
		check(t, err == nil && r.Code == 250, "got %v, %v, want 250", r, err)
		wantResults(t, find(t, alice, "INBOX", m), "spf=pass")
	})
}

// TestStrangerStaysInbound plays clients that look like Postfix's own mail.
func TestStrangerStaysInbound(t *testing.T) {
	t.Parallel()
	d := daemon(t, "milterd")
	for name, client := range map[string]struct{ xclient, mail string }{
		"no brackets":         {stranger, "MAIL FROM:" + joe},
		"port 0":              {"ADDR=203.0.113.7 NAME=mail.sender.test PORT=0", "MAIL FROM:<" + joe + ">"},
		"both, and localhost": {"ADDR=203.0.113.7 NAME=localhost PORT=0", "MAIL FROM:" + joe},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, "mx", client.xclient)
			m := newMail(t, "am I not one of yours?")
			m.Header = []string{"X-Spam-Status: No, forged"}
			cmd(t, c, 250, "%s", client.mail)
			cmd(t, c, 250, "RCPT TO:<%s>", alice)
			r, err := c.Data(m.Bytes())
			check(t, err == nil && r.Code == 250, "got %v, %v, want 250", r, err)
			v := verdict(t, d, r.QueueID())
			check(t, v["role"] == "inbound", "role %q, want inbound", v["role"])
			got := find(t, alice, "INBOX", m)
			status := got.All("X-Spam-Status")
			check(t, len(status) == 1 && !strings.Contains(status[0], "forged"), "X-Spam-Status: %q", status)
			wantResults(t, got, "spf=pass", "smtp.mailfrom="+joe)
		})
	}
}

// transactionID is what DESIGN promises of ids.
var transactionID = regexp.MustCompile(`^[0-9A-Za-z]{12}$`)

// refusal is one line of a 4xx or 5xx reply of milterd's.
var refusal = regexp.MustCompile(`^([245]\.\d+\.\d+) [^()]+.* \(([0-9A-Za-z]{12})\)$`)

// wantRefusal wants one line with these codes and returns the transaction id at its
// end.
func wantRefusal(t *testing.T, r Reply, code int, enhanced string) (id string) {
	t.Helper()
	parts := refusal.FindStringSubmatch(r.Text())
	if !check(t, r.Code == code && parts != nil && parts[1] == enhanced, "got %v, want %d %s … (id)", r, code, enhanced) {
		t.FailNow()
	}
	return parts[2]
}

// wantResults wants exactly one Authentication-Results of ours, above all foreign
// ones, that says these things.
func wantResults(t *testing.T, got Delivered, want ...string) {
	t.Helper()
	var ours []string
	all := got.All("Authentication-Results")
	for _, value := range all {
		if id, _, _ := strings.Cut(value, ";"); strings.EqualFold(strings.TrimSpace(id), "mx.example.test") {
			ours = append(ours, value)
		}
	}
	if !check(t, len(ours) == 1 && ours[0] == all[0], "want one Authentication-Results of ours on top, got %q", all) {
		return
	}
	for _, part := range want {
		check(t, strings.Contains(ours[0], part), "Authentication-Results: %q does not say %q", ours[0], part)
	}
}
