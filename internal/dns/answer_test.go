package dns

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

// reply packs the reply to a question for x.test and qtype, in zone file lines; a
// line that begins with - goes into the authority section.
func reply(t testing.TB, qtype uint16, edit func(m *mdns.Msg), lines ...string) []byte {
	t.Helper()
	m := new(mdns.Msg)
	m.SetQuestion("x.test.", qtype)
	m.Id, m.Response, m.RecursionAvailable = 0x1234, true, true
	for _, line := range lines {
		line, authority := strings.CutPrefix(line, "-")
		rr, err := mdns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if authority {
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	if edit != nil {
		edit(m)
	}
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// read does with a reply to x.test what a resolver does.
func read(wire []byte, qtype uint16) (*mdns.Msg, *answer) {
	k := key{"x.test", qtype}
	q := newQuery(k)
	binary.BigEndian.PutUint16(q.wire, 0x1234)
	if !q.accepts(wire) || truncated(wire) {
		return nil, nil
	}
	m, err := unpack(wire)
	if err != nil {
		return nil, nil
	}
	return m, parse(m, k)
}

func TestAcceptsOnlyTheEcho(t *testing.T) {
	q := newQuery(key{"x.test", mdns.TypeTXT})
	binary.BigEndian.PutUint16(q.wire, 0x1234)
	for _, test := range []struct {
		name string
		edit func(m *mdns.Msg)
		want bool
	}{
		{"echo", nil, true},
		{"other letter case", func(m *mdns.Msg) { m.Question[0].Name = "X.tesT." }, true},
		{"other id", func(m *mdns.Msg) { m.Id++ }, false},
		{"a query", func(m *mdns.Msg) { m.Response = false }, false},
		{"other opcode", func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify }, false},
		{"other name", func(m *mdns.Msg) { m.Question[0].Name = "y.test." }, false},
		{"longer name", func(m *mdns.Msg) { m.Question[0].Name = "x.x.test." }, false},
		{"other type", func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeA }, false},
		{"other class", func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }, false},
		{"two questions", func(m *mdns.Msg) { m.Question = append(m.Question, m.Question[0]) }, false},
		{"no question, success", func(m *mdns.Msg) { m.Question = nil }, false},
		{"no question, nxdomain", func(m *mdns.Msg) { m.Question, m.Rcode = nil, mdns.RcodeNameError }, false},
		{"no question, refused", func(m *mdns.Msg) { m.Question, m.Rcode = nil, mdns.RcodeRefused }, true},
	} {
		if got := q.accepts(reply(t, mdns.TypeTXT, test.edit)); got != test.want {
			t.Errorf("%s: accepted %t, want %t", test.name, got, test.want)
		}
	}
	whole := reply(t, mdns.TypeTXT, nil)
	for n := range len(whole) {
		if q.accepts(whole[:n]) {
			t.Errorf("accepted the first %d of %d octets", n, len(whole))
		}
	}
	// Nothing but letters is folded: { is [ with the bit of letter case.
	if equalFoldASCII([]byte("{"), []byte("[")) || !equalFoldASCII([]byte("aZ"), []byte("Az")) {
		t.Error("wrong octets folded")
	}
}

func TestParseOddReplies(t *testing.T) {
	const soa = "-test. 60 IN SOA ns.test. h.test. 1 2 3 4 30"
	for _, test := range []struct {
		name  string
		edit  func(m *mdns.Msg)
		lines []string
		want  Outcome
		texts string
	}{
		{"referral", func(m *mdns.Msg) { m.RecursionAvailable = false }, []string{"-test. 60 IN NS ns.test."}, OutcomeError, ""},
		{"nodata of an authority", func(m *mdns.Msg) { m.RecursionAvailable, m.Authoritative = false, true }, []string{"-test. 60 IN NS ns.test."}, OutcomeNoData, ""},
		{"nodata without recursion", func(m *mdns.Msg) { m.RecursionAvailable = false }, []string{"-test. 60 IN NS ns.test.", soa}, OutcomeNoData, ""},
		{"nodata with servers", nil, []string{"-test. 60 IN NS ns.test."}, OutcomeNoData, ""},
		{"another class", nil, []string{`x.test. 60 CH TXT "chaos"`}, OutcomeNoData, ""},
		{"alias of another class", nil, []string{`x.test. 60 CH CNAME y.test.`, `x.test. 60 IN TXT "x"`}, OutcomeOK, "x"},
		{"alias and data", nil, []string{`x.test. 60 IN TXT "x"`, "x.test. 60 IN CNAME y.test.", `y.test. 60 IN TXT "y"`}, OutcomeOK, "y"},
		{"chain backwards", nil, []string{`z.test. 60 IN TXT "z"`, "Y.test. 60 IN CNAME z.TEST.", "x.test. 60 IN CNAME y.test."}, OutcomeOK, "z"},
		{"chain with a gap", nil, []string{`z.test. 60 IN TXT "z"`, "x.test. 60 IN CNAME y.test."}, OutcomeNoData, ""},
		{"two aliases", nil, []string{"x.test. 60 IN CNAME y.test.", "x.test. 60 IN CNAME z.test.", `z.test. 60 IN TXT "z"`}, OutcomeNoData, ""},
		{"name denied, record all the same", func(m *mdns.Msg) { m.Rcode = mdns.RcodeNameError }, []string{`x.test. 60 IN TXT "x"`}, OutcomeNXDomain, ""},
		{"record without data", func(m *mdns.Msg) {
			m.Answer = []mdns.RR{&mdns.RFC3597{Hdr: mdns.RR_Header{Name: "x.test.", Rrtype: mdns.TypeTXT, Class: mdns.ClassINET}}}
		}, nil, OutcomeError, ""},
	} {
		_, a := read(reply(t, mdns.TypeTXT, test.edit, test.lines...), mdns.TypeTXT)
		if a == nil {
			t.Errorf("%s: refused", test.name)
			continue
		}
		if a.outcome != test.want || strings.Join(a.texts, " ") != test.texts {
			t.Errorf("%s: %s %q, want %s %q", test.name, a.outcome, a.texts, test.want, test.texts)
		}
	}
}

