package dmarc

import (
	"context"

	"milterd/message"
)

// Result is what DMARC says about a message.
type Result struct {
	Status Status
	// Reason says in fixed words why Status is none, temperror or permerror; Err
	// adds the detail for a log.
	Reason string
	Err    error

	// Policy is the policy that was evaluated. What it asks for is in its
	// Disposition, and concerns messages with Status fail; with temperror it says
	// what is at stake.
	Policy *Policy

	// AlignedSPF and AlignedDKIM are the authenticated identifiers that are aligned
	// with the Author Domain, zero for none. With temperror they may be there too.
	AlignedSPF, AlignedDKIM message.Domain

	// Queries is how many questions Discover and Evaluate have put to the Resolver.
	Queries int

	// Other is the result by PSL where method Both was asked for.
	Other *Result
}

// Aligned reports whether an authenticated identifier is aligned.
func (r *Result) Aligned() bool { return !r.AlignedSPF.IsZero() || !r.AlignedDKIM.IsZero() }

// Differs reports whether the two methods of Both would have the message treated
// in two ways.
func (r *Result) Differs() bool {
	o := r.Other
	return o != nil && (r.Status != o.Status ||
		r.Status == Fail && r.Policy.Disposition != o.Policy.Disposition)
}

// Evaluate says whether the message with these identifiers passes (RFC 9989,
// sections 4.10.2 and 5.3.4 to 5.3.6). It asks the DNS only about identifiers that
// could be aligned: other people's domains cost nothing. It may be called again
// with other identifiers, but not by two goroutines at once.
func (p *Policy) Evaluate(ctx context.Context, ids Identifiers) Result {
	res := p.evaluate(ctx, ids)
	if p.Other != nil {
		other := p.Other.evaluate(ctx, ids)
		res.Other = &other
		res.Queries = p.lookups.queries
	}
	return res
}

func (p *Policy) evaluate(ctx context.Context, ids Identifiers) Result {
	res := Result{Status: p.Status, Reason: p.Reason, Err: p.Err, Policy: p}
	e := evaluation{ctx: ctx, p: p}
	if p.Status != None && p.Status != PermError {
		res.AlignedSPF = e.first([]Identifier{ids.SPF}, p.Record.SPF)
		res.AlignedDKIM = e.first(ids.DKIM, p.Record.DKIM)
	}
	switch {
	case p.Status != "": // nothing to decide, or nothing that could be
	case res.Aligned():
		// RFC 9989, section 5.3.5: one aligned identifier is a pass.
		res.Status = Pass
	case e.maybe(ids.SPF, p.Record.SPF), e.maybeAny(ids.DKIM, p.Record.DKIM):
		// RFC 9989, section 5.3.6: without the answers it needs the mechanism
		// neither passes nor fails.
		res.Status, res.Reason, res.Err = TempError, e.reason, e.err
	case p.exists != nil:
		res.Status, res.Reason, res.Err = TempError, reasonExistence, p.exists
	default:
		res.Status = Fail
	}
	res.Queries = p.lookups.queries
	return res
}

// evaluation looks for aligned identifiers.
type evaluation struct {
	ctx    context.Context
	p      *Policy
	reason string // why an identifier may be aligned
	err    error
}

// match is whether an identifier is aligned.
type match int

const (
	no match = iota
	unknown
	yes
)

// first returns an authenticated identifier that is aligned, the Author Domain
// itself where it is among them.
func (e *evaluation) first(ids []Identifier, mode Alignment) message.Domain {
	for _, id := range ids {
		if !id.TempError && id.Domain == e.p.Author {
			return id.Domain
		}
	}
	for _, id := range ids {
		if !id.TempError && e.match(id.Domain, mode) == yes {
			return id.Domain
		}
	}
	return message.Domain{}
}

func (e *evaluation) maybeAny(ids []Identifier, mode Alignment) bool {
	for _, id := range ids {
		if e.maybe(id, mode) {
			return true
		}
	}
	return false
}

// maybe reports whether the identifier may be aligned and authenticated for all
// that is known: first has found that it is not both.
func (e *evaluation) maybe(id Identifier, mode Alignment) bool {
	switch m := e.match(id.Domain, mode); {
	case m == unknown && !id.TempError:
		e.reason = reasonOrg
	case m != no && id.TempError:
		e.reason, e.err = reasonIdentifier, nil
	default:
		return false
	}
	return true
}

// match says whether a domain is aligned with the Author Domain.
func (e *evaluation) match(d message.Domain, mode Alignment) match {
	p := e.p
	switch {
	case d.IsZero():
		return no
	case d == p.Author:
		return yes // aligned in either mode (RFC 9989, section 4.10.2, note)
	case p.Known() && mode == Strict:
		return no
	case !d.HasSuffix(p.widest):
		// An Organizational Domain is at or above each of its domains, so d has
		// another one, whatever it is.
		return no
	case !p.Known():
		return unknown
	case p.OrganizationalErr != nil:
		e.err = p.OrganizationalErr
		return unknown
	}
	w := p.organization(e.ctx, d)
	switch {
	case w.err != nil && isOverBudget(w.err):
		return no
	case w.err != nil:
		e.err = w.err
		return unknown
	case w.org == p.Organizational:
		return yes
	}
	return no
}
