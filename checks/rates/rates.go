// Package rates is the check of how much somebody sends.
//
// A stolen password shows itself by what it sends: a login that wrote to ten people
// an hour writes to thousands. So every login is watched, and measured by its own
// habit, which is learned; what goes far beyond it, and what the score would refuse
// if it came from a stranger, is held for somebody to look at, with an alert. Mail of
// our own hosts without a login is watched as well, and only told about: a program
// that sends the invoices of a month shall not stand in the night.
//
// For mail from strangers there are plain limits by network and by sender, which are
// off.
package rates

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"time"

	"milterd/checks"
	"milterd/internal/lazy"
	"milterd/internal/store"
	"milterd/message"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:     "rates",
		Phase:    checks.Header, // all recipients are there
		Outbound: true,
		OnError:  checks.OnErrorIgnore,
		Sample:   sample,
		Findings: findings,
		New:      newCheck,
	}
}

// The findings of the check.
const (
	findLogin     = "RATES_LOGIN"
	findLoginSpam = "RATES_LOGIN_SPAM"
	findLocal     = "RATES_LOCAL"
	findNetwork   = "RATES_NETWORK"
	findSender    = "RATES_SENDER"
)

var findings = []checks.FindingSpec{
	{Name: findLogin, Describe: "A login writes to far more recipients within an hour than is its habit"},
	{Name: findLoginSpam, Describe: "What a login sends would be refused as spam if a stranger brought it; stands as the reason of a hold"},
	{Name: findLocal, Describe: "Hosts of our own write to far more recipients within an hour than is their habit"},
	{Name: findNetwork, Describe: "A network brings mail for more recipients within an hour than it may"},
	{Name: findSender, Describe: "An envelope sender writes to more recipients within an hour than he may"},
}

// storeWait bounds what one message waits for the store.
const storeWait = 500 * time.Millisecond

type check struct {
	cfg     config
	store   store.Store // nil: none
	now     func() time.Time
	logger  *slog.Logger
	metrics *metrics
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
	return &check{cfg: cfg, store: env.Store, now: env.Now, logger: env.Logger, metrics: m}, err
}

// Run counts what the sender has sent within the last hour, this message included.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	m := in.Message
	all := c.senders(m)
	if len(all) == 0 {
		return checks.Result{Outcome: checks.None}, nil
	}
	res := checks.Result{Outcome: checks.Clean, Detail: all}
	if m.Login != "" && c.cfg.Spam == hold {
		res.Demand = &checks.Demand{Action: message.Quarantine, Finding: findLoginSpam, Outbound: true, IfRejected: true}
	}
	if c.store == nil {
		return res, nil
	}
	if err := c.count(ctx, all, len(m.Recipients)); err != nil {
		c.metrics.storeErrors.Inc()
		res.Outcome = checks.TempError // and what it demands for spam stands
		return res, nil
	}
	for _, s := range all {
		if !s.over() {
			continue
		}
		res.Outcome = checks.Found
		res.Findings = append(res.Findings, checks.Finding{Name: s.kind.finding, Value: s.recent, Detail: s.String()})
		switch {
		case m.Role == message.Inbound:
			res.Demand = &checks.Demand{Action: message.TempFail, Reply: message.ReplyRate, Finding: s.kind.finding}
		case s.kind == ofLogin && c.cfg.Login == hold:
			res.Demand = &checks.Demand{Action: message.Quarantine, Finding: findLogin, Outbound: true}
		}
	}
	return res, nil
}

// count fills in what the senders have sent, with n recipients more.
func (c *check) count(ctx context.Context, all []*sender, n int) error {
	now := c.now()
	var keys [][]byte
	for _, s := range all {
		keys = append(keys, s.countKey(now), s.countKey(now.Add(-time.Hour)), s.habitKey())
	}
	asking := lazy.WithTimeout(ctx, storeWait)
	defer asking.Cancel()
	values, err := c.store.Get(asking, space, keys...)
	if err != nil {
		return err
	}
	for i, s := range all {
		s.measure(values[3*i:3*i+3], n, now)
	}
	return nil
}

// Record counts a message that was let in or held, learns from it, and raises the
// alerts.
func (c *check) Record(_ context.Context, in *checks.Input, v *message.Verdict) error {
	m := in.Message
	all, ok := checks.Detail[[]*sender](in.Prior, "rates")
	if !ok || v.Action.Refuses() {
		return nil
	}
	c.alert(m, all, v)
	if c.store == nil {
		return nil
	}
	now := c.now()
	var ops []store.Op
	for _, s := range all {
		ops = append(ops, s.learn(len(m.Recipients), now)...)
	}
	return c.store.Post(space, ops...)
}

// alert tells of senders of our own who send too much, and of mail of theirs that the
// score would refuse.
func (c *check) alert(m *message.Message, all []*sender, v *message.Verdict) {
	if m.Role != message.Outbound {
		return
	}
	did := "let through"
	if v.Action == message.Quarantine {
		did = "held"
	}
	for _, s := range all {
		if s.over() {
			c.metrics.alerts.WithLabelValues(s.kind.name, "recipients").Inc()
			c.logger.Warn("far more mail than usual from a sender of ours", "check", "rates", "id", m.ID, "who", message.SafeText(s.who, 200),
				"recipients_hour", int(s.recent), "habit", int(s.habit.usual), "limit", int(s.limit), "message", did)
		}
		if t := v.Thresholds.Reject; t != nil && v.Score >= *t && v.Objective >= *t {
			c.metrics.alerts.WithLabelValues(s.kind.name, "spam").Inc()
			c.logger.Warn("spam from a sender of ours", "check", "rates", "id", m.ID, "who", message.SafeText(s.who, 200),
				"score", v.Score, "message", did)
		}
	}
}

// String says for people what was counted.
func (s *sender) String() string {
	if s.kind.learns {
		return message.SafeText(fmt.Sprintf("%s: %.0f recipients within an hour, where %.0f are usual and %.0f the limit", s.who, s.recent, s.habit.usual, s.limit), 200)
	}
	return message.SafeText(fmt.Sprintf("%s: %.0f recipients within an hour, %.0f are the limit", s.who, s.recent, s.limit), 200)
}
