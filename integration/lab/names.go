package lab

import (
	"context"
	"net/netip"
	"sync"
	"time"

	mdns "github.com/miekg/dns"

	"milterd/internal/dns/dnstest"
	"milterd/internal/dns/zone"
)

// records are the Internet of the lab: senders whose mail passes SPF, and banks that ask to
// refuse what does not come from themselves. Each letter has a domain of its own below
// these, at which the wildcard gives SPF record and policy alike.
const records = `
*.sender.test                TXT v=spf1 ip4:203.0.113.0/24 -all
*.sender.test                MX  10 mail.sender.test
mail.sender.test             A   203.0.113.7
7.113.0.203.in-addr.arpa     PTR mail.sender.test
*.bank.test                  TXT v=spf1 ip4:198.51.100.1 -all
*.bank.test                  TXT v=DMARC1; p=reject
*.bank.test                  MX  10 mx.bank.test
mx.bank.test                 A   198.51.100.1
1.100.51.198.in-addr.arpa    PTR mx.bank.test
`

// Names is the name server, which can be broken. Its records live a second, so that a
// fault is seen soon.
type Names struct {
	zone *zone.Zone

	mu     sync.Mutex
	server *zone.Server // nil while it is dead
	addr   netip.AddrPort
	lie    dnstest.Lie // nil for none
}

// StartNames starts the name server on a free port of loopback.
func StartNames() (*Names, error) {
	parsed, err := zone.Parse(records)
	if err != nil {
		return nil, err
	}
	for _, list := range parsed {
		for i := range list {
			list[i] = "1 " + list[i]
		}
	}
	z, err := zone.New(parsed)
	if err != nil {
		return nil, err
	}
	n := &Names{zone: z}
	if n.server, err = zone.Serve(n.handle); err != nil {
		return nil, err
	}
	n.addr, err = netip.ParseAddrPort(n.server.Addr())
	return n, err
}

// Addr is host:port of the server.
func (n *Names) Addr() string { return n.addr.String() }

// Lie makes all answers lies; nil is the truth again.
func (n *Names) Lie(l dnstest.Lie) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lie = l
}

// Die ends the server: nobody listens any more.
func (n *Names) Die() error {
	n.mu.Lock()
	server := n.server
	n.server = nil
	n.mu.Unlock()
	if server == nil {
		return nil
	}
	return server.Close()
}

// Live starts the server again where it was.
func (n *Names) Live() error {
	server, err := zone.ServeAt(n.addr, n.handle)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server = server
	return nil
}

// Close ends the server for good.
func (n *Names) Close() error { return n.Die() }

func (n *Names) handle(ctx context.Context, q *mdns.Msg, tcp bool) zone.Reply {
	n.mu.Lock()
	lie := n.lie
	n.mu.Unlock()
	reply := n.zone.Handle(ctx, q, tcp)
	if lie != nil && len(q.Question) == 1 {
		reply = lie(ctx, dnstest.Query{Msg: q, TCP: tcp, Truth: n.zone.Answer(q)}, reply)
	}
	return reply
}

// hostile lies in another way each time that it is asked.
func hostile() dnstest.Lie {
	ways := []dnstest.Lie{
		dnstest.Garbage, dnstest.WrongID, dnstest.WrongQuestion, dnstest.CutRecord, dnstest.NoRecords, dnstest.HalfTCP,
		dnstest.HugeTXT(64_000), dnstest.ManyTXT(1000), dnstest.CNAMELoop, dnstest.BadVers, dnstest.Refused, dnstest.ServFail, dnstest.Drop,
	}
	var mu sync.Mutex
	next := 0
	return func(ctx context.Context, q dnstest.Query, r dnstest.Reply) dnstest.Reply {
		mu.Lock()
		way := ways[next%len(ways)]
		next++
		mu.Unlock()
		return way(ctx, q, r)
	}
}

// late answers just in time.
var late = dnstest.Delay(200 * time.Millisecond)
