package iprev

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/authres"
	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/message"
)

// names are n names of 192.0.2.n, the last in the alphabet of which leads back.
func names(n int) []string {
	var records []string
	for i := range n - 1 {
		records = append(records, fmt.Sprintf("PTR n%02d.many.test.", i))
	}
	return append(records, "PTR right.many.test.")
}

var zone = dnstest.Zone{
	"1.2.0.192.in-addr.arpa": {"PTR Mail.Good.test."},
	"mail.good.test":         {"A 192.0.2.9", "A 192.0.2.1"},
	"2.2.0.192.in-addr.arpa": {"PTR mail.bank.test.", "PTR www.bank.test."},
	"mail.bank.test":         {"A 198.51.100.1"},
	"www.bank.test":          {"TXT no address"},
	// .3 has no name, .4 an empty zone behind it
	"4.2.0.192.in-addr.arpa":  {"TXT no name"},
	"5.2.0.192.in-addr.arpa":  {"PTR gone.test."},
	"6.2.0.192.in-addr.arpa":  {"PTR mail.good.test."}, // broken
	"7.2.0.192.in-addr.arpa":  {"PTR broken.test.", "PTR x.good.test."},
	"x.good.test":             {"A 192.0.2.77"},
	"8.2.0.192.in-addr.arpa":  {"PTR broken.test.", "PTR y.good.test."},
	"y.good.test":             {"A 192.0.2.8"},
	"10.2.0.192.in-addr.arpa": names(10),
	"11.2.0.192.in-addr.arpa": names(11),
	"right.many.test":         {"A 192.0.2.10", "A 192.0.2.11"},
	"b.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": {"PTR six.good.test."},
	"six.good.test": {"AAAA 2001:db8::b", "A 192.0.2.1"},
}

