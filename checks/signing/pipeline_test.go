package signing

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/rules"
	"milterd/scoring"
)

// decided takes a message through a whole pipeline whose only check is this one.
func (s *site) decided(config string, mode message.Mode, mail checktest.Mail) *pipeline.Outcome {
	s.tb.Helper()
	set, err := rules.Load(nil, nil)
	if err != nil {
		s.tb.Fatal(err)
	}
	env := s.env()
	p, err := pipeline.New(pipeline.Options{
		Specs: []checks.Spec{Spec()}, Env: env, Logger: env.Logger, Now: env.Now, Random: rand.Reader, MessageTime: 20 * time.Second,
		Section: func(string) checks.Section { return checktest.Section(strings.ReplaceAll(config, "$DIR", s.dir)) },
		Policy:  scoring.New(scoring.Options{Mode: mode, OwnFault: scoring.FaultHold, Rules: set, Findings: findings}),
		Roles:   pipeline.Roles{MyNetworks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		Faults:  &pipeline.Faults{Tries: 3, Age: time.Hour}, Metrics: pipeline.NewMetrics(s.reg), MarkKey: []byte("secret"), Hostname: "mx.test",
	})
	if err != nil {
		s.tb.Fatal(err)
	}
	mail.Role = message.Outbound
	m := mail.Message(s.tb)
	defer m.Body.Release()
	run := p.Begin(s.tb.Context())
	defer run.Close()
	run.Publish(checks.Header, m)
	out := run.Finish(s.tb.Context(), m)
	run.Close()
	if err := p.Close(context.WithoutCancel(s.tb.Context())); err != nil {
		s.tb.Error(err)
	}
	return out
}

// What each mode makes of the three ways in which a message can end.
func TestModes(t *testing.T) {
	const domains = "domains: {example.org: {keys: [{selector: ed, file: $DIR/%s/ed.pem}]}}\non_foreign: reject\n"
	for _, test := range []struct {
		mode   message.Mode
		volume string // where the key lies; "gone" is not there
		from   string
		to     string
		action message.Action
		would  message.Action
		reply  string
		signed bool // it leaves signed
		result result
	}{
		{message.Enforce, "example.org", "ann@example.org", "", message.Accept, "", "", true, signed},
		{message.Enforce, "example.org", "ann@else.example", "", message.RejectMail, "", "553 5.7.1 Sender address not owned by user (000000000000)", false, ""},
		{message.Enforce, "example.org", "ann@else.example", "<postmaster@else.example>", message.RejectMail, "", "553 5.7.1 Sender address not owned by user (000000000000)", false, ""},
		{message.Enforce, "gone", "ann@example.org", "", message.TempFail, "", "451 4.7.5 Signing unavailable (000000000000)", false, waiting},
		{message.Enforce, "gone", "ann@example.org", "<abuse@else.example>", message.TempFail, "", "451 4.7.5 Signing unavailable (000000000000)", false, waiting},
		{message.Tag, "example.org", "ann@example.org", "", message.Accept, "", "", true, signed},
		{message.Tag, "example.org", "ann@else.example", "", message.Accept, message.RejectMail, "", false, ""},
		{message.Tag, "gone", "ann@example.org", "", message.Accept, message.TempFail, "", false, unsigned},
		{message.Observe, "example.org", "ann@example.org", "", message.Accept, "", "", false, untouched},
		{message.Observe, "example.org", "ann@else.example", "", message.Accept, message.RejectMail, "", false, ""},
		{message.Observe, "gone", "ann@example.org", "", message.Accept, message.TempFail, "", false, unsigned},
	} {
		s := newSite(t)
		s.key("example.org", "ed", ed25519Key())
		mail := checktest.Mail{Login: "ann@example.org", Text: mailOf(test.from)}
		if test.to != "" {
			mail.To = []string{test.to}
		}
		out := s.decided(strings.ReplaceAll(domains, "%s", test.volume), test.mode, mail)
		v := &out.Verdict
		if v.Action != test.action || v.Would != test.would || v.Reply.String() != test.reply {
			t.Errorf("%+v:\n%s, would be %s, %q", test, v.Action, v.Would, v.Reply)
		}
		leaves := out.Apply && slices.ContainsFunc(out.Edits, func(e message.Edit) bool { return e.Name == "DKIM-Signature" })
		if leaves != test.signed {
			t.Errorf("%+v: apply %v, %v", test, out.Apply, out.Edits)
		}
		for _, r := range results() {
			want := 0.0
			if r == test.result {
				want = 1
			}
			if got := s.metric("example.org", string(r)); got != want {
				t.Errorf("%+v: %v counted as %s", test, got, r)
			}
		}
		if out.Results[0].Note == "" {
			t.Errorf("%+v: nobody is told", test)
		}
	}
}
