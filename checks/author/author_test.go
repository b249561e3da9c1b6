package author

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/internal/strictyaml"
	"milterd/message"
)

// section is a piece of configuration as the operator writes it.
type section string

func (s section) Decode(into any) error { return strictyaml.Decode("milterd.yaml", []byte(s), into) }

func newTest(t *testing.T, yaml string) checks.Check {
	t.Helper()
	c, err := Spec().New(section(yaml), checks.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mail is a message with these From fields.
func mail(mailFrom string, from ...string) *message.Message {
	fields := []message.Field{{Name: "Subject", Value: " hi"}}
	for _, value := range from {
		fields = append(fields, message.Field{Name: "From", Value: value})
	}
	return &message.Message{
		Session:  &message.Session{},
		Role:     message.Inbound,
		MailFrom: message.ParsePath(mailFrom),
		Header:   message.NewHeader(fields, 0),
	}
}

func run(t *testing.T, c checks.Check, m *message.Message) checks.Result {
	t.Helper()
	res, err := c.Run(t.Context(), &checks.Input{Message: m})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func names(res checks.Result) string {
	var out []string
	for _, f := range res.Findings {
		out = append(out, f.Name)
	}
	return strings.Join(out, " ")
}

const (
	bounce = "<>"
	sender = "<bounces@x.test>"
)

func TestRun(t *testing.T) {
	enforcing, scoring, observing := newTest(t, ""), newTest(t, "mode: score"), newTest(t, "mode: observe")
	for _, c := range []struct {
		name     string
		mailFrom string
		from     []string
		want     string        // findings
		reply    message.Reply // in mode enforce
		demand   string        // the finding it rests on
	}{
		{name: "sound", mailFrom: sender, from: []string{" Joe <joe@x.test>"}},
		{name: "none", mailFrom: sender, want: "AUTHOR_MISSING", reply: message.ReplyBadAuthor, demand: "AUTHOR_MISSING"},
		{name: "none in a bounce", mailFrom: bounce, want: "AUTHOR_MISSING"},
		{name: "empty", mailFrom: sender, from: []string{" "}, want: "AUTHOR_EMPTY", reply: message.ReplyBadAuthor, demand: "AUTHOR_EMPTY"},
		{name: "empty in a bounce", mailFrom: bounce, from: []string{" <>"}, want: "AUTHOR_EMPTY"},
		{name: "bare word", mailFrom: sender, from: []string{" MAILER-DAEMON"}, want: "AUTHOR_BARE_WORD",
			reply: message.ReplyBadAuthor, demand: "AUTHOR_BARE_WORD"},
		{name: "bare word in a bounce", mailFrom: bounce, from: []string{" MAILER-DAEMON (Mail Delivery System)"}, want: "AUTHOR_BARE_WORD"},
		{name: "bare word with an address in it in a bounce", mailFrom: bounce, from: []string{" MAILER-DAEMON (admin@legit.test)"},
			want: "AUTHOR_AMBIGUOUS", reply: message.ReplyBadAuthor, demand: "AUTHOR_AMBIGUOUS"},
		{name: "two fields in a bounce", mailFrom: bounce, from: []string{" MAILER-DAEMON", " <admin@legit.test>"},
			want: "AUTHOR_MULTIPLE_FIELDS AUTHOR_BARE_WORD", reply: message.ReplyBadAuthor, demand: "AUTHOR_MULTIPLE_FIELDS"},
		{name: "two domains", mailFrom: sender, from: []string{" <first@attack.test>, <admin@legit.test>"}, want: "AUTHOR_TWO_DOMAINS",
			reply: message.ReplyBadAuthor, demand: "AUTHOR_TWO_DOMAINS"},
		{name: "tolerated and refused", mailFrom: sender, from: []string{" a@[192.0.2.1], b@legit.test"},
			want: "AUTHOR_LITERAL AUTHOR_TWO_DOMAINS", reply: message.ReplyBadAuthor, demand: "AUTHOR_TWO_DOMAINS"},
		{name: "tolerated", mailFrom: sender, from: []string{" Smith, John <a@x.test>"}, want: "AUTHOR_UNQUOTED_COMMA"},
		{name: "too long", mailFrom: sender, from: []string{strings.Repeat("x", 8193)}, want: "AUTHOR_TOO_LONG",
			reply: message.ReplyHeaderSize, demand: "AUTHOR_TOO_LONG"},
		{name: "too long in a bounce", mailFrom: bounce, from: []string{strings.Repeat("x", 8193)}, want: "AUTHOR_TOO_LONG",
			reply: message.ReplyHeaderSize, demand: "AUTHOR_TOO_LONG"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mail(c.mailFrom, c.from...)
			res := run(t, enforcing, m)
			if names(res) != c.want {
				t.Errorf("enforce: findings %s, want %s", names(res), c.want)
			}
			switch {
			case c.demand == "" && res.Demand != nil:
				t.Errorf("enforce: demands %+v", *res.Demand)
			case c.demand != "" && (res.Demand == nil || *res.Demand !=
				checks.Demand{Action: message.RejectMail, Reply: c.reply, Finding: c.demand}):
				t.Errorf("enforce: demands %+v, want %v for %s", res.Demand, c.reply, c.demand)
			}
			if res := run(t, scoring, m); names(res) != c.want || res.Demand != nil {
				t.Errorf("score: findings %s, demand %v", names(res), res.Demand)
			}
			want := ""
			if c.want != "" {
				want = observed
			}
			res = run(t, observing, m)
			if names(res) != want || res.Demand != nil {
				t.Errorf("observe: findings %s, demand %v", names(res), res.Demand)
			}
			for _, name := range strings.Fields(c.want) {
				if !strings.Contains(res.Findings[0].Detail, strings.TrimPrefix(name, "AUTHOR_")) {
					t.Errorf("observe: %q does not name %s", res.Findings[0].Detail, name)
				}
			}
		})
	}
}

// TestCutHeader: of a header that went over a limit nobody knows whether it has a
// From; that it went over is somebody else's finding.
func TestCutHeader(t *testing.T) {
	c := newTest(t, "")
	m := mail(sender)
	m.Header.OverLimit = "header_fields"
	if res := run(t, c, m); len(res.Findings) != 0 || res.Demand != nil {
		t.Errorf("no From: %+v", res)
	}
	m = mail(sender, "<a@attack.test>, <b@legit.test>")
	m.Header.OverLimit = "header_fields"
	if res := run(t, c, m); res.Demand == nil {
		t.Errorf("two domains: %+v", res)
	}
}

// TestDetail: what a stranger wrote reaches log and journal harmless and short.
func TestDetail(t *testing.T) {
	for _, yaml := range []string{"mode: enforce", "mode: observe"} {
		res := run(t, newTest(t, yaml), mail(sender, "<a@b.test>\x1b[2J\r\n \x00é"+strings.Repeat("x", 500), " <c@d.test>", "e", "f"))
		for _, f := range res.Findings {
			if len(f.Detail) > maxDetail || strings.ContainsFunc(f.Detail, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s: %d bytes: %q", f.Name, len(f.Detail), f.Detail)
			}
		}
	}
}

func TestSpec(t *testing.T) {
	spec := Spec()
	if !spec.Outbound || spec.Phase != checks.Header {
		t.Error("the check runs at the header, on outbound mail too")
	}
	for _, f := range spec.Findings {
		if f.Subjective || f.Describe == "" || strings.HasPrefix(f.Name, "AUTHOR_"+f.Describe) {
			t.Errorf("%+v is not described", f)
		}
	}
}

func TestConfig(t *testing.T) {
	got := config{Mode: "unset"}
	if err := section(sample).Decode(&got); err != nil || got != defaults() {
		t.Errorf("sample.yaml is %+v, %v; the defaults are %+v", got, err, defaults())
	}
	for yaml, want := range map[string]string{
		"mode: enforced": "expected observe, score or enforce",
		"mod: enforce":   "mode",
		"mode: [score]":  "mode",
	} {
		if _, err := Spec().New(section(yaml), checks.Env{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", yaml, err, want)
		}
	}
}

// TestREADME: its tables name every finding, once, its configuration and examples
// are valid, and its examples of fields are what they say.
func TestREADME(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, row := range regexp.MustCompile(`(?m)^\| (AUTHOR_\w+) \| [\d.]+ \| (.*) \|$`).FindAllStringSubmatch(string(data), -1) {
		listed = append(listed, row[1])
		for _, example := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row[2], -1) {
			field := strings.TrimPrefix(example[1], "From:")
			if res := run(t, newTest(t, ""), mail(sender, field)); !strings.Contains(names(res)+" ", row[1]+" ") {
				t.Errorf("%s: the example %q has the findings %s", row[1], example[1], names(res))
			}
		}
	}
	var specified []string
	for _, f := range Spec().Findings {
		specified = append(specified, f.Name)
	}
	if !slices.Equal(listed, specified) {
		t.Errorf("README lists\n%v\nthe check reports\n%v", listed, specified)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(data), -1)
	for _, block := range blocks {
		_, inner, ok := strings.Cut(block[1], "  author:\n")
		if _, err := Spec().New(section(inner), checks.Env{}); !ok || err != nil {
			t.Errorf("%s: %v", block[1], err)
		}
	}
	if len(blocks) != 2 {
		t.Errorf("%d blocks of YAML", len(blocks))
	}
}

func BenchmarkRun(b *testing.B) {
	c, err := Spec().New(section(""), checks.Env{})
	if err != nil {
		b.Fatal(err)
	}
	in := &checks.Input{Message: mail(sender, " Joe Doe <joe@x.test>")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Run(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
