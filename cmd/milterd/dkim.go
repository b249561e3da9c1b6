package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"milterd/dkim"
	"milterd/internal/mailbox"
	"milterd/message"
	"milterd/milter"
)

type dkimCmd struct {
	Genkey  dkimGenkeyCmd  `cmd:"" help:"Make the keys of a domain, and print what to publish."`
	Dns     dkimDNSCmd     `cmd:"" name:"dns" help:"Print the DNS records of the keys."`
	Status  dkimStatusCmd  `cmd:"" help:"Show each key: its stage, its age, what every name server shows of it."`
	Rotate  dkimRotateCmd  `cmd:"" help:"Take one step: keys that the DNS shows begin to sign, those they replace retire."`
	Testkey dkimTestkeyCmd `cmd:"" help:"See whether key files and DNS agree."`
	Check   dkimCheckCmd   `cmd:"" help:"Sign a probe here, and have an independent program verify it from the DNS."`
	Sign    dkimSignCmd    `cmd:"" help:"Print a message with the signatures that it would get."`
	Verify  dkimVerifyCmd  `cmd:"" help:"Verify the signatures of messages and explain what broke them."`
}

type dkimVerifyCmd struct {
	Hashed bool     `help:"Print the text that was hashed for each signature."`
	Paths  []string `arg:"" name:"file" help:"Message files or directories; - is standard input."`
}

// Run explains each signature. It ends with 1 when a message has none that
// passes, with 65 when one cannot be read.
func (c *dkimVerifyCmd) Run(g *globals) error {
	resolver, err := g.newResolver()
	if err != nil {
		return err
	}
	defer resolver.Close()
	v := &dkim.Verifier{Resolver: resolver}
	failed, unreadable := false, false
	for file := range mailbox.Messages(c.Paths, g.stdin, g.skipped) {
		if file.Err != nil {
			fmt.Fprintf(g.stderr, "milterd: %s: %v\n", safe(file.Name), file.Err)
			unreadable = true
			continue
		}
		if !c.verify(g, v, file) {
			failed = true
		}
	}
	switch {
	case unreadable:
		return &exitError{code: exitData}
	case failed:
		return &exitError{code: exitFindings}
	}
	return nil
}

// verify explains the signatures of one message, as Postfix would hand it over.
func (c *dkimVerifyCmd) verify(g *globals, v *dkim.Verifier, file mailbox.Message) (passed bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	parsed := milter.ParseMessage(file.Raw)
	fields := make([]message.Field, len(parsed.Fields))
	for i, f := range parsed.Fields {
		fields[i] = message.Field{Name: f.Name, Value: f.Value}
	}
	all := v.Explain(ctx, fields, parsed.Body)
	if len(all) == 0 {
		fmt.Fprintf(g.stdout, "%s: not signed\n", safe(file.Name))
		return false
	}
	for i := range all {
		e := &all[i]
		passed = passed || e.Status == dkim.Pass
		fmt.Fprintf(g.stdout, "%s: %s d=%s s=%s a=%s", safe(file.Name), e.Status, e.Domain, safe(e.Selector), safe(string(e.Algorithm)))
		if e.KeyBits > 0 {
			fmt.Fprintf(g.stdout, " %d bits", e.KeyBits)
		}
		fmt.Fprintln(g.stdout)
		if e.Err != nil {
			fmt.Fprintf(g.stdout, "  %s\n", safe(e.Err.Error()))
		}
		header := verified(e.HeaderMatches)
		if e.KeyBits == 0 {
			header = "not to be told without the key"
		}
		fmt.Fprintf(g.stdout, "  header %s, body %s; signed: %s\n", header, verified(e.BodyMatches), safe(strings.Join(signedNames(e), " ")))
		for _, change := range e.Changes {
			fmt.Fprintf(g.stdout, "  %s\n", safe(change.String()))
		}
		if c.Hashed {
			for line := range strings.SplitSeq(e.Text, "\r\n") {
				fmt.Fprintf(g.stdout, "  | %s\n", safe(line))
			}
		}
	}
	return passed
}

func verified(ok bool) string {
	if ok {
		return "as signed"
	}
	return "not as signed"
}

// signedNames are the names in h=; those that sign the absence of a field stand
// in parentheses.
func signedNames(e *dkim.Explanation) []string {
	names := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		names[i] = f.Name
		if f.Index < 0 {
			names[i] = "(" + f.Name + ")"
		}
	}
	return names
}
