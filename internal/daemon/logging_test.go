package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"milterd/authres"
	"milterd/checks"
	"milterd/internal/config"
	"milterd/internal/pipeline"
	"milterd/message"
)

// hostileOutcome is a verdict whose every text a stranger chose, also where none
// can choose any today.
func hostileOutcome(s string) *pipeline.Outcome {
	return &pipeline.Outcome{
		Message: &message.Message{
			ID: s, QueueID: s, Role: message.Role(s), Peer: message.Peer(s), Login: s,
			Session:  &message.Session{Client: netip.MustParseAddr("fe80::1").WithZone("z" + s), Helo: s, Host: s},
			MailFrom: message.ParsePath(s),
		},
		Verdict: message.Verdict{Action: message.Action(s), Would: message.Action(s), DecidedBy: s, Mitigation: s, HoldReason: s,
			Reply: message.Reply{Code: 550, Enhanced: "5.7.1", Text: s}, Findings: []message.Finding{{Name: s}, {Name: s}}},
		Auth:    []authres.Method{{Method: s, Result: s}},
		Results: []checks.Result{{Check: s, Err: errors.New(s), Note: s}, {Check: s, Err: fmt.Errorf("wrapped: %w", errors.New(s))}},
	}
}

type stringer string

func (s stringer) String() string { return string(s) }

type valuer string

func (v valuer) LogValue() slog.Value { return slog.StringValue(string(v)) }

// logAll writes a stranger's text in every way in which one can get into a log.
func logAll(log *slog.Logger, s string) {
	logVerdict(log, hostileOutcome(s))
	log.Error(s, "err", errors.New(s), "text", s, "list", []string{s}, "map", map[string]string{s: s}, "stringer", stringer(s), "valuer", valuer(s),
		"bytes", []byte(s), "struct", struct{ Field string }{s}, "pointer", &struct{ Field string }{s}, "nil", nil, "zone", netip.MustParseAddr("fe80::1").WithZone("z"+s),
		slog.Group("group", "text", s, "err", errors.New(s)), "panic", fmt.Sprint(s), "stack", s+"\ngoroutine 1 [running]:\n\tfile.go:1", "raw", json.RawMessage(s))
	log.With("queue_id", s, slog.Any("err", errors.New(s))).WithGroup("g").Info("with", "x", s)
}

// lines: logAll writes these many.
const lines = 3

// checkLines holds what was written against what a line may be.
func checkLines(t *testing.T, format config.LogFormat, written []byte, s string) {
	t.Helper()
	if n := bytes.Count(written, []byte{'\n'}); n != lines || !bytes.HasSuffix(written, []byte{'\n'}) {
		t.Fatalf("%s: %d lines of %q:\n%q", format, n, s, written)
	}
	for line := range bytes.Lines(written) {
		line = bytes.TrimSuffix(line, []byte{'\n'})
		if bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%s: %q", format, line)
		}
		if len(line) > 20<<10 {
			t.Fatalf("%s: a line of %d bytes", format, len(line))
		}
		if format == config.LogJSON {
			var values map[string]any
			if err := json.Unmarshal(line, &values); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if values["msg"] == "verdict" && values["level"] != "INFO" {
				t.Fatalf("%s", line)
			}
			continue
		}
		// Outside quotes no value may look like a key of its own.
		for key := range strings.SplitSeq(unquoted(string(line)), " ") {
			if strings.HasPrefix(key, "forged=") {
				t.Fatalf("%s: %q becomes an attribute", line, s)
			}
		}
	}
}

// unquoted removes quoted strings.
func unquoted(line string) string {
	var b strings.Builder
	in := false
	for i := 0; i < len(line); i++ {
		switch {
		case in && line[i] == '\\':
			i++
		case line[i] == '"':
			in = !in
		case !in:
			b.WriteByte(line[i])
		}
	}
	return b.String()
}

var hostileTexts = []string{
	"", "plain", "a forged=1", "\" forged=1", "\n forged=1", "x\r\ntime=2026 level=INFO msg=verdict forged=1", "\x1b[2J\x1b]0;owned\a", "\x00", "\x7f\x80\x9b31m",
	"\u0085\u2028\u2029", "\u202eevil\u2066", "\xff\xfe\xc0\xaf", "\ufeff", "{\"msg\":\"verdict\"}", "\\", "\\n", "\"", "=", " ", strings.Repeat("x", 5000), strings.Repeat("\n", 5000), strings.Repeat("é", 5000),
}

// FuzzLog: whatever the text, a record is one line of printable ASCII, in both
// formats, and stays the value that it was.
func FuzzLog(f *testing.F) {
	for _, s := range hostileTexts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, format := range []config.LogFormat{config.LogText, config.LogJSON} {
			var b bytes.Buffer
			logAll(newLogger(&b, format, slog.LevelDebug), s)
			checkLines(t, format, b.Bytes(), s)
		}
	})
}

