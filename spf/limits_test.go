package spf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var client4 = netip.MustParseAddr("192.0.2.1")

// checkRecord evaluates record as the one of example.org for client4 in the DNS of z.
func checkRecord(t *testing.T, z *zone, record string) (Result, error) {
	t.Helper()
	z.txt["example.org"] = []string{record}
	res, err := (&Verifier{Resolver: z, Explain: true}).CheckMailFrom(t.Context(),
		Args{IP: client4, Helo: "mail.example.org", MailFrom: "user@example.org"})
	checkInvariants(t, res, err)
	return res, err
}

func TestLimits(t *testing.T) {
	tests := map[string]struct {
		zone   string
		record string
		status Status
		reason error
		// lookups and voids of the result
		lookups, voids int
	}{
		"ip4, ip6, all and exp are free": {
			record: "v=spf1" + strings.Repeat(" ip4:203.0.113.1 ip6:2001:db8::9", 20) + " ?all exp=nx.test",
			status: Neutral,
		},
		"10 terms": {
			zone:   "a.test A 203.0.113.1",
			record: "v=spf1" + strings.Repeat(" a:a.test", 10) + " -all",
			status: Fail, lookups: 10,
		},
		"11 terms": {
			zone:   "a.test A 203.0.113.1",
			record: "v=spf1" + strings.Repeat(" a:a.test", 11) + " -all",
			status: PermError, reason: ErrLookups, lookups: 10,
		},
		"11th is not reached": {
			zone:   "a.test A 192.0.2.1",
			record: "v=spf1 a:a.test" + strings.Repeat(" a:b.test", 10),
			status: Pass, lookups: 1,
		},
		"redirect counts": {
			zone:   "a.test A 203.0.113.1\nr.test TXT v=spf1 -all",
			record: "v=spf1" + strings.Repeat(" a:a.test", 10) + " redirect=r.test",
			status: PermError, reason: ErrLookups, lookups: 10,
		},
		"terms of an include count": {
			zone:   "a.test A 203.0.113.1\ni.test TXT v=spf1" + strings.Repeat(" a:a.test", 6),
			record: "v=spf1 include:i.test" + strings.Repeat(" a:a.test", 4) + " -all",
			status: PermError, reason: ErrLookups, lookups: 10,
		},
		"%{p} counts once": {
			zone:   "1.2.0.192.in-addr.arpa PTR h.test\nh.test A 192.0.2.1\nh.test.x.test A 127.0.0.1\na.test A 203.0.113.1",
			record: "v=spf1" + strings.Repeat(" a:a.test", 7) + " -a:%{p}.y%{p}.test exists:%{p}.x.test",
			status: Pass, lookups: 10, voids: 1,
		},
		"%{p} is one too many": {
			zone:   "a.test A 203.0.113.1",
			record: "v=spf1" + strings.Repeat(" a:a.test", 9) + " exists:%{p}.x.test",
			status: PermError, reason: ErrLookups, lookups: 10,
		},
		"include of itself": {
			record: "v=spf1 include:example.org -all",
			status: PermError, reason: ErrLookups, lookups: 10,
		},
		"redirect to itself": {
			record: "v=spf1 redirect=example.org",
			status: PermError, reason: ErrLookups, lookups: 10,
		},
		"2 voids": {
			record: "v=spf1 a:nx.test mx:nx.test -all",
			status: Fail, lookups: 2, voids: 2,
		},
		"3 voids, NXDOMAIN and NODATA alike": {
			zone:   "nodata.test TXT x",
			record: "v=spf1 a:nx.test exists:nodata.test mx:nodata.test +all",
			status: PermError, reason: ErrVoids, lookups: 3, voids: 3,
		},
		"voids of includes add up": {
			zone:   "i.test TXT v=spf1 a:nx.test exists:nx.test",
			record: "v=spf1 a:nx.test include:i.test +all",
			status: PermError, reason: ErrVoids, lookups: 4, voids: 3,
		},
		"a name without the client's family is void": {
			zone:   "six.test AAAA 2001:db8::1",
			record: "v=spf1 a:six.test -all",
			status: Fail, lookups: 1, voids: 1,
		},
		"each ptr without names is void": {
			record: "v=spf1 ptr ptr ptr +all",
			status: PermError, reason: ErrVoids, lookups: 3, voids: 3,
		},
		"names of an mx are not voids": {
			zone:   "m.test MX a.test\nm.test MX b.test\nm.test MX c.test\nm.test MX d.test",
			record: "v=spf1 mx:m.test -all",
			status: Fail, lookups: 1,
		},
		"10 names of an mx": {
			zone:   mxZone(10),
			record: "v=spf1 mx:m.test -all",
			status: Pass, lookups: 1,
		},
		"11 names of an mx, though the first matches": {
			zone:   "a0.test A 192.0.2.1\n" + mxZone(11),
			record: "v=spf1 mx:m.test -all",
			status: PermError, reason: ErrMX, lookups: 1,
		},
		"null MX": {
			zone:   "m.test MX .",
			record: "v=spf1 mx:m.test -all",
			status: Fail, lookups: 1,
		},
		"10th name of the client": {
			zone:   ptrZone(10),
			record: "v=spf1 ptr:good.test -all",
			status: Pass, lookups: 1,
		},
		"11th name of the client is ignored": {
			zone:   ptrZone(11),
			record: "v=spf1 ptr:good.test -all",
			status: Fail, lookups: 1,
		},
		"names of the client no DNS could hold": {
			zone: "1.2.0.192.in-addr.arpa PTR a..test\n1.2.0.192.in-addr.arpa PTR b\x01.test\n" +
				"1.2.0.192.in-addr.arpa PTR " + strings.Repeat("x", 64) + ".test",
			record: "v=spf1 ptr:test -exists:%{p}.x.test ?all",
			status: PermError, reason: ErrSyntax, // ptr:test has one label
		},
		"broken reverse zone": {
			zone:   "1.2.0.192.in-addr.arpa FAIL",
			record: "v=spf1 ptr -all",
			status: Fail, lookups: 1,
		},
		"broken reverse zone in a macro": {
			zone:   "1.2.0.192.in-addr.arpa FAIL\nunknown.x.test A 127.0.0.1",
			record: "v=spf1 exists:%{p}.x.test -all",
			status: Pass, lookups: 2,
		},
		"name of the client that fails to resolve": {
			zone:   "1.2.0.192.in-addr.arpa PTR bad.example.org\n1.2.0.192.in-addr.arpa PTR good.example.org\nbad.example.org FAIL\ngood.example.org A 192.0.2.1",
			record: "v=spf1 ptr -all",
			status: Pass, lookups: 1,
		},
		"8 KiB": {
			record: "v=spf1 -all x=" + strings.Repeat("y", maxRecord-len("v=spf1 -all x=")),
			status: Fail,
		},
		"4000 terms": {
			zone:   "example.org A 203.0.113.1",
			record: "v=spf1" + strings.Repeat(" a", 4000),
			status: PermError, reason: ErrLookups, lookups: 10,
		},
		"more than 8 KiB": {
			record: "v=spf1 -all x=" + strings.Repeat("y", maxRecord),
			status: PermError, reason: ErrRecordSize,
		},
		"a DNS failure is temperror":      {zone: "a.test FAIL", record: "v=spf1 a:a.test +all", status: TempError, reason: ErrDNS, lookups: 1},
		"a timeout is temperror":          {zone: "a.test TIMEOUT", record: "v=spf1 exists:a.test +all", status: TempError, reason: ErrDNS, lookups: 1},
		"in the addresses of an mx too":   {zone: "m.test MX a.test\na.test FAIL", record: "v=spf1 mx:m.test +all", status: TempError, reason: ErrDNS, lookups: 1},
		"in an include too":               {zone: "i.test FAIL", record: "v=spf1 include:i.test +all", status: TempError, reason: ErrDNS, lookups: 1},
		"in a redirect too":               {zone: "i.test FAIL", record: "v=spf1 redirect=i.test", status: TempError, reason: ErrDNS, lookups: 1},
		"not behind the match":            {zone: "a.test FAIL", record: "v=spf1 ip4:192.0.2.0/24 a:a.test", status: Pass},
		"include without record":          {zone: "i.test TXT x", record: "v=spf1 include:i.test +all", status: PermError, reason: ErrInclude, lookups: 1},
		"include without domain":          {record: "v=spf1 include:i.test +all", status: PermError, reason: ErrInclude, lookups: 1},
		"include of a malformed name":     {record: "v=spf1 include:a..test +all", status: PermError, reason: ErrInclude, lookups: 1},
		"include of one label by a macro": {record: "v=spf1 include:%{o1} +all", status: PermError, reason: ErrInclude, lookups: 1},
		"redirect without record":         {zone: "r.test A 192.0.2.1", record: "v=spf1 redirect=r.test", status: PermError, reason: ErrRedirect, lookups: 1},
		"redirect to a malformed name":    {record: "v=spf1 redirect=a..test", status: PermError, reason: ErrRedirect, lookups: 1},
		"redirect beside all":             {record: "v=spf1 redirect=a..test ?all", status: Neutral},
		"two records":                     {zone: "i.test TXT v=spf1 -all\ni.test TXT V=SPF1", record: "v=spf1 include:i.test", status: PermError, reason: ErrMultipleRecords, lookups: 1},
		"syntax error behind the match":   {record: "v=spf1 +all a:museum", status: PermError, reason: ErrSyntax},
		"malformed target is no match":    {record: "v=spf1 a:a..test mx:a..test ptr:a..test exists:a..test -all", status: Fail, lookups: 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			res, err := checkRecord(t, zoneOf(test.zone), test.record)
			if res.Status != test.status || !errors.Is(err, test.reason) {
				t.Errorf("%s (%v), want %s (%v)", res.Status, err, test.status, test.reason)
			}
			if res.Lookups != test.lookups || res.Voids != test.voids {
				t.Errorf("%d look-ups, %d void, want %d, %d", res.Lookups, res.Voids, test.lookups, test.voids)
			}
		})
	}
}