func TestParseRecordsWithoutData(t *testing.T) {
	for _, qtype := range []uint16{mdns.TypeA, mdns.TypeAAAA, mdns.TypeTXT, mdns.TypeMX, mdns.TypePTR} {
		wire := reply(t, qtype, func(m *mdns.Msg) {
			m.Answer = []mdns.RR{&mdns.RFC3597{Hdr: mdns.RR_Header{Name: "x.test.", Rrtype: qtype, Class: mdns.ClassINET}}}
		})
		if _, a := read(wire, qtype); a == nil || a.outcome != OutcomeError {
			t.Errorf("%s without data: %+v, want a failure", mdns.TypeToString[qtype], a)
		}
	}
}

func TestTTLWithTopBitIsZero(t *testing.T) {
	_, a := read(reply(t, mdns.TypeTXT, nil, `x.test. 4294967295 IN TXT "x"`), mdns.TypeTXT)
	if a == nil || a.ttl != 0 {
		t.Errorf("%+v", a)
	}
}

func TestAnswersCannotBeGrown(t *testing.T) {
	_, a := read(reply(t, mdns.TypeTXT, nil, `x.test. 60 IN TXT "1"`, `x.test. 60 IN TXT "2"`, `x.test. 60 IN TXT "3"`), mdns.TypeTXT)
	if cap(a.texts) != len(a.texts) {
		t.Errorf("appending to an answer would write into the cache (%d of %d)", len(a.texts), cap(a.texts))
	}
}

// FuzzReply reads arbitrary replies. Whatever comes out is bounded, consistent, and
// belongs to the names that the question leads to.
func FuzzReply(f *testing.F) {
	qtypes := []uint16{mdns.TypeTXT, mdns.TypeA, mdns.TypeAAAA, mdns.TypeMX, mdns.TypePTR}
	seed := func(qtype uint16, edit func(*mdns.Msg), lines ...string) {
		f.Add(reply(f, qtype, edit, lines...), uint8(slices.Index(qtypes, qtype)))
	}
	seed(mdns.TypeTXT, nil, `x.test. 60 IN TXT "v=spf1 " "-all \"\\\001"`)
	seed(mdns.TypeTXT, nil, "x.test. 60 IN CNAME y.test.", `y.test. 60 IN TXT "y"`, `z.test. 60 IN TXT "z"`)
	seed(mdns.TypeTXT, nil, "x.test. 60 IN CNAME y.test.", "y.test. 60 IN CNAME x.test.")
	seed(mdns.TypeTXT, nil, slices.Repeat([]string{`x.test. 60 IN TXT "x"`}, 40)...)
	seed(mdns.TypeA, nil, "x.test. 60 IN A 192.0.2.1", "X.TEST. 0 IN A 192.0.2.2", "evil.test. 60 IN A 192.0.2.66")
	seed(mdns.TypeAAAA, nil, "x.test. 60 IN AAAA ::ffff:192.0.2.1")
	seed(mdns.TypeMX, nil, "x.test. 60 IN MX 10 a.test.", "x.test. 60 IN MX 0 .", `x.test. 60 IN MX 5 a\000b\.c.test.`)
	seed(mdns.TypePTR, nil, "x.test. 60 IN PTR a.test.")
	seed(mdns.TypeTXT, nil, "-test. 60 IN SOA ns.test. h.test. 1 2 3 4 30")
	seed(mdns.TypeTXT, func(m *mdns.Msg) { m.Rcode = mdns.RcodeNameError })
	seed(mdns.TypeTXT, func(m *mdns.Msg) { m.SetEdns0(4096, true); m.Rcode = mdns.RcodeBadVers })
	seed(mdns.TypeTXT, func(m *mdns.Msg) { m.Question, m.Rcode = nil, mdns.RcodeRefused })
	// A name that points at itself, after a header that promises 65535 records.
	loop := reply(f, mdns.TypeTXT, nil)
	copy(loop[6:], "\xff\xff\xff\xff\xff\xff")
	f.Add(append(loop, 0xc0, byte(len(loop)), 0, 16, 0, 1), uint8(0))

	f.Fuzz(func(t *testing.T, wire []byte, which uint8) {
		if len(wire) > mdns.MaxMsgSize {
			return
		}
		qtype := qtypes[int(which)%len(qtypes)]
		m, a := read(wire, qtype)
		if a == nil {
			return
		}
		checkConsistent(t, a)
		checkSources(t, m, qtype, a)
	})
}

