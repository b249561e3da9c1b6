// Package clamav is the check that asks clamd for malware.
//
// clamd is a neighbour that nobody vouches for: it parses what strangers send, in C, and
// it crashes, hangs and reads its database again while mail waits. So it is spoken to
// over a socket only, always against the clock, and what it says counts only if it is
// one of the two sentences that are a verdict. All else, an answer cut short, silence, a
// stream that was too long, is "could not look", and that is never "clean".
//
// It is given the message as it arrives, and when that is complete each decoded part by
// itself. Of a message that programs may read in several ways it is given each reading.
package clamav

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"milterd/checks"
	"milterd/message"
	"milterd/mime"
)

//go:embed sample.yaml
var sample string

// The findings of the check.
const (
	findFound     = "CLAMAV_FOUND"
	findUnscanned = "CLAMAV_UNSCANNED"
	findPartial   = "CLAMAV_PARTIAL"
	findAmbiguous = "CLAMAV_AMBIGUOUS"
)

var findings = []checks.FindingSpec{
	{Name: findFound, Describe: "clamd has found malware"},
	{Name: findUnscanned, Describe: "clamd could not be asked, and the mail was let through all the same"},
	{Name: findPartial, Describe: "Only a part of the message was scanned: it is longer than stream_max or limits.scan_bytes, took longer to read than limits.mime_time, or clamd met a limit of its own"},
	{Name: findAmbiguous, Describe: "Nothing was found in any reading of a message that programs read differently: it proves less than usual"},
}

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:       "clamav",
		Off:        true,
		Phase:      checks.Header,
		BodyReader: true,
		Outbound:   true,
		OnError:    checks.OnErrorTempFail,
		FaultReply: message.ReplyScanner,
		Sample:     sample,
		Findings:   findings,
		New:        newCheck,
	}
}

type check struct {
	scanner  *scanner
	required bool
	timeout  time.Duration
	scanned  int64 // bytes of the body that are looked at
	mime     mime.Limits
	logger   *slog.Logger
}

var (
	_ checks.Check   = (*check)(nil)
	_ checks.Patient = (*check)(nil)
)

// cacheSize bounds the verdicts that are remembered: some hundred bytes each.
const cacheSize = 10_000

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	m, err := newMetrics(env.Registerer)
	if err != nil {
		return nil, err
	}
	s := &scanner{
		most: int64(cfg.StreamMax), slots: make(chan struct{}, cfg.Connections), early: make(chan struct{}, max(cfg.Connections/2, 1)),
		cache: newCache(cfg.Cache, cacheSize), metrics: m, now: env.Now,
	}
	for _, at := range cfg.Sockets {
		s.servers = append(s.servers, &server{name: at.name, network: at.network, address: at.address})
	}
	return &check{
		scanner: s, required: cfg.Required, timeout: cfg.Timeout, logger: env.Logger,
		scanned: env.Limits.Scan(), mime: env.Limits.MIME(),
	}, nil
}

// Patience is checks.clamav.timeout.
func (c *check) Patience() (key string, most time.Duration) { return "timeout", c.timeout }

// Run has clamd look at the message. Its error says that somebody did not answer, and
// that the mail must wait.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	e := c.begin(ctx, in.Message)
	defer e.close()
	for {
		chunk, err := in.Body.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return checks.Result{}, fmt.Errorf("reading the body: %w", err)
		}
		e.send(chunk)
	}
	scan, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	tree, more, err := mime.Shared(in.Message, c.scanned, c.mime)
	if err != nil {
		return checks.Result{}, err
	}
	body, err := in.Message.Body.Bytes(c.scanned)
	if err != nil {
		return checks.Result{}, fmt.Errorf("reading the body: %w", err)
	}
	s := &search{check: c, stop: cancel, partial: e.cut || more}
	s.message(scan, e, tree, body)
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return checks.Result{}, err // nobody waits for the message any more
	}
	return s.result()
}

// rawHeader is the header of a message as it came, with an empty line at its end.
func rawHeader(m *message.Message) []byte {
	raw := make([]byte, 0, m.Header.Size+2)
	for i := range m.Header.Fields {
		f := &m.Header.Fields[i]
		raw = append(raw, f.Name...)
		raw = append(raw, ':')
		raw = append(raw, strings.ReplaceAll(strings.ReplaceAll(f.Value, "\r\n", "\n"), "\n", "\r\n")...)
		raw = append(raw, "\r\n"...)
	}
	return append(raw, "\r\n"...)
}

// writeTime bounds how long clamd may not take what it is given while a body arrives.
const writeTime = 5 * time.Second

// early is the scan of the raw message while it arrives. It is worth a try: where it
// fails, because clamd gave up on a slow sender or there was no place for it, the
// message is scanned when it is there.
type early struct {
	scanner *scanner
	server  *server
	stream  *stream // nil where there is none, or none any more
	header  []byte
	cut     bool
}

func (c *check) begin(ctx context.Context, m *message.Message) *early {
	e := &early{scanner: c.scanner, header: rawHeader(m)}
	select {
	case c.scanner.early <- struct{}{}:
	default:
		return e
	}
	e.server = c.scanner.order()[0]
	if e.server.rank(c.scanner.now()) > 0 { // all have failed of late: nobody waits for them yet
		<-c.scanner.early
		return e
	}
	dialing, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	stream, err := e.server.open(dialing, ctx, c.scanner.most)
	if err != nil {
		<-c.scanner.early
		_ = c.scanner.judge(ctx, e.server, "", err)
		return e
	}
	e.stream = stream
	e.send(e.header)
	return e
}

