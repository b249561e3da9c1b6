package spf

import (
	"net/netip"
	"strings"
)

// matches evaluates one mechanism (RFC 7208, section 5). Target is the name it is
// about, if any.
func (c *check) matches(d *Directive, domain string, depth int) (match bool, target string, err *Error) {
	switch d.Mechanism {
	case MechAll: // RFC 7208, section 5.1
		return true, "", nil
	case MechIP4, MechIP6:
		return c.matchesIP(d), "", nil
	}

	// The rest asks the DNS.
	if err := c.countTerm(); err != nil {
		return false, "", err
	}
	target, ok, err := c.target(d.Domain, domain)
	if err != nil {
		return false, "", err
	}
	if !ok {
		// RFC 7208, section 4.8 leaves a target that no DNS query can hold
		// undefined. It is taken as a name that does not exist, without asking;
		// include, which needs a record there, is the exception.
		if d.Mechanism == MechInclude && isASCII(target) {
			err = &Error{Status: PermError, Reason: ErrInclude}
		}
		return false, target, err
	}
	match, err = c.ask(d, target, depth)
	return match, target, err
}

func (c *check) ask(d *Directive, target string, depth int) (bool, *Error) {
	switch d.Mechanism {
	case MechInclude:
		return c.matchesInclude(d, target, depth)
	case MechA:
		return c.matchesA(d, target)
	case MechMX:
		return c.matchesMX(d, target)
	case MechPTR:
		return c.matchesPTR(target)
	default:
		return c.matchesExists(target)
	}
}

// target is the <target-name> of RFC 7208, section 4.8: the expanded domain-spec,
// or the current domain when there is none. Ok is false when the result is not a
// name that can be looked up.
func (c *check) target(spec, domain string) (name string, ok bool, err *Error) {
	if spec == "" {
		return domain, true, nil
	}
	name, err = c.expandName(spec, domain)
	if err != nil {
		return "", false, err
	}
	return name, isName(name), nil
}

// matchesInclude is RFC 7208, section 5.2: the client passes there.
func (c *check) matchesInclude(d *Directive, target string, depth int) (bool, *Error) {
	if c.v.Trace != nil {
		c.v.Trace(2*depth+1, "%s: %q (look-ups %d of %d)", d.Text, target, c.lookups, c.maxLookups)
	}
	inner := c.checkHost(target, depth+1)
	switch inner.status {
	case Pass:
		return true, nil
	case Fail, Softfail, Neutral:
		return false, nil
	case None:
		return false, &Error{Status: PermError, Reason: ErrInclude}
	}
	return false, inner.err // temperror, permerror
}

// matchesA is RFC 7208, section 5.3: an address of the target is the client's.
func (c *check) matchesA(d *Directive, target string) (bool, *Error) {
	ips, err := c.lookupIP(target)
	if err != nil {
		return false, err
	}
	if len(ips) == 0 {
		return false, c.countVoid()
	}
	return c.isAmong(ips, d), nil
}

// matchesMX is RFC 7208, section 5.4: an address of a mail exchanger of the
// target is the client's. The target is never its own exchanger.
func (c *check) matchesMX(d *Directive, target string) (bool, *Error) {
	mxs, err := c.lookupMX(target)
	if err != nil {
		return false, err
	}
	if len(mxs) == 0 {
		return false, c.countVoid()
	}
	// RFC 7208, section 4.6.4: more than 10 names is a permerror. Said before the
	// first is looked up: the DNS returns them in any order, and the result must
	// not depend on it.
	if len(mxs) > c.maxMX {
		return false, &Error{Status: PermError, Reason: ErrMX}
	}
	for _, mx := range mxs {
		host := strings.TrimSuffix(mx.Host, ".")
		if !isName(host) { // the null MX of RFC 7505 too
			continue
		}
		ips, err := c.lookupIP(host)
		if err != nil {
			return false, err
		}
		if c.isAmong(ips, d) {
			return true, nil
		}
	}
	return false, nil
}

