package opendkim

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"milterd/message"
)

// maxNetworks is how many networks an import makes; exclusions split them.
const maxNetworks = 1000

// A hostRule is an entry of a list of hosts that is about addresses.
type hostRule struct {
	prefix netip.Prefix
	rank   int  // 0 to 128: the prefix' length; exact for an address
	not    bool // with ! before it
	at     entry
}

// exact ranks an address by itself, which OpenDKIM looks for before any network.
const exact = 129

// hosts carries InternalHosts to networks.mynetworks. PeerList takes its own away
// from them.
func (im *importer) hosts() {
	peers, hasPeers := im.take("PeerList")
	s, ok := im.take("InternalHosts")
	var d dataset
	if ok {
		d, ok = im.open(s, "networks.mynetworks keeps its default, 127.0.0.0/8 and ::1")
	}
	if !ok {
		if hasPeers {
			byDefault := []netip.Prefix{loopback4, loopback6} // OpenDKIM's
			if left := im.peers(peers, byDefault); !slices.Equal(left, byDefault) {
				im.config.MyNetworks = left
			}
		}
		return
	}
	networks, ok := im.hostList(d, "")
	if hasPeers {
		networks = im.peers(peers, networks)
	}
	if !ok {
		return
	}
	im.config.MyNetworks = networks
	if networks == nil {
		im.config.MyNetworks = []netip.Prefix{}
	}
	for _, l := range []netip.Prefix{loopback4, loopback6} {
		if !slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(l.Addr()) }) {
			im.note("%s is not among InternalHosts: what programs on this host send over SMTP without a login is not signed, as with OpenDKIM; what they hand to sendmail(1) is", l.Addr())
		}
	}
}

var (
	loopback4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 32)
	loopback6 = netip.PrefixFrom(netip.IPv6Loopback(), 128)
)

// peers enters PeerList, whose hosts OpenDKIM leaves alone altogether: their mail
// is neither signed nor verified. milterd can do the first half.
func (im *importer) peers(s setting, networks []netip.Prefix) []netip.Prefix {
	d, ok := im.open(s, "Mail of these hosts is examined, and signed where they are in networks.mynetworks")
	if !ok {
		return networks
	}
	var less []hostRule
	for _, n := range networks {
		less = append(less, hostRule{prefix: n})
	}
	excluded, _ := im.hostList(d, "its mail is not signed, but examined like any other: milterd looks at all mail (lists.allow may exempt a sender from checks)")
	for _, p := range excluded {
		less = append(less, hostRule{prefix: p, rank: exact, not: true})
	}
	left, ok := combine(less)
	if !ok {
		im.note("PeerList cannot be taken out of networks.mynetworks: they would be more than %d networks", maxNetworks)
		return networks
	}
	return left
}

// hostList makes the networks of a list of hosts, and enters each entry. With a
// reason against it, no entry is carried whole.
func (im *importer) hostList(d dataset, against string) (networks []netip.Prefix, ok bool) {
	var rules []hostRule
	items := make([]item, len(d.entries))
	for i, e := range d.entries {
		found, f, why := readHost(e, d.kind == pattern)
		rules = append(rules, found...)
		if f == carried && against != "" {
			f, why = notCarried, against
		}
		items[i] = item{e.Pos, f, d.name + " " + e.key, why}
	}
	networks, ok = combine(rules)
	for _, i := range items {
		if !ok && i.fate == carried {
			i.fate, i.why = notCarried, fmt.Sprintf("the exclusions split the networks of this list into more than %d; write networks.mynetworks by hand", maxNetworks)
		}
		im.enter(i.Pos, i.fate, i.what, "%s", i.why)
	}
	return networks, ok
}

// readHost reads one entry of a list of hosts as opendkim.conf(5) describes them
// under PeerList: a host name, .domain, an address, a network, with ! before it to
// exclude it. OpenDKIM compares them as text with the client's name and address,
// and with the address with one bit after another switched off.
func readHost(e entry, refile bool) (rules []hostRule, f fate, why string) {
	text, not := strings.CutPrefix(strings.ToLower(e.key), "!")
	rule := func(p netip.Prefix, rank int) []hostRule { return []hostRule{{p, rank, not, e}} }
	if e.dead != "" {
		return nil, notCarried, e.dead
	}
	if strings.Contains(text, "*") {
		return readHostPattern(text, refile, not, rule)
	}
	if strings.HasPrefix(text, "[") {
		return nil, notCarried, "OpenDKIM 2.11 does not find it with its brackets; write it without them into networks.mynetworks"
	}
	addr, err := netip.ParseAddr(text)
	switch {
	case err == nil && (addr.Zone() != "" || addr.Is4In6()):
		return nil, notCarried, "an address with a zone, or IPv4 within IPv6; write the plain address into networks.mynetworks"
	case err == nil && addr.String() != text:
		return nil, notCarried, "it matches nobody, because OpenDKIM compares text and writes the address as " + addr.String()
	case err == nil:
		return rule(netip.PrefixFrom(addr, addr.BitLen()), exact), carried, ""
	}
	if host, bits, ok := strings.Cut(text, "/"); ok {
		return readNetwork(text, host, bits, rule)
	}
	name := strings.TrimPrefix(text, ".")
	_, err = message.ParseDomain(name)
	switch {
	case err != nil || strings.Trim(name, "0123456789.") == "":
		return nil, notCarried, "neither a name nor an address nor a network; OpenDKIM compares it as text and finds nobody"
	case not:
		return nil, notNeeded, "it keeps names from matching, and milterd's networks are addresses"
	case name == "localhost" && name == text:
		return append(rule(loopback4, exact), rule(loopback6, exact)...), carried, ""
	case name != text:
		return nil, notCarried, "milterd's networks are addresses: put those of the hosts below " + name + " into networks.mynetworks, or let them log in"
	}
	return nil, notCarried, "milterd's networks are addresses: put that of the host into networks.mynetworks, or let it log in"
}

