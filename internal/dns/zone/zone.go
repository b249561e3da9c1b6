// Package zone is a small name server for loopback: it parses zone text and
// serves it over UDP and TCP. milterd's demo asks it instead of the Internet, and
// dnstest makes it lie.
//
// It answers like a recursive server that knows only its own records: every
// other name does not exist. CNAME records are followed within the zone,
// wildcards work (RFC 4592), a name that exists only because others lie below it
// has no records (NODATA). For a name at or below a SOA record of its own it
// answers with authority, as a name server of that zone does.
package zone

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	mdns "github.com/miekg/dns"
)

// Records is a zone in its compact form: for each name, with or without final dot,
// its records as "[TTL] TYPE DATA".
//
//	zone.Records{
//		"example.com":      {"MX 10 mail.example.com", "TXT v=spf1 mx -all"},
//		"mail.example.com": {"A 192.0.2.1", "60 AAAA 2001:db8::1"},
//	}
//
// Names in DATA are complete, with or without final dot. The DATA of TXT is the
// text itself, octet for octet, and is cut into strings of 255 octets; where it
// begins with a quotation mark it is read as in a zone file instead. All other DATA
// is as in a zone file (RFC 1035, section 5.1). The TTL is in seconds, by default
// 300.
type Records map[string][]string

// Parse reads records from text, one a line, as NAME [TTL] TYPE DATA. Empty lines
// and lines that begin with # or ; are skipped. Errors name the line.
func Parse(text string) (Records, error) {
	records := make(Records)
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		name, record := cutField(line)
		if _, err := parseRecord(name, record); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		records[name] = append(records[name], record)
	}
	return records, lines.Err()
}

