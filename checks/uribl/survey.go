package uribl

import (
	"net/netip"
	"slices"
	"strings"

	"milterd/dkim"
	"milterd/internal/dnslist"
	"milterd/message"
	"milterd/mime"
)

// What of one message is asked about, beside the hosts of its URLs.
const (
	maxQuestions = 36 // in all; of the 50 that checks of lists may ask the DNS, the rest is for the client and for controls
	maxSigners   = 4
	maxHops      = 4
)

// A survey decides what is asked about one message, the most worthwhile first.
type survey struct {
	*check
	left    int                // questions
	asked   map[[2]string]bool // list and item
	skipped int                // hosts that there were no questions left for
}

// add appends a question, unless it was asked or there are none left.
func (s *survey) add(to []dnslist.Question, q dnslist.Question, ok bool) []dnslist.Question {
	key := [2]string{q.List.Name, q.Item}
	if !ok || s.left == 0 || s.asked[key] {
		return to
	}
	s.asked[key] = true
	s.left--
	return append(to, q)
}

// header returns the questions about envelope and header. client is what lists have
// already said about the client.
func (s *survey) header(m *message.Message, client []dnslist.Listing) []dnslist.Question {
	var all []dnslist.Question
	domain := func(subject dnslist.Subject, name string) {
		name = s.suffixes.Registrable(name)
		if name == "" || s.harmless(name) {
			return
		}
		for _, l := range s.book.Lists(subject) {
			if !l.OfAddresses() {
				q, ok := l.AboutDomain(subject, name)
				all = s.add(all, q, ok)
			}
		}
	}
	author := m.Author()
	domain(dnslist.Author, author.Domain.String())
	domain(dnslist.MailFrom, m.MailFrom.Address.Domain.String())
	if len(s.book.Lists(dnslist.DKIM)) > 0 {
		for _, d := range signers(m.Header) {
			domain(dnslist.DKIM, d)
		}
	}
	if d, err := message.ParseDomain(m.Session.Helo); err == nil {
		domain(dnslist.Helo, d.String())
	}
	for _, l := range s.book.Lists(dnslist.Email) {
		for _, a := range addresses(m, author) {
			if !s.harmless(a.String()) {
				q, ok := l.AboutEmail(a)
				all = s.add(all, q, ok)
			}
		}
	}
	for _, l := range s.book.Lists(dnslist.Received) {
		if slices.ContainsFunc(client, func(c dnslist.Listing) bool {
			return c.List.GroupOf() == l.GroupOf() && c.Class.Blocks() || c.Class == dnslist.AllowHigh
		}) {
			continue // it is listed by the same people with more weight, or well known
		}
		for _, a := range hops(m) {
			if !s.harmless(a.String()) {
				q, ok := l.AboutAddr(dnslist.Received, a)
				all = s.add(all, q, ok)
			}
		}
	}
	return all
}

// harmless reports whether nobody is to be asked about an address, domain or host.
func (s *survey) harmless(item string) bool {
	if s.never[item] {
		return true
	}
	if s.except == nil {
		return false
	}
	_, found := s.except.Table().Find(item)
	return found
}

// signers returns the domains that claim to have signed. Whether the signatures pass
// does not matter here: nobody adds the name of a spammer to honest mail.
func signers(h *message.Header) []string {
	var domains []string
	for i := range h.Fields {
		if len(domains) == maxSigners {
			break
		}
		if !strings.EqualFold(h.Fields[i].Name, "DKIM-Signature") {
			continue
		}
		if sig, err := dkim.ParseSignature(h.Fields, i); err == nil {
			domains = append(domains, sig.Domain.String())
		}
	}
	return domains
}

// maxReplyTo bounds how much of a Reply-To field is read.
const maxReplyTo = 1 << 10

// addresses returns where an answer would go, and from where the message says it came.
func addresses(m *message.Message, author message.Author) []message.Address {
	all := slices.Clone(author.Addresses[:min(len(author.Addresses), 2)])
	if value, ok := m.Header.Get("Reply-To"); ok {
		value = strings.TrimSpace(message.Unfold(value[:min(len(value), maxReplyTo)]))
		if i := strings.LastIndexByte(value, '<'); i >= 0 {
			value, _, _ = strings.Cut(value[i+1:], ">")
		}
		if a, err := message.ParseAddress(value); err == nil {
			all = append(all, a)
		}
	}
	if a := m.MailFrom.Address; !a.IsZero() {
		all = append(all, a)
	}
	return all
}

