// Package arc is the check of the Authenticated Received Chain: what do the hosts
// that passed the message on say they found, and is it them who say so?
//
// The keys are looked up as soon as the header is there, and the body is hashed
// while it arrives. What the protocol says lives in package milterd/arc; this check
// asks it, and knows which sealers the operator trusts. It decides nothing: a
// chain never turns a fail into a pass, but DMARC may spare a message that a
// trusted sealer vouches for.
//
// When sealing is configured the check adds a set of our own.
package arc

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"

	"milterd/arc"
	"milterd/authres"
	"milterd/checks"
	"milterd/dkim"
	"milterd/message"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:       "arc",
		Phase:      checks.Header,
		BodyReader: true,
		OnError:    checks.OnErrorTempFail,
		Sample:     sample,
		Findings:   findings,
		New:        newCheck,
	}
}

// The findings of the check.
const (
	findPass      = "ARC_PASS"
	findTrusted   = "ARC_TRUSTED"
	findFail      = "ARC_FAIL"
	findTempError = "ARC_TEMPERROR"
)

var findings = []checks.FindingSpec{
	{Name: findPass, Describe: "The ARC chain is in order, whoever made it"},
	{Name: findTrusted, Describe: "The ARC chain is in order, and the host that sealed last is trusted"},
	{Name: findFail, Describe: "The ARC chain is broken, which says no more than if there were none"},
	{Name: findTempError, Describe: "A key of the ARC chain could not be fetched, which says nothing about it"},
}

type check struct {
	verifier *arc.Verifier
	trusted  map[message.Domain]bool
	metrics  *metrics
}

var _ checks.Check = (*check)(nil)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	sealer, err := cfg.Seal.sealer()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(env.Registerer)
	if err != nil {
		return nil, err
	}
	c := &check{
		verifier: &arc.Verifier{
			DKIM:       dkim.Verifier{Resolver: env.Resolver, Now: env.Now, MaxHeaderNames: env.Limits.DKIMMaxNames},
			MaxSets:    env.Limits.ARCSets,
			ForSealing: sealer != nil,
		},
		trusted: map[message.Domain]bool{},
		metrics: m,
	}
	for _, d := range cfg.TrustedSealers {
		if !d.IsZero() {
			c.trusted[d.Domain] = true
		}
	}
	if sealer == nil {
		return c, nil
	}
	sealer.Now = env.Now
	return &sealingCheck{check: c, sealer: sealer, authservID: env.AuthservID}, nil
}

// Run validates the chain of a message while its body arrives.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	v := c.verifier.Start(ctx, in.Message.Header.Fields)
	err := v.Follow(ctx, in.Body)
	r := v.Finish(ctx) // in any case: it ends the look-ups
	if err == nil && r.Status == arc.TempError {
		err = ctx.Err()
	}
	if err != nil {
		return checks.Result{}, err
	}
	c.metrics.count(&r)
	return c.judge(r), nil
}

// judge turns the result into findings and the line of Authentication-Results.
func (c *check) judge(r arc.Result) checks.Result {
	out := newOutcome(r, func(d message.Domain) bool { return c.trusted[d] })
	res := checks.Result{Detail: out}
	find := func(name, detail string) {
		res.Findings = append(res.Findings, checks.Finding{Name: name, Detail: message.SafeText(detail, 200)})
	}
	switch r.Status {
	case arc.None:
		res.Outcome = checks.None
		return res // on nearly all mail: nothing to say
	case arc.Pass:
		find(findPass, sealedBy(&r))
		if len(out.Claims) > 0 {
			find(findTrusted, out.Claims[0].String())
		}
	case arc.TempError:
		res.Outcome = checks.TempError
		find(findTempError, where(&r))
	default:
		find(findFail, where(&r))
	}
	res.Auth = []authres.Method{method(&r)}
	return res
}

// method is the line in Authentication-Results (RFC 8617, section 10.1).
func method(r *arc.Result) authres.Method {
	m := authres.Method{Method: "arc", Result: r.Status.Wire(), Reason: r.Reason}
	if r.Status == arc.Pass {
		m.Comment = sealedBy(r)
		m.Props = []authres.Prop{{Ptype: "header", Property: "oldest-pass", Value: strconv.Itoa(r.OldestPass)}}
	}
	return m
}

// sealedBy says whose seal is on top.
func sealedBy(r *arc.Result) string {
	top := r.Newest()
	return fmt.Sprintf("i=%d sealed by %s", top.Instance, top.Seal.Domain)
}

// where says what is wrong with which set.
func where(r *arc.Result) string {
	if r.Instance == 0 {
		return r.Reason
	}
	return fmt.Sprintf("i=%d: %s", r.Instance, r.Reason)
}
