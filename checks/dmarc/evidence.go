package dmarc

import (
	"context"
	"strings"

	"milterd/dmarc"
	"milterd/message"
)

// Override is why a policy was not followed, in the words of RFC 9990 (its
// element reason/type), and for people.
type Override struct {
	Type    OverrideType
	Comment string // printable ASCII, one line
}

// OverrideType is one of the types that RFC 9990 has.
type OverrideType string

// The types. The zero OverrideType is none: the policy was followed.
const (
	LocalPolicy      OverrideType = "local_policy"
	MailingList      OverrideType = "mailing_list"
	PolicyTestMode   OverrideType = "policy_test_mode"
	TrustedForwarder OverrideType = "trusted_forwarder"
)

// indirect returns what speaks for a mailing list or forwarder between the author
// and us, so that a failure proves no forgery; the zero Override is nothing.
//
// RFC 9989, section 7.4, forbids to reject for p=reject alone and demands "other
// knowledge and analysis". This is ours. None of it makes a pass: a forger can
// bring some of it about, and gets into the junk folder with it.
func (v *verdict) indirect(ctx context.Context) Override {
	if v.m.Peer == message.Relay {
		return Override{TrustedForwarder, "through a relay of ours"}
	}
	if o := v.sealed(); o != (Override{}) {
		return o
	}
	if d := v.bodyChanged(ctx); !d.IsZero() {
		return Override{LocalPolicy, "signed by " + d.String() + ", only the body was changed"}
	}
	if d := v.list(); !d.IsZero() {
		return Override{MailingList, "a list, vouched for by " + d.String()}
	}
	return Override{}
}

// sealed returns what a chain with a trusted sealer on top is worth. RFC 8617,
// section 7.2.2: its type in a report is local_policy.
func (v *verdict) sealed() Override {
	if v.proof.arc == nil {
		return Override{}
	}
	if _, ok := v.proof.arc.TrustedSealer(); !ok {
		return Override{}
	}
	return Override{LocalPolicy, v.proof.arc.Reason()}
}

// vouched returns the trusted sealer of an ARC chain that found the author's domain
// proven when the message came to it. What it found counts as far as it would have
// here: by the alignment that the policy asks for.
func (v *verdict) vouched(ctx context.Context) (sealer message.Domain, ok bool) {
	if v.proof.arc == nil {
		return message.Domain{}, false
	}
	policy := v.out.Result.Policy
	return v.proof.arc.Vouched(policy.Author, func(mailFrom, signers []message.Domain) bool {
		var ids dmarc.Identifiers
		for _, d := range mailFrom {
			ids.SPF = dmarc.Identifier{Domain: d}
		}
		for _, d := range signers {
			ids.DKIM = append(ids.DKIM, dmarc.Identifier{Domain: d})
		}
		return policy.Evaluate(ctx, ids).Status == dmarc.Pass
	})
}

// bodyChanged returns the domain, aligned with the author's, whose signature broke
// by a change to the body only.
func (v *verdict) bodyChanged(ctx context.Context) message.Domain {
	changed := v.proof.bodyChanged()
	if len(changed) == 0 {
		return message.Domain{}
	}
	as := v.out.Result.Policy.Evaluate(ctx, dmarc.Identifiers{DKIM: changed})
	return as.AlignedDKIM
}

// list returns the domain that vouches for a message of a mailing list: one that
// SPF or DKIM authenticated, of the same organization as the list or the envelope
// sender. By the Public Suffix List, which asks nobody: this is no proof but a
// hint, and a list's own domains are seldom far apart.
func (v *verdict) list() message.Domain {
	lists, is := listDomains(v.m.Header)
	if !is {
		return message.Domain{}
	}
	lists = append(lists, envelope(v.m))
	for _, d := range v.proof.passed() {
		for _, l := range lists {
			if !l.IsZero() && dmarc.OrganizationalByList(d, nil) == dmarc.OrganizationalByList(l, nil) {
				return d
			}
		}
	}
	return message.Domain{}
}

// maxLists is how many List fields of a kind are looked at; an honest message has
// one of each.
const maxLists = 3

// listDomains returns the domains that List-Id (RFC 2919) and List-Post (RFC 2369)
// name, and whether there is such a field at all.
func listDomains(h *message.Header) (domains []message.Domain, is bool) {
	each := func(name string, domain func(text string) message.Domain) {
		n := 0
		for value := range h.All(name) {
			if n++; n > maxLists {
				return
			}
			is = true
			if d := domain(bracketed(message.Unfold(value))); !d.IsZero() {
				domains = append(domains, d)
			}
		}
	}
	each("List-Id", func(text string) message.Domain {
		d, _ := message.ParseDomain(text)
		return d
	})
	each("List-Post", func(text string) message.Domain {
		text, ok := cutMailto(text)
		if !ok {
			return message.Domain{}
		}
		a, _ := message.ParseAddress(text)
		return a.Domain
	})
	return domains, is
}

// bracketed returns what stands in the last pair of angle brackets, or all of it.
func bracketed(s string) string {
	open := strings.LastIndexByte(s, '<')
	if open < 0 {
		return s
	}
	inner, _, _ := strings.Cut(s[open+1:], ">")
	return inner
}

// cutMailto returns the address of a mailto: URI (RFC 6068) without its fields.
func cutMailto(s string) (address string, ok bool) {
	const scheme = "mailto:"
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return "", false
	}
	address, _, _ = strings.Cut(s[len(scheme):], "?")
	return address, true
}
