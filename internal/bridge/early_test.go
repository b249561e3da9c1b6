package bridge

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
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
	if out.Stage != "rcpt" || !strings.HasPrefix(out.Reply.String(), want) || decided == nil || !decided.AtRcpt {
		t.Fatalf("%s: %s, %+v", out.Stage, out.Reply, decided)
	}
	if m := decided.Message; len(m.Recipients) != 1 || m.Recipients[0].Path.Raw != "<a@mx.test>" || !strings.Contains(out.Reply.String(), m.ID) || decided.Verdict.DecidedBy != "dnsbl" {
		t.Errorf("told: %+v of %+v", decided.Verdict, m)
	}
	_, decided = b.send(c, to("postmaster@mx.test"), "From: x@y.test\n\nhello\n")
	if decided == nil || decided.AtRcpt || decided.Verdict.Action.Refuses() || decided.Verdict.Mitigation != "postmaster" {
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

// asking is a check of the whole message that asks for every recipient to come back, and
// counts those who were asked.
type asking struct{ asked *atomic.Int64 }

func (asking) AnswersAtRcpt() bool    { return true }
func (a asking) AtRcpt() checks.Check { return a }

func (asking) Run(_ context.Context, in *checks.Input) (checks.Result, error) {
	if in.Recipient == nil {
		return checks.Result{}, nil
	}
	return checks.Result{Demand: &checks.Demand{Action: message.Greylist, Reply: message.ReplyGreylisted(300), Finding: "ODD", AtRcpt: true}}, nil
}

func (a asking) Record(context.Context, *checks.Input, *message.Verdict) error {
	a.asked.Add(1)
	return nil
}

// TestManyRefused: of a client who tries very many recipients the first ones are told,
// and all are remembered.
func TestManyRefused(t *testing.T) {
	var asked atomic.Int64
	b := newBed(t, []checks.Spec{checktest.Fake("greylist", checks.Message, asking{&asked})}, nil)
	var all []string
	for i := range maxRefusals + 20 {
		all = append(all, fmt.Sprintf("user%d@mx.test", i))
	}
	out, _ := b.send(b.greet(stranger()), to(all...), plain)
	if out.Stage != "rcpt" || !strings.HasPrefix(out.Reply.String(), "451 4.7.1 Greylisted, try again in 300 s (") {
		t.Errorf("%s: %s", out.Stage, out.Reply)
	}
	b.settle()
	if told := len(b.decided()); told != maxRefusals || asked.Load() != maxRefusals+20 {
		t.Errorf("%d told, %d remembered", told, asked.Load())
	}
}
