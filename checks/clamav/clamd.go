package clamav

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"milterd/message"
)

// command begins a stream; with z in front the answer ends in a NUL (clamd(8),
// "INSTREAM"). What follows is chunks, each with its length in four bytes in front, and
// a length of 0 at the end. Without IDSESSION there is one answer, and then clamd closes.
const command = "zINSTREAM\x00"

// maxReply bounds an answer. A signature's name has some dozen bytes.
const maxReply = 1 << 10

// errSize is clamd's complaint that a stream is longer than its StreamMaxLength.
var errSize = errors.New("stream longer than clamd's StreamMaxLength: lower checks.clamav.stream_max or raise that")

// errReply is an answer that says neither that something was found nor that nothing was.
var errReply = errors.New("no verdict")

// parseReply reads an answer to INSTREAM: the name of what was found, "" for nothing.
// Whatever is not word for word one of the two verdicts is an error, since an answer cut
// short, or to another question, must not pass for a clean bill.
func parseReply(reply []byte) (virus string, err error) {
	text, whole := bytes.CutSuffix(reply, []byte{0})
	switch {
	case !whole:
		return "", fmt.Errorf("%w: answer cut short: %q", errReply, message.SafeText(string(reply), 100))
	case string(text) == "stream: OK":
		return "", nil
	case bytes.HasPrefix(text, []byte("INSTREAM size limit exceeded")):
		return "", errSize
	}
	name, streamed := strings.CutPrefix(string(text), "stream: ")
	name, found := strings.CutSuffix(name, " FOUND")
	if safe := message.SafeText(name, maxReply); streamed && found && name != "" && safe == name && strings.TrimSpace(name) == name {
		return name, nil
	}
	return "", fmt.Errorf("%w: %q", errReply, message.SafeText(string(text), 100))
}

// stream is one INSTREAM conversation.
type stream struct {
	conn net.Conn
	stop func() bool // ends the watch over the context
	left int64       // bytes that clamd may still be given
}

// open begins a conversation, in which clamd gets so many bytes at most. dialing bounds
// the way there; the conversation ends with ctx, whatever clamd does.
func (s *server) open(dialing, ctx context.Context, most int64) (*stream, error) {
	var d net.Dialer
	conn, err := d.DialContext(dialing, s.network, s.address)
	if err != nil {
		return nil, err
	}
	t := &stream{conn: conn, left: most}
	t.stop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	if _, err := conn.Write([]byte(command)); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *stream) close() {
	t.stop()
	t.conn.Close()
}

// send hands over a chunk, as far as clamd takes that much. cut reports that it does
// not take all of it.
func (t *stream) send(chunk []byte) (cut bool, err error) {
	if int64(len(chunk)) > t.left {
		chunk, cut = chunk[:t.left], true
	}
	if len(chunk) == 0 {
		return cut, nil // a length of 0 would end the stream
	}
	t.left -= int64(len(chunk))
	buffers := net.Buffers{binary.BigEndian.AppendUint32(nil, uint32(len(chunk))), chunk}
	_, err = buffers.WriteTo(t.conn)
	return cut, err
}

// finish ends the stream and returns clamd's verdict.
func (t *stream) finish() (virus string, err error) {
	_, sent := t.conn.Write(make([]byte, 4))
	virus, err = t.verdict()
	if sent != nil && err == nil {
		return "", sent // an answer to something else than the whole
	}
	return virus, err
}

// verdict reads the answer, and that nothing follows it.
func (t *stream) verdict() (virus string, err error) {
	reply, broken := io.ReadAll(io.LimitReader(t.conn, maxReply))
	virus, err = parseReply(reply)
	if broken != nil && !errors.Is(err, errSize) { // clamd says that before it breaks off
		return "", broken
	}
	return virus, err
}

// instream has clamd look at content, of which it gets as much as it takes.
func (s *server) instream(ctx context.Context, content []byte, most int64) (virus string, err error) {
	t, err := s.open(ctx, ctx, most)
	if err != nil {
		return "", err
	}
	defer t.close()
	if _, err := t.send(content); err != nil {
		if _, told := t.verdict(); errors.Is(told, errSize) {
			return "", told
		}
		return "", err
	}
	return t.finish()
}
