package opendkim

import (
	"net/netip"
	"time"

	"milterd/message"
)

// A Config is the part of milterd's configuration that an import makes. What is
// zero keeps milterd's default.
type Config struct {
	AuthservID       string
	DNSServers       []string
	DNSTimeout       time.Duration
	HeaderBytes      int64 // written in KiB, rounded up
	DKIMSignatures   int64
	MyNetworks       []netip.Prefix // empty, but not nil: nobody
	Canonicalization string         // header/body
	Expire           string         // a duration with its unit, or off
	Domains          []Domain       // by name
}

// A Domain is one of signing.domains.
type Domain struct {
	Name       message.Domain
	Subdomains bool // signs for authors below it as well
	Keys       []Key
}

// A Key is one of a domain's keys.
type Key struct {
	Selector string
	File     string
	At       Pos // the line of the KeyTable, or the setting KeyFile
}

// Signatures returns what milterd signs an author's mail with, once it is to be
// signed: with the keys of the author's domain, or of the nearest domain above it
// that signs for subdomains.
func (c *Config) Signatures(author message.Domain) []Signature {
	byName := make(map[message.Domain]*Domain, len(c.Domains))
	for i := range c.Domains {
		byName[c.Domains[i].Name] = &c.Domains[i]
	}
	return signaturesOf(byName, author)
}

func signaturesOf(domains map[message.Domain]*Domain, author message.Domain) []Signature {
	for d, ok := author, true; ok; d, ok = d.Parent() {
		found := domains[d]
		if found == nil || d != author && !found.Subdomains {
			continue
		}
		all := make([]Signature, len(found.Keys))
		for i, k := range found.Keys {
			all[i] = Signature{d.String(), k.Selector}
		}
		return all
	}
	return nil
}

// Ours reports whether a client without a login is one whose mail milterd signs.
func (c *Config) Ours(client netip.Addr) bool {
	networks := c.MyNetworks
	if networks == nil {
		networks = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8), loopback6}
	}
	for _, n := range networks {
		if n.Contains(client) {
			return true
		}
	}
	return false
}