// hops returns the addresses of hosts through which the message came before it was
// given to the client, newest first.
func hops(m *message.Message) []netip.Addr {
	var all []netip.Addr
	for value := range m.Header.All("Received") {
		hop, ok := message.ParseReceived(value)
		a := hop.Client.Unmap().WithZone("")
		if !ok || !a.IsGlobalUnicast() || a.IsPrivate() || a == m.Session.Client.Unmap() || slices.Contains(all, a) {
			continue
		}
		if all = append(all, a); len(all) == maxHops {
			break
		}
	}
	return all
}

// A host is one that URLs lead to.
type host struct {
	name   string
	domain string // the registrable one, of an address itself
	addr   netip.Addr
	worth  int // less is more
}

// urls returns the questions about the URLs of a body.
func (s *survey) urls(tree *mime.Tree) []dnslist.Question {
	hosts := s.hostsOf(tree)
	var all []dnslist.Question
	for i := range hosts {
		if i >= s.hosts || s.left == 0 {
			s.skipped = len(hosts) - i
			break
		}
		for _, l := range s.book.Lists(dnslist.URL) {
			all = s.about(all, l, &hosts[i])
		}
	}
	return all
}

// about appends the question to a list about one host.
func (s *survey) about(to []dnslist.Question, l *dnslist.List, h *host) []dnslist.Question {
	switch {
	case h.addr.IsValid():
		if !l.Addresses || !h.addr.Is4() && !l.IPv6 {
			return to
		}
		q, ok := l.AboutAddr(dnslist.URL, h.addr)
		return s.add(to, q, ok)
	case l.OfAddresses():
		return to
	}
	name := h.domain
	if l.Host {
		name = h.name
	}
	q, ok := l.AboutDomain(dnslist.URL, name)
	return s.add(to, q, ok)
}

// hostsOf finds the hosts of the URLs, each registrable domain once, in the order of
// what a reader would do with them: links that he sees, URLs in the text, pictures,
// and last what he does not see.
func (s *survey) hostsOf(tree *mime.Tree) []host {
	urls, _ := tree.URLs()
	var hosts []host
	const unasked = -1
	at := map[string]int{} // of hosts and their domains, unasked if nobody is to be asked
	for i := range urls {
		u := &urls[i]
		if u.Where == mime.InLabel || u.Host == "" { // a label is what a link shows, not where it leads
			continue
		}
		k, again := at[u.Host]
		if !again {
			k = unasked
			if h := s.hostOf(u); s.asks(&h) {
				if k, again = at[h.domain]; !again {
					k = len(hosts)
					at[h.domain] = k
					hosts = append(hosts, h)
				}
			}
			at[u.Host] = k
		}
		if k != unasked {
			hosts[k].worth = min(hosts[k].worth, worthOf(u))
		}
	}
	slices.SortStableFunc(hosts, func(a, b host) int { return a.worth - b.worth })
	return hosts
}

// hostOf returns the host of a URL.
func (s *survey) hostOf(u *mime.URL) host {
	h := host{name: u.Host, domain: u.Host, addr: u.Addr.Unmap(), worth: worthOf(u)}
	if !h.addr.IsValid() {
		h.domain = s.suffixes.Registrable(u.Host)
	}
	return h
}

// asks reports whether anybody is to be asked about a host.
func (s *survey) asks(h *host) bool {
	if h.addr.IsValid() {
		if !h.addr.IsGlobalUnicast() || h.addr.IsPrivate() {
			return false
		}
	} else if strings.IndexByte(h.domain, '.') < 0 {
		return false
	}
	return !s.harmless(h.domain) && !s.harmless(h.name)
}

func worthOf(u *mime.URL) int {
	worth := 2
	switch {
	case u.Where&mime.InLink != 0:
		worth = 0
	case u.Where&mime.InText != 0:
		worth = 1
	}
	if u.Hidden {
		worth += 3
	}
	return worth
}
