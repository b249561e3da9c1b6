package dnstest

import (
	"context"
	"net/netip"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"milterd/internal/dns/zone"
)

// A Lie changes the reply to one query. It gets what would have been sent, by the
// zone or by the lie before it. It may wait, until ctx ends with the server.
type Lie func(ctx context.Context, q Query, reply Reply) Reply

// A Reply is what goes back.
type Reply = zone.Reply

// A Query is what a Lie may want to know.
type Query struct {
	Msg   *mdns.Msg
	TCP   bool
	Truth *mdns.Msg // the complete reply of the zone; the lie may change it
}

// send packs m as the reply to q.
func (q Query) send(m *mdns.Msg) Reply { return zone.Pack(m, q.Msg, q.TCP) }

// Drop sends nothing: the asker runs into its timeout. Over TCP it hangs up.
func Drop(context.Context, Query, Reply) Reply { return Reply{} }

// Delay waits before the reply.
func Delay(d time.Duration) Lie {
	return func(ctx context.Context, _ Query, reply Reply) Reply {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return reply
		case <-ctx.Done():
			return Reply{}
		}
	}
}

// Until holds the reply back until release is closed.
func Until(release <-chan struct{}) Lie {
	return func(ctx context.Context, _ Query, reply Reply) Reply {
		select {
		case <-release:
			return reply
		case <-ctx.Done():
			return Reply{}
		}
	}
}

// OverUDP restricts a lie to UDP; over TCP the truth is told.
func OverUDP(l Lie) Lie {
	return func(ctx context.Context, q Query, reply Reply) Reply {
		if q.TCP {
			return reply
		}
		return l(ctx, q, reply)
	}
}

// Rcode answers with an rcode and nothing else.
func Rcode(rcode int) Lie {
	return func(_ context.Context, q Query, _ Reply) Reply {
		m := new(mdns.Msg)
		m.SetReply(q.Msg)
		if rcode > 0xf {
			m.SetEdns0(mdns.MinMsgSize, false)
		}
		m.Rcode = rcode
		return q.send(m)
	}
}

// ServFail answers SERVFAIL.
func ServFail(ctx context.Context, q Query, r Reply) Reply {
	return Rcode(mdns.RcodeServerFailure)(ctx, q, r)
}

// Refused answers REFUSED.
func Refused(ctx context.Context, q Query, r Reply) Reply {
	return Rcode(mdns.RcodeRefused)(ctx, q, r)
}

// NXDomain denies that the name exists.
func NXDomain(ctx context.Context, q Query, r Reply) Reply {
	return Rcode(mdns.RcodeNameError)(ctx, q, r)
}

// BadVers answers BADVERS (RFC 6891, section 9), whose lower four bits look like
// success, to queries with EDNS0.
func BadVers(ctx context.Context, q Query, r Reply) Reply {
	if q.Msg.IsEdns0() == nil {
		return r
	}
	return Rcode(mdns.RcodeBadVers)(ctx, q, r)
}

// NoEDNS answers FORMERR, without the question, to queries with EDNS0.
func NoEDNS(_ context.Context, q Query, r Reply) Reply {
	if q.Msg.IsEdns0() == nil {
		return r
	}
	m := new(mdns.Msg)
	m.SetRcode(q.Msg, mdns.RcodeFormatError)
	m.Question = nil
	return q.send(m)
}

// Rewrite answers every A question about a name that does not exist with addr, as
// some access providers do.
func Rewrite(addr string) Lie {
	a := netip.MustParseAddr(addr)
	return func(_ context.Context, q Query, reply Reply) Reply {
		m, asked := q.Truth, q.Msg.Question[0]
		if m.Rcode != mdns.RcodeNameError {
			return reply
		}
		m.Rcode, m.Ns = mdns.RcodeSuccess, nil
		if asked.Qtype == mdns.TypeA {
			m.Answer = []mdns.RR{&mdns.A{Hdr: header(asked.Name, mdns.TypeA), A: a.AsSlice()}}
		}
		return q.send(m)
	}
}

// Truncate sends an empty reply with TC over UDP; over TCP the truth.
func Truncate(_ context.Context, q Query, reply Reply) Reply {
	if q.TCP {
		return reply
	}
	m := new(mdns.Msg)
	m.SetReply(q.Msg)
	m.Truncated = true
	return q.send(m)
}

