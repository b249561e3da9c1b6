// Package scan gives the verdict on messages in files, without a mail server.
// A message takes exactly the way that Postfix would send it: through the
// milter protocol, to the same bridge and pipeline as in the daemon, over a
// pipe inside the process. So a scan cannot disagree with the daemon.
//
// A scan writes no state. That is the engine's part: build it with
// engine.Host.Forgetful.
package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"

	"milterd/internal/bridge"
	"milterd/internal/engine"
	"milterd/internal/mailbox"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"

	wire "github.com/emersion/go-milter"
)

// Envelope is what the operator says about the session of the messages. What
// is nil or empty is taken from the message itself.
type Envelope struct {
	IP    netip.Addr
	Helo  string
	RDNS  string
	From  *string // the reverse-path; a pointer to "" is the null sender
	Rcpts []string
	Login string // SASL login: the message is a submission of that user
}

// Scanner scans messages, one at a time.
type Scanner struct {
	engine *engine.Engine
	bridge *bridge.Bridge
	server *milter.Server
	memory *message.Budget
	// decided receives the outcome of the one message under way.
	decided chan *pipeline.Outcome
}

// New returns a scanner for an engine.
func New(e *engine.Engine, logger *slog.Logger) *Scanner {
	s := &Scanner{engine: e, decided: make(chan *pipeline.Outcome, 1)}
	l := &e.Config.Limits
	s.memory = message.NewBudget(int64(l.MemoryInflight))
	s.bridge = bridge.New(bridge.Options{
		Pipeline:     func() *pipeline.Pipeline { return e.Pipeline },
		Report:       func(o *pipeline.Outcome) { s.decided <- o },
		LimitHit:     func(string) {},
		HeaderFields: l.HeaderFields, HeaderBytes: int(l.HeaderBytes), FromBytes: int(l.FromBytes), Recipients: l.Recipients,
		Late:   true,
		Memory: s.memory, Files: message.NewBudget(int64(l.SpoolBytes)),
		Logger: logger,
	})
	// No frame is too long: what is over a limit shall be told, not hung up on.
	s.server = &milter.Server{MessageTime: l.MessageTime, MaxFrame: mailbox.MaxSize, Logger: logger}
	s.bridge.Configure(s.server)
	return s
}

// Scan returns the outcome for one message.
func (s *Scanner) Scan(ctx context.Context, raw []byte, env Envelope) (*pipeline.Outcome, error) {
	select {
	case <-s.decided: // of a message whose scan failed after its verdict
	default:
	}
	peer, envelope := s.session(raw, env)
	ours, theirs := net.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() { s.server.ServeConn(ctx, theirs) })
	defer serving.Wait()
	client, err := milter.NewClient(ctx, ours, milter.ClientOptions{})
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer client.Close()
	if _, err := client.Greet(ctx, peer); err != nil {
		return nil, err
	}
	out, err := client.Send(ctx, envelope, raw)
	if err != nil {
		return nil, err
	}
	if err := client.Quit(ctx); err != nil {
		return nil, err
	}
	serving.Wait() // the outcome is there once the session is over
	s.bridge.Wait(ctx)
	select {
	case o := <-s.decided:
		return o, nil
	default:
		return nil, fmt.Errorf("refused before the end of the message: %s", out.Reply)
	}
}

// Close waits for what the scans left running.
func (s *Scanner) Close(ctx context.Context) error {
	s.bridge.Wait(ctx)
	return errors.Join(s.server.Shutdown(ctx), s.engine.Pipeline.Close(ctx))
}

// unknownRecipient stands for the recipient of a message that names none.
const unknownRecipient = "recipient@unknown.invalid"

// session makes up the SMTP session of a message in a file: what the operator
// says, else what the message shows. The client is taken from the topmost
// Received field that names one which is not in networks; without a usable one
// the client is unknown. The sender is that of Return-Path, and the null sender
// where there is none.
func (s *Scanner) session(raw []byte, env Envelope) (milter.Peer, milter.Envelope) {
	parsed := milter.ParseMessage(raw)
	fields := make([]message.Field, len(parsed.Fields))
	for i, f := range parsed.Fields {
		fields[i] = message.Field{Name: f.Name, Value: f.Value}
	}
	header := message.NewHeader(fields, 0)
	client := &message.Session{}
	if !env.IP.IsValid() {
		client, _ = s.engine.Pipeline.Roles().Behind(clients(header), "")
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	peer := milter.Peer{
		Hostname: hostname,
		Connect:  milter.Connect{Family: byte(wire.FamilyUnknown), Host: "unknown"},
		Helo:     cmp.Or(env.Helo, client.Helo), // none rather than one made up, which rules would judge
		Login:    env.Login,
	}
	if ip := env.IP; ip.IsValid() || client.Client.IsValid() {
		if !ip.IsValid() {
			ip = client.Client
		}
		ip = ip.Unmap()
		peer.Addr, peer.Port, peer.Family = ip, 25252, byte(wire.FamilyInet)
		if ip.Is6() {
			peer.Family = byte(wire.FamilyInet6)
		}
		peer.Host = cmp.Or(env.RDNS, client.Host, "["+ip.String()+"]")
	}
	e := milter.Envelope{QueueID: "NOQUEUE"}
	if env.From != nil {
		e.From = *env.From
	} else {
		e.From = bare(header.Text("Return-Path"))
	}
	rcpts := env.Rcpts
	if len(rcpts) == 0 {
		rcpts = []string{cmp.Or(bare(header.Text("X-Original-To")), bare(header.Text("Delivered-To")), unknownRecipient)}
	}
	for _, r := range rcpts {
		e.Rcpts = append(e.Rcpts, milter.Recipient{Address: r})
	}
	return peer, e
}

// clients returns the Received fields that name a client. The others are lines
// that programs write on the last part of the way (LMTP, fetchmail, qmail's
// invocations): who brought the message stands in the next one below.
func clients(h *message.Header) *message.Header {
	var named []message.Field
	for value := range h.All("Received") {
		if _, ok := message.ParseReceived(value); ok {
			named = append(named, message.Field{Name: "Received", Value: value})
		}
	}
	return message.NewHeader(named, 0)
}

// bare takes the angle brackets from a path; the milter client adds its own.
func bare(path string) string {
	if inner, ok := strings.CutPrefix(path, "<"); ok {
		return strings.TrimSuffix(inner, ">")
	}
	return path
}