// mxZone gives m.test n mail exchangers, the last with the client's address.
func mxZone(n int) string {
	s := ""
	for i := range n {
		s += fmt.Sprintf("m.test MX a%d.test\n", i)
	}
	return s + fmt.Sprintf("a%d.test A 192.0.2.1\n", n-1)
}

// ptrZone gives the client n names, the last of which is below good.test.
func ptrZone(n int) string {
	s := ""
	for i := range n - 1 {
		s += fmt.Sprintf("1.2.0.192.in-addr.arpa PTR a%d.other.test.\n", i)
	}
	return s + "1.2.0.192.in-addr.arpa PTR x.good.test.\nx.good.test A 192.0.2.1"
}

func TestLimitsCanBeRaised(t *testing.T) {
	z := zoneOf("example.org TXT v=spf1 a:a.test a:b.test a:c.test a:d.test mx:m.test -all\n" + mxZone(12))
	v := &Verifier{Resolver: z, MaxVoids: 4, MaxMX: 12}
	res, err := v.CheckMailFrom(t.Context(), Args{IP: client4, MailFrom: "user@example.org"})
	if res.Status != Pass || err != nil {
		t.Errorf("%+v, %v", res, err)
	}
	z = zoneOf("example.org TXT v=spf1 redirect=example.org")
	v = &Verifier{Resolver: z, MaxLookups: 1000}
	res, err = v.CheckMailFrom(t.Context(), Args{IP: client4, MailFrom: "user@example.org"})
	if res.Status != PermError || !errors.Is(err, ErrDepth) || len(z.asked) != maxDepth+1 {
		t.Errorf("%+v, %v after %d queries", res, err, len(z.asked))
	}
	z = zoneOf("example.org TXT v=spf1 ptr:good.test -all\n" + ptrZone(12))
	v = &Verifier{Resolver: z, MaxPTR: 12}
	res, err = v.CheckMailFrom(t.Context(), Args{IP: client4, MailFrom: "user@example.org"})
	if res.Status != Pass || err != nil {
		t.Errorf("%+v, %v", res, err)
	}
}

