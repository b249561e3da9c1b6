package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"milterd/spf"
)

type spfCmd struct {
	Check spfCheckCmd `cmd:"" help:"Evaluate SPF for a client, a sender and a HELO name, step by step."`
}

type spfCheckCmd struct {
	IP    netip.Addr `arg:"" name:"ip" help:"Address of the SMTP client."`
	From  string     `arg:"" help:"Envelope sender; an empty one or <> is the null sender."`
	Helo  string     `arg:"" optional:"" help:"Name given in HELO."`
	Quiet bool       `short:"q" help:"Only the results, not the steps."`
}

// Run prints the steps of the evaluation, the mechanism that matched and the
// look-ups used, for MAIL FROM and, if given, for HELO. It ends with 1 when
// MAIL FROM does not pass, and with 75 when the DNS did not answer.
func (c *spfCheckCmd) Run(g *globals) error {
	resolver, err := g.newResolver()
	if err != nil {
		return err
	}
	defer resolver.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	v := spf.Verifier{Resolver: resolver, Explain: true}
	if !c.Quiet {
		v.Trace = func(depth int, format string, args ...any) {
			fmt.Fprintf(g.stdout, "  %s%s\n", strings.Repeat("  ", depth), safe(fmt.Sprintf(format, args...)))
		}
	}
	args := spf.Args{IP: c.IP, Helo: c.Helo, MailFrom: bare(c.From)}
	res, why := v.CheckMailFrom(ctx, args)
	c.print(g, res, why)
	status := res.Status
	if c.Helo != "" && args.MailFrom != "" {
		res, why = v.CheckHelo(ctx, args)
		c.print(g, res, why)
	}
	switch status {
	case spf.Pass:
		return nil
	case spf.TempError:
		return &exitError{code: exitTemporary}
	}
	return &exitError{code: exitFindings}
}

func (c *spfCheckCmd) print(g *globals, r spf.Result, why error) {
	fmt.Fprintf(g.stdout, "%s=%s", r.Identity, r.Status)
	if r.Domain != "" {
		fmt.Fprintf(g.stdout, " domain=%s", r.Domain)
	}
	if r.Mechanism != "" {
		fmt.Fprintf(g.stdout, " matched=%s in the record of %s", safe(r.Mechanism), r.RecordDomain)
	}
	fmt.Fprintf(g.stdout, " look-ups=%d/10 voids=%d/2\n", r.Lookups, r.Voids)
	switch {
	case why != nil:
		fmt.Fprintf(g.stdout, "  %s\n", safe(why.Error()))
	case r.Reason != "":
		fmt.Fprintf(g.stdout, "  %s\n", r.Reason)
	}
	if r.Explanation != "" {
		fmt.Fprintf(g.stdout, "  the domain explains: %q\n", safe(r.Explanation))
	}
}
