package signing

import (
	"fmt"
	"slices"
	"strings"

	"milterd/message"
)

// Reason says what became of a message, from a closed set.
type Reason string

// The reasons.
const (
	// Signed: the message is ours and bears our signatures.
	Signed Reason = "signed"
	// Inbound: the message is somebody else's, whatever its From field says.
	Inbound Reason = "inbound"
	// Foreign: the author's domain is none of signing.domains.
	Foreign Reason = "foreign"
	// NotOwner: the author's domain is one of them, but the sender does not own it.
	NotOwner Reason = "not_owner"
	// NoAuthor: the From field names nobody, or readers would differ about whom.
	NoAuthor Reason = "no_author"
	// Oversize: the header goes over its limits, and nobody has seen all of it.
	Oversize Reason = "oversize"
	// Already: our own valid signature is on the message.
	Already Reason = "already"
	// NoKey: it would be signed, but there is no key to do it with.
	NoKey Reason = "no_key"
)

// Outcome is the Detail of the check's result.
type Outcome struct {
	Reason Reason
	// Domain is the signing domain in question (d=), zero when there is none.
	Domain message.Domain
	// List says that the domain is that of a mailing list of ours.
	List bool
	// Why says it in a line.
	Why string
	// Fields are the signatures, in the order in which they stand on top.
	Fields []message.Field

	err error // behind NoKey
}

// String says what was decided in a line.
func (o Outcome) String() string {
	if o.Reason == Signed {
		return "signed: " + o.Why
	}
	return "not signed: " + o.Why
}

// own reports whether mail of a signing domain leaves without a signature of ours
// for that reason.
func (o Outcome) own() bool {
	return !o.Domain.IsZero() && slices.Contains([]Reason{NotOwner, NoAuthor, Oversize, NoKey}, o.Reason)
}

// decide says whose mail a message is. The answer Signed means that it is to be
// signed for the returned domain.
func (c *check) decide(m *message.Message) (Outcome, *domain) {
	author := m.Author()
	if m.Role != message.Outbound {
		d := c.ours(author.Domain)
		if d == nil {
			return Outcome{}, nil // nobody would ask
		}
		return Outcome{Reason: Inbound, Why: "the message is " + string(m.Role) +
			": the client has not logged in and is not in networks.mynetworks"}, nil
	}
	if m.Header.OverLimit != "" {
		return Outcome{Reason: Oversize, Domain: c.named(m), Why: "the header is larger than limits." + m.Header.OverLimit}, nil
	}
	if m.Login == "" {
		if d, by := c.list(m); d != nil && c.hasList(m, d) {
			return Outcome{Reason: Signed, Domain: d.name, List: true, Why: "by " + by}, d
		}
	}
	if author.Refusable() || author.Domain.IsZero() || author.Has(message.AuthorNoSender) {
		return Outcome{Reason: NoAuthor, Domain: c.named(m), Why: unusable(author)}, nil
	}
	d := c.ours(author.Domain)
	if d == nil {
		return Outcome{Reason: Foreign, Why: author.Domain.String() + " is not in signing.domains"}, nil
	}
	for _, a := range author.Addresses {
		if why := c.disown(m, a, d); why != "" {
			return Outcome{Reason: NotOwner, Domain: d.name, Why: why}, nil
		}
	}
	return Outcome{Reason: Signed, Domain: d.name, Why: "by " + sender(m)}, d
}

// unusable says what is wrong with a From field that names nobody who could be held
// to it.
func unusable(author message.Author) string {
	why := "From has no usable author"
	for _, p := range author.Problems {
		if p.Refusable() || p == message.AuthorLiteral || p == message.AuthorNoSender {
			return why + ": " + strings.ToLower(strings.ReplaceAll(string(p), "_", " "))
		}
	}
	return why
}

