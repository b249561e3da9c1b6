package dns

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// Bounds on what a reply may hold. An answer beyond them is a failure, not cut
// down: part of an SPF or DKIM record can mean the opposite of the whole.
const (
	maxRecords = 500     // in the answer section, and in the rest together
	maxTXT     = 8 << 10 // octets of one TXT record
	maxAliases = 16      // CNAME records in a row
)

// An answer is what one question came to, ready to be handed out and shared. It
// does not change any more once its flight has landed.
type answer struct {
	outcome Outcome
	err     *net.DNSError // nil for OutcomeOK and OutcomeNoData
	ttl     time.Duration // as the reply says; lives decides
	overTCP bool
	alias   bool // the records belong to another name, which this one is an alias of

	// The records, of the one type that was asked for.
	texts []string
	addrs []netip.Addr
	mxs   []*net.MX
	hosts []string
}

// error returns a.err as an error that is nil when a.err is.
func (a *answer) error() error {
	if a.err == nil {
		return nil
	}
	return a.err
}

// conclusive reports whether asking another server is pointless.
func (a *answer) conclusive() bool { return a.err == nil || a.err.IsNotFound }

// parse reads the reply to k. The query has accepted m, so m is about k if it
// claims success.
func parse(m *mdns.Msg, k key) *answer {
	switch m.Rcode {
	case mdns.RcodeSuccess:
	case mdns.RcodeNameError:
		a := notFound(k.name)
		a.ttl, _ = negativeTTL(m)
		return a
	case mdns.RcodeServerFailure:
		return failure(k.name, OutcomeServFail, "server failure")
	case mdns.RcodeRefused:
		return failure(k.name, OutcomeRefused, "query refused")
	default:
		return failure(k.name, OutcomeError, fmt.Sprintf("server answers rcode %d", m.Rcode))
	}
	if len(m.Question) != 1 {
		return failure(k.name, OutcomeError, "reply without question")
	}
	owner, ttl, ok := followAliases(m)
	if !ok {
		return failure(k.name, OutcomeError, "CNAME loop")
	}

	a := &answer{outcome: OutcomeNoData, alias: !strings.EqualFold(owner, m.Question[0].Name)}
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Rrtype != k.qtype || h.Class != mdns.ClassINET || !strings.EqualFold(h.Name, owner) {
			continue // it answers another question
		}
		if problem := a.add(rr); problem != "" {
			return failure(k.name, OutcomeError, problem)
		}
		a.outcome = OutcomeOK
		ttl = min(ttl, lifetime(h.Ttl))
	}
	if a.outcome == OutcomeNoData {
		negative, authoritative := negativeTTL(m)
		if !authoritative && isReferral(m) {
			return failure(k.name, OutcomeError, "server does not recurse")
		}
		a.ttl = min(ttl, negative)
		return a
	}
	a.ttl = ttl
	a.seal()
	return a
}

// followAliases follows the CNAME records from the question's name to the name
// that owns the answer. ttl is the shortest on the way; !ok means a loop, or a
// chain so long that it might as well be one.
func followAliases(m *mdns.Msg) (owner string, ttl time.Duration, ok bool) {
	owner, ttl = m.Question[0].Name, lifetime(1<<31-1)
	for range maxAliases + 1 {
		alias := aliasOf(m.Answer, owner)
		if alias == nil {
			return owner, ttl, true
		}
		owner, ttl = alias.Target, min(ttl, lifetime(alias.Hdr.Ttl))
	}
	return "", 0, false
}

// aliasOf returns the CNAME record of owner, or nil.
func aliasOf(records []mdns.RR, owner string) *mdns.CNAME {
	for _, rr := range records {
		alias, ok := rr.(*mdns.CNAME)
		if ok && alias.Hdr.Class == mdns.ClassINET && strings.EqualFold(alias.Hdr.Name, owner) {
			return alias
		}
	}
	return nil
}

