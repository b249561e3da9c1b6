package milter

import (
	"context"
	"iter"
	"net"
	"sync"
	"time"

	wire "github.com/emersion/go-milter"
)

// Conn is one connection of an MTA. A Session asks it for macros and for what
// was negotiated; its methods, but Context, are for the Session's goroutine.
type Conn struct {
	srv      *Server
	nc       net.Conn
	listener string
	ctx      context.Context
	cancel   context.CancelCauseFunc
	busy     bool // over MaxConnections: only here to be told so

	version  uint32
	actions  wire.OptAction
	protocol wire.OptProtocol

	phase     phase
	session   Session
	open      bool      // the Session has a message that neither EndOfMessage nor Abort has ended
	refusal   Reply     // of CONNECT or HELO, for all that follows
	refusedBy wire.Code // which of them
	pending   Reply     // of an event that took no reply, for the rest of the message
	skip      bool      // Body answered Skip
	macros    macros

	in         inbox
	out        []byte
	refreshAt  time.Time // when the idle deadline wants moving
	writeUntil time.Time // the write deadline is good until then
	inFrame    bool      // the deadline of a half frame is set
	rearm      bool      // the read deadline is not the idle one

	current *eventContext
	vigil   vigil

	mu        sync.Mutex // guards what Shutdown touches
	inMessage bool
	draining  bool
	forced    bool
	woken     bool // the read deadline is wake's
}

func newConn(s *Server, nc net.Conn, listener string) *Conn {
	c := &Conn{srv: s, nc: nc, listener: listener, rearm: true}
	c.in.pool = &s.buffers
	return c
}

// Macro gives the value of a macro: "j", "{auth_authen}", with or without
// braces; empty when there is none. The newest stage is asked first. Macros of
// CONNECT and HELO live as long as the connection, the others as long as the
// message. Postfix has no "i" before the first accepted recipient.
func (c *Conn) Macro(name string) string {
	for stage := range newestFirst {
		if v, ok := c.macros.lookup(stage, name); ok {
			return v
		}
	}
	return ""
}

// MacroAt gives the value of a macro as it was sent for one stage.
func (c *Conn) MacroAt(stage wire.Stage, name string) (string, bool) {
	return c.macros.lookup(stage, name)
}

// MacrosAt gives all macros of one stage as they were sent, for a log or a test.
func (c *Conn) MacrosAt(stage wire.Stage) iter.Seq2[string, string] { return c.macros.all(stage) }

// Actions are the edits that the MTA granted.
func (c *Conn) Actions() wire.OptAction { return c.actions }

// Protocol are the protocol flags agreed upon.
func (c *Conn) Protocol() wire.OptProtocol { return c.protocol }

// Version is the protocol version agreed upon, 2 to 6.
func (c *Conn) Version() uint32 { return c.version }

// Context lives as long as the connection: for work that outlives an event. It
// carries the values of the context given to Serve.
func (c *Conn) Context() context.Context { return c.ctx }

// RemoteAddr is the MTA's end of the connection.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// LocalAddr is our end of the connection.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// Listener names the listener that accepted the connection, "unix:/run/x.sock".
func (c *Conn) Listener() string { return c.listener }

// wake makes the connection end soon: at once when it has no message, after its
// message when it has one, and in any case by force.
func (c *Conn) wake(force bool) {
	if force {
		c.cancel(errForced)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.forced = c.forced || force
	if c.forced || !c.inMessage {
		c.nc.SetReadDeadline(longAgo)
		c.woken = true
	}
	if force {
		c.nc.SetWriteDeadline(time.Now().Add(lastWord))
	}
}

// leaving tells whether the connection shall read no more.
func (c *Conn) leaving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forced || (c.draining && !c.inMessage)
}

// roused tells whether a read ended because of wake and not of its time.
func (c *Conn) roused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	woken := c.woken
	c.woken = false
	return woken
}

func (c *Conn) setInMessage(on bool) {
	c.mu.Lock()
	c.inMessage = on
	c.mu.Unlock()
}
