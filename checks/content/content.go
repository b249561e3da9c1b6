// Package content is the check that reads: it runs the text rules over header,
// body and envelope, and reports what is odd about the MIME structure.
//
// Which rules there are is the business of package rules, and how texts are
// searched that of internal/match. This check brings both together: it knows
// where in a message the texts are that rules speak of. Each kind of text is
// taken out of the message once, and only if some rule asks for it.
//
// A rule's hit is a finding of the rule's name, with the text that matched.
// Rules in shadow report as well; it is scoring that gives them no points.
package content

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"milterd/checks"
	"milterd/internal/match"
	"milterd/internal/spamassassin/perlre"
	"milterd/mime"
	"milterd/rules"
)

//go:embed sample.yaml
var sample string

// What the check finds by itself, beside the rules and the facts of mime.
const (
	findingTime    = "RULES_TIME"
	findingPartial = "CONTENT_PARTIAL"
)

// Spec describes the check with the text rules of set. Without a set it has the
// findings that it makes by itself: those that rules may name.
func Spec(set *rules.Set) checks.Spec {
	findings := []checks.FindingSpec{
		{Name: findingTime, Describe: "Rules took longer than they may; some were not tried on all of the message"},
		{Name: findingPartial, Describe: "The message is longer than scan_bytes; the rest of it was not looked at"},
	}
	for fact := range mime.AllFacts() {
		findings = append(findings, checks.FindingSpec{Name: fact.String(), Describe: fact.Doc()})
	}
	if set != nil {
		for i := range set.Texts {
			findings = append(findings, checks.FindingSpec{Name: set.Texts[i].Name, Describe: set.Texts[i].Describe})
		}
	}
	return checks.Spec{
		Name:     "content",
		Phase:    checks.Message,
		Outbound: true, // scored, though nobody acts on it
		OnError:  checks.OnErrorTempFail,
		Sample:   sample,
		Findings: findings,
		New:      func(cfg checks.Section, env checks.Env) (checks.Check, error) { return newCheck(set, cfg, env) },
	}
}

// Costly returns the rules that have to be tried on the whole body of every
// message, because they contain no word by which most messages could be passed
// over. Texts of a line or two cost nothing.
func Costly(set *rules.Set) []rules.TextRule {
	var costly []rules.TextRule
	for _, r := range set.Texts {
		if r.State == rules.Off || !r.Text.Kind().Long || r.Match == "" {
			continue
		}
		if cost, err := match.Analyse(r.Match); err == nil && cost.Costly {
			costly = append(costly, r)
		}
	}
	return costly
}

type check struct {
	plan   *plan
	limits limits
	runs   sync.Pool // of *match.Run, whose memory is worth keeping
}

var _ checks.Check = (*check)(nil)

// limits are what one message may take.
type limits struct {
	scan int64 // bytes of the body that are looked at
	text int   // bytes of text that rules see of it
	mime mime.Limits
}

func newCheck(set *rules.Set, section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	if set == nil {
		set = new(rules.Set)
	}
	p, err := newPlan(set.Texts, env)
	if err != nil {
		return nil, err
	}
	l := env.Limits
	c := &check{plan: p, limits: limits{
		scan: l.Scan(),
		text: cmp.Or(l.TextBytes, 1<<20),
		mime: l.MIME(),
	}}
	budget := match.Limits{Pattern: cmp.Or(l.RuleTime, 50*time.Millisecond), All: cmp.Or(l.RulesTime, 2*time.Second)}
	c.runs.New = func() any { return match.NewRun(budget, env.Now) }
	return c, nil
}

// Run reads the message. Time used up is a finding; the only errors are a body
// that cannot be read and the end of ctx.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	run := c.runs.Get().(*match.Run)
	defer func() {
		run.Reset()
		c.runs.Put(run)
	}()
	s := search{check: c, m: in.Message, run: run}
	s.envelope()
	s.header()
	if err := ctx.Err(); err != nil {
		return checks.Result{}, err
	}
	if err := s.body(); err != nil {
		return checks.Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return checks.Result{}, err
	}
	return checks.Result{Findings: s.findings()}, nil
}

// findings are the hits in the order of the rules, then what is odd about the
// message.
func (s *search) findings() []checks.Finding {
	all := s.check.plan.rules
	for _, hit := range s.run.Hits {
		if hit.Count >= all[hit.ID].Times {
			s.hits = append(s.hits, ruleHit{hit.ID, hit.Text, hit.Count})
		}
	}
	slices.SortFunc(s.hits, func(a, b ruleHit) int { return a.number - b.number })
	var found []checks.Finding
	for _, hit := range s.hits {
		f := checks.Finding{Name: all[hit.number].Name, Detail: excerpt(shown(&all[hit.number], hit.text))}
		if most := all[hit.number].Count; most > 0 {
			f.Value = float64(min(hit.count, most))
		}
		found = append(found, f)
	}
	for fact := range s.facts.All() {
		found = append(found, checks.Finding{Name: fact.String()})
	}
	if s.partial {
		found = append(found, checks.Finding{Name: findingPartial})
	}
	if len(s.run.Slow)+len(s.run.Unfinished) > 0 {
		found = append(found, checks.Finding{Name: findingTime, Value: float64(len(s.run.Unfinished)), Detail: s.tookTooLong()})
	}
	return found
}

// tookTooLong names the rules that did, and those that had to wait for them.
func (s *search) tookTooLong() string {
	const most = 5 // names; the number says how many there are
	var parts []string
	names := func(list []string) string {
		if more := len(list) - most; more > 0 {
			list = append(list[:most:most], fmt.Sprintf("%d more", more))
		}
		return strings.Join(list, ", ")
	}
	if len(s.run.Slow) > 0 {
		var list []string
		for _, slow := range s.run.Slow {
			list = append(list, fmt.Sprintf("%s %dms", s.check.plan.rules[slow.ID].Name, slow.Took.Milliseconds()))
		}
		parts = append(parts, "slow: "+names(list))
	}
	if len(s.run.Unfinished) > 0 {
		var list []string
		for _, id := range s.run.Unfinished {
			list = append(list, s.check.plan.rules[id].Name)
		}
		parts = append(parts, "not finished: "+names(list))
	}
	return strings.Join(parts, "; ")
}

// shown is what a hit was in the message. In SpamAssassin's view a text has a
// character for each byte.
func shown(r *rules.TextRule, text string) string {
	if r.Text.View() == "sa" {
		return perlre.Bytes(text)
	}
	return text
}

// maxExcerpt is the length of what a finding shows of a text, in bytes.
const maxExcerpt = 80

// excerpt shows a text of the message in quotes, safe for any log or terminal:
// letters of all scripts as they are, what is not printable escaped.
func excerpt(text string) string {
	if text == "" {
		return ""
	}
	const dots = `..."`
	quoted := make([]byte, 1, maxExcerpt+16)
	quoted[0] = '"'
	fits := len(quoted) // so far, with room left for the dots
	var one [16]byte    // a character in quotes
	for i, r := range text {
		size := len(string(r))
		if r == '\ufffd' && !strings.HasPrefix(text[i:], "\ufffd") {
			size = 1 // a byte that is no UTF-8
		}
		char := strconv.AppendQuote(one[:0], text[i:i+size])
		if quoted = append(quoted, char[1:len(char)-1]...); len(quoted) <= maxExcerpt-len(dots) {
			fits = len(quoted)
		}
		if len(quoted) >= maxExcerpt {
			return string(quoted[:fits]) + dots
		}
	}
	return string(quoted) + `"`
}