// isAmong reports whether the client is within the prefix length of d around one
// of ips.
func (c *check) isAmong(ips []netip.Addr, d *Directive) bool {
	bits := int(d.Bits6)
	if c.ip.Is4() {
		bits = int(d.Bits4)
	}
	for _, ip := range ips {
		if c.ip.Is4() {
			ip = ip.Unmap() // an A record, in whatever form the resolver keeps it
		}
		// Contains is false for addresses of different families.
		if netip.PrefixFrom(ip, bits).Contains(c.ip) {
			return true
		}
	}
	return false
}

// clientName is a name the reverse zone gives for the client.
type clientName struct {
	name  string
	proof proof
}

type proof int

const (
	untested proof = iota
	leadsBack
	leadsElsewhere
)

// nameQuery is what became of the PTR query.
type nameQuery int

const (
	notAsked nameQuery = iota
	answered
	void   // no PTR record
	broken // a DNS error
)

// matchesPTR is RFC 7208, section 5.5: a validated name of the client is the
// target or below it. Only such names are validated, the others cannot match.
func (c *check) matchesPTR(target string) (bool, *Error) {
	if err := c.lookupNames(); err != nil {
		return false, err
	}
	// The names are asked for once, but each ptr term counts: our memory must not
	// change the result.
	if c.nameState == void {
		return false, c.countVoid()
	}
	for i := range c.names {
		if !isBelow(c.names[i].name, target) {
			continue
		}
		ok, err := c.validate(&c.names[i])
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// lookupNames fills c.names.
func (c *check) lookupNames() *Error {
	if c.nameState != notAsked {
		return nil
	}
	if err := c.alive(); err != nil {
		return err
	}
	answer, err := c.v.Resolver.LookupAddr(c.ctx, c.ip)
	if fault := c.fault(err); fault != nil {
		// RFC 7208, section 5.5: after a DNS error the mechanism does not match. It
		// is no temperror: the reverse zone is the client's, not the sender's.
		if fault.final() {
			return fault
		}
		c.nameState = broken
		return nil
	}
	c.nameState = answered
	if len(answer) == 0 {
		c.nameState = void
	}
	// RFC 7208, section 4.6.4: names beyond the first 10 are ignored.
	for _, name := range answer[:min(len(answer), c.maxPTR)] {
		if name = strings.TrimSuffix(name, "."); isName(name) {
			c.names = append(c.names, clientName{name: name})
		}
	}
	return nil
}

// validate reports whether n leads back to the client.
//
// RFC 7208, section 5.5: a name whose addresses cannot be looked up is skipped.
func (c *check) validate(n *clientName) (bool, *Error) {
	if n.proof == untested {
		ips, err := c.lookupIP(n.name)
		if err != nil && err.final() {
			return false, err
		}
		n.proof = leadsElsewhere
		for _, ip := range ips {
			if ip.Unmap() == c.ip {
				n.proof = leadsBack
			}
		}
	}
	return n.proof == leadsBack, nil
}

// matchesIP is RFC 7208, section 5.6: the client is in the network. An address of
// the other family never is.
func (c *check) matchesIP(d *Directive) bool { return d.Network.Contains(c.ip) }

// matchesExists is RFC 7208, section 5.7: the target has an A record, whatever
// the client's family.
func (c *check) matchesExists(target string) (bool, *Error) {
	ips, err := c.lookupNetwork("ip4", target)
	if err != nil {
		return false, err
	}
	if len(ips) == 0 {
		return false, c.countVoid()
	}
	return true, nil
}

// isName reports whether the DNS can be asked for name: labels of 1 to 63 bytes,
// at most 253 in all. Bytes are printable ASCII, as a domain-spec can write them;
// others get in by a HELO name, a local-part or a PTR record and match nothing
// (for local-parts: RFC 8616, section 4).
func isName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c < ' ' || c > '~':
			return false
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
		default:
			if label++; label > maxLabel {
				return false
			}
		}
	}
	return label > 0
}

// isBelow reports whether name is domain or a subdomain of it.
func isBelow(name, domain string) bool {
	cut := len(name) - len(domain)
	return cut >= 0 && strings.EqualFold(name[cut:], domain) && (cut == 0 || name[cut-1] == '.')
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
