// Package dnstest starts name servers on loopback for tests, real ones with UDP
// and TCP, and makes them lie.
//
//	s := dnstest.Start(t, dnstest.Zone{
//		"example.com": {"TXT v=spf1 ip4:192.0.2.1 -all", "MX 10 mail.example.com"},
//	})
//	s.Lie("slow.example.com", dnstest.Delay(20*time.Millisecond))
//	s.Lie("broken.example.com", dnstest.ServFail)
//	r, err := dns.New(dns.Options{Servers: []string{s.Addr()}})
//
// Whatever is not in the zone does not exist. The server counts what it was asked,
// lies included, repetitions too.
package dnstest

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"

	mdns "github.com/miekg/dns"

	"milterd/internal/dns/zone"
)

// Zone is the records of a server, for each name as "[TTL] TYPE DATA"; see
// zone.Records.
type Zone = zone.Records

// Text reads a Zone from text, one record a line as NAME [TTL] TYPE DATA; see
// zone.Parse.
func Text(t testing.TB, text string) Zone {
	t.Helper()
	records, err := zone.Parse(text)
	if err != nil {
		t.Fatalf("dnstest: %v", err)
	}
	return records
}

// A Server is a name server on loopback. Its methods may be called at any time.
type Server struct {
	zone   *zone.Zone
	server *zone.Server

	mu    sync.Mutex
	lies  map[question][]Lie
	asked map[count]int
}

// A question is a name in lower case without final dot, and a type; an empty type
// stands for all.
type question struct{ name, qtype string }

type count struct {
	question
	tcp bool
}

// everything is the name that stands for all names.
const everything = "*"

// Start starts a server for z, and ends it with the test.
func Start(t testing.TB, z Zone) *Server {
	t.Helper()
	return start(t, z, zone.Serve)
}

// StartAt is Start at an address of loopback. Several servers can share a port:
// 127.0.0.2:5353, 127.0.0.3:5353. Port 0 is a free one.
func StartAt(t testing.TB, addr netip.AddrPort, z Zone) *Server {
	t.Helper()
	return start(t, z, func(h zone.Handler) (*zone.Server, error) { return zone.ServeAt(addr, h) })
}

func start(t testing.TB, z Zone, serve func(zone.Handler) (*zone.Server, error)) *Server {
	t.Helper()
	records, err := zone.New(z)
	if err != nil {
		t.Fatalf("dnstest: %v", err)
	}
	s := &Server{zone: records, lies: make(map[question][]Lie), asked: make(map[count]int)}
	s.server, err = serve(s.handle)
	if err != nil {
		t.Fatalf("dnstest: %v", err)
	}
	t.Cleanup(func() { s.server.Close() })
	return s
}

// Addr returns host:port of the server.
func (s *Server) Addr() string { return s.server.Addr() }

// Close ends the server before the test does; later questions find nobody.
func (s *Server) Close() { s.server.Close() }

// SetZone puts other records in the place of all there were.
func (s *Server) SetZone(t testing.TB, z Zone) {
	t.Helper()
	if err := s.zone.Replace(z); err != nil {
		t.Fatalf("dnstest: %v", err)
	}
}

// Lie makes the server lie about name, for questions of every type; "*" stands for
// all names that have no lie of their own. Several lies are told one upon the
// other. They take the place of earlier ones.
func (s *Server) Lie(name string, lies ...Lie) { s.LieType(name, "", lies...) }

// LieType is Lie for questions of one type ("TXT"). It goes before Lie.
func (s *Server) LieType(name, qtype string, lies ...Lie) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lies[question{fold(name), qtype}] = lies
}

// Honest takes back all lies.
func (s *Server) Honest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.lies)
}

// Count returns how often the server was asked for name and type, over UDP and TCP
// together.
func (s *Server) Count(name, qtype string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := question{fold(name), qtype}
	return s.asked[count{q, false}] + s.asked[count{q, true}]
}

// CountTCP returns how often the server was asked for name and type over TCP.
func (s *Server) CountTCP(name, qtype string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[count{question{fold(name), qtype}, true}]
}

// Total returns how many queries there were, but for those about the root, by
// which resolvers find out whether a server is alive.
func (s *Server) Total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for c, n := range s.asked {
		if c.name != "" {
			total += n
		}
	}
	return total
}

// Names returns how many different names were asked for, but for the root.
func (s *Server) Names() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make(map[string]bool)
	for c := range s.asked {
		if c.name != "" {
			names[c.name] = true
		}
	}
	return len(names)
}

// fold spells a name as the server counts it.
func fold(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// handle counts q and answers it, truthfully or not.
func (s *Server) handle(ctx context.Context, q *mdns.Msg, tcp bool) zone.Reply {
	if len(q.Question) != 1 {
		return s.zone.Handle(ctx, q, tcp)
	}
	asked := question{fold(q.Question[0].Name), mdns.TypeToString[q.Question[0].Qtype]}
	s.mu.Lock()
	s.asked[count{asked, tcp}]++
	lies := s.told(asked)
	s.mu.Unlock()
	reply := s.zone.Handle(ctx, q, tcp)
	for _, lie := range lies {
		reply = lie(ctx, Query{q, tcp, s.zone.Answer(q)}, reply)
	}
	return reply
}

// told returns the lies about a question, the most particular ones there are; s.mu
// is held.
func (s *Server) told(q question) []Lie {
	for _, at := range []question{q, {q.name, ""}, {everything, q.qtype}, {everything, ""}} {
		if lies, ok := s.lies[at]; ok {
			return lies
		}
	}
	return nil
}
