package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"milterd/checks/signing"
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
		active := 0
		for i := range list {
			if !list[i].signs() {
				continue
			}
			active++
			switch err := c.probe(cfg, resolver, t.Domain, &list[i].Key); {
			case err == nil:
				fmt.Fprintf(g.stdout, "%s %s (%s): signed here, verified by go-msgauth from the DNS\n", t.Domain, list[i].Selector, describe(&list[i].Key))
			default:
				failed = failed || !msgauth.IsTempFail(err)
				unknown = unknown || msgauth.IsTempFail(err)
				fmt.Fprintf(g.stdout, "%s %s (%s): %s\n", t.Domain, list[i].Selector, describe(&list[i].Key), safe(err.Error()))
			}
		}
		if active == 0 {
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

// probe signs a message with one key, as the domain signs its mail, and has it
// verified.
func (c *dkimCheckCmd) probe(cfg *config.Config, resolver *dns.Resolver, domain string, k *keys.Key) error {
	signed, err := signMessage(cfg, domain, []*keys.Key{k}, fmt.Appendf(nil, "From: probe@%s\r\nTo: probe@%s\r\nSubject: milterd dkim check\r\n"+
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

// Run prints the message with signatures on top, made as the configuration says,
// in the line ends that it came in. It does not ask whether the message is ours to sign; the daemon does.
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
		author, err := authorDomain(raw)
		if err != nil {
			return err
		}
		by, _, err := signing.Style(cfg.Signing, author)
		if err != nil {
			return g.configFailed(err)
		}
		domain = by.String()
	}
	t, err := c.target(g, cfg, domain)
	if err != nil {
		return err
	}
	list, err := listKeys(t)
	if err != nil {
		return err
	}
	var with []*keys.Key
	for i := range list {
		if list[i].signs() {
			with = append(with, &list[i].Key)
		}
	}
	if len(with) == 0 {
		return &exitError{exitFindings, fmt.Errorf("no key of %s signs yet (milterd dkim status %s)", t.Domain, t.Domain)}
	}
	signed, err := signMessage(cfg, t.Domain, with, raw)
	if err != nil {
		return keysFailed(err)
	}
	_, err = g.stdout.Write(signed)
	return err
}

// authorDomain is the domain of the From field.
func authorDomain(raw []byte) (message.Domain, error) {
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
		return message.Domain{}, &exitError{exitData, errors.New("no author with a domain in From; --domain says what to sign for")}
	}
	return author.Domain, nil
}

// signMessage returns the message with a signature by each of the keys on top,
// the first key's uppermost, as the configuration has the domain sign.
func signMessage(cfg *config.Config, domain string, list []*keys.Key, raw []byte) ([]byte, error) {
	d, err := message.ParseDomain(domain)
	if err != nil {
		return nil, err
	}
	_, signer, err := signing.Style(cfg.Signing, d)
	if err != nil {
		return nil, err
	}
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
	hashing, err := signer.Start(fields)
	if err != nil {
		return nil, err
	}
	hashing.Write(m.Body)
	signatures, err := hashing.Finish()
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
