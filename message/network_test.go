package message

import (
	"net/netip"
	"testing"
)

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7":             "192.0.2.0/24",
		"192.0.2.255":           "192.0.2.0/24",
		"192.0.3.7":             "192.0.3.0/24",
		"::ffff:192.0.2.7":      "192.0.2.0/24",
		"::ffff:192.0.2.7%eth0": "192.0.2.0/24",
		"2001:db8:1:2:3:4:5:6":  "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":   "2001:db8:1:2::/64",
		"2001:db8:1:3::1":       "2001:db8:1:3::/64",
		"fe80::1%eth0":          "fe80::/64",
		"::1":                   "::/64",
		"127.0.0.1":             "127.0.0.0/24",
		"255.255.255.255":       "255.255.255.0/24",
	} {
		if got := Network(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %s, expected %s", address, got, want)
		}
	}
	if got := Network(netip.Addr{}); got != "unknown" {
		t.Errorf("no address: got %s, expected unknown", got)
	}
}
