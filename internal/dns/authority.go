package dns

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// Whoever wants to know what the world will see, and not what a cache remembers,
// asks the name servers of the zone themselves. This is for the few questions
// about our own names: it goes around cache, flights and budgets, and around the
// health of the configured servers.

const (
	maxLabelsUp    = 20 // from a name to its zone
	maxNameServers = 20 // of one zone
	maxServerAddrs = 8  // of one name server
)

// A NameServer is one of the authoritative servers of a zone.
type NameServer struct {
	Host  string       // without final dot
	Addrs []netip.Addr // IPv4 first
	Err   error        // why there are no Addrs
}

// An AuthorityAnswer is what an authoritative server says about the TXT records of
// a name.
type AuthorityAnswer struct {
	// Texts are the records, their strings joined; none where the name or its
	// records do not exist.
	Texts []string
	// TTL is how long the records may be remembered; zero without records.
	TTL time.Duration
	// NegativeTTL is how long the absence of a name of this zone may be remembered
	// (RFC 2308, section 5).
	NegativeTTL time.Duration
	// Alias is set where the name is an alias of one in another zone, whose servers
	// know more.
	Alias string
}

// Authorities returns the zone that name is in, without final dot, and its name
// servers with their addresses, as the configured servers know them: the nearest
// name, from the given one upwards, that has NS records. The error is for a zone
// that cannot be found; a server that cannot be found has one of its own.
func (r *Resolver) Authorities(ctx context.Context, name string) (zone string, servers []NameServer, err error) {
	zone = lowerASCII(strings.TrimSuffix(name, "."))
	for range maxLabelsUp {
		a := r.ask(ctx, zone, mdns.TypeNS)
		if a.err != nil && !a.err.IsNotFound {
			return "", nil, a.err
		}
		if len(a.hosts) > 0 && !a.alias {
			return zone, r.nameServers(ctx, a.hosts), nil
		}
		_, above, ok := strings.Cut(zone, ".")
		if !ok {
			break
		}
		zone = above
	}
	return "", nil, &net.DNSError{Err: "no zone of it has name servers", Name: name, IsNotFound: true}
}

// nameServers looks up the addresses of hosts, side by side.
func (r *Resolver) nameServers(ctx context.Context, hosts []string) []NameServer {
	hosts = slices.Clone(hosts)
	for i, h := range hosts {
		hosts[i] = lowerASCII(strings.TrimSuffix(h, "."))
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	hosts = hosts[:min(len(hosts), maxNameServers)]
	servers := make([]NameServer, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() {
			s := &servers[i]
			s.Host = h
			if s.Addrs, s.Err = r.LookupIP(ctx, "ip", h); s.Err == nil && len(s.Addrs) == 0 {
				s.Err = &net.DNSError{Err: "no address", Name: h, IsNotFound: true}
			}
			s.Addrs = slices.SortedFunc(slices.Values(s.Addrs), func(a, b netip.Addr) int { return cmp.Or(a.BitLen()-b.BitLen(), a.Compare(b)) })
			s.Addrs = s.Addrs[:min(len(s.Addrs), maxServerAddrs)]
		})
	}
	all.Wait()
	return servers
}

// AskAuthority asks one name server of zone for the TXT records of name, and for
// how long their absence is remembered. It takes at most two times the timeout of
// r for each of its two questions. The error is for a server that does not answer,
// or not with authority.
func (r *Resolver) AskAuthority(ctx context.Context, server netip.AddrPort, zone, name string) (AuthorityAnswer, error) {
	k, ok := newKey(name, mdns.TypeTXT)
	apex, valid := newKey(zone, mdns.TypeSOA)
	if !ok || !valid {
		return AuthorityAnswer{}, notFound(name).err
	}
	m, err := r.direct(ctx, server, k)
	if err != nil {
		return AuthorityAnswer{}, err
	}
	a := parse(m, k)
	switch {
	case a.err != nil && !a.err.IsNotFound:
		a.err.Server = server.String()
		return AuthorityAnswer{}, a.err
	case !m.Authoritative:
		return AuthorityAnswer{}, notAuthority(server, name)
	}
	said := AuthorityAnswer{Texts: a.texts}
	if len(a.texts) > 0 {
		said.TTL = a.ttl
	} else if owner, _, ok := followAliases(m); ok && !strings.EqualFold(owner, m.Question[0].Name) {
		said.Alias = strings.TrimSuffix(owner, ".")
	}
	// The absence of a record is remembered for as long as the SOA record says; it
	// comes with every absence, but with no presence.
	if m, err = r.direct(ctx, server, apex); err != nil {
		return AuthorityAnswer{}, err
	}
	m.Ns = append(m.Ns, m.Answer...)
	negative, known := negativeTTL(m)
	if !known {
		return AuthorityAnswer{}, notAuthority(server, zone)
	}
	said.NegativeTTL = negative
	return said, nil
}

// notAuthority is the error for a server that was named as an authority and is
// none (a lame delegation).
func notAuthority(server netip.AddrPort, name string) error {
	return &net.DNSError{Err: "the server is not an authority for it", Name: name, Server: server.String()}
}

// direct asks one server one question, without recursion: by UDP twice at most,
// by TCP where UDP is not enough.
func (r *Resolver) direct(ctx context.Context, server netip.AddrPort, k key) (m *mdns.Msg, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	if r.ctx.Err() != nil {
		cancel() // AfterFunc does so too, but at its leisure
	}
	// The ways of asking are those of a resolver; its cache and servers have no part
	// in them, and the time is this asker's.
	asker := &Resolver{rand: r.rand, ctx: ctx}
	u := newUpstream(server, 1)
	defer u.closeIdle()
	q := newQuery(k)
	q.wire[2] &^= 1 // no recursion desired
	for range 2 {
		if ctx.Err() != nil {
			break
		}
		deadline := time.Now().Add(r.tries.timeout)
		m, err = asker.overUDP(u, q, deadline)
		if err == nil && q.edns && chokedOnEDNS(m) {
			q.dropEDNS()
			m, err = asker.overUDP(u, q, deadline)
		}
		if errors.Is(err, errUseTCP) {
			m, err = asker.overTCP(u, q, deadline)
		}
		if err == nil {
			return m, nil
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: k.name, Server: u.name, IsTemporary: true}
}
