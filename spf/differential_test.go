package spf

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	blitiri "blitiri.com.ar/go/spf"
)

// The other implementation of these tests is blitiri.com.ar/go/spf, another
// program by another author with the same RFC in hand. Both judge the same client
// by the same generated records; where they differ, one of the named differences
// below has to explain it, or the test fails.

// theirZone is the zone in the form of the other implementation: errors bare and
// marked temporary, addresses of both families together.
type theirZone struct {
	z        *zone
	odd      bool // asked for a name no DNS could hold
	oneLabel bool // asked for the record of a name of one label
	nameless bool // asked for the names of a client that has none
	oneSided bool // asked for a name that has addresses of one family only
}

func (r *theirZone) bare(name string, err error) error {
	if err == nil {
		return nil
	}
	if d, ok := errors.AsType[*net.DNSError](err); ok {
		return &net.DNSError{Err: d.Err, Name: d.Name, IsNotFound: d.IsNotFound, IsTemporary: !d.IsNotFound}
	}
	r.odd = r.odd || !isName(name)
	return &net.DNSError{Err: err.Error(), Name: name, IsNotFound: true}
}

func (r *theirZone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	name = strings.TrimSuffix(name, ".")
	r.oneLabel = r.oneLabel || !strings.Contains(name, ".")
	txts, err := r.z.LookupTXT(ctx, name)
	return txts, r.bare(name, err)
}

func (r *theirZone) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	name = strings.TrimSuffix(name, ".")
	mxs, err := r.z.LookupMX(ctx, name)
	return mxs, r.bare(name, err)
}

func (r *theirZone) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	host = strings.TrimSuffix(host, ".")
	v4, err := r.z.LookupIP(ctx, "ip4", host)
	v6, _ := r.z.LookupIP(ctx, "ip6", host)
	r.oneSided = r.oneSided || (len(v4) == 0) != (len(v6) == 0)
	var all []net.IPAddr
	for _, ip := range append(slices.Clone(v4), v6...) {
		all = append(all, net.IPAddr{IP: ip.AsSlice()})
	}
	return all, r.bare(host, err)
}

func (r *theirZone) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	names, err := r.z.LookupAddr(ctx, netip.MustParseAddr(addr))
	r.nameless = r.nameless || len(names) == 0
	return names, r.bare(addr, err)
}

// bout is one input with what both made of it.
type bout struct {
	args    Args
	records []string // those the two could have read
	ours    Result
	ourErr  error
	theirs  blitiri.Result
	their   error
	zone    *theirZone
}

// contains looks in all the records, letter case aside.
func (b *bout) contains(parts ...string) bool {
	all := strings.ToLower(strings.Join(b.records, " "))
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(all, p) })
}

