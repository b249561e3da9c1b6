// Package checktest runs one check on one message, for the tests of checks.
//
//	h := checktest.New(t, spf.Spec(), "on_error: ignore", checks.Env{Resolver: r})
//	res := h.Run(checktest.Mail{
//		Client: "192.0.2.10",
//		From:   "<joe@example.org>",
//		Text:   "From: joe@example.org\n\nhello\n",
//	})
//
// The check gets what the pipeline would give it, and no more: the message as
// far as its phase has brought it, the body as a stream where it asked for one,
// the results of the checks that it named. What it gives back is held against
// its [checks.Spec] and the promises of package checks; a check that breaks one
// fails its test without the test having to think of it.
package checktest

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"milterd/checks"
	"milterd/internal/strictyaml"
	"milterd/message"

	"github.com/prometheus/client_golang/prometheus"
)

// Section is a check's part of the configuration, as the operator writes it.
type Section string

// Decode implements [checks.Section], as strictly as the daemon does.
func (s Section) Decode(into any) error {
	return strictyaml.Decode("milterd.yaml", []byte(s), into)
}

// Harness holds a check.
type Harness struct {
	tb    testing.TB
	spec  checks.Spec
	check checks.Check
}

// New makes the check that spec describes. config is its section in YAML; empty
// means the defaults. What env leaves out is harmless: nobody answers questions
// to the DNS, the log is the test's, the clock the system's.
func New(tb testing.TB, spec checks.Spec, config string, env checks.Env) *Harness {
	tb.Helper()
	h, err := TryNew(tb, spec, config, env)
	if err != nil {
		tb.Fatalf("%s: %v", spec.Name, err)
	}
	return h
}

// TryNew is New for a configuration that may be wrong.
func TryNew(tb testing.TB, spec checks.Spec, config string, env checks.Env) (*Harness, error) {
	tb.Helper()
	if env.Logger == nil {
		env.Logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	if env.Registerer == nil {
		env.Registerer = prometheus.NewRegistry()
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	check, err := spec.New(Section(config), env)
	if err != nil {
		return nil, err
	}
	return &Harness{tb, spec, check}, nil
}

// Check returns the check, for tests of what it can do beside Run.
func (h *Harness) Check() checks.Check { return h.check }

// Mail is a message with all that SMTP says about it.
type Mail struct {
	Client string // the client's address; empty is 192.0.2.1, "unknown" is none
	Host   string // its verified name
	Helo   string // empty is client.test
	MTA    string // our own name; empty is mx.test
	Login  string
	Role   message.Role // empty is inbound
	Peer   message.Peer

	From string   // the reverse-path as the MTA hands it over; empty is <sender@sender.test>
	To   []string // forward-paths; none is <rcpt@mx.test>
	Text string   // header, empty line, body; lines end in LF or CRLF

	// Prior are results of earlier checks. The check sees those that it named.
	Prior []checks.Result
}

// Run returns what the check says about the message. An error fails the test.
func (h *Harness) Run(m Mail) checks.Result {
	h.tb.Helper()
	res, err := h.Try(h.tb.Context(), m)
	if err != nil {
		h.tb.Fatalf("%s: %v", h.spec.Name, err)
	}
	return res
}

// Try is Run for a check that may fail, or whose ctx matters.
func (h *Harness) Try(ctx context.Context, mail Mail) (checks.Result, error) {
	h.tb.Helper()
	m := mail.Message(h.tb)
	defer m.Body.Release()
	in := &checks.Input{Message: published(m, h.spec.Phase)}
	if h.spec.Phase == checks.Rcpt {
		in.Recipient = &m.Recipients[len(m.Recipients)-1]
	}
	if h.spec.BodyReader {
		streamed := *in.Message
		spool, wait := stream(h.tb, m.Body)
		defer wait()
		streamed.Body, in.Body = spool, spool.Reader()
		in.Message = &streamed
	}
	before := slices.Clone(body(h.tb, m))
	if c, ok := h.check.(checks.Preparer); ok {
		in.Prepared = c.Prepare(ctx, in)
	}
	in.Prior = h.prior(mail.Prior)
	res, err := h.check.Run(ctx, in)
	if !slices.Equal(before, body(h.tb, m)) {
		h.tb.Errorf("%s: the check has changed the body", h.spec.Name)
	}
	h.examine(res, err)
	return res, err
}

// Message makes the message. Whoever asks for it releases its body.
func (mail Mail) Message(tb testing.TB) *message.Message {
	tb.Helper()
	fields, text := parse(mail.Text)
	m := &message.Message{
		ID: "000000000000", QueueID: "4bTest", Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
		Session: &message.Session{
			Port: 40000, Host: or(mail.Host, "unknown"), Helo: or(mail.Helo, "client.test"), MTA: or(mail.MTA, "mx.test"),
		},
		Login: mail.Login, Role: or(mail.Role, message.Inbound), Peer: mail.Peer,
		MailFrom: message.ParsePath(or(mail.From, "<sender@sender.test>")),
		Header:   message.NewHeader(fields, 8<<10),
		Body:     message.NewSpool(message.SpoolOptions{Memory: 1 << 30}),
	}
	if client := or(mail.Client, "192.0.2.1"); client != "unknown" {
		addr, err := netip.ParseAddr(client)
		if err != nil {
			tb.Fatalf("checktest: %v", err)
		}
		m.Session.Client = addr
	}
	to := mail.To
	if len(to) == 0 {
		to = []string{"<rcpt@mx.test>"}
	}
	for _, path := range to {
		m.Recipients = append(m.Recipients, message.Recipient{Path: message.ParsePath(path)})
	}
	if _, err := m.Body.Write([]byte(text)); err != nil {
		tb.Fatalf("checktest: %v", err)
	}
	m.Body.Finish()
	return m
}

func or[T ~string](s, otherwise T) T {
	if s == "" {
		return otherwise
	}
	return s
}

// parse divides a message as an MTA shows it to a milter: folds are a bare LF,
// the lines of the body end in CRLF.
func parse(text string) (fields []message.Field, body string) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	head, body, _ := strings.Cut("\n"+text, "\n\n")
	for line := range strings.SplitSeq(strings.TrimPrefix(head, "\n"), "\n") {
		if last := len(fields) - 1; last >= 0 && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) {
			fields[last].Value += "\n" + line
		} else if name, value, ok := strings.Cut(line, ":"); ok {
			fields = append(fields, message.Field{Name: name, Value: value})
		}
	}
	return fields, strings.ReplaceAll(body, "\n", "\r\n")
}