// checkConsistent checks that outcome, error and records of a fit together, and
// that a is bounded.
func checkConsistent(t *testing.T, a *answer) {
	records := len(a.texts) + len(a.addrs) + len(a.mxs) + len(a.hosts)
	switch a.outcome {
	case OutcomeOK:
		if records == 0 || a.err != nil {
			t.Errorf("ok with %d records and error %v", records, a.err)
		}
	case OutcomeNoData:
		if records != 0 || a.err != nil {
			t.Errorf("nodata with %d records and error %v", records, a.err)
		}
	case OutcomeNXDomain:
		if records != 0 || !a.err.IsNotFound || a.err.IsTemporary {
			t.Errorf("nxdomain with %d records and error %+v", records, a.err)
		}
	default:
		if records != 0 && a.err == nil || a.err.IsNotFound || !a.err.IsTemporary {
			t.Errorf("%s with %d records and error %+v", a.outcome, records, a.err)
		}
	}
	if records > maxRecords || a.ttl < 0 || a.bytes() > 1<<17 {
		t.Errorf("%d records of %d bytes for %v", records, a.bytes(), a.ttl)
	}
	for _, text := range a.texts {
		if len(text) > maxTXT {
			t.Errorf("text of %d octets", len(text))
		}
	}
	for _, host := range a.hosts {
		if host == "" || strings.ContainsAny(host, "\\\x00 \r\n\"") {
			t.Errorf("host %q", host)
		}
	}
	for _, mx := range a.mxs {
		if mx.Host == "" || strings.ContainsAny(mx.Host, "\\\x00 \r\n\"") {
			t.Errorf("host %q", mx.Host)
		}
	}
}

// checkSources checks that every record of a stands in m under a name that CNAME
// records lead to from x.test, by an independent way: the closure of all aliases.
func checkSources(t *testing.T, m *mdns.Msg, qtype uint16, a *answer) {
	reachable := map[string]bool{"x.test.": true}
	for range m.Answer {
		for _, rr := range m.Answer {
			if c, ok := rr.(*mdns.CNAME); ok && reachable[strings.ToLower(c.Hdr.Name)] {
				reachable[strings.ToLower(c.Target)] = true
			}
		}
	}
	allowed := make(map[string]bool)
	for _, rr := range m.Answer {
		if h := rr.Header(); h.Rrtype != qtype || h.Class != mdns.ClassINET || !reachable[strings.ToLower(h.Name)] {
			continue
		}
		switch rr := rr.(type) {
		case *mdns.A:
			allowed[rr.A.String()] = true
		case *mdns.AAAA:
			allowed[rr.AAAA.String()] = true
		case *mdns.MX:
			allowed[rr.Mx] = true
		case *mdns.PTR:
			allowed[rr.Ptr] = true
		case *mdns.TXT:
			var text []byte
			for _, part := range rr.Txt { // pack and take the octets, not our own unescaping
				wire := make([]byte, 1024)
				one := &mdns.TXT{Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeTXT, Class: mdns.ClassINET}, Txt: []string{part}}
				n, err := mdns.PackRR(one, wire, 0, nil, false)
				if err != nil {
					t.Fatal(err)
				}
				text = append(text, wire[12:n]...)
			}
			allowed[string(text)] = true
		}
	}
	for _, text := range a.texts {
		if !allowed[text] {
			t.Errorf("text %q is no record of the question", text)
		}
	}
	for _, addr := range a.addrs {
		if !allowed[addr.Unmap().String()] && !allowed[addr.String()] {
			t.Errorf("address %v is no record of the question", addr)
		}
	}
	for _, mx := range a.mxs {
		if !allowed[mx.Host] {
			t.Errorf("MX %q is no record of the question", mx.Host)
		}
	}
	for _, host := range a.hosts {
		if !allowed[host] {
			t.Errorf("host %q is no record of the question", host)
		}
	}
}
