package milter

import (
	"context"

	wire "github.com/emersion/go-milter"
)

// One function for each command: may it come now, what does it say, who answers.

func (c *Conn) onConnect(data []byte) error {
	if c.phase != phaseReady {
		return outOfOrder(wire.CodeConn, c.phase)
	}
	conn, ok := parseConnect(data)
	if !ok {
		return malformed(wire.CodeConn, data)
	}
	c.phase = phaseConnected
	if c.busy {
		c.out = appendReply(c.out, tooBusy)
		if err := c.flush(); err != nil {
			return err
		}
		return errRefused
	}
	return c.event(wire.CodeConn, func(ctx context.Context, s Session) Reply { return s.Connect(ctx, conn) })
}

func (c *Conn) onHelo(data []byte) error {
	if err := c.connected(wire.CodeHelo); err != nil {
		return err
	}
	if c.phase > phaseData {
		return outOfOrder(wire.CodeHelo, c.phase)
	}
	name, ok := parseString(data)
	if !ok {
		return malformed(wire.CodeHelo, data)
	}
	if c.refusedBy == wire.CodeHelo {
		c.refusal = Continue // another name, another chance
	}
	return c.event(wire.CodeHelo, func(ctx context.Context, s Session) Reply { return s.Helo(ctx, string(name)) })
}

func (c *Conn) onMail(data []byte) error {
	if c.phase >= phaseMail && c.phase <= phaseData {
		// A message that the MTA forgot to abort; the macros of this MAIL are here.
		if err := c.abandon(); err != nil {
			return err
		}
		c.forget(wire.StageRcptTo)
	}
	if err := c.advance(wire.CodeMail, phaseMail); err != nil {
		return err
	}
	from, args, ok := parseArgs(data)
	if !ok {
		return malformed(wire.CodeMail, data)
	}
	return c.event(wire.CodeMail, func(ctx context.Context, s Session) Reply { return s.Mail(ctx, from, args) })
}

func (c *Conn) onRcpt(data []byte) error {
	if err := c.advance(wire.CodeRcpt, phaseRcpt); err != nil {
		return err
	}
	to, args, ok := parseArgs(data)
	if !ok {
		return malformed(wire.CodeRcpt, data)
	}
	return c.event(wire.CodeRcpt, func(ctx context.Context, s Session) Reply { return s.Rcpt(ctx, to, args) })
}

func (c *Conn) onData() error {
	if err := c.advance(wire.CodeData, phaseData); err != nil {
		return err
	}
	return c.event(wire.CodeData, func(ctx context.Context, s Session) Reply { return s.Data(ctx) })
}

func (c *Conn) onHeader(data []byte) error {
	if err := c.advance(wire.CodeHeader, phaseHeader); err != nil {
		return err
	}
	name, value, ok := parseField(data)
	if !ok {
		return malformed(wire.CodeHeader, data)
	}
	return c.event(wire.CodeHeader, func(ctx context.Context, s Session) Reply { return s.Header(ctx, name, value) })
}

func (c *Conn) onEndOfHeader() error {
	if err := c.advance(wire.CodeEOH, phaseEOH); err != nil {
		return err
	}
	return c.event(wire.CodeEOH, func(ctx context.Context, s Session) Reply { return s.EndOfHeader(ctx) })
}

func (c *Conn) onBody(data []byte) error {
	if err := c.advance(wire.CodeBody, phaseBody); err != nil {
		return err
	}
	reply, stands := c.standing(wire.CodeBody)
	if !stands {
		var err error
		if reply, err = c.hearChunk(data); err != nil {
			return c.lastReply(wire.CodeBody, reply, err)
		}
	}
	return c.settle(wire.CodeBody, lawful(wire.CodeBody, reply))
}

func (c *Conn) hearChunk(chunk []byte) (Reply, error) {
	if c.skip {
		return Skip, nil // said before; the MTA knows no SKIP, or the chunk was on its way
	}
	return c.ask(wire.CodeBody, func(ctx context.Context, s Session) Reply { return s.Body(ctx, chunk) })
}

func (c *Conn) onUnknown(data []byte) error {
	if err := c.connected(CodeUnknown); err != nil {
		return err
	}
	if c.phase > phaseData {
		return outOfOrder(CodeUnknown, c.phase)
	}
	command, ok := parseString(data)
	if !ok {
		return malformed(CodeUnknown, data)
	}
	return c.event(CodeUnknown, func(ctx context.Context, s Session) Reply { return s.Unknown(ctx, string(command)) })
}

// onEndOfMessage hears the verdict. Sendmail and old versions of Postfix put the
// last chunk of the body into this command.
func (c *Conn) onEndOfMessage(data []byte) error {
	if err := c.advance(wire.CodeEOB, phaseBody); err != nil {
		return err
	}
	if len(data) > 0 && !c.stands(wire.CodeEOB) {
		r, err := c.hearChunk(data)
		if err != nil {
			return c.lastReply(wire.CodeEOB, r, err)
		}
		if r = lawful(wire.CodeBody, r); r != Skip && !r.IsContinue() {
			c.pending = r
		}
	}
	if r, stands := c.standing(wire.CodeEOB); stands {
		return c.finish(Response{Reply: r})
	}
	response, err := c.askVerdict()
	if err != nil {
		return c.lastReply(wire.CodeEOB, response.Reply, err)
	}
	return c.finish(response)
}

// finish writes the edits and the verdict, in one write.
func (c *Conn) finish(v Response) error {
	reply := lawful(wire.CodeEOB, v.Reply)
	if len(v.Edits) > 0 && (reply.IsContinue() || reply == Accept) {
		out, err := appendEdits(c.out, v.Edits, c.actions, c.protocol)
		if err != nil {
			c.srv.badEdits(c, err)
			reply = localError // better later than half
		}
		c.out = out
	}
	c.out = appendReply(c.out, reply)
	if err := c.flush(); err != nil {
		return err
	}
	return c.over()
}
