package opendkim

import (
	"slices"
	"strings"
)

// A Signature is what a receiver sees of who signed.
type Signature struct {
	Domain   string // d=
	Selector string // s=
}

// A line is an entry of the SigningTable, or of Domain when one key signs for all.
type line struct {
	entry
	keyName string
	key     *key // nil where the name depends on the author

	// What the senders of the sample showed.
	matched  bool   // it fits one
	good     int    // how many keep its signature
	bad      string // why one does not
	deferred string // why OpenDKIM defers the mail of one
	drowned  bool   // OpenDKIM loses its signature, as it does between the first and the last
	exempt   bool   // one is in ExemptDomains
}

// A match is a line that fits a sender, and what it signs with.
type match struct {
	*line
	sig  Signature
	key  *key // nil: none of that name
	path string
	why  string // why OpenDKIM cannot sign, and defers the mail
}

// signers is who signs what, as OpenDKIM sees it.
type signers struct {
	lines    []*line
	keys     *keyTable
	multiple bool // MultipleSignatures

	// A flat table is looked up key by key; a refile is walked from the top. The
	// patterns *@domain and *@*.domain, and those without *, are looked up as well.
	refile bool
	exact  map[string][]int // by key, or by pattern
	rest   []int            // lines of a refile that have to be compared

	single     *key // for Domain, where there is no table
	subdomains bool // SubDomains
}

func (s *signers) index() {
	s.exact = map[string][]int{}
	for i, l := range s.lines {
		pattern := l.entry.key
		if s.single == nil {
			pattern = plainPattern(pattern)
		}
		if s.refile && strings.Contains(pattern, "*") {
			s.rest = append(s.rest, i)
		} else {
			s.exact[l.entry.key] = append(s.exact[l.entry.key], i)
		}
	}
}

// plainPattern takes the beginning from a pattern that [signers.lookupPattern]
// finds without comparing: *@domain, *@*.domain and *.domain.
func plainPattern(pattern string) string {
	pattern, _ = strings.CutPrefix(pattern, "*@")
	pattern, _ = strings.CutPrefix(pattern, "*.")
	return pattern
}

// lookup returns the lines that fit a sender, in the order in which OpenDKIM takes
// them; only the first one without MultipleSignatures.
func (s *signers) lookup(user, domain string) []int {
	var found []int
	if s.single != nil {
		return s.lookupDomain(domain)
	}
	if s.refile {
		return s.lookupPattern(user, domain)
	}
	for _, key := range flatKeys(user, domain) {
		if all := s.exact[key]; len(all) > 0 {
			found = append(found, all[0]) // a key counts once
			if !s.multiple {
				break
			}
		}
	}
	return found
}

// flatKeys are what is looked for in a flat table, in this order
// (opendkim.conf(5), SigningTable).
func flatKeys(user, domain string) []string {
	keys := []string{user + "@" + domain, domain}
	var dotted []string
	for up := domain; ; {
		_, rest, ok := strings.Cut(up, ".")
		if !ok {
			break
		}
		keys = append(keys, user+"@."+rest)
		dotted = append(dotted, "."+rest)
		up = rest
	}
	keys = append(keys, dotted...)
	return append(keys, user+"@*", "*")
}

// lookupPattern walks a refile. A pattern that is given twice fits twice.
func (s *signers) lookupPattern(user, domain string) []int {
	address := user + "@" + domain
	found := slices.Concat(s.exact[address], s.exact["*@"+domain])
	for up, ok := cutLabel(domain); ok; up, ok = cutLabel(up) {
		found = append(append(found, s.exact["*@*."+up]...), s.exact["*."+up]...)
	}
	for _, i := range s.rest {
		if glob(s.lines[i].entry.key, address) {
			found = append(found, i)
		}
	}
	slices.Sort(found)
	if !s.multiple && len(found) > 1 {
		found = found[:1]
	}
	return found
}

func cutLabel(domain string) (string, bool) {
	_, rest, ok := strings.Cut(domain, ".")
	return rest, ok
}

// lookupDomain looks for the author's domain in Domain, and with SubDomains for
// those above it, the nearest first.
func (s *signers) lookupDomain(domain string) []int {
	if i, _, ok := s.nearest(domain); ok {
		return []int{i}
	}
	return nil
}

// nearest returns the entry of Domain that takes in an author's domain, and the
// domain that it was found by, which becomes d=.
func (s *signers) nearest(domain string) (at int, found string, ok bool) {
	for up, more := domain, true; more; up, more = cutLabel(up) {
		if all := s.exact[up]; len(all) > 0 {
			return all[0], up, true
		}
		for _, i := range s.rest {
			if glob(s.lines[i].entry.key, up) {
				return i, up, true
			}
		}
		if !s.subdomains {
			break
		}
	}
	return 0, "", false
}

// matches returns what OpenDKIM would sign with for a sender, line by line.
func (s *signers) matches(user, domain string) []match {
	found := s.lookup(user, domain)
	all := make([]match, 0, len(found))
	for _, i := range found {
		l := s.lines[i]
		m := match{line: l, key: l.key}
		if l.keyName == "%" {
			m.key = s.keys.get(domain)
		}
		switch {
		case m.key == nil && l.keyName == "%":
			m.why = "no key is named " + domain
		case m.key == nil:
			m.why = "no key is named " + l.keyName
		case m.key.defers:
			m.why = "the key " + m.key.entry.key + " cannot be read"
		default:
			m.sig.Domain, m.path = m.key.signs(domain)
			m.sig.Selector = m.key.selector
			if s.single != nil {
				_, m.sig.Domain, _ = s.nearest(domain)
				m.path = m.key.path // which % is a part of
			} else if m.key.domain == "%" && m.path != m.key.path && !exists(m.path) {
				m.why = m.path + " is not there"
			}
		}
		all = append(all, m)
	}
	return all
}

// inForce returns those of the matches that get their signature into the mail: of
// three and more, the first and the last only, for opendkim 2.11 loses those
// between. It is empty where the mail is deferred.
func inForce(all []match) []match {
	for _, m := range all {
		if m.why != "" {
			return nil
		}
	}
	if len(all) > 2 {
		return []match{all[0], all[len(all)-1]}
	}
	return all
}