// budget is a Resolver whose sender has used up its DNS work after some queries.
type budget struct {
	*zone
	left int
}

type budgetUsedUp struct{}

func (budgetUsedUp) Error() string        { return "budget of 100 queries used up" }
func (budgetUsedUp) BudgetExceeded() bool { return true }

func (b *budget) spend() error {
	if b.left--; b.left < 0 {
		// As a resolver would wrap it, with flags that say temporary.
		return fmt.Errorf("spf: %w", errors.Join(&net.DNSError{Err: "refused", IsTemporary: true}, budgetUsedUp{}))
	}
	return nil
}

func (b *budget) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if err := b.spend(); err != nil {
		return nil, err
	}
	return b.zone.LookupTXT(ctx, name)
}

func (b *budget) LookupIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if err := b.spend(); err != nil {
		return nil, err
	}
	return b.zone.LookupIP(ctx, network, host)
}

func (b *budget) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	if err := b.spend(); err != nil {
		return nil, err
	}
	return b.zone.LookupMX(ctx, name)
}

func (b *budget) LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error) {
	if err := b.spend(); err != nil {
		return nil, err
	}
	return b.zone.LookupAddr(ctx, addr)
}

// everyTerm uses each kind of look-up; only -all matches.
const everyTerm = `
	example.org TXT v=spf1 include:i.test a:a.test mx:m.test ptr:p.test exists:%{p}.nx.test redirect=r.test
	i.test TXT v=spf1 a:a.test
	a.test A 203.0.113.1
	m.test MX a.test
	1.2.0.192.in-addr.arpa PTR x.p.test
	x.p.test A 203.0.113.1
	r.test TXT v=spf1 -all exp=e.test
	e.test TXT See %{p} at %{r}, %{t}`

