package checktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"milterd/authres"
	"milterd/checks"
	"milterd/message"
)

// complaints is a test that may fail without failing this one.
type complaints struct {
	testing.TB
	all []string
}

func (c *complaints) Helper() {}

func (c *complaints) Errorf(format string, args ...any) {
	c.all = append(c.all, fmt.Sprintf(format, args...))
}

func (c *complaints) Fatalf(format string, args ...any) {
	c.Errorf(format, args...)
	runtime.Goexit()
}

// complain runs f and returns what the harness said against it.
func complain(t *testing.T, f func(tb testing.TB)) string {
	c := &complaints{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(c)
	}()
	<-done
	return strings.Join(c.all, "\n")
}

// describe writes down what a check sees of a message.
func describe(in *checks.Input) string {
	m := in.Message
	var s []string
	add := func(format string, args ...any) { s = append(s, fmt.Sprintf(format, args...)) }
	add("client %s", m.Session.Client)
	if m.Session.Helo != "" {
		add("helo %s", m.Session.Helo)
	}
	if m.MailFrom.Raw != "" {
		add("from %s", m.MailFrom.Raw)
	}
	if n := len(m.Recipients); n > 0 {
		add("%d rcpts", n)
	}
	if in.Recipient != nil {
		add("rcpt %s", in.Recipient.Path.Raw)
	}
	if m.Header != nil {
		add("subject %q", m.Header.Text("Subject"))
	}
	if m.Body != nil {
		add("body")
	}
	return strings.Join(s, ", ")
}

var mail = Mail{
	Client: "2001:db8::1", Helo: "mail.test", From: "<a@b.test>", To: []string{"<x@y.test>", "<z@y.test>"},
	Text: "Subject: hi\r\n there\r\nFrom: a@b.test\r\n\r\none\r\ntwo\n",
}

// A check sees what its phase has brought and no more.
func TestPhases(t *testing.T) {
	for phase, want := range map[checks.Phase]string{
		checks.Connect: "client 2001:db8::1",
		checks.Helo:    "client 2001:db8::1, helo mail.test",
		checks.Mail:    "client 2001:db8::1, helo mail.test, from <a@b.test>",
		checks.Rcpt:    "client 2001:db8::1, helo mail.test, from <a@b.test>, 2 rcpts, rcpt <z@y.test>",
		checks.Header:  `client 2001:db8::1, helo mail.test, from <a@b.test>, 2 rcpts, subject "hi there", body`,
		checks.Message: `client 2001:db8::1, helo mail.test, from <a@b.test>, 2 rcpts, subject "hi there", body`,
	} {
		var got string
		New(t, Fake("probe", phase, Func(func(_ context.Context, in *checks.Input) (checks.Result, error) {
			got = describe(in)
			return checks.Result{}, nil
		})), "", checks.Env{}).Run(mail)
		if got != want {
			t.Errorf("%s: %s\nwant %s", phase, got, want)
		}
	}
}

func TestMessage(t *testing.T) {
	m := mail.Message(t)
	defer m.Body.Release()
	if b, err := m.Body.Bytes(100); string(b) != "one\r\ntwo\r\n" || err != nil {
		t.Errorf("body %q, %v", b, err)
	}
	if v, _ := m.Header.Get("subject"); v != " hi\n there" {
		t.Errorf("the field as received: %q", v)
	}
	empty := Mail{Client: "unknown"}.Message(t)
	defer empty.Body.Release()
	if empty.Session.Client.IsValid() || empty.Role != message.Inbound || len(empty.Recipients) != 1 || empty.Body.Size() != 0 || len(empty.Header.Fields) != 0 {
		t.Errorf("an empty mail is %+v", empty)
	}
	onlyBody := Mail{Text: "\nbody\n"}.Message(t)
	defer onlyBody.Body.Release()
	if len(onlyBody.Header.Fields) != 0 || onlyBody.Body.Size() != 6 {
		t.Errorf("without a header: %d fields, %d bytes", len(onlyBody.Header.Fields), onlyBody.Body.Size())
	}
}

