// Package dnsbl is the check of the client's address against lists in the DNS:
// those of hosts that send spam, and those of hosts that are known to send none.
//
// The lists are data; see package internal/dnslist for what an answer is and how a
// list stays believable. This check asks them all at MAIL FROM, at once, and says
// which kinds of listing there are. What a message says of itself, its domains and
// URLs, is the business of the check uribl.
package dnsbl

import (
	"context"
	_ "embed"
	"net/netip"
	"slices"
	"time"

	"milterd/checks"
	"milterd/internal/dnslist"
	"milterd/internal/table"
	"milterd/message"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:     "dnsbl",
		Phase:    checks.Mail,
		OnError:  checks.OnErrorIgnore,
		Timeout:  10 * time.Second, // the patience of dnslist is shorter
		Sample:   sample,
		Findings: findings,
		New:      newCheck,
	}
}

// The findings of the check: one for each kind of listing, whichever list says it.
const (
	findSpam        = "DNSBL_SPAM"
	findExploit     = "DNSBL_EXPLOIT"
	findPolicy      = "DNSBL_POLICY"
	findSuspect     = "DNSBL_SUSPECT"
	findSeveral     = "DNSBL_SEVERAL"
	findAllowLow    = "DNSBL_ALLOW_LOW"
	findAllowMedium = "DNSBL_ALLOW_MEDIUM"
	findAllowHigh   = "DNSBL_ALLOW_HIGH"
)

var findings = []checks.FindingSpec{
	{Name: findSpam, Describe: "A list has the client as a source of spam"},
	{Name: findExploit, Describe: "A list has the client as a hijacked or malicious host"},
	{Name: findPolicy, Describe: "A list has the client as a host that should not send mail by itself"},
	{Name: findSuspect, Describe: "A list has doubts about the client"},
	{Name: findSeveral, Describe: "Independent lists have the client"},
	{Name: findAllowLow, Describe: "A list vouches for the client a little"},
	{Name: findAllowMedium, Describe: "A list vouches for the client"},
	{Name: findAllowHigh, Describe: "A list vouches strongly for the client"},
}

// named gives the finding for a class.
var named = map[dnslist.Class]string{
	dnslist.Spam: findSpam, dnslist.Exploit: findExploit, dnslist.Malware: findExploit, dnslist.Phish: findExploit,
	dnslist.Policy: findPolicy, dnslist.Suspect: findSuspect, dnslist.Abused: findSuspect,
	dnslist.AllowLow: findAllowLow, dnslist.AllowMedium: findAllowMedium, dnslist.AllowHigh: findAllowHigh,
}

type check struct {
	book   *dnslist.Book
	except table.Tables
	reject []dnslist.Class
}

var (
	_ checks.Check      = (*check)(nil)
	_ checks.Background = (*check)(nil)
	_ checks.Idle       = (*check)(nil)
	_ checks.Early      = (*check)(nil)
)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg, lists, err := read(section)
	if err != nil {
		return nil, err
	}
	except, err := cfg.Except.Open(env.Now, env.Logger)
	if err != nil {
		return nil, err
	}
	book, err := dnslist.New(lists, env)
	if err != nil {
		return nil, err
	}
	return &check{book: book, except: except, reject: cfg.Reject}, nil
}

// Idle says that no list is enabled, where none is.
func (c *check) Idle() string {
	if c.book.Len() == 0 {
		return "no DNS list is enabled"
	}
	return ""
}

// Background tests the lists for as long as ctx lasts.
func (c *check) Background(ctx context.Context) { c.book.Watch(ctx) }

// AnswersAtRcpt reports whether a listing may be reason enough to refuse the client.
func (c *check) AnswersAtRcpt() bool { return len(c.reject) > 0 && c.book.Len() > 0 }

// Run asks every list about the client.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	client := in.Message.Session.Client.Unmap().WithZone("")
	if c.book.Len() == 0 || !public(client) || c.excepted(client) {
		return checks.Result{Outcome: checks.None, Detail: dnslist.Outcome{}}, nil
	}
	var questions []dnslist.Question
	for _, l := range c.book.Lists(dnslist.Client) {
		if q, ok := l.AboutAddr(dnslist.Client, client); ok {
			questions = append(questions, q)
		}
	}
	answers := c.book.Ask(ctx, questions)
	listings := dnslist.Listings(questions, answers)
	res := checks.Result{Outcome: outcome(answers, listings)}
	res.Findings = dnslist.Findings(listings, func(l *dnslist.Listing) string { return named[l.Class] })
	if n := dnslist.Opinions(listings); n > 1 {
		res.Findings = append(res.Findings, checks.Finding{Name: findSeveral, Value: float64(n), Detail: client.String()})
	}
	res.Demand = c.demand(client, listings)
	res.Detail = dnslist.Outcome{Listings: listings, Certain: res.Demand != nil}
	return res, nil
}

// public reports whether lists of the internet can have the address.
func public(a netip.Addr) bool { return a.IsGlobalUnicast() && !a.IsPrivate() }

func (c *check) excepted(client netip.Addr) bool {
	if c.except == nil {
		return false
	}
	_, found := c.except.Table().FindAddr(client)
	return found
}

// demand asks to refuse a client that is listed as the operator has named it, unless
// another list vouches for it: then somebody is wrong, and the score decides.
func (c *check) demand(client netip.Addr, listings []dnslist.Listing) *checks.Demand {
	if slices.ContainsFunc(listings, func(l dnslist.Listing) bool { return l.Class.Allows() }) {
		return nil
	}
	for i := range listings {
		if l := &listings[i]; slices.Contains(c.reject, l.Class) {
			return &checks.Demand{Action: message.RejectMail, Reply: message.ReplyListed(client, l.List.Name),
				Finding: named[l.Class], AtRcpt: true}
		}
	}
	return nil
}

// outcome says how the check ended: lists that gave no answer are trouble only where
// no other has said anything.
func outcome(answers []dnslist.Answer, listings []dnslist.Listing) checks.Outcome {
	if len(listings) > 0 {
		return checks.Found
	}
	for _, a := range answers {
		if a.Status == dnslist.Clear || a.Status == dnslist.Listed {
			return checks.Clean
		}
	}
	if len(answers) == 0 {
		return checks.None
	}
	return checks.TempError
}
