package greylist

import (
	"crypto/sha256"
	"regexp"
	"slices"
	"strings"

	"milterd/checks"
	"milterd/internal/evidence"
	"milterd/message"
)

// Bounds of what is remembered of one message.
const (
	maxDomains    = 8
	maxRecipients = 32
)

// who is the sender of a message as far as it is known: the domains that are
// proven, and the network, sender and recipients, of which any may bring the
// message again.
type who struct {
	domains []message.Domain
	network string
	sender  string // as it stays from one message to the next
	to      []string
	from    []string // addresses that our users may have written to
}

// identify reads from a message who sends it.
func identify(in *checks.Input) who {
	m := in.Message
	w := who{domains: proven(in), network: message.Network(m.Session.Client), sender: lasting(m.MailFrom)}
	for _, r := range m.Recipients[:min(len(m.Recipients), maxRecipients)] {
		w.to = append(w.to, path(r.Path))
	}
	if len(w.to) == 0 {
		w.to = []string{""}
	}
	slices.Sort(w.to) // what is remembered first shall not depend on their order
	w.to = slices.Compact(w.to)
	if !m.MailFrom.Address.IsZero() {
		w.from = append(w.from, path(m.MailFrom))
	}
	if author := m.Author(); len(author.Addresses) == 1 && author.Addresses[0] != m.MailFrom.Address {
		w.from = append(w.from, strings.ToLower(author.Addresses[0].String()))
	}
	return w
}

// proven returns the domains that answer for the message. Those of the author come
// first, and alone where there are any: the domain of a service that sends for many
// vouches for all of them, and so for nobody.
func proven(in *checks.Input) []message.Domain {
	all := slices.Collect(evidence.Signers(in.Prior))
	if d, ok := evidence.MailFrom(in.Prior); ok {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b message.Domain) int { return strings.Compare(a.String(), b.String()) })
	all = slices.Compact(all)
	author := in.Message.Author().Domain
	own := slices.DeleteFunc(slices.Clone(all), func(d message.Domain) bool {
		return author.IsZero() || !author.HasSuffix(d) && !d.HasSuffix(author)
	})
	if len(own) > 0 {
		all = own
	}
	return all[:min(len(all), maxDomains)]
}

// String names the sender for people.
func (w who) String() string {
	if len(w.domains) == 0 {
		return w.network + " and " + w.sender
	}
	names := make([]string, len(w.domains))
	for i, d := range w.domains {
		names[i] = d.String()
	}
	return "proven " + strings.Join(names, ", ")
}

// keys are those of the store under which the sender is remembered, the proven ones
// first.
func (w who) keys() [][]byte {
	all := make([][]byte, 0, len(w.domains)+len(w.to))
	for _, d := range w.domains {
		all = append(all, key('d', d.String()))
	}
	for _, to := range w.to {
		all = append(all, key('t', w.network, w.sender, to))
	}
	return all
}

// key makes a key of the store. It is a hash, so that keys are short and nobody
// reads from the store who writes to whom.
func key(kind byte, parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0}) // no part holds one: SMTP's strings end there
	}
	return append([]byte{kind}, h.Sum(nil)[:16]...)
}

// path returns an address, or what stands in its place, for keys.
func path(p message.Path) string {
	if p.Address.IsZero() {
		return strings.ToLower(strings.Trim(p.Raw, "<>"))
	}
	return strings.ToLower(p.Address.String())
}

// numbers are those in the local part of a sender who has another one for every
// message (VERP).
var numbers = regexp.MustCompile(`\b[0-9]+\b`)

// lasting returns the part of a reverse-path that stays from one message to the
// next, as postgrey finds it: without an extension after +, and with # in the place
// of numbers.
func lasting(from message.Path) string {
	local, host, ok := strings.Cut(path(from), "@")
	if !ok {
		return local
	}
	local, _, _ = strings.Cut(local, "+")
	return numbers.ReplaceAllString(local, "#") + "@" + host
}
