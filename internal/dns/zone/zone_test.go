package zone

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// ask asks z and puts the reply into one line.
func ask(z *Zone, name string, qtype uint16) string {
	q := new(mdns.Msg)
	q.SetQuestion(name, qtype)
	return describe(z.Answer(q))
}

func describe(m *mdns.Msg) string {
	words := []string{mdns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		words = append(words, strings.Join(strings.Fields(rr.String()), " "))
	}
	if len(m.Ns) == 1 {
		words = append(words, fmt.Sprintf("SOA of %s for %d", m.Ns[0].Header().Name, m.Ns[0].(*mdns.SOA).Minttl))
	}
	return strings.Join(words, "; ")
}

func TestAnswer(t *testing.T) {
	records, err := Parse(`
# milterd's own little world
example.test        SOA ns.example.test hostmaster.example.test 1 2 3 4 77
example.test        TXT v=spf1 mx -all; is no comment
example.test     60 MX  10 mail.example.test
mail.Example.test.  A   192.0.2.1
	a.b.example.test	AAAA	2001:db8::1
*.wild.example.test TXT   for everyone
own.wild.example.test A 192.0.2.2
alias.example.test  CNAME mail.example.test
far.example.test    CNAME nowhere.other.test
loop.test           CNAME loop.test
quoted.test         TXT "one" " two"
back\slash.test     TXT C:\dir
; the end
`)
	if err != nil {
		t.Fatal(err)
	}
	z, err := New(records)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"example.test.", mdns.TypeTXT, `NOERROR; example.test. 300 IN TXT "v=spf1 mx -all; is no comment"`},
		{"example.test.", mdns.TypeMX, "NOERROR; example.test. 60 IN MX 10 mail.example.test."},
		{"EXAMPLE.test.", mdns.TypeMX, "NOERROR; EXAMPLE.test. 60 IN MX 10 mail.example.test."},
		{"example.test.", mdns.TypeA, "NOERROR; SOA of example.test. for 77"},
		{"mail.example.test.", mdns.TypeA, "NOERROR; mail.example.test. 300 IN A 192.0.2.1"},
		{"b.example.test.", mdns.TypeA, "NOERROR; SOA of example.test. for 77"},
		{"c.example.test.", mdns.TypeA, "NXDOMAIN; SOA of example.test. for 77"},
		{"other.test.", mdns.TypeA, "NXDOMAIN; SOA of . for 60"},
		{".", mdns.TypeNS, "NOERROR; SOA of . for 60"},
		{"x.wild.example.test.", mdns.TypeTXT, `NOERROR; x.wild.example.test. 300 IN TXT "for everyone"`},
		{"x.y.wild.example.test.", mdns.TypeTXT, `NOERROR; x.y.wild.example.test. 300 IN TXT "for everyone"`},
		{"own.wild.example.test.", mdns.TypeTXT, "NOERROR; SOA of example.test. for 77"},
		{"x.own.wild.example.test.", mdns.TypeTXT, "NXDOMAIN; SOA of example.test. for 77"},
		{"wild.example.test.", mdns.TypeTXT, "NOERROR; SOA of example.test. for 77"},
		{"alias.example.test.", mdns.TypeA, "NOERROR; alias.example.test. 300 IN CNAME mail.example.test.; mail.example.test. 300 IN A 192.0.2.1"},
		{"alias.example.test.", mdns.TypeCNAME, "NOERROR; alias.example.test. 300 IN CNAME mail.example.test."},
		{"far.example.test.", mdns.TypeA, "NXDOMAIN; far.example.test. 300 IN CNAME nowhere.other.test.; SOA of . for 60"},
		{"quoted.test.", mdns.TypeTXT, `NOERROR; quoted.test. 300 IN TXT "one" " two"`},
		{`back\\slash.test.`, mdns.TypeTXT, `NOERROR; back\\slash.test. 300 IN TXT "C:\\dir"`},
	} {
		if got := ask(z, test.name, test.qtype); got != test.want {
			t.Errorf("%s %s:\n got %s\nwant %s", test.name, mdns.TypeToString[test.qtype], got, test.want)
		}
	}
	if got := ask(z, "loop.test.", mdns.TypeA); strings.Count(got, "CNAME") < 2 {
		t.Errorf("loop: %s", got)
	}
	two := new(mdns.Msg)
	two.Question = make([]mdns.Question, 2)
	if got := describe(z.Answer(two)); got != "FORMERR" {
		t.Errorf("two questions: %s", got)
	}
}

func TestEmptyZoneKnowsNothing(t *testing.T) {
	z, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(z, "example.test.", mdns.TypeA); got != "NXDOMAIN; SOA of . for 60" {
		t.Error(got)
	}
}

