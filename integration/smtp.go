package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// smtpTimeout bounds a whole conversation of the client: above Postfix's own 30 s
// for a milter that does not answer, so that its 451 is seen.
const smtpTimeout = 45 * time.Second

// A Reply is an answer of an SMTP server (RFC 5321, section 4.2).
type Reply struct {
	Code  int
	Lines []string // without the code and its separator
}

// Text is all lines, joined by line feeds.
func (r Reply) Text() string { return strings.Join(r.Lines, "\n") }

// String is the reply on one line, for messages.
func (r Reply) String() string { return fmt.Sprintf("%d %s", r.Code, strings.Join(r.Lines, " / ")) }

// QueueID is the id under which Postfix queued a message ("250 2.0.0 Ok: queued
// as …"), or "".
func (r Reply) QueueID() string {
	_, id, _ := strings.Cut(r.Text(), "queued as ")
	return strings.TrimSpace(id)
}

// SMTP is a small client that says exactly what it is told, also what no client
// should. Its errors are of the connection only: refusals are Replies.
type SMTP struct {
	conn net.Conn
	text *textproto.Conn
	helo string
}

// DialSMTP connects, reads the greeting and says EHLO. A nil config speaks plain;
// otherwise TLS starts before the greeting (RFC 8314).
func DialSMTP(ctx context.Context, addr, helo string, config *tls.Config) (*SMTP, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(smtpTimeout))
	if config != nil {
		conn = tls.Client(conn, config)
	}
	c := &SMTP{conn: conn, text: textproto.NewConn(conn), helo: helo}
	greeting, err := c.read()
	if err == nil && greeting.Code != 220 {
		err = fmt.Errorf("greeting: %v", greeting)
	}
	if err == nil {
		err = c.expect(250, "EHLO %s", helo)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connection without a word, as a client that dies; see Quit.
func (c *SMTP) Close() error { return c.text.Close() }

// Quit says goodbye and closes.
func (c *SMTP) Quit() error {
	defer c.Close()
	return c.expect(221, "QUIT")
}

// Cmd sends one line and reads the reply to it.
func (c *SMTP) Cmd(format string, args ...any) (Reply, error) {
	if err := c.text.PrintfLine(format, args...); err != nil {
		return Reply{}, err
	}
	return c.read()
}

func (c *SMTP) read() (Reply, error) {
	var r Reply
	for {
		line, err := c.text.ReadLine()
		if err != nil {
			return r, err
		}
		if len(line) < 3 {
			return r, fmt.Errorf("short reply %q", line)
		}
		if _, err := fmt.Sscanf(line[:3], "%d", &r.Code); err != nil {
			return r, fmt.Errorf("reply %q: %w", line, err)
		}
		r.Lines = append(r.Lines, strings.TrimPrefix(strings.TrimPrefix(line[3:], "-"), " "))
		if !strings.HasPrefix(line[3:], "-") {
			return r, nil
		}
	}
}

func (c *SMTP) expect(code int, format string, args ...any) error {
	r, err := c.Cmd(format, args...)
	if err == nil && r.Code != code {
		err = fmt.Errorf("%s: %v", fmt.Sprintf(format, args...), r)
	}
	return err
}

// XCLIENT gives the session another client (Postfix's XCLIENT_README), such as
// "ADDR=203.0.113.7 NAME=mail.sender.test PORT=40000", and says EHLO again. It
// works once in a session, because the new client has no right to it.
func (c *SMTP) XCLIENT(attributes string) error {
	if err := c.expect(220, "XCLIENT %s", attributes); err != nil {
		return err
	}
	return c.expect(250, "EHLO %s", c.helo)
}

// StartTLS turns to TLS without looking at the certificate and says EHLO again.
func (c *SMTP) StartTLS() error {
	if err := c.expect(220, "STARTTLS"); err != nil {
		return err
	}
	conn := tls.Client(c.conn, insecureTLS())
	if err := conn.Handshake(); err != nil {
		return err
	}
	c.conn, c.text = conn, textproto.NewConn(conn)
	return c.expect(250, "EHLO %s", c.helo)
}

// insecureTLS accepts the bed's self-signed certificate.
func insecureTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// Auth logs in with SASL PLAIN (RFC 4616).
func (c *SMTP) Auth(user, password string) error {
	token := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	return c.expect(235, "AUTH PLAIN %s", token)
}

// Data sends DATA, the message (any line ends; dots are stuffed) and the final
// dot, and returns the reply to that, or to DATA if it was refused.
func (c *SMTP) Data(message []byte) (Reply, error) {
	r, err := c.Cmd("DATA")
	if err != nil || r.Code != 354 {
		return r, err
	}
	w := c.text.DotWriter()
	_, err = w.Write(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")))
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return Reply{}, err
	}
	return c.read()
}

// envelope says MAIL and RCPT as far as they are taken, and returns the last reply: 250,
// or the one that refused.
func (c *SMTP) envelope(from string, to []string) (Reply, error) {
	r, err := c.Cmd("MAIL FROM:<%s>", from)
	for _, rcpt := range to {
		if err != nil || r.Code != 250 {
			break
		}
		r, err = c.Cmd("RCPT TO:<%s>", rcpt)
	}
	return r, err
}

// Abandon is Send by a client that goes away after the final dot, before it hears what
// became of the message. The reply is the one that refused before that, if there was
// one; else it is zero.
func (c *SMTP) Abandon(from string, to []string, message []byte) (Reply, error) {
	r, err := c.envelope(from, to)
	if err != nil || r.Code != 250 {
		return r, err
	}
	if r, err = c.Cmd("DATA"); err != nil || r.Code != 354 {
		return r, err
	}
	w := c.text.DotWriter()
	if _, err := w.Write(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))); err != nil {
		return Reply{}, err
	}
	return Reply{}, errors.Join(w.Close(), c.Close())
}

// Send runs one mail transaction and returns the reply that decided it: to the
// sender, to a recipient or to DATA when one was refused, else to the end of the
// message. A sender of "" is the null reverse-path.
func (c *SMTP) Send(from string, to []string, message []byte) (Reply, error) {
	r, err := c.envelope(from, to)
	if err != nil || r.Code != 250 {
		return r, err
	}
	return c.Data(message)
}
