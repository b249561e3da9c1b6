// Package pipeline takes a message through its checks to a verdict.
//
// A [Pipeline] is made once from the configuration and never changes; a reload
// makes a new one. For each mail transaction the bridge (or the scan command)
// begins a [Run] and publishes the message phase by phase. Each check starts
// as soon as its phase is there and the checks it needs are done, in a
// goroutine that it has for itself. Finish waits for them, asks scoring for the verdict
// and collects the edits, all in plan order, so that the same message gives
// the same bytes whatever check was quicker.
//
// A check that panics, fails or runs out of time is a visible result with an
// error. The runner stops waiting even if the check does not stop.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"milterd/checks"
	"milterd/internal/crew"
	"milterd/message"
	"milterd/scoring"
)

// Options is what a Pipeline is made of.
type Options struct {
	// Specs are the enabled checks in the order in which they are reported.
	Specs []checks.Spec
	// Section returns the configuration of the named check.
	Section func(name string) checks.Section
	// OnError overrides Spec.OnError by name.
	OnError map[string]checks.OnError
	Env     checks.Env
	Policy  *scoring.Policy
	Roles   Roles
	// AuthservID is our name in Authentication-Results; empty means macro j,
	// and Hostname where the MTA gives none.
	AuthservID, Hostname string
	// MarkKey is the secret under X-Milterd-Id.
	MarkKey []byte
	Version string
	// SpamHeaders asks for the X-Spam family (headers.compat: spamassassin).
	SpamHeaders bool
	// MessageTime bounds the wait after the end of a message, and the run of a
	// check without a timeout of its own.
	MessageTime time.Duration
	// Scope gives a check's context what it needs to ask the DNS on its
	// message's account; nil leaves it as it is.
	Scope func(ctx context.Context, check string) context.Context
	// Transaction prepares the context of a mail transaction; may be nil.
	Transaction func(ctx context.Context) context.Context
	Faults      *Faults
	Metrics     *Metrics
	// Carry returns the value of the header field CarryField, which takes the verdict on
	// an inbound message to its delivery, or "". Nil where nobody asks at delivery.
	Carry func(ctx context.Context, o *Outcome) string
	// Forgetful keeps the checks from remembering the messages they see: for those
	// who look at mail beside the daemon.
	Forgetful bool
	Random    io.Reader
	Logger    *slog.Logger
	Now       func() time.Time
}

// Pipeline is the plan of all checks and the policy behind them. It is
// immutable and safe for concurrent use.
type Pipeline struct {
	o     Options
	steps []*step
	crew  crew.Crew

	mu      sync.Mutex
	running int           // checks under way
	idle    chan struct{} // closed when there are none; nil when nobody waits

	early      []int   // indexes of the steps that may answer at RCPT TO
	doors      []*step // those who look at recipients for steps that come later
	answers    bool    // somebody may refuse a recipient
	background background
}

// step is a check in its place in the plan.
type step struct {
	spec  checks.Spec
	check checks.Check
	deps  []int // indexes of the steps that it needs or follows
	per   *checkMetrics
}

// New plans the checks and makes them. It reports every error of the plan and
// of the checks' configuration at once.
func New(o Options) (*Pipeline, error) {
	order, err := plan(o.Specs)
	p := &Pipeline{o: o}
	index := map[string]int{}
	errs := []error{err}
	for _, spec := range order {
		check, err := spec.New(o.Section(spec.Name), o.Env)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		st := &step{spec: spec, check: check, per: o.Metrics.check(spec.Name)}
		for _, name := range append(append([]string(nil), spec.Needs...), spec.After...) {
			if i, ok := index[name]; ok {
				st.deps = append(st.deps, i)
			}
		}
		index[spec.Name] = len(p.steps)
		p.steps = append(p.steps, st)
		p.planEarly(st)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// Roles returns who is who among the clients.
func (p *Pipeline) Roles() *Roles { return &p.o.Roles }

// ReadsBody reports whether any check or the verdict needs the body.
func (p *Pipeline) ReadsBody() bool {
	for _, s := range p.steps {
		if s.spec.BodyReader || s.spec.Phase == checks.Message {
			return true
		}
	}
	return false
}

// Close ends what goes on in the background and waits until no check is running, or
// ctx ends. Messages that are still
// on their way may start others afterwards, so it is no [sync.WaitGroup], which
// must not be added to while somebody waits.
func (p *Pipeline) Close(ctx context.Context) error {
	p.Stop()
	p.mu.Lock()
	if p.running == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pipeline: checks still running: %w", ctx.Err())
	}
}

// count notes that a check has begun (1) or ended (-1).
func (p *Pipeline) count(delta int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running += delta; p.running == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

// NewID returns a fresh transaction id.
func (p *Pipeline) NewID() string { return message.NewID(p.o.Random) }

// Now returns the time by the pipeline's clock.
func (p *Pipeline) Now() time.Time { return p.o.Now() }
