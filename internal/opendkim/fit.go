package opendkim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"milterd/message"
)

// maxComparisons bounds the work on patterns that cannot be looked up.
const maxComparisons = 10_000_000

// fit makes the domains that sign as the tables do, and gives the tables' lines
// their fates.
func (im *importer) fit(s *signers, exempt *exemptions) {
	sample, domains := s.sample()
	if len(s.rest)*len(sample) > maxComparisons {
		for _, l := range s.lines {
			im.enter(l.entry.Pos, notCarried, s.what(l), "%d patterns for %d senders are more than an import compares; expected patterns of the form *@example.org", len(s.rest), len(sample))
		}
		if s.keys != nil {
			for _, k := range s.keys.all {
				k.lost = true
			}
			s.keys.enter(im)
		}
		im.enterExempt(exempt, nil)
		return
	}
	made := s.make(domains, exempt)
	for _, who := range sample {
		author, err := message.ParseDomain(who.domain)
		if err != nil {
			s.judge(who, nil, exempt)
			continue
		}
		s.judge(who, signaturesOf(made, author), exempt)
	}
	s.enter(im)
	im.enterExempt(exempt, made)
	for _, name := range slices.SortedFunc(maps.Keys(made), func(a, b message.Domain) int { return strings.Compare(a.String(), b.String()) }) {
		im.config.Domains = append(im.config.Domains, *made[name])
	}
	if len(made) > 0 {
		im.note("OpenDKIM signs for whoever logs in; milterd for a login a@d only what is From d, and for a bare login, our networks and sendmail(1) everything (signing.sender_binding, signing.senders)")
		im.checkKeys()
	}
}

// make makes a signing domain of every domain whose own mail OpenDKIM signs with
// that domain, whoever in it writes. It signs for subdomains where OpenDKIM signs
// for every one of them in the same way.
func (s *signers) make(domains []string, exempt *exemptions) map[message.Domain]*Domain {
	made := map[message.Domain]*Domain{}
	for _, name := range domains {
		d, err := signingDomain(name)
		if err != nil || d.String() != name || exempt.names[name] {
			continue
		}
		var own, below [2][]match
		for i, n := range nobodies {
			own[i], below[i] = s.usable(n.user, name, name), s.usable(n.user, n.label+"."+name, name)
		}
		signs := signaturesIn(own[0])
		if len(signs) == 0 || !slices.Equal(signs, signaturesIn(own[1])) {
			continue
		}
		to := &Domain{Name: d, Subdomains: slices.Equal(signs, signaturesIn(below[0])) && slices.Equal(signs, signaturesIn(below[1]))}
		for _, m := range own[0] {
			to.Keys = append(to.Keys, Key{m.sig.Selector, m.path, m.key.Pos})
		}
		made[d] = to
	}
	return made
}

// usable returns what signs a sender's mail with a domain and can be carried, each
// selector once.
func (s *signers) usable(user, author, domain string) []match {
	var all []match
	for _, m := range inForce(s.matches(user, author)) {
		if m.sig.Domain == domain && m.key.why == "" && !slices.ContainsFunc(all, func(o match) bool { return o.sig == m.sig }) {
			all = append(all, m)
		}
	}
	return all
}

// signaturesIn are the signatures of matches, sorted.
func signaturesIn(all []match) []Signature {
	list := make([]Signature, len(all))
	for i, m := range all {
		list[i] = m.sig
	}
	slices.SortFunc(list, func(a, b Signature) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Selector, b.Selector))
	})
	return slices.Compact(list)
}

