package pipeline

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"milterd/authres"
	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

// A message on which milterd fails goes to HOLD at its third try, marked as what
// it is; another message does not, and one that got through begins again.
func TestHoldOnTheThirdFault(t *testing.T) {
	broken := true
	check := checktest.Fake("clamav", checks.Message, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
		if broken {
			panic("always")
		}
		return checks.Result{}, nil
	}))
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p := newPipeline(t, []checks.Spec{check}, func(o *Options) { o.Now = func() time.Time { return now } })
	try := func(text string, change func(*message.Message)) *Outcome {
		t.Helper()
		m := newMessage(t, text, change)
		r := p.Begin(t.Context())
		defer r.Close()
		out := r.Finish(t.Context(), m)
		r.Record(t.Context(), out)
		return out
	}
	other := strings.Replace(plain, "1@x.test", "2@x.test", 1)
	for n, c := range []struct {
		text   string
		change func(*message.Message)
		later  time.Duration
		broken bool
		want   message.Action
	}{
		{text: plain, broken: true, want: message.TempFail},
		{text: other, broken: true, want: message.TempFail},
		{text: plain, broken: true, want: message.TempFail},
		// The third try, from another host and to fewer recipients: the same message.
		{text: plain, broken: true, want: message.Quarantine, change: func(m *message.Message) {
			m.Recipients, m.ID = m.Recipients[:1], "k7q2m9zt4w1c"
		}},
		{text: plain, broken: true, want: message.TempFail}, // it was let go, and comes once more
		{text: other, broken: false, want: message.Accept},
		{text: other, broken: true, want: message.TempFail},
		{text: other, broken: true, want: message.TempFail, later: 59 * time.Minute},
		{text: plain, broken: true, want: message.Quarantine, later: time.Minute}, // the second try, after an hour
		{text: plain, broken: true, want: message.TempFail, change: func(m *message.Message) { m.MailFrom = message.ParsePath("<else@x.test>") }},
		{text: plain + "longer\n", broken: true, want: message.TempFail},
	} {
		now = now.Add(c.later)
		broken = c.broken
		out := try(c.text, c.change)
		if out.Verdict.Action != c.want {
			t.Errorf("try %d: %s, want %s", n+1, out.Verdict.Action, c.want)
		}
		held := c.want == message.Quarantine
		if got := inserted(out, "X-Milterd-Unscanned"); (got == "clamav") != held || out.Apply == out.Verdict.Action.Refuses() {
			t.Errorf("try %d: X-Milterd-Unscanned %q, applied %v", n+1, got, out.Apply)
		}
		if held && out.Verdict.HoldReason != "unscanned: clamav failed" {
			t.Errorf("try %d: held because of %q", n+1, out.Verdict.HoldReason)
		}
	}
}

// A check that could not look and lets the mail go on is named in it; one for which the
// mail waits has its own words for the client.
func TestUnscanned(t *testing.T) {
	result, broken := checks.Result{Unscanned: true}, error(nil)
	check := checktest.Fake("clamav", checks.Message, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) { return result, broken }))
	check.FaultReply = message.ReplyScanner
	p := newPipeline(t, []checks.Spec{check}, nil)
	try := func() *Outcome {
		r := p.Begin(t.Context())
		defer r.Close()
		return r.Finish(t.Context(), newMessage(t, plain, nil))
	}
	if out := try(); out.Verdict.Action != message.Accept || inserted(out, "X-Milterd-Unscanned") != "clamav" {
		t.Errorf("%s, X-Milterd-Unscanned %q", out.Verdict.Action, inserted(out, "X-Milterd-Unscanned"))
	}
	result = checks.Result{}
	if out := try(); inserted(out, "X-Milterd-Unscanned") != "" {
		t.Error("named though it looked")
	}
	broken = errors.New("nobody there")
	if out := try(); out.Verdict.Action != message.TempFail || !strings.HasPrefix(out.Verdict.Reply.String(), message.ReplyScanner.String()) {
		t.Errorf("%s, %s", out.Verdict.Action, out.Verdict.Reply)
	}
}

// inserted returns the value of a field that is put on top.
func inserted(o *Outcome, name string) string {
	for _, e := range o.Edits {
		if e.Op == message.Insert && e.Name == name {
			return e.Value
		}
	}
	return ""
}