// TestShortCuts: what is written without a detour is what it was with one: names and results
// are those of a strings.Join, and a level is written as any other value is.
func TestShortCuts(t *testing.T) {
	for _, s := range hostileTexts {
		o := hostileOutcome(s)
		o.Verdict.Findings = append(o.Verdict.Findings, message.Finding{Name: "LAST"})
		o.Auth = append(o.Auth, authres.Method{Method: "dkim", Result: s})
		all := []string{s, s, "LAST"}
		if s == "" {
			all = all[2:]
		}
		if got, want := names(o.Verdict.Findings), strings.Join(all, ","); got != want {
			t.Errorf("names %q, want %q", got, want)
		}
		if got, want := results(o), s+"="+s+",dkim="+s; got != want {
			t.Errorf("results %q, want %q", got, want)
		}
	}
	for level := slog.LevelDebug - 2; level < slog.LevelError+3; level++ {
		if got, want := tame(nil, slog.Any("level", level)), slog.String("level", fmt.Sprint(level)); !got.Equal(want) {
			t.Errorf("%v, want %v", got, want)
		}
		for format, want := range map[config.LogFormat]string{config.LogText: " level=" + level.String() + " msg=m g.level=" + level.String() + "\n",
			config.LogJSON: `,"level":"` + level.String() + `","msg":"m","g":{"level":"` + level.String() + `"}}` + "\n"} {
			var b bytes.Buffer
			newLogger(&b, format, slog.LevelDebug-2).Log(t.Context(), level, "m", slog.Group("g", "level", level))
			if !strings.HasSuffix(b.String(), want) {
				t.Errorf("%s: %s, want %s", format, b.String(), want)
			}
		}
	}
}

// TestValuesAreCut: a value is at most 256 bytes, but for the ones of ours that
// say nothing when they are cut.
func TestValuesAreCut(t *testing.T) {
	var b bytes.Buffer
	log := newLogger(&b, config.LogJSON, slog.LevelInfo)
	long := strings.Repeat("x", 100_000)
	log.Info("m", "helo", long, "err", errors.New(long), "any", stringer(long), "findings", long, "stack", long)
	var values map[string]string
	if err := json.Unmarshal(b.Bytes(), &values); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int{"helo": 256, "err": 256, "any": 256, "findings": 2048, "stack": 16384} {
		if len(values[key]) != want {
			t.Errorf("%s: %d bytes, want %d", key, len(values[key]), want)
		}
	}
}

// TestVerdictLine is the line that operators search for.
func TestVerdictLine(t *testing.T) {
	o := &pipeline.Outcome{
		Message: &message.Message{ID: "k7q2m9zt4w1c", QueueID: "4bVxYz", Role: message.Inbound, Session: &message.Session{Client: netip.MustParseAddr("192.0.2.7"), Helo: "mx.b.test"},
			MailFrom: message.ParsePath("<a@b.test>"), Recipients: make([]message.Recipient, 2)},
		Verdict: message.Verdict{Action: message.Accept, Would: message.RejectMail, Score: 12.4, DecidedBy: "score", Mitigation: "observe",
			Findings: []message.Finding{{Name: "SPF_FAIL"}, {Name: "BAYES_99"}}},
		Auth:    []authres.Method{{Method: "spf", Result: "fail"}, {Method: "dmarc", Result: "none"}},
		Results: []checks.Result{{Check: "spf"}, {Check: "signing", Note: "signed: d=b.test"}, {Check: "clamav", Err: errors.New("connection refused")}},
		Took:    182 * time.Millisecond,
	}
	var b bytes.Buffer
	logVerdict(newLogger(&b, config.LogText, slog.LevelInfo), o)
	_, line, _ := strings.Cut(b.String(), " ") // the time
	const want = `level=INFO msg=verdict qid=4bVxYz id=k7q2m9zt4w1c role=inbound client=192.0.2.7 helo=mx.b.test from=<a@b.test> rcpts=2 ` +
		`action=accept would=reject score=12.4 by=score mitigated=observe findings=SPF_FAIL,BAYES_99 auth="spf=fail,dmarc=none" notes="signing signed: d=b.test" failed="clamav: connection refused" took=182ms` + "\n"
	if line != want {
		t.Errorf("got  %swant %s", line, want)
	}
	b.Reset()
	logVerdict(newLogger(&b, config.LogText, slog.LevelWarn), o)
	if b.Len() != 0 {
		t.Errorf("at level warn: %s", b.String())
	}
}