// widest are the shortest prefixes that are carried. Whoever is in mynetworks is
// one of ours, and not checked as strangers are.
const (
	widest4 = 8
	widest6 = 16
)

func readNetwork(text, host, bits string, rule func(netip.Prefix, int) []hostRule) ([]hostRule, fate, string) {
	n, err := strconv.Atoi(bits)
	addr, bad := netip.ParseAddr(host)
	if err != nil || bad != nil || addr.Is4In6() || n < 0 || n > addr.BitLen() {
		return nil, notCarried, "no network; OpenDKIM compares it as text and finds nobody"
	}
	p := netip.PrefixFrom(addr, n).Masked()
	switch {
	case p.String() != text:
		return nil, notCarried, "it matches nobody, because OpenDKIM compares text and writes the network as " + p.String()
	case addr.Is4() && n < widest4, addr.Is6() && n < widest6:
		return nil, notCarried, "so much of the world cannot be ours: its mail would not be checked"
	}
	return rule(p, n), carried, ""
}

// readHostPattern reads an entry with *. In a list or a flat file it is no pattern.
// In a refile, OpenDKIM asks for "!host" before it asks for "host", and a pattern
// that begins with * fits the first question too: it excludes. Only whole numbers
// at the end of an IPv4 address are left.
func readHostPattern(text string, refile, not bool, rule func(netip.Prefix, int) []hostRule) ([]hostRule, fate, string) {
	switch {
	case !refile:
		return nil, notCarried, "* is a pattern in a refile: only, so it matches nobody; hosts below a domain are .example.org"
	case text[0] == '*' && !not:
		return nil, notCarried, "it matches nobody: OpenDKIM asks first whether !host is in the list, and the pattern fits that as well"
	}
	parts := strings.Split(strings.TrimSuffix(text, ".*"), ".")
	if strings.HasSuffix(text, ".*") && len(parts) <= 3 {
		var b [4]byte
		for i, part := range parts {
			n, err := strconv.ParseUint(part, 10, 8)
			if err != nil || strconv.FormatUint(n, 10) != part {
				parts = nil
				break
			}
			b[i] = byte(n)
		}
		if parts != nil {
			return rule(netip.PrefixFrom(netip.AddrFrom4(b), 8*len(parts)), exact), carried, ""
		}
	}
	if not {
		return nil, notCarried, "an exclusion by pattern that is no network; look whether networks.mynetworks has hosts that it should not"
	}
	return nil, notCarried, "a pattern that is no network; milterd's networks are addresses"
}

// combine makes the networks that a list of hosts means. The most exact entry
// decides, and among equals the exclusion.
func combine(rules []hostRule) (networks []netip.Prefix, ok bool) {
	slices.SortStableFunc(rules, func(a, b hostRule) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), boolCompare(a.not, b.not))
	})
	for _, r := range rules {
		if r.not {
			networks = without(networks, r.prefix)
		} else if !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Bits() <= r.prefix.Bits() && n.Contains(r.prefix.Addr()) }) {
			networks = slices.DeleteFunc(networks, func(n netip.Prefix) bool { return r.prefix.Bits() <= n.Bits() && r.prefix.Contains(n.Addr()) })
			networks = append(networks, r.prefix)
		}
		if len(networks) > maxNetworks {
			return nil, false
		}
	}
	slices.SortFunc(networks, netip.Prefix.Compare)
	return networks, true
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// without takes one network out of others: what is inside goes, what is around it
// falls into halves.
func without(networks []netip.Prefix, p netip.Prefix) []netip.Prefix {
	var left []netip.Prefix
	for _, n := range networks {
		switch {
		case !n.Overlaps(p):
			left = append(left, n)
		case p.Bits() <= n.Bits():
		default:
			for n.Bits() < p.Bits() {
				low, high := halves(n)
				if high.Contains(p.Addr()) {
					low, high = high, low
				}
				left = append(left, high) // the half that p is not in
				n = low
			}
		}
	}
	return left
}

// halves splits a network in two.
func halves(n netip.Prefix) (low, high netip.Prefix) {
	bits := n.Bits() + 1
	low = netip.PrefixFrom(n.Addr(), bits)
	b := n.Addr().AsSlice()
	b[(bits-1)/8] |= 1 << (7 - (bits-1)%8)
	addr, _ := netip.AddrFromSlice(b)
	return low, netip.PrefixFrom(addr, bits)
}
