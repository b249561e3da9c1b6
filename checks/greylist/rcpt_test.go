package greylist

import (
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

// deliver is the way of a message at the stage rcpt: each recipient by himself, and then
// the message, worth action, for those who are left. It returns whom it was for, with what
// became of it where that is not action, and whom the sender has to try again.
func (s *site) deliver(mail checktest.Mail, action message.Action) (taken, refused string) {
	s.tb.Helper()
	if mail.Text == "" {
		mail.Text = "From: joe@sender.test\n\nhello\n"
	}
	whole := mail.Message(s.tb)
	defer whole.Body.Release()
	prior := checks.Prior{}
	for i := range mail.Prior {
		prior[mail.Prior[i].Check] = &mail.Prior[i]
	}
	at := s.h.Check().(checks.Doorkeeper).AtRcpt()
	var left, again []string
	for _, to := range whole.Recipients {
		m := *whole
		m.Header, m.Body, m.Recipients = nil, nil, []message.Recipient{to}
		in := &checks.Input{Message: &m, Recipient: &m.Recipients[0], Prior: prior}
		res, err := at.Run(s.tb.Context(), in)
		if err != nil {
			s.tb.Fatal(err)
		}
		if res.Demand == nil {
			left = append(left, to.Path.Raw)
			continue
		}
		if !res.Demand.AtRcpt || res.Demand.Action != message.Greylist {
			s.tb.Errorf("%+v", res.Demand)
		}
		again = append(again, to.Path.Raw)
		v := message.Verdict{Action: message.Greylist, Reply: res.Demand.Reply}
		in.Prior = checks.Prior{"greylist": &res}
		if err := at.(checks.Recorder).Record(s.tb.Context(), in, &v); err != nil {
			s.tb.Fatal(err)
		}
	}
	if len(left) > 0 {
		mail.To = left
		if got := s.sendAs(mail, action, ""); got != action {
			left = append(left, string(got))
		}
	}
	return strings.Join(left, " "), strings.Join(again, " ")
}

func (s *site) wantTaken(mail checktest.Mail, taken, refused string) {
	s.tb.Helper()
	if t, r := s.deliver(mail, message.Accept); t != taken || r != refused {
		s.tb.Errorf("at %v taken for %q, refused for %q; want %q, %q", s.since, t, r, taken, refused)
	}
}

// TestAtRcpt is the life of senders who are asked when they name a recipient.
func TestAtRcpt(t *testing.T) {
	ann, both := "<ann@mx.test>", []string{"<ann@mx.test>", "<bob@mx.test>"}
	t.Run("without proof", func(t *testing.T) {
		s := newSite(t, "stage: rcpt")
		mail := checktest.Mail{Client: "192.0.2.1", To: both}
		s.wantTaken(mail, "", "<ann@mx.test> <bob@mx.test>")
		s.pass(299 * time.Second)
		s.wantTaken(mail, "", "<ann@mx.test> <bob@mx.test>")
		s.counts(2, 0, 0, 0) // each of them is asked for by himself
		s.pass(time.Second)
		mail.To = append(both, "<eve@mx.test>")
		s.wantTaken(mail, "<ann@mx.test> <bob@mx.test>", "<eve@mx.test>")
		s.counts(3, 2, 0, 0)
		mail.To = both
		s.wantTaken(mail, "<ann@mx.test> <bob@mx.test>", "")
		s.counts(3, 2, 0, 0)
	})
	t.Run("a pool with SPF", func(t *testing.T) {
		s := newSite(t, "stage: rcpt")
		mail := checktest.Mail{Client: "192.0.2.1", To: both, Prior: []checks.Result{spfPass("sender.test")}}
		s.wantTaken(mail, "", "<ann@mx.test> <bob@mx.test>")
		s.counts(1, 0, 0, 0)
		s.pass(5 * time.Minute)
		mail.Client = "2001:db8::1"
		s.wantTaken(mail, "<ann@mx.test> <bob@mx.test>", "")
		s.counts(1, 1, 0, 0)
		mail.Client, mail.To, mail.From = "198.51.100.9", []string{"<eve@mx.test>"}, "<other@sender.test>"
		s.wantTaken(mail, "<eve@mx.test>", "")
		s.counts(1, 1, 0, 0)
	})
	t.Run("a service for an author of another domain", func(t *testing.T) {
		s := newSite(t, "stage: rcpt")
		mail := checktest.Mail{Client: "192.0.2.1", To: []string{ann}, Text: "From: a@elsewhere.test\n\nx",
			Prior: []checks.Result{signed("elsewhere.test"), spfPass("service.test")}}
		s.wantTaken(mail, "", ann)
		s.pass(5 * time.Minute)
		mail.Client = "198.51.100.9" // who was let in is not asked at the end for what only the header says
		s.wantTaken(mail, ann, "")
		s.wantTaken(mail, ann, "")
	})
	t.Run("spam makes nobody known", func(t *testing.T) {
		s := newSite(t, "stage: rcpt")
		mail := checktest.Mail{Client: "192.0.2.1", To: []string{ann}}
		s.wantTaken(mail, "", ann)
		s.pass(5 * time.Minute)
		s.deliver(mail, message.Junk)
		s.counts(1, 0, 1, 0)
		s.wantTaken(mail, "", ann)
	})
	t.Run("exempt are those who are", func(t *testing.T) {
		s := newSite(t, "stage: rcpt\nrecipients: [sales@mx.test]")
		s.wantTaken(checktest.Mail{Client: "192.0.2.1", To: []string{"<postmaster@mx.test>", ann, "<sales@mx.test>"}}, "<postmaster@mx.test> <sales@mx.test>", ann)
		for _, mail := range []checktest.Mail{{From: "<>"}, {Peer: message.Relay}, {Role: message.Outbound}} {
			mail.Client, mail.To = "203.0.113.1", []string{"<eve@mx.test>"}
			s.wantTaken(mail, "<eve@mx.test>", "")
		}
	})
	t.Run("whoever our users write to", func(t *testing.T) {
		s := newSite(t, "stage: rcpt")
		s.sendAs(checktest.Mail{Role: message.Outbound, To: []string{"<joe@sender.test>"}}, message.Accept, "")
		s.wantTaken(checktest.Mail{Client: "192.0.2.1", From: "<joe@sender.test>", To: []string{ann}}, ann, "")
	})
	t.Run("a store that is down lets in", func(t *testing.T) {
		s := newSite(t, "stage: rcpt")
		s.store.down = true
		at := s.h.Check().(checks.Doorkeeper).AtRcpt()
		m := checktest.Mail{Client: "192.0.2.1", To: []string{ann}}.Message(t)
		defer m.Body.Release()
		res, err := at.Run(t.Context(), &checks.Input{Message: m, Recipient: &m.Recipients[0]})
		if err != nil || res.Demand != nil || !slices.ContainsFunc(res.Findings, func(f checks.Finding) bool { return f.Name == findUnavailable }) {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// TestTooLateForRcpt: a recipient who could not wait for the answer is decided about at
// the end of the message, whatever its score; one who is exempt lets the message in.
func TestTooLateForRcpt(t *testing.T) {
	s := newSite(t, "stage: rcpt")
	res := s.h.Run(checktest.Mail{Client: "192.0.2.1"})
	if d := res.Demand; d == nil || d.Action != message.Greylist || !d.AtRcpt {
		t.Errorf("%+v", d)
	}
	if res := s.h.Run(checktest.Mail{Client: "192.0.2.1", To: []string{"<a@mx.test>", "<postmaster@mx.test>"}}); res.Demand != nil || len(res.Findings) != 1 {
		t.Errorf("with postmaster: %+v", res)
	}
	if res := s.h.Run(checktest.Mail{Client: "192.0.2.1", To: []string{"<postmaster@mx.test>"}}); res.Ended() != checks.None {
		t.Errorf("postmaster alone: %+v", res)
	}
}

// TestNobodyAtRcpt: at the stage message, and without a store, no recipient waits.
func TestNobodyAtRcpt(t *testing.T) {
	for _, c := range []*checktest.Harness{
		newSite(t, "").h, newSite(t, "stage: message").h, checktest.New(t, Spec(), "stage: rcpt", checks.Env{}),
	} {
		if c.Check().(checks.Early).AnswersAtRcpt() || c.Check().(checks.Doorkeeper).AtRcpt() != nil {
			t.Error("recipients wait")
		}
	}
	if !newSite(t, "stage: rcpt").h.Check().(checks.Early).AnswersAtRcpt() {
		t.Error("nobody waits")
	}
}

// FuzzAtRcpt is FuzzJourney at the stage rcpt: whatever messages to whom, verdicts and
// clocks there were, who has waited for the delay since he was asked passes for all whom
// he has named, and nobody who was let in is asked at the end.
func FuzzAtRcpt(f *testing.F) {
	f.Add([]byte{0, 1, 0, 200, 0, 0, 3, 1, 0}, false)
	f.Add([]byte{0, 3, 255, 1, 5, 255, 0, 1, 200, 0}, true)
	f.Fuzz(func(t *testing.T, script []byte, proven bool) {
		s := newSite(t, "stage: rcpt")
		mail := checktest.Mail{Client: "192.0.2.1"}
		if proven {
			mail.Prior = []checks.Result{spfPass("sender.test")}
		}
		for len(script) >= 2 && len(script) < 100 {
			op, n := script[0]%5, time.Duration(script[1])
			mail.To = [][]string{{"<ann@mx.test>"}, {"<bob@mx.test>"}, {"<ann@mx.test>", "<bob@mx.test>", "<postmaster@mx.test>"}}[script[1]%3]
			script = script[2:]
			switch op {
			case 0:
				if taken, _ := s.deliver(mail, message.Accept); strings.Contains(taken, "greylist") {
					t.Fatalf("let in and asked at the end: %s", taken)
				}
			case 1:
				s.deliver(mail, message.Junk)
			case 2:
				s.pass(n * 10 * time.Second)
			case 3:
				s.now = s.now.Add(n * 24 * time.Hour)
			case 4:
				s.now = s.now.Add(-n * 24 * time.Hour)
			}
		}
		mail.To = []string{"<ann@mx.test>", "<bob@mx.test>"}
		s.deliver(mail, message.Accept)
		s.pass(5 * time.Minute)
		s.wantTaken(mail, "<ann@mx.test> <bob@mx.test>", "")
	})
}
