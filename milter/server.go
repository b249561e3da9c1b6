package milter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	wire "github.com/emersion/go-milter"

	"milterd/internal/crew"
)

const (
	// Over MaxConnections this many more are told so before they are closed;
	// the rest is closed without a word.
	busyConnections = 100
	busyTime        = 10 * time.Second

	firstBackOff = 5 * time.Millisecond
	lastBackOff  = time.Second

	// After a forced shutdown sessions have this long to heed their contexts.
	forcedGrace = 5 * time.Second
)

// Server serves the filter side. Set the fields before the first use and do not
// change or copy it after. Zero values mean the defaults given.
type Server struct {
	// NewSession makes what receives the events of one SMTP connection. It is
	// called after negotiation, at the first event (so that the macros of CONNECT
	// can be asked for), and again for each CONNECT after a QUIT_NC.
	NewSession func(c *Conn) Session

	Actions    wire.OptAction          // edits wanted; asked for as far as the MTA offers them
	Protocol   wire.OptProtocol        // NO_*, NR_*, SKIP, RCPT_REJ, LEADSPC wanted; the same
	AlsoWanted func() wire.OptProtocol // asked at each negotiation for more of them; optional
	Macros     map[wire.Stage][]string // macros wanted by stage, asked for where SETSYMLIST is offered

	IdleTime      time.Duration // silence between frames, 600 s: longer than Postfix lets its client be silent
	FrameTime     time.Duration // for a frame that did not come whole, and from accept to negotiation, 30 s
	WriteTime     time.Duration // for one write, 30 s
	ReplyTime     time.Duration // limit of the ctx of every event but EndOfMessage, 5 s
	MessageTime   time.Duration // limit of the ctx of EndOfMessage, 25 s
	ProgressEvery time.Duration // PROGRESS while EndOfMessage runs, at most until MessageTime, 5 s

	MaxFrame       int // length of a frame, 1 MiB
	MaxConnections int // 12,000; the next ones get 421 4.3.2 at CONNECT

	Logger *slog.Logger // none: silent
	Hooks  Hooks

	setup     sync.Once
	limits    limits
	macroWish []macroRequest
	buffers   bufferPool

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	busy      int
	closing   chan struct{}       // closed by Shutdown
	panics    map[string]struct{} // sites whose stack was logged
	running   sync.WaitGroup
	crew      crew.Crew // of the connections that Serve accepts
}

// Hooks are told what happens, for metrics. All are optional, must be quick and
// safe for concurrent use.
type Hooks struct {
	Command       func(code wire.Code) // a frame arrived, macro packets included
	ProtocolError func(reason Reason)  // a peer was hung up on
	Connections   func(delta int)      // +1 accepted, -1 ended
	Busy          func()               // a connection over MaxConnections
	BadEdits      func(err error)      // Response.Edits could not be written; the message got 451
	Panic         func(site string)    // a Session panicked in this function, at this line
	AcceptError   func(err error)      // accept failed; tried again after a pause
}

type limits struct {
	idle, frame, write, reply, message, progress time.Duration
	maxFrame, maxConns                           int
}

func orDefault[T time.Duration | int](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

func (s *Server) init() {
	s.setup.Do(func() {
		s.limits = limits{
			idle:     orDefault(s.IdleTime, 600*time.Second),
			frame:    orDefault(s.FrameTime, 30*time.Second),
			write:    orDefault(s.WriteTime, 30*time.Second),
			reply:    orDefault(s.ReplyTime, 5*time.Second),
			message:  orDefault(s.MessageTime, 25*time.Second),
			progress: orDefault(s.ProgressEvery, 5*time.Second),
			maxFrame: orDefault(s.MaxFrame, 1<<20),
			maxConns: orDefault(s.MaxConnections, 12000),
		}
		s.macroWish = macroRequests(s.Macros)
		s.listeners = map[net.Listener]struct{}{}
		s.conns = map[*Conn]struct{}{}
		s.panics = map[string]struct{}{}
		s.closing = make(chan struct{})
	})
}

func (s *Server) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// Serve accepts connections on l until Shutdown, or until ctx ends; either
// returns nil. It may run for several listeners at once. Connections take the
// values of ctx, not its end: they live until Shutdown. A failing accept (no
// file descriptors left, say) is tried again; only a listener that is no use any
// more is an error. l is closed when Serve returns.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.init()
	if !s.addListener(l) {
		l.Close()
		return nil
	}
	defer s.dropListener(l)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	name := l.Addr().Network() + ":" + l.Addr().String()

	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			if pause > 0 {
				s.logger().Info("milter accepts connections again", "listener", name)
				pause = 0
			}
			s.start(ctx, nc, name)
			continue
		}
		if s.isClosing() || ctx.Err() != nil {
			return nil
		}
		if permanent(err) {
			return fmt.Errorf("milter: accept on %s: %w", name, err)
		}
		if s.Hooks.AcceptError != nil {
			s.Hooks.AcceptError(err)
		}
		if pause == 0 {
			s.logger().Error("milter cannot accept connections, trying on", "listener", name, "error", err)
		}
		pause = min(max(2*pause, firstBackOff), lastBackOff)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		case <-s.closing:
		}
	}
}

