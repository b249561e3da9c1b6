// Package bayes is the check that asks what was learned: how much the message is like
// what the site calls spam.
//
// How learning works is the business of package milterd/bayes. This check turns its
// probability into findings, which are subjective: they may file a message or save
// one, and never refuse one. It is the site's opinion; that of each recipient is asked
// for at delivery.
//
// What was learned lies in the store. One that is slow, full or broken costs the
// opinion and nothing else: the message goes on, with a finding without points.
package bayes

import (
	"bytes"
	"context"
	_ "embed"
	"math"
	"strconv"
	"time"

	"milterd/bayes"
	"milterd/checks"
	"milterd/internal/lazy"
	"milterd/message"
	"milterd/mime"
)

//go:embed sample.yaml
var sample string

const (
	// storeTime is how long the store may take to answer.
	storeTime = 100 * time.Millisecond
	// runTime is how long all of it may take: a disk that hangs does not hear of the
	// other limit.
	runTime = time.Second
)

const findingUnavailable = "BAYES_UNAVAILABLE"

// findingPartial: an opinion on a part of the message.
const findingPartial = "BAYES_PARTIAL"

// steps are the findings by the probability from which they hold, with SpamAssassin's
// names.
var steps = [...]struct {
	from     float64
	name     string
	describe string
}{
	{0.999, "BAYES_999", "Learned: spam with a probability of 99.9 % or more"},
	{0.99, "BAYES_99", "Learned: spam with a probability of 99 to 99.9 %"},
	{0.95, "BAYES_95", "Learned: spam with a probability of 95 to 99 %"},
	{0.80, "BAYES_80", "Learned: spam with a probability of 80 to 95 %"},
	{0.60, "BAYES_60", "Learned: spam with a probability of 60 to 80 %"},
	{0.40, "BAYES_50", "Learned: spam with a probability of 40 to 60 %, which is no opinion"},
	{0.20, "BAYES_40", "Learned: spam with a probability of 20 to 40 %"},
	{0.05, "BAYES_20", "Learned: spam with a probability of 5 to 20 %"},
	{0.01, "BAYES_05", "Learned: spam with a probability of 1 to 5 %"},
	{0, "BAYES_00", "Learned: spam with a probability below 1 %"},
}

// Finding returns the name of the finding for a probability.
func Finding(probability float64) string {
	for _, s := range steps {
		if probability >= s.from {
			return s.name
		}
	}
	return steps[len(steps)-1].name
}

// Opinions returns the names of the findings for a probability, of which there is one.
func Opinions() []string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.name
	}
	return names
}

// Spec describes the check.
func Spec() checks.Spec {
	spec := checks.Spec{
		Name:    "bayes",
		Phase:   checks.Message,
		OnError: checks.OnErrorIgnore,
		Timeout: runTime,
		Sample:  sample,
		New:     newCheck,
	}
	for _, s := range steps {
		spec.Findings = append(spec.Findings, checks.FindingSpec{Name: s.name, Describe: s.describe, Subjective: true})
	}
	spec.Findings = append(spec.Findings, checks.FindingSpec{Name: findingUnavailable, Subjective: true,
		Describe: "What was learned could not be asked: the store did not answer in time"},
		checks.FindingSpec{Name: findingPartial, Subjective: true,
			Describe: "The message has more words than limits.words; the rest had no say in what Bayes thinks"})
	return spec
}

type check struct {
	cfg        config
	classifier *bayes.Classifier // nil where nothing can be learned
	metrics    *metrics
	scan       int64
	limits     mime.Limits
}

var (
	_ checks.Check    = (*check)(nil)
	_ checks.Recorder = (*check)(nil)
)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	m, err := newMetrics(env.Registerer)
	if err != nil {
		return nil, err
	}
	return &check{cfg: cfg, classifier: env.Bayes, metrics: m,
		scan: env.Limits.Scan(), limits: env.Limits.MIME(),
	}, nil
}