// TestRecipientLine is the line about a recipient who was refused at RCPT TO, whatever
// stands in it; it is no verdict on a message, and fail2ban counts it as one.
func TestRecipientLine(t *testing.T) {
	line := func(rcpt string, v message.Verdict) string {
		var b bytes.Buffer
		logVerdict(newLogger(&b, config.LogText, slog.LevelInfo), &pipeline.Outcome{AtRcpt: true, Verdict: v, Took: time.Millisecond,
			Message: &message.Message{ID: "k7q2m9zt4w1c", Role: message.Inbound, Session: &message.Session{Client: netip.MustParseAddr("192.0.2.7"), Helo: "mx.b.test"},
				MailFrom: message.ParsePath("<a@b.test>"), Recipients: []message.Recipient{{Path: message.ParsePath(rcpt)}}}})
		_, line, _ := strings.Cut(b.String(), " ")
		return line
	}
	listed := message.Verdict{Action: message.RejectMail, Score: 5, DecidedBy: "dnsbl", Reply: message.ReplySpam, Findings: []message.Finding{{Name: "DNSBL_SPAM"}}}
	const want = `level=INFO msg="recipient refused" id=k7q2m9zt4w1c role=inbound client=192.0.2.7 helo=mx.b.test from=<a@b.test> rcpt=<c@d.test> ` +
		`action=reject score=5 by=dnsbl findings=DNSBL_SPAM reply="554 5.7.1 Message rejected as spam" took=1ms` + "\n"
	if got := line("<c@d.test>", listed); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	filter := failRegexp(t)
	if m := filter.FindStringSubmatch(line("<c d\" action=x@d.test>", listed)); m == nil || m[1] != "192.0.2.7" {
		t.Errorf("fail2ban does not count it: %v", m)
	}
	asked := message.Verdict{Action: message.Greylist, DecidedBy: "greylist", Reply: message.ReplyGreylisted(300)}
	if got := line("<c@d.test> action=reject ", asked); filter.MatchString(got) || strings.Count(got, "\n") != 1 {
		t.Errorf("fail2ban counts %s", got)
	}
}

// TestStackIsOneLine: a panic is found by one grep, with all of its stack.
func TestStackIsOneLine(t *testing.T) {
	var b bytes.Buffer
	log := newLogger(&b, config.LogText, slog.LevelInfo)
	log.Error("check panicked", "stack", "goroutine 7 [running]:\nmain.f()\n\t/src/f.go:12 +0x1\nmain.main()\n\t/src/main.go:3\n")
	if got := b.String(); !strings.HasSuffix(got, `stack="goroutine 7 [running]: | main.f() /src/f.go:12 +0x1 | main.main() /src/main.go:3 | "`+"\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("%s", got)
	}
}

// BenchmarkLogVerdict is the line of a message as it comes with every check on; no two are
// alike.
func BenchmarkLogVerdict(b *testing.B) {
	outcomes := make([]*pipeline.Outcome, 256)
	for i := range outcomes {
		host := fmt.Sprintf("mail.example%d.test", i)
		o := &pipeline.Outcome{
			Message: &message.Message{ID: fmt.Sprintf("k7q2m9zt4%03d", i), QueueID: fmt.Sprintf("4bVxYz%d", i), Role: message.Inbound,
				Session:  &message.Session{Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Helo: host},
				MailFrom: message.ParsePath(fmt.Sprintf("<bounce-%d@%s>", i*i, host)), Recipients: make([]message.Recipient, 1+i%3)},
			Verdict: message.Verdict{Action: message.Accept, Score: float64(i) / 10, DecidedBy: "score"},
			Auth:    []authres.Method{{Method: "spf", Result: "pass"}, {Method: "dkim", Result: "fail"}, {Method: "iprev", Result: "pass"}, {Method: "dmarc", Result: "none"}},
			Took:    time.Duration(i) * 12345,
		}
		for j := range 12 {
			o.Verdict.Findings = append(o.Verdict.Findings, message.Finding{Name: fmt.Sprintf("SIGN_WORD_%d", i+j)})
		}
		for j := range 17 {
			o.Results = append(o.Results, checks.Result{Check: fmt.Sprint("check", j)})
		}
		if i%3 == 0 {
			o.Verdict.Action, o.Verdict.Reply = message.RejectMail, message.ReplySpam.WithID(o.Message.ID)
		}
		outcomes[i] = o
	}
	for _, format := range []config.LogFormat{config.LogText, config.LogJSON} {
		b.Run(string(format), func(b *testing.B) {
			log := newLogger(io.Discard, format, slog.LevelInfo)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				logVerdict(log, outcomes[i%len(outcomes)])
			}
		})
	}
}
