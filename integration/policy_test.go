package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestJunk lets everything through to Sieve, which files what is flagged for every
// recipient.
func TestJunk(t *testing.T) {
	t.Parallel()
	d := daemon(t, "junk")
	m := newMail(t, gtube)
	r := send(t, dial(t, "junk", stranger), m, alice, bob, carol)
	check(t, r.Code == 250, "thresholds.reject is off, got %v", r)
	for _, user := range []string{alice, bob, carol} {
		got := find(t, user, "Junk", m)
		check(t, got.Get("X-Spam-Flag") == "YES" && strings.HasPrefix(got.Get("X-Spam-Status"), "Yes, score="),
			"%s: X-Spam-Flag %q, X-Spam-Status %q", user, got.Get("X-Spam-Flag"), got.Get("X-Spam-Status"))
	}
	v := verdict(t, d, r.QueueID())
	check(t, v["action"] == "junk", "verdict: %v", v)
}

// TestObserve wants the very message that was sent, and everything in the log.
func TestObserve(t *testing.T) {
	t.Parallel()
	d := daemon(t, "observe")
	m := newMail(t, gtube)
	m.Header = []string{
		"X-Spam-Status: No, as sent",
		"Authentication-Results: mx.example.test; spf=pass smtp.mailfrom=as.sent@sender.test",
	}
	r := send(t, dial(t, "observe", stranger), m)
	check(t, r.Code == 250, "got %v, want 250", r)
	got := find(t, alice, "INBOX", m)
	var names []string
	for _, f := range got.Fields {
		names = append(names, f.Name)
	}
	at := slices.Index(names, "X-Spam-Status")
	want := []string{"X-Spam-Status", "Authentication-Results", "From", "To", "Subject", "Message-ID", "Date"}
	check(t, at >= 0 && slices.Equal(names[at:], want), "header of the message: %q, want %q", names, want)
	for _, name := range names[:max(at, 0)] {
		check(t, slices.Contains([]string{"Return-Path", "Delivered-To", "Received"}, name), "%s was added", name)
	}
	v := verdict(t, d, r.QueueID())
	check(t, v["would"] == "reject" && v["action"] == "accept", "verdict: %v", v)

	t.Run("no author", func(t *testing.T) {
		m := newMail(t, "nobody in particular")
		m.From = ""
		r := send(t, dial(t, "observe", stranger), m)
		check(t, r.Code == 250, "got %v, want 250", r)
		v := verdict(t, d, r.QueueID())
		check(t, v["would"] == "reject", "verdict: %v", v)
	})
}

// TestTag wants headers, and no refusal.
func TestTag(t *testing.T) {
	t.Parallel()
	d := daemon(t, "tag")
	m := newMail(t, gtube)
	r := send(t, dial(t, "tag", stranger), m)
	check(t, r.Code == 250, "got %v, want 250", r)
	got := find(t, alice, "Junk", m)
	check(t, got.Get("X-Spam-Flag") == "YES", "X-Spam-Flag: %q", got.Get("X-Spam-Flag"))
	wantResults(t, got, "spf=pass")
	v := verdict(t, d, r.QueueID())
	check(t, v["action"] == "junk", "verdict: %v", v)
}

// TestTrusted sends spam by way of hosts that must never be refused.
func TestTrusted(t *testing.T) {
	t.Parallel()
	d := daemon(t, "trust")
	for name, client := range map[string]string{
		"relay":   "ADDR=198.51.100.25 NAME=backup.relay.test PORT=40003",
		"fetcher": "ADDR=192.0.2.77 NAME=fetch.relay.test PORT=40004",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMail(t, gtube)
			m.Header = []string{"Received: from mail.sender.test (mail.sender.test [203.0.113.7])\r\n\tby backup.relay.test (Postfix) with ESMTP id 4bVxYz1;\r\n\tFri, 20 Nov 2026 09:59:58 +0000 (UTC)"}
			r := send(t, dial(t, "trust", client), m)
			check(t, r.Code == 250, "got %v, want 250", r)
			v := verdict(t, d, r.QueueID())
			check(t, v["role"] == "inbound" && v["action"] == "junk", "verdict: %v", v)
			got := find(t, alice, "Junk", m)
			check(t, got.Get("X-Spam-Flag") == "YES", "X-Spam-Flag: %q", got.Get("X-Spam-Flag"))
			// The client to judge is the one before our own host.
			wantResults(t, got, "spf=pass", "smtp.mailfrom="+joe)
		})
	}
	t.Run("a stranger there is refused all the same", func(t *testing.T) {
		t.Parallel()
		wantRefusal(t, send(t, dial(t, "trust", stranger), newMail(t, gtube)), 554, "5.7.1")
	})
}

