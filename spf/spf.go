// Package spf implements the Sender Policy Framework, version 1 (RFC 7208).
//
// A domain owner publishes one DNS TXT record that names the hosts allowed to
// use the domain as sender:
//
//	example.org. TXT "v=spf1 ip4:192.0.2.0/24 include:_spf.example.net -all"
//
// A receiving mail server asks, for the address of the client at the other end
// of the connection and the sender it gave, what that record says. The terms
// are tried from left to right; the first mechanism that matches decides by its
// qualifier: + pass, - fail, ~ softfail, ? neutral. A receiver can check two
// identities, and they never stand for one another:
//
//   - MAIL FROM, the RFC5321.MailFrom ([Verifier.CheckMailFrom]). For the null
//     reverse-path of a bounce it is postmaster at the HELO name.
//   - HELO, the name the client gave itself ([Verifier.CheckHelo]).
//
// The code follows the order of the RFC, one file a section:
//
//	mailbox.go    sections 2.3, 2.4  which domain and sender to check (RFC 5321, 6531)
//	checkhost.go  section 4          check_host(): find, select, read, evaluate
//	limits.go     section 4.6.4      what a sender may cost us in DNS
//	record.go     sections 4.6.1, 12 the grammar of a record
//	mechanism.go  section 5          all, include, a, mx, ptr, ip4, ip6, exists
//	modifier.go   section 6          redirect and exp
//	macro.go      section 7          %{...}
//
// Everything read here was written by a stranger: sender, HELO name, record,
// names behind the record. A record is parsed whole before its first term is
// evaluated, so an error behind the matching term is still a permerror. Look-ups,
// void look-ups, nesting, the length of records, names and expansions all have a
// ceiling. DNS that does not answer is a temperror and never a fail.
//
// A [Result] is complete even when an error comes with it: the error adds the
// detail (whose record, which term, what the resolver said) for a log.
package spf

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Status is the outcome of a check, spelled as in Authentication-Results.
// Source: RFC 7208, section 2.6.
type Status string

// The seven outcomes.
const (
	None      Status = "none"      // no usable domain, or it has no record
	Neutral   Status = "neutral"   // the domain owner asserts nothing
	Pass      Status = "pass"      // the client may use the domain
	Fail      Status = "fail"      // the client may not use the domain
	Softfail  Status = "softfail"  // probably not, the owner does not want to say
	TempError Status = "temperror" // DNS did not answer; another try may succeed
	PermError Status = "permerror" // record or sender cannot be interpreted
)

// Identity says which name of the client was checked.
type Identity string

// The two identities of RFC 7208, section 2.2.
const (
	MailFrom Identity = "mailfrom" // section 2.4
	Helo     Identity = "helo"     // section 2.3
)

// Resolver looks names up in the DNS.
//
// Names are absolute, without a final dot, and raw: a dot always separates two
// labels, every other byte from space to tilde stands for itself. That includes
// '\', '"', '@', '/' and the space, because a record may say a:foo:bar/baz.example.com
// and %_ is a space. An implementation on top of a library that reads
// presentation format has to escape them. Answers may end in a dot.
//
// A name without records of the asked type (NODATA) is an empty answer and a nil
// error. An error is or wraps a [*net.DNSError]: with IsNotFound the name does
// not exist (NXDOMAIN), everything else is temporary. An error whose chain has a
// method BudgetExceeded() bool that returns true says that this sender has used
// up the DNS work granted to it: that is a permerror, never a temperror.
type Resolver interface {
	// LookupTXT returns the TXT records of name, the character-strings of each
	// joined without a separator (RFC 7208, section 3.3).
	LookupTXT(ctx context.Context, name string) ([]string, error)
	// LookupIP returns the A (network "ip4") or AAAA ("ip6") records of host.
	LookupIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	// LookupMX returns the MX records of name in any order.
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	// LookupAddr returns the PTR records below in-addr.arpa or ip6.arpa for addr.
	LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error)
}

// Args is what the SMTP session knows when a check begins. All of it but IP and
// ReceivingHost is the client's own word.
type Args struct {
	IP       netip.Addr // of the SMTP client; IPv4-mapped is taken as IPv4
	Helo     string     // argument of HELO or EHLO, verbatim
	MailFrom string     // RFC5321.MailFrom, verbatim, without <>; "" is the null reverse-path

	// ReceivingHost is our own name for the macro %{r} of explanations;
	// "unknown" when empty.
	ReceivingHost string
}

// Result is what a check found. All fields that apply are set whatever Status is.
type Result struct {
	Status   Status
	Identity Identity

	// NullSender reports that MAIL FROM was the null reverse-path, so that
	// postmaster at the HELO name was checked (RFC 7208, section 2.4).
	NullSender bool

	// Domain is the domain checked, in lower case, as A-labels, without final
	// dot. It is empty when no domain could be taken from the sender or HELO
	// name; then nothing may be aligned with it.
	Domain string

	// Sender is the <sender> of check_host(): the RFC5321.MailFrom verbatim, or
	// postmaster@Domain for HELO, null reverse-path and missing local-part.
	Sender string

	// Mechanism is the directive that matched, as written ("-all",
	// "include:_spf.example.net"), or "default" when a record was evaluated and
	// none did (RFC 7208, sections 4.7 and 9.1). It is empty with none,
	// temperror and permerror.
	Mechanism string

	// Record is the record that decided and RecordDomain the domain it was found
	// at: another one than Domain after a redirect.
	Record       string
	RecordDomain string

	// Reason says in a few fixed words why Status is none, temperror or
	// permerror. It never holds text of the sender. Empty with other statuses.
	Reason string

	// Explanation is the text the domain owner publishes for a fail, in printable
	// ASCII; only with [Verifier.Explain]. It is the sender's text: show it as a
	// quotation or not at all.
	Explanation string

	Lookups int // terms that asked the DNS, of at most MaxLookups
	Voids   int // of these, terms without an answer, of at most MaxVoids
}

