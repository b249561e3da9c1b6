package opendkim

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A nobody is made of names that no table has: somebody, the label of a domain
// below another, a domain that is mentioned nowhere.
type nobody struct{ user, label, domain string }

// nobodies have no character in common. So a pattern that fits both alike fits
// because of its asterisks only, and everybody else as well.
var nobodies = [2]nobody{{"zq0vhk0", "zq0vhk0", "zq0vhk0.vhk"}, {"x7wdmf7", "x7wdmf7", "x7wdmf7.dmf"}}

// A sender is an author's address, in lower case.
type sender struct{ user, domain string }

// anybody reports whether the sender stands for every user of its domain.
func (s sender) anybody() bool { return s.user == nobodies[0].user || s.user == nobodies[1].user }

// anywhere reports whether the domain stands for every one that is not mentioned.
func (s sender) anywhere() bool {
	return s.domain == nobodies[0].domain || s.domain == nobodies[1].domain
}

// below returns the domain that the sender's, as every other below it, is a part of.
func (s sender) below() (string, bool) {
	for _, n := range nobodies {
		if rest, ok := strings.CutPrefix(s.domain, n.label+"."); ok && !s.anywhere() {
			return rest, true
		}
	}
	return "", false
}

// ending returns what the sender's domain, as every other that is named so, ends
// in, though it is not below that.
func (s sender) ending() (string, bool) {
	if _, ok := s.below(); ok || s.anywhere() {
		return "", false
	}
	for _, n := range nobodies {
		if rest, ok := strings.CutPrefix(s.domain, n.label); ok {
			return rest, true
		}
	}
	return "", false
}

// String describes a sender that may be made up.
func (s sender) String() string {
	domain, described := s.domain, true
	if rest, ok := s.below(); ok {
		domain = "a domain below " + rest
	} else if rest, ok := s.ending(); ok {
		domain = "a domain that ends in " + rest
	} else if s.anywhere() {
		domain = "any other domain"
	} else {
		described = false
	}
	if s.anybody() {
		return domain
	}
	user := s.user
	for _, n := range nobodies {
		user = strings.ReplaceAll(user, n.user, "*")
	}
	if described {
		return user + "@ in " + domain
	}
	return user + "@" + domain
}

// sendersOf makes up senders that a line is meant for. None means that no address
// can fit it.
func (s *signers) sendersOf(l *line) []sender {
	var all []sender
	for _, n := range nobodies {
		switch {
		case s.single != nil:
			all = append(all, s.sendersOfDomain(l.entry.key, n)...)
		case s.refile:
			all = append(all, sendersOfPattern(l.entry.key, n)...)
		default:
			all = append(all, sendersOfKey(l.entry.key, n)...)
		}
	}
	return all
}

// sendersOfKey makes up a sender for a key of a flat table, which knows no
// patterns.
func sendersOfKey(key string, n nobody) []sender {
	user, domain, at := cutAt(key)
	if domain == "*" {
		domain = n.domain
	} else if strings.HasPrefix(domain, ".") {
		domain = n.label + domain
	}
	if !at {
		user = n.user
	}
	if user == "" || domain == "" || strings.Contains(user+domain, "*") {
		return nil
	}
	return []sender{{user, domain}}
}

// cutAt parts an address, or the key of a table, at its last @; without one it is
// all domain.
func cutAt(s string) (user, domain string, ok bool) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return "", s, false
	}
	return s[:at], s[at+1:], true
}

// sendersOfPattern puts names for the asterisks of a pattern, in every way that
// makes a difference: a user, a domain below, part of a longer name.
func sendersOfPattern(pattern string, n nobody) []sender {
	var all []sender
	add := func(user, domain string) {
		if user != "" && domain != "" && !strings.Contains(user+domain, "*") && glob(pattern, user+"@"+domain) {
			all = append(all, sender{user, domain})
		}
	}
	user, domain, at := cutAt(pattern)
	if !at { // one of the asterisks is the @
		before, rest, ok := strings.Cut(pattern, "*")
		if !ok {
			return nil
		}
		user, domain = before+n.user, rest
		switch {
		case rest == "":
			domain = n.domain
		case rest[0] == '.':
			domain = n.label + rest
		default: // *example.org
			add(strings.ReplaceAll(user, "*", n.user), strings.ReplaceAll(rest, "*", n.label))
			add(strings.ReplaceAll(user, "*", n.user), n.label+"."+strings.ReplaceAll(rest, "*", n.label))
			domain = n.label + rest
		}
	}
	if domain == "*" {
		domain = n.domain
	}
	add(strings.ReplaceAll(user, "*", n.user), strings.ReplaceAll(domain, "*", n.label))
	return all
}

// sendersOfDomain makes up authors for an entry of Domain.
func (s *signers) sendersOfDomain(entry string, n nobody) []sender {
	domain := entry
	if s.refile {
		domain = strings.ReplaceAll(entry, "*", n.label)
		if entry == "*" {
			domain = n.domain
		}
	}
	if strings.Contains(domain, "*") {
		return nil
	}
	all := []sender{{n.user, domain}}
	if s.subdomains {
		all = append(all, sender{n.user, n.label + "." + domain})
	}
	return all
}

// sample is every sender that is looked at: those that the lines are meant for,
// and for every domain that is mentioned anywhere somebody in it and somebody
// below it.
func (s *signers) sample() (all []sender, domains []string) {
	named := map[string]bool{}
	name := func(domain string) {
		madeUp := strings.Contains(domain, nobodies[0].label) || strings.Contains(domain, nobodies[1].label)
		if _, err := signingDomain(domain); err == nil && !madeUp {
			named[domain] = true
		}
	}
	wanted := map[sender]bool{}
	for _, n := range nobodies {
		wanted[sender{n.user, n.domain}] = true
	}
	for _, l := range s.lines {
		for _, w := range s.sendersOf(l) {
			wanted[w] = true
			if above, ok := w.below(); ok {
				name(above)
			} else {
				name(w.domain)
			}
		}
		if l.keyName == "%" {
			for _, n := range s.keys.names() {
				name(n)
			}
		}
	}
	if s.keys != nil {
		for _, k := range s.keys.all {
			name(k.domain)
			for _, n := range k.domains() {
				name(n)
			}
		}
	}
	domains = slices.Sorted(maps.Keys(named))
	for _, d := range domains {
		for _, n := range nobodies {
			wanted[sender{n.user, d}] = true
			wanted[sender{n.user, n.label + "." + d}] = true
		}
	}
	all = slices.Collect(maps.Keys(wanted))
	slices.SortFunc(all, func(a, b sender) int {
		return cmp.Or(strings.Compare(a.domain, b.domain), strings.Compare(a.user, b.user))
	})
	return all, domains
}