// The list of messages in trouble does not grow for ever; the oldest go first.
func TestFaultsAreBounded(t *testing.T) {
	f := &Faults{Tries: 3, Age: time.Hour}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	m := func(n int) *message.Message {
		return &message.Message{MailFrom: message.Path{Raw: strings.Repeat("x", n)}}
	}
	const more = 20
	for n := range maxFaults + more {
		now = now.Add(time.Millisecond)
		if f.Count(m(n), now) {
			t.Fatalf("message %d is exhausted at its first try", n)
		}
	}
	if len(f.seen) != maxFaults {
		t.Errorf("%d messages", len(f.seen))
	}
	for n, known := range map[int]bool{0: false, more - 1: false, more: true, maxFaults + more - 1: true} {
		if _, ok := f.seen[fingerprintOf(m(n))]; ok != known {
			t.Errorf("message %d is known: %v", n, ok)
		}
	}
	f.Forget(m(more))
	f.Forget(m(more))
	if len(f.seen) != maxFaults-1 {
		t.Errorf("%d messages after one was forgotten", len(f.seen))
	}
}

// sealer is a check that can do all there is to do.
type sealer struct {
	run    checktest.Func
	seal   func(ctx context.Context, in *checks.Input, v *message.Verdict) ([]message.Edit, error)
	record func(ctx context.Context, in *checks.Input, v *message.Verdict) error
}

var (
	_ checks.Sealer   = (*sealer)(nil)
	_ checks.Recorder = (*sealer)(nil)
)

func (s *sealer) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	if s.run == nil {
		return checks.Result{}, nil
	}
	return s.run(ctx, in)
}

func (s *sealer) Seal(ctx context.Context, in *checks.Input, v *message.Verdict) ([]message.Edit, error) {
	if s.seal == nil {
		return nil, nil
	}
	return s.seal(ctx, in, v)
}

func (s *sealer) Record(ctx context.Context, in *checks.Input, v *message.Verdict) error {
	if s.record == nil {
		return nil
	}
	return s.record(ctx, in, v)
}

// Sealers see the verdict and the results that they named, and add their edits
// behind ours; one that breaks takes no other's turn. Recorders follow the
// reply.
func TestSealAndRecord(t *testing.T) {
	var l log
	signer := &sealer{
		seal: func(_ context.Context, in *checks.Input, v *message.Verdict) ([]message.Edit, error) {
			d, _ := checks.Detail[string](in.Prior, "spf")
			l.add("sign %s %s", v.Action, d)
			return []message.Edit{{Op: message.Insert, Name: "DKIM-Signature", Value: d}}, nil
		},
		record: func(ctx context.Context, in *checks.Input, v *message.Verdict) error {
			_, bounded := ctx.Deadline()
			l.add("learn %s %v", v.Action, bounded)
			return nil
		},
	}
	half := &sealer{
		seal: func(context.Context, *checks.Input, *message.Verdict) ([]message.Edit, error) {
			return []message.Edit{{Op: message.Insert, Name: "X-Half"}}, io.EOF
		},
		record: func(context.Context, *checks.Input, *message.Verdict) error { return io.EOF },
	}
	broken := &sealer{
		seal:   func(context.Context, *checks.Input, *message.Verdict) ([]message.Edit, error) { panic("seal") },
		record: func(context.Context, *checks.Input, *message.Verdict) error { panic("record") },
	}
	specs := []checks.Spec{
		checktest.Fake("spf", checks.Mail, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{Detail: "of spf"}, nil
		})),
		checktest.Fake("broken", checks.Header, broken), checktest.Fake("half", checks.Header, half),
		needing(checktest.Fake("signer", checks.Header, signer), "spf"),
	}
	for i := range specs {
		specs[i].Outbound = true
	}
	for role, want := range map[message.Role]string{
		message.Inbound:  "sign accept of spf, learn accept true",
		message.Outbound: "sign accept of spf, learn accept true",
		message.Reinject: "",
	} {
		p := newPipeline(t, specs, nil)
		m := newMessage(t, plain, func(m *message.Message) { m.Role = role })
		r := p.Begin(t.Context())
		out := r.Finish(t.Context(), m)
		r.Record(t.Context(), out)
		r.Close()
		if got := l.take(); got != want {
			t.Errorf("%s: %s, want %s", role, got, want)
		}
		if role == message.Reinject {
			if len(out.Edits) != 0 {
				t.Errorf("%s: edits %v", role, out.Edits)
			}
			continue
		}
		if got := out.Edits[len(out.Edits)-1]; got.Name != "DKIM-Signature" || got.Value != "of spf" {
			t.Errorf("%s: the last edit is %+v", role, got)
		}
		if inserted(out, "X-Half") != "" {
			t.Errorf("%s: half a seal is none", role)
		}
		if got, want := counted(t, p, "milterd_check_panics_total"), "broken=2"; got != want {
			t.Errorf("%s: panics %s, want %s", role, got, want)
		}
	}
}