// IgnoreSize sends the whole truth over UDP, however large and whatever the asker
// said it can take.
func IgnoreSize(_ context.Context, q Query, _ Reply) Reply {
	return zone.Pack(q.Truth, q.Msg, true)
}

// WrongID answers truthfully to another id.
func WrongID(_ context.Context, q Query, _ Reply) Reply {
	q.Truth.Id++
	return q.send(q.Truth)
}

// WrongQuestion answers with a question that was not asked, and a record for it.
func WrongQuestion(_ context.Context, q Query, _ Reply) Reply {
	m := q.Truth
	m.Question[0].Name = "wrong." + strings.TrimPrefix(m.Question[0].Name, ".")
	for _, rr := range m.Answer {
		rr.Header().Name = m.Question[0].Name
	}
	return q.send(m)
}

// Garbage sends octets that are no DNS message.
func Garbage(context.Context, Query, Reply) Reply {
	return Reply{Wire: []byte("\x16\x03\x01\x00\xa5HTTP/1.1 400 Bad Request\r\n\r\n")}
}

// CutRecord sends a reply, without TC, that ends in the middle of its last record.
func CutRecord(_ context.Context, _ Query, reply Reply) Reply {
	return Reply{Wire: reply.Wire[:len(reply.Wire)-3]}
}

// NoRecords sends a reply that announces records and ends after the question.
func NoRecords(_ context.Context, q Query, _ Reply) Reply {
	m := new(mdns.Msg)
	m.SetReply(q.Msg)
	m.RecursionAvailable = true
	r := q.send(m)
	if len(r.Wire) > 7 {
		r.Wire[7] = 3 // ANCOUNT
	}
	return r
}

// HalfTCP sends TC over UDP, and over TCP only the first octets of the frame.
func HalfTCP(ctx context.Context, q Query, reply Reply) Reply {
	if !q.TCP {
		return Truncate(ctx, q, reply)
	}
	reply.Cut = 2 + len(reply.Wire)/2
	return reply
}

// HugeTXT answers with one TXT record of size octets.
func HugeTXT(size int) Lie {
	return records(func(name string) []mdns.RR {
		rr := &mdns.TXT{Hdr: header(name, mdns.TypeTXT)}
		for left := size; left > 0; left -= 255 {
			rr.Txt = append(rr.Txt, strings.Repeat("x", min(left, 255)))
		}
		return []mdns.RR{rr}
	})
}

// ManyTXT answers with n short TXT records.
func ManyTXT(n int) Lie {
	return records(func(name string) []mdns.RR {
		rrs := make([]mdns.RR, n)
		for i := range rrs {
			rrs[i] = &mdns.TXT{Hdr: header(name, mdns.TypeTXT), Txt: []string{"x"}}
		}
		return rrs
	})
}

// CNAMELoop answers that the name is an alias of another, which is an alias of it.
func CNAMELoop(ctx context.Context, q Query, r Reply) Reply {
	return records(func(name string) []mdns.RR {
		other := "loop." + strings.TrimPrefix(name, ".")
		return []mdns.RR{
			&mdns.CNAME{Hdr: header(name, mdns.TypeCNAME), Target: other},
			&mdns.CNAME{Hdr: header(other, mdns.TypeCNAME), Target: name},
		}
	})(ctx, q, r)
}

// Foreign adds to the truth the records in the compact form that belong to another
// name, as a cache poisoner would.
func Foreign(owner string, recs ...string) Lie {
	return func(_ context.Context, q Query, _ Reply) Reply {
		m := q.Truth
		for _, rec := range recs {
			rr, err := mdns.NewRR(owner + " 300 IN " + rec)
			if err != nil {
				return Reply{}
			}
			m.Answer = append(m.Answer, rr)
			m.Extra = append(m.Extra, rr)
		}
		return q.send(m)
	}
}

// records answers with the records that build returns for the asked name.
func records(build func(name string) []mdns.RR) Lie {
	return func(_ context.Context, q Query, _ Reply) Reply {
		m := q.Truth
		m.Rcode, m.Ns = mdns.RcodeSuccess, nil
		m.Answer = build(m.Question[0].Name)
		return q.send(m)
	}
}

func header(name string, qtype uint16) mdns.RR_Header {
	return mdns.RR_Header{Name: name, Rrtype: qtype, Class: mdns.ClassINET, Ttl: 300}
}
