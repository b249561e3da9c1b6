package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"milterd/authres"
	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/journal"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/rules"
	"milterd/scoring"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// randomly describes a check that takes up to a second, as delay says, and then
// reports what it always reports.
func randomly(name string, phase checks.Phase, delay func() time.Duration, res checks.Result, err error) checks.Spec {
	return checktest.Fake(name, phase, checktest.Func(func(_ context.Context, in *checks.Input) (checks.Result, error) {
		time.Sleep(delay())
		if in.Recipient != nil {
			res := res
			res.Findings = []checks.Finding{{Name: "RCPT_ODD", Detail: in.Recipient.Path.Raw}}
			return res, err
		}
		return res, err
	}))
}

// The same message gives the same bytes, whatever check is quicker: edits,
// results, verdict, and the record that the journal keeps, but for id, time and
// how long things took.
func TestCompletionOrderDoesNotMatter(t *testing.T) {
	found := func(names ...string) checks.Result {
		var res checks.Result
		for _, n := range names {
			res.Findings = append(res.Findings, checks.Finding{Name: n})
		}
		return res
	}
	authenticated := func(method, result string, names ...string) checks.Result {
		res := found(names...)
		res.Auth = []authres.Method{{Method: method, Result: result}}
		return res
	}
	demanding := func(a message.Action, name string) checks.Result {
		res := found(name)
		res.Demand = &checks.Demand{Action: a, Reply: message.ReplyPolicyLookup, Finding: name}
		return res
	}
	set, err := rules.Load([]rules.Source{{Name: "rules.yaml", Text: []byte(`
rules:
  - {name: BOTH, when: "SPF_ODD && URI_ODD", score: 1}
groups: {odd: {rules: [SPF_ODD, URI_ODD, RCPT_ODD], max: 3}}
scores: {SPF_ODD: 2, URI_ODD: 2, RCPT_ODD: 0.5}
`)}}, []string{"SPF_ODD", "URI_ODD", "RCPT_ODD", "DMARC_ODD", "GREY_ODD"})
	if err != nil {
		t.Fatal(err)
	}
	var first []byte
	var firstEdits []message.Edit
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			delays := make([]time.Duration, 100)
			for i := range delays {
				delays[i] = time.Duration(rnd.IntN(1000)) * time.Millisecond
			}
			next := make(chan time.Duration, len(delays))
			for _, d := range delays {
				next <- d
			}
			delay := func() time.Duration { return <-next }

			dmarc := randomly("dmarc", checks.Header, delay, authenticated("dmarc", "fail", "DMARC_ODD"), nil)
			dmarc.Needs = []string{"spf", "dkim"}
			lists := randomly("lists", checks.Message, delay, demanding(message.Junk, "DMARC_ODD"), nil)
			failing := randomly("failing", checks.Mail, delay, checks.Result{}, io.ErrUnexpectedEOF)
			failing.OnError = checks.OnErrorIgnore
			panicking := checktest.Panicking("panicking", checks.Connect, "boom")
			panicking.OnError = checks.OnErrorIgnore

			p, err := pipeline.New(pipeline.Options{
				Specs: []checks.Spec{
					randomly("uribl", checks.Message, delay, found("URI_ODD"), nil), panicking,
					randomly("spf", checks.Mail, delay, authenticated("spf", "fail", "SPF_ODD"), nil), dmarc, failing,
					randomly("dkim", checks.Header, delay, authenticated("dkim", "none"), nil),
					randomly("rcpt", checks.Rcpt, delay, checks.Result{}, nil), lists,
					randomly("greylist", checks.Message, delay, demanding(message.Greylist, "GREY_ODD"), nil),
				},
				Section:  func(string) checks.Section { return checktest.Section("") },
				Policy:   scoring.New(scoring.Options{Mode: message.Enforce, Thresholds: thresholds(), OwnFault: scoring.FaultHold, Rules: set}),
				Roles:    pipeline.Roles{MyNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
				Hostname: "mx.test", MarkKey: []byte("secret"), Version: "1", SpamHeaders: true,
				MessageTime: 25 * time.Second, Faults: &pipeline.Faults{Tries: 3, Age: time.Hour},
				Metrics: pipeline.NewMetrics(prometheus.NewRegistry()), Random: bytes.NewReader(make([]byte, 100)),
				Logger: slog.New(slog.DiscardHandler), Now: time.Now,
			})
			if err != nil {
				t.Fatal(err)
			}
			m := checktest.Mail{
				To:   []string{"<a@here.test>", "<b@here.test>", "<c@here.test>"},
				Text: "From: ann@x.test\nX-Spam-Flag: NO\nAuthentication-Results: mx.test; spf=pass\n\nhello\n",
			}.Message(t)
			defer m.Body.Release()
			r := p.Begin(t.Context())
			defer r.Close()
			for i := range m.Recipients {
				part := *m
				part.Recipients = m.Recipients[:i+1]
				r.Recipient(&part)
			}
			out := r.Finish(t.Context(), m)

			record := journal.NewRecord(out, true)
			record.TookMS = 0
			for i := range record.Checks {
				record.Checks[i].MS = 0
			}
			line, err := json.MarshalIndent(record, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first, firstEdits = line, out.Edits
				if out.Verdict.Action != message.Junk || len(out.Results) != 11 || len(out.Edits) < 6 {
					t.Fatalf("the message is not what this test is about: %s", line)
				}
			}
			if diff := cmp.Diff(string(first), string(line)); diff != "" {
				t.Fatalf("seed %d: %s", seed, diff)
			}
			if diff := cmp.Diff(firstEdits, out.Edits); diff != "" {
				t.Fatalf("seed %d: %s", seed, diff)
			}
		})
	}
}

func thresholds() message.Thresholds {
	greylist, junk, reject := 3.0, 6.0, 15.0
	return message.Thresholds{Greylist: &greylist, Junk: &junk, Reject: &reject}
}
