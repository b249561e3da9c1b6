package milter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	wire "github.com/emersion/go-milter"
)

const (
	// An MTA's negotiation is 13 bytes; a first frame that wants to be much more
	// is something else: "GET " is a length of 1.2 GB.
	maxFirstFrame = 512

	lastWord = time.Second // for the last write of a connection that is forced down
)

// longAgo is a deadline that has passed: it ends a read at once.
var longAgo = time.Unix(1, 0)

// next gives the next frame. The data are valid until the following call.
func (c *Conn) next() (wire.Code, []byte, error) {
	c.in.consume()
	c.inFrame = false
	for {
		size, err := c.peek()
		if err != nil {
			return 0, nil, err
		}
		if size > 0 {
			frame := c.in.waiting()[:size]
			c.in.used = size
			return wire.Code(frame[4]), frame[5:], nil
		}
		if err := c.fill(); err != nil {
			return 0, nil, err
		}
	}
}

// peek judges the waiting bytes: the size of the whole frame when it is there,
// 0 when more must be read, an error as soon as they cannot become a frame.
func (c *Conn) peek() (int, error) {
	b := c.in.waiting()
	if len(b) < 4 {
		return 0, nil
	}
	length, limit := uint64(binary.BigEndian.Uint32(b)), c.srv.limits.maxFrame
	if c.phase == phaseNew {
		limit = min(limit, maxFirstFrame)
	}
	switch {
	case c.phase == phaseNew && (length == 0 || length > uint64(limit)):
		return 0, &protocolError{ReasonNotMilter, "the first packet is " + quote(b)}
	case length == 0:
		return 0, &protocolError{ReasonEmptyFrame, "frame without a command"}
	case length > uint64(limit):
		return 0, &protocolError{ReasonOversize, fmt.Sprintf("frame of %d bytes: %s", length, quote(b))}
	}
	if len(b) < 5 {
		return 0, nil
	}
	switch code := wire.Code(b[4]); {
	case c.phase == phaseNew && code != wire.CodeOptNeg:
		return 0, &protocolError{ReasonNotMilter, "the first packet is " + quote(b)}
	case !knownCommand(code):
		return 0, &protocolError{ReasonUnknownCode, "command " + quote(b[4:5])}
	}
	if size := 4 + int(length); len(b) >= size {
		return size, nil
	}
	return 0, nil
}

// fill reads once.
func (c *Conn) fill() error {
	partial := len(c.in.waiting()) > 0
	c.in.room(c.phase < phaseMail, c.srv.limits.maxFrame+4)
	for {
		if err := c.armRead(partial || c.phase == phaseNew); err != nil { // an MTA begins at once
			return err
		}
		n, err := c.nc.Read(c.in.buf[c.in.w:])
		c.in.w += n
		switch {
		case n > 0:
			return nil
		case err == nil:
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			if c.leaving() {
				return errDraining
			}
			if c.roused() { // as a message began: it may finish
				c.rearm, c.inFrame = true, false
				continue
			}
			if partial {
				return &protocolError{ReasonFrameTime, "frame cut short: " + quote(c.in.waiting())}
			}
			return errIdle
		case partial && hungUp(err):
			return &protocolError{ReasonTruncated, "frame cut short: " + quote(c.in.waiting())}
		default:
			return err
		}
	}
}

// armRead sees that the right deadline is set before a read that may block.
// Setting one costs as much as a small read, so the one between frames is set
// an eighth too late and moved when that eighth is used up: silence is never cut
// short, and mostly nothing needs to be done.
func (c *Conn) armRead(inFrame bool) error {
	if c.leaving() {
		return errDraining
	}
	if c.busy {
		return nil // has one deadline for all
	}
	if inFrame && c.inFrame {
		return nil // a slow frame gains nothing by more bytes
	}
	now := time.Now()
	if !inFrame && !c.rearm && now.Before(c.refreshAt) {
		return nil
	}
	var deadline time.Time
	if inFrame {
		deadline = now.Add(c.srv.limits.frame)
	} else {
		idle := c.srv.limits.idle
		deadline = now.Add(idle + idle/8)
		c.refreshAt = now.Add(idle / 8)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forced || (c.draining && !c.inMessage) {
		return errDraining
	}
	c.inFrame, c.rearm = inFrame, inFrame
	return c.nc.SetReadDeadline(deadline)
}

// flush writes out what was prepared.
func (c *Conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	c.armWrite()
	_, err := c.nc.Write(c.out)
	if c.out = c.out[:0]; cap(c.out) > 4<<10 {
		c.out = nil
	}
	return err
}

// armWrite does for writes what armRead does between frames: one write has
// WriteTime at least, a quarter more at most.
func (c *Conn) armWrite() {
	if c.busy {
		return
	}
	now := time.Now()
	if now.Before(c.writeUntil) {
		return
	}
	limit := c.srv.limits.write
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.forced {
		c.nc.SetWriteDeadline(now.Add(limit + limit/4))
		c.writeUntil = now.Add(limit / 4)
	}
}
