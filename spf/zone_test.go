package spf

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// zone is a Resolver that answers from memory and keeps a list of what it was
// asked. Names are keys in lower case.
type zone struct {
	txt   map[string][]string
	a     map[string][]netip.Addr
	aaaa  map[string][]netip.Addr
	mx    map[string][]string
	ptr   map[string][]string // by in-addr.arpa or ip6.arpa name
	cname map[string]string
	fail  map[string]error // for every type a name has no records of

	asked []string // "TXT example.org"
}

func newZone() *zone {
	return &zone{
		txt: map[string][]string{}, a: map[string][]netip.Addr{}, aaaa: map[string][]netip.Addr{},
		mx: map[string][]string{}, ptr: map[string][]string{}, cname: map[string]string{},
		fail: map[string]error{},
	}
}

// zoneOf reads lines of "name TYPE value", as a zone file would have them; "FAIL"
// makes everything else at that name a SERVFAIL.
func zoneOf(text string) *zone {
	z := newZone()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		kind, value, _ := strings.Cut(rest, " ")
		z.add(name, kind, value)
	}
	return z
}

func (z *zone) add(name, kind, value string) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	switch kind {
	case "TXT":
		z.txt[name] = append(z.txt[name], value)
	case "A":
		z.a[name] = append(z.a[name], netip.MustParseAddr(value))
	case "AAAA":
		z.aaaa[name] = append(z.aaaa[name], netip.MustParseAddr(value))
	case "MX":
		z.mx[name] = append(z.mx[name], value)
	case "PTR":
		z.ptr[name] = append(z.ptr[name], value)
	case "CNAME":
		z.cname[name] = strings.ToLower(strings.TrimSuffix(value, "."))
	case "FAIL":
		z.fail[name] = &net.DNSError{Err: "SERVFAIL", Name: name}
	case "TIMEOUT":
		z.fail[name] = &net.DNSError{Err: "timeout", Name: name, IsTimeout: true}
	default:
		panic("unknown record type " + kind)
	}
}

func (z *zone) has(name string) bool {
	return z.txt[name] != nil || z.a[name] != nil || z.aaaa[name] != nil || z.mx[name] != nil || z.ptr[name] != nil
}

// find returns the records of one type at name, behind its CNAMEs.
func find[T any](ctx context.Context, z *zone, kind, name string, records map[string][]T) ([]T, error) {
	z.asked = append(z.asked, kind+" "+name)
	if err := ctx.Err(); err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: name, IsTimeout: true}
	}
	if !isName(name) {
		return nil, fmt.Errorf("asked for %q, which is not a name", name)
	}
	name = strings.ToLower(name)
	for range 10 {
		if to, ok := z.cname[name]; ok {
			name = to
			continue
		}
		switch {
		case records[name] != nil:
			return records[name], nil
		case z.fail[name] != nil:
			return nil, z.fail[name]
		case z.has(name):
			return nil, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return nil, &net.DNSError{Err: "CNAME loop", Name: name}
}

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return find(ctx, z, "TXT", name, z.txt)
}

func (z *zone) LookupIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	switch network {
	case "ip4":
		return find(ctx, z, "A", host, z.a)
	case "ip6":
		return find(ctx, z, "AAAA", host, z.aaaa)
	}
	return nil, fmt.Errorf("unknown network %q", network)
}

func (z *zone) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	hosts, err := find(ctx, z, "MX", name, z.mx)
	var mxs []*net.MX
	for i, host := range hosts {
		mxs = append(mxs, &net.MX{Host: host, Pref: uint16(i)})
	}
	return mxs, err
}

func (z *zone) LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error) {
	c := &check{ip: addr}
	buf, _ := c.expand(nil, "%{ir}.%{v}.arpa", "", false)
	return find(ctx, z, "PTR", string(buf), z.ptr)
}
