// Package iprev is the check of the client's name: does the address of the client
// have a name in the DNS, and does that name have the address?
//
// The owner of an address writes its name, the owner of the name writes its
// address. Where the two agree, either of them can be asked who sends this mail; it
// says nothing about whether the mail is wanted. RFC 8601 calls the method iprev,
// its section 3 says what it is.
package iprev

import (
	"context"
	_ "embed"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"milterd/authres"
	"milterd/checks"
	"milterd/message"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:     "iprev",
		Phase:    checks.Connect,
		OnError:  checks.OnErrorIgnore,
		Sample:   sample,
		Findings: findings,
		New:      newCheck,
	}
}

// The findings of the check.
const (
	findPass      = "IPREV_PASS"
	findFail      = "IPREV_FAIL"
	findNone      = "IPREV_NONE"
	findTempError = "IPREV_TEMPERROR"
	findPermError = "IPREV_PERMERROR"
)

var findings = []checks.FindingSpec{
	{Name: findPass, Describe: "The client's address has a name that leads back to it"},
	{Name: findFail, Describe: "The client's address has names, and none leads back to it"},
	{Name: findNone, Describe: "The client's address has no name"},
	{Name: findTempError, Describe: "The DNS did not answer; says nothing about the client"},
	{Name: findPermError, Describe: "The client's names were too much to look up"},
}

// maxNames is how many names of an address are tried. Honest hosts have one or two;
// RFC 7208, section 4.6.4, stops at ten as well.
const maxNames = 10

type check struct {
	resolver checks.Resolver
}

var _ checks.Check = (*check)(nil)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	return &check{resolver: env.Resolver}, nil
}

// A verdict is what came of an address.
type verdict struct {
	status  string // as RFC 8601, section 2.7.3, has it
	finding string
	outcome checks.Outcome
	names   []string // the name that leads back, or those that do not
	why     error    // of temperror and permerror
}

// Run asks for the names of the client's address, and for their addresses.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	m := in.Message
	client := m.Session.Client.Unmap()
	if !public(client) {
		return checks.Result{Outcome: checks.None}, nil
	}
	v := verdict{status: "pass", finding: findPass, outcome: checks.Clean}
	if name := m.Session.HostName(); name != "" && m.Peer == message.Stranger {
		v.names = []string{name} // our MTA has asked already; of others nobody knows whether they did
	} else {
		v = c.lookup(ctx, client)
		if err := ctx.Err(); err != nil && v.finding == findTempError {
			return checks.Result{}, err
		}
	}
	names := strings.Join(v.names, ", ")
	return checks.Result{
		Findings: []checks.Finding{{Name: v.finding, Detail: v.describe(client, names)}},
		Outcome:  v.outcome,
		// RFC 8601, section 2.7.3: policy.iprev is the address; the name is for people.
		Auth: []authres.Method{{Method: "iprev", Result: v.status, Comment: names,
			Props: []authres.Prop{{Ptype: "policy", Property: "iprev", Value: client.String()}}}},
	}, nil
}

// public reports whether the address can have a name that means something. A
// private one has a name at most in its own network.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate()
}

// lookup does what RFC 8601, section 3, says. The names are tried in the order of
// the alphabet, so that the same host always gets the same answer.
func (c *check) lookup(ctx context.Context, client netip.Addr) verdict {
	names, err := c.resolver.LookupAddr(ctx, client)
	if err != nil && !notFound(err) {
		return failed(err, nil)
	}
	names = tidy(names)
	if len(names) == 0 {
		// RFC 8601, section 2.7.3: no PTR data is a permerror, as nothing can be tried.
		return verdict{status: "permerror", finding: findNone, outcome: checks.PermError}
	}
	network := "ip4"
	if client.Is6() {
		network = "ip6"
	}
	var trouble error
	for _, name := range names {
		addrs, err := c.resolver.LookupIP(ctx, network, name)
		switch {
		case err != nil && !notFound(err):
			// It may have been the right one, unless another is. A temporary error
			// outweighs a budget: somebody who comes back may find out.
			if trouble == nil || overBudget(trouble) {
				trouble = err
			}
		case slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap() == client }):
			return verdict{status: "pass", finding: findPass, outcome: checks.Clean, names: []string{name}}
		}
	}
	if trouble != nil {
		return failed(trouble, names)
	}
	return verdict{status: "fail", finding: findFail, outcome: checks.Found, names: names}
}

// failed is the verdict where look-ups did not succeed.
func failed(err error, names []string) verdict {
	if overBudget(err) {
		return verdict{status: "permerror", finding: findPermError, outcome: checks.PermError, names: names, why: err}
	}
	return verdict{status: "temperror", finding: findTempError, outcome: checks.TempError, names: names, why: err}
}

// tidy returns the names that are to be tried: each once, without the final dot.
func tidy(names []string) []string {
	var out []string
	for _, n := range names {
		if n = strings.ToLower(strings.TrimSuffix(n, ".")); n != "" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxNames)]
}

func notFound(err error) bool {
	var dnsErr *net.DNSError
	return errors.As(err, &dnsErr) && dnsErr.IsNotFound
}

func overBudget(err error) bool {
	var budget interface{ BudgetExceeded() bool }
	return errors.As(err, &budget) && budget.BudgetExceeded()
}

// maxDetail bounds what of a stranger's names goes into log and journal.
const maxDetail = 200

// describe says in a line what was found.
func (v *verdict) describe(client netip.Addr, names string) string {
	text := client.String()
	switch {
	case v.why != nil:
		text += ": " + v.why.Error()
	case v.finding == findPass:
		text += " is " + names
	case v.finding == findFail:
		text += " is none of " + names
	default:
		text += " has no name"
	}
	return message.SafeText(text, maxDetail)
}
