package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// maxUDP is the largest reply we ask for over UDP. It is not fragmented on any
// path worth the name, and fragments are the easy way to forge replies (DNS flag
// day 2020; RFC 9715, section 3.1).
const maxUDP = 1232

const (
	headerLen = 12 // RFC 1035, section 4.1.1
	optLen    = 11 // an OPT record without options, RFC 6891, section 6.1.2
)

// probeKey is the question that every recursive server can answer by itself.
var probeKey = key{".", mdns.TypeNS}

var (
	// errUseTCP says that a UDP reply was truncated, larger than we allow, or not
	// the reply to our question. Against the last, TCP is the cure too: it cannot be
	// forged by somebody who does not see our packets (RFC 5452, section 9.3).
	errUseTCP = errors.New("UDP reply is unusable")

	errMismatch = errors.New("reply does not match the question")
	errTooMany  = errors.New("reply has too many records")
	errShort    = errors.New("reply ends before its records do")
)

// A query is a question in wire form, ready to be sent again and again.
type query struct {
	wire []byte
	edns bool // wire ends with an OPT record
}

// newQuery returns the query for k. It is written here, octet by octet, because the
// library would take a name as zone file text, with escapes and its own mistakes
// about them, while ours may hold any octet.
func newQuery(k key) *query {
	wire := make([]byte, 0, headerLen+len(k.name)+2+4+optLen)
	wire = append(wire,
		0, 0, // id, see renew
		1, 0, // a standard query, recursion desired
		0, 1, 0, 0, 0, 0, 0, 1) // one question, one additional record
	if k.name != "." {
		for label := range strings.SplitSeq(k.name, ".") {
			wire = append(wire, byte(len(label)))
			wire = append(wire, label...)
		}
	}
	wire = append(wire, 0)
	wire = binary.BigEndian.AppendUint16(wire, k.qtype)
	wire = binary.BigEndian.AppendUint16(wire, mdns.ClassINET)
	// RFC 6891, section 6.1.2: the root's name, OPT, our UDP size in place of the
	// class, no flags in place of the TTL, no options.
	wire = append(wire, 0, 0, byte(mdns.TypeOPT), maxUDP>>8, maxUDP&0xff, 0, 0, 0, 0, 0, 0)
	return &query{wire: wire, edns: true}
}

// dropEDNS takes the OPT record away, for servers that choke on it (RFC 6891,
// section 7).
func (q *query) dropEDNS() {
	q.wire = q.wire[:len(q.wire)-optLen]
	binary.BigEndian.PutUint16(q.wire[10:], 0) // ARCOUNT
	q.edns = false
}

// renew gives q a fresh random id.
func (q *query) renew(random io.Reader) error {
	_, err := io.ReadFull(random, q.wire[:2])
	return err
}

// question is the question section of q.
func (q *query) question() []byte {
	if q.edns {
		return q.wire[headerLen : len(q.wire)-optLen]
	}
	return q.wire[headerLen:]
}

// accepts reports whether reply is a reply to q, before anything in it is parsed:
// id, QR, opcode, and the question, letter case aside. A server that refuses or
// does not understand may leave the question out.
func (q *query) accepts(reply []byte) bool {
	const qr, opcode = 0x80, 0x78
	if len(reply) < headerLen || !bytes.Equal(reply[:2], q.wire[:2]) ||
		reply[2]&qr == 0 || reply[2]&opcode != 0 {
		return false
	}
	switch binary.BigEndian.Uint16(reply[4:]) { // QDCOUNT
	case 0:
		switch reply[3] & 0x0f {
		case mdns.RcodeFormatError, mdns.RcodeServerFailure, mdns.RcodeNotImplemented, mdns.RcodeRefused:
			return true
		}
		return false
	case 1:
		want := q.question()
		return len(reply) >= headerLen+len(want) &&
			equalFoldASCII(reply[headerLen:headerLen+len(want)], want)
	}
	return false
}