func start(t testing.TB) (*dnstest.Server, *dns.Resolver) {
	t.Helper()
	s := dnstest.Start(t, zone)
	s.Lie("6.2.0.192.in-addr.arpa", dnstest.ServFail)
	s.Lie("broken.test", dnstest.ServFail)
	r, err := dns.New(dns.Options{Servers: []string{s.Addr()}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return s, r
}

func TestRun(t *testing.T) {
	s, r := start(t)
	h := checktest.New(t, Spec(), "", checks.Env{Resolver: r})
	for _, test := range []struct {
		name    string
		mail    checktest.Mail
		finding string
		outcome checks.Outcome
		auth    string
		queries int // at most; -1: none
	}{
		{"the MTA has a name", checktest.Mail{Client: "192.0.2.2", Host: "mail.example.org"},
			"IPREV_PASS", checks.Clean, "iprev=pass (mail.example.org) policy.iprev=192.0.2.2", -1},
		{"the MTA has none", checktest.Mail{Client: "192.0.2.1"},
			"IPREV_PASS", checks.Clean, "iprev=pass (mail.good.test) policy.iprev=192.0.2.1", 2},
		{"the MTA has an address", checktest.Mail{Client: "192.0.2.1", Host: "[192.0.2.1]"},
			"IPREV_PASS", checks.Clean, "iprev=pass (mail.good.test) policy.iprev=192.0.2.1", 2},
		{"IPv4 in IPv6", checktest.Mail{Client: "::ffff:192.0.2.1"},
			"IPREV_PASS", checks.Clean, "iprev=pass (mail.good.test) policy.iprev=192.0.2.1", 2},
		{"IPv6", checktest.Mail{Client: "2001:db8::b"},
			"IPREV_PASS", checks.Clean, `iprev=pass (six.good.test) policy.iprev="2001:db8::b"`, 2},
		{"no agreement", checktest.Mail{Client: "192.0.2.2"},
			"IPREV_FAIL", checks.Found, "iprev=fail (mail.bank.test, www.bank.test) policy.iprev=192.0.2.2", 3},
		{"a name that does not exist", checktest.Mail{Client: "192.0.2.5"},
			"IPREV_FAIL", checks.Found, "iprev=fail (gone.test) policy.iprev=192.0.2.5", 2},
		{"no name", checktest.Mail{Client: "192.0.2.3"},
			"IPREV_NONE", checks.PermError, "iprev=permerror policy.iprev=192.0.2.3", 1},
		{"no name, and records of another type", checktest.Mail{Client: "192.0.2.4"},
			"IPREV_NONE", checks.PermError, "iprev=permerror policy.iprev=192.0.2.4", 1},
		{"DNS trouble with the address", checktest.Mail{Client: "192.0.2.6"},
			"IPREV_TEMPERROR", checks.TempError, "iprev=temperror policy.iprev=192.0.2.6", 3},
		{"DNS trouble with one name, the other is wrong", checktest.Mail{Client: "192.0.2.7"},
			"IPREV_TEMPERROR", checks.TempError, "iprev=temperror (broken.test, x.good.test) policy.iprev=192.0.2.7", 5},
		{"DNS trouble with one name, the other is right", checktest.Mail{Client: "192.0.2.8"},
			"IPREV_PASS", checks.Clean, "iprev=pass (y.good.test) policy.iprev=192.0.2.8", 5},
		{"the tenth name", checktest.Mail{Client: "192.0.2.10"},
			"IPREV_PASS", checks.Clean, "iprev=pass (right.many.test) policy.iprev=192.0.2.10", 11},
		{"the eleventh name", checktest.Mail{Client: "192.0.2.11"}, "IPREV_FAIL", checks.Found,
			"iprev=fail (n00.many.test, n01.many.test, n02.many.test, n03.many.test, n04.many.test, " +
				"n05.many.test, n06.many.test, n07.many.test, n08.many.test, n09.many.test) policy.iprev=192.0.2.11", 11},
		{"behind a relay its word is not enough", checktest.Mail{Client: "192.0.2.2", Host: "mail.example.org", Peer: message.Relay},
			"IPREV_FAIL", checks.Found, "iprev=fail (mail.bank.test, www.bank.test) policy.iprev=192.0.2.2", 3},
		{"behind a fetcher", checktest.Mail{Client: "192.0.2.1", Peer: message.Fetcher},
			"IPREV_PASS", checks.Clean, "iprev=pass (mail.good.test) policy.iprev=192.0.2.1", 2},

		{"no client", checktest.Mail{Client: "unknown"}, "", checks.None, "none", -1},
		{"no client behind a relay", checktest.Mail{Client: "unknown", Peer: message.Relay}, "", checks.None, "none", -1},
		{"this host", checktest.Mail{Client: "127.0.0.1", Host: "localhost"}, "", checks.None, "none", -1},
		{"private", checktest.Mail{Client: "10.1.2.3"}, "", checks.None, "none", -1},
		{"private, IPv6", checktest.Mail{Client: "fd00::1"}, "", checks.None, "none", -1},
		{"private, IPv4 in IPv6", checktest.Mail{Client: "::ffff:192.168.1.1"}, "", checks.None, "none", -1},
		{"link-local", checktest.Mail{Client: "fe80::1%eth0"}, "", checks.None, "none", -1},
		{"no address at all", checktest.Mail{Client: "0.0.0.0"}, "", checks.None, "none", -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := s.Total()
			res := h.Run(test.mail)
			finding := ""
			for _, f := range res.Findings {
				finding += f.Name
				if len(f.Detail) == 0 || len(f.Detail) > maxDetail {
					t.Errorf("detail %q", f.Detail)
				}
			}
			if finding != test.finding || res.Ended() != test.outcome || res.Demand != nil {
				t.Errorf("%s, %s, %+v; want %s, %s", finding, res.Ended(), res.Demand, test.finding, test.outcome)
			}
			field := authres.Field{AuthservID: "mx.test", Methods: res.Auth}.String()
			if got := strings.Join(strings.Fields(strings.TrimPrefix(field, "mx.test;")), " "); got != test.auth {
				t.Errorf("%s, want %s", got, test.auth)
			}
			if n := s.Total() - before; n > max(test.queries, 0) {
				t.Errorf("%d questions, want at most %d", n, test.queries)
			}
		})
	}
}

// resolver answers as it is told.
type resolver struct {
	checks.Resolver
	names []string
	ptr   error
	hosts map[string]error
	asked []string
}

func (r *resolver) LookupAddr(context.Context, netip.Addr) ([]string, error) { return r.names, r.ptr }

func (r *resolver) LookupIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	r.asked = append(r.asked, network+" "+host)
	return nil, r.hosts[host]
}

