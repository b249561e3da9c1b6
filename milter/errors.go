package milter

import (
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"
)

// Reason says why a peer was hung up on. The set is closed: fit for a metric's
// label.
type Reason string

const (
	ReasonNotMilter   Reason = "not_milter"      // the first packet is no negotiation: HTTP, TLS, a scanner
	ReasonVersion     Reason = "version"         // a protocol version before 2
	ReasonEmptyFrame  Reason = "empty_frame"     // length 0
	ReasonOversize    Reason = "oversize_frame"  // length over MaxFrame
	ReasonUnknownCode Reason = "unknown_command" // a letter that is no command
	ReasonOutOfOrder  Reason = "out_of_order"    // a command that cannot come now
	ReasonMalformed   Reason = "malformed"       // data that do not parse
	ReasonMacros      Reason = "macros"          // more macros than we keep
	ReasonTruncated   Reason = "truncated"       // the peer hung up inside a frame
	ReasonFrameTime   Reason = "frame_timeout"   // a frame took longer than FrameTime
)

// protocolError ends a connection. Its detail may hold the peer's bytes, quoted.
type protocolError struct {
	reason Reason
	detail string
}

func (e *protocolError) Error() string { return string(e.reason) + ": " + e.detail }

// Ends of a connection that are no protocol error.
var (
	errQuit     = errors.New("milter: quit")
	errIdle     = errors.New("milter: idle for too long")
	errDraining = errors.New("milter: shutting down")
	errRefused  = errors.New("milter: too busy")
	errPanic    = errors.New("milter: session panicked")
)

// hungUp tells the read errors that mean the peer went away.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// quote makes bytes of a peer fit for a log: escaped, ASCII, cut.
func quote(b []byte) string {
	const most = 48
	if len(b) <= most {
		return strconv.QuoteToASCII(string(b))
	}
	return strconv.QuoteToASCII(string(b[:most])) + "..."
}
