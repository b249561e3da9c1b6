package miltertest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"milterd/milter"
)

// Filter makes Sessions that write down what they hear, one line an event:
//
//	new
//	connect mail.example.net 4 40000 192.0.2.1
//	helo mail.example.net
//	mail <joe@example.net> [SIZE=100]
//	rcpt <ann@example.org> []
//	data
//	header Subject: " hello"
//	eoh
//	body "a line\r\n"
//	eom
//	unknown FOO
//	abort
//	close
//
// Set its fields before use; hand NewSession to a milter.Server.
type Filter struct {
	Replies map[string]milter.Reply // by the whole line, or by its first word
	Verdict milter.Response         // at end of message
	// Heard, if any, is called for every line, before it is answered: to wait, to
	// panic, to look at macros.
	Heard func(ctx context.Context, c *milter.Conn, line string)

	mu     sync.Mutex
	events []string
}

// NewSession is for milter.Server.NewSession.
func (f *Filter) NewSession(c *milter.Conn) milter.Session {
	s := &session{f, c}
	s.hear(c.Context(), "new", "")
	return s
}

// Events are the lines so far, of all sessions together.
func (f *Filter) Events() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

type session struct {
	filter *Filter
	conn   *milter.Conn
}

func (s *session) hear(ctx context.Context, verb, rest string) milter.Reply {
	line := verb
	if rest != "" {
		line += " " + rest
	}
	f := s.filter
	f.mu.Lock()
	f.events = append(f.events, line)
	f.mu.Unlock()
	if f.Heard != nil {
		f.Heard(ctx, s.conn, line)
	}
	if r, ok := f.Replies[line]; ok {
		return r
	}
	return f.Replies[verb]
}

func (s *session) Connect(ctx context.Context, c milter.Connect) milter.Reply {
	switch c.Family {
	case 'U':
		return s.hear(ctx, "connect", c.Host+" U")
	case 'L':
		return s.hear(ctx, "connect", c.Host+" L "+c.Path)
	}
	return s.hear(ctx, "connect", fmt.Sprintf("%s %c %d %s", c.Host, c.Family, c.Port, c.Addr))
}

func (s *session) Helo(ctx context.Context, name string) milter.Reply {
	return s.hear(ctx, "helo", name)
}

func (s *session) Mail(ctx context.Context, from string, args []string) milter.Reply {
	return s.hear(ctx, "mail", fmt.Sprintf("%s %v", from, args))
}

func (s *session) Rcpt(ctx context.Context, to string, args []string) milter.Reply {
	return s.hear(ctx, "rcpt", fmt.Sprintf("%s %v", to, args))
}

func (s *session) Data(ctx context.Context) milter.Reply { return s.hear(ctx, "data", "") }

func (s *session) Header(ctx context.Context, name, value []byte) milter.Reply {
	return s.hear(ctx, "header", fmt.Sprintf("%s: %q", name, value))
}

func (s *session) EndOfHeader(ctx context.Context) milter.Reply { return s.hear(ctx, "eoh", "") }

func (s *session) Body(ctx context.Context, chunk []byte) milter.Reply {
	return s.hear(ctx, "body", fmt.Sprintf("%q", chunk))
}

func (s *session) EndOfMessage(ctx context.Context) milter.Response {
	if r := s.hear(ctx, "eom", ""); !r.IsContinue() {
		return milter.Response{Reply: r}
	}
	return s.filter.Verdict
}

func (s *session) Unknown(ctx context.Context, command string) milter.Reply {
	return s.hear(ctx, "unknown", command)
}

func (s *session) Abort() { s.hear(s.conn.Context(), "abort", "") }

func (s *session) Close() { s.hear(s.conn.Context(), "close", "") }
