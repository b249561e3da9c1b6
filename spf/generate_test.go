package spf

import "strings"

// world is the DNS the generated records speak of. example.org, one.test and
// two.test get theirs from the fuzzer.
const world = `
	v4.test A 192.0.2.1
	v4.test A 198.51.100.7
	v6.test AAAA 2001:db8::1
	both.test A 192.0.2.9
	both.test AAAA 2001:db8::9
	far.test A 203.0.113.200
	far.test AAAA 2001:db8:ffff::1
	nodata.test TXT nothing to see
	broken.test FAIL
	m.test MX nx.test
	m.test MX far.test
	m.test MX both.test
	m.test MX v4.test
	m.test MX v6.test
	mnull.test MX .
	mbroken.test MX far.test
	mbroken.test MX broken.test
	m11.test MX far.test
	m11.test MX far.test
	m11.test MX far.test
	m11.test MX far.test
	m11.test MX far.test
	m11.test MX far.test
	m11.test MX far.test
	m11.test MX far.test
	m11.test MX far.test
	m11.test MX far.test
	m11.test MX v4.test
	twice.test TXT v=spf1 -all
	twice.test TXT v=spf1 +all
	localhost TXT v=spf1 +all
	pass.test TXT v=spf1 +all
	fail.test TXT v=spf1 -all
	1.2.0.192.in-addr.arpa PTR lies.test
	1.2.0.192.in-addr.arpa PTR broken.test
	1.2.0.192.in-addr.arpa PTR host.example.org
	7.100.51.198.in-addr.arpa FAIL
	1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR host.example.org
	lies.test A 203.0.113.1
	host.example.org A 192.0.2.1
	host.example.org AAAA 2001:db8::1
	1.2.0.192.in-addr.list.test A 127.0.0.2
	1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.list.test A 127.0.0.2
	user.local.test A 127.0.0.2
	tag.user.local.test A 127.0.0.2
	example.org.domain.test A 127.0.0.2
	one.test.domain.test A 127.0.0.2
	mail.example.org.helo.test A 127.0.0.2
	host.example.org.name.test A 127.0.0.2
	b.a.parts.test A 127.0.0.2`

var (
	diffClients = []string{"192.0.2.1", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "198.51.100.7", "203.0.113.9", "2001:db8::9"}
	diffSenders = choice{
		good: []string{"user@example.org", "User+Tag@EXAMPLE.org", "@example.org", "", "a-b--c@one.test", "user+tag@example.org"},
		odd: []string{"user@nx.test", "user@twice.test", "user@broken.test", "user@localhost", `"a@b"@example.org`,
			"(user@example.org", "user@[192.0.2.1]"},
	}
	diffHelos = choice{
		good: []string{"mail.example.org", "example.org", "two.test"},
		odd:  []string{"localhost", "a..b", "OEM COMPUTER", "[192.0.2.1]", ""},
	}
	diffSpecs = choice{
		good: []string{"v4.test", "v6.test", "both.test", "far.test", "nx.test", "m.test", "mbroken.test", "pass.test", "fail.test", "one.test",
			"one.test", "two.test", "two.test", "V4.TEST.", "%{ir}.%{v}.list.test", "%{l}.local.test", "%{lr+}.local.test", "%{d}.domain.test",
			"%{D}.domain.test", "%{h}.helo.test", "%{H}.helo.test", "%{o}", "%{d2}", "%{l2r-}.local.test"},
		odd: []string{"nodata.test", "broken.test", "mnull.test", "m11.test", "twice.test", "example.org", "single", "a..test", "slash/y.test",
			"%{s}.test", "%{i}.test", "%{p}.test", "%{p}.helo.test", "%{h}", "x%%y%_z.test", "%{c}.test", "%{d0}.test", "%{d200}.test", "%{x}.test", "%{d",
			"%{d1}.test", "a:b.test", "a.b_c", "a.123"},
	}
	diffRecords = choice{ // for include and redirect: most have a record
		good: []string{"one.test", "two.test", "one.test", "two.test", "pass.test", "fail.test", "%{o}", "%{d2}"},
		odd:  []string{"example.org", "twice.test", "nx.test", "v4.test", "broken.test", "%{h}", "slash/y.test", "single", "%{l}.test"},
	}
	diffLengths = choice{
		good: []string{"", "", "", "/24", "/0", "//64", "/28//124"},
		odd:  []string{"/33", "//129", "/024", "/24/24"},
	}
	diffNetworks = choice{
		good: []string{"ip4:192.0.2.1", "ip4:192.0.2.200/24", "ip4:0.0.0.0/0", "ip4:203.0.113.0/30", "ip6:2001:db8::1", "ip6:2001:db8::/64",
			"ip6:::/0", "IP4:198.51.100.0/24"},
		odd: []string{"ip4:192.0.2", "ip4:192.0.2.0/33", "ip4:192.0.2.0/024", "ip4:2001:db8::1", "ip6:192.0.2.1", "ip6:::ffff:192.0.2.1",
			"ip6:::ffff:192.0.2.0/120", "ip6:2001:db8::/129"},
	}
	diffOthers = choice{
		good: []string{"all", "-all", "~all", "?all", "ALL", "x=y", "a=b", "x=%{c}"},
		odd:  []string{"all.", "x=%", "v=spf1", "=x", "-x=y", "moo"},
	}
)

// choice is a list of which the odd ones come up one time in eight.
type choice struct{ good, odd []string }

// source draws numbers and choices from the bytes of a fuzz input.
type source []byte

func (s *source) number(n int) int {
	if len(*s) == 0 {
		return 0
	}
	b := int((*s)[0])
	*s = (*s)[1:]
	return b % n
}

func (s *source) choose(c choice) string {
	if i := s.number(256); i < 224 {
		return c.good[i%len(c.good)]
	}
	return c.odd[s.number(len(c.odd))]
}

// record makes a record: few enough kinds of terms that valid records are common.
func (s *source) record(raw string) string {
	terms := []string{version}
	for range s.number(8) {
		q := []string{"", "", "+", "-", "~", "?"}[s.number(6)]
		switch s.number(24) {
		case 0, 1, 2, 3:
			terms = append(terms, q+"include:"+s.choose(diffRecords))
		case 4, 5, 6:
			terms = append(terms, q+"a:"+s.choose(diffSpecs)+s.choose(diffLengths))
		case 7, 8, 9:
			terms = append(terms, q+"mx:"+s.choose(diffSpecs)+s.choose(diffLengths))
		case 10:
			terms = append(terms, q+[]string{"a", "mx"}[s.number(2)]+s.choose(diffLengths))
		case 11:
			terms = append(terms, q+"ptr")
		case 12:
			terms = append(terms, q+"ptr:"+s.choose(diffSpecs))
		case 13, 14, 15:
			terms = append(terms, q+"exists:"+s.choose(diffSpecs))
		case 16, 17, 18:
			terms = append(terms, q+s.choose(diffNetworks))
		case 19, 20, 21, 22:
			terms = append(terms, s.choose(diffOthers))
		case 23:
			terms = append(terms, raw)
		}
	}
	switch s.number(8) {
	case 0, 1:
		terms = append(terms, "redirect="+s.choose(diffRecords))
	case 2:
		terms = append(terms, "exp="+s.choose(diffSpecs))
	}
	return strings.Join(terms, " ")
}
