package dnslist

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"milterd/internal/strictyaml"
	"milterd/message"
)

// everySubject asks for all lists whatever they are for.
var everySubject = subjects

// shipped returns the lists that ship, all of them enabled.
func shipped(t testing.TB) Lists {
	t.Helper()
	lists, _, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range lists {
		l.Enabled = true
		lists[name] = l
	}
	return lists
}

// write puts text into a file and returns its path.
func write(t testing.TB, name, text string) strictyaml.Path {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return strictyaml.Path(path)
}

func TestShipped(t *testing.T) {
	lists, never, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range lists {
		if l.Enabled {
			t.Errorf("%s is asked although nobody has read its terms", name)
		}
		if l.Terms == "" || l.Describe == "" || l.Daily == 0 {
			t.Errorf("%s has no terms, description or budget", name)
		}
	}
	active, err := shipped(t).For("checks.x", everySubject...)
	if err != nil || len(active) != len(lists) || len(active) < 10 {
		t.Errorf("%d of %d lists work: %v", len(active), len(lists), err)
	}
	for _, domain := range never {
		d, err := message.ParseDomain(domain)
		if err != nil || (Suffixes{}).Registrable(d.String()) != domain {
			t.Errorf("never: %s is no registrable domain (%v)", domain, err)
		}
	}
	deployed, err := os.ReadFile("../../deploy/dnslists.yaml")
	if err != nil || !bytes.Equal(deployed, Shipped) {
		t.Errorf("deploy/dnslists.yaml is not the file that is built in (%v)", err)
	}
}

