package content

import (
	"testing"
	"time"

	"milterd/checks"
	"milterd/message"
	"milterd/rules"
	"net/netip"
)

// newMessage makes a complete message from a stranger.
func newMessage(tb testing.TB, fields []message.Field, body []byte) *message.Message {
	tb.Helper()
	spool := message.NewSpool(message.SpoolOptions{Memory: 1 << 30})
	if _, err := spool.Write(body); err != nil {
		tb.Fatal(err)
	}
	spool.Finish()
	return &message.Message{
		Session:    &message.Session{Client: netip.MustParseAddr("192.0.2.7"), Host: "mail.example.org", Helo: "mail.example.org"},
		MailFrom:   message.ParsePath("<alice@example.org>"),
		Recipients: []message.Recipient{{Path: message.ParsePath("<bob@example.com>")}},
		Header:     message.NewHeader(fields, 0),
		Body:       spool,
	}
}

type noSection struct{}

func (noSection) Decode(any) error { return nil }

func newTestCheck(tb testing.TB, set *rules.Set, limits checks.Limits) checks.Check {
	tb.Helper()
	c, err := Spec(set).New(noSection{}, checks.Env{Now: time.Now, Limits: limits})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// shippedCheck is the check with the shipped rules.
func shippedCheck(tb testing.TB) (*rules.Set, checks.Check) {
	tb.Helper()
	// What other checks report, as far as the shipped files speak of it; checks/all
	// knows whether they do.
	known := []string{"SPF_PASS", "SPF_FAIL", "SPF_SOFTFAIL", "SPF_NEUTRAL", "SPF_NONE", "SPF_PERMERROR", "SPF_TEMPERROR", "SPF_HELO_PASS", "SPF_HELO_FAIL"}
	for _, f := range Spec(nil).Findings {
		known = append(known, f.Name)
	}
	set, err := rules.Load(rules.Shipped(), known)
	if err != nil {
		tb.Fatal(err)
	}
	return set, newTestCheck(tb, set, checks.Limits{})
}
