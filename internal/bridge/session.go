package bridge

import (
	"context"
	"errors"
	"slices"

	"milterd/checks"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"
)

// session is one SMTP session. What is known of the client lives here, what is
// known of a message in its transaction: a refused recipient, a reset or a
// second message never loses the client.
type session struct {
	b    *Bridge
	conn *milter.Conn

	client *message.Session
	peer   message.Peer
	greet  *pipeline.Run // holds the results of the Connect and Helo phases
	tx     *transaction  // nil between messages
}

var _ milter.Session = (*session)(nil)

func (s *session) Connect(_ context.Context, c milter.Connect) milter.Reply {
	s.client = &message.Session{
		Client: c.Addr, Port: c.Port, Host: c.Host,
		PTR: s.conn.Macro("{client_ptr}"),
		MTA: s.conn.Macro("j"),
	}
	if s.client.PTR == "unknown" {
		s.client.PTR = ""
	}
	s.begin(s.b.o.Pipeline())
	return milter.Continue
}

// begin makes the run of the session's own phases, as far as they have come.
// Clients that we look behind have none: who really sent is known only when the
// header is there.
func (s *session) begin(p *pipeline.Pipeline) {
	s.endGreeting()
	s.peer = p.Roles().Peer(s.client)
	s.greet = p.Begin(s.conn.Context())
	s.publish(checks.Connect)
	if s.client.Helo != "" {
		s.publish(checks.Helo)
	}
}

// publish starts the checks of a phase of the session. A client may still log
// in; what is outbound without that is outbound with it.
func (s *session) publish(phase checks.Phase) {
	if s.peer != message.Stranger {
		return
	}
	role := s.greet.Pipeline().Roles().Role(s.client, "", s.peer)
	s.greet.Publish(phase, &message.Message{Session: s.client, Role: role, Peer: s.peer})
}

func (s *session) endGreeting() {
	if s.greet != nil {
		s.greet.Close()
	}
}

func (s *session) Helo(_ context.Context, name string) milter.Reply {
	again := s.client.Helo != ""
	c := *s.client
	c.Helo = name
	c.TLSVersion, c.TLSCipher = s.conn.Macro("{tls_version}"), s.conn.Macro("{cipher}")
	s.client = &c
	if again { // after STARTTLS: what the first one brought does not count
		s.begin(s.greet.Pipeline())
	} else {
		s.publish(checks.Helo)
	}
	return milter.Continue
}

func (s *session) Mail(_ context.Context, from string, args []string) milter.Reply {
	if p := s.b.o.Pipeline(); p != s.greet.Pipeline() { // reloaded since the last message
		s.begin(p)
	}
	p := s.greet.Pipeline()
	id := p.NewID()
	if !s.b.o.Memory.Take(reservation) {
		s.b.o.LimitHit("memory_inflight")
		s.b.o.Logger.Warn("message refused: memory_inflight is used up", "id", id, "client", s.client.Client, "from", message.SafeText(from, 200))
		return reply(message.ReplyNoMemory.WithID(id))
	}
	login, peer := s.conn.Macro("{auth_authen}"), s.peer
	if login != "" {
		peer = message.Stranger // a relay that logs in submits mail like anybody else
	}
	s.tx = &transaction{b: s.b, header: headerBuilder{maxFields: s.b.o.HeaderFields, maxBytes: s.b.o.HeaderBytes},
		run: s.greet.Fork(s.conn.Context()), m: &message.Message{
			ID: id, Time: p.Now(), Session: s.client, Peer: peer, Login: login,
			Role:     p.Roles().Role(s.client, login, peer),
			MailFrom: message.ParsePath(from), MailArgs: slices.Clone(args),
		}}
	if peer == message.Stranger {
		s.tx.run.Publish(checks.Mail, s.tx.m)
	}
	return milter.Continue
}

func (s *session) Rcpt(ctx context.Context, to string, args []string) milter.Reply {
	if s.tx == nil {
		return milter.Continue
	}
	return s.tx.rcpt(ctx, to, args, s.conn.Macro("{rcpt_mailer}") == "error", s.conn.Macro("i"))
}

func (s *session) Data(context.Context) milter.Reply { return milter.Continue }

func (s *session) Header(_ context.Context, name, value []byte) milter.Reply {
	if s.tx != nil {
		s.tx.header.add(name, value)
	}
	return milter.Continue
}

func (s *session) EndOfHeader(context.Context) milter.Reply {
	if s.tx != nil {
		s.tx.endOfHeader(s.conn.Macro("i"))
	}
	return milter.Continue
}

func (s *session) Body(_ context.Context, chunk []byte) milter.Reply {
	if s.tx == nil {
		return milter.Continue
	}
	return s.tx.body(chunk)
}

func (s *session) EndOfMessage(ctx context.Context) milter.Response {
	if s.tx == nil {
		return milter.Response{Reply: reply(message.ReplyOwnFault)}
	}
	tx := s.tx
	s.tx = nil
	return tx.end(ctx, s.conn.Macro("i"))
}

func (s *session) Unknown(context.Context, string) milter.Reply { return milter.Continue }

func (s *session) Abort() { s.drop() }

func (s *session) Close() {
	s.drop()
	s.endGreeting()
}

var errAborted = errors.New("bridge: message aborted")

// drop ends a message that will not be decided.
func (s *session) drop() {
	if s.tx != nil {
		s.tx.drop()
		s.tx = nil
	}
}

// reply turns one of ours into one for the wire. Ours are constants that the
// tests send through NewReply, so it cannot fail.
func reply(r message.Reply) milter.Reply {
	out, err := milter.NewReply(r.Code, r.Enhanced, r.Text)
	if err != nil {
		panic("bridge: " + err.Error())
	}
	return out
}