// TestCodes holds the shipped lists to what their owners document.
func TestCodes(t *testing.T) {
	lists := shipped(t)
	for _, c := range []struct{ list, answer, want string }{
		{"spamhaus-zen", "127.0.0.2", "listed (spam, 127.0.0.2)"},
		{"spamhaus-zen", "127.0.0.4", "listed (exploit, 127.0.0.4)"},
		{"spamhaus-zen", "127.0.0.11", "listed (policy, 127.0.0.11)"},
		{"spamhaus-zen", "127.0.0.11 127.0.0.4 127.0.0.2", "listed (exploit, 127.0.0.4)"},
		{"spamhaus-zen", "127.0.0.2 127.0.0.77", "listed (spam, 127.0.0.2)"},
		{"spamhaus-zen", "127.0.0.77", "error (unmapped)"},
		{"spamhaus-zen", "127.255.255.254", "refused (refused)"},
		{"spamhaus-zen", "127.255.255.252", "refused (refused)"},
		{"spamhaus-zen", "127.0.0.2 127.255.255.255", "refused (refused)"},
		{"spamhaus-zen", "127.255.255.255 127.0.0.2", "refused (refused)"},
		{"spamhaus-zen", "203.0.113.1", "error (rewritten)"},
		{"spamhaus-zen", "127.0.0.2 203.0.113.1", "error (rewritten)"},
		{"spamhaus-zen", "0.0.0.0", "error (rewritten)"},
		{"spamhaus-zen", "", "clear"},
		{"spamhaus-dbl", "127.0.1.4", "listed (phish, 127.0.1.4)"},
		{"spamhaus-dbl", "127.0.1.103", "listed (abused, 127.0.1.103)"},
		{"spamhaus-dbl", "127.0.1.255", "refused (refused)"},
		{"surbl", "127.0.0.8", "listed (phish, 127.0.0.8)"},
		{"surbl", "127.0.0.72", "listed (phish, 127.0.0.72)"},
		{"surbl", "127.0.0.80", "listed (malware, 127.0.0.80)"},
		{"surbl", "127.0.0.1", "refused (refused)"},
		{"surbl", "127.0.1.8", "error (unmapped)"},
		{"surbl", "127.0.0.2", "error (unmapped)"},
		{"surbl", "127.0.0.32", "listed (ignore, 127.0.0.32)"},
		{"surbl", "127.0.0.96", "listed (spam, 127.0.0.96)"},
		{"uribl", "127.0.0.2", "listed (spam, 127.0.0.2)"},
		{"uribl", "127.0.0.3", "refused (refused)"},
		{"dnswl", "127.0.10.0", "listed (ignore, 127.0.10.0)"},
		{"dnswl", "127.0.5.3", "listed (allow-high, 127.0.5.3)"},
		{"dnswl", "127.0.0.255", "refused (refused)"},
		{"mailspike", "127.0.0.12", "listed (spam, 127.0.0.12)"},
		{"mailspike", "127.0.0.20", "listed (allow-high, 127.0.0.20)"},
		{"msbl-ebl", "127.0.0.2", "listed (spam, 127.0.0.2)"},
	} {
		l, there := lists[c.list]
		if !there {
			t.Fatalf("no list %s", c.list)
		}
		var addrs []netip.Addr
		for _, a := range strings.Fields(c.answer) {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		if got := l.Classify(addrs).String(); got != c.want {
			t.Errorf("%s, %q: %s, want %s", c.list, c.answer, got, c.want)
		}
	}
	l := lists["spamhaus-zen"]
	if got := l.Classify(slices.Repeat([]netip.Addr{netip.MustParseAddr("127.0.0.2")}, maxRecords+1)); got.Status != Failed {
		t.Errorf("more records than any list has: %s", got)
	}
}

// TestNames: what is asked is what RFC 5782 says, its own examples first.
func TestNames(t *testing.T) {
	list := &List{Zone: "bad.example.com", IPv6: true}
	name := func(q Question, ok bool) string {
		if !ok {
			return "none"
		}
		full, ok := q.full()
		if !ok {
			return "too long"
		}
		return full
	}
	addr := func(s string) string { return name(list.AboutAddr(Client, netip.MustParseAddr(s))) }
	email := func(h Hash, s string) string {
		a, err := message.ParseAddress(s)
		if err != nil {
			t.Fatal(err)
		}
		list.Hash = h
		return name(list.AboutEmail(a))
	}
	for _, c := range []struct{ got, want string }{
		{addr("192.0.2.99"), "99.2.0.192.bad.example.com"},
		{addr("::ffff:192.0.2.99"), "99.2.0.192.bad.example.com"},
		{addr("2001:db8:1:2:3:4:567:89ab"), "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bad.example.com"},
		{name((&List{Zone: "x.test"}).AboutAddr(Client, netip.MustParseAddr("2001:db8::1"))), "none"},
		{name(list.AboutAddr(Client, netip.Addr{})), "none"},
		{name(list.AboutDomain(URL, "evil.test")), "evil.test.bad.example.com"},
		{name(list.AboutDomain(URL, "test")), "none"},
		{name(list.AboutDomain(URL, "a..b")), "none"},
		{name(list.AboutDomain(Author, "192.0.2.1")), "none"},
		{name(list.AboutDomain(Author, "2.1")), "none"},
		{name(list.AboutDomain(Author, "1and1.test")), "1and1.test.bad.example.com"},
		{name(list.AboutDomain(URL, "a b.test")), "none"},
		{name(list.AboutDomain(URL, strings.Repeat("a.", 126))), "none"},
		{name(list.AboutDomain(URL, strings.Repeat("a.", 120)+"test")), "too long"},
		{email(SHA1, "John.Doe+news@Example.com"), "73ec53c4ba1747d485ae2a0d7bfafa6cda80a5a9.bad.example.com"},
		{email(MD5, "a@b.test"), "587aaf4ca8b4a2ee55d8e95eeeaf3c10.bad.example.com"},
		{email(SHA256, "a@b.test"), "3gh3p3kwhvvcoj6s3zq5h3ex3ppxnw6irelkkthpwmxd6vgvgh5a.bad.example.com"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
	if a, b := email(SHA1, "JOHN.DOE+x@example.com"), email(SHA1, "john.doe@example.COM"); a != b || len(a) != 40+len(".bad.example.com") {
		t.Errorf("%s, %s", a, b)
	}
}

func TestFiles(t *testing.T) {
	t.Setenv("DQS", "k3y")
	path := write(t, "lists.yaml", `
lists:
  spamhaus-zen: {enabled: true, zone: "${env:DQS}.zen.dq.spamhaus.net", codes: {127.0.0.10-11: ignore}}
  mine: {enabled: true, zone: bl.example.org, ask: [client], codes: {127.0.0.2: spam}, daily: 10}
never: [example.org]
`)
	lists, never, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	active, err := lists.For("checks.dnsbl", Client)
	if err != nil || len(active) != 2 {
		t.Fatalf("%v, %v", active, err)
	}
	zen := active[1]
	if zen.Zone != "k3y.zen.dq.spamhaus.net" || zen.Group != "spamhaus" || !zen.IPv6 {
		t.Errorf("%+v", zen)
	}
	for code, want := range map[string]Class{"127.0.0.10": Ignore, "127.0.0.2": Spam} {
		if a := zen.Classify([]netip.Addr{netip.MustParseAddr(code)}); a.Class != want {
			t.Errorf("%s: %s", code, a)
		}
	}
	if !slices.Contains(never, "example.org") || !slices.Contains(never, "w3.org") {
		t.Errorf("never %v", never)
	}
}

// TestBadFiles: every mistake is told with its place, and a secret zone never is.
func TestBadFiles(t *testing.T) {
	t.Setenv("KEY", "S3CRET KEY")
	for text, want := range map[string]string{
		"lists: {x: {zon: a.test}}":                               "lists.yaml:1:13: lists.x.zon: unknown key",
		"lists: {x: {codes: {128.0.0.1: spam}}}":                  "not a return code",
		"lists: {x: {codes: {127.0.0.9-2: spam}}}":                "not a return code",
		"lists: {x: {codes: {127.0.0.+2: spam}}}":                 "not a return code",
		"lists: {x: {codes: {127.0.0.2: spma}}}":                  "did you mean",
		"lists: {x: {codes: {127.255.255.254: spam}}}":            "always means that the list does not answer us",
		"lists: {x: {bits: {3: spam}}}":                           "not a bit",
		"lists: {x: {ask: [clint]}}":                              "did you mean",
		"lists: {x: {enabled: true}}":                             "lists.yaml:1:12: checks.dnsbl.lists.x.zone: missing",
		"lists: {X: {zone: x.test}}":                              "not a name for a list",
		"lists: {x: {enabled: true, zone: x.test}}":               "checks.dnsbl.lists.x.ask: missing",
		"lists: {x: {enabled: true, zone: x.test, ask: [email]}}": "nothing that this check asks about",
		`lists: {x: {enabled: true, zone: "${env:KEY}.test"}}`:    "not a domain name in lower case",
		"lists: {x: {enabled: true, daily: -1}}":                  "checks.dnsbl.lists.x.daily: got -1",
		"lists: {x: {enabled: true, zone: x.test, ask: [client, helo], codes: {127.0.0.2: allow-high}}}": "ask: [client] beside it",
		"lists: {x: {enabled: true, test: {listed: a b}}}":                                               "checks.dnsbl.lists.x.test.listed: not a name",
	} {
		lists, _, err := Load(write(t, "lists.yaml", text))
		if err == nil {
			_, err = lists.For("checks.dnsbl", Client)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "S3CRET") {
			t.Errorf("%s: the secret is told: %v", text, err)
		}
	}
	if _, _, err := Load("/nowhere/lists.yaml"); err == nil {
		t.Error("a file that is not there is none to be read")
	}
}

func TestSuffixes(t *testing.T) {
	path := write(t, "suffixes.txt", "// ours\nhoster.test\n*.city.test  # each\n!www.city.test\nsites.co.uk\n")
	s, err := ReadSuffixes(path)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"a.b.hoster.test": "b.hoster.test", "b.hoster.test": "b.hoster.test", "hoster.test": "hoster.test",
		"x.y.berlin.city.test": "y.berlin.city.test", "berlin.city.test": "berlin.city.test", "a.www.city.test": "www.city.test",
		"a.shop.sites.co.uk": "shop.sites.co.uk", "www.example.co.uk": "example.co.uk", "co.uk": "co.uk", "localhost": "localhost",
		"a.b.github.io": "b.github.io", "": "",
	} {
		if got := s.Registrable(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	if _, err := ReadSuffixes(write(t, "bad.txt", "good.test\n  bad_name.test\n")); err == nil || !strings.Contains(err.Error(), "bad.txt:2:3:") {
		t.Errorf("%v", err)
	}
}
