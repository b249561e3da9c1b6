// Package dkim is the check of DomainKeys Identified Mail: which domains signed
// the message, and is it still what they signed?
//
// The keys are looked up as soon as the header is there, and the body is hashed
// while it arrives, so that at the end of the message only the signatures
// themselves are left to verify. What the protocol says lives in package
// milterd/dkim; this check asks it, and reports.
package dkim

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

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
		Name:       "dkim",
		Phase:      checks.Header,
		BodyReader: true,
		OnError:    checks.OnErrorTempFail,
		Sample:     sample,
		Findings:   findings,
		New:        newCheck,
	}
}

var findings = []checks.FindingSpec{
	{Name: "DKIM_PASS", Describe: "A domain signed the message, and it is what was signed"},
	{Name: "DKIM_PASS_AUTHOR", Describe: "The author's own domain signed the message, and it is what was signed"},
	{Name: "DKIM_NONE", Describe: "The message is not signed"},
	{Name: "DKIM_FAIL", Describe: "No signature passes; one is of other text than this: the message was changed, or the signature made up"},
	{Name: "DKIM_POLICY", Describe: "No signature passes; one is not accepted for a weak key or a body that it covers in part"},
	{Name: "DKIM_NEUTRAL", Describe: "No signature passes; one cannot be judged here, or its domain is only testing"},
	{Name: "DKIM_TEMPERROR", Describe: "No signature passes; the key of one could not be fetched, which says nothing about it"},
	{Name: "DKIM_PERMERROR", Describe: "No signature passes; one cannot be used: malformed, expired, or without a key"},
	{Name: "DKIM_PARTIAL", Describe: "A signature leaves the end of the body open (l=): anybody can append to it"},
	{Name: "DKIM_MANY", Describe: "There are more signatures than limits.dkim_signatures; the others were not looked at"},
}

// Outcome is the Detail of the check's result.
type Outcome struct {
	// Results are those of the signatures looked at, from top to bottom.
	Results []dkim.Result
}

// DKIM returns the results to a check that knows package milterd/dkim but not this
// one.
func (o Outcome) DKIM() []dkim.Result { return o.Results }

type check struct {
	verifier *dkim.Verifier
	metrics  *metrics
}

var _ checks.Check = (*check)(nil)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	m, err := newMetrics(env.Registerer)
	if err != nil {
		return nil, err
	}
	return &check{
		verifier: &dkim.Verifier{
			Resolver: env.Resolver, Now: env.Now,
			MaxSignatures: env.Limits.DKIMMaxSigs, MaxHeaderNames: env.Limits.DKIMMaxNames,
		},
		metrics: m,
	}, nil
}

// Run verifies the signatures of a message while its body arrives.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	author := in.Message.Author().Domain
	v := c.verifier.Start(ctx, in.Message.Header.Fields, author)
	err := v.Follow(ctx, in.Body)
	results := v.Finish(ctx) // in any case: it ends the look-ups
	if err != nil {
		return checks.Result{}, err
	}
	for i := range results {
		c.metrics.count(&results[i])
	}
	res := checks.Result{Detail: Outcome{results}}
	c.judge(&res, results, author)
	if n := v.Skipped(); n > 0 {
		c.metrics.limit("signatures", n)
		res.Findings = append(res.Findings, checks.Finding{Name: "DKIM_MANY", Value: float64(n), Detail: fmt.Sprintf("%d not looked at", n)})
	}
	return res, nil
}

// worth orders the statuses of signatures that do not pass, for the one finding
// that speaks of them: first what says most about the message.
var worth = []dkim.Status{dkim.TempError, dkim.Policy, dkim.Fail, dkim.Neutral, dkim.PermError}

var outcomes = map[dkim.Status]checks.Outcome{
	dkim.None: checks.None, dkim.TempError: checks.TempError, dkim.PermError: checks.PermError,
}

// judge turns the results of signatures into findings and the lines of
// Authentication-Results.
func (c *check) judge(res *checks.Result, results []dkim.Result, author message.Domain) {
	if len(results) == 0 {
		res.Outcome = checks.None
		res.Findings = append(res.Findings, checks.Finding{Name: "DKIM_NONE"})
		res.Auth = append(res.Auth, authres.Method{Method: "dkim", Result: string(dkim.None)})
		return
	}
	first := map[dkim.Status]*dkim.Result{}
	for i := range results {
		r := &results[i]
		res.Auth = append(res.Auth, method(r))
		if first[r.Status] == nil {
			first[r.Status] = r
		}
		if r.Status == dkim.Pass && !author.IsZero() && r.Domain == author {
			first["author"] = r
		}
		if r.Partial && first["partial"] == nil {
			first["partial"] = r
		}
	}
	find := func(name string, r *dkim.Result) {
		if r != nil {
			res.Findings = append(res.Findings, checks.Finding{Name: name, Detail: describe(r)})
		}
	}
	if pass := first[dkim.Pass]; pass != nil {
		find("DKIM_PASS", pass)
		find("DKIM_PASS_AUTHOR", first["author"])
	} else {
		for _, status := range worth {
			if r := first[status]; r != nil {
				find("DKIM_"+strings.ToUpper(string(status)), r)
				res.Outcome = outcomes[status]
				break
			}
		}
	}
	find("DKIM_PARTIAL", first["partial"])
}

// method is the line in Authentication-Results (RFC 8601, section 2.7.1, and
// RFC 6008 for header.b).
func method(r *dkim.Result) authres.Method {
	m := authres.Method{Method: "dkim", Result: string(r.Status), Reason: r.Reason}
	prop := func(name, value string) {
		if value != "" {
			m.Props = append(m.Props, authres.Prop{Ptype: "header", Property: name, Value: value})
		}
	}
	prop("d", r.Domain.String())
	prop("i", r.Identity)
	prop("s", r.Selector)
	prop("a", string(r.Algorithm))
	prop("b", r.BPrefix)
	if r.TestMode {
		m.Comment = "testing"
	}
	return m
}

// describe says in a line whose signature it is, and what is wrong with it.
func describe(r *dkim.Result) string {
	who := fmt.Sprintf("d=%s s=%s", r.Domain, r.Selector)
	switch {
	case r.Status == dkim.Pass:
		return message.SafeText(fmt.Sprintf("%s %s %d bits", who, r.Algorithm, r.KeyBits), 200)
	case r.Status == dkim.Fail && r.HeaderMatches:
		return message.SafeText(who+": the body was changed, the signed header was not", 200)
	}
	return message.SafeText(who+": "+r.Reason, 200)
}
