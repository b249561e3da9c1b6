// Package greylist is the check that asks strangers to come back.
//
// A program that sends spam from somebody's computer seldom tries twice; a mail
// server does (RFC 5321, section 4.5.4.1). Greylisting makes use of that: who is not
// known gets a temporary error, and is known when he comes back (RFC 6647). It
// costs honest senders minutes, so it is for those alone about whom nothing else
// is known: the score lies between greylist and junk, and neither the sender nor
// his domain has been here before. With the stage rcpt it is for all who are new, and
// they are asked when they name a recipient.
//
// Who a sender is says, where possible, the domain that SPF or DKIM proves: a pool
// of hosts then is one sender, and passes at its first retry from whichever host.
// Without proof it is network, envelope sender and recipient.
//
// [check.Run] looks, [door] does at RCPT TO, and [check.Record], after the reply,
// remembers. A store that does not answer lets everybody pass.
package greylist

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"milterd/checks"
	"milterd/internal/store"
	"milterd/message"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:     "greylist",
		Off:      true,
		Phase:    checks.Message, // DKIM ends with the body
		After:    []string{"spf", "dkim"},
		Outbound: true, // whom our users write to may answer at once
		OnError:  checks.OnErrorIgnore,
		Sample:   sample,
		Findings: findings,
		New:      newCheck,
	}
}

// The findings of the check.
const (
	findNew         = "GREYLIST_NEW"
	findEarly       = "GREYLIST_EARLY"
	findReturned    = "GREYLIST_RETURNED"
	findUnavailable = "GREYLIST_UNAVAILABLE"
)

var findings = []checks.FindingSpec{
	{Name: findNew, Describe: "Neither the sender nor his domain has been here before"},
	{Name: findEarly, Describe: "A sender who was asked to come back has come too early"},
	{Name: findReturned, Describe: "A sender who was asked to come back has done so"},
	{Name: findUnavailable, Describe: "The store does not answer, so nobody is asked to come back"},
}

// storeWait bounds what one message waits for the store.
const storeWait = 500 * time.Millisecond

type check struct {
	store   store.Store // nil: none
	now     func() time.Time
	logger  *slog.Logger
	metrics *metrics

	stage               stage
	delay, window, keep time.Duration

	exempt  exemptions
	settled settled
	forgets forgets
}

var (
	_ checks.Check      = (*check)(nil)
	_ checks.Recorder   = (*check)(nil)
	_ checks.Early      = (*check)(nil)
	_ checks.Doorkeeper = (*check)(nil)
)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	exempt, err := cfg.open(env)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(env.Registerer)
	if err != nil {
		return nil, err
	}
	return &check{
		store: env.Store, now: env.Now, logger: env.Logger, metrics: m,
		stage: cfg.Stage, delay: cfg.Delay, window: cfg.Window, keep: cfg.Keep, exempt: exempt,
	}, nil
}

// Run looks up whether the sender is known, and asks him to come back if not.
// Scoring follows that only where the message is undecided, or at the stage rcpt: there
// the question is the same once more, for a recipient who could not wait for the answer.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	m := in.Message
	if m.Role != message.Inbound || c.store == nil {
		return checks.Result{Outcome: checks.None}, nil
	}
	if c.stage == atRcpt {
		return c.runForEach(ctx, in)
	}
	if c.exempt.message(m) {
		return checks.Result{Outcome: checks.None}, nil
	}
	return c.assess(ctx, identify(in))
}

// assess looks the senders up, each of which may be one to another recipient, and reports
// on the one who is known best: there is one message for all.
func (c *check) assess(ctx context.Context, all ...who) (checks.Result, error) {
	sights := c.look(ctx, all)
	if err := ctx.Err(); err != nil {
		return checks.Result{}, err
	}
	s := slices.MaxFunc(sights, func(a, b *sight) int { return cmp.Compare(a.standing, b.standing) })
	res := checks.Result{Detail: sights}
	found := checks.Finding{Detail: message.SafeText(s.who.String(), maxDetail)}
	switch s.standing {
	case unknownToUs:
		found.Name = findUnavailable
	case stranger:
		found.Name, found.Value = findNew, c.delay.Seconds()
	case waits:
		found.Name, found.Value = findEarly, s.left.Seconds()
	case returned:
		found.Name, found.Value = findReturned, s.elapsed.Seconds()
		found.Detail = message.SafeText(fmt.Sprintf("%s, after %v", s.who, s.elapsed.Round(time.Second)), maxDetail)
	case known, correspondent:
		return res, nil
	}
	res.Findings = []checks.Finding{found}
	if s.standing == stranger || s.standing == waits {
		res.Demand = &checks.Demand{
			Action: message.Greylist, Finding: found.Name, AtRcpt: c.stage == atRcpt,
			Reply: message.ReplyGreylisted(int((s.left + time.Second - 1) / time.Second)),
		}
	}
	return res, nil
}

// maxDetail bounds what of a stranger's names goes into log and journal.
const maxDetail = 200

// Record remembers what has become of the message.
func (c *check) Record(ctx context.Context, in *checks.Input, v *message.Verdict) error {
	if c.store == nil {
		return nil
	}
	now := c.now()
	if in.Message.Role == message.Outbound {
		return c.rememberRecipients(in.Message, v)
	}
	sights, ok := checks.Detail[[]*sight](in.Prior, "greylist")
	if !ok {
		return nil
	}
	for _, s := range sights {
		if err := c.remember(ctx, s, v, now); err != nil {
			c.metrics.storeErrors.Inc()
			c.forgets.note(now)
			return err
		}
	}
	return c.settle(ctx, now)
}
