package bridge

import (
	"context"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

// listed is a check that wants the client refused at RCPT TO.
type listed struct{}

func (listed) AnswersAtRcpt() bool { return true }

func (listed) Run(_ context.Context, in *checks.Input) (checks.Result, error) {
	return checks.Result{Demand: &checks.Demand{Action: message.RejectMail, Reply: message.ReplyListed(in.Message.Session.Client, "zen"),
		Finding: "ODD", AtRcpt: true}}, nil
}

// TestRefusedAtRcpt: a recipient is refused with the reply of the check; postmaster is
// reached all the same, and gets the message that the others do not.
func TestRefusedAtRcpt(t *testing.T) {
	const want = "550 5.7.1 Client host [192.0.2.1] listed by zen"
	specs := []checks.Spec{checktest.Fake("dnsbl", checks.Mail, listed{})}
	b := newBed(t, specs, nil)
	c := b.greet(stranger())
	out, decided := b.send(c, to("a@mx.test"), "From: x@y.test\n\nhello\n")
	if out.Stage != "rcpt" || !strings.HasPrefix(out.Reply.String(), want) || decided != nil {
		t.Errorf("%s: %s, %v", out.Stage, out.Reply, decided)
	}
	_, decided = b.send(c, to("postmaster@mx.test"), "From: x@y.test\n\nhello\n")
	if decided == nil || decided.Verdict.Action.Refuses() || decided.Verdict.Mitigation != "postmaster" {
		t.Fatalf("postmaster: %+v", decided)
	}
	if n := len(decided.Message.Recipients); n != 1 {
		t.Errorf("%d recipients", n)
	}

	// Behind a relay nobody is refused, least of all before the header is there.
	out, decided = b.send(b.greet(peer("198.51.100.1")), to("a@mx.test"), "Received: from x ([192.0.2.1]) by y; date\nFrom: x@y.test\n\nhello\n")
	if decided == nil || decided.Verdict.Action.Refuses() || out.Stage != "eom" {
		t.Errorf("relay: %s, %+v", out.Stage, decided)
	}

	// Who looks at mail that is here already wants the whole verdict.
	b = newBed(t, specs, func(o *Options) { o.Late = true })
	out, decided = b.send(b.greet(stranger()), to("a@mx.test"), "From: x@y.test\n\nhello\n")
	if decided == nil || decided.Verdict.Action != message.RejectMail || out.Stage != "eom" {
		t.Errorf("late: %s, %+v", out.Stage, decided)
	}
}
