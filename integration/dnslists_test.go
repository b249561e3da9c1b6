package integration

import (
	"strings"
	"testing"
)

// listsConfig has one list of clients and one of domains, and refuses at RCPT whom the
// first has as spam.
const listsConfig = `
networks: {relays: [198.51.100.25]}
checks:
  dnsbl:
    lists: {mine: {enabled: true, zone: key7.bl.test, ask: [client], codes: {127.0.0.2: spam, 127.0.0.10: policy}}}
    reject: [spam]
  uribl:
    lists: {names: {enabled: true, zone: names.test, ask: [url], codes: {127.0.0.2: spam}}}
`

// listsZone is what the lists of listsConfig have: their test points, a client that is
// refused, one that is only a dial-up, one about which the list does not answer, and a
// domain.
const listsZone = `
2.0.0.127.key7.bl.test      A 127.0.0.2
66.113.0.203.key7.bl.test   A 127.0.0.2
67.113.0.203.key7.bl.test   A 127.0.0.10
test.names.test             A 127.0.0.2
spammed.test.names.test     A 127.0.0.2
`

const (
	listedClient = "ADDR=203.0.113.66 NAME=mail.sender.test REVERSE_NAME=mail.sender.test PORT=40066"
	dialUpClient = "ADDR=203.0.113.67 NAME=mail.sender.test REVERSE_NAME=mail.sender.test PORT=40067"
)

// TestDNSLists asks lists about strangers through a real Postfix.
func TestDNSLists(t *testing.T) {
	t.Parallel()
	d := daemon(t, "lists")

	t.Run("refused at RCPT, and postmaster is not", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "lists", listedClient)
		cmd(t, c, 250, "MAIL FROM:<%s>", joe)
		r, err := c.Cmd("RCPT TO:<%s>", alice)
		check(t, err == nil && r.Code == 550 && strings.Contains(r.Text(), "5.7.1 ") &&
			strings.Contains(r.Text(), "Client host [203.0.113.66] listed by mine ("), "got %v, %v", r, err)
		check(t, !strings.Contains(r.Text(), "key7"), "the key of the zone is told: %v", r)
		wantTold(t, d, wantRefusal(t, r, 550, "5.7.1"), alice, "reject", "dnsbl")
		cmd(t, c, 250, "RCPT TO:<postmaster@example.test>")
		m := newMail(t, "please let us write to you again")
		r, err = c.Data(m.Bytes())
		check(t, err == nil && r.Code == 250, "postmaster: got %v, %v", r, err)
		v := verdict(t, d, r.QueueID())
		check(t, v["action"] == "junk" && strings.Contains(v["findings"], "DNSBL_SPAM"), "verdict: %v", v)
	})
	t.Run("a relay of ours is never refused", func(t *testing.T) {
		t.Parallel()
		m := newMail(t, "by way of the backup")
		m.Header = []string{"Received: from mail.sender.test (mail.sender.test [203.0.113.66])\r\n\tby backup.relay.test (Postfix) with ESMTP id 4bVxYz1;\r\n\tFri, 20 Nov 2026 09:59:58 +0000 (UTC)"}
		r := send(t, dial(t, "lists", "ADDR=198.51.100.25 NAME=backup.relay.test PORT=40003"), m)
		check(t, r.Code == 250, "got %v, want 250", r)
		v := verdict(t, d, r.QueueID())
		check(t, v["action"] == "junk" && strings.Contains(v["findings"], "DNSBL_SPAM"), "verdict: %v", v)
	})
	t.Run("scored", func(t *testing.T) {
		t.Parallel()
		r := send(t, dial(t, "lists", dialUpClient), newMail(t, "from home"))
		check(t, r.Code == 250, "got %v, want 250", r)
		v := verdict(t, d, r.QueueID())
		check(t, v["action"] == "accept" && strings.Contains(v["findings"], "DNSBL_POLICY"), "verdict: %v", v)
	})
	t.Run("what it links to", func(t *testing.T) {
		t.Parallel()
		r := send(t, dial(t, "lists", stranger), newMail(t, "see http://www.spammed.test/offer"))
		check(t, r.Code == 250, "got %v, want 250", r)
		v := verdict(t, d, r.QueueID())
		check(t, strings.Contains(v["findings"], "URIBL_SPAM") && !strings.Contains(v["findings"], "DNSBL_"), "verdict: %v", v)
	})
	t.Run("our own users are not looked up", func(t *testing.T) {
		t.Parallel()
		r := send(t, dial(t, "lists", "ADDR=127.0.0.1 NAME=localhost PORT=40005"), newMail(t, "see http://www.spammed.test/offer"))
		v := verdict(t, d, r.QueueID())
		check(t, v["role"] == "outbound" && !strings.Contains(v["findings"], "BL_"), "verdict: %v", v)
	})
	t.Run("tested", func(t *testing.T) {
		for _, list := range []string{"mine", "names"} {
			// The daemon is ready before its lists are tested: mail does not wait for them.
			ctx, passed := within(t), 0.0
			for passed == 0 && ctx.Err() == nil {
				passed, _ = d.Metric(ctx, "milterd_dnslist_tests_total", `list="`+list+`"`, `result="passed"`)
			}
			check(t, passed >= 1, "%s: %v tests passed", list, passed)
			n, err := d.Metric(within(t), "milterd_dnslist_up", `list="`+list+`"`)
			check(t, err == nil && n == 1, "%s: up %v, %v", list, n, err)
		}
		text, err := d.Get(within(t), "/metrics")
		check(t, err == nil && !strings.Contains(text, "key7"), "the key of a zone is in the metrics (%v)", err)
	})
}