func TestRootWildcard(t *testing.T) {
	z, err := New(Records{"*": {"A 203.0.113.1"}, "known.test": {"A 192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(z, "typo.", mdns.TypeA); got != "NOERROR; typo. 300 IN A 203.0.113.1" {
		t.Error(got)
	}
	if got := ask(z, "typo.test.", mdns.TypeA); got != "NXDOMAIN; SOA of . for 60" {
		t.Error(got) // test. exists, so the wildcard does not reach below it
	}
}

func TestLongText(t *testing.T) {
	text := strings.Repeat(`k=\"`, 200)
	z, err := New(Records{"a.test": {"TXT " + text}})
	if err != nil {
		t.Fatal(err)
	}
	q := new(mdns.Msg)
	q.SetQuestion("a.test.", mdns.TypeTXT)
	wire, err := z.Answer(q).Pack()
	if err != nil {
		t.Fatal(err)
	}
	// The strings stand at the end of the message, each after its length.
	rdata := wire[len(wire)-len(text)-4:]
	var got []byte
	for len(rdata) > 0 {
		n := 1 + int(rdata[0])
		got = append(got, rdata[1:n]...)
		rdata = rdata[n:]
	}
	if string(got) != text {
		t.Errorf("sent %q", got)
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"\na.test A 192.0.2.256":                   `line 2: "A 192.0.2.256" is no record`,
		"a.test":                                   `line 1: "" is no record`,
		"a.test MX mail.test":                      "line 1",
		"a.test NOTYPE x":                          "line 1",
		"a..test A 192.0.2.1":                      `line 1: "a..test" is no domain name`,
		strings.Repeat("a", 64) + ".t A 192.0.2.1": "is no domain name",
		"a.test 9999999999 A 192.0.2.1":            "is no record",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want %s", text, err, want)
		}
		if _, err := Start(text); err == nil {
			t.Errorf("Start(%q) started", text)
		}
	}
	z, err := New(Records{"a.test": {"A 192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Records{{"b.test": {"A nonsense"}}, {"b..test": nil}} {
		if z.Replace(bad) == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
	if got := ask(z, "a.test.", mdns.TypeA); !strings.HasSuffix(got, "192.0.2.1") {
		t.Errorf("after a failed Replace: %s", got)
	}
}

func TestServer(t *testing.T) {
	s, err := Start("small.test TXT hello\nlarge.test TXT " + strings.Repeat("k", 2000))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, test := range []struct {
		network, name string
		edns          uint16
		truncated     bool
	}{
		{"udp", "small.test.", 0, false},
		{"tcp", "small.test.", 0, false},
		{"udp", "large.test.", 1232, true},
		{"udp", "large.test.", 4096, false},
		{"tcp", "large.test.", 0, false},
	} {
		q := new(mdns.Msg)
		q.SetQuestion(test.name, mdns.TypeTXT)
		if test.edns > 0 {
			q.SetEdns0(test.edns, false)
		}
		c := &mdns.Client{Net: test.network, Timeout: 5 * time.Second}
		m, _, err := c.Exchange(q, s.Addr())
		if err != nil {
			t.Errorf("%s %s: %v", test.network, test.name, err)
			continue
		}
		if m.Truncated != test.truncated || (len(m.Answer) == 0) != test.truncated || (m.IsEdns0() != nil) != (test.edns > 0) {
			t.Errorf("%s %s with EDNS %d: truncated %t, %d answers", test.network, test.name, test.edns, m.Truncated, len(m.Answer))
		}
	}
}

func TestServerSurvivesNonsense(t *testing.T) {
	s, err := Start("a.test TXT hello")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, network := range []string{"udp", "tcp"} {
		for _, nonsense := range []string{"x", "\x00\x05hello", "\x00\x00", "GET / HTTP/1.1\r\n\r\n"} {
			conn, err := net.Dial(network, s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(nonsense)); err != nil {
				t.Error(err)
			}
			conn.Close()
		}
		q := new(mdns.Msg)
		q.SetQuestion("a.test.", mdns.TypeTXT)
		c := &mdns.Client{Net: network, Timeout: 5 * time.Second}
		if m, _, err := c.Exchange(q, s.Addr()); err != nil || len(m.Answer) != 1 {
			t.Errorf("%s: %v", network, err)
		}
	}
}

func TestCloseWaitsForHandlers(t *testing.T) {
	started, ended := make(chan struct{}), make(chan struct{})
	s, err := Serve(func(ctx context.Context, q *mdns.Msg, tcp bool) Reply {
		close(started)
		<-ctx.Done()
		close(ended)
		return Reply{}
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q := new(mdns.Msg)
	q.SetQuestion("a.test.", mdns.TypeA)
	wire, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(wire); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Close returned before the handler did")
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// FuzzParse: what Parse accepts can be served, and every record comes back.
func FuzzParse(f *testing.F) {
	f.Add("a.test TXT v=spf1 -all\nb.test 60 MX 10 a.test")
	f.Add("*.test CNAME a.test\n. NS a.test\n# x\n; y")
	f.Add("a.test TXT \"one\" \"two\"\na.test TXT \\\x00\xff")
	f.Add("a.test SOA a. b. 1 2 3 4 5\na.test TXT")
	f.Add("a.test TYPE65280 \\# 4 0A000001")
	f.Fuzz(func(t *testing.T, text string) {
		records, err := Parse(text)
		if err != nil {
			return
		}
		z, err := New(records)
		if err != nil {
			t.Fatalf("parsed, but: %v", err)
		}
		for name := range records {
			owner, err := canonical(name)
			if err != nil {
				t.Fatal(err)
			}
			types := make(map[uint16]int)
			for _, rr := range z.names[owner] {
				types[rr.Header().Rrtype]++
			}
			for qtype, n := range types {
				q := new(mdns.Msg)
				q.SetQuestion(owner, qtype)
				m := z.Answer(q)
				found := slices.DeleteFunc(m.Answer, func(rr mdns.RR) bool { return rr.Header().Rrtype != qtype })
				if m.Rcode != mdns.RcodeSuccess || len(found) != n && qtype != mdns.TypeANY {
					t.Errorf("%q %d: %s with %d records, want %d", name, qtype, mdns.RcodeToString[m.Rcode], len(found), n)
				}
			}
		}
	})
}
