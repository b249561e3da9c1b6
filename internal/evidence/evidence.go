// Package evidence reads for the checks that come after SPF, DKIM and DMARC what
// those have found out: the results themselves, the domains that are proven, and
// whether the author's domain is one of them.
//
// It takes results, never text, so that nothing a stranger writes into a message can
// pass for a proof. A check that did not run, that failed or whose result is another
// one proves nothing.
//
// A domain answers for those below it and never for the one above: who signs for
// example.org speaks for mail.example.org too, while whoever has mail.example.org, a
// customer of a provider for one, says nothing about example.org. DMARC alone may see
// it otherwise: there the owner of the domain has said so (RFC 9989, section 4.4).
package evidence

import (
	"iter"

	"milterd/checks"
	"milterd/dkim"
	"milterd/dmarc"
	"milterd/message"
	"milterd/spf"
)

// What the checks tell, in the types of their protocols.
type (
	spfDetail interface {
		SPF() (mailFrom, helo spf.Result)
	}
	dkimDetail  interface{ DKIM() []dkim.Result }
	dmarcDetail interface{ DMARC() dmarc.Result }
)

// SPF returns what SPF says of the MAIL FROM identity; ok is false where SPF was not
// asked or could not do its job. RFC 9989, section 4.4.2: MAIL FROM alone counts.
func SPF(prior checks.Prior) (mailFrom spf.Result, ok bool) {
	d, ok := checks.Detail[spfDetail](prior, "spf")
	if !ok {
		return spf.Result{}, false
	}
	mailFrom, _ = d.SPF()
	return mailFrom, true
}

// DKIM returns the results of all signatures, whatever they are; ok is false where
// nobody looked at them or could not.
func DKIM(prior checks.Prior) (signatures []dkim.Result, ok bool) {
	d, ok := checks.Detail[dkimDetail](prior, "dkim")
	if !ok {
		return nil, false
	}
	return d.DKIM(), true
}

// MailFrom returns the domain of the reverse-path, and ok where SPF proves it.
func MailFrom(prior checks.Prior) (domain message.Domain, ok bool) {
	mailFrom, ok := SPF(prior)
	if !ok || mailFrom.Status != spf.Pass {
		return message.Domain{}, false
	}
	domain, err := message.ParseDomain(mailFrom.Domain)
	return domain, err == nil
}

// Signers goes through the domains whose signatures pass, in the order of the
// signatures; one that signed twice comes twice.
func Signers(prior checks.Prior) iter.Seq[message.Domain] {
	return func(yield func(message.Domain) bool) {
		signatures, _ := DKIM(prior)
		for i := range signatures {
			if r := &signatures[i]; r.Status == dkim.Pass && !yield(r.Domain) {
				return
			}
		}
	}
}

// Proves reports whether the author's domain answers for the message: by DMARC, or
// where nobody publishes a policy, by a signature or an SPF pass of that domain or of
// one above it. For an author without a domain (none, or several) nobody answers,
// whatever passed.
func Proves(author message.Domain, prior checks.Prior) bool {
	if author.IsZero() {
		return false
	}
	if d, ok := checks.Detail[dmarcDetail](prior, "dmarc"); ok && d.DMARC().Status == dmarc.Pass {
		return true
	}
	for signer := range Signers(prior) {
		if author.HasSuffix(signer) {
			return true
		}
	}
	domain, ok := MailFrom(prior)
	return ok && author.HasSuffix(domain)
}