// Run asks what was learned. The only errors are a body that cannot be read and the
// end of ctx.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	if c.classifier == nil || c.cfg.BeforeQueue == beforeQueueOff {
		return checks.Result{Outcome: checks.None}, nil
	}
	tree, _, err := mime.Shared(in.Message, c.scan, c.limits)
	if err != nil {
		return checks.Result{}, err
	}
	inTime := lazy.WithTimeout(ctx, storeTime)
	defer inTime.Cancel()
	v, err := c.classifier.Classify(inTime, "", bayes.Message{Header: in.Message.Header, Tree: tree})
	if err != nil {
		if ctx.Err() != nil {
			return checks.Result{}, ctx.Err()
		}
		c.metrics.unavailable.Inc()
		return checks.Result{Findings: []checks.Finding{{Name: findingUnavailable, Detail: string(appendPrintable(nil, []byte(err.Error()), 200))}}}, nil
	}
	c.metrics.learned(v.Site)
	if v.Unlearned() {
		return checks.Result{Outcome: checks.None, Detail: v}, nil
	}
	found := []checks.Finding{{Name: Finding(v.Probability), Value: v.Probability, Detail: Explain(v)}}
	if v.Cut {
		found = append(found, checks.Finding{Name: findingPartial, Detail: "the rest had no say"})
	}
	return checks.Result{Detail: v, Findings: found}, nil
}

// shown is how many clues a finding tells of.
const shown = 8

// Explain says in a line what a verdict rests on: the strongest clues, each with its
// part in the score and in how many spam and ham messages it was seen.
func Explain(v bayes.Verdict) string {
	b := make([]byte, 0, 512)
	counts := func(before string, spam int64, between string, ham int64) {
		b = strconv.AppendInt(append(b, before...), spam, 10)
		b = strconv.AppendInt(append(b, between...), ham, 10)
	}
	counts("of ", v.Site.Spam, " spam and ", v.Site.Ham)
	b = append(b, " ham"...)
	if v.User != (bayes.Totals{}) {
		counts(" and the user's ", v.User.Spam, " and ", v.User.Ham)
	}
	separator := ": "
	tell := func(token []byte, weight float64, spam, ham int64) {
		b = append(appendPrintable(append(b, separator...), token, 40), ' ')
		if !math.Signbit(weight) {
			b = append(b, '+')
		}
		b = strconv.AppendFloat(b, weight, 'f', 2, 64)
		counts(" (", spam, "/", ham)
		b = append(b, ')')
		separator = ", "
	}
	var token []byte
	for _, clue := range v.Clues[:min(len(v.Clues), shown)] {
		token = clue.Token.Append(token[:0])
		tell(token, clue.Weight, clue.Spam, clue.Ham)
	}
	if i := v.Imported; i != nil {
		counts("; imported, of ", i.Spam, " spam and ", i.Ham)
		b = append(b, " ham"...)
		separator = ": "
		for _, clue := range i.Clues[:min(len(i.Clues), shown)] {
			tell([]byte(clue.Text), clue.Weight, clue.Spam, clue.Ham)
		}
	}
	return string(b)
}

// appendPrintable makes a stranger's text safe for logs and terminals, in at most n bytes
// before what is escaped.
func appendPrintable(dst, text []byte, n int) []byte {
	cut := len(text) > n
	if cut {
		text = bytes.ToValidUTF8(text[:n], nil)
	}
	if !bytes.ContainsFunc(text, special) {
		dst = append(dst, text...)
	} else {
		quoted := strconv.QuoteToGraphic(string(text))
		dst = append(dst, quoted[1:len(quoted)-1]...)
	}
	if cut {
		dst = append(dst, '~')
	}
	return dst
}

// special says of which characters it takes more than a look to know if they are safe.
func special(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

// Record keeps alive what was of use, and learns where the configuration allows it.
func (c *check) Record(ctx context.Context, in *checks.Input, v *message.Verdict) error {
	opinion, ok := checks.Detail[bayes.Verdict](in.Prior, "bayes")
	if !ok || c.classifier == nil {
		return nil
	}
	tree, _, err := mime.Shared(in.Message, c.scan, c.limits)
	if err != nil {
		return err
	}
	m := bayes.Message{Header: in.Message.Header, Tree: tree}
	c.classifier.Touch("", m, opinion)
	return c.autolearn(ctx, in.Message, m, opinion, v)
}
