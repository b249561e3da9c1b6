package zone

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// A Handler answers one query. It may take its time, until ctx ends with the
// server.
type Handler func(ctx context.Context, q *mdns.Msg, tcp bool) Reply

// A Reply is what goes back.
type Reply struct {
	Wire []byte // the message; nil sends nothing, and over TCP hangs up
	// Cut, where it is positive, is how many octets of the TCP frame (length and
	// message) are sent before the connection is closed.
	Cut int
}

const (
	maxConns = 256              // TCP connections at a time
	maxIdle  = 10 * time.Second // between two queries on one
)

// A Server serves a Handler on one loopback port, UDP and TCP.
type Server struct {
	handle Handler
	udp    *net.UDPConn
	tcp    *net.TCPListener

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	conns   chan struct{} // holds one token for each TCP connection
}

// Serve starts a server on a free port of 127.0.0.1. Close ends it.
func Serve(h Handler) (*Server, error) {
	// The kernel picks the UDP port; somebody else may hold the same TCP port, so
	// this may take several tries.
	var last error
	for range 20 {
		s, err := ServeAt(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), h)
		if err == nil {
			return s, nil
		}
		last = err
	}
	return nil, fmt.Errorf("no port free for UDP and TCP alike: %w", last)
}

// ServeAt starts a server at an address of its own, so that several can share a
// port: all of 127.0.0.0/8 is loopback. Port 0 is a free one.
func ServeAt(addr netip.AddrPort, h Handler) (*Server, error) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	bound := udp.LocalAddr().(*net.UDPAddr)
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: bound.IP, Port: bound.Port})
	if err != nil {
		udp.Close()
		return nil, err
	}
	s := &Server{handle: h, udp: udp, tcp: tcp, conns: make(chan struct{}, maxConns)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.running.Go(s.serveUDP)
	s.running.Go(s.serveTCP)
	return s, nil
}

// Addr returns host:port of the server.
func (s *Server) Addr() string { return s.udp.LocalAddr().String() }

// Close stops the server and waits for its handlers. It may be called twice.
func (s *Server) Close() error {
	s.stop()
	err := errors.Join(s.udp.Close(), s.tcp.Close())
	s.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *Server) serveUDP() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if s.ctx.Err() != nil {
				return
			}
			continue // an earlier reply found nobody home
		}
		q := new(mdns.Msg)
		if q.Unpack(buf[:n]) != nil {
			continue
		}
		s.running.Go(func() {
			if r := s.handle(s.ctx, q, false); r.Wire != nil {
				s.udp.WriteToUDPAddrPort(r.Wire, from)
			}
		})
	}
}

func (s *Server) serveTCP() {
	for {
		select {
		case s.conns <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		conn, err := s.tcp.Accept()
		if err != nil {
			if s.ctx.Err() != nil {
				return
			}
			<-s.conns
			continue
		}
		s.running.Go(func() {
			defer func() { <-s.conns }()
			defer conn.Close()
			defer context.AfterFunc(s.ctx, func() { conn.Close() })()
			for s.serveFrame(conn) {
			}
		})
	}
}

// serveFrame answers one query of a TCP connection and reports whether there may
// be another.
func (s *Server) serveFrame(conn net.Conn) bool {
	conn.SetDeadline(time.Now().Add(maxIdle))
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return false
	}
	query := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return false
	}
	q := new(mdns.Msg)
	if q.Unpack(query) != nil {
		return false
	}
	r := s.handle(s.ctx, q, true)
	if r.Wire == nil || len(r.Wire) > mdns.MaxMsgSize {
		return false
	}
	frame := binary.BigEndian.AppendUint16(nil, uint16(len(r.Wire)))
	frame = append(frame, r.Wire...)
	if r.Cut > 0 {
		frame = frame[:min(r.Cut, len(frame))]
	}
	conn.SetDeadline(time.Now().Add(maxIdle))
	_, err := conn.Write(frame)
	return err == nil && r.Cut == 0
}
