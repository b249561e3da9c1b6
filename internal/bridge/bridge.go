// Package bridge joins the two halves of milterd: it turns the events of a
// milter connection into a message on its way through the pipeline, and the
// verdict into milter replies. It is the only package that knows both sides.
package bridge

import (
	"context"
	"log/slog"
	"sync"

	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"

	wire "github.com/emersion/go-milter"
)

// Options is what a Bridge needs.
type Options struct {
	// Pipeline returns the pipeline for the next transaction. A reload changes
	// what it returns; transactions in flight keep theirs.
	Pipeline func() *pipeline.Pipeline
	// Report is told of every decided message, and of every recipient refused at RCPT
	// TO, before the client is; it must not wait.
	Report func(*pipeline.Outcome)
	// LimitHit counts a message that went over the named limit.
	LimitHit func(limit string)

	HeaderFields, HeaderBytes, FromBytes, Recipients int

	// Late decides every message at its end, never a recipient before: for those who
	// look at mail that is here already.
	Late bool

	// Memory and Files bound what messages in flight hold in RAM and on disk.
	Memory, Files *message.Budget
	// Buffers are for bodies of some size, so that they need no file; nil means none.
	Buffers *message.Buffers
	// Long is the memory for what checks make of bodies that are not kept in memory.
	// Messages wait for it at their end, in turn; nil lets everybody go on.
	Long     *message.Turns
	SpoolDir string
	Logger   *slog.Logger
}

// spoolMemory is how much of a body stays in memory of its own before it goes to a file,
// if there is no buffer for it.
const spoolMemory = 128 << 10

// Bridge makes milter sessions.
type Bridge struct {
	o Options
	// after counts what still goes on when a reply is out.
	after sync.WaitGroup
}

// New returns a Bridge.
func New(o Options) *Bridge { return &Bridge{o: o} }

// Configure sets the parts of a milter server that the bridge decides: what is
// asked of the MTA, and who receives the events.
func (b *Bridge) Configure(s *milter.Server) {
	s.Actions = wire.OptAddHeader | wire.OptChangeHeader | wire.OptQuarantine | wire.OptSetSymList
	// Replies to these events would only say "continue": each costs a round
	// trip, and a header has dozens. CONNECT and MAIL get theirs so that the MTA
	// sends them at once and their DNS questions hide behind the client's next
	// command; a recipient can be refused, and the body can be skipped.
	s.Protocol = wire.OptNoData | wire.OptNoUnknown | wire.OptSkip | wire.OptRcptRej | wire.OptHeaderLeadingSpace |
		wire.OptNoHeloReply | wire.OptNoHeaderReply | wire.OptNoEOHReply
	s.AlsoWanted = func() wire.OptProtocol {
		if !b.o.Pipeline().ReadsBody() {
			return 0 // the reply is SKIP
		}
		return wire.OptNoBodyReply // what goes wrong with the body is said at its end
	}
	s.Macros = map[wire.Stage][]string{
		wire.StageConnect:  {"j", "{client_ptr}", "{daemon_name}"},
		wire.StageHelo:     {"{tls_version}", "{cipher}"},
		wire.StageMailFrom: {"i", "{auth_authen}"},
		wire.StageRcptTo:   {"i", "{rcpt_mailer}"},
		wire.StageEOH:      {"i"},
		wire.StageEOM:      {"i"},
	}
	s.NewSession = b.newSession
}

// Wait returns when everything that follows a reply is done, or ctx ends.
func (b *Bridge) Wait(ctx context.Context) {
	done := make(chan struct{})
	go func() { b.after.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func (b *Bridge) newSession(c *milter.Conn) milter.Session { return &session{b: b, conn: c} }