// named returns the signing domain that a From field names which is not to be
// trusted: the one that readers may take for the author's, zero if it has none.
func (c *check) named(m *message.Message) message.Domain {
	for _, a := range m.Author().Addresses {
		if d := c.ours(a.Domain); d != nil {
			return d.name
		}
	}
	var found message.Domain
	for from := range m.Header.All("From") {
		from = strings.ToLower(from)
		for name := range c.domains { // a domain of ours within the name of another: the longest counts
			if len(name.String()) > len(found.String()) && strings.Contains(from, "@"+name.String()) {
				found = name
			}
		}
	}
	return found
}

// disown says why the sender does not own an author's address, "" if he does.
func (c *check) disown(m *message.Message, a message.Address, d *domain) string {
	if c.binding == bindOff {
		return ""
	}
	what := a.Domain.String()
	if c.binding == bindAddress {
		what = a.String()
	}
	who := c.senders.current()
	if m.Login != "" {
		if who.login(m.Login, a, d, c.binding) {
			return ""
		}
		return fmt.Sprintf("login %s does not own %s", m.Login, what)
	}
	if m.Session.Local() || who.client(m.Session.Client, a, c.binding) {
		return ""
	}
	return fmt.Sprintf("client %s does not own %s", m.Session.Client, what)
}

// sender says who sent the message.
func sender(m *message.Message) string {
	switch {
	case m.Login != "":
		return "login " + m.Login
	case m.Session.Local() && m.MailFrom.Null:
		return "this host, a bounce"
	case m.Session.Local():
		return "this host"
	}
	return "client " + m.Session.Client.String()
}

// list returns the signing domain of the mailing list that the message comes from,
// and what says so: its List-Id (RFC 2919), or a reverse-path as list managers
// write them. Whoever may hand us mail without a login is believed.
func (c *check) list(m *message.Message) (d *domain, by string) {
	if id := listID(m.Header.Text("List-Id")); id != "" {
		// The identifier is the list's name in its domain, and may be one word or several.
		if _, host, ok := strings.Cut(id, "."); ok {
			if name, err := message.ParseDomain(host); err == nil {
				if d := c.above(name); d != nil {
					return d, "mailing list " + id
				}
			}
		}
	}
	if m.MailFrom.Null || m.MailFrom.Err != nil || !fromList(m) {
		return nil, ""
	}
	if d := c.ours(m.MailFrom.Address.Domain); d != nil {
		return d, "mailing list " + m.MailFrom.Address.String()
	}
	return nil, ""
}

// hasList reports whether the client may send as a list of that domain: any client
// of ours, unless its network is listed and does not own the domain.
func (c *check) hasList(m *message.Message, d *domain) bool {
	return c.binding == bindOff || m.Session.Local() ||
		c.senders.current().client(m.Session.Client, message.Address{Domain: d.name}, bindDomain)
}

// maxListID is what RFC 2919, section 2, allows.
const maxListID = 255

// listID returns the identifier in a List-Id field, "" if there is none: the text
// in the last angle brackets, or the whole field where there are none.
func listID(value string) string {
	if open := strings.LastIndexByte(value, '<'); open >= 0 {
		value = value[open+1:]
		end := strings.IndexByte(value, '>')
		if end < 0 {
			return ""
		}
		value = value[:end]
	}
	value = strings.TrimSpace(value)
	if len(value) > maxListID {
		return ""
	}
	return value
}

// fromList reports whether the message looks like one of a mailing list: by a field
// that only lists write, or by the reverse-path.
func fromList(m *message.Message) bool {
	for _, name := range []string{"List-Id", "List-Post", "Mailing-List"} {
		if m.Header.Count(name) > 0 {
			return true
		}
	}
	if strings.EqualFold(m.Header.Text("Precedence"), "list") {
		return true
	}
	local := localOf(m.MailFrom.Address)
	if strings.HasPrefix(local, "owner-") {
		return true
	}
	// dev-bounces+ann=example.net@, dev-owner@, dev-return-17-ann=example.net@
	return slices.ContainsFunc([]string{"-bounces", "-bounce", "-owner", "-request"}, func(end string) bool {
		return strings.HasSuffix(untagged(local), end)
	}) || strings.Contains(local, "-return-")
}
