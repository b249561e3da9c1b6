// Package dovecot speaks the protocol in which Dovecot's Sieve calls a program
// through a socket (Pigeonhole's extensions vnd.dovecot.pipe and .execute with
// sieve_pipe_socket_dir and sieve_execute_socket_dir): no script, no child process.
//
// A call is a head of lines, an empty line, and a message up to the end of what the
// client sends:
//
//	VERSION TAB script TAB 4 TAB 0
//	env_USER=bob@example.org        the environment, any number
//	-                               what follows are arguments
//	spam
//	bob@example.org
//	                                an empty line
//	Return-Path: <...>              the message
//
// The answer is text, and on a line of its own + for success or - for failure. In
// the head Dovecot writes tabs, line feeds and NULs as 0x01 and a letter.
package dovecot

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of a head. Dovecot sends a dozen short lines.
const (
	maxLine  = 8 << 10
	maxLines = 256
)

// Request is one call.
type Request struct {
	// Env is the environment: USER, HOME, HOST and, from execute, SENDER, RECIPIENT
	// and ORIG_RECIPIENT.
	Env map[string]string
	// Args are what the Sieve script gives the program.
	Args []string
	// Message is the message as it is stored. It ends when the client has sent all,
	// and fails when there is more than the server takes.
	Message io.Reader
}

// ErrProtocol is a client that speaks something else.
var ErrProtocol = errors.New("dovecot: not a script call")

// ReadRequest reads the head of a call; the message may then be read from
// Request.Message. The error wraps [ErrProtocol] or is the connection's.
func ReadRequest(r io.Reader) (*Request, error) {
	b := bufio.NewReaderSize(r, maxLine)
	version, err := line(b)
	if err != nil {
		return nil, err
	}
	words := strings.Split(version, "\t")
	if len(words) < 3 || words[0] != "VERSION" || words[1] != "script" || words[2] != "4" {
		return nil, fmt.Errorf("%w: it begins with %.60q, expected version 4 of the script protocol", ErrProtocol, version)
	}
	q := &Request{Env: map[string]string{}, Message: b}
	options := true
	for range maxLines {
		l, err := line(b)
		switch {
		case err != nil:
			return nil, err
		case options && l == "-":
			options = false
		case options:
			if name, value, ok := strings.Cut(strings.TrimPrefix(l, "env_"), "="); ok && strings.HasPrefix(l, "env_") {
				q.Env[name] = unescape(value)
			} // others, as alarm=10, are about Dovecot's own waiting
		case l == "":
			return q, nil
		default:
			q.Args = append(q.Args, unescape(l))
		}
	}
	return nil, fmt.Errorf("%w: a head of more than %d lines", ErrProtocol, maxLines)
}

// line reads a line without its end.
func line(b *bufio.Reader) (string, error) {
	l, err := b.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("%w: a line of more than %d bytes", ErrProtocol, maxLine)
	case errors.Is(err, io.EOF):
		return "", fmt.Errorf("%w: it ends in its head", ErrProtocol)
	case err != nil:
		return "", err
	}
	return string(l[:len(l)-1]), nil
}

// unescape undoes what Dovecot does to bytes that would end a line or a word.
func unescape(s string) string {
	if strings.IndexByte(s, 1) < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == 1 && i+1 < len(s) {
			i++
			switch s[i] {
			case '0':
				c = 0
			case '1':
				c = 1
			case 't':
				c = '\t'
			case 'r':
				c = '\r'
			case 'n':
				c = '\n'
			default:
				c = s[i]
			}
		}
		b = append(b, c)
	}
	return string(b)
}

// Answer is what the client is told: text for a Sieve script to look at, perhaps
// none, and whether the call succeeded.
type Answer struct {
	Text string
	OK   bool
}

// WriteTo writes the answer. Text that ends in the middle of a line is ended.
func (a Answer) WriteTo(w io.Writer) (int64, error) {
	text := a.Text
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	status := "-\n"
	if a.OK {
		status = "+\n"
	}
	n, err := io.WriteString(w, text+status)
	return int64(n), err
}
