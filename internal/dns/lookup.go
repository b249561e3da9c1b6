package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// LookupTXT returns the TXT records of name, the strings of each joined without
// anything between them (RFC 7208, section 3.3; RFC 6376, section 3.6.2.2), in
// the octets that were sent.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a := r.ask(ctx, name, mdns.TypeTXT)
	return a.texts, a.error()
}

// LookupIP returns the addresses of host: of its A records for network "ip4", of
// its AAAA records for "ip6", both for "ip". An IPv4 address inside an AAAA record
// stays an IPv6 address. For "ip" both questions must be answered: half an answer
// could pass for a mismatch. A host that is an IP address in text is a name like
// any other. Another network is a programming error and panics.
func (r *Resolver) LookupIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	switch network {
	case "ip4":
		a := r.ask(ctx, host, mdns.TypeA)
		return a.addrs, a.error()
	case "ip6":
		a := r.ask(ctx, host, mdns.TypeAAAA)
		return a.addrs, a.error()
	case "ip":
		return r.lookupBoth(ctx, host)
	}
	panic(fmt.Sprintf("dns: LookupIP of network %q", network))
}

// KnowsTXT reports whether LookupTXT would answer for name at once, from the cache.
func (r *Resolver) KnowsTXT(name string) bool {
	k, ok := newKey(name, mdns.TypeTXT)
	if !ok {
		return true // there is no such name
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cache.get(k, r.now()) != nil
}

// RecallIP is LookupIP for network "ip4" to those who would not wait: it answers what is
// in the cache. known is false where the DNS would have to be asked.
func (r *Resolver) RecallIP(host string) (addrs []netip.Addr, known bool, err error) {
	k, ok := newKey(host, mdns.TypeA)
	if !ok {
		return nil, true, notFound(host).error()
	}
	a := r.recall(k, r.now())
	if a == nil {
		return nil, false, nil
	}
	return a.addrs, true, a.error()
}

// lookupBoth asks for A and AAAA side by side.
func (r *Resolver) lookupBoth(ctx context.Context, host string) ([]netip.Addr, error) {
	var four, six *answer
	var other sync.WaitGroup
	other.Go(func() { six = r.ask(ctx, host, mdns.TypeAAAA) })
	four = r.ask(ctx, host, mdns.TypeA)
	other.Wait()
	for _, a := range []*answer{four, six} {
		if a.err != nil && !a.err.IsNotFound {
			return nil, a.err
		}
	}
	// A server that says NXDOMAIN for one type and NOERROR for the other is wrong
	// with the first: the name exists.
	if four.err != nil && six.err != nil {
		return nil, four.err
	}
	return slices.Concat(four.addrs, six.addrs), nil
}

// LookupMX returns the MX records of name, sorted by preference. Hosts end with a
// dot; a null MX (RFC 7505) is the one host ".". Hosts that are no host names are
// left out.
func (r *Resolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	a := r.ask(ctx, name, mdns.TypeMX)
	return a.mxs, a.error()
}

// LookupAddr returns the names of addr from its PTR records, each with its final
// dot, as yet unconfirmed. Names that are no host names are left out.
func (r *Resolver) LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error) {
	name, ok := reverseName(addr)
	if !ok {
		return nil, notFound(addr.String()).err
	}
	a := r.ask(ctx, name, mdns.TypePTR)
	return a.hosts, a.error()
}

// ask answers one question, from the cache or by waiting for a flight.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) *answer {
	k, ok := newKey(name, qtype)
	if !ok {
		return notFound(name)
	}
	start := r.now()
	a := r.recall(k, start)
	if a != nil {
		return a
	}
	a = r.fetch(ctx, k)
	r.observe(Observation{Type: k.typeName(), Outcome: a.outcome, Duration: r.now().Sub(start)})
	return a
}

// recall returns the answer in the cache, nil when there is none.
func (r *Resolver) recall(k key, now time.Time) *answer {
	r.mu.Lock()
	a := r.cache.get(k, now)
	r.mu.Unlock()
	if a != nil {
		r.observe(Observation{Type: k.typeName(), Outcome: a.outcome, Cached: true})
	}
	return a
}

// fetch waits for a flight for k and pays for it.
func (r *Resolver) fetch(ctx context.Context, k key) *answer {
	account := r.account(ctx)
	ctx, done := account.wait(ctx)
	defer done()
	if ctx.Err() != nil {
		return gaveUp(ctx, k.name)
	}
	if !account.spend() {
		return overBudget(k.name)
	}
	f, err := r.board(ctx, k)
	if err != nil {
		return gaveUp(ctx, k.name)
	}
	select {
	case <-f.landed:
	case <-ctx.Done():
		select {
		case <-f.landed: // both at once: an answer is an answer
		default:
			return gaveUp(ctx, k.name)
		}
	}
	if f.answer.overTCP {
		account.spend() // as far as there is something left
	}
	return f.answer
}
