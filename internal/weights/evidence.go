package weights

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"milterd/checks"
	"milterd/checks/author"
	"milterd/checks/content"
	"milterd/checks/header"
	"milterd/message"
	"milterd/rules"

	"github.com/prometheus/client_golang/prometheus"
)

// Evidence notes what hits a message. The envelope of mail in a corpus is long gone:
// it is taken to come from a host with a name in order, to those whom the header
// names. So what rules say of clients counts for nothing here.
type Evidence struct {
	set    *rules.Set
	checks []checks.Check
}

// none is an empty section of the configuration: the defaults hold.
type none struct{}

func (none) Decode(any) error { return nil }

// NewEvidence makes ready what rules and their composites look at: the text rules,
// the facts of mime, the comparisons of the header, what is wrong with From.
func NewEvidence(set *rules.Set, now func() time.Time) (*Evidence, error) {
	e := &Evidence{set: set}
	env := checks.Env{Now: now, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		Limits: checks.Limits{RuleTime: time.Minute, RulesTime: time.Minute, MIMETime: time.Minute}} // figures must not depend on the clock
	for _, spec := range []checks.Spec{author.Spec(), header.Spec(), content.Spec(set)} {
		c, err := spec.New(none{}, env)
		if err != nil {
			return nil, fmt.Errorf("weights: %s: %w", spec.Name, err)
		}
		e.checks = append(e.checks, c)
	}
	return e, nil
}

// Sample reads one message, as a file has it: lines end in LF or CRLF, an mbox line
// may stand before it.
func (e *Evidence) Sample(ctx context.Context, name string, raw []byte, spam bool) (Sample, error) {
	m, err := parse(raw)
	if err != nil {
		return Sample{}, err
	}
	defer m.Body.Release()
	results, err := run(ctx, e.checks, m)
	if err != nil {
		return Sample{}, err
	}
	return e.sample(name, results, spam), nil
}

// run returns what checks find in a message.
func run(ctx context.Context, all []checks.Check, m *message.Message) ([]checks.Result, error) {
	results := make([]checks.Result, len(all))
	for i, c := range all {
		var err error
		if results[i], err = c.Run(ctx, &checks.Input{Message: m}); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// sample is what the rules make of results.
func (e *Evidence) sample(name string, results []checks.Result, spam bool) Sample {
	counts := map[string]float64{}
	for _, res := range results {
		for _, f := range res.Findings {
			counts[f.Name] = max(1, f.Value)
		}
	}
	for i := range e.set.Texts {
		switch r := &e.set.Texts[i]; {
		case r.State != rules.Active:
			delete(counts, r.Name)
		case r.Count == 0 && counts[r.Name] > 1:
			counts[r.Name] = 1
		}
	}
	for i := range e.set.Composites {
		c := &e.set.Composites[i]
		if c.State == rules.Active && c.Eval(func(name string) float64 { return counts[name] }) {
			counts[c.Name] = 1
		}
	}
	s := Sample{Name: name, Spam: spam, Heft: 1}
	for hit := range counts {
		s.Hits = append(s.Hits, hit)
	}
	slices.Sort(s.Hits)
	return s
}

// parse makes a message of a file.
func parse(raw []byte) (*message.Message, error) {
	if bytes.HasPrefix(raw, []byte("From ")) {
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	head, body, _ := bytes.Cut(raw, []byte("\n\n"))
	var fields []message.Field
	for line := range strings.SplitSeq(string(head), "\n") {
		if (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) && len(fields) > 0 {
			fields[len(fields)-1].Value += "\n" + line
		} else if name, value, ok := strings.Cut(line, ":"); ok {
			fields = append(fields, message.Field{Name: name, Value: value})
		}
	}
	spool := message.NewSpool(message.SpoolOptions{Memory: 1 << 30})
	if _, err := io.Copy(spool, bytes.NewReader(bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n")))); err != nil {
		return nil, err
	}
	spool.Finish()
	m := &message.Message{
		// A documentation address (RFC 5737): it is in no list.
		Session:  &message.Session{Client: netip.MustParseAddr("192.0.2.1"), Host: "mail.unknown.invalid", Helo: "mail.unknown.invalid"},
		MailFrom: message.ParsePath("<>"),
		Role:     message.Inbound,
		Header:   message.NewHeader(fields, 0),
		Body:     spool,
	}
	for _, field := range []string{"To", "Cc"} {
		for _, a := range message.ParseAuthor([]string{m.Header.Text(field)}, true, 0).Addresses {
			m.Recipients = append(m.Recipients, message.Recipient{Path: message.ParsePath("<" + a.String() + ">")})
		}
	}
	return m, nil
}
