// Package uribl is the check of all that a message says of itself against lists in
// the DNS: the domains of its sender and author, of those who claim to have signed it,
// of the URLs in it, and the mail addresses to which one would answer.
//
// The lists are data; see package internal/dnslist for what an answer is and how a
// list stays believable. What the header has is asked about while the body is still
// coming, the URLs when it is there. The client's address is the business of the
// check dnsbl.
package uribl

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"

	"milterd/checks"
	"milterd/internal/dnslist"
	"milterd/internal/table"
	"milterd/mime"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:       "uribl",
		Phase:      checks.Header,
		BodyReader: true,
		After:      []string{"dnsbl"},
		OnError:    checks.OnErrorIgnore,
		Sample:     sample,
		Findings:   findings,
		New:        newCheck,
	}
}

// The findings of the check: one for each kind of listing, whichever list says it.
const (
	findSpam          = "URIBL_SPAM"
	findPhish         = "URIBL_PHISH"
	findMalware       = "URIBL_MALWARE"
	findAbused        = "URIBL_ABUSED"
	findSuspect       = "URIBL_SUSPECT"
	findSeveral       = "URIBL_SEVERAL"
	findSender        = "URIBL_SENDER"
	findSenderSuspect = "URIBL_SENDER_SUSPECT"
	findAddress       = "URIBL_ADDRESS"
	findReceived      = "URIBL_RECEIVED"
)

var findings = []checks.FindingSpec{
	{Name: findSpam, Describe: "A URL leads to a domain or host that a list has for spam"},
	{Name: findPhish, Describe: "A URL leads to a domain or host that a list has for phishing"},
	{Name: findMalware, Describe: "A URL leads to a domain or host that a list has for malware"},
	{Name: findAbused, Describe: "A URL leads to an honest domain that is abused at the moment"},
	{Name: findSuspect, Describe: "A URL leads to a domain or host about which a list has doubts"},
	{Name: findSeveral, Describe: "Independent lists have domains, hosts or addresses of the message"},
	{Name: findSender, Describe: "A list has the domain of HELO, MAIL FROM, From or a signature"},
	{Name: findSenderSuspect, Describe: "A list has doubts about the domain of HELO, MAIL FROM, From or a signature, or about an address to answer to"},
	{Name: findAddress, Describe: "A list has the mail address of the author, of the sender or for answers"},
	{Name: findReceived, Describe: "A list has a host through which the message came before"},
}

// finding gives the name for a listing.
func finding(l *dnslist.Listing) string {
	doubt := l.Class == dnslist.Suspect || l.Class == dnslist.Policy || l.Class == dnslist.Abused
	switch l.Subject {
	case dnslist.Email:
		if doubt {
			return findSenderSuspect
		}
		return findAddress
	case dnslist.Received:
		if doubt {
			return "" // dial-up addresses are where honest mail begins
		}
		return findReceived
	case dnslist.URL:
		switch l.Class {
		case dnslist.Phish:
			return findPhish
		case dnslist.Malware, dnslist.Exploit:
			return findMalware
		case dnslist.Abused:
			return findAbused
		case dnslist.Spam:
			return findSpam
		}
		return findSuspect
	}
	if doubt {
		return findSenderSuspect
	}
	return findSender
}

type check struct {
	book     *dnslist.Book
	except   table.Tables
	never    map[string]bool
	suffixes dnslist.Suffixes
	hosts    int
	limits   limits
	urls     bool // some list is asked about URLs
}

var (
	_ checks.Check      = (*check)(nil)
	_ checks.Background = (*check)(nil)
	_ checks.Idle       = (*check)(nil)
)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg, lists, never, err := read(section)
	if err != nil {
		return nil, err
	}
	except, err := cfg.Except.Open(env.Now, env.Logger)
	if err != nil {
		return nil, err
	}
	suffixes, err := dnslist.ReadSuffixes(cfg.Suffixes...)
	if err != nil {
		return nil, err
	}
	book, err := dnslist.New(lists, env)
	if err != nil {
		return nil, err
	}
	c := &check{book: book, except: except, never: map[string]bool{}, suffixes: suffixes, hosts: cfg.Hosts,
		limits: limits{scan: env.Limits.Scan(), mime: env.Limits.MIME()}, urls: len(book.Lists(dnslist.URL)) > 0}
	for _, domain := range never {
		c.never[domain] = true
	}
	return c, nil
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

// Run asks about the header while the body arrives, and then about the URLs in it.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	known, _ := checks.Detail[dnslist.Outcome](in.Prior, "dnsbl")
	if c.book.Len() == 0 || known.Certain { // nothing that a list says could matter
		return checks.Result{Outcome: checks.None}, nil
	}
	s := &survey{check: c, left: maxQuestions, asked: map[[2]string]bool{}}
	ofHeader := s.header(in.Message, known.Listings)
	asked := c.book.Begin(ctx, ofHeader)
	ofBody, err := c.body(ctx, in, s)
	askedOfBody := c.book.Begin(ctx, ofBody)
	answers, answersOfBody := asked.Answers(), askedOfBody.Answers()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return checks.Result{}, err
	}

	listings := append(dnslist.Listings(ofHeader, answers), dnslist.Listings(ofBody, answersOfBody)...)
	res := checks.Result{Findings: dnslist.Findings(listings, finding), Detail: dnslist.Outcome{Listings: listings}}
	if n := dnslist.Opinions(listings); n > 1 && len(res.Findings) > 0 {
		res.Findings = append(res.Findings, checks.Finding{Name: findSeveral, Value: float64(n)})
	}
	if len(ofHeader)+len(ofBody) == 0 {
		res.Outcome = checks.None
	}
	if s.skipped > 0 {
		res.Note = fmt.Sprintf("%d hosts of URLs were not asked about", s.skipped)
	}
	return res, nil
}

// body waits for the whole body and returns the questions about its URLs.
func (c *check) body(ctx context.Context, in *checks.Input, s *survey) ([]dnslist.Question, error) {
	if !c.urls || in.Body == nil {
		return nil, nil
	}
	for {
		if _, err := in.Body.Next(ctx); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading the body: %w", err)
		}
	}
	tree, _, err := mime.Shared(in.Message, c.limits.scan, c.limits.mime)
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	return s.urls(tree), nil
}
