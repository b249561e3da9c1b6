package dovecot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Peer is the process at the other end of a unix socket, as the kernel knows it.
type Peer struct {
	PID      int32
	UID, GID uint32
}

// A Handler answers a call. It is called from many goroutines at once; ctx ends
// with the server's time for one call. What it does not read of the message is
// dropped.
type Handler func(ctx context.Context, peer Peer, q *Request) Answer

// Server answers calls on unix sockets.
type Server struct {
	Handler Handler
	// MaxMessage bounds a message in bytes. Zero: 64 MiB.
	MaxMessage int64
	// Timeout bounds a call, from the connection to the answer. Zero: 20 s.
	Timeout time.Duration
	// Connections bounds those that are open at once; more wait. Zero: 64.
	Connections int
	Logger      *slog.Logger
}

// Serve answers on l until ctx ends or l is closed, and returns when the last call
// has been answered. The error is nil when ctx ended it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var calls sync.WaitGroup
	defer calls.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	room := make(chan struct{}, or(s.Connections, 64))
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() { // out of descriptors
				select {
				case <-time.After(100 * time.Millisecond):
					continue
				case <-ctx.Done():
					return nil
				}
			}
			return err
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			c.Close()
			return nil
		}
		calls.Go(func() {
			defer func() { <-room }()
			defer c.Close()
			if err := s.call(ctx, c); err != nil {
				s.Logger.Warn("a call of Dovecot's failed", "socket", l.Addr().String(), "err", err)
			}
		})
	}
}

func or[T int | int64 | time.Duration](x, otherwise T) T {
	if x == 0 {
		return otherwise
	}
	return x
}

// call answers one connection.
func (s *Server) call(ctx context.Context, c net.Conn) (err error) {
	ctx, cancel := context.WithTimeout(ctx, or(s.Timeout, 20*time.Second))
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	// What ends the server ends the call.
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	peer, err := PeerOf(c)
	if err != nil {
		return err
	}
	limit := or(s.MaxMessage, 64<<20)
	q, err := ReadRequest(c)
	if err != nil {
		_, _ = Answer{}.WriteTo(c)
		return err
	}
	q.Message = &limited{r: q.Message, left: limit}
	answer := s.handle(ctx, peer, q)
	if _, err := io.Copy(io.Discard, io.LimitReader(q.Message, limit)); err != nil && !errors.Is(err, ErrTooLarge) {
		return fmt.Errorf("message: %w", err)
	}
	if _, err := answer.WriteTo(c); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

// handle calls the handler; one that panics has failed.
func (s *Server) handle(ctx context.Context, peer Peer, q *Request) (a Answer) {
	defer func() {
		if v := recover(); v != nil {
			s.Logger.Error("panic in a call of Dovecot's", "panic", v)
			a = Answer{}
		}
	}()
	return s.Handler(ctx, peer, q)
}

// ErrTooLarge is a message that is longer than the server takes.
var ErrTooLarge = errors.New("dovecot: the message is too large")

// limited is a reader that fails where [io.LimitReader] would end: a part of a
// message is no message.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}

// PeerOf asks the kernel who was at the other end when it connected.
func PeerOf(c net.Conn) (Peer, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Peer{}, fmt.Errorf("dovecot: %T is no unix socket", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	var got error
	if err := raw.Control(func(fd uintptr) {
		cred, got = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Peer{}, err
	}
	if got != nil {
		return Peer{}, fmt.Errorf("dovecot: who is there: %w", got)
	}
	return Peer{PID: cred.Pid, UID: cred.Uid, GID: cred.Gid}, nil
}
