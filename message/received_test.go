package message

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParseReceived(t *testing.T) {
	for _, c := range []struct{ name, in, helo, host, addr, by string }{
		{"postfix", " from mail.example.org (mx1.example.org [192.0.2.1])\n\tby mx.example.net (Postfix) with ESMTPS id 4Xyz\n\tfor <a@b>; Fri, 20 Nov 2026", "mail.example.org", "mx1.example.org", "192.0.2.1", "mx.example.net"},
		{"postfix unknown", "from localhost (unknown [203.0.113.9]) by mx (Postfix)", "localhost", "", "203.0.113.9", "mx"},
		{"postfix ipv6", "from a.example (a.example [IPv6:2001:db8::25]) by mx.example", "a.example", "a.example", "2001:db8::25", "mx.example"},
		{"sendmail", "from dogma.slashnull.org (root@dogma.slashnull.org [212.17.35.15]) by x.example (8.11.6/8.11.6) with ESMTP", "dogma.slashnull.org", "dogma.slashnull.org", "212.17.35.15", "x.example"},
		{"exim", "from [192.0.2.7] (helo=laptop) by relay.example with esmtp", "laptop", "", "192.0.2.7", "relay.example"},
		{"exim named", "from h.example ([192.0.2.7] helo=laptop.local) by relay.example", "laptop.local", "", "192.0.2.7", "relay.example"},
		{"qmail", "from unknown (HELO mail.example) (192.0.2.8) by 0 with SMTP", "mail.example", "", "192.0.2.8", "0"},
		{"mapped", "from a (a.example [::ffff:192.0.2.9]) by mx", "a", "a.example", "192.0.2.9", "mx"},
		// What the client says of itself is never its address.
		{"postfix, literal as HELO", "from [198.51.100.1] (unknown [203.0.113.66]) by relay.example (Postfix)", "[198.51.100.1]", "", "203.0.113.66", "relay.example"},
		{"postfix, address as HELO", "from 198.51.100.1 (a.example [203.0.113.66]) by relay.example", "198.51.100.1", "a.example", "203.0.113.66", "relay.example"},
		{"exim, literal as HELO", "from [203.0.113.66] (helo=[198.51.100.1]) by relay.example", "[198.51.100.1]", "", "203.0.113.66", "relay.example"},
		{"exim named, literal as HELO", "from h.example ([203.0.113.66] helo=[198.51.100.1]) by relay.example", "[198.51.100.1]", "", "203.0.113.66", "relay.example"},
		{"qmail, address as HELO", "from unknown (HELO 198.51.100.1) (203.0.113.66) by 0", "198.51.100.1", "", "203.0.113.66", "0"},
		{"qmail, literal as HELO", "from unknown (HELO [198.51.100.1]) (203.0.113.66) by 0", "[198.51.100.1]", "", "203.0.113.66", "0"},
		{"address in a later comment", "from a (b [203.0.113.66]) (Authenticated sender: [198.51.100.1]) by mx", "a", "", "203.0.113.66", "mx"},
	} {
		hop, ok := ParseReceived(c.in)
		want := Hop{Helo: c.helo, Host: c.host, Client: netip.MustParseAddr(c.addr), By: c.by}
		if !ok || hop != want {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", c.name, hop, ok, want)
		}
	}
	for _, in := range []string{
		"", "by mx.example with local", "from a.example by mx", "from a (a [192.0.2.1]", "(qmail 123 invoked by uid 500)",
		"from a ([300.1.1.1]) by mx", "from a (b [192.0.2.1)] by mx",
		"from a(b (unknown [203.0.113.66]) by mx", "from a by b (unknown [203.0.113.66]) by mx", "from unknown (HELO 198.51.100.1) by mx",
	} {
		if hop, ok := ParseReceived(in); ok {
			t.Errorf("%q: accepted as %+v", in, hop)
		}
	}
}

func FuzzParseReceived(f *testing.F) {
	f.Add("from a (b [192.0.2.1]) by c")
	f.Add("from " + strings.Repeat("(", 3000))
	f.Add("from [fe80::1%\x1b[31m] by c")
	f.Fuzz(func(t *testing.T, in string) {
		hop, ok := ParseReceived(in)
		if ok != hop.Client.IsValid() {
			t.Errorf("ok %v with client %v", ok, hop.Client)
		}
		// Nothing is made up: names are words of the field, and so is the address.
		text := strings.ReplaceAll(Unfold(in), "\t", " ")
		for _, s := range []string{hop.Helo, hop.Host, hop.By} {
			if strings.ContainsAny(s, "\r\n ") || !strings.Contains(text, s) {
				t.Errorf("%q in one word of %q", s, in)
			}
		}
		if ok {
			there := strings.FieldsFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF:.", r) })
			if hop.Client.Zone() != "" || hop.Client.Is4In6() || !slices.ContainsFunc(there, func(word string) bool {
				for ; word != ""; word = word[1:] { // "IPv6:" may stand before it
					if a, err := netip.ParseAddr(word); err == nil && a.Unmap() == hop.Client {
						return true
					}
				}
				return false
			}) {
				t.Errorf("client %s of %q", hop.Client, in)
			}
		}
		// A fold is a blank.
		if len(in) < receivedBytes/4 && !strings.ContainsAny(in, "\r\n") {
			if folded, _ := ParseReceived(strings.ReplaceAll(in, " ", "\r\n ")); folded != hop {
				t.Errorf("%q is %+v, folded %+v", in, hop, folded)
			}
		}
	})
}

// A zone names an interface of another host, and may be any text.
func TestReceivedWithoutZone(t *testing.T) {
	hop, ok := ParseReceived("from a ([IPv6:fe80::1%eth0\x1b]) by b")
	if want := netip.MustParseAddr("fe80::1"); !ok || hop.Client != want {
		t.Errorf("client %q, want %s", hop.Client, want)
	}
}
