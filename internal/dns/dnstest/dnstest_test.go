package dnstest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// exchange asks s and describes what came back.
func exchange(t *testing.T, s *Server, network, name string, qtype uint16, edns bool) string {
	t.Helper()
	return within(t, 5*time.Second, s, network, name, qtype, edns)
}

// within is exchange with another patience.
func within(t *testing.T, patience time.Duration, s *Server, network, name string, qtype uint16, edns bool) string {
	t.Helper()
	q := new(mdns.Msg)
	q.SetQuestion(name, qtype)
	if edns {
		q.SetEdns0(1232, false)
	}
	wire, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial(network, s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if network == "tcp" {
		wire = append([]byte{0, byte(len(wire))}, wire...)
	}
	if _, err := conn.Write(wire); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 1<<16)
	n := 0
	if network == "udp" {
		n, err = conn.Read(reply)
	} else {
		var length [2]byte
		if _, err = io.ReadFull(conn, length[:]); err == nil {
			n, err = io.ReadFull(conn, reply[:int(length[0])<<8|int(length[1])])
		}
	}
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		return "silence"
	case err != nil:
		return err.Error()
	}
	m := new(mdns.Msg)
	if err := m.Unpack(reply[:n]); err != nil {
		return "garbage"
	}
	words := []string{mdns.RcodeToString[m.Rcode]}
	if m.Rcode == mdns.RcodeBadVers { // BADSIG in another context
		words[0] = "rcode 16"
	}
	if m.Id != q.Id {
		words = append(words, "wrong id")
	}
	if m.Truncated {
		words = append(words, "TC")
	}
	if len(m.Question) != 1 || m.Question[0] != q.Question[0] {
		words = append(words, "wrong question")
	}
	if len(m.Answer) > 3 {
		return strings.Join(append(words, fmt.Sprint(len(m.Answer), " records")), "; ")
	}
	for _, rr := range m.Answer {
		text := strings.Join(strings.Fields(rr.String()), " ")
		words = append(words, text[:min(len(text), 60)])
	}
	return strings.Join(words, "; ")
}

func TestLies(t *testing.T) {
	s := Start(t, Zone{"a.test": {"TXT truth"}})
	const truth = `NOERROR; a.test. 300 IN TXT "truth"`
	released := make(chan struct{})
	close(released)
	for _, test := range []struct {
		name     string
		lie      Lie
		udp, tcp string
	}{
		{"Drop", Drop, "silence", "EOF"},
		{"Delay", Delay(10 * time.Millisecond), truth, truth},
		{"Delay too long", Delay(time.Minute), "silence", "silence"},
		{"Until", Until(released), truth, truth},
		{"Until never", Until(nil), "silence", "silence"},
		{"OverUDP", OverUDP(ServFail), "SERVFAIL", truth},
		{"ServFail", ServFail, "SERVFAIL", "SERVFAIL"},
		{"Refused", Refused, "REFUSED", "REFUSED"},
		{"NXDomain", NXDomain, "NXDOMAIN", "NXDOMAIN"},
		{"Rcode", Rcode(mdns.RcodeBadVers), "rcode 16", "rcode 16"},
		{"BadVers", BadVers, "rcode 16", "rcode 16"},
		{"NoEDNS", NoEDNS, "FORMERR; wrong question", "FORMERR; wrong question"},
		{"Truncate", Truncate, "NOERROR; TC", truth},
		{"IgnoreSize", IgnoreSize, truth, truth},
		{"WrongID", WrongID, `NOERROR; wrong id; a.test. 300 IN TXT "truth"`, `NOERROR; wrong id; a.test. 300 IN TXT "truth"`},
		{"WrongQuestion", WrongQuestion, `NOERROR; wrong question; wrong.a.test. 300 IN TXT "truth"`, `NOERROR; wrong question; wrong.a.test. 300 IN TXT "truth"`},
		{"Garbage", Garbage, "garbage", "garbage"},
		{"CutRecord", CutRecord, "garbage", "garbage"},
		{"NoRecords", NoRecords, "NOERROR", "NOERROR"},
		{"HalfTCP", HalfTCP, "NOERROR; TC", "unexpected EOF"},
		{"HugeTXT", HugeTXT(60000), "NOERROR; TC", `NOERROR; a.test. 300 IN TXT "` + strings.Repeat("x", 40)},
		{"ManyTXT", ManyTXT(30), "NOERROR; 30 records", "NOERROR; 30 records"},
		{"CNAMELoop", CNAMELoop, "NOERROR; a.test. 300 IN CNAME loop.a.test.; loop.a.test. 300 IN CNAME a.test.", "NOERROR; a.test. 300 IN CNAME loop.a.test.; loop.a.test. 300 IN CNAME a.test."},
		{"Foreign", Foreign("b.test.", "A 192.0.2.66"), truth + "; b.test. 300 IN A 192.0.2.66", truth + "; b.test. 300 IN A 192.0.2.66"},
		{"Rewrite", Rewrite("203.0.113.1"), truth, truth},
	} {
		s.Lie("a.test", test.lie)
		patience := func(want string) time.Duration {
			if want == "silence" {
				return 50 * time.Millisecond
			}
			return 5 * time.Second
		}
		if got := within(t, patience(test.udp), s, "udp", "a.test.", mdns.TypeTXT, true); got != test.udp {
			t.Errorf("%s over UDP: %s, want %s", test.name, got, test.udp)
		}
		if got := within(t, patience(test.tcp), s, "tcp", "a.test.", mdns.TypeTXT, true); got != test.tcp {
			t.Errorf("%s over TCP: %s, want %s", test.name, got, test.tcp)
		}
	}
	for name, lie := range map[string]Lie{"BadVers": BadVers, "NoEDNS": NoEDNS} {
		s.Lie("a.test", lie)
		if got := exchange(t, s, "udp", "a.test.", mdns.TypeTXT, false); got != truth {
			t.Errorf("%s without EDNS: %s", name, got)
		}
	}
}

