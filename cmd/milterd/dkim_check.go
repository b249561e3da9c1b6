package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"milterd/dkim"
	"milterd/internal/config"
	"milterd/internal/dns"
	"milterd/internal/keys"
	"milterd/internal/mailbox"
	"milterd/message"
	"milterd/milter"

	msgauth "github.com/emersion/go-msgauth/dkim"
)

type dkimCheckCmd struct {
	keyFlags
	Domains []string `arg:"" optional:"" name:"domain" help:"Domains; without one, all of the configuration."`
}

// Run signs a probe with each key that signs, and has go-msgauth, which shares no
// code with us, verify it by what the DNS shows. It ends with 1 when a signature
// does not verify, with 75 when the DNS did not answer.
func (c *dkimCheckCmd) Run(g *globals) error {
	cfg, err := c.config(g)
	if err != nil {
		return err
	}
	targets, err := c.targets(g, cfg, c.Domains)
	if err != nil {
		return err
	}
	resolver, err := resolverOf(cfg)
	if err != nil {
		return &exitError{exitUnavailable, err}
	}
	defer resolver.Close()
	failed, unknown := false, false
	for _, t := range targets {
		list, err := listKeys(t)
		if err != nil {
			return err
		}
		signing := 0
		for i := range list {
			if !list[i].signs() {
				continue
			}
			signing++
			switch err := c.probe(resolver, t.Domain, &list[i].Key); {
			case err == nil:
				fmt.Fprintf(g.stdout, "%s %s (%s): signed here, verified by go-msgauth from the DNS\n", t.Domain, list[i].Selector, describe(&list[i].Key))
			default:
				failed = failed || !msgauth.IsTempFail(err)
				unknown = unknown || msgauth.IsTempFail(err)
				fmt.Fprintf(g.stdout, "%s %s (%s): %s\n", t.Domain, list[i].Selector, describe(&list[i].Key), safe(err.Error()))
			}
		}
		if signing == 0 {
			failed = true
			fmt.Fprintf(g.stdout, "%s: no key signs yet (milterd dkim status %s)\n", t.Domain, t.Domain)
		}
	}
	switch {
	case failed:
		return &exitError{code: exitFindings}
	case unknown:
		return &exitError{code: exitTemporary}
	}
	return nil
}

// probe signs a message with one key and has it verified.
func (c *dkimCheckCmd) probe(resolver *dns.Resolver, domain string, k *keys.Key) error {
	signed, err := signMessage(domain, []*keys.Key{k}, fmt.Appendf(nil, "From: probe@%s\r\nTo: probe@%s\r\nSubject: milterd dkim check\r\n"+
		"Date: %s\r\nMessage-ID: <probe@%s>\r\n\r\nNobody sends this message.\r\n", domain, domain, time.Now().Format(time.RFC1123Z), domain))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	results, err := msgauth.VerifyWithOptions(bytes.NewReader(signed), &msgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return resolver.LookupTXT(ctx, name) },
	})
	switch {
	case err != nil:
		return err
	case len(results) != 1:
		return fmt.Errorf("go-msgauth sees %d signatures, expected one", len(results))
	case results[0].Domain != domain:
		return fmt.Errorf("go-msgauth sees a signature of %s", results[0].Domain)
	}
	return results[0].Err
}

type dkimSignCmd struct {
	keyFlags
	Domain string `help:"Sign for this domain, whatever stands in From." placeholder:"DOMAIN"`
	File   string `arg:"" name:"file" help:"Message file; - is standard input."`
}

// Run prints the message with signatures on top, in the line ends that it came in.
// It does not ask whether the message is ours to sign; the daemon does.
func (c *dkimSignCmd) Run(g *globals) error {
	cfg, err := c.config(g)
	if err != nil {
		return err
	}
	for m := range mailbox.Messages([]string{c.File}, g.stdin, func(string, string) {}) {
		if m.Err != nil {
			return &exitError{exitData, m.Err}
		}
		return c.sign(g, cfg, m.Raw)
	}
	return &exitError{exitData, fmt.Errorf("%s: no message in it", c.File)}
}

func (c *dkimSignCmd) sign(g *globals, cfg *config.Config, raw []byte) error {
	domain := c.Domain
	if domain == "" {
		var err error
		if domain, err = authorDomain(raw); err != nil {
			return err
		}
	}
	t, err := c.target(g, cfg, domain)
	if err != nil {
		return err
	}
	list, err := listKeys(t)
	if err != nil {
		return err
	}
	var signing []*keys.Key
	for i := range list {
		if list[i].signs() {
			signing = append(signing, &list[i].Key)
		}
	}
	if len(signing) == 0 {
		return &exitError{exitFindings, fmt.Errorf("no key of %s signs yet (milterd dkim status %s)", t.Domain, t.Domain)}
	}
	signed, err := signMessage(t.Domain, signing, raw)
	if err != nil {
		return keysFailed(err)
	}
	_, err = g.stdout.Write(signed)
	return err
}

// authorDomain is the domain of the From field.
func authorDomain(raw []byte) (string, error) {
	var from []string
	sender := false
	for _, f := range milter.ParseMessage(raw).Fields {
		if strings.EqualFold(f.Name, "From") {
			from = append(from, f.Value)
		}
		sender = sender || strings.EqualFold(f.Name, "Sender")
	}
	author := message.ParseAuthor(from, sender, 0)
	if author.Domain.IsZero() {
		return "", &exitError{exitData, errors.New("no author with a domain in From; --domain says what to sign for")}
	}
	return author.Domain.String(), nil
}

// signMessage returns the message with a signature by each of the keys on top,
// the first key's uppermost.
func signMessage(domain string, list []*keys.Key, raw []byte) ([]byte, error) {
	d, err := message.ParseDomain(domain)
	if err != nil {
		return nil, err
	}
	signer := dkim.Signer{Body: dkim.Simple, Expire: 7 * 24 * time.Hour}
	signer.Names, signer.Oversign = dkim.StandardNames()
	for _, k := range list {
		private, err := keys.Load(k.Path)
		if err != nil {
			return nil, err
		}
		signer.Keys = append(signer.Keys, dkim.SigningKey{Domain: d, Selector: k.Selector, Private: private})
	}
	if err := signer.Check(); err != nil {
		return nil, err
	}
	m := milter.ParseMessage(raw)
	fields := make([]message.Field, len(m.Fields))
	for i, f := range m.Fields {
		fields[i] = message.Field{Name: f.Name, Value: f.Value}
	}
	signing, err := signer.Start(fields)
	if err != nil {
		return nil, err
	}
	signing.Write(m.Body)
	signatures, err := signing.Finish()
	if err != nil {
		return nil, err
	}
	top := make([]milter.Field, 0, len(signatures)+len(m.Fields))
	for _, f := range signatures {
		top = append(top, milter.Field{Name: f.Name, Value: f.Value})
	}
	m.Fields = append(top, m.Fields...)
	return m.Bytes(), nil
}
