package dmarc

import (
	"context"

	"milterd/message"
)

// The reasons of results other than pass and fail, for people.
const (
	reasonNoAuthor   = "no Author Domain"
	reasonNoRecord   = "no DMARC record"
	reasonPolicy     = "DNS did not answer for the policy"
	reasonExistence  = "DNS did not tell whether the Author Domain exists"
	reasonIdentifier = "SPF or DKIM of an aligned domain met a DNS error"
	reasonOrg        = "DNS did not answer for an Organizational Domain"
)

// Policy is what Discover found out about an Author Domain. It is to be read, not
// changed.
type Policy struct {
	// Author is the Author Domain; Method is TreeWalk or PSL.
	Author message.Domain
	Method Method

	// Status is None where no policy applies, PermError where the one that applies
	// cannot be used, TempError where the DNS did not tell which one applies. It
	// is empty where there is a policy, and the message decides.
	Status Status
	// Reason says why Status is set, in fixed words; Err adds the detail for a log.
	Reason string
	Err    error

	// Domain is the DMARC Policy Domain, where Record was found: the Author
	// Domain, or its Organizational or Public Suffix Domain. Text is the record as
	// published. With TempError all of it, as far as it is there, is what would
	// apply if the names that did not answer had no record.
	Domain message.Domain
	Text   string
	Record Record
	// Tag is the tag that Published was taken from: p, sp or np.
	Tag       string
	Published Disposition
	// Disposition is what the Domain Owner wants done with mail that fails:
	// Published, or one level less where Record.Testing asks for it (t=y).
	Disposition Disposition

	// Organizational is the Organizational Domain of the Author Domain and Rule
	// what it was determined by. With OrganizationalErr it is a guess.
	Organizational    message.Domain
	Rule              Rule
	OrganizationalErr error

	// Steps are the questions and answers that led here, longest name first.
	Steps []*Step

	// Other is the policy by PSL where method Both was asked for.
	Other *Policy

	lookups  *lookups
	suffixes SuffixList
	widest   message.Domain // the shortest name that Organizational could be
	exists   error          // why it is unknown whether np applies
}

// Known reports whether it is certain which policy applies, or that none does.
func (p *Policy) Known() bool { return p.Status != TempError }

// Discover finds the policy that applies to an Author Domain (RFC 9989, section
// 4.10.1). It asks r at most MaxPolicyQueries questions, those of the walk side by
// side, and waits for them no longer than ctx. A zero author, which is what a null
// or unreadable From and an address literal have, is Status None.
//
// The Policy keeps r for Evaluate.
func Discover(ctx context.Context, r Resolver, author message.Domain, o Options) *Policy {
	l := &lookups{resolver: r}
	if o.Method == PSL {
		return l.discover(ctx, author, PSL, o.Suffixes)
	}
	p := l.discover(ctx, author, TreeWalk, o.Suffixes)
	if o.Method == Both {
		p.Other = l.discover(ctx, author, PSL, o.Suffixes)
	}
	return p
}

func (l *lookups) discover(ctx context.Context, author message.Domain, m Method, list SuffixList) *Policy {
	p := &Policy{Author: author, Method: m, Disposition: DispositionNone, Published: DispositionNone, lookups: l, suffixes: list}
	if author.IsZero() {
		p.Status, p.Reason = None, reasonNoAuthor
		return p
	}
	w := p.organization(ctx, author)
	if m == PSL {
		w.steps = l.ask(ctx, compact(author, w.org))
	}
	p.Steps = w.steps
	p.Organizational, p.Rule, p.OrganizationalErr, p.widest = w.org, w.rule, w.err, w.widest

	// RFC 9989, section 4.10.1: the Author Domain's own record, else that of its
	// Organizational Domain, else that of its Public Suffix Domain.
	own := w.steps[0]
	if own.Found() {
		p.apply(ctx, own)
		return p
	}
	if err := p.unanswered(w); err != nil {
		p.Status, p.Reason, p.Err = TempError, reasonPolicy, err
	}
	switch org := w.at(w.org); {
	case org != nil && org.Found():
		p.apply(ctx, org)
	case w.psd != nil:
		p.apply(ctx, w.psd)
	case p.Known():
		p.Status, p.Reason = None, reasonNoRecord
	}
	return p
}

// organization determines the Organizational Domain of d by the policy's method.
func (p *Policy) organization(ctx context.Context, d message.Domain) walk {
	if p.Method == TreeWalk {
		return p.lookups.walk(ctx, d)
	}
	w := walk{start: d, org: OrganizationalByList(d, p.suffixes), rule: RuleSuffix}
	if isPublicSuffix(d, p.suffixes) {
		w.rule = RuleAtSuffix
	}
	w.widest = w.org
	return w
}

// unanswered returns why it is unknown which record applies to a domain without
// one of its own, or without an answer.
func (p *Policy) unanswered(w walk) error {
	if p.Method == TreeWalk {
		return w.err
	}
	for _, s := range w.steps {
		if s.Err != nil {
			return s.Err
		}
	}
	return nil
}

// compact returns a and b, once where they are equal.
func compact(a, b message.Domain) []message.Domain {
	if a == b {
		return []message.Domain{a}
	}
	return []message.Domain{a, b}
}

// apply takes the policy from the record that applies.
func (p *Policy) apply(ctx context.Context, s *Step) {
	p.Domain, p.Text, p.Record = s.Domain, s.Text, s.Record
	if s.Unusable != nil {
		if p.Known() {
			p.Status, p.Reason, p.Err = PermError, s.Unusable.Error(), s.Unusable
		}
		return
	}
	// RFC 9989, section 4.10.1: for the domain of the record the policy is p, for
	// its subdomains sp if they exist and np if they do not.
	p.Tag, p.Published = "p", s.Record.Policy
	if s.Domain != p.Author {
		p.subdomain(ctx)
	}
	// RFC 9989, section 4.7: with t=y one level below.
	p.Disposition = p.Published
	if s.Record.Testing {
		p.Disposition = p.Published.lower()
	}
}

// subdomain takes the policy for an Author Domain below that of the record.
func (p *Policy) subdomain(ctx context.Context) {
	r := &p.Record
	// RFC 9989, section 4.7: without sp it is p, without np it is sp.
	if r.Subdomains != "" {
		p.Tag, p.Published = "sp", r.Subdomains
	}
	if r.NonExistent == "" || r.NonExistent == p.Published {
		return // whether the domain exists changes nothing
	}
	exists, err := p.lookups.exists(ctx, p.Author)
	p.exists = err
	if err == nil && !exists || err != nil && stricter(r.NonExistent, p.Published) != p.Published {
		p.Tag, p.Published = "np", r.NonExistent
	}
}
