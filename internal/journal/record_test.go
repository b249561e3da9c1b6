package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"milterd/authres"
	"milterd/checks"
	"milterd/internal/pipeline"
	"milterd/message"

	"github.com/google/go-cmp/cmp"
)

func number(x float64) *float64 { return &x }

// sample is the outcome of the message in the documentation.
func sample() *pipeline.Outcome {
	header := message.NewHeader([]message.Field{
		{Name: "From", Value: " a@b.test"},
		{Name: "Subject", Value: " win"},
		{Name: "Message-ID", Value: " <1@b.test>"},
	}, 0)
	return &pipeline.Outcome{
		Message: &message.Message{
			ID: "k7q2m9zt4w1c", QueueID: "4bVxYz", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Role: message.Inbound,
			Session:    &message.Session{Client: netip.MustParseAddr("192.0.2.7"), Host: "mx.b.test", Helo: "b.test"},
			MailFrom:   message.ParsePath("<a@b.test>"),
			Recipients: []message.Recipient{{Path: message.ParsePath("<x@y.test>")}},
			Header:     header,
		},
		Verdict: message.Verdict{
			Action: message.RejectMail, Score: 18.9, Objective: 15.4, DecidedBy: "score",
			Thresholds: message.Thresholds{Greylist: number(4), Junk: number(6), Reject: number(15)},
			Reply:      message.ReplySpam.WithID("k7q2m9zt4w1c"),
			Findings: []message.Finding{
				{Name: "BAYES_99", Check: "bayes", Score: 3.5, Value: 0.9971, Subjective: true, Detail: "..."},
				{Name: "EXE_IN_ARCHIVE", Check: "attachments", Score: 9, Detail: "..."},
				{Name: "URI_LISTED", Check: "uribl", Score: 6.4, Detail: "..."},
			},
		},
		Auth: []authres.Method{{Method: "spf", Result: "fail", Comment: "not shown",
			Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: "a@b.test"}}}},
		Edits:   []message.Edit{{Op: message.Insert, Index: 0, Name: "Authentication-Results", Value: "..."}},
		Results: []checks.Result{{Check: "spf", Took: 1200 * time.Microsecond, Findings: []checks.Finding{{Name: "SPF_FAIL"}}}},
		Took:    2500 * time.Microsecond,
	}
}