// A body reader gets the body in pieces and all of it.
func TestBodyReader(t *testing.T) {
	spec := Fake("reader", checks.Header, Func(func(ctx context.Context, in *checks.Input) (checks.Result, error) {
		var got []byte
		for {
			p, err := in.Body.Next(ctx)
			if err == io.EOF {
				break
			} else if err != nil {
				return checks.Result{}, err
			}
			got = append(got, p...)
		}
		if string(got) != strings.Repeat("line\r\n", 1000) {
			return checks.Result{}, fmt.Errorf("%d bytes of another body", len(got))
		}
		return checks.Result{}, nil
	}))
	spec.BodyReader = true
	New(t, spec, "", checks.Env{}).Run(Mail{Text: "A: b\n\n" + strings.Repeat("line\n", 1000)})
}

// Whatever breaks the promises of package checks is told.
func TestBrokenPromises(t *testing.T) {
	for want, broken := range map[string]Func{
		"finding UNKNOWN is not in Spec.Findings": func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{Findings: []checks.Finding{{Name: "UNKNOWN"}}}, nil
		},
		"could break a log": func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{Findings: []checks.Finding{{Name: "KNOWN", Detail: "a\nb"}}}, nil
		},
		"is the runner's": func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{Check: "me"}, nil
		},
		"proves nothing": func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{Findings: []checks.Finding{{Name: "KNOWN"}}}, errors.New("half-way")
		},
		"without a name or a result": func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{Auth: []authres.Method{{Method: "spf"}}}, nil
		},
		`rests on "OTHER"`: func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{Demand: &checks.Demand{Action: message.Junk, Finding: "OTHER"}}, nil
		},
		`demand reject with reply ""`: func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{Demand: &checks.Demand{Action: message.RejectMail, Finding: "KNOWN"}}, nil
		},
		"has changed the body": func(_ context.Context, in *checks.Input) (checks.Result, error) {
			b, err := in.Message.Body.Bytes(1)
			b[0]++
			return checks.Result{}, err
		},
		"no such thing": func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{}, errors.New("no such thing")
		},
	} {
		spec := Fake("broken", checks.Message, broken)
		spec.Findings = []checks.FindingSpec{{Name: "KNOWN"}}
		got := complain(t, func(tb testing.TB) { New(tb, spec, "", checks.Env{}).Run(mail) })
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := complain(t, func(tb testing.TB) {
		New(tb, Clean("shy", checks.Message), "", checks.Env{}).Run(Mail{Prior: []checks.Result{{Check: "spf"}}})
	}); !strings.Contains(got, "does not name spf") {
		t.Errorf("a result that the check did not ask for: %q", got)
	}
	if got := complain(t, func(tb testing.TB) { New(tb, Clean("ok", checks.Message), "", checks.Env{}).Run(mail) }); got != "" {
		t.Errorf("a check that keeps its promises: %s", got)
	}
}

// The configuration is read as strictly as in the daemon.
func TestConfiguration(t *testing.T) {
	spec := Clean("strict", checks.Message)
	spec.New = func(section checks.Section, env checks.Env) (checks.Check, error) {
		if env.Logger == nil || env.Now == nil || env.Registerer == nil {
			t.Errorf("env is not usable: %+v", env)
		}
		var cfg struct {
			checks.Common
		}
		return Func(nil), section.Decode(&cfg)
	}
	for config, want := range map[string]string{"": "", "on_error: ignore": "", "onerror: ignore": "on_error", "on_error: never": "tempfail or ignore"} {
		_, err := TryNew(t, spec, config, checks.Env{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", config, err, want)
		}
	}
}

// The checks of a bad day do what they are called.
func TestBadDay(t *testing.T) {
	if _, err := New(t, Failing("failing", checks.Mail, io.ErrUnexpectedEOF), "", checks.Env{}).Check().Run(t.Context(), nil); err != io.ErrUnexpectedEOF {
		t.Errorf("failing: %v", err)
	}
	func() {
		defer func() {
			if v := recover(); v != "boom" {
				t.Errorf("panicking: %v", v)
			}
		}()
		New(t, Panicking("panicking", checks.Mail, "boom"), "", checks.Env{}).Run(mail)
	}()
	release := make(chan struct{})
	back := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	go func() {
		defer close(back)
		New(t, Hanging("hanging", checks.Mail, release), "", checks.Env{}).Check().Run(ctx, nil)
	}()
	select {
	case <-back:
		t.Error("hanging: it minded its context")
	default:
	}
	close(release)
	<-back
}
