package dns

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// An upstream is one recursive server: its sockets, the questions that wait for
// it, and whether it is alive.
type upstream struct {
	addr  netip.AddrPort
	name  string        // addr in text
	slots chan struct{} // holds one token for each question waiting

	mu      sync.Mutex
	idle    []*socket
	health  health
	probing bool // a probe goroutine is at work
}

// health is what we think of a server.
//
// One question without an answer proves nothing: it may be the asked domain's own
// servers that are silent, and then a stranger could talk us out of our resolver.
// So silence only makes a server suspect, and a probe, a question that every
// recursive server answers from memory, decides.
type health int

const (
	up      health = iota
	suspect        // silent once; still asked, but after those that are up
	down           // silent to probes too; not asked until one is answered
)

// tries says how long things may take.
type tries struct {
	timeout    time.Duration // one try at one server
	probe      time.Duration // one probe
	firstPause time.Duration // between probes of a silent server, doubling
	lastPause  time.Duration // up to this
}

func newUpstream(addr netip.AddrPort, slots int) *upstream {
	return &upstream{addr: addr, name: addr.String(), slots: make(chan struct{}, slots)}
}

func (u *upstream) state() health {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.health
}

// spoke notes that the server sent a reply, any reply.
func (r *Resolver) spoke(u *upstream) {
	u.mu.Lock()
	was := u.health
	u.health = up
	u.mu.Unlock()
	if was == down {
		r.log.Info("DNS server answers again", "server", u.name)
	}
}

// silent notes that a question was not answered, and has the server probed unless
// that is going on already.
func (r *Resolver) silent(u *upstream) {
	if r.ctx.Err() != nil {
		return // Close cut the question short
	}
	u.mu.Lock()
	if u.health == up {
		u.health = suspect
	}
	start := !u.probing
	u.probing = true
	u.mu.Unlock()
	if start {
		// The caller is a flight, so Close cannot have stopped waiting yet.
		r.running.Go(func() { r.probe(u) })
	}
}

// probe asks u until it answers or the resolver is closed. The second silence in a
// row takes the server out of use.
func (r *Resolver) probe(u *upstream) {
	pause := r.tries.firstPause
	for n := 1; ; n++ {
		if r.answersProbe(u) {
			r.spoke(u)
		}
		u.mu.Lock()
		if u.health == up || r.ctx.Err() != nil {
			u.probing = false
			u.mu.Unlock()
			return
		}
		fell := n == 2
		if n >= 2 {
			u.health = down
		}
		u.mu.Unlock()
		if fell {
			r.log.Warn("DNS server is silent, not asked for now", "server", u.name)
		}
		if n >= 2 {
			r.pause(pause)
			pause = min(2*pause, r.tries.lastPause)
		}
	}
}

// answersProbe asks for the root's name servers. Any reply will do, unread.
func (r *Resolver) answersProbe(u *upstream) bool {
	deadline := time.Now().Add(r.tries.probe)
	err := r.datagram(u, newQuery(probeKey), deadline, func([]byte) error { return nil })
	return err == nil || err == errUseTCP
}

// pause waits, or less when the resolver is closed.
func (r *Resolver) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.ctx.Done():
	}
}

// A socket is a connected UDP socket. The kernel chose its port at random and
// lets through only what claims to come from the server. It serves one question at
// a time and is used again for a while, because opening one costs as much as a
// whole exchange; not for long, so that a stranger who finds out the port gains
// little. One that saw anything unexpected is never used again: what is still on
// its way to it cannot disturb a later question.
type socket struct {
	conn *net.UDPConn
	uses int
	born time.Time
	buf  [maxUDP + 1]byte
}

const (
	socketUses = 64
	socketAge  = 10 * time.Second
	socketIdle = 64 // kept per server
)

// socket returns a socket to u, used or new.
func (u *upstream) socket() (*socket, error) {
	now := time.Now()
	u.mu.Lock()
	for len(u.idle) > 0 {
		s := u.idle[len(u.idle)-1]
		u.idle = u.idle[:len(u.idle)-1]
		if now.Sub(s.born) < socketAge {
			u.mu.Unlock()
			return s, nil
		}
		s.conn.Close()
	}
	u.mu.Unlock()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(u.addr))
	if err != nil {
		return nil, err
	}
	return &socket{conn: conn, born: now}, nil
}

// roundTrip sends query and returns the length of the datagram now in s.buf.
func (s *socket) roundTrip(query []byte) (n int, err error) {
	if _, err := s.conn.Write(query); err != nil {
		return 0, err
	}
	return s.conn.Read(s.buf[:])
}

// putBack keeps s for a later question, or closes it.
func (u *upstream) putBack(s *socket) {
	s.uses++
	if s.uses < socketUses {
		u.mu.Lock()
		if len(u.idle) < socketIdle {
			u.idle = append(u.idle, s)
			s = nil
		}
		u.mu.Unlock()
	}
	if s != nil {
		s.conn.Close()
	}
}

// closeIdle closes the sockets that wait for a question.
func (u *upstream) closeIdle() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.idle {
		s.conn.Close()
	}
	u.idle = nil
}