// close gives the place back.
func (e *early) close() {
	if e.stream != nil {
		e.stream.close()
		e.stream = nil
		<-e.scanner.early
	}
}

func (e *early) send(chunk []byte) {
	if e.stream == nil {
		return
	}
	_ = e.stream.conn.SetWriteDeadline(time.Now().Add(writeTime))
	cut, err := e.stream.send(chunk)
	e.cut = e.cut || cut
	if err != nil {
		e.close()
	}
}

// verdict ends the scan. ok is false where there was none that came to its end.
func (e *early) verdict(ctx context.Context) (virus string, ok bool) {
	if e.stream == nil {
		return "", false
	}
	conn := e.stream.conn
	end, _ := ctx.Deadline()
	_ = conn.SetDeadline(time.Now().Add(time.Until(end) / 2)) // the rest is for a second try
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	virus, err := e.stream.finish()
	return virus, e.scanner.judge(ctx, e.server, virus, err) == nil
}

// search is the way through one message.
type search struct {
	check *check
	stop  context.CancelFunc // ends what still runs: something was found

	mu        sync.Mutex
	virus     string
	where     string
	err       error
	partial   bool
	ambiguous bool
}

// parallel is how many pieces of one message are scanned at once.
const parallel = 4

// piecesPerScan bounds what all pieces together may have, in sizes of the body.
const piecesPerScan = 4

// message has all of it scanned, the raw message and its pieces.
func (s *search) message(ctx context.Context, e *early, tree *mime.Tree, body []byte) {
	var scans sync.WaitGroup
	defer scans.Wait()
	scans.Go(func() { s.raw(ctx, e, body) })
	places := make(chan struct{}, parallel)
	left := piecesPerScan*int64(len(body)) + 1<<20
	seen := map[[sha256.Size]byte]bool{}
	tooMany := false
	for p := range pieces(tree, body, s.check.mime, &tooMany) {
		p.content = s.cut(p.content)
		if left -= int64(len(p.content)); left < 0 {
			s.note(func() { s.partial = true })
			break
		}
		key := sha256.Sum256(p.content)
		if seen[key] {
			continue
		}
		seen[key] = true
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			s.done("", p.where, ctx.Err())
			return
		}
		scans.Go(func() {
			defer func() { <-places }()
			s.scan(ctx, p, key)
		})
	}
	ambiguous := isAmbiguous(tree)
	s.note(func() { s.ambiguous, s.partial = ambiguous, s.partial || tooMany })
}

// raw has the raw message scanned, if it was not while it arrived.
func (s *search) raw(ctx context.Context, e *early, body []byte) {
	const where = "the message"
	if virus, ok := e.verdict(ctx); ok {
		s.done(virus, where, nil)
		return
	}
	e.close()
	whole := make([]byte, 0, len(e.header)+len(body))
	whole = s.cut(append(append(whole, e.header...), body...))
	s.scan(ctx, piece{where, whole}, sha256.Sum256(whole))
}

// cut returns as much of content as clamd takes.
func (s *search) cut(content []byte) []byte {
	if most := s.check.scanner.most; int64(len(content)) > most {
		content = content[:most]
		s.note(func() { s.partial = true })
	}
	return content
}

func (s *search) scan(ctx context.Context, p piece, key [sha256.Size]byte) {
	virus, err := s.check.scanner.scan(ctx, p.content, key)
	s.done(virus, p.where, err)
}

func (s *search) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// limitsExceeded is how clamd reports that it met a limit of its own (AlertExceedsMax):
// it has not looked at everything, and found nothing in what it saw.
const limitsExceeded = "Heuristics.Limits.Exceeded"

// done notes what came of a scan. Of several that found something the first counts, and
// what still runs may stop.
func (s *search) done(virus, where string, err error) {
	s.note(func() {
		switch {
		case strings.HasPrefix(virus, limitsExceeded):
			s.partial = true
		case virus != "" && s.virus == "":
			s.virus, s.where = virus, where
			s.stop()
		case err != nil && s.err == nil:
			s.err = err
		}
	})
}

// maxDetail bounds what of a signature's name goes into log and journal.
const maxDetail = 200

// result makes a result of what was found.
func (s *search) result() (checks.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var res checks.Result
	if s.virus != "" {
		res.Findings = []checks.Finding{{Name: findFound, Detail: message.SafeText(s.virus+" in "+s.where, maxDetail)}}
		res.Demand = &checks.Demand{Action: message.RejectMail, Reply: message.ReplyMalware, Finding: findFound, Always: true, Outbound: true}
		return res, nil
	}
	if s.err != nil {
		if s.check.required {
			return checks.Result{}, s.err
		}
		s.check.logger.Warn("clamd did not answer, mail goes on unscanned", "check", "clamav", "err", s.err)
		res.Findings = []checks.Finding{{Name: findUnscanned, Detail: message.SafeText(s.err.Error(), maxDetail)}}
		res.Unscanned = true
		return res, nil
	}
	if s.partial {
		res.Findings = append(res.Findings, checks.Finding{Name: findPartial, Detail: "the rest was not looked at"})
	}
	if s.ambiguous {
		res.Findings = append(res.Findings, checks.Finding{Name: findAmbiguous, Detail: "no reading has anything"})
	}
	return res, nil
}