// Verifier checks senders. The zero value with a Resolver is ready for use; it is
// safe for concurrent use as long as its fields are left alone.
type Verifier struct {
	Resolver Resolver

	// Explain asks for the explanation of a fail (exp=). Off by default: it costs
	// DNS look-ups and brings text of a stranger.
	Explain bool

	// Limits of RFC 7208, section 4.6.4. Zero means the value given there.
	// Larger ones help to see what a broken record would have said.
	MaxLookups int // terms that ask the DNS: 10
	MaxVoids   int // of these, terms that get no answer: 2
	MaxMX      int // names of one mx, more is a permerror: 10
	MaxPTR     int // names of the client's address, more are ignored: 10

	// SingleLabel accepts names of one label ("mail"), which RFC 7208 (sections
	// 4.3 and 7.1) does not. For private networks that use such names.
	SingleLabel bool

	// Trace, when set, is told each step: records found, terms tried, look-ups
	// spent. Depth is the nesting, for indentation. Text of senders is quoted or
	// printable ASCII. Concurrent checks call it concurrently.
	Trace func(depth int, format string, args ...any)

	// Now is the clock for the macro %{t}; nil is time.Now.
	Now func() time.Time
}

// CheckMailFrom checks the MAIL FROM identity of args.
//
// A MailFrom that is not a mailbox of RFC 5321 (or RFC 6531) is a permerror, so
// that no reading of it can pass; one whose domain the DNS cannot hold is none.
// An error is returned with temperror and permerror only and is an [*Error].
func (v *Verifier) CheckMailFrom(ctx context.Context, args Args) (Result, error) {
	res := Result{Identity: MailFrom, Sender: args.MailFrom}

	// RFC 7208, section 2.4: the null reverse-path is postmaster at the HELO name.
	if args.MailFrom == "" {
		res.NullSender = true
		return v.checkHelo(ctx, args, res)
	}
	box, err := parseMailbox(args.MailFrom, v.SingleLabel)
	if err != nil {
		res.Status, res.Reason = PermError, ErrMailbox.Error()
		return res, &Error{Status: PermError, Reason: ErrMailbox, Err: err}
	}
	// RFC 7208, section 4.3: a malformed domain is none.
	if box.reason != "" {
		res.Status, res.Reason = None, box.reason
		return res, nil
	}
	// RFC 7208, section 4.3: without local-part it is postmaster.
	if box.local == "" {
		box.local = postmaster
		res.Sender = postmaster + "@" + box.domain
	}
	res.Domain = box.domain
	return v.run(ctx, args, res, box)
}

// CheckHelo checks the HELO identity of args. A HELO name that is not a fully
// qualified domain name is none. MailFrom is not looked at.
// An error is returned with temperror and permerror only and is an [*Error].
func (v *Verifier) CheckHelo(ctx context.Context, args Args) (Result, error) {
	return v.checkHelo(ctx, args, Result{Identity: Helo})
}

func (v *Verifier) checkHelo(ctx context.Context, args Args, res Result) (Result, error) {
	// RFC 7208, section 2.3: only a fully qualified domain name can be checked.
	domain, kind := parseDomain(args.Helo, v.SingleLabel)
	if kind == badDomain || kind == noDomain {
		res.Status, res.Reason = None, reasonHelo
		return res, nil
	}
	res.Domain, res.Sender = domain, postmaster+"@"+domain
	return v.run(ctx, args, res, mailbox{local: postmaster, domain: domain})
}

// run is check_host() with its limits and its result in public form.
func (v *Verifier) run(ctx context.Context, args Args, res Result, sender mailbox) (Result, error) {
	if !args.IP.IsValid() {
		res.Status, res.Reason = None, reasonClient
		return res, nil
	}
	c := &check{
		ctx: ctx,
		v:   v,
		// RFC 7208, section 5: an IPv4-mapped client is an IPv4 client.
		ip:         args.IP.Unmap().WithZone(""),
		sender:     sender,
		helo:       args.Helo,
		receiver:   args.ReceivingHost,
		maxLookups: limit(v.MaxLookups, 10),
		maxVoids:   limit(v.MaxVoids, 2),
		maxMX:      limit(v.MaxMX, 10),
		maxPTR:     limit(v.MaxPTR, 10),
	}
	out := c.checkHost(sender.domain, 0)
	res.Status, res.Reason = out.status, out.reason
	res.Mechanism, res.Record, res.RecordDomain = out.mechanism, out.record, out.domain
	res.Lookups, res.Voids = c.lookups, c.voids
	if v.Explain && out.status == Fail {
		res.Explanation = c.explain(out.exp, out.domain)
	}
	if out.err != nil {
		return res, out.err
	}
	return res, nil
}

func limit(configured, rfc int) int {
	if configured > 0 {
		return configured
	}
	return rfc
}