// A recorder that hangs has as long as a message has.
func TestRecordEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, []checks.Spec{checktest.Fake("bayes", checks.Message, &sealer{
			record: func(ctx context.Context, _ *checks.Input, _ *message.Verdict) error {
				<-ctx.Done()
				return ctx.Err()
			},
		})}, nil)
		r := p.Begin(t.Context())
		defer r.Close()
		out := r.Finish(t.Context(), newMessage(t, plain, nil))
		began := time.Now()
		r.Record(context.WithoutCancel(t.Context()), out)
		if took := time.Since(began); took != 25*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// What is added is known whatever becomes of the message, and made only where
// the message goes on and the mode allows it.
func TestApply(t *testing.T) {
	demanding := func(a message.Action) checks.Spec {
		return checktest.Fake("check", checks.Mail, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{Demand: &checks.Demand{Action: a, Reply: message.ReplyMalware, Finding: "FOUND"}}, nil
		}))
	}
	for _, c := range []struct {
		mode   message.Mode
		demand message.Action
		apply  bool
	}{
		{message.Enforce, message.Accept, true}, {message.Enforce, message.Junk, true}, {message.Enforce, message.Quarantine, true},
		{message.Enforce, message.RejectMail, false}, {message.Enforce, message.TempFail, false}, {message.Enforce, message.Discard, false},
		{message.Tag, message.RejectMail, true}, {message.Tag, message.Accept, true},
		{message.Observe, message.Accept, false}, {message.Observe, message.RejectMail, false}, {message.Observe, message.Junk, false},
	} {
		p := newPipeline(t, []checks.Spec{demanding(c.demand)}, func(o *Options) { o.Policy = newPolicy(t, c.mode, "") })
		m := newMessage(t, plain, nil)
		out := decide(t, p, m)
		if out.Apply != c.apply || len(out.Edits) == 0 {
			t.Errorf("%s, %s: applied %v, %d edits", c.mode, c.demand, out.Apply, len(out.Edits))
		}
		if r := out.Verdict.Reply; out.Verdict.Action.Refuses() && !strings.HasSuffix(r.Text, " ("+m.ID+")") {
			t.Errorf("%s, %s: the reply does not end with the id: %s", c.mode, c.demand, r)
		}
	}
}

// We call ourselves as configured, else as the MTA does, else as the host.
func TestAuthservID(t *testing.T) {
	for _, c := range []struct{ configured, mta, want string }{
		{"mx.example", "macro.test", "mx.example"}, {"", "macro.test", "macro.test"}, {"", "", "host.test"},
	} {
		p := newPipeline(t, nil, func(o *Options) { o.AuthservID = c.configured })
		out := decide(t, p, newMessage(t, plain, func(m *message.Message) { m.Session.MTA = c.mta }))
		if out.AuthservID != c.want || inserted(out, authResults) != c.want+"; none" {
			t.Errorf("%+v: %s, %q", c, out.AuthservID, inserted(out, authResults))
		}
	}
}

// Methods stand in the order of the plan; a check that failed says nothing.
func TestAuth(t *testing.T) {
	saying := func(name string, err error, methods ...authres.Method) checks.Spec {
		return checktest.Fake(name, checks.Mail, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{Auth: methods}, err
		}))
	}
	p := newPipeline(t, []checks.Spec{
		saying("dkim", nil, authres.Method{Method: "dkim", Result: "pass"}, authres.Method{Method: "dkim", Result: "fail"}),
		saying("broken", errors.New("half-way"), authres.Method{Method: "dmarc", Result: "pass"}),
		saying("spf", nil, authres.Method{Method: "spf", Result: "none"}),
	}, func(o *Options) { o.OnError = map[string]checks.OnError{"broken": checks.OnErrorIgnore} })
	out := decide(t, p, newMessage(t, plain, nil))
	if got, want := inserted(out, authResults), "mx.test;\n\tspf=none;\n\tdkim=pass;\n\tdkim=fail"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What the metrics say of a message.
func TestMetrics(t *testing.T) {
	p := newPipeline(t, []checks.Spec{checktest.Fake("check", checks.Mail, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
		return finding("FOUND"), nil
	}))}, func(o *Options) { o.Policy = newPolicy(t, message.Enforce, "scores: {FOUND: 7}") })
	decide(t, p, newMessage(t, plain, nil))
	decide(t, p, newMessage(t, plain, func(m *message.Message) { m.Role = message.Outbound }))
	for name, want := range map[string]string{
		"milterd_messages_total":      "accept/outbound=1 junk/inbound=1",
		"milterd_findings_total":      "FOUND=1",
		"milterd_check_results_total": "check/found=1",
		"milterd_check_errors_total":  "",
	} {
		if got := counted(t, p, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
