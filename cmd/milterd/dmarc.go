package main

import (
	"context"
	"fmt"
	"time"

	"milterd/dmarc"
	"milterd/message"
)

type dmarcCmd struct {
	Check dmarcCheckCmd `cmd:"" help:"Show the policy that applies to a domain, and how it was found."`
}

type dmarcCheckCmd struct {
	Domain string `arg:"" help:"Domain as it would stand in From."`
}

// Run prints the policy of a domain by both methods of finding Organizational
// Domains: the tree walk of RFC 9989 and the Public Suffix List of old. It ends
// with 1 where there is none, or none that can be used, and with 75 where the DNS
// did not answer.
func (c *dmarcCheckCmd) Run(g *globals) error {
	domain, err := message.ParseDomain(c.Domain)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	resolver, err := g.newResolver()
	if err != nil {
		return err
	}
	defer resolver.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	p := dmarc.Discover(ctx, resolver, domain, dmarc.Options{Method: dmarc.Both})
	fmt.Fprintln(g.stdout, "tree walk (RFC 9989):")
	c.print(g, p)
	fmt.Fprintln(g.stdout, "public suffix list (RFC 7489):")
	c.print(g, p.Other)
	if p.Domain != p.Other.Domain || p.Disposition != p.Other.Disposition || p.Organizational != p.Other.Organizational {
		fmt.Fprintln(g.stdout, "the two differ: mail is judged by the tree walk unless checks.dmarc.org_domain says otherwise")
	}
	switch p.Status {
	case "":
		return nil
	case dmarc.TempError:
		return &exitError{code: exitTemporary}
	}
	return &exitError{code: exitFindings}
}

func (c *dmarcCheckCmd) print(g *globals, p *dmarc.Policy) {
	for _, s := range p.Steps {
		fmt.Fprintf(g.stdout, "  _dmarc.%s: %s\n", s.Domain, answerOf(s))
	}
	fmt.Fprintf(g.stdout, "  organizational domain %s (%s)\n", p.Organizational, p.Rule)
	if p.Status != "" {
		fmt.Fprintf(g.stdout, "  %s: %s\n", p.Status, p.Reason)
		return
	}
	fmt.Fprintf(g.stdout, "  policy of %s by its tag %s: %s", p.Domain, p.Tag, p.Published)
	if p.Disposition != p.Published {
		fmt.Fprintf(g.stdout, ", treated as %s while it is testing (t=y)", p.Disposition)
	}
	fmt.Fprintf(g.stdout, "; alignment spf %s, dkim %s\n", p.Record.SPF, p.Record.DKIM)
}

// answerOf says what a name answered.
func answerOf(s *dmarc.Step) string {
	switch {
	case s.Err != nil:
		return safe(s.Err.Error())
	case s.Found():
		return safe(s.Text)
	case s.Records > 1:
		return fmt.Sprintf("%d records, so none counts", s.Records)
	case s.NotFound:
		return "does not exist"
	}
	return "no DMARC record"
}