// cutField splits off the first word.
func cutField(s string) (field, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

const defaultTTL = 300

// parseRecord parses "[TTL] TYPE DATA".
func parseRecord(name, record string) (mdns.RR, error) {
	owner, err := canonical(name)
	if err != nil {
		return nil, err
	}
	ttl := uint64(defaultTTL)
	word, rest := cutField(record)
	if seconds, err := strconv.ParseUint(word, 10, 31); err == nil {
		ttl = seconds
		word, rest = cutField(rest)
	}
	header := mdns.RR_Header{Name: owner, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET, Ttl: uint32(ttl)}
	if word == "TXT" && !strings.HasPrefix(rest, `"`) {
		return &mdns.TXT{Hdr: header, Txt: cutText(rest)}, nil
	}
	rr, err := mdns.NewRR(". IN " + word + " " + rest)
	if err != nil || rr == nil {
		return nil, fmt.Errorf("%q is no record: want [TTL] TYPE DATA", record)
	}
	header.Rrtype = rr.Header().Rrtype
	*rr.Header() = header
	return rr, nil
}

// cutText cuts text into the strings of a TXT record, with the library's escape.
func cutText(text string) []string {
	var parts []string
	for len(text) > 255 {
		parts = append(parts, strings.ReplaceAll(text[:255], `\`, `\\`))
		text = text[255:]
	}
	return append(parts, strings.ReplaceAll(text, `\`, `\\`))
}

// canonical returns name as the library gives it for a received message, in lower
// case. Every octet but the dot is taken literally.
func canonical(name string) (string, error) {
	var wire []byte
	if name = strings.TrimSuffix(name, "."); name != "" {
		for label := range strings.SplitSeq(name, ".") {
			if len(label) == 0 || len(label) > 63 {
				return "", fmt.Errorf("%q is no domain name", name)
			}
			wire = append(wire, byte(len(label)))
			wire = append(wire, label...)
		}
	}
	owner, _, err := mdns.UnpackDomainName(append(wire, 0), 0)
	if err != nil {
		return "", fmt.Errorf("%q is no domain name", name)
	}
	return strings.ToLower(owner), nil
}

// A Zone answers questions about its records. It is safe for concurrent use.
type Zone struct {
	mu    sync.RWMutex
	names map[string][]mdns.RR // by canonical name; without records where only names below exist
}

// New returns the zone of the records. Errors name the record.
func New(records Records) (*Zone, error) {
	z := new(Zone)
	return z, z.Replace(records)
}

// Replace puts other records in the place of all there were. On error the zone
// stays as it was.
func (z *Zone) Replace(records Records) error {
	names := make(map[string][]mdns.RR)
	for _, name := range slices.Sorted(maps.Keys(records)) {
		owner, err := canonical(name)
		if err != nil {
			return err
		}
		for at := range withAncestors(owner) {
			if _, ok := names[at]; !ok {
				names[at] = nil // it exists, if only because of what lies below
			}
		}
		for _, record := range records[name] {
			rr, err := parseRecord(name, record)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			names[owner] = append(names[owner], rr)
		}
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names = names
	return nil
}

// Handle answers one query; it is a Handler.
func (z *Zone) Handle(_ context.Context, q *mdns.Msg, tcp bool) Reply {
	return Pack(z.Answer(q), q, tcp)
}

// Pack packs m as the reply to q, truncated to what q allows over UDP; m itself is
// truncated with it.
func Pack(m, q *mdns.Msg, tcp bool) Reply {
	if !tcp {
		size := mdns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		m.Truncate(size)
	}
	m.Compress = true
	wire, err := m.Pack()
	if err != nil {
		return Reply{}
	}
	return Reply{Wire: wire}
}

// Answer returns the reply to q, complete whatever its size.
func (z *Zone) Answer(q *mdns.Msg) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(opt.UDPSize(), false)
	}
	if len(q.Question) != 1 {
		m.Rcode = mdns.RcodeFormatError
		return m
	}
	z.mu.RLock()
	defer z.mu.RUnlock()
	owner, qtype := q.Question[0].Name, q.Question[0].Qtype
	m.Authoritative = z.soa(owner).Header().Name != "."
	for seen := 0; ; seen++ {
		records, exists := z.lookup(owner)
		if !exists {
			m.Rcode = mdns.RcodeNameError
			break
		}
		found, alias := pick(records, owner, qtype)
		m.Answer = append(m.Answer, found...)
		if len(found) > 0 {
			return m
		}
		if alias == nil || seen > 20 {
			break // NODATA, or a loop, sent as far as it was followed
		}
		m.Answer = append(m.Answer, alias)
		owner = alias.Target
	}
	m.Ns = []mdns.RR{z.soa(owner)}
	return m
}

// lookup returns the records of name, its own or those of the wildcard that covers
// it.
func (z *Zone) lookup(name string) (records []mdns.RR, exists bool) {
	name = strings.ToLower(name)
	if records, ok := z.names[name]; ok {
		return records, true
	}
	for above := range ancestors(name) {
		star := "*." + above
		if above == "." {
			star = "*."
		}
		if records, ok := z.names[star]; ok {
			return records, true
		}
		if _, ok := z.names[above]; ok {
			break // the closest encloser: no wildcard above it counts
		}
	}
	return nil, false
}

// pick returns copies of the records of the type, or else the alias, under the
// name that was asked for.
func pick(records []mdns.RR, owner string, qtype uint16) (found []mdns.RR, alias *mdns.CNAME) {
	for _, rr := range records {
		rr = mdns.Copy(rr)
		rr.Header().Name = owner
		if c, ok := rr.(*mdns.CNAME); ok {
			alias = c
		}
		if rr.Header().Rrtype == qtype || qtype == mdns.TypeANY {
			found = append(found, rr)
		}
	}
	return found, alias
}

// soa returns the SOA record that goes with an absence: the zone's own at or above
// name, or one made up for the root, believed for a minute.
func (z *Zone) soa(name string) mdns.RR {
	name = strings.ToLower(name)
	for at := range withAncestors(name) {
		for _, rr := range z.names[at] {
			if soa, ok := rr.(*mdns.SOA); ok {
				return soa
			}
		}
	}
	return &mdns.SOA{
		Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeSOA, Class: mdns.ClassINET, Ttl: 60},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 60,
	}
}

// ancestors yields the names above name, the nearest first, ending with the root.
func ancestors(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name != "." {
			next, end := mdns.NextLabel(name, 0)
			if name = name[next:]; end {
				name = "."
			}
			if !yield(name) {
				return
			}
		}
	}
}

// withAncestors yields name, then the names above it.
func withAncestors(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if yield(name) {
			ancestors(name)(yield)
		}
	}
}

// Start serves the records written in text (see Parse) on a free port of
// 127.0.0.1.
func Start(text string) (*Server, error) {
	records, err := Parse(text)
	if err != nil {
		return nil, err
	}
	z, err := New(records)
	if err != nil {
		return nil, err
	}
	return Serve(z.Handle)
}