// differences are all the ways in which the two are known to differ, each with
// the reason why ours is right, and an example.
var differences = []struct {
	reason string
	is     func(b *bout) bool

	// The example: example.org's record, and what is not the usual about the client.
	record  string
	args    Args
	example string // "ours, theirs"
}{
	{
		reason:  "a sender that is not a mailbox is refused (RFC 5321, section 4.1.2); they split at the first @",
		is:      func(b *bout) bool { return errors.Is(b.ourErr, ErrMailbox) || strings.HasPrefix(b.args.MailFrom, `"`) },
		record:  "v=spf1 +all",
		args:    Args{MailFrom: "(user@example.org"},
		example: "permerror, pass",
	}, {
		reason: "a name of one label has no SPF (RFC 7208, section 4.3); they ask the DNS",
		is: func(b *bout) bool {
			return b.ours.Reason == reasonName || b.ours.Reason == reasonHelo ||
				isAny(b.ourErr, ErrInclude, ErrRedirect) && b.zone.oneLabel
		},
		record:  "v=spf1 include:%{h}",
		args:    Args{Helo: "localhost"},
		example: "permerror, pass",
	}, {
		reason: "a syntax error anywhere is permerror (RFC 7208, section 4.6); they look at terms up to the match, " +
			"and check no top label, character set, exp= or unknown modifier",
		is: func(b *bout) bool { // the grammar must agree that there is an error
			return errors.Is(b.ourErr, ErrSyntax) && slices.ContainsFunc(b.records, func(r string) bool { return !abnfAccepts(r) })
		},
		record:  "v=spf1 +all a:museum",
		example: "permerror, pass",
	}, {
		reason: "a slash is a macro-literal and a delimiter (RFC 7208, section 7.1); they refuse it",
		is: func(b *bout) bool {
			return isAny(b.their, blitiri.ErrInvalidMacro, blitiri.ErrInvalidDomain, blitiri.ErrInvalidMask) && b.contains("/y.test", "/}")
		},
		record:  "v=spf1 exists:slash/y.test ~all",
		example: "softfail, permerror",
	}, {
		reason: "%{p} is the validated name and costs a look-up (RFC 7208, sections 7.3 and 4.6.4); to them it is unknown",
		is:     func(b *bout) bool { return b.contains("%{p") },
		record: "v=spf1 exists:%{p}.name.test -all", example: "pass, fail",
	}, {
		reason: "ip6 never matches an IPv4 client, mapped or not (RFC 7208, section 5); theirs matches ip6:::ffff:a.b.c.d",
		is:     func(b *bout) bool { return b.contains("ip6:") && b.contains("ffff:") && b.args.IP.Unmap().Is4() },
		record: "v=spf1 ip6:::ffff:192.0.2.1 -all", example: "fail, pass",
	}, {
		reason: "void is an answer without the type asked for (RFC 7208, section 4.6.4); they ask for A and AAAA together",
		is:     func(b *bout) bool { return errors.Is(b.ourErr, ErrVoids) && b.zone.oneSided },
		record: "v=spf1 a:v6.test a:v6.test a:v6.test -all", example: "permerror, fail",
	}, {
		reason:  "each ptr term without names is void (RFC 7208, section 4.6.4); they count the one query",
		is:      func(b *bout) bool { return errors.Is(b.ourErr, ErrVoids) && b.zone.nameless },
		record:  "v=spf1 ptr ptr ptr -all",
		args:    Args{IP: netip.MustParseAddr("203.0.113.9")},
		example: "permerror, fail",
	}, {
		reason: "mx stops at the name that matches; they look up all, and a failure of another is temperror",
		is: func(b *bout) bool {
			return b.theirs == blitiri.TempError && b.contains("mx:mbroken.test") && !errors.Is(b.ourErr, ErrDNS)
		},
		record: "v=spf1 mx:mbroken.test/0 -all", example: "pass, temperror",
	}, {
		reason: "a target no DNS query can hold is not asked for (RFC 7208, section 4.8) and so not void; they ask",
		is: func(b *bout) bool {
			return errors.Is(b.their, blitiri.ErrVoidLookupLimitReached) && (b.zone.odd || b.zone.nameless && b.contains("ptr:"))
		},
		record: "v=spf1 a:a..test a:a..test a:a..test -all", example: "fail, permerror",
	}, {
		reason: "a target that expands to nothing is no match either; to them it is permerror",
		is: func(b *bout) bool {
			return errors.Is(b.their, blitiri.ErrInvalidDomain) && b.args.Helo == "" && b.contains(":%{h}")
		},
		record: "v=spf1 exists:%{h} ~all", example: "softfail, permerror",
	}, {
		reason: "empty parts of a macro value stay, and a space is escaped as %20 (RFC 7208, section 7.3); they drop parts and write +",
		is: func(b *bout) bool {
			return b.contains("%{h", "%{l", "%{s") &&
				(strings.Contains(b.args.MailFrom, "--") || strings.Contains(b.args.Helo, "..") || strings.ContainsAny(b.args.Helo, " []"))
		},
		record:  "v=spf1 exists:%{l2r-}.parts.test -all",
		args:    Args{MailFrom: "a--b@example.org"},
		example: "fail, pass",
	},
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
}