// judge compares the signatures of one sender, and keeps in the lines what it
// finds.
func (s *signers) judge(who sender, got []Signature, exempt *exemptions) {
	all := s.matches(who.user, who.domain)
	if exempt.names[who.domain] {
		for _, m := range all {
			m.matched, m.exempt = true, true
		}
		return
	}
	force := inForce(all)
	for _, m := range all {
		m.matched = true
		switch {
		case m.why != "":
			m.deferred = m.why
		case len(force) == 0:
			m.deferred = "another line for " + who.String() + " names a key that cannot be used"
		case !slices.ContainsFunc(force, func(f match) bool { return f.line == m.line }):
			m.drowned = true
			if slices.Contains(got, m.sig) && !slices.ContainsFunc(force, func(f match) bool { return f.sig == m.sig }) {
				m.bad = cmp.Or(m.bad, fmt.Sprintf("mail of %s gets its signature from milterd; OpenDKIM 2.11 loses it, as the first and the last of three lines that fit count only", who))
			}
		case slices.Contains(got, m.sig):
			m.good++
			m.key.used = true
		default:
			m.bad = cmp.Or(m.bad, s.reason(who, m, got))
			m.key.lost = true
		}
	}
}

// reason says why a signature of OpenDKIM's is not one of milterd's.
func (s *signers) reason(who sender, m match, got []Signature) string {
	if m.key.why != "" {
		return "the key " + m.key.entry.key + ": " + m.key.why
	}
	author, d := who.domain, m.sig.Domain
	above := strings.HasSuffix(author, "."+d)
	below, everyBelow := who.below()
	switch {
	case who.anywhere() && d == author:
		return "it signs for any domain; milterd signs for domains that are named in signing.domains"
	case author != d && !above:
		instead := "is not signed"
		if len(got) > 0 {
			instead = "is signed with d=" + got[0].Domain + " s=" + selectors(got)
		}
		return fmt.Sprintf("OpenDKIM signs mail of %s with d=%s; milterd signs with the author's domain or one above it, and DMARC takes no other: the mail %s", who, d, instead)
	case !who.anybody() && len(got) > 0:
		return fmt.Sprintf("a domain's keys are those of all its addresses: mail of %s is signed with s=%s instead of s=%s", who, selectors(got), m.sig.Selector)
	case !who.anybody():
		return fmt.Sprintf("a domain's keys are those of all its addresses, and not all of them are signed for: mail of %s is not signed", who)
	case everyBelow && d == author:
		return fmt.Sprintf("it signs with every domain below %s itself; milterd signs with domains that are named in signing.domains", below)
	case everyBelow:
		return fmt.Sprintf("mail of %s has d=%s, but mail of %s itself has not the same signatures; subdomains: true takes both alike", who, d, d)
	case above:
		return fmt.Sprintf("mail of %s has d=%s, but not that of every domain below it; subdomains: true takes all", author, d)
	}
	return fmt.Sprintf("mail of %s is not signed alike", who)
}

func selectors(all []Signature) string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Selector
	}
	return list(names)
}

func (s *signers) what(l *line) string {
	if s.single != nil {
		return "Domain " + l.entry.key
	}
	return "SigningTable " + l.entry.key + " " + l.keyName
}

// enter gives every line its fate, and every key.
func (s *signers) enter(im *importer) {
	for _, l := range s.lines {
		f, why := s.fate(l)
		im.enter(l.entry.Pos, f, s.what(l), "%s", why)
	}
	if s.keys != nil {
		s.keys.enter(im)
	}
}

func (s *signers) fate(l *line) (fate, string) {
	switch {
	case l.good > 0 && l.bad != "":
		return notCarried, "in part only: " + l.bad
	case l.good > 0:
		return carried, ""
	case l.bad != "":
		return notCarried, l.bad
	case l.drowned:
		return notCarried, "OpenDKIM 2.11 loses its signature: of three lines or more that fit a sender, only the first and the last sign. If you want it, add the key to signing.domains"
	case l.deferred != "":
		return notCarried, l.deferred + ": OpenDKIM defers the mail"
	case l.exempt:
		return notNeeded, "the domain is in ExemptDomains"
	case l.matched:
		return notCarried, "it signs nothing"
	case len(s.sendersOf(l)) > 0:
		return notNeeded, "no sender gets to it: lines that OpenDKIM tries first fit all that it fits"
	case s.refile:
		return notCarried, "no address fits it: a pattern is compared with the whole address, as in *@example.org"
	case strings.Contains(l.entry.key, "*"):
		return notCarried, "no address fits it: * is a pattern in a refile: only; here the domain alone is written, or .example.org for what is below it"
	}
	return notCarried, "no address fits it"
}
