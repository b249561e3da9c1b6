// Package control is the socket by which milterd's own commands ask a running daemon:
// HTTP over a unix socket, both sides of it.
//
// The daemon owns the store, which no second process can open, and knows by the
// kernel's word who asks. So a command needs no right to the daemon's files:
//
//	POST /lessons?class=spam&user=joe    messages to learn; class=show: what was said of them
//	POST /import?user=joe                what SpamAssassin had learned; DELETE forgets it
//	GET  /store                          all that is in the store, see store.Dump
//	POST /store                          a dump to load
//	GET  /verdicts?key=ID                what the journal has
//	POST /takeover                       another process becomes the daemon
//	POST /records/get, apply, post       the store, for a daemon that was succeeded
//
// Everybody who reaches the socket may teach for himself; root, the daemon's own user
// and those the configuration names may teach for everybody and for the site. The
// store and the journal are open to root and the daemon's user, the journal also to
// whoever else the mode of the socket lets in, as long as it keeps strangers out. The
// daemon's work and single records go to root and the daemon's own user alone.
package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"milterd/bayes"
)

// Limits of one request.
const (
	// MaxMessage is the largest message that is learned, in bytes.
	MaxMessage  = 64 << 20
	maxMessages = 64
)

// Report is the answer to lessons.
type Report struct {
	// User is whose lessons they were; empty is the site.
	User string `json:"user"`
	// Results are those of the first messages, in their order; they are safe.
	Results []bayes.Result `json:"results"`
	// Taught is what was said of each message before, where that was the question; null
	// is nothing.
	Taught []*bayes.Record `json:"taught,omitempty"`
	// Error says why the others were not learned, empty when all were.
	Error string `json:"error,omitempty"`
}

// Loaded is the answer to a dump.
type Loaded struct {
	Records int    `json:"records"`
	Error   string `json:"error,omitempty"`
	// Dump says that it is the dump that is wrong, not the store.
	Dump bool `json:"dump,omitempty"`
}

// A body of lessons is messages, each with its length before it: four bytes,
// big-endian.

func appendMessage(body, raw []byte) []byte {
	return append(binary.BigEndian.AppendUint32(body, uint32(len(raw))), raw...)
}

// ErrBody is a body that is no list of messages, or too long a one.
var ErrBody = errors.New("control: not a list of messages")

// readMessages reads a body of lessons.
func readMessages(r io.Reader) ([][]byte, error) {
	var all [][]byte
	left := MaxMessage
	for {
		var head [4]byte
		switch _, err := io.ReadFull(r, head[:]); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrBody, err)
		}
		length := int(binary.BigEndian.Uint32(head[:]))
		if left -= length; left < 0 || len(all) == maxMessages {
			return nil, fmt.Errorf("%w: more than %d messages or %d bytes", ErrBody, maxMessages, MaxMessage)
		}
		raw, err := io.ReadAll(io.LimitReader(r, int64(length))) // grows with what really comes
		if err != nil || len(raw) != length {
			return nil, fmt.Errorf("%w: it ends in a message", ErrBody)
		}
		all = append(all, raw)
	}
}
