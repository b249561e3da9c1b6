package arc

import (
	"fmt"

	"milterd/arc"
	"milterd/message"
)

// Outcome is the Detail of the check's result.
type Outcome struct {
	Result arc.Result
	// Claims are what trusted sealers say, newest first; none unless the newest
	// sealer is trusted.
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
}

func newOutcome(r arc.Result, trusted func(message.Domain) bool) Outcome {
	out := Outcome{Result: r}
	for _, set := range r.Trusted(trusted) {
		out.Claims = append(out.Claims, newClaim(set))
	}
	top := r.Newest()
	out.undecided = r.Status == arc.TempError && top != nil && trusted(top.Seal.Domain)
	return out
}

// newClaim reads what a sealer says. A set in which it cannot be read, or is said
// twice, says nothing: the sealer copied text of strangers into it, and perhaps not
// with care.
func newClaim(set *arc.Set) Claim {
	c := Claim{Instance: set.Instance, Sealer: set.Seal.Domain}
	said, err := set.Results()
	if err != nil {
		return c
	}
	policies := 0
	for _, m := range said.Methods {
		switch m.Method {
		case "spf":
			c.SPF = better(c.SPF, m.Result)
		case "dkim":
			c.DKIM = better(c.DKIM, m.Result)
		case "dmarc":
			policies++
			c.DMARC = m.Result
			authors := 0
			for _, p := range m.Props {
				if p.Ptype == "header" && p.Property == "from" {
					authors++
					c.From, _ = message.ParseDomain(p.Value)
				}
			}
			if authors > 1 {
				c.From = message.Domain{}
			}
		}
	}
	if policies > 1 {
		c.DMARC, c.From = "", message.Domain{}
	}
	return c
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

// Vouched returns the trusted sealer that found DMARC to pass for this author's
// domain when the message came to it. Every host that has had it since is trusted
// as well.
func (o Outcome) Vouched(author message.Domain) (sealer message.Domain, ok bool) {
	for _, c := range o.Claims {
		if c.DMARC == "pass" && !author.IsZero() && c.From == author {
			return c.Sealer, true
		}
	}
	return message.Domain{}, false
}

// Undecided reports that a chain on top of which stands the name of a trusted
// sealer could not be validated because of the DNS. Later it may turn out to be in
// order, or a lie.
func (o Outcome) Undecided() bool { return o.undecided }
