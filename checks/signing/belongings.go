package signing

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"milterd/internal/strictyaml"
	"milterd/message"
)

// belonging is an address, or the addresses of a domain, that a login owns.
type belonging struct {
	local  string         // in lower case; "" is every one of the domain
	domain message.Domain // zero: any signing domain
	below  bool           // all domains below domain, too
}

// parseBelonging reads an address, a domain, or a domain with a dot before it,
// which stands for those below it as well.
func parseBelonging(s string) (belonging, error) {
	if local, _, ok := strings.Cut(s, "@"); ok && local != "" {
		a, err := message.ParseAddress(s)
		if err == nil && (a.Domain.IsZero() || a.Local == "") {
			err = errors.New("an address literal, or no local part, belongs to nobody")
		}
		return belonging{local: strings.ToLower(a.Local), domain: a.Domain}, err
	}
	name, below := strings.CutPrefix(strings.TrimPrefix(s, "@"), ".")
	d, err := message.ParseDomain(name)
	return belonging{domain: d, below: below}, err
}

// hasDomain reports whether a domain is that of the belonging.
func (b belonging) hasDomain(d message.Domain) bool {
	return b.domain.IsZero() || b.domain == d || b.below && d.IsSubdomainOf(b.domain)
}

// has reports whether an address is among the belonging.
func (b belonging) has(a message.Address) bool {
	return b.hasDomain(a.Domain) && (b.local == "" || b.local == localOf(a) || b.local == untagged(localOf(a)))
}

// localOf returns the local part without regard to case. Strictly, only the owner
// of a domain knows whether it matters; here we are that owner.
func localOf(a message.Address) string { return strings.ToLower(a.Local) }

// untagged takes the extension off a local part: ann+shop is ann.
func untagged(local string) string {
	base, _, tagged := strings.Cut(local, "+")
	if !tagged || base == "" {
		return local
	}
	return base
}

// belongings is what a login owns, as the configuration gives it: one entry or a
// list of them.
type belongings []belonging

// DecodeYAML implements [strictyaml.Decoder].
func (b *belongings) DecodeYAML(n *strictyaml.Node) error {
	items := []*strictyaml.Node{n}
	if n.Kind() == strictyaml.List {
		items = items[:0]
		for i := range n.Len() {
			items = append(items, n.Item(i))
		}
	}
	var errs strictyaml.Errors
	all := belongings{}
	for _, item := range items {
		text, _ := item.Text()
		one, err := parseBelonging(text)
		if err != nil {
			errs.Add(item.Expected("an address such as ann@example.org, or a domain"))
			continue
		}
		all = append(all, one)
	}
	*b = all
	return errs.Err()
}

// sendersConfig is the key senders: who owns what, or the file that says it.
type sendersConfig struct {
	logins map[string]belongings // by login or network
	file   string
}

// DecodeYAML implements [strictyaml.Decoder].
func (s *sendersConfig) DecodeYAML(n *strictyaml.Node) error {
	switch n.Kind() {
	case strictyaml.Mapping:
		return n.Decode(&s.logins)
	case strictyaml.Scalar:
		var path strictyaml.Path
		if err := n.Decode(&path); err != nil {
			return err
		}
		s.file = string(path)
		return nil
	}
	return n.Expected("a mapping {login: [address or domain]}, or the path of a file with one")
}

// check reads the file, to see whether it can be.
func (s *sendersConfig) check() error {
	if s.file == "" {
		return nil
	}
	_, err := readSenders(s.file)
	return err
}

// readSenders reads a file that holds what may stand under senders.
func readSenders(path string) (map[string]belongings, error) {
	src, err := strictyaml.ReadFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	logins := map[string]belongings{}
	return logins, strictyaml.Decode(path, src, &logins)
}

// owners knows who owns which addresses. It does not change.
type owners struct {
	logins   map[string]belongings // by login in lower case
	networks []network             // narrowest first
	named    map[string]bool       // addresses that somebody is said to own

	tables []*loginTable
}

// network is a part of ours that owns no more than it is given.
type network struct {
	prefix netip.Prefix
	owns   belongings
}

// newOwners joins what the configuration says with the tables of Postfix.
func newOwners(given map[string]belongings, tables []*loginTable) *owners {
	o := &owners{logins: map[string]belongings{}, named: map[string]bool{}, tables: tables}
	for who, owns := range given {
		if prefix, ok := parseNetwork(who); ok {
			o.networks = append(o.networks, network{prefix, owns})
			continue
		}
		login := loginKey(who)
		o.logins[login] = append(o.logins[login], owns...)
		for _, b := range owns {
			if b.local != "" {
				o.named[b.local+"@"+b.domain.String()] = true
			}
		}
	}
	slices.SortFunc(o.networks, func(a, b network) int { return b.prefix.Bits() - a.prefix.Bits() })
	return o
}

// parseNetwork reads a network or a bare address, which is a network of one.
func parseNetwork(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

// login reports whether a login owns the author's address, which is of the signing
// domain d, or of none if that is nil. Who is listed owns what is listed. Of the others a login with a domain owns the
// domain, or the address that it is, and a bare login those of every signing
// domain; but no address that is given to somebody by name.
func (o *owners) login(login string, a message.Address, d *domain, bind binding) bool {
	login = loginKey(login)
	owns, listed := o.logins[login]
	if bind == bindDomain {
		if slices.ContainsFunc(owns, func(b belonging) bool { return b.hasDomain(a.Domain) }) {
			return true
		}
	} else if slices.ContainsFunc(owns, func(b belonging) bool { return b.has(a) }) {
		return true
	}
	claimed := false
	for _, t := range o.tables {
		if bind == bindDomain && t.hasDomain(login, a.Domain) {
			return true
		}
		who, found := t.owners(a, bind)
		if slices.Contains(who, login) {
			return true
		}
		claimed = claimed || found
		listed = listed || t.lists(login)
	}
	if listed || claimed || bind == bindAddress && o.named[localOf(a)+"@"+a.Domain.String()] {
		return false
	}
	return ownsByDefault(login, a, d, bind)
}

// loginKey is the form in which logins are compared: in lower case, a domain as
// A-labels.
func loginKey(login string) string {
	login = strings.ToLower(login)
	at := strings.LastIndexByte(login, '@')
	if d, err := message.ParseDomain(login[at+1:]); at >= 0 && err == nil {
		return login[:at+1] + d.String()
	}
	return login
}

// ownsByDefault is for logins of which nothing is said.
func ownsByDefault(login string, a message.Address, d *domain, bind binding) bool {
	at := strings.LastIndexByte(login, '@')
	if at < 0 {
		return d != nil && (bind == bindDomain || login == localOf(a) || login == untagged(localOf(a)))
	}
	of, err := message.ParseDomain(login[at+1:])
	if err != nil || of != a.Domain && !(d != nil && d.subdomains && a.Domain.IsSubdomainOf(of)) {
		return false
	}
	return bind == bindDomain || of == a.Domain && (login[:at] == localOf(a) || login[:at] == untagged(localOf(a)))
}

// client reports whether a host of ours owns the author's address: all of them,
// unless its network is listed.
func (o *owners) client(client netip.Addr, a message.Address, bind binding) bool {
	client = client.Unmap().WithZone("")
	for _, n := range o.networks {
		if n.prefix.Contains(client) {
			return slices.ContainsFunc(n.owns, func(b belonging) bool {
				return b.has(a) || bind == bindDomain && b.hasDomain(a.Domain)
			})
		}
	}
	return true
}