// TestDNSTrouble wants that trouble with names makes mail wait at the most: where
// it is not to be learnt who sent it, the sender comes back. It never scores, and
// never ends in a refusal for good.
func TestDNSTrouble(t *testing.T) {
	t.Parallel()
	t.Run("no server answers", func(t *testing.T) {
		t.Parallel()
		d := daemon(t, "nodns")
		id := wantRefusal(t, send(t, dial(t, "nodns", stranger), newMail(t, "hello")), 451, "4.7.0")
		v, err := d.VerdictOf(within(t), id)
		check(t, err == nil && v["action"] == "tempfail" && v["score"] == "0", "DNS trouble scored: %v, %v", v, err)
	})
	t.Run("SERVFAIL for the sender, not for the author", func(t *testing.T) {
		t.Parallel()
		d := daemon(t, "milterd")
		m := newMail(t, "hello")
		r := sendFrom(t, dial(t, "mx", stranger), "joe@broken.test", m, alice)
		check(t, r.Code == 250, "got %v, want 250", r)
		wantResults(t, find(t, alice, "INBOX", m), "spf=temperror", "smtp.mailfrom=joe@broken.test", "dmarc=none")
		v := verdict(t, d, r.QueueID())
		check(t, v["action"] == "accept" && v["score"] == "0", "DNS trouble scored: %v", v)
	})
}

// TestHold sends a message that milterd can never judge in time: its author's domain
// is looked up for longer than limits.message_time. The third try goes to HOLD, so
// that no sender tries for ever.
func TestHold(t *testing.T) {
	t.Parallel()
	b := testBed(t)
	d := daemon(t, "late")
	m := newMail(t, "what takes you so long?")
	c := dial(t, "late", stranger)
	for try := 1; try <= 2; try++ {
		wantRefusal(t, sendFrom(t, c, "joe@held.test", m, alice), 451, "4.3.0")
	}
	r := sendFrom(t, c, "joe@held.test", m, alice)
	check(t, r.Code == 250, "third try: got %v, want 250", r)
	if r.Code != 250 {
		return
	}
	q := queued(t, r.QueueID())
	check(t, q.Queue == "hold", "%s is in queue %s, want hold", q.ID, q.Queue)
	got, err := b.QueuedMessage(within(t), r.QueueID())
	check(t, err == nil && len(got.All("X-Milterd-Unscanned")) == 1, "X-Milterd-Unscanned: %v, %v", err, got)
	v := verdict(t, d, r.QueueID())
	check(t, v["action"] == "quarantine", "verdict: %v", v)

	other := newMail(t, "and what of me?")
	wantRefusal(t, sendFrom(t, c, "joe@held.test", other, alice), 451, "4.3.0") // tries are counted a message
}

// TestWhy asks for the stored verdict by each of its names.
func TestWhy(t *testing.T) {
	t.Parallel()
	d := daemon(t, "milterd")
	m := newMail(t, gtube)
	id := wantRefusal(t, send(t, dial(t, "mx", stranger), m), 554, "5.7.1")
	v, err := d.VerdictOf(within(t), id)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]string{
		"transaction id": id,
		"queue id":       v["qid"],
		"message-id":     "<" + m.MessageID() + ">",
	} {
		out, code, err := d.Command(within(t), "why", key)
		check(t, err == nil && code == 0, "why %s %s: exit %d, %v\n%s", name, key, code, err, out)
		for _, word := range []string{id, "GTUBE", "reject"} {
			check(t, strings.Contains(out, word), "why %s: no %q in\n%s", name, word, out)
		}
	}
	out, code, err := d.Command(within(t), "why", "zzzzzzzzzzzz")
	check(t, err == nil && code != 0, "why of an unknown id: exit %d, %v\n%s", code, err, out)

	before, err := d.Metric(within(t), "milterd_messages_total", `action="reject"`, `role="inbound"`)
	check(t, err == nil && before >= 1, "milterd_messages_total{action=reject}: %v, %v", before, err)
	text, err := d.Get(within(t), "/metrics")
	check(t, err == nil && !strings.Contains(text, "sender.test"), "a stranger's domain is in /metrics: %v", err)
	_, err = d.Get(within(t), "/healthz")
	check(t, err == nil, "%v", err)
	out, code, err = d.Command(within(t), "check")
	check(t, err == nil && code == 0, "check: exit %d, %v\n%s", code, err, fmt.Sprint(out))
}