// published returns the message as it stands when a phase is there.
func published(m *message.Message, phase checks.Phase) *message.Message {
	p := *m
	if phase < checks.Message && phase != checks.Header {
		p.Header, p.Body, p.QueueID = nil, nil, ""
	}
	if phase < checks.Rcpt {
		p.Recipients = nil
	}
	if phase < checks.Mail {
		p.MailFrom, p.Login = message.Path{}, ""
	}
	if phase < checks.Helo {
		s := *m.Session
		s.Helo = ""
		p.Session = &s
	}
	return &p
}

// prior lets the check see the results of those that it named.
func (h *Harness) prior(results []checks.Result) checks.Prior {
	prior := checks.Prior{}
	for i := range results {
		name := results[i].Check
		if !slices.Contains(h.spec.Needs, name) && !slices.Contains(h.spec.After, name) {
			h.tb.Fatalf("checktest: check %s does not name %s in Needs or After", h.spec.Name, name)
		}
		prior[name] = &results[i]
	}
	return prior
}

// body returns the whole body of a complete message.
func body(tb testing.TB, m *message.Message) []byte {
	tb.Helper()
	b, err := m.Body.Bytes(m.Body.Size())
	if err != nil {
		tb.Fatalf("checktest: %v", err)
	}
	return b
}

// stream lets a body arrive again, in pieces that grow from one byte. wait
// returns when all has arrived.
func stream(tb testing.TB, whole *message.Spool) (spool *message.Spool, wait func()) {
	b, err := whole.Bytes(whole.Size())
	if err != nil {
		tb.Fatalf("checktest: %v", err)
	}
	spool = message.NewSpool(message.SpoolOptions{Memory: 1 << 30})
	arrived := make(chan struct{})
	go func() {
		defer close(arrived)
		defer spool.Finish()
		for n := 1; len(b) > 0; n = 2*n + 1 {
			n = min(n, len(b))
			if _, err := spool.Write(b[:n]); err != nil {
				tb.Errorf("checktest: %v", err)
				return
			}
			b = b[n:]
		}
	}()
	return spool, func() {
		<-arrived
		spool.Release()
	}
}

// examine holds what the check gave back against what it promised.
func (h *Harness) examine(res checks.Result, err error) {
	h.tb.Helper()
	bad := func(format string, args ...any) {
		h.tb.Helper()
		h.tb.Errorf(h.spec.Name+": "+format, args...)
	}
	if res.Check != "" || res.Took != 0 || res.Err != nil {
		bad("the check has filled what is the runner's: %+v", res)
	}
	if err != nil && (len(res.Findings) > 0 || len(res.Auth) > 0 || res.Demand != nil) {
		bad("evidence beside an error proves nothing: %+v", res)
	}
	for _, f := range res.Findings {
		if !h.declares(f.Name) {
			bad("finding %s is not in Spec.Findings", f.Name)
		}
		if strings.ContainsFunc(f.Detail, unicode.IsControl) || len(f.Detail) > 1000 {
			bad("the detail of %s could break a log: %q", f.Name, f.Detail)
		}
	}
	for _, a := range res.Auth {
		if a.Method == "" || a.Result == "" {
			bad("a method without a name or a result: %+v", a)
		}
	}
	if d := res.Demand; d != nil {
		if !h.declares(d.Finding) {
			bad("the demand rests on %q, which is not in Spec.Findings", d.Finding)
		}
		if d.Action.Refuses() == d.Reply.IsZero() {
			bad("demand %s with reply %q", d.Action, d.Reply)
		}
	}
}

func (h *Harness) declares(finding string) bool {
	return slices.ContainsFunc(h.spec.Findings, func(f checks.FindingSpec) bool { return f.Name == finding })
}
