package milter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	wire "github.com/emersion/go-milter"
)

// phase is how far the dialogue has come.
type phase int

const (
	phaseNew       phase = iota // SMFIC_OPTNEG is due
	phaseReady                  // CONNECT is due
	phaseConnected              // no message
	phaseMail                   // from here on in a message
	phaseRcpt
	phaseData
	phaseHeader
	phaseEOH
	phaseBody
)

// converse runs the connection to its end and says in the log why it ended,
// if that was not in good order.
func (c *Conn) converse() {
	if c.busy {
		c.nc.SetDeadline(time.Now().Add(busyTime))
	}
	err := c.loop()
	if wrong, ok := errors.AsType[*protocolError](err); ok {
		c.srv.logger().Warn("milter peer hung up on", "reason", string(wrong.reason), "detail", wrong.detail,
			"listener", c.listener, "remote", c.nc.RemoteAddr().String())
		if c.srv.Hooks.ProtocolError != nil {
			c.srv.Hooks.ProtocolError(wrong.reason)
		}
	} else {
		c.srv.logger().Debug("milter connection ended", "cause", err, "listener", c.listener)
	}
	c.dropSession()
	c.in.release()
}

func (c *Conn) loop() error {
	for {
		code, data, err := c.next()
		if err != nil {
			return err
		}
		if c.srv.Hooks.Command != nil {
			c.srv.Hooks.Command(code)
		}
		if err := c.handle(code, data); err != nil {
			return err
		}
		if c.phase < phaseMail && c.leaving() {
			return errDraining
		}
	}
}

// handle acts upon one frame.
func (c *Conn) handle(code wire.Code, data []byte) error {
	if c.phase == phaseNew {
		return c.negotiate(data) // peek let nothing else pass
	}
	if stage, ok := macroStage(code); ok {
		c.macros.use(stage)
	}
	switch code {
	case wire.CodeMacro:
		if err := c.macros.put(data); err != nil {
			return err
		}
		return nil
	case wire.CodeConn:
		return c.onConnect(data)
	case wire.CodeHelo:
		return c.onHelo(data)
	case wire.CodeMail:
		return c.onMail(data)
	case wire.CodeRcpt:
		return c.onRcpt(data)
	case wire.CodeData:
		return c.onData()
	case wire.CodeHeader:
		return c.onHeader(data)
	case wire.CodeEOH:
		return c.onEndOfHeader()
	case wire.CodeBody:
		return c.onBody(data)
	case wire.CodeEOB:
		return c.onEndOfMessage(data)
	case CodeUnknown:
		return c.onUnknown(data)
	case wire.CodeAbort:
		// Postfix sends it after each message, twice before QUIT, and after RSET.
		return c.over()
	case wire.CodeQuit:
		return errQuit
	case wire.CodeQuitNewConn:
		return c.onQuitNewConn()
	}
	return outOfOrder(code, c.phase) // a second negotiation
}

func outOfOrder(code wire.Code, p phase) error {
	return &protocolError{ReasonOutOfOrder, fmt.Sprintf("command %q in phase %d", byte(code), p)}
}

func malformed(code wire.Code, data []byte) error {
	return &protocolError{ReasonMalformed, fmt.Sprintf("command %q with %s", byte(code), quote(data))}
}

// negotiate answers the MTA's offer: of what we want, that much.
func (c *Conn) negotiate(data []byte) error {
	offer, ok := parseNegotiation(data)
	if !ok || len(data) != 12 {
		return &protocolError{ReasonNotMilter, "negotiation is " + quote(data)}
	}
	if offer.version < 2 {
		return &protocolError{ReasonVersion, fmt.Sprintf("version %d", offer.version)}
	}
	c.version = min(offer.version, ProtocolVersion)
	c.actions = c.srv.Actions & offer.actions & AllActions &^ wire.OptSetSymList
	c.protocol = c.srv.Protocol & offer.protocol
	if also := c.srv.AlsoWanted; also != nil {
		c.protocol |= also() & offer.protocol
	}
	if c.busy {
		c.protocol &^= wire.OptNoConnect | wire.OptNoConnReply
	}
	answer := negotiation{version: c.version, actions: c.actions, protocol: c.protocol}
	if offer.actions&wire.OptSetSymList != 0 && len(c.srv.macroWish) > 0 {
		answer.actions |= wire.OptSetSymList
		answer.macros = c.srv.macroWish
	}
	c.phase = phaseReady
	c.out = appendNegotiation(c.out, answer)
	return c.flush()
}

// macroRequests puts Server.Macros into the form and order of the wire.
func macroRequests(macros map[wire.Stage][]string) []macroRequest {
	var list []macroRequest
	for stage, names := range macros {
		list = append(list, macroRequest{stage, strings.Join(names, " ")})
	}
	slices.SortFunc(list, func(a, b macroRequest) int { return int(a.stage) - int(b.stage) })
	return list
}

// connected wants the SMTP connection to be known, or to be none of our
// business (SMFIP_NOCONNECT).
func (c *Conn) connected(code wire.Code) error {
	if c.phase == phaseReady && c.protocol&wire.OptNoConnect != 0 {
		c.phase = phaseConnected
	}
	if c.phase < phaseConnected {
		return outOfOrder(code, c.phase)
	}
	return nil
}

// advance takes the message on to a phase. Steps may be left out: what was
// negotiated away, DATA by old versions. No step leads back, but that RCPT and
// DATA may follow a DATA which somebody refused.
func (c *Conn) advance(code wire.Code, to phase) error {
	if err := c.connected(code); err != nil {
		return err
	}
	if c.phase < phaseMail {
		if c.protocol&wire.OptNoMailFrom == 0 && to != phaseMail {
			return outOfOrder(code, c.phase)
		}
		c.setInMessage(true)
	}
	latest := to
	if to <= phaseData {
		latest = phaseData
	}
	if c.phase > latest || (to == phaseEOH && c.phase == phaseEOH) {
		return outOfOrder(code, c.phase)
	}
	c.phase = to
	return nil
}

// over ends the message, if there is one, and keeps the connection.
func (c *Conn) over() error {
	err := c.abandon()
	c.forget(wire.StageMailFrom)
	return err
}

// abandon tells the Session that its message is dropped, if it has one.
func (c *Conn) abandon() error {
	if !c.open {
		return nil
	}
	c.open = false
	return c.tell(Session.Abort)
}

// forget drops the state of the message, with the macros of a stage and later.
func (c *Conn) forget(from wire.Stage) {
	c.macros.clearFrom(from)
	c.pending, c.skip = Continue, false
	if c.phase >= phaseMail {
		c.phase = phaseConnected
		c.setInMessage(false)
	}
}

// onQuitNewConn ends the SMTP connection and keeps the milter connection for
// the next one, which is not negotiated again.
func (c *Conn) onQuitNewConn() error {
	err := c.dropSession()
	c.forget(wire.StageConnect)
	c.refusal = Continue
	c.phase = phaseReady
	return err
}

// dropSession ends the Session, if there is one.
func (c *Conn) dropSession() error {
	if c.session == nil {
		return nil
	}
	aborted := c.abandon()
	closed := c.tell(Session.Close)
	c.session = nil
	return errors.Join(aborted, closed)
}