func marshal(t *testing.T, r *Record) string {
	t.Helper()
	same(t, r)
	line, err := appendRecord(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

// TestDocumentedShape holds the record of the contract's own example against
// that example: programs of others read these lines.
func TestDocumentedShape(t *testing.T) {
	const documented = `{"file":"d/x.eml","id":"k7q2m9zt4w1c","role":"inbound","action":"reject","score":18.9,"objective":15.4,
 "thresholds":{"greylist":4,"junk":6,"reject":15},"decided_by":"score",
 "reply":"554 5.7.1 Message rejected as spam (k7q2m9zt4w1c)",
 "findings":[{"name":"BAYES_99","check":"bayes","score":3.5,"value":0.9971,"subjective":true,"detail":"..."},
             {"name":"EXE_IN_ARCHIVE","check":"attachments","score":9.0,"subjective":false,"detail":"..."},
             {"name":"URI_LISTED","check":"uribl","score":6.4,"subjective":false,"detail":"..."}],
 "auth":[{"method":"spf","result":"fail","reason":"","props":{"smtp.mailfrom":"a@b.test"}}],
 "headers":[{"op":"insert","index":0,"name":"Authentication-Results","value":"..."}],
 "checks":[{"name":"spf","outcome":"found","ms":1.2,"error":""}]}`
	var want, got map[string]any
	if err := json.Unmarshal([]byte(documented), &want); err != nil {
		t.Fatal(err)
	}
	r := NewRecord(sample(), true)
	r.File = "d/x.eml"
	if err := json.Unmarshal([]byte(marshal(t, r)), &got); err != nil {
		t.Fatal(err)
	}
	var added []string
	for key := range got {
		if _, ok := want[key]; !ok {
			added = append(added, key)
			delete(got, key)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-documented +got:\n%s", diff)
	}
	slices.Sort(added)
	beside := []string{"client", "client_name", "from", "helo", "message_id", "qid", "rcpt", "size", "subject", "time", "took_ms"}
	if diff := cmp.Diff(beside, added); diff != "" {
		t.Errorf("keys beside the documented ones: -want +got:\n%s", diff)
	}
}

// TestLine is the whole line, byte for byte: also the order of its keys.
func TestLine(t *testing.T) {
	const want = `{"time":"2026-01-02T03:04:05Z","id":"k7q2m9zt4w1c","qid":"4bVxYz","message_id":"\u003c1@b.test\u003e","role":"inbound",` +
		`"client":"192.0.2.7","client_name":"mx.b.test","helo":"b.test","from":"\u003ca@b.test\u003e","rcpt":["\u003cx@y.test\u003e"],` +
		`"subject":"win","size":54,"action":"reject","score":18.9,"objective":15.4,"thresholds":{"greylist":4,"junk":6,"reject":15},` +
		`"decided_by":"score","reply":"554 5.7.1 Message rejected as spam (k7q2m9zt4w1c)",` +
		`"findings":[{"name":"BAYES_99","check":"bayes","score":3.5,"value":0.9971,"subjective":true,"detail":"..."},` +
		`{"name":"EXE_IN_ARCHIVE","check":"attachments","score":9,"subjective":false,"detail":"..."},` +
		`{"name":"URI_LISTED","check":"uribl","score":6.4,"subjective":false,"detail":"..."}],` +
		`"auth":[{"method":"spf","result":"fail","reason":"","props":{"smtp.mailfrom":"a@b.test"}}],` +
		`"headers":[{"op":"insert","index":0,"name":"Authentication-Results","value":"..."}],` +
		`"checks":[{"name":"spf","outcome":"found","ms":1.2,"error":""}],"took_ms":2.5}`
	if diff := cmp.Diff(want, marshal(t, NewRecord(sample(), true))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestNothing: an empty list is [] and a threshold that is off is null, so that
// no reader has to know three ways to say nothing.
func TestNothing(t *testing.T) {
	o := &pipeline.Outcome{Message: &message.Message{ID: "k7q2m9zt4w1c", Session: &message.Session{}, Role: message.Inbound},
		Verdict: message.Verdict{Action: message.Accept, DecidedBy: "default"}}
	const want = `{"id":"k7q2m9zt4w1c","role":"inbound","from":"","action":"accept","score":0,"objective":0,` +
		`"thresholds":{"greylist":null,"junk":null,"reject":null},"decided_by":"default","reply":"",` +
		`"findings":[],"auth":[],"headers":[],"checks":[],"took_ms":0}`
	if diff := cmp.Diff(want, marshal(t, NewRecord(o, true))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWouldAndFailure(t *testing.T) {
	o := sample()
	o.Verdict.Action, o.Verdict.Would, o.Verdict.Mitigation, o.Verdict.Reply = message.Accept, message.RejectMail, "observe", message.Reply{}
	o.Message.Peer, o.Message.Login = message.Relay, "joe"
	o.Results = append(o.Results, checks.Result{Check: "content", Err: errors.New("no answer in time")})
	r := NewRecord(o, false)
	if r.Would != message.RejectMail || r.Mitigation != "observe" || r.Peer != message.Relay || r.Login != "joe" {
		t.Errorf("%+v", r)
	}
	if r.Subject != "" {
		t.Error("the subject was kept against the operator's will")
	}
	if got := r.Checks[1]; got.Outcome != checks.Failed || got.Error != "no answer in time" {
		t.Errorf("%+v", got)
	}
}

// TestFinite: JSON has no word for what is no number; the record is written all
// the same, and the verdict that it was made from is not touched.
func TestFinite(t *testing.T) {
	o := sample()
	o.Verdict.Score, o.Verdict.Objective = math.Inf(1), math.Inf(-1)
	o.Verdict.Findings[0].Value, o.Verdict.Findings[1].Score = math.NaN(), math.NaN()
	r := NewRecord(o, true)
	marshal(t, r)
	if r.Score != math.MaxFloat64 || r.Objective != -math.MaxFloat64 || r.Findings[0].Value != 0 || r.Findings[1].Score != 0 {
		t.Errorf("%v %v %+v", r.Score, r.Objective, r.Findings)
	}
	if !math.IsNaN(o.Verdict.Findings[0].Value) {
		t.Error("the verdict was changed")
	}
}

// hostile makes an outcome whose every text is a stranger's.
func hostile(s string) *pipeline.Outcome {
	o := sample()
	m := o.Message
	m.QueueID, m.Login = s, s
	m.Session = &message.Session{Host: s, Helo: s, PTR: s, Client: netip.MustParseAddr("fe80::1").WithZone("x" + s)}
	m.MailFrom = message.ParsePath(s)
	m.Recipients = nil
	for range 3 * maxRecipients {
		m.Recipients = append(m.Recipients, message.Recipient{Path: message.ParsePath(s)})
	}
	m.Header = message.NewHeader([]message.Field{{Name: "Message-ID", Value: s}, {Name: "Subject", Value: s}}, 0)
	o.Verdict.HoldReason = s
	for i := range o.Verdict.Findings {
		o.Verdict.Findings[i].Detail = s
	}
	o.Auth[0].Reason, o.Auth[0].Props[0].Value = s, s
	for i := range 1000 {
		o.Edits = append(o.Edits, message.Edit{Op: message.Delete, Index: i, Name: s})
	}
	o.Results[0].Err, o.Results[0].Note = errors.New(s), s
	return o
}

// TestMonster: the largest that a message can be makes a record that is still
// bounded, and the message itself stays as it was.
func TestMonster(t *testing.T) {
	for _, s := range []string{strings.Repeat("<", 1<<18), strings.Repeat("\xff", 1<<18), strings.Repeat("\x00", 1<<18), strings.Repeat("é", 1<<17)} {
		o := hostile(s)
		line := marshal(t, NewRecord(o, true))
		if len(line) > maxLine/4 {
			t.Errorf("%q...: a line of %d bytes", s[:4], len(line))
		}
		if o.Auth[0].Props[0].Value != s || o.Verdict.Findings[0].Detail != s || o.Edits[1].Name != s {
			t.Errorf("%q...: the outcome was changed", s[:4])
		}
	}
	o := hostile("x")
	o.Edits = append(o.Edits, message.Edit{Op: message.Insert, Name: "X-Milterd-Id", Value: "v"})
	r := NewRecord(o, true)
	if len(r.Headers) != maxRemovals+2 || r.Headers[0].Op != message.Insert || r.Headers[maxRemovals+1].Name != "X-Milterd-Id" {
		t.Errorf("%d edits kept, the last one %+v", len(r.Headers), r.Headers[len(r.Headers)-1])
	}
	if len(r.Rcpt) != maxRecipients {
		t.Errorf("%d recipients kept", len(r.Rcpt))
	}
}

// FuzzRecord: any bytes in any place make one line of valid JSON that reads back
// as the record that was written.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{"", "plain", "\x1b[2J\x1b]0;owned\a", "a\r\nb", "\xff\xfe", "\u2028\u2029\u202e", "\x00", `"},{"`, "</script>",
		strings.Repeat("é", 200), strings.Repeat("a", 255) + "é", "\ud7ff\ue000\U0010ffff", strings.Repeat("a\xff", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line, err := appendRecord(nil, NewRecord(hostile(s), true))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' }) || !utf8.Valid(line) || len(line) > maxLine {
			t.Fatalf("no line: %q", line)
		}
		got := new(Record)
		if err := json.Unmarshal(line, got); err != nil {
			t.Fatal(err)
		}
		if again, err := json.Marshal(got); err != nil || !bytes.Equal(again, line) {
			t.Fatalf("written %q\nread    %q, %v", line, again, err)
		}
		for _, kept := range []string{got.Helo, got.From, got.Subject, got.MessageID, got.QueueID, got.Findings[0].Detail, got.Checks[0].Error, got.Checks[0].Note} {
			if len(kept) > 3*maxText {
				t.Fatalf("%d bytes kept", len(kept))
			}
		}
		var b bytes.Buffer
		got.Explain(&b)
		if bytes.ContainsFunc(b.Bytes(), func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
			t.Fatalf("explained: %q", b.Bytes())
		}
	})
}

func BenchmarkNewRecord(b *testing.B) {
	outcomes := busy(256)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		NewRecord(outcomes[i%len(outcomes)], true)
	}
}

// record is a small one for the tests of files.
func record(id string, change ...func(*Record)) *Record {
	r := &Record{ID: id, Role: message.Inbound, Action: message.Accept, DecidedBy: "default", Subject: fmt.Sprint("about ", id)}
	for _, c := range change {
		c(r)
	}
	return r
}

// TestRecipientRecord: a refused recipient has a record that says so, without what only a
// message has, and it is found by the id that he was told.
func TestRecipientRecord(t *testing.T) {
	o := sample()
	o.AtRcpt, o.Message.Header, o.Message.Body, o.Edits, o.Auth = true, nil, nil, nil, nil
	r := NewRecord(o, true)
	if r.Stage != AtRcpt || len(r.Rcpt) != 1 || r.Subject != "" || r.MessageID != "" || r.Size != 0 {
		t.Errorf("%+v", r)
	}
	if line := marshal(t, r); !strings.Contains(line, `"stage":"rcpt"`) || !strings.Contains(line, `"auth":[],"headers":[]`) {
		t.Error(line)
	}
	if line := marshal(t, NewRecord(sample(), true)); strings.Contains(line, "stage") {
		t.Errorf("a message: %s", line)
	}
	if !newQuestion("k7q2m9zt4w1c").answeredBy(r) {
		t.Error("nobody finds it")
	}
}
