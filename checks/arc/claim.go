package arc

import (
	"fmt"
	"slices"
	"strings"

	"milterd/arc"
	"milterd/authres"
	"milterd/message"
)

// Outcome is the Detail of the check's result.
type Outcome struct {
	Result arc.Result
	// Claims are what trusted sealers say, newest first; none unless the newest
	// sealer is trusted, and has signed the From field.
	Claims []Claim

	undecided bool
}

// Claim is what one trusted sealer says it found when the message came in. An
// empty word means that it says nothing about the method.
type Claim struct {
	Instance int
	Sealer   message.Domain
	// SPF and DKIM are pass when any of the results is.
	SPF, DKIM string
	DMARC     string
	// From is the author's domain that DMARC is about, zero when not said.
	From message.Domain

	// The domains that pass: of MAIL FROM by SPF, of signatures by DKIM.
	mailFrom, signers []message.Domain
}

// maxSigners is how many signatures a claim may name; a message has as many that
// are looked at.
const maxSigners = 8

func newOutcome(r arc.Result, trusted func(message.Domain) bool) Outcome {
	out := Outcome{Result: r}
	top := r.Newest()
	if top == nil || !top.Message.SignsFrom {
		return out // what is said of one author must not be taken for another
	}
	for _, set := range r.Trusted(trusted) {
		out.Claims = append(out.Claims, newClaim(set))
	}
	out.undecided = r.Status == arc.TempError && trusted(top.Seal.Domain)
	return out
}

// newClaim reads what a sealer says. A set in which it cannot be read, or is said
// twice, says nothing: the sealer copied text of strangers into it, and perhaps not
// with care.
func newClaim(set *arc.Set) Claim {
	c := Claim{Instance: set.Instance, Sealer: set.Seal.Domain}
	if said, err := set.Results(); err == nil {
		c.read(&said)
	}
	return c
}

// read takes what is said into the claim.
func (c *Claim) read(said *authres.Field) {
	policies, senders, twoAuthors := 0, 0, false
	for i := range said.Methods {
		m := &said.Methods[i]
		switch m.Method {
		case "spf":
			c.SPF = better(c.SPF, m.Result)
			if text, _ := property(m, "smtp", "mailfrom"); m.Result == "pass" && text != "" {
				senders++
				if d := domainOf(text); !d.IsZero() {
					c.mailFrom = append(c.mailFrom, d)
				}
			}
		case "dkim":
			c.DKIM = better(c.DKIM, m.Result)
			if text, _ := property(m, "header", "d"); m.Result == "pass" && len(c.signers) < maxSigners {
				if d, err := message.ParseDomain(text); err == nil {
					c.signers = append(c.signers, d)
				}
			}
		case "dmarc":
			policies++
			c.DMARC = m.Result
			text, twice := property(m, "header", "from")
			c.From, _ = message.ParseDomain(text)
			twoAuthors = twoAuthors || twice
		}
	}
	if policies > 1 {
		c.DMARC, c.From = "", message.Domain{}
	}
	if policies > 1 || twoAuthors {
		c.mailFrom, c.signers = nil, nil
	}
	if senders > 1 { // a transaction has one reverse-path
		c.mailFrom = nil
	}
}

// property returns the value of a property that a method has once; one that it has
// twice says nothing.
func property(m *authres.Method, ptype, name string) (value string, twice bool) {
	n := 0
	for _, p := range m.Props {
		if p.Ptype == ptype && p.Property == name {
			value = p.Value
			n++
		}
	}
	if n > 1 {
		return "", true
	}
	return value, false
}

// domainOf returns the domain of smtp.mailfrom, which is an address or, as some
// write it, a domain; zero for anything else.
func domainOf(text string) message.Domain {
	if strings.Contains(text, "@") {
		a, _ := message.ParseAddress(text)
		return a.Domain
	}
	d, _ := message.ParseDomain(text)
	return d
}

// vouches reports whether the sealer found the author's domain proven: DMARC passed
// for it, or, where it says nothing of DMARC, SPF or DKIM passed for a domain that
// is aligned with it. A sealer that found DMARC to fail, or another author, vouches
// for nobody.
func (c *Claim) vouches(author message.Domain, aligned func(mailFrom, signers []message.Domain) bool) bool {
	switch {
	case author.IsZero() || c.DMARC == "fail" || !c.From.IsZero() && c.From != author:
		return false
	case c.DMARC == "pass" && c.From == author:
		return true
	case len(c.mailFrom) == 0 && len(c.signers) == 0:
		return false
	}
	return aligned(c.mailFrom, c.signers)
}

// better returns pass if one of the two is it, else the first.
func better(a, b string) string {
	if a == "" || b == "pass" {
		return b
	}
	return a
}

// String says it in a line.
func (c Claim) String() string {
	s := fmt.Sprintf("%s says spf=%s dkim=%s dmarc=%s", c.Sealer, or(c.SPF), or(c.DKIM), or(c.DMARC))
	if !c.From.IsZero() {
		s += " for " + c.From.String()
	}
	return s
}

func or(word string) string {
	if word == "" {
		return "unsaid"
	}
	return word
}

// ARC returns the result to a check that knows package milterd/arc but not this one.
func (o Outcome) ARC() arc.Result { return o.Result }

// TrustedSealer returns the domain that sealed last, if the chain is in order and
// the operator trusts it.
func (o Outcome) TrustedSealer() (sealer message.Domain, ok bool) {
	if len(o.Claims) == 0 {
		return message.Domain{}, false
	}
	return o.Claims[0].Sealer, true
}

// Vouched returns the trusted sealer that found the author's domain proven when the
// message came to it. Every host that has had it since is trusted as well. aligned
// says whether one of the domains that passed by SPF (for MAIL FROM) or DKIM is
// aligned with the author's; it is asked about trusted sealers only.
func (o Outcome) Vouched(author message.Domain, aligned func(mailFrom, signers []message.Domain) bool) (sealer message.Domain, ok bool) {
	for i := range o.Claims {
		if o.Claims[i].vouches(author, aligned) {
			return o.Claims[i].Sealer, true
		}
	}
	return message.Domain{}, false
}

// Undecided reports that a chain on top of which stands the name of a trusted
// sealer could not be validated because of the DNS. Later it may turn out to be in
// order, or a lie.
func (o Outcome) Undecided() bool { return o.undecided }

// maxReason bounds the text of Reason.
const maxReason = 300

// Reason says in a line, in the form of RFC 8617, section 7.2.2, what the chain is
// and who made it, newest first: for a DMARC report that must say why a policy was
// not followed.
func (o Outcome) Reason() string {
	text := "arc=" + string(o.Result.Status)
	for i := range slices.Backward(o.Result.Sets) {
		set := &o.Result.Sets[i]
		next := fmt.Sprintf(" as[%d].d=%s as[%[1]d].s=%[3]s", set.Instance, set.Seal.Domain, set.Seal.Selector)
		if len(text)+len(next) > maxReason {
			break
		}
		text += next
	}
	return message.SafeText(text, maxReason)
}
