// Package miltertest helps to test both sides of the milter protocol: scripts of
// raw packets that read like a conversation, and a Session that writes down what
// it hears and answers as told.
//
// A script has one packet a line; ">" is sent, "<" is expected. Words are divided
// by spaces, and may be quoted as in Go:
//
//	> O 6 0x1ff 0x1fffff            # negotiation: version, actions, protocol (all with defaults)
//	< O                             # any negotiation
//	> D C j mx.example.org          # macros for CONNECT
//	> C mail.example.net 4 40000 192.0.2.1
//	< c
//	> L Subject " hello"
//	> B "a line\r\n"
//	> raw "GET / HTTP/1.1\r\n"      # bytes as they are: quoted, or hex
//	< y "550 5.7.1 No\x00"          # a reply with exactly these data
//	< end                           # the connection is closed
package miltertest

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long a script waits for one packet; it is used up only by a
// test that fails.
const patience = 10 * time.Second

// Frame is a packet: a letter and its data, the parts one after the other.
func Frame(code byte, parts ...string) []byte {
	data := strings.Join(parts, "")
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))
	return append(append(b, code), data...)
}

// Strings makes NUL-terminated strings of its arguments, one after the other.
func Strings(s ...string) string {
	if len(s) == 0 {
		return ""
	}
	return strings.Join(s, "\x00") + "\x00"
}

// Negotiation is the data of SMFIC_OPTNEG.
func Negotiation(version, actions, protocol uint32) string {
	b := binary.BigEndian.AppendUint32(nil, version)
	b = binary.BigEndian.AppendUint32(b, actions)
	return string(binary.BigEndian.AppendUint32(b, protocol))
}

// ReadFrame reads one packet.
func ReadFrame(r io.Reader) (code byte, data []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n == 0 || n > 1<<24 {
		return 0, nil, fmt.Errorf("frame of %d bytes", n)
	}
	data = make([]byte, n-1)
	_, err = io.ReadFull(r, data)
	return head[4], data, err
}

// Play runs a script over a connection and fails the test at the first line that
// does not come true. The connection is left open.
func Play(t testing.TB, nc net.Conn, script string) {
	t.Helper()
	for i, line := range strings.Split(script, "\n") {
		words, err := split(line)
		if err != nil {
			t.Fatalf("line %d: %q: %v", i+1, line, err)
		}
		if len(words) == 0 {
			continue
		}
		if err := play(nc, words); err != nil {
			t.Fatalf("line %d: %s: %v", i+1, strings.TrimSpace(line), err)
		}
	}
}

func play(nc net.Conn, words []string) error {
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	if len(words) < 2 {
		return errors.New("a line is > or <, then a letter")
	}
	switch words[0] {
	case ">":
		packet, err := encode(words[1], words[2:])
		if err != nil {
			return err
		}
		_, err = nc.Write(packet)
		if words[1] == "raw" {
			return nil // may be too much for the other side; the next line tells
		}
		return err
	case "<":
		return expect(nc, words[1], words[2:])
	}
	return errors.New("a line begins with > or <")
}

func expect(nc net.Conn, what string, want []string) error {
	code, data, err := ReadFrame(nc)
	if what == "end" {
		if err == nil {
			return fmt.Errorf("got %q %q", code, data)
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return errors.New("the connection is still open")
		}
		return nil
	}
	switch {
	case err != nil:
		return err
	case string(code) != what:
		return fmt.Errorf("got %q %q", code, data)
	case len(want) > 0 && string(data) != strings.Join(want, ""):
		return fmt.Errorf("got data %q, expected %q", data, strings.Join(want, ""))
	case len(want) == 0 && len(data) > 0 && what != "O":
		return fmt.Errorf("got data %q, expected none", data)
	}
	return nil
}

// encode makes the packet of a line.
func encode(letter string, args []string) ([]byte, error) {
	if letter == "raw" {
		return rawBytes(args)
	}
	if len(letter) != 1 {
		return nil, fmt.Errorf("%q is no letter", letter)
	}
	code := letter[0]
	switch code {
	case 'O':
		numbers := [3]uint32{6, 0x1ff, 0x1fffff}
		for i, a := range args {
			n, err := strconv.ParseUint(a, 0, 32)
			if err != nil || i >= len(numbers) {
				return nil, fmt.Errorf("%q is no number", a)
			}
			numbers[i] = uint32(n)
		}
		return Frame('O', Negotiation(numbers[0], numbers[1], numbers[2])), nil
	case 'C':
		return connect(args)
	case 'D':
		if len(args) == 0 {
			return Frame('D'), nil
		}
		return Frame('D', args[0], Strings(args[1:]...)), nil
	case 'B':
		return Frame('B', args...), nil
	}
	return Frame(code, Strings(args...)), nil
}

func connect(args []string) ([]byte, error) {
	switch {
	case len(args) == 2 && args[1] == "U":
		return Frame('C', Strings(args[0]), "U"), nil
	case len(args) == 3 && args[1] == "L":
		return Frame('C', Strings(args[0]), "L\x00\x00", Strings(args[2])), nil
	case len(args) == 4:
		port, err := strconv.ParseUint(args[2], 10, 16)
		if err != nil {
			return nil, err
		}
		return Frame('C', Strings(args[0]), args[1], string(binary.BigEndian.AppendUint16(nil, uint16(port))), Strings(args[3])), nil
	}
	return nil, errors.New("CONNECT is HOST U, HOST L PATH, HOST 4 PORT ADDR or HOST 6 PORT ADDR")
}

func rawBytes(args []string) ([]byte, error) {
	var out []byte
	for _, a := range args {
		if text, ok := strings.CutPrefix(a, quotedMark); ok {
			out = append(out, text...)
			continue
		}
		b, err := hex.DecodeString(a)
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

// quotedMark stands before the words of a raw line that were quoted.
const quotedMark = "\x00\""

// split divides a line into words. What follows a # that begins a word is a
// comment.
func split(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			return words, nil
		}
		if line[0] != '"' {
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				end = len(line)
			}
			words, line = append(words, line[:end]), line[end:]
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, err
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		if len(words) > 1 && words[1] == "raw" {
			text = quotedMark + text
		}
		words, line = append(words, text), line[len(quoted):]
	}
}