// Wherever the budget ends, the result is permerror: never temperror, never what
// the terms behind would have said.
func TestBudget(t *testing.T) {
	args := Args{IP: client4, Helo: "mail.example.org", MailFrom: "user@example.org"}
	queries := 0
	for left := 0; ; left++ {
		b := &budget{zone: zoneOf(everyTerm), left: left}
		res, err := (&Verifier{Resolver: b}).CheckMailFrom(t.Context(), args)
		checkInvariants(t, res, err)
		if b.left >= 0 {
			if res.Status != Fail {
				t.Errorf("within the budget: %+v, %v", res, err)
			}
			queries = left
			break
		}
		if res.Status != PermError || !errors.Is(err, ErrBudget) {
			t.Errorf("budget of %d: %s, %v", left, res.Status, err)
		}
	}
	if queries != 10 {
		t.Errorf("%d queries were needed, want 10", queries)
	}

	// For the explanation it only costs the explanation.
	for left, want := range map[int]string{queries: "", queries + 1: "See unknown at unknown, 99"} {
		v := &Verifier{Resolver: &budget{zone: zoneOf(everyTerm), left: left}, Explain: true,
			Now: func() time.Time { return time.Unix(99, 0) }}
		res, err := v.CheckMailFrom(t.Context(), args)
		if res.Status != Fail || err != nil || res.Explanation != want {
			t.Errorf("budget of %d: %+v, %v", left, res, err)
		}
	}
}

// dying ends the context with the n-th query.
type dying struct {
	budget
	cancel context.CancelFunc
}

func (d *dying) LookupTXT(ctx context.Context, name string) ([]string, error) {
	d.tick()
	return d.zone.LookupTXT(ctx, name)
}

func (d *dying) LookupIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	d.tick()
	return d.zone.LookupIP(ctx, network, host)
}

func (d *dying) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	d.tick()
	return d.zone.LookupMX(ctx, name)
}

func (d *dying) LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error) {
	d.tick()
	return d.zone.LookupAddr(ctx, addr)
}

func (d *dying) tick() {
	if d.left--; d.left < 0 {
		d.cancel()
	}
}

func TestTimeIsUp(t *testing.T) {
	for left := range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		d := &dying{budget: budget{zone: zoneOf(everyTerm), left: left}, cancel: cancel}
		res, err := (&Verifier{Resolver: d}).CheckMailFrom(ctx, Args{IP: client4, MailFrom: "user@example.org"})
		checkInvariants(t, res, err)
		if res.Status != TempError || !errors.Is(err, ErrTime) || d.left != -1 {
			t.Errorf("time is up at query %d: %+v, %v, %d queries later", left, res, err, -1-d.left)
		}
		cancel()
	}
}
