package message

import "net/netip"

// Network names the neighbourhood in which a sender may choose its address: the /24 of
// an IPv4 address (192.0.2.0/24), also of one that is mapped into IPv6, the /64 of
// an IPv6 address without its zone (2001:db8::/64). All clients without an address
// have one name, "unknown".
func Network(a netip.Addr) string {
	if a = a.Unmap(); !a.IsValid() {
		return "unknown"
	}
	bits := 64
	if a.Is4() {
		bits = 24
	}
	n, _ := a.Prefix(bits) // drops the zone
	return n.String()
}
