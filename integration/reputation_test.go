package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// reputationListeners are an MX and a submission service of one daemon.
func reputationListeners() []Listener {
	const milter = "unix:milterd/reputation.sock"
	return []Listener{
		{Name: "reputation", Milter: milter},
		{Name: "reputation-submission", Milter: milter, Options: []string{"smtpd_sasl_auth_enable = yes"}},
	}
}

// TestReputation is what milterd remembers of who writes to whom: an answer to one of
// ours is known as such, and a login that sends spam or far too much is held.
func TestReputation(t *testing.T) {
	t.Parallel()
	testBed(t)
	d, err := startDaemon("reputation", DaemonConfig{YAML: "checks: {rates: {login_recipients: 5}}\n"})
	if err != nil {
		t.Fatal(err)
	}
	submit := func(user string, m Mail, to ...string) Verdict {
		t.Helper()
		c := dial(t, "reputation-submission", "")
		if err := c.StartTLS(); err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(user, "pass"); err != nil {
			t.Fatal(err)
		}
		r := sendFrom(t, c, user, m, to...)
		check(t, r.Code == 250, "%s: got %v, want 250", m.Subject, r)
		return verdict(t, d, r.QueueID())
	}
	written := func(user, body string) Mail {
		m := newMail(t, body)
		m.From, m.To = user, "x@remote.test"
		return m
	}
	metric := func(cause string) float64 {
		t.Helper()
		n, err := d.Metric(within(t), "milterd_rates_alerts_total", `sender="login"`, `cause="`+cause+`"`)
		check(t, err == nil, "%v", err)
		return n
	}

	letter := written(alice, "shall we meet?")
	v := submit(alice, letter, "x@remote.test")
	check(t, v["role"] == "outbound" && v["action"] == "accept", "verdict: %v", v)

	answer := func(to string) string {
		t.Helper()
		m := newMail(t, "yes, on Monday at the office, as the last time")
		m.Header = []string{"In-Reply-To: <" + letter.MessageID() + ">"}
		r := send(t, dial(t, "reputation", stranger), m, to)
		check(t, r.Code == 250, "got %v, want 250", r)
		return verdict(t, d, r.QueueID())["findings"]
	}
	findings := answer(bob)
	check(t, !strings.Contains(findings, "REPLY_KNOWN"), "an answer to somebody else counts: %s", findings)
	check(t, strings.Contains(findings, "FIRST_SEEN"), "joe has never written before: %s", findings)
	for until := time.Now().Add(patience); ; { // both are stored a moment later
		findings = answer(alice)
		if strings.Contains(findings, "REPLY_KNOWN") && !strings.Contains(findings, "FIRST_SEEN") {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("an answer is not known as one, or joe is still new: %s", findings)
		}
	}

	// A scan asks the daemon what it remembers.
	again := newMail(t, "and bring the papers with you, please, all of them")
	again.Header = []string{"In-Reply-To: <" + letter.MessageID() + ">"}
	path := filepath.Join(t.TempDir(), "answer.eml")
	if err := os.WriteFile(path, again.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _, err := d.Command(within(t), "scan", "--json", "--ip", "203.0.113.7", "--from", joe, "--rcpt", alice, path)
	check(t, err == nil && strings.Contains(out, "REPLY_KNOWN") && !strings.Contains(out, "FIRST_SEEN"), "scan: %v\n%s", err, out)

	m := written(alice, gtube)
	v = submit(alice, m, "x@remote.test")
	check(t, v["action"] == "quarantine" && v["by"] == "rates", "spam of a login: %v", v)
	q := queued(t, v["qid"])
	check(t, q.Queue == "hold", "%s is in queue %s, want hold", q.ID, q.Queue)
	_, err = d.Log.Wait(within(t), 0, "spam from a sender of ours", "who=alice", "message=held")
	check(t, err == nil && metric("spam") == 1, "no alert: %v", err)

	v = submit(bob, written(bob, "to five"), "1@remote.test", "2@remote.test", "3@remote.test", "4@remote.test", "5@remote.test")
	check(t, v["action"] == "accept", "what a login may send: %v", v)
	for until := time.Now().Add(patience); ; { // it is counted a moment later
		v = submit(bob, written(bob, "and one more"), "6@remote.test")
		if v["action"] == "quarantine" {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("a login that sends too much: %v", v)
		}
	}
	check(t, strings.Contains(v["findings"], "RATES_LOGIN") && queued(t, v["qid"]).Queue == "hold", "verdict: %v", v)
	_, err = d.Log.Wait(within(t), 0, "far more mail than usual", "who=bob", "message=held")
	check(t, err == nil && metric("recipients") >= 1, "no alert: %v", err)
}
