package signing

import (
	"cmp"

	"milterd/dkim"
	"milterd/internal/strictyaml"
	"milterd/message"
)

// Style returns the domain that signs for an author's domain by the section
// signing, and how it does that: fields, canonicalization, time. The signer has no
// keys yet. An author's domain that the section says nothing about signs for
// itself, like one that leaves everything out.
//
// It is for commands that try keys. Whether mail is to be signed at all it does not
// ask, and of the section it reads only what it needs, so that a key which is not
// there keeps nobody from trying another.
func Style(section strictyaml.Section, author message.Domain) (message.Domain, *dkim.Signer, error) {
	cfg, node := defaults(), section.Node()
	var errs strictyaml.Errors
	errs.Add(node.Key("headers").Decode(&cfg.Headers))
	errs.Add(node.Key("canonicalization").Decode(&cfg.Canon))
	errs.Add(node.Key("expire").Decode(&cfg.Expire))
	errs.Add(node.Key("domains").Decode(&cfg.Domains))
	if err := errs.Err(); err != nil {
		return message.Domain{}, nil, err
	}
	all, err := cfg.domains(nil)
	if err != nil {
		return message.Domain{}, nil, err
	}
	d := (&check{domains: all}).ours(author)
	if d == nil {
		d = cfg.domain(author, domainConfig{})
	}
	return d.name, d.signer(nil, nil), nil
}

// domain is a signing domain without its keys. What it leaves out is as for all.
func (c *config) domain(name message.Domain, d domainConfig) *domain {
	s := &domain{name: name, subdomains: d.Subdomains, directory: string(d.Directory)}
	s.names, s.oversign = cmp.Or(d.Headers, c.Headers).names()
	s.header, s.body = cmp.Or(d.Canon, c.Canon).split()
	s.expire = cmp.Or(d.Expire, c.Expire).duration()
	return s
}
