package bridge

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"
	"milterd/rules"
	"milterd/scoring"

	wire "github.com/emersion/go-milter"
	"github.com/prometheus/client_golang/prometheus"
)

// bed is a milter server with the bridge behind it, and what came of its
// messages. When the test ends all that messages held must have been given back.
type bed struct {
	t        testing.TB
	bridge   *Bridge
	server   *milter.Server
	pipeline atomic.Pointer[pipeline.Pipeline]
	memory   *message.Budget
	files    *message.Budget
	conns    sync.WaitGroup

	mu       sync.Mutex
	outcomes []*pipeline.Outcome
	hits     []string
	report   func(*pipeline.Outcome)
}

func newBed(t testing.TB, specs []checks.Spec, change func(*Options)) *bed {
	t.Helper()
	b := &bed{t: t, memory: message.NewBudget(64 << 20), files: message.NewBudget(64 << 20)}
	b.reload(newPipeline(t, specs, nil))
	o := Options{
		Pipeline: b.pipeline.Load,
		Report: func(o *pipeline.Outcome) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.outcomes = append(b.outcomes, o)
			if b.report != nil {
				b.report(o)
			}
		},
		LimitHit: func(limit string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.hits = append(b.hits, limit)
		},
		HeaderFields: 1000, HeaderBytes: 256 << 10, FromBytes: 8 << 10, Recipients: 10_000,
		Memory: b.memory, Files: b.files, SpoolDir: t.TempDir(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&o)
	}
	b.memory, b.files = o.Memory, o.Files
	b.bridge = New(o)
	b.server = &milter.Server{Logger: o.Logger}
	b.bridge.Configure(b.server)
	t.Cleanup(b.end)
	return b
}

// end waits until everything is over, and looks whether anything was left.
func (b *bed) end() {
	b.conns.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b.bridge.Wait(ctx)
	if err := b.pipeline.Load().Close(ctx); err != nil {
		b.t.Error(err)
	}
	if b.memory.Used() != 0 || b.files.Used() != 0 {
		b.t.Errorf("%d bytes of memory and %d of spool were not given back", b.memory.Used(), b.files.Used())
	}
}

func (b *bed) reload(p *pipeline.Pipeline) { b.pipeline.Store(p) }

// connect gives a connection of an MTA, which ends with the test.
func (b *bed) connect() *milter.Client {
	b.t.Helper()
	mta, filter := net.Pipe()
	b.conns.Go(func() { b.server.ServeConn(context.Background(), filter) })
	b.t.Cleanup(func() { mta.Close() }) // before end, which waits for it
	c, err := milter.NewClient(b.t.Context(), mta, milter.ClientOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// greet gives a connection with a session on it.
func (b *bed) greet(p milter.Peer) *milter.Client {
	b.t.Helper()
	c := b.connect()
	if r, err := c.Greet(b.t.Context(), p); err != nil || !r.IsContinue() {
		b.t.Fatalf("greeting: %v, %v", r, err)
	}
	return c
}

// send sends a message and returns what the MTA heard and what was decided, nil
// when nothing was.
func (b *bed) send(c *milter.Client, e milter.Envelope, text string) (milter.Outcome, *pipeline.Outcome) {
	b.t.Helper()
	before := len(b.decided())
	out, err := c.Send(b.t.Context(), e, []byte(text))
	if err != nil {
		b.t.Fatal(err)
	}
	if after := b.decided(); len(after) > before {
		return out, after[len(after)-1]
	}
	return out, nil
}

// decided returns the outcomes so far.
func (b *bed) decided() []*pipeline.Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*pipeline.Outcome(nil), b.outcomes...)
}

// limits returns the limits that were hit so far.
func (b *bed) limits() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.hits, " ")
}

// settle waits for what goes on after the replies.
func (b *bed) settle() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	b.bridge.Wait(ctx)
	if err := b.pipeline.Load().Close(ctx); err != nil {
		b.t.Fatal(err)
	}
}

func newPipeline(t testing.TB, specs []checks.Spec, change func(*pipeline.Options)) *pipeline.Pipeline {
	t.Helper()
	set, err := rules.Load([]rules.Source{{Name: "rules.yaml", Text: []byte("scores: {SPAM: 20, ODD: 6}")}}, []string{"SPAM", "ODD"})
	if err != nil {
		t.Fatal(err)
	}
	junk, reject := 6.0, 15.0
	o := pipeline.Options{
		Specs: specs, Section: func(string) checks.Section { return checktest.Section("") },
		Policy: scoring.New(scoring.Options{Mode: message.Enforce, OwnFault: scoring.FaultHold, Rules: set,
			Thresholds: message.Thresholds{Junk: &junk, Reject: &reject}}),
		Roles: pipeline.Roles{
			MyNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			Relays:     []netip.Prefix{netip.MustParsePrefix("198.51.100.0/28")},
			Fetchers:   []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")},
		},
		Hostname: "host.test", MarkKey: []byte("secret"), Version: "1", SpamHeaders: true,
		MessageTime: 25 * time.Second, Faults: &pipeline.Faults{Tries: 3, Age: time.Hour},
		Metrics: pipeline.NewMetrics(prometheus.NewRegistry()), Random: rand.Reader,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now,
	}
	if change != nil {
		change(&o)
	}
	p, err := pipeline.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// peer is a session of a client with that address.
func peer(addr string) milter.Peer {
	return milter.Peer{
		Connect:  milter.Connect{Host: "mail.sender.test", Family: byte(wire.FamilyInet), Port: 40000, Addr: netip.MustParseAddr(addr)},
		Helo:     "helo.sender.test",
		Hostname: "mx.test",
	}
}

func stranger() milter.Peer { return peer("192.0.2.1") }

func to(addrs ...string) milter.Envelope {
	e := milter.Envelope{From: "joe@sender.test", QueueID: "4bQueue"}
	for _, a := range addrs {
		e.Rcpts = append(e.Rcpts, milter.Recipient{Address: a})
	}
	return e
}

const plain = "From: Joe <joe@sender.test>\nMessage-ID: <1@sender.test>\nDate: Fri, 20 Nov 2026 12:00:00 +0000\nSubject: hi\n\nhello\n"

// probe describes a check that hands what it sees to f.
func probe(name string, phase checks.Phase, f func(in *checks.Input) checks.Result) checks.Spec {
	return checktest.Fake(name, phase, checktest.Func(func(_ context.Context, in *checks.Input) (checks.Result, error) {
		return f(in), nil
	}))
}

// always describes a check that finds the same in every message.
func always(res checks.Result) checks.Spec {
	s := probe("always", checks.Mail, func(*checks.Input) checks.Result { return res })
	s.Outbound = true
	return s
}

// following describes a check that reads the body as it arrives and hands each
// piece to f, io.EOF at its end.
func following(f func(piece []byte, err error)) checks.Spec {
	s := checktest.Fake("following", checks.Header, checktest.Func(func(ctx context.Context, in *checks.Input) (checks.Result, error) {
		for {
			p, err := in.Body.Next(ctx)
			f(p, err)
			if err == io.EOF {
				return checks.Result{}, nil
			} else if err != nil {
				return checks.Result{}, err
			}
		}
	}))
	s.BodyReader = true
	return s
}
