package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// Received is a message as a Sink took it.
type Received struct {
	From string   // RFC5321.MailFrom without brackets; "" is the null reverse-path
	To   []string // recipients without brackets
	Raw  []byte   // the message; lines end with a line feed
	Delivered
}

// A Sink is a small SMTP server: the rest of the world, to which Postfix delivers,
// or a content filter that Postfix passes its mail through. It accepts every
// sender, and every recipient but gone@ any domain.
type Sink struct {
	listener net.Listener
	take     func(Received) string
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu     sync.Mutex
	mails  []Received
	arrive chan struct{} // closed and replaced with every mail
}

// StartSink listens on the address. A take that is not nil sees each message before
// the sender gets the answer, which is what take returns, or "250 2.0.0 Ok" for
// "". It runs for several messages at once.
func StartSink(addr string, take func(Received) string) (*Sink, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &Sink{listener: listener, take: take, arrive: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.work.Go(s.accept)
	return s, nil
}

// Close ends every session and waits for them.
func (s *Sink) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.work.Wait()
	return err
}

// Wait returns the first message whose Subject is the given one.
func (s *Sink) Wait(ctx context.Context, subject string) (Received, error) {
	return s.WaitFunc(ctx, fmt.Sprintf("Subject %q", subject), func(m Received) bool { return m.Get("Subject") == subject })
}

// WaitFunc returns the first message for which match is true; what says in an error
// which one was looked for.
func (s *Sink) WaitFunc(ctx context.Context, what string, match func(Received) bool) (Received, error) {
	for {
		s.mu.Lock()
		mails, arrive := s.mails, s.arrive
		s.mu.Unlock()
		for _, m := range mails {
			if match(m) {
				return m, nil
			}
		}
		select {
		case <-arrive:
		case <-ctx.Done():
			return Received{}, fmt.Errorf("sink: no message with %s: %w", what, ctx.Err())
		}
	}
}

func (s *Sink) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.work.Go(func() {
			defer context.AfterFunc(s.ctx, func() { conn.Close() })()
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(5 * time.Minute))
			s.serve(textproto.NewConn(conn))
		})
	}
}

// serve speaks just enough SMTP for Postfix's client. An error ends the session.
func (s *Sink) serve(c *textproto.Conn) error {
	var mail Received
	reply := "220 sink.example.test ESMTP"
	for {
		if err := c.PrintfLine("%s", reply); err != nil {
			return err
		}
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "EHLO":
			reply = "250-sink.example.test\r\n250-8BITMIME\r\n250 SMTPUTF8"
		case "MAIL":
			mail = Received{From: path(line)}
			reply = "250 2.1.0 Ok"
		case "RCPT":
			if rcpt := path(line); strings.HasPrefix(rcpt, "gone@") {
				reply = "550 5.1.1 no longer here"
			} else {
				mail.To = append(mail.To, rcpt)
				reply = "250 2.1.5 Ok"
			}
		case "DATA":
			if err := c.PrintfLine("354 go on"); err != nil {
				return err
			}
			if mail.Raw, err = c.ReadDotBytes(); err != nil {
				return err
			}
			reply = s.received(mail)
		case "QUIT":
			return errors.Join(c.PrintfLine("221 2.0.0 Bye"), c.Close())
		default:
			reply = "250 2.0.0 Ok"
		}
	}
}

func (s *Sink) received(mail Received) (reply string) {
	mail.Delivered = parseDelivered(mail.Raw)
	if s.take != nil {
		reply = s.take(mail)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, mail)
	close(s.arrive)
	s.arrive = make(chan struct{})
	if reply == "" {
		return "250 2.0.0 Ok"
	}
	return reply
}

// path takes the address out of "MAIL FROM:<a@b> SIZE=5".
func path(line string) string {
	_, rest, _ := strings.Cut(line, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}