func TestIgnoreSize(t *testing.T) {
	s := Start(t, Zone{"long.test": {"TXT " + strings.Repeat("k", 2000)}})
	s.Lie("long.test", IgnoreSize)
	want := `NOERROR; long.test. 300 IN TXT "` + strings.Repeat("k", 37)
	if got := exchange(t, s, "udp", "long.test.", mdns.TypeTXT, true); !strings.HasPrefix(want, got) || len(got) < 60 {
		t.Error(got)
	}
}

func TestRewrite(t *testing.T) {
	s := Start(t, Zone{"a.test": {"TXT truth"}})
	s.Lie("*", Rewrite("203.0.113.1"))
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"typo.test.", mdns.TypeA, "NOERROR; typo.test. 300 IN A 203.0.113.1"},
		{"typo.test.", mdns.TypeTXT, "NOERROR"},
		{"a.test.", mdns.TypeA, "NOERROR"},
		{"a.test.", mdns.TypeTXT, `NOERROR; a.test. 300 IN TXT "truth"`},
	} {
		if got := exchange(t, s, "udp", test.name, test.qtype, true); got != test.want {
			t.Errorf("%s %d: %s, want %s", test.name, test.qtype, got, test.want)
		}
	}
}

func TestTheMostParticularLieIsTold(t *testing.T) {
	s := Start(t, Text(t, "a.test TXT truth\nb.test TXT truth"))
	s.Lie("*", Refused)
	s.LieType("*", "MX", NXDomain)
	s.Lie("A.test.", ServFail)
	s.LieType("a.test", "A", Truncate, OverUDP(WrongID))
	s.Lie("b.test") // honest in a world of lies
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"a.test.", mdns.TypeTXT, "SERVFAIL"},
		{"a.test.", mdns.TypeA, "NOERROR; wrong id"},
		{"b.test.", mdns.TypeTXT, `NOERROR; b.test. 300 IN TXT "truth"`},
		{"c.test.", mdns.TypeTXT, "REFUSED"},
		{"c.test.", mdns.TypeMX, "NXDOMAIN"},
	} {
		if got := exchange(t, s, "udp", test.name, test.qtype, true); got != test.want {
			t.Errorf("%s %d: %s, want %s", test.name, test.qtype, got, test.want)
		}
	}
	s.Honest()
	if got := exchange(t, s, "udp", "a.test.", mdns.TypeTXT, true); got != `NOERROR; a.test. 300 IN TXT "truth"` {
		t.Errorf("honest: %s", got)
	}
}

func TestCounters(t *testing.T) {
	s := Start(t, Zone{"a.test": {"TXT truth"}})
	s.Lie("b.test", Drop)
	exchange(t, s, "udp", "a.test.", mdns.TypeTXT, true)
	exchange(t, s, "udp", "A.TEST.", mdns.TypeTXT, true)
	exchange(t, s, "tcp", "a.test.", mdns.TypeTXT, true)
	exchange(t, s, "udp", "a.test.", mdns.TypeA, true)
	within(t, 100*time.Millisecond, s, "udp", "b.test.", mdns.TypeA, true)
	exchange(t, s, "udp", ".", mdns.TypeNS, true)
	got := fmt.Sprint(s.Count("a.test", "TXT"), s.CountTCP("a.test.", "TXT"), s.Count("a.test", "A"),
		s.Count("b.test", "A"), s.Count("a.test", "MX"), s.Count(".", "NS"), s.Total(), s.Names())
	if want := "3 1 1 1 0 1 5 2"; got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
}

func TestSetZone(t *testing.T) {
	s := Start(t, Zone{"a.test": {"TXT old"}})
	s.SetZone(t, Zone{"a.test": {"TXT new"}})
	if got := exchange(t, s, "udp", "a.test.", mdns.TypeTXT, true); got != `NOERROR; a.test. 300 IN TXT "new"` {
		t.Error(got)
	}
}
