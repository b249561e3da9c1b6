package milter

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	wire "github.com/emersion/go-milter"
)

// event asks the Session about one event, unless the answer stands already, and
// gives its reply to the MTA.
func (c *Conn) event(code wire.Code, call func(context.Context, Session) Reply) error {
	reply, stands := c.standing(code)
	if !stands {
		var err error
		if reply, err = c.ask(code, call); err != nil {
			return c.lastReply(code, reply, err)
		}
	}
	return c.settle(code, lawful(code, reply))
}

// standing gives an answer that was given earlier and holds for this event too:
// the refusal of the connection, or what could not be said in this message.
func (c *Conn) standing(code wire.Code) (Reply, bool) {
	switch {
	case !c.refusal.IsContinue():
		return c.refusal, true
	case code == wire.CodeHelo || code == CodeUnknown || c.pending.IsContinue():
		return Continue, false
	}
	return c.pending, true
}

func (c *Conn) stands(code wire.Code) bool {
	_, stands := c.standing(code)
	return stands
}

// lawful turns an answer that the protocol does not allow for an event into the
// nearest that it does.
func lawful(code wire.Code, r Reply) Reply {
	switch {
	case r.act == wire.ActSkip && code != wire.CodeBody:
		return Continue
	case r.act == wire.ActDiscard && (code == wire.CodeConn || code == wire.CodeHelo):
		return TempFail // Postfix takes it for a broken filter
	case code == CodeUnknown && !r.Refuses():
		return Continue
	}
	return r
}

// settle gives a reply to the MTA, or keeps it when this event takes none.
func (c *Conn) settle(code wire.Code, r Reply) error {
	if code == wire.CodeBody && r == Skip {
		c.skip = true
		if c.protocol&wire.OptSkip == 0 {
			r = Continue
		}
	}
	mute := c.protocol&noReplyFlag(code) != 0
	if !mute {
		c.out = appendReply(c.out, r)
		if err := c.flush(); err != nil {
			return err
		}
	}
	if r.IsContinue() || r == Skip || code == CodeUnknown {
		return nil
	}
	switch {
	case code == wire.CodeConn || code == wire.CodeHelo:
		if c.refusal.IsContinue() {
			c.refusal, c.refusedBy = r, code
		}
		return nil
	case mute:
		if c.pending.IsContinue() {
			c.pending = r
		}
		return nil
	case r.Refuses() && code == wire.CodeRcpt:
		return nil // the other recipients live
	case r.Refuses() && code == wire.CodeData:
		return nil // the client may try DATA again
	}
	return c.over()
}

// ask calls the Session, which is made when there is none. When it panics the
// reply is the one to give before the connection is closed.
func (c *Conn) ask(code wire.Code, call func(context.Context, Session) Reply) (r Reply, err error) {
	ctx := c.begin(c.srv.limits.reply, false)
	defer func() {
		c.end()
		if p := recover(); p != nil {
			c.srv.panicked(c, p)
			r, err = localError, errPanic
		}
	}()
	return call(ctx, c.sessionFor(code)), nil
}

// askVerdict calls Session.EndOfMessage, with PROGRESS for the MTA meanwhile.
func (c *Conn) askVerdict() (v Response, err error) {
	ctx := c.begin(c.srv.limits.message, true)
	defer func() {
		c.end()
		if p := recover(); p != nil {
			c.srv.panicked(c, p)
			v, err = Response{Reply: localError}, errPanic
		}
	}()
	s := c.sessionFor(wire.CodeEOB)
	c.open = false
	return s.EndOfMessage(ctx), nil
}

// sessionFor gives the Session for an event and notes whether a message is begun.
func (c *Conn) sessionFor(code wire.Code) Session {
	if c.session == nil {
		c.session = c.srv.NewSession(c)
	}
	switch code {
	case wire.CodeConn, wire.CodeHelo, CodeUnknown:
	default:
		c.open = true
	}
	return c.session
}

// tell calls a Session's method that has no answer.
func (c *Conn) tell(method func(Session)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.panicked(c, p)
			err = errPanic
		}
	}()
	method(c.session)
	return nil
}

// lastReply gives the reply that is due after a panic; the connection closes.
func (c *Conn) lastReply(code wire.Code, r Reply, err error) error {
	if c.protocol&noReplyFlag(code) == 0 {
		c.out = appendReply(c.out, r)
		c.flush()
	}
	return err
}

func (s *Server) badEdits(c *Conn, err error) {
	s.logger().Error("milter edits cannot be made, message gets a 451", "error", err,
		"queue_id", c.Macro("i"), "listener", c.listener)
	if s.Hooks.BadEdits != nil {
		s.Hooks.BadEdits(err)
	}
}

// panicked logs a Session's panic, with the stack the first time that this
// source line does it.
func (s *Server) panicked(c *Conn, value any) {
	site := panicSite()
	s.mu.Lock()
	_, known := s.panics[site]
	s.panics[site] = struct{}{}
	s.mu.Unlock()
	log := s.logger().With("site", site, "panic", quote([]byte(fmt.Sprint(value))), "queue_id", c.Macro("i"))
	if known {
		log.Error("milter session panicked again")
	} else {
		log.Error("milter session panicked", "stack", string(debug.Stack()))
	}
	if s.Hooks.Panic != nil {
		s.Hooks.Panic(site)
	}
}

// panicSite is the function and line that panicked: the first frame below the
// runtime's, seen from a deferred function.
func panicSite() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	inPanic := false
	for {
		f, more := frames.Next()
		switch {
		case strings.HasPrefix(f.Function, "runtime."):
			inPanic = true
		case inPanic:
			return fmt.Sprintf("%s:%d", f.Function, f.Line)
		}
		if !more {
			return "unknown"
		}
	}
}
