package spf

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

const (
	// maxRecord is the longest record read, in bytes. RFC 7208, section 3.4 wants
	// less than 450; the longest seen in the wild stay below 4 KiB.
	maxRecord = 8 << 10

	// maxDepth is how deep include and redirect may nest. MaxLookups ends sooner,
	// unless it was raised.
	maxDepth = 20
)

// A check is one run of check_host() with everything its macros and limits need.
// It is used by one goroutine.
type check struct {
	ctx context.Context
	v   *Verifier

	ip       netip.Addr
	sender   mailbox
	helo     string
	receiver string

	maxLookups, maxVoids, maxMX, maxPTR int
	lookups, voids                      int

	// The names of ip (section 5.5), asked for once.
	names     []clientName
	nameState nameQuery

	buf   []byte   // for macro expansion
	parts []string // likewise
}

// countTerm counts a term that asks the DNS.
//
// RFC 7208, section 4.6.4: include, a, mx, ptr, exists and redirect, at most 10
// of them; more is a permerror. all, ip4, ip6 and exp do not count.
func (c *check) countTerm() *Error {
	if c.lookups >= c.maxLookups {
		return &Error{Status: PermError, Reason: ErrLookups}
	}
	c.lookups++
	return nil
}

// countVoid counts a term whose DNS query found nothing.
//
// RFC 7208, section 4.6.4: terms with an empty answer (RCODE 0) or a name error
// (RCODE 3), at most two; more is a permerror. It is the terms that are limited:
// the addresses of each name of an mx are not counted again.
func (c *check) countVoid() *Error {
	c.voids++
	if c.voids > c.maxVoids {
		return &Error{Status: PermError, Reason: ErrVoids}
	}
	return nil
}

// alive ends the check when its time is over.
//
// RFC 7208, section 4.6.4: beyond the limit of elapsed time the result is
// temperror. The limit is the caller's, in the context.
func (c *check) alive() *Error {
	if err := c.ctx.Err(); err != nil {
		return &Error{Status: TempError, Reason: ErrTime, Err: err}
	}
	return nil
}

// fault sorts what a resolver returned: nil when there is an answer or certainly
// none (NXDOMAIN), else the end of the check.
//
// RFC 7208, sections 4.4 and 5: any RCODE but 0 and 3, and a timeout, is a
// temperror.
func (c *check) fault(err error) *Error {
	if err == nil {
		return nil
	}
	if b, ok := errors.AsType[budgetError](err); ok && b.BudgetExceeded() {
		return &Error{Status: PermError, Reason: ErrBudget, Err: err}
	}
	switch {
	case isNotFound(err):
		return nil
	case c.ctx.Err() != nil:
		return &Error{Status: TempError, Reason: ErrTime, Err: err}
	}
	return &Error{Status: TempError, Reason: ErrDNS, Err: err}
}

// budgetError is how a Resolver says that the sender used up its DNS work.
type budgetError interface {
	error
	BudgetExceeded() bool
}

func isNotFound(err error) bool {
	d, ok := errors.AsType[*net.DNSError](err)
	return ok && d.IsNotFound && !d.IsTemporary && !d.IsTimeout
}

// lookupTXT also tells whether name exists: NXDOMAIN and NODATA are both no records.
func (c *check) lookupTXT(name string) (txts []string, exists bool, _ *Error) {
	if err := c.alive(); err != nil {
		return nil, false, err
	}
	txts, err := c.v.Resolver.LookupTXT(c.ctx, name)
	return txts, err == nil, c.fault(err)
}

func (c *check) lookupMX(name string) ([]*net.MX, *Error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	mxs, err := c.v.Resolver.LookupMX(c.ctx, name)
	return mxs, c.fault(err)
}

// lookupIP asks for the addresses of host in the client's family.
//
// RFC 7208, section 5: an A query for an IPv4 client, AAAA for IPv6.
func (c *check) lookupIP(host string) ([]netip.Addr, *Error) {
	if c.ip.Is4() {
		return c.lookupNetwork("ip4", host)
	}
	return c.lookupNetwork("ip6", host)
}

func (c *check) lookupNetwork(network, host string) ([]netip.Addr, *Error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	ips, err := c.v.Resolver.LookupIP(c.ctx, network, host)
	return ips, c.fault(err)
}

// final reports whether err ends the check even where a failed look-up only
// means that a name does not count (section 5.5).
func (e *Error) final() bool { return e.Reason != ErrDNS }