// permanent tells the errors of accept(2) that no waiting mends. Everything else
// passes: EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, and what the network
// left on the new socket.
func permanent(err error) bool {
	for _, e := range [...]error{net.ErrClosed, syscall.EBADF, syscall.EINVAL, syscall.ENOTSOCK, syscall.EOPNOTSUPP, syscall.EFAULT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// start takes a connection in, or turns it away, and runs it.
func (s *Server) start(ctx context.Context, nc net.Conn, listener string) {
	if c := s.admit(ctx, nc, listener); c != nil {
		s.crew.Do(func() { s.run(c) })
	}
}

// ServeConn serves one connection that the caller accepted, and returns when it
// has ended. Shutdown ends it too.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	s.init()
	if c := s.admit(ctx, nc, nc.LocalAddr().String()); c != nil {
		s.run(c)
	}
}

// admit registers a connection; nil when it was closed instead.
func (s *Server) admit(ctx context.Context, nc net.Conn, listener string) *Conn {
	c := newConn(s, nc, listener)
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	s.mu.Lock()
	over := len(s.conns)-s.busy >= s.limits.maxConns
	if s.isClosing() || (over && s.busy >= busyConnections) {
		s.mu.Unlock()
		c.cancel(net.ErrClosed)
		nc.Close()
		if over && s.Hooks.Busy != nil {
			s.Hooks.Busy()
		}
		return nil
	}
	if over {
		c.busy = true
		s.busy++
	}
	s.conns[c] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	if over && s.Hooks.Busy != nil {
		s.Hooks.Busy()
	}
	return c
}

func (s *Server) run(c *Conn) {
	defer s.running.Done()
	if s.Hooks.Connections != nil {
		s.Hooks.Connections(1)
		defer s.Hooks.Connections(-1)
	}
	c.converse()
	c.cancel(errEnded)
	c.nc.Close()
	s.mu.Lock()
	delete(s.conns, c)
	if c.busy {
		s.busy--
	}
	s.mu.Unlock()
}

// Causes of the end of a connection's context.
var (
	errEnded  = errors.New("milter: connection ended")
	errGone   = errors.New("milter: the MTA hung up")
	errForced = errors.New("milter: server forced down")
)

// Shutdown stops accepting, closes idle connections at once, lets those in a
// message finish it until ctx ends, then ends their contexts and closes them
// too. It returns when all are gone: nil, or the error of ctx when they had to
// be forced. A Session that does not heed its context is left behind after a
// few seconds.
func (s *Server) Shutdown(ctx context.Context) error {
	s.init()
	s.mu.Lock()
	if !s.isClosing() {
		close(s.closing)
	}
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	s.wake(false)

	ended := s.ended()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.wake(true)
	select {
	case <-ended:
		return fmt.Errorf("milter: messages in flight were cut off: %w", ctx.Err())
	case <-time.After(forcedGrace):
		return fmt.Errorf("milter: sessions do not end: %w", ctx.Err())
	}
}

// Wait returns nil when no connection is left, or the error of ctx. It ends none:
// it is for the time after every Serve has returned because another process took
// over, while the connections that are left go on to their end.
func (s *Server) Wait(ctx context.Context) error {
	s.init()
	select {
	case <-s.ended():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ended returns a channel that is closed when no connection is left.
func (s *Server) ended() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	return ended
}

// wake makes connections look up from their reading: those without a message,
// or by force all.
func (s *Server) wake(force bool) {
	s.mu.Lock()
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.wake(force)
	}
}

func (s *Server) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosing() {
		return false
	}
	s.listeners[l] = struct{}{}
	s.crew.Keep()
	return true
}

func (s *Server) dropListener(l net.Listener) {
	l.Close()
	s.mu.Lock()
	delete(s.listeners, l)
	if len(s.listeners) == 0 {
		s.crew.Dismiss() // who is at work leaves when the connection ends
	}
	s.mu.Unlock()
}
