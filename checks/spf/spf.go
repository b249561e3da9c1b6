// Package spf is the check of the Sender Policy Framework: does the domain in
// MAIL FROM, and the one in HELO, name the client as a host that may use it?
//
// Both identities are always evaluated, side by side, and never mixed: a HELO
// that passes says nothing about MAIL FROM. What the protocol says lives in
// package milterd/spf; this check asks it, and reports.
package spf

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"time"

	"milterd/authres"
	"milterd/checks"
	"milterd/dkim"
	"milterd/message"
	"milterd/spf"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:     "spf",
		Phase:    checks.Mail,
		Timeout:  20 * time.Second, // RFC 7208, section 4.6.4 asks for at least that; the DNS budget is tighter
		Sample:   sample,
		Findings: findings,
		New:      newCheck,
	}
}

var findings = []checks.FindingSpec{
	{Name: "SPF_PASS", Describe: "The domain of MAIL FROM names the client as one of its hosts"},
	{Name: "SPF_FAIL", Describe: "The domain of MAIL FROM says that the client is not one of its hosts"},
	{Name: "SPF_SOFTFAIL", Describe: "The domain of MAIL FROM says that the client is probably not one of its hosts"},
	{Name: "SPF_NEUTRAL", Describe: "The domain of MAIL FROM says nothing about the client"},
	{Name: "SPF_NONE", Describe: "The domain of MAIL FROM has no SPF record"},
	{Name: "SPF_TEMPERROR", Describe: "The DNS did not answer; says nothing about the sender"},
	{Name: "SPF_PERMERROR", Describe: "MAIL FROM is no mailbox, or its domain's SPF record cannot be read"},
	{Name: "SPF_HELO_PASS", Describe: "The domain of HELO names the client as one of its hosts"},
	{Name: "SPF_HELO_FAIL", Describe: "The domain of HELO says that the client is not one of its hosts"},
}

// Outcome is the Detail of the check's result.
type Outcome struct {
	MailFrom, Helo spf.Result
}

// SPF returns both results to a check that knows package milterd/spf but not this
// one.
func (o Outcome) SPF() (mailFrom, helo spf.Result) { return o.MailFrom, o.Helo }

type check struct {
	verifier *spf.Verifier
}

var _ checks.Check = (*check)(nil)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	return &check{verifier: &spf.Verifier{Resolver: env.Resolver, Now: env.Now}}, nil
}

// Run evaluates both identities.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	m := in.Message
	args := spf.Args{IP: m.Session.Client, Helo: m.Session.Helo, MailFrom: bare(m.MailFrom), ReceivingHost: m.Session.MTA}
	var out Outcome
	var helo sync.WaitGroup
	var panicked any // a panic in there must end this check, not the daemon
	beside := !m.MailFrom.Null && !dkim.Knows(c.verifier.Resolver, args.Helo)
	if beside {
		helo.Go(func() {
			defer func() { panicked = recover() }()
			out.Helo, _ = c.verifier.CheckHelo(ctx, args)
		})
	}
	// The errors say in more words what the status says; a check that meets
	// them has done its job.
	var why error
	out.MailFrom, why = c.verifier.CheckMailFrom(ctx, args)
	switch {
	case m.MailFrom.Null: // then MAIL FROM is the HELO identity
		out.Helo = out.MailFrom
	case !beside:
		out.Helo, _ = c.verifier.CheckHelo(ctx, args)
	}
	helo.Wait()
	if panicked != nil {
		panic(panicked)
	}
	if err := ctx.Err(); err != nil && out.MailFrom.Status == spf.TempError {
		return checks.Result{}, err
	}

	res := checks.Result{Detail: out, Outcome: outcomes[out.MailFrom.Status]}
	res.Findings = append(res.Findings, checks.Finding{
		Name:   "SPF_" + strings.ToUpper(string(out.MailFrom.Status)),
		Detail: describe(out.MailFrom, why),
	})
	switch {
	case m.MailFrom.Null: // said above
	case out.Helo.Status == spf.Pass:
		res.Findings = append(res.Findings, checks.Finding{Name: "SPF_HELO_PASS", Detail: describe(out.Helo, nil)})
	case out.Helo.Status == spf.Fail:
		res.Findings = append(res.Findings, checks.Finding{Name: "SPF_HELO_FAIL", Detail: describe(out.Helo, nil)})
	}
	res.Auth = []authres.Method{method(m, out.MailFrom)}
	return res, nil
}

var outcomes = map[spf.Status]checks.Outcome{
	spf.None: checks.None, spf.TempError: checks.TempError, spf.PermError: checks.PermError,
}

// bare returns the reverse-path without its angle brackets, verbatim: what is
// no mailbox must stay none.
func bare(p message.Path) string {
	raw := p.Raw
	if len(raw) >= 2 && raw[0] == '<' && raw[len(raw)-1] == '>' {
		raw = raw[1 : len(raw)-1]
	}
	return raw
}

// method is the line in Authentication-Results (RFC 8601, section 2.7.2). The
// property is the address as given, so that people find it in their log; with
// the null reverse-path it is the HELO name.
func method(m *message.Message, r spf.Result) authres.Method {
	prop := authres.Prop{Ptype: "smtp", Property: "mailfrom", Value: bare(m.MailFrom)}
	if m.MailFrom.Null {
		prop.Property, prop.Value = "helo", m.Session.Helo
	}
	return authres.Method{Method: "spf", Result: string(r.Status), Reason: r.Reason, Props: []authres.Prop{prop}}
}

// describe says in a line what matched.
func describe(r spf.Result, why error) string {
	switch {
	case why != nil:
		return message.SafeText(why.Error(), 200)
	case r.Reason != "":
		return r.Reason
	case r.Mechanism != "" && r.RecordDomain != r.Domain:
		return fmt.Sprintf("%s: %s of %s, %d look-ups", r.Domain, message.SafeText(r.Mechanism, 100), r.RecordDomain, r.Lookups)
	case r.Mechanism != "":
		return fmt.Sprintf("%s: %s, %d look-ups", r.Domain, message.SafeText(r.Mechanism, 100), r.Lookups)
	}
	return r.Domain
}
