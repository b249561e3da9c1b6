package content

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/checks"
	"milterd/internal/match"
	"milterd/internal/strictyaml"
	"milterd/message"
	"milterd/mime"
	"milterd/rules"

	"github.com/google/go-cmp/cmp"
)

// section is a piece of configuration as the operator writes it.
type section string

func (s section) Decode(into any) error { return strictyaml.Decode("milterd.yaml", []byte(s), into) }

// newMessage makes a complete message from a stranger.
func newMessage(tb testing.TB, fields []message.Field, body []byte) *message.Message {
	tb.Helper()
	spool := message.NewSpool(message.SpoolOptions{Memory: 1 << 30})
	if _, err := spool.Write(body); err != nil {
		tb.Fatal(err)
	}
	spool.Finish()
	return &message.Message{
		Session:    &message.Session{Client: netip.MustParseAddr("192.0.2.7"), Host: "mail.example.org", Helo: "mx1.example.org"},
		MailFrom:   message.ParsePath("<alice@example.org>"),
		Recipients: []message.Recipient{{Path: message.ParsePath("<bob@example.com>")}, {Path: message.ParsePath("<Carol@example.com>")}},
		Header:     message.NewHeader(fields, 0),
		Body:       spool,
	}
}

// newCheckOf makes a check of the rules in a text.
func newCheckOf(tb testing.TB, text string, limits checks.Limits) checks.Check {
	tb.Helper()
	set, err := rules.Load([]rules.Source{{Name: "test.yaml", Text: []byte(text)}}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return newCheckWith(tb, set, limits, time.Now)
}

func newCheckWith(tb testing.TB, set *rules.Set, limits checks.Limits, now func() time.Time) checks.Check {
	tb.Helper()
	c, err := Spec(set).New(section(""), checks.Env{Now: now, Limits: limits})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// run returns the findings as "NAME detail".
func run(tb testing.TB, c checks.Check, m *message.Message) []string {
	tb.Helper()
	res, err := c.Run(tb.Context(), &checks.Input{Message: m})
	if err != nil {
		tb.Fatal(err)
	}
	var got []string
	for _, f := range res.Findings {
		got = append(got, strings.TrimSpace(f.Name+" "+f.Detail))
	}
	return got
}

func TestRun(t *testing.T) {
	plain := message.Field{Name: "Content-Type", Value: " text/plain; charset=utf-8"}
	for _, c := range []struct {
		name   string
		rules  string // of one rule each, without name
		fields []message.Field
		body   string
		change func(*message.Message)
		want   []string
	}{
		{name: "no rules", body: "hello"},
		{name: "header field of any spelling", rules: "header: Subject, match: lottery", fields: []message.Field{{Name: "SUBJECT", Value: " the lottery"}},
			want: []string{`A "lottery"`}},
		{name: "header is decoded and unfolded", rules: "header: Subject, match: '^Grüße aus\\tRom$'",
			fields: []message.Field{{Name: "Subject", Value: " =?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus\n\tRom "}}, want: []string{`A "Grüße aus\tRom"`}},
		{name: "header_raw is neither", rules: "header_raw: Subject, match: '^ =\\?(?s:.*)\\n\\tRom $'",
			fields: []message.Field{{Name: "Subject", Value: " =?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus\n\tRom "}},
			want:   []string{`A " =?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus\n\tRom "`}},
		{name: "each field by itself, the first that hits", rules: "header: Received, match: '^from .'",
			fields: []message.Field{{Name: "Received", Value: " by x"}, {Name: "Received", Value: " from a"}, {Name: "Received", Value: " from b"}},
			want:   []string{`A "from a"`}},
		{name: "a field is there", rules: "header: Date, exists: true", fields: []message.Field{{Name: "date", Value: ""}}, want: []string{"A"}},
		{name: "a field is not there", rules: "header: Date, exists: false", fields: []message.Field{{Name: "X-Date", Value: " x"}}, want: []string{"A"}},
		{name: "neither", rules: "header: Date, exists: false", fields: []message.Field{{Name: "Date", Value: " x"}}},
		{name: "envelope sender", rules: "envelope.from: {match: '^alice@example\\.org$'}", want: []string{`A "alice@example.org"`}},
		{name: "null sender", rules: "envelope.from: {match: '^$'}", change: func(m *message.Message) { m.MailFrom = message.ParsePath("<>") }, want: []string{"A"}},
		{name: "no sender", rules: "envelope.from: {exists: false}", change: func(m *message.Message) { m.MailFrom = message.ParsePath("<>") }, want: []string{"A"}},
		{name: "a sender that is no address", rules: "envelope.from: {match: '^a b@'}", change: func(m *message.Message) { m.MailFrom = message.ParsePath("<a b@x>") },
			want: []string{`A "a b@"`}},
		{name: "any recipient", rules: "envelope.rcpt: {match: '^Carol@'}", want: []string{`A "Carol@"`}},
		{name: "author's address", rules: "from_addr: {match: '@example\\.org$'}", fields: []message.Field{{Name: "From", Value: ` "Ann" <ann@EXAMPLE.org>`}},
			want: []string{`A "@example.org"`}},
		{name: "author's name", rules: "from_name: {match: 'Änn'}", fields: []message.Field{{Name: "From", Value: ` =?utf-8?B?w4Rubg==?= <ann@example.org>`}},
			want: []string{`A "Änn"`}},
		{name: "no author's name", rules: "from_name: {exists: false}", fields: []message.Field{{Name: "From", Value: " ann@example.org"}}, want: []string{"A"}},
		{name: "client", rules: "client.name: {match: '^mail\\.example'}", want: []string{`A "mail.example"`}},
		{name: "a client without a name", rules: "client.name: {exists: false}", change: func(m *message.Message) { m.Session.Host = "[192.0.2.7]" }, want: []string{"A"}},
		{name: "its address is no name", rules: "client.name: {match: '192'}", change: func(m *message.Message) { m.Session.Host = "[192.0.2.7]" }},
		{name: "helo", rules: "helo: {match: '^mx\\d'}", want: []string{`A "mx1"`}},
		{name: "body", rules: "body: {match: 'first line\\ssecond'}", body: "the first line\r\n  second", want: []string{`A "first line\nsecond"`}},
		{name: "white space is squeezed", rules: "body: {match: '^a b\\nc d\\ne$'}", body: "\r\n  a \t b\r\n\r\n \u00a0c\u00a0d \r\ne\r\n\r\n", fields: []message.Field{plain},
			want: []string{`A "a b\nc d\ne"`}},
		{name: "body decoded", rules: "body: {match: 'Grüße'}", body: "Gr=C3=BC=C3=\r\n=9Fe",
			fields: []message.Field{plain, {Name: "Content-Transfer-Encoding", Value: " quoted-printable"}}, want: []string{`A "Grüße"`}},
		{name: "body of another charset", rules: "body: {match: 'Grüße'}", body: "Gr\xfc\xdfe",
			fields: []message.Field{{Name: "Content-Type", Value: " text/plain; charset=iso-8859-1"}}, want: []string{`A "Grüße"`}},
		{name: "HTML as it shows", rules: "body: {match: '^Dear Friend\\nclick$'}", body: "<style>p{}</style><p>De<b>ar</b> Fri&#101;nd</p>\r\n\r\n<p>click</p>",
			fields: []message.Field{{Name: "Content-Type", Value: " text/html"}}, want: []string{`A "Dear Friend\nclick"`}},
		{name: "several parts", rules: "body: {match: '^one\\ntwo\\nthree$'}",
			fields: []message.Field{{Name: "Content-Type", Value: ` multipart/mixed; boundary=b`}},
			body:   "--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>two\r\n--b\r\nContent-Type: image/png\r\n\r\nnone\r\n--b\r\n\r\nthree\r\n--b--\r\n",
			want:   []string{`A "one\ntwo\nthree"`}},
		{name: "no text", rules: "body: {exists: false}", body: "\r\n \r\n", want: []string{"A"}},
		{name: "facts of the structure", body: "--b\r\n\r\none\r\n--b x\r\n\r\ntwo\r\n", fields: []message.Field{{Name: "Content-Type", Value: ` multipart/mixed; boundary=b`}},
			want: []string{"MIME_AMBIGUOUS", "MIME_MISSING_END", "MIME_DELIMITER_JUNK"}},
		{name: "facts of the text", rules: "body: {match: x}", body: "=C", fields: []message.Field{plain, {Name: "Content-Transfer-Encoding", Value: " quoted-printable"}},
			want: []string{"MIME_BAD_QP"}},
		{name: "shadow reports, too", rules: "header: Subject, match: x, state: shadow", fields: []message.Field{{Name: "Subject", Value: " x"}}, want: []string{`A "x"`}},
		{name: "off does not", rules: "header: Subject, match: x, state: off", fields: []message.Field{{Name: "Subject", Value: " x"}}},
		{name: "no body at all", rules: "body: {exists: false}", change: func(m *message.Message) { m.Body = nil }, want: []string{"A"}},
		{name: "escapes", rules: "header: Subject, match: '(?s).+'", fields: []message.Field{{Name: "Subject", Value: " =?utf-8?Q?a=0Db=1B[31m=E2=80=AE=22?="}},
			want: []string{`A "a\rb\x1b[31m\u202e\""`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := ""
			if c.rules != "" {
				text = "rules: [{name: A, " + c.rules + "}]"
			}
			m := newMessage(t, c.fields, []byte(c.body))
			if c.change != nil {
				c.change(m)
			}
			if diff := cmp.Diff(c.want, run(t, newCheckOf(t, text, checks.Limits{}), m)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Findings stand in the order of the rules, whatever order texts are searched in.
func TestOrder(t *testing.T) {
	c := newCheckOf(t, `rules:
  - {name: BODY, body: {match: x}}
  - {name: NO_DATE, header: Date, exists: false}
  - {name: SUBJECT, header: Subject, match: x}
  - {name: HELO, helo: {match: example}}`, checks.Limits{})
	m := newMessage(t, []message.Field{{Name: "Subject", Value: " x"}}, []byte("x\r\n\x00"))
	want := []string{`BODY "x"`, "NO_DATE", `SUBJECT "x"`, `HELO "example"`, "MIME_AMBIGUOUS", "MIME_NUL_IN_TEXT"}
	if diff := cmp.Diff(want, run(t, c, m)); diff != "" {
		t.Error(diff)
	}
}

func TestLimits(t *testing.T) {
	const text = "rules: [{name: EARLY, body: {match: early}}, {name: LATE, body: {match: late}}]"
	t.Run("scan_bytes", func(t *testing.T) {
		m := newMessage(t, nil, []byte("early "+strings.Repeat("x", 100)+" late"))
		c := newCheckOf(t, text, checks.Limits{ScanBytes: 50})
		if diff := cmp.Diff([]string{`EARLY "early"`, "CONTENT_PARTIAL"}, run(t, c, m)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("text_bytes", func(t *testing.T) {
		m := newMessage(t, nil, []byte("early "+strings.Repeat("x", 100)+" late"))
		c := newCheckOf(t, text, checks.Limits{TextBytes: 50})
		if diff := cmp.Diff([]string{`EARLY "early"`, "MIME_LIMIT_TEXT"}, run(t, c, m)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("mime_time", func(t *testing.T) {
		// Nothing takes less than a nanosecond; what is soon read is read all the same.
		c := newCheckOf(t, text, checks.Limits{MIMETime: 1})
		if diff := cmp.Diff([]string{`EARLY "early"`, `LATE "late"`}, run(t, c, newMessage(t, nil, []byte("early and late")))); diff != "" {
			t.Error(diff)
		}
		m := newMessage(t, []message.Field{{Name: "Content-Type", Value: " text/html"}}, []byte("early "+strings.Repeat("<p>x</p>", 10_000)+" late"))
		if diff := cmp.Diff([]string{`EARLY "early"`, "MIME_LIMIT_TIME"}, run(t, c, m)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("text_bytes of several parts, counted as rules see them", func(t *testing.T) {
		// 40 bytes of Windows-1252 are 80 of UTF-8.
		part := "--b\r\nContent-Type: text/plain; charset=windows-1252\r\n\r\n" + strings.Repeat("\xfc", 40) + "\r\n"
		m := newMessage(t, []message.Field{{Name: "Content-Type", Value: " multipart/mixed; boundary=b"}}, []byte(part+part+"--b--\r\n"))
		c := newCheckOf(t, "rules: [{name: ALL, body: {match: '^ü{40}\\nü{9}$'}}]", checks.Limits{TextBytes: 100})
		got := run(t, c, m)
		if len(got) != 2 || !strings.HasPrefix(got[0], "ALL ") || got[1] != "MIME_LIMIT_TEXT" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("rule_time", func(t *testing.T) {
		// Each look at the clock is a second later: a rule takes one.
		c := newCheckWith(t, mustLoad(t, text), checks.Limits{RuleTime: 500 * time.Millisecond, RulesTime: time.Hour}, ticking(time.Second))
		m := newMessage(t, nil, []byte("early and late"))
		want := []string{`EARLY "early"`, `LATE "late"`, "RULES_TIME slow: EARLY 1000ms, LATE 1000ms"}
		if diff := cmp.Diff(want, run(t, c, m)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("rules_time", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("rules:\n")
		for i := range 10 {
			fmt.Fprintf(&b, "  - {name: R%d, body: {match: early}}\n", i)
		}
		c := newCheckWith(t, mustLoad(t, b.String()), checks.Limits{RuleTime: time.Minute, RulesTime: 4 * time.Second}, ticking(time.Second))
		m := newMessage(t, nil, []byte("early"))
		want := []string{`R0 "early"`, `R1 "early"`, `R2 "early"`, `R3 "early"`, `R4 "early"`, "RULES_TIME not finished: R5, R6, R7, R8, R9"}
		for range 2 { // time used up for one message is not so for the next
			if diff := cmp.Diff(want, run(t, c, m)); diff != "" {
				t.Error(diff)
			}
		}
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := newCheckOf(t, text, checks.Limits{}).Run(ctx, &checks.Input{Message: newMessage(t, nil, nil)})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a broken body", func(t *testing.T) {
		m := newMessage(t, nil, nil)
		m.Body.Release()
		if _, err := newCheckOf(t, text, checks.Limits{}).Run(t.Context(), &checks.Input{Message: m}); err == nil {
			t.Error("a body that cannot be read is no error")
		}
	})
}

func mustLoad(tb testing.TB, text string) *rules.Set {
	tb.Helper()
	set, err := rules.Load([]rules.Source{{Name: "test.yaml", Text: []byte(text)}}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// ticking is a clock that goes on by step each time it is read.
func ticking(step time.Duration) func() time.Time {
	var now time.Time
	return func() time.Time {
		now = now.Add(step)
		return now
	}
}

// One check serves many messages at once, and each gets what is its own.
func TestConcurrent(t *testing.T) {
	c := newCheckOf(t, `rules: [{name: NUMBER, body: {match: 'number \d+'}}, {name: ALSO, header: Subject, match: '\d+'}]`,
		checks.Limits{RuleTime: time.Hour, RulesTime: time.Hour}) // a crowded machine is no slow rule
	var all sync.WaitGroup
	for i := range 50 {
		m := newMessage(t, []message.Field{{Name: "Subject", Value: fmt.Sprint(" ", i)}}, fmt.Appendf(nil, "this is number %d", i))
		all.Go(func() {
			for range 20 {
				res, err := c.Run(t.Context(), &checks.Input{Message: m})
				want := []checks.Finding{{Name: "NUMBER", Detail: fmt.Sprintf(`"number %d"`, i)}, {Name: "ALSO", Detail: fmt.Sprintf(`"%d"`, i)}}
				if err != nil || !reflect.DeepEqual(res.Findings, want) {
					t.Errorf("message %d: %v, %v", i, res.Findings, err)
				}
			}
		})
	}
	all.Wait()
}

func TestSpec(t *testing.T) {
	var own []string
	for _, f := range Spec(nil).Findings {
		own = append(own, f.Name)
		if f.Describe == "" || f.Subjective {
			t.Errorf("%+v", f)
		}
	}
	for _, name := range []string{"RULES_TIME", "CONTENT_PARTIAL", mime.Ambiguous.String(), mime.LimitDecode.String()} {
		if !slices.Contains(own, name) {
			t.Errorf("%s is not declared", name)
		}
	}
	set := mustLoad(t, "rules: [{name: A, describe: what it is, header: Subject, match: x}, {name: B, when: A}]")
	if all := Spec(set).Findings; len(all) != len(own)+1 || all[len(own)] != (checks.FindingSpec{Name: "A", Describe: "what it is"}) {
		t.Errorf("with a set: %+v", all[len(own):])
	}
	if _, err := Spec(nil).New(section("enabeld: true"), checks.Env{}); err == nil {
		t.Error("an unknown key was taken")
	}
	if got := run(t, newCheckWith(t, nil, checks.Limits{}, time.Now), newMessage(t, nil, []byte("x"))); got != nil {
		t.Errorf("without rules: %q", got)
	}
}

// The sample is the defaults, written out.
func TestSample(t *testing.T) {
	got := config{}
	if err := section(sample).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got != defaults() {
		t.Errorf("sample.yaml says %+v, the defaults are %+v", got, defaults())
	}
}

func TestCostly(t *testing.T) {
	set := mustLoad(t, `rules:
  - {name: WORD, body: {match: lottery}}
  - {name: NO_WORD, body: {match: '\d{4} \d{4}'}}
  - {name: SHORT, header: Subject, match: '\d{4} \d{4}'}
  - {name: OUT, body: {match: '\d{4} \d{4}'}, state: off}
  - {name: THERE, body: {exists: true}}`)
	var got []string
	for _, r := range Costly(set) {
		got = append(got, r.Name)
	}
	if !slices.Equal(got, []string{"NO_WORD"}) {
		t.Errorf("costly: %v", got)
	}
	// Each takes about 10 µs for 5 KB: a few may be worth it.
	if costly := Costly(shippedSet(t)); len(costly) > 12 {
		t.Errorf("%d shipped rules are costly: %v", len(costly), costly)
	}
}

// The run that the pool hands out again holds nothing of the last message.
func TestRunsAreClean(t *testing.T) {
	c := newCheckOf(t, "rules: [{name: A, body: {match: secret}}]", checks.Limits{}).(*check)
	run(t, c, newMessage(t, nil, []byte("a secret")))
	r := c.runs.Get().(*match.Run)
	if len(r.Hits) != 0 || cap(r.Hits) > 0 && r.Hits[:1][0] != (match.Hit{}) {
		t.Errorf("left over: %+v", r.Hits[:cap(r.Hits)])
	}
}
