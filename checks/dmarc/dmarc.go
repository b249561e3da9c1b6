// Package dmarc is the check of DMARC: does the domain in From vouch for the
// message, and if not, what does its owner want done?
//
// The policy is looked up as soon as the header is there, while the body is still
// coming and SPF and DKIM still run (Prepare). When they are done, Run asks whether
// a domain that they authenticated is aligned with the author's. What the protocol
// says lives in package milterd/dmarc; this check asks it, weighs what speaks for
// an honest forwarder, and demands what the mode allows.
package dmarc

import (
	"context"
	_ "embed"
	"log/slog"
	"time"

	"milterd/checks"
	"milterd/dmarc"
	"milterd/message"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:  "dmarc",
		Phase: checks.Header,
		// The policy is looked up without them (Prepare).
		After:    []string{"spf", "dkim", "author", "arc"},
		OnError:  checks.OnErrorTempFail,
		Sample:   sample,
		Findings: findings,
		New:      newCheck,
	}
}

var findings = []checks.FindingSpec{
	{Name: "DMARC_PASS", Describe: "The author's domain vouches for the message: SPF or DKIM passes for it or a domain of its organization"},
	{Name: "DMARC_NONE", Describe: "The author's domain publishes no DMARC policy, or there is no author's domain"},
	{Name: "DMARC_FAIL_NONE", Describe: "The author's domain does not vouch for the message, and asks for nothing (p=none)"},
	{Name: "DMARC_FAIL_QUARANTINE", Describe: "The author's domain does not vouch for the message, and asks to treat it as suspicious (p=quarantine)"},
	{Name: "DMARC_FAIL_REJECT", Describe: "The author's domain does not vouch for the message, and asks to reject it (p=reject)"},
	{Name: "DMARC_INDIRECT", Describe: "The author's domain does not vouch for the message, but a mailing list or forwarder may be the reason"},
	{Name: "DMARC_TEMPERROR", Describe: "The DNS did not answer; says nothing about the sender"},
	{Name: "DMARC_UNDECIDED", Describe: "The DNS has not answered for so long that the message may wait no longer"},
	{Name: "DMARC_PERMERROR", Describe: "The DMARC policy of the author's domain cannot be read"},
	{Name: "DMARC_METHODS_DIFFER", Describe: "By the Public Suffix List the message would be treated in another way (org_domain: both)"},
	{Name: "DMARC_OBSERVED", Describe: "In mode observe: the findings that mode score or enforce would have"},
}

// Outcome is the Detail of the check's result.
type Outcome struct {
	Result dmarc.Result
	// Disposition is what was asked for: what the policy wants, unless Override
	// says why not.
	Disposition dmarc.Disposition
	Override    Override
}

// DMARC returns what the protocol says.
func (o Outcome) DMARC() dmarc.Result { return o.Result }

type check struct {
	cfg      config
	resolver checks.Resolver
	logger   *slog.Logger
	now      func() time.Time
	metrics  *metrics
	waiting  *waiting
}

var (
	_ checks.Check    = (*check)(nil)
	_ checks.Preparer = (*check)(nil)
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
	var notes recall = newRecall()
	if env.Notes != nil {
		notes = env.Notes("dmarc")
	}
	return &check{
		cfg: cfg, resolver: env.Resolver, logger: env.Logger, now: env.Now, metrics: m,
		waiting: newWaiting(time.Duration(cfg.TempfailMax), notes, env.Logger),
	}, nil
}

// Prepare looks the policy up.
func (c *check) Prepare(ctx context.Context, in *checks.Input) any {
	return c.discover(ctx, in.Message)
}

func (c *check) discover(ctx context.Context, m *message.Message) *dmarc.Policy {
	return dmarc.Discover(ctx, c.resolver, m.Author().Domain, dmarc.Options{Method: dmarc.Method(c.cfg.OrgDomain)})
}

// Run evaluates the policy.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	policy, ok := in.Prepared.(*dmarc.Policy)
	if !ok {
		policy = c.discover(ctx, in.Message)
	}
	v := verdict{check: c, m: in.Message, proof: gather(in)}
	v.out.Result = policy.Evaluate(ctx, v.proof.identifiers())
	if err := ctx.Err(); err != nil && v.out.Result.Status == dmarc.TempError {
		return checks.Result{}, err
	}
	v.judge(ctx)
	c.metrics.count(&v.out)
	v.res.Detail = v.out
	v.res.Outcome = outcomes[v.out.Result.Status]
	v.res.Auth = append(v.res.Auth, method8601(&v.out))
	return v.res, nil
}

var outcomes = map[dmarc.Status]checks.Outcome{
	dmarc.None: checks.None, dmarc.TempError: checks.TempError, dmarc.PermError: checks.PermError,
}