// newBout lets both judge args with the records of example.org, one.test and
// two.test.
func newBout(t *testing.T, args Args, records ...string) *bout {
	z := zoneOf(world)
	b := &bout{args: args, records: records, zone: &theirZone{z: z}}
	for i, name := range []string{"example.org", "one.test", "two.test"} {
		z.txt[name] = []string{records[i]}
	}
	b.ours, b.ourErr = (&Verifier{Resolver: z}).CheckMailFrom(t.Context(), args)
	checkInvariants(t, b.ours, b.ourErr)

	sender := args.MailFrom
	switch { // they leave RFC 7208, sections 2.4 and 4.3, to the caller
	case sender == "":
		sender = "postmaster@" + args.Helo
	case sender[0] == '@':
		sender = "postmaster" + sender
	}
	b.theirs, b.their = blitiri.CheckHostWithSender(args.IP.AsSlice(), args.Helo, sender, blitiri.WithResolver(b.zone))
	return b
}

// judge returns what both say, or why they differ, and fails when nothing explains it.
func (b *bout) judge(t *testing.T) string {
	if string(b.ours.Status) == string(b.theirs) {
		return "both " + string(b.theirs)
	}
	for _, d := range differences {
		if d.is(b) {
			return d.reason
		}
	}
	t.Fatalf("unexplained difference: ours %s by %q (%v), theirs %s (%v)\n%+v\nexample.org %q\none.test %q\ntwo.test %q",
		b.ours.Status, b.ours.Mechanism, b.ourErr, b.theirs, b.their, b.args, b.records[0], b.records[1], b.records[2])
	return ""
}

// draw makes a bout of the bytes of a fuzz input.
func draw(t *testing.T, data []byte, raw string) *bout {
	src := source(data)
	args := Args{
		IP:       netip.MustParseAddr(diffClients[src.number(len(diffClients))]),
		MailFrom: src.choose(diffSenders),
		Helo:     src.choose(diffHelos),
	}
	return newBout(t, args, src.record(raw), src.record(raw), src.record(raw))
}

// Each listed difference is a real one: the list cannot outlive its reasons.
func TestDifferences(t *testing.T) {
	for _, d := range differences {
		args := d.args
		if !args.IP.IsValid() {
			args.IP = client4
		}
		args.MailFrom = cmp.Or(args.MailFrom, "user@example.org")
		b := newBout(t, args, d.record, "v=spf1", "v=spf1")
		if got := string(b.ours.Status) + ", " + string(b.theirs); got != d.example || b.judge(t) != d.reason {
			t.Errorf("%s\n%s: %s, want %s", d.reason, d.record, got, d.example)
		}
	}
}

func TestDifferential(t *testing.T) {
	random := rand.New(rand.NewPCG(7208, 1))
	found := map[string]int{}
	for range 6000 {
		data := make([]byte, 4+random.IntN(60))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		found[draw(t, data, "x=y").judge(t)]++
	}
	for name, n := range found {
		t.Logf("%5d %s", n, name)
	}
	// The generated records are not all nonsense.
	for _, status := range []Status{None, Neutral, Pass, Fail, Softfail, TempError, PermError} {
		if found["both "+string(status)] < 80 {
			t.Errorf("both %s only %d times", status, found["both "+string(status)])
		}
	}
}

func FuzzDifferential(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 0, 14, 0, 1, 0, 2, 0, 0, 0, 10, 2, 1, 0, 0, 7, 1}, "")
	f.Add([]byte{1, 3, 1, 8, 0, 21, 6, 2, 24, 6, 3, 33, 6, 4, 18, 2, 0, 5, 4, 5, 1, 0, 0, 9, 0}, "a:%{l}.test")
	f.Add([]byte{2, 5, 0, 2, 0, 0, 7, 12, 0, 0, 10, 2}, "+all")
	f.Fuzz(func(t *testing.T, data []byte, raw string) {
		if len(raw) > 200 || strings.Contains(strings.ToLower(raw), "redirect=") && len(raw) > 50 {
			return
		}
		draw(t, data, raw).judge(t)
	})
}