// TestBudget: names that cost too much are a permerror, and the DNS is not blamed.
// Where it is in trouble as well, that is what is said.
func TestBudget(t *testing.T) {
	temporary := errors.New("nobody answers")
	for name, test := range map[string]struct {
		r    resolver
		want string
	}{
		"at once":           {resolver{ptr: dns.ErrBudget}, "IPREV_PERMERROR"},
		"later":             {resolver{names: []string{"a.", "b."}, hosts: map[string]error{"b": dns.ErrBudget}}, "IPREV_PERMERROR"},
		"and trouble later": {resolver{names: []string{"a.", "b."}, hosts: map[string]error{"a": dns.ErrBudget, "b": temporary}}, "IPREV_TEMPERROR"},
		"and trouble":       {resolver{names: []string{"a.", "b."}, hosts: map[string]error{"a": temporary, "b": dns.ErrBudget}}, "IPREV_TEMPERROR"},
	} {
		res := checktest.New(t, Spec(), "", checks.Env{Resolver: &test.r}).Run(checktest.Mail{})
		if got := res.Findings[0].Name; got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestOrder: the same names in another order are the same questions.
func TestOrder(t *testing.T) {
	r := &resolver{names: []string{"c.test.", "A.test.", "b.test.", "a.test.", "."}}
	checktest.New(t, Spec(), "", checks.Env{Resolver: r}).Run(checktest.Mail{})
	if want := []string{"ip4 a.test", "ip4 b.test", "ip4 c.test"}; !slices.Equal(r.asked, want) {
		t.Errorf("asked %q, want %q", r.asked, want)
	}
}

// TestTime: a check that has to stop says so, and does not call it the DNS's fault.
func TestTime(t *testing.T) {
	_, r := start(t)
	h := checktest.New(t, Spec(), "", checks.Env{Resolver: r})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Try(ctx, checktest.Mail{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestHostile: what a stranger puts into the DNS reaches header and log harmless.
func TestHostile(t *testing.T) {
	for _, name := range []string{"x); dmarc=pass (y", "a\r\nX-Spam: no", strings.Repeat("a.", 120), "é\x00\u202e", `"\`} {
		r := &resolver{names: []string{name + "."}}
		res := checktest.New(t, Spec(), "", checks.Env{Resolver: r}).Run(checktest.Mail{}) // looks at the detail
		field := authres.Field{AuthservID: "mx.test", Methods: res.Auth}.String()
		back, err := authres.Parse(field)
		if err != nil || len(back.Methods) != 1 || back.Methods[0].Result != "fail" {
			t.Errorf("%q: %q, %v", name, field, err)
		}
	}
}

func TestConfig(t *testing.T) {
	got := config{}
	if err := checktest.Section(sample).Decode(&got); err != nil || got != defaults() {
		t.Errorf("sample.yaml is %+v, %v; the defaults are %+v", got, err, defaults())
	}
	if _, err := checktest.TryNew(t, Spec(), "enable: true", checks.Env{}); err == nil || !strings.Contains(err.Error(), "enabled") {
		t.Errorf("unknown key: %v", err)
	}
	if spec := Spec(); spec.OnError != defaults().OnError || spec.Outbound {
		t.Errorf("%+v", spec)
	}
}

func BenchmarkVerified(b *testing.B) {
	h := checktest.New(b, Spec(), "", checks.Env{})
	in := &checks.Input{Message: &message.Message{Session: &message.Session{Client: netip.MustParseAddr("192.0.2.1"), Host: "mail.good.test"}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Check().Run(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