// equalFoldASCII compares two question sections of the same length. Length octets
// are below 64, so folding letters cannot confuse them with anything.
func equalFoldASCII(a, b []byte) bool {
	fold := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}
	for i := range a {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

// truncated reports whether the TC bit is set.
func truncated(reply []byte) bool { return reply[2]&0x02 != 0 }

// unpack parses a reply that q accepts. It refuses one that announces more records
// than we read, before spending memory on them, and one that announces more than it
// holds: the library would pass that off as a shorter reply, and a cut answer as
// NODATA.
func unpack(reply []byte) (*mdns.Msg, error) {
	answers := int(binary.BigEndian.Uint16(reply[6:]))
	authority := int(binary.BigEndian.Uint16(reply[8:]))
	additional := int(binary.BigEndian.Uint16(reply[10:]))
	if answers > maxRecords || authority+additional > maxRecords {
		return nil, errTooMany
	}
	m := new(mdns.Msg)
	if err := m.Unpack(reply); err != nil {
		return nil, err
	}
	if len(m.Answer) != answers || len(m.Ns) != authority || len(m.Extra) != additional {
		return nil, errShort
	}
	return m, nil
}

// exchange asks u once, by UDP first. overTCP says that TCP was needed. An error
// means that there is no usable reply. What it shows of u's health is noted.
func (r *Resolver) exchange(u *upstream, q *query, deadline time.Time) (m *mdns.Msg, overTCP bool, err error) {
	m, err = r.overUDP(u, q, deadline)
	if err == nil && q.edns && chokedOnEDNS(m) {
		q.dropEDNS()
		m, err = r.overUDP(u, q, deadline)
	}
	if err == errUseTCP {
		m, err = r.overTCP(u, q, deadline)
		if err == nil {
			r.spoke(u)
		}
		// A TCP failure says nothing about health: somebody did reply over UDP.
		return m, true, err
	}
	if err != nil {
		r.silent(u)
		return nil, false, err
	}
	r.spoke(u)
	return m, false, nil
}

// chokedOnEDNS reports whether m may mean that the server does not know EDNS0.
func chokedOnEDNS(m *mdns.Msg) bool {
	switch m.Rcode {
	case mdns.RcodeFormatError, mdns.RcodeNotImplemented, mdns.RcodeBadVers:
		return true
	}
	return false
}

// overUDP sends q and parses the reply. Errors other than errUseTCP mean that
// nothing came.
func (r *Resolver) overUDP(u *upstream, q *query, deadline time.Time) (m *mdns.Msg, err error) {
	err = r.datagram(u, q, deadline, func(reply []byte) error {
		if m, err = unpack(reply); err != nil {
			return errUseTCP
		}
		return nil
	})
	return m, err
}

// datagram sends q, waits for one datagram and, if that is a complete reply to q,
// has it read before its memory is used again.
func (r *Resolver) datagram(u *upstream, q *query, deadline time.Time, read func(reply []byte) error) error {
	if err := q.renew(r.rand); err != nil {
		return err
	}
	s, err := u.socket()
	if err != nil {
		return err
	}
	release := r.bound(s.conn, deadline)
	n, err := s.roundTrip(q.wire)
	release()
	if err == nil {
		reply := s.buf[:n]
		if n > maxUDP || !q.accepts(reply) || truncated(reply) {
			err = errUseTCP
		} else {
			err = read(reply)
		}
	}
	if err != nil {
		s.conn.Close()
		return err
	}
	u.putBack(s)
	return nil
}

// overTCP sends q over a new TCP connection and waits for one message (RFC 7766).
func (r *Resolver) overTCP(u *upstream, q *query, deadline time.Time) (*mdns.Msg, error) {
	if err := q.renew(r.rand); err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Deadline: deadline}).DialContext(r.ctx, "tcp", u.name)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer r.bound(conn, deadline)()
	frame := binary.BigEndian.AppendUint16(nil, uint16(len(q.wire)))
	if _, err := conn.Write(append(frame, q.wire...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	// The buffer grows with what arrives, not with what is announced.
	var reply bytes.Buffer
	if _, err := io.CopyN(&reply, conn, int64(binary.BigEndian.Uint16(length[:]))); err != nil {
		return nil, err
	}
	if !q.accepts(reply.Bytes()) {
		return nil, errMismatch
	}
	return unpack(reply.Bytes())
}

// bound ends every wait on conn at the deadline, or when the resolver is closed.
// The caller calls release when conn is no longer waited for.
func (r *Resolver) bound(conn net.Conn, deadline time.Time) (release func() bool) {
	conn.SetDeadline(deadline)
	return context.AfterFunc(r.ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
}