// add takes one record into a, or says what is wrong with it.
func (a *answer) add(rr mdns.RR) (problem string) {
	const malformed = "malformed record"
	switch rr := rr.(type) {
	case *mdns.A:
		addr, ok := netip.AddrFromSlice(rr.A.To4())
		if !ok {
			return malformed
		}
		a.addrs = append(a.addrs, addr)
	case *mdns.AAAA:
		addr, ok := netip.AddrFromSlice(rr.AAAA)
		if !ok || !addr.Is6() {
			return malformed
		}
		a.addrs = append(a.addrs, addr)
	case *mdns.TXT:
		if len(rr.Txt) == 0 {
			return malformed
		}
		text := joinTXT(rr.Txt)
		if len(text) > maxTXT {
			return "TXT record too large"
		}
		a.texts = append(a.texts, text)
	case *mdns.MX:
		if rr.Mx == "" {
			return malformed
		}
		if hostName(rr.Mx) {
			a.mxs = append(a.mxs, &net.MX{Host: rr.Mx, Pref: rr.Preference})
		}
	case *mdns.PTR:
		if rr.Ptr == "" {
			return malformed
		}
		if hostName(rr.Ptr) && rr.Ptr != "." {
			a.hosts = append(a.hosts, rr.Ptr)
		}
	case *mdns.NS:
		if hostName(rr.Ns) && rr.Ns != "." {
			a.hosts = append(a.hosts, rr.Ns)
		}
	default:
		return malformed
	}
	return ""
}

// seal puts the records in order and makes appending to the shared slices safe.
func (a *answer) seal() {
	slices.SortStableFunc(a.mxs, func(x, y *net.MX) int { return cmp.Compare(x.Pref, y.Pref) })
	a.texts, a.addrs = slices.Clip(a.texts), slices.Clip(a.addrs)
	a.mxs, a.hosts = slices.Clip(a.mxs), slices.Clip(a.hosts)
	if len(a.texts)+len(a.addrs)+len(a.mxs)+len(a.hosts) == 0 {
		a.outcome = OutcomeNoData // there were records, none that we can use
	}
}

// joinTXT joins the strings of a TXT record and takes back the escapes which the
// library has put into them (RFC 1035, section 5.1): \" and \\, and \DDD for what
// is not printable ASCII.
func joinTXT(parts []string) string {
	escaped := len(parts) != 1
	n := 0
	for _, part := range parts {
		escaped = escaped || strings.IndexByte(part, '\\') >= 0
		n += len(part)
	}
	if !escaped {
		return parts[0]
	}
	b := make([]byte, 0, n)
	for _, part := range parts {
		for i := 0; i < len(part); i++ {
			c := part[i]
			switch {
			case c != '\\' || i+1 == len(part):
			case i+3 < len(part) && isDigit(part[i+1]) && isDigit(part[i+2]) && isDigit(part[i+3]):
				c = 100*(part[i+1]-'0') + 10*(part[i+2]-'0') + part[i+3] - '0'
				i += 3
			default:
				i++
				c = part[i]
			}
			b = append(b, c)
		}
	}
	return string(b)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// negativeTTL returns how long the absence may be believed: the smaller of the SOA
// record's TTL and its MINIMUM (RFC 2308, section 5), nothing without SOA.
func negativeTTL(m *mdns.Msg) (ttl time.Duration, hasSOA bool) {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*mdns.SOA); ok {
			return min(lifetime(soa.Hdr.Ttl), lifetime(soa.Minttl)), true
		}
	}
	return 0, false
}

// isReferral reports whether an empty answer only says whom else to ask: from a
// server that neither recurses nor is the authority (RFC 2308, section 2.2).
func isReferral(m *mdns.Msg) bool {
	return !m.RecursionAvailable && !m.Authoritative &&
		slices.ContainsFunc(m.Ns, func(rr mdns.RR) bool { return rr.Header().Rrtype == mdns.TypeNS })
}

// lifetime is a TTL of the wire; one with the top bit set counts as zero (RFC
// 2181, section 8).
func lifetime(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
