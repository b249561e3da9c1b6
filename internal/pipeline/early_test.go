package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

// early is a check that answers at RCPT TO, and may have work in the background.
type early struct {
	checktest.Func
	off        bool
	background func(ctx context.Context)
}

var (
	_ checks.Early      = (*early)(nil)
	_ checks.Background = (*early)(nil)
)

func (e *early) AnswersAtRcpt() bool { return !e.off }

func (e *early) Background(ctx context.Context) {
	if e.background != nil {
		e.background(ctx)
	}
}

func refusing(change func(*checks.Demand)) checktest.Func {
	return func(context.Context, *checks.Input) (checks.Result, error) {
		d := &checks.Demand{Action: message.RejectMail, Reply: message.ReplyMalware, Finding: "FOUND", AtRcpt: true}
		if change != nil {
			change(d)
		}
		return checks.Result{Findings: []checks.Finding{{Name: "FOUND"}}, Demand: d}, nil
	}
}

// TestEarly: a demand that may be answered at RCPT is, as far as mode, role, peer and
// recipient allow; everything else waits for the end.
func TestEarly(t *testing.T) {
	postmaster := func(m *message.Message) {
		m.Recipients = []message.Recipient{{Path: message.ParsePath("<Postmaster@mx.test>")}}
	}
	for _, c := range []struct {
		name   string
		check  *early
		phase  checks.Phase
		mode   message.Mode
		change func(*message.Message)
		want   bool
	}{
		{"refused", &early{Func: refusing(nil)}, checks.Mail, message.Enforce, nil, true},
		{"refused for this recipient", &early{Func: refusing(nil)}, checks.Rcpt, message.Enforce, nil, true},
		{"tempfail", &early{Func: refusing(func(d *checks.Demand) { d.Action, d.Reply = message.TempFail, message.ReplyScanner })}, checks.Mail, message.Enforce, nil, true},
		{"not asked for", &early{Func: refusing(nil), off: true}, checks.Mail, message.Enforce, nil, false},
		{"not at RCPT", &early{Func: refusing(func(d *checks.Demand) { d.AtRcpt = false })}, checks.Mail, message.Enforce, nil, false},
		{"only junk", &early{Func: refusing(func(d *checks.Demand) { d.Action, d.Reply = message.Junk, message.Reply{} })}, checks.Mail, message.Enforce, nil, false},
		{"from the header", &early{Func: refusing(nil)}, checks.Header, message.Enforce, nil, false},
		{"tag", &early{Func: refusing(nil)}, checks.Mail, message.Tag, nil, false},
		{"observe", &early{Func: refusing(nil)}, checks.Mail, message.Observe, nil, false},
		{"postmaster", &early{Func: refusing(nil)}, checks.Mail, message.Enforce, postmaster, false},
		{"relay", &early{Func: refusing(nil)}, checks.Mail, message.Enforce, func(m *message.Message) { m.Peer = message.Relay }, false},
		{"outbound", &early{Func: refusing(nil)}, checks.Mail, message.Enforce, func(m *message.Message) { m.Role = message.Outbound }, false},
		{"private client", &early{Func: refusing(nil)}, checks.Mail, message.Enforce, func(m *message.Message) {
			s := *m.Session
			s.Client = prefixes("10.9.9.9/32")[0].Addr()
			m.Session = &s
		}, false},
		{"fails", &early{Func: func(context.Context, *checks.Input) (checks.Result, error) { return checks.Result{}, errors.New("no") }}, checks.Mail, message.Enforce, nil, false},
		{"panics", &early{Func: func(context.Context, *checks.Input) (checks.Result, error) { panic("no") }}, checks.Mail, message.Enforce, nil, false},
		{"nothing found", &early{Func: func(context.Context, *checks.Input) (checks.Result, error) { return checks.Result{}, nil }}, checks.Mail, message.Enforce, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPipeline(t, []checks.Spec{checktest.Fake("dnsbl", c.phase, c.check)}, func(o *Options) { o.Policy = newPolicy(t, c.mode, "") })
			m := newMessage(t, plain, func(m *message.Message) {
				m.Recipients = m.Recipients[:1]
				if c.change != nil {
					c.change(m)
				}
			})
			r := p.Begin(t.Context())
			defer r.Close()
			r.Publish(checks.Mail, m)
			r.Recipient(m)
			reply, by := r.Early(t.Context(), m)
			if got := !reply.IsZero(); got != c.want || got && by != "dnsbl" {
				t.Fatalf("%q by %q, want an answer: %v", reply, by, c.want)
			}
			// What was said about a recipient who is none any more does not count.
			if c.want && c.phase == checks.Rcpt {
				if out := r.Finish(t.Context(), m); out.Verdict.Action != message.Accept {
					t.Errorf("at the end %s", out.Verdict.Action)
				}
			}
		})
	}
}

// TestEarlyDoesNotWaitForEver: a check that hangs does not keep the client waiting
// longer than a reply may take.
func TestEarlyDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check := &early{Func: func(ctx context.Context, _ *checks.Input) (checks.Result, error) {
			<-ctx.Done()
			return checks.Result{}, ctx.Err()
		}}
		p := newPipeline(t, []checks.Spec{checktest.Fake("dnsbl", checks.Mail, check)}, nil)
		m := newMessage(t, plain, nil)
		r := p.Begin(t.Context())
		r.Publish(checks.Mail, m)
		r.Recipient(m)
		began := time.Now()
		if reply, _ := r.Early(t.Context(), m); !reply.IsZero() || time.Since(began) != earlyWait {
			t.Errorf("%q after %v", reply, time.Since(began))
		}
		r.Close()
		synctest.Wait()
	})
}

// TestBackground: what checks do beside the messages begins with Start, not before,
// once, and is over when Stop returns; a panic there ends nothing else.
func TestBackground(t *testing.T) {
	var l log
	ended := make(chan struct{})
	one := &early{background: func(ctx context.Context) {
		l.add("begin")
		<-ctx.Done()
		l.add("end")
		close(ended)
	}}
	two := &early{background: func(context.Context) { panic("in the background") }}
	p := newPipeline(t, []checks.Spec{checktest.Fake("one", checks.Mail, one), checktest.Fake("two", checks.Mail, two)}, nil)
	p.Stop() // nothing to stop, and nothing begins afterwards
	p.Start()
	if got := l.take(); got != "" {
		t.Errorf("%s", got)
	}
	p = newPipeline(t, []checks.Spec{checktest.Fake("one", checks.Mail, one), checktest.Fake("two", checks.Mail, two)}, nil)
	p.Start()
	p.Start()
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Close returned while something went on")
	}
	if got := l.take(); got != "begin, end" {
		t.Errorf("%s", got)
	}
	if got := counted(t, p, "milterd_check_panics_total"); got != "two=1" {
		t.Errorf("panics %s", got)
	}
	p.Stop()
}
