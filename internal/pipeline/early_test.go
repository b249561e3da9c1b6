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
			early := r.Early(t.Context(), m)
			if (early != nil) != c.want || early != nil && (early.Verdict.DecidedBy != "dnsbl" || !early.AtRcpt) {
				t.Fatalf("%+v, want an answer: %v", early, c.want)
			}
			want := map[bool]string{true: "reject/dnsbl=1"}[c.want]
			if got := counted(t, p, "milterd_recipients_refused_total"); c.name != "tempfail" && got != want {
				t.Errorf("counted %s, want %s", got, want)
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

// porter is a check of the whole message that looks at recipients too.
type porter struct {
	checktest.Func
	at      checks.Check
	answers bool
}

var (
	_ checks.Early      = (*porter)(nil)
	_ checks.Doorkeeper = (*porter)(nil)
)

func (p *porter) AnswersAtRcpt() bool  { return p.answers }
func (p *porter) AtRcpt() checks.Check { return p.at }

// remembering is a check that notes what it is to remember.
type remembering struct {
	checktest.Func
	log *log
}

func (r *remembering) Record(_ context.Context, in *checks.Input, v *message.Verdict) error {
	detail, _ := checks.Detail[string](in.Prior, "greylist")
	r.log.add("%s to %s, seen %s", v.Action, in.Message.Recipients[0].Path.Raw, detail)
	return nil
}

// TestDoorkeeper: a check of the whole message may look at each recipient, with what is
// known by then, ask for him to be refused or exempt him from what others ask for, and
// remembers those who are refused.
func TestDoorkeeper(t *testing.T) {
	nothing := checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) { return checks.Result{}, nil })
	for _, c := range []struct {
		name    string
		exempt  []string
		answers bool
		dnsbl   bool
		want    message.Action // for bob; empty: he is let in
	}{
		{"asked to come back", nil, true, false, message.Greylist},
		{"listed as well", nil, true, true, message.RejectMail},
		{"exempt", []string{"greylist"}, true, false, ""},
		{"exempt from one of two", []string{"greylist"}, true, true, message.RejectMail},
		{"exempt from both", []string{"greylist", "dnsbl"}, true, true, ""},
		{"nobody answers", nil, false, false, ""},
		{"only the other answers", nil, false, true, message.RejectMail},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l log
			at := &remembering{log: &l, Func: func(_ context.Context, in *checks.Input) (checks.Result, error) {
				if len(in.Message.Recipients) != 1 || in.Recipient.Path.Raw != in.Message.Recipients[0].Path.Raw || in.Message.Header != nil {
					t.Errorf("%+v", in.Message)
				}
				spf, _ := checks.Detail[string](in.Prior, "spf")
				_, late := in.Prior["dkim"]
				l.add("%s after spf %s, dkim %v", in.Recipient.Path.Raw, spf, late)
				res := checks.Result{Detail: "him", Findings: []checks.Finding{{Name: "FOUND"}}}
				if in.Recipient.Path.Raw == "<bob@mx.test>" && c.answers {
					res.Demand = &checks.Demand{Action: message.Greylist, Reply: message.ReplyGreylisted(60), Finding: "FOUND", AtRcpt: true}
				}
				return res, nil
			}}
			spf := checktest.Fake("spf", checks.Mail, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
				return checks.Result{Detail: "passed"}, nil
			}))
			exempting := &porter{Func: nothing, at: checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
				return checks.Result{Exempt: c.exempt, Findings: []checks.Finding{{Name: "ALSO_FOUND"}}}, nil
			})}
			specs := []checks.Spec{
				spf, checktest.Fake("dkim", checks.Header, nothing),
				checktest.Fake("dnsbl", checks.Mail, &early{Func: refusing(nil), off: !c.dnsbl}),
				following(checktest.Fake("greylist", checks.Message, &porter{Func: nothing, at: at, answers: c.answers}), "spf", "dkim"),
				checktest.Fake("lists", checks.Header, exempting),
			}
			p := newPipeline(t, specs, func(o *Options) { o.Policy = newPolicy(t, message.Enforce, "scores: {ALSO_FOUND: 100}") })
			whole := newMessage(t, plain, nil)
			m := *whole
			m.Header, m.Body = nil, nil
			m.Recipients = []message.Recipient{{Path: message.ParsePath("<ann@mx.test>")}, {Path: message.ParsePath("<bob@mx.test>")}}
			r := p.Begin(t.Context())
			defer r.Close()
			r.Publish(checks.Mail, &m)
			r.Recipient(&m)
			out := r.Early(t.Context(), &m)
			if c.want == "" {
				if out != nil {
					t.Fatalf("%+v", out.Verdict)
				}
				return
			}
			if out == nil || out.Verdict.Action != c.want || !out.AtRcpt || len(out.Message.Recipients) != 1 {
				t.Fatalf("%+v, want %s", out, c.want)
			}
			for _, f := range out.Verdict.Findings {
				if f.Name == "ALSO_FOUND" {
					t.Error("what speaks for no refusal counts")
				}
			}
			if got := l.take(); got != "<bob@mx.test> after spf passed, dkim false" {
				t.Error(got)
			}
			r.Record(t.Context(), out)
			if got, want := l.take(), string(c.want)+" to <bob@mx.test>, seen him"; got != want {
				t.Errorf("remembered %q, want %q", got, want)
			}
		})
	}
}

// TestDoorkeeperHangs: one who does not answer lets the recipient in, and one who panics.
func TestDoorkeeperHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nothing := checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) { return checks.Result{}, nil })
		hangs := checktest.Func(func(ctx context.Context, _ *checks.Input) (checks.Result, error) {
			<-ctx.Done()
			return checks.Result{}, ctx.Err()
		})
		panics := checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) { panic("at the door") })
		p := newPipeline(t, []checks.Spec{
			checktest.Fake("one", checks.Message, &porter{Func: nothing, at: hangs, answers: true}),
			checktest.Fake("two", checks.Message, &porter{Func: nothing, at: panics, answers: true}),
		}, nil)
		m := newMessage(t, plain, nil)
		r := p.Begin(t.Context())
		r.Publish(checks.Mail, m)
		began := time.Now()
		if early := r.Early(t.Context(), m); early != nil || time.Since(began) != earlyWait {
			t.Errorf("%+v after %v", early, time.Since(began))
		}
		if got := counted(t, p, "milterd_check_panics_total"); got != "two=1" {
			t.Errorf("panics %s", got)
		}
		r.Close()
		synctest.Wait()
	})
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
		if early := r.Early(t.Context(), m); early != nil || time.Since(began) != earlyWait {
			t.Errorf("%+v after %v", early, time.Since(began))
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
