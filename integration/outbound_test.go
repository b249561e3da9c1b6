package integration

import (
	"strings"
	"testing"
)

// TestOutbound sends mail of our own: by login, from our networks, and from the
// host itself. It bears nothing of ours (signatures come later), and is not refused.
func TestOutbound(t *testing.T) {
	t.Parallel()
	b := testBed(t)
	d := daemon(t, "milterd")

	fromAlice := func(t *testing.T, body string) Mail {
		m := newMail(t, body)
		m.From, m.To = alice, "x@remote.test"
		return m
	}
	login := func(t *testing.T, listener string) *SMTP {
		t.Helper()
		c := dial(t, listener, "")
		if err := c.StartTLS(); err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(alice, "pass"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, listener := range []string{"submission", "nomacros-submission"} {
		t.Run(listener, func(t *testing.T) {
			t.Parallel()
			m := fromAlice(t, "to the world")
			m.Header = []string{"Authentication-Results: mx.example.test; dmarc=pass header.from=forged.test"}
			r := sendFrom(t, login(t, listener), alice, m, m.To)
			check(t, r.Code == 250, "got %v, want 250", r)
			v := verdict(t, d, r.QueueID())
			check(t, v["role"] == "outbound" && v["action"] == "accept", "verdict: %v", v)
			wantNothingOfOurs(t, sunk(t, m).Delivered)
		})
	}
	t.Run("submissions", func(t *testing.T) {
		t.Parallel()
		c, err := DialSMTP(within(t), b.Addr("submissions"), "laptop.test", insecureTLS())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Auth(bob, "pass"); err != nil {
			t.Fatal(err)
		}
		m := fromAlice(t, "over implicit TLS")
		m.From = bob
		r := sendFrom(t, c, bob, m, m.To)
		v := verdict(t, d, r.QueueID())
		check(t, v["role"] == "outbound", "verdict: %v", v)
		got := sunk(t, m)
		check(t, got.From == bob, "envelope sender %q", got.From)
		wantNothingOfOurs(t, got.Delivered)
	})
	t.Run("spam of a login is held, not refused", func(t *testing.T) {
		t.Parallel()
		m := fromAlice(t, gtube)
		r := sendFrom(t, login(t, "submission"), alice, m, m.To)
		check(t, r.Code == 250, "got %v, want 250", r)
		v := verdict(t, d, r.QueueID())
		check(t, v["action"] == "quarantine" && strings.Contains(v["findings"], "GTUBE"), "verdict: %v", v)
	})
	t.Run("spam of our networks is watched, not refused", func(t *testing.T) {
		t.Parallel()
		m := fromAlice(t, gtube)
		r := sendFrom(t, dial(t, "mx", ""), alice, m, alice)
		check(t, r.Code == 250, "got %v, want 250", r)
		v := verdict(t, d, r.QueueID())
		check(t, v["action"] == "accept" && strings.Contains(v["findings"], "GTUBE"), "verdict: %v", v)
		wantNothingOfOurs(t, find(t, alice, "INBOX", m))
	})
	t.Run("our networks", func(t *testing.T) {
		t.Parallel()
		m := fromAlice(t, "from a machine of ours")
		r := sendFrom(t, dial(t, "mx", ""), alice, m, alice) // 127.0.0.1, no XCLIENT
		check(t, r.Code == 250, "got %v, want 250", r)
		v := verdict(t, d, r.QueueID())
		check(t, v["role"] == "outbound", "verdict: %v", v)
		wantNothingOfOurs(t, find(t, alice, "INBOX", m))
	})
	t.Run("sendmail", func(t *testing.T) {
		t.Parallel()
		m := newMail(t, "the daily report")
		m.From = "cron@example.test"
		if err := b.Sendmail(within(t), m.From, []string{alice, "x@remote.test"}, m.Bytes()); err != nil {
			t.Fatal(err)
		}
		v := verdict(t, d, queueID(t, m.MessageID()))
		check(t, v["role"] == "outbound" && v["action"] == "accept", "verdict: %v", v)
		wantNothingOfOurs(t, find(t, alice, "INBOX", m))
		wantNothingOfOurs(t, sunk(t, m).Delivered)
	})
	t.Run("bounce", func(t *testing.T) {
		t.Parallel()
		m := fromAlice(t, "to somebody who left")
		r := sendFrom(t, login(t, "submission"), alice, m, "gone@remote.test")
		check(t, r.Code == 250, "got %v, want 250", r)
		line, err := b.Log.Wait(within(t), 0, "/bounce[", r.QueueID()+": sender non-delivery notification: ")
		if err != nil {
			t.Fatal(err)
		}
		_, id, _ := strings.Cut(line, "notification: ")
		v := verdict(t, d, id)
		check(t, v["role"] == "outbound" && v["action"] == "accept", "Postfix's own bounce: %v", v)
		check(t, b.Gone(within(t), id) == nil, "the bounce %s is still queued", id)
	})
}

// sunk waits for a mail at the sink.
func sunk(t *testing.T, m Mail) Received {
	t.Helper()
	got, err := testBed(t).Sink.Wait(within(t), m.Subject)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// wantNothingOfOurs wants no field that milterd adds to inbound mail, nor one that
// says it is of ours.
func wantNothingOfOurs(t *testing.T, got Delivered) {
	t.Helper()
	for _, prefix := range []string{"X-Spam", "X-Milterd", "Authentication-Results"} {
		fields := got.Named(prefix)
		check(t, len(fields) == 0, "mail of ours bears %v", fields)
	}
}

// TestReinject sends mail through a content filter on the same host, which Postfix
// hands to milterd a second time.
func TestReinject(t *testing.T) {
	t.Parallel()
	b := testBed(t)
	d := daemon(t, "milterd")
	filter, err := StartSink(shared.filter.Addr(), func(m Received) string {
		c, err := DialSMTP(t.Context(), b.Addr("reinject"), "filter.test", nil)
		if err != nil {
			return "451 4.3.0 " + err.Error()
		}
		defer c.Close()
		r, err := c.Send(m.From, m.To, m.Raw)
		if err != nil || r.Code != 250 {
			return "451 4.3.0 not re-injected"
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	defer filter.Close()

	m := newMail(t, "twice through the same door")
	m.Subject += " worth seven" // with findings, so that their points could count twice
	r := send(t, dial(t, "filtered", stranger), m)
	check(t, r.Code == 250, "got %v, want 250", r)
	first := verdict(t, d, r.QueueID())
	got := find(t, alice, "Junk", m)
	wantResults(t, got, "spf=pass", "smtp.mailfrom="+joe)
	for _, name := range []string{"X-Spam-Status", "X-Spam-Flag", "X-Milterd-Id"} {
		check(t, len(got.All(name)) == 1, "%s after the second pass: %q", name, got.All(name))
	}
	check(t, strings.HasPrefix(got.Get("X-Milterd-Id"), first["id"]), "X-Milterd-Id %q is not the first pass's, %v", got.Get("X-Milterd-Id"), first)
	line, err := b.Log.Wait(within(t), 0, "postfix/smtp[", r.QueueID()+":", "status=sent")
	check(t, err == nil, "the filter did not take it: %v", err)

	var second Verdict
	for _, v := range d.Verdicts(0) {
		if v["role"] == "reinject" {
			second = v
		}
	}
	check(t, second["action"] == "accept", "verdict of the second pass: %v (%s)", second, line)
	n, err := d.Metric(within(t), "milterd_messages_total", `role="reinject"`)
	check(t, err == nil && n == 1, "milterd_messages_total{role=reinject}: %v, %v", n, err)

	t.Run("a stranger's copy of the id proves nothing", func(t *testing.T) {
		copied := newMail(t, "look, your own mark")
		copied.Header = []string{"X-Milterd-Id: " + got.Get("X-Milterd-Id"), "X-Spam-Status: No, forged"}
		r := send(t, dial(t, "mx", stranger), copied)
		v := verdict(t, d, r.QueueID())
		check(t, v["role"] == "inbound", "role %q, want inbound", v["role"])
		delivered := find(t, alice, "INBOX", copied)
		check(t, !strings.Contains(delivered.Get("X-Spam-Status"), "forged"), "X-Spam-Status: %q", delivered.Get("X-Spam-Status"))
	})
}
