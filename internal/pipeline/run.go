package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"milterd/checks"
	"milterd/message"
)

// Run is the way of one mail transaction through the pipeline. Its methods are
// called from one goroutine.
type Run struct {
	p       *Pipeline
	session context.Context // for the phases that outlive a transaction
	ctx     context.Context
	cancel  context.CancelFunc
	began   time.Time
	tasks   []*task
	byStep  [][]*task // tasks of each step: one, or one a recipient
	phase   checks.Phase
}

// task is one run of one check.
type task struct {
	step   *step
	done   chan struct{} // closed when result stands
	result checks.Result
	in     *checks.Input
	// counted is set by whoever reports the task to the metrics: the task when
	// it ends, or the waiter who gave up on it.
	counted atomic.Bool
}

// errDeadline is the error of a check that did not come back in time.
var errDeadline = errors.New("no answer in time")

// PanicError is the error of a check that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Begin starts a transaction of the SMTP session that lasts as long as ctx.
func (p *Pipeline) Begin(ctx context.Context) *Run {
	r := &Run{p: p, began: p.o.Now(), phase: -1}
	if p.o.Transaction != nil {
		ctx = p.o.Transaction(ctx)
	}
	r.session = ctx
	r.ctx, r.cancel = context.WithCancel(ctx)
	if len(p.steps) > 0 {
		r.byStep = make([][]*task, len(p.steps))
	}
	return r
}

// Fork begins the next transaction of the same session: results of the
// Connect and Helo phases are kept.
func (r *Run) Fork(ctx context.Context) *Run {
	n := r.p.Begin(ctx)
	n.phase = min(r.phase, checks.Helo)
	for i, st := range r.p.steps {
		if st.spec.Phase <= checks.Helo {
			n.byStep[i] = r.byStep[i]
			n.tasks = append(n.tasks, r.byStep[i]...)
		}
	}
	return n
}

// Pipeline returns the pipeline that the run belongs to.
func (r *Run) Pipeline() *Pipeline { return r.p }

// Publish starts the checks of a phase on m. Phases that were passed over are
// published with the same m. The Rcpt phase is published by Recipient.
func (r *Run) Publish(phase checks.Phase, m *message.Message) {
	for next := r.phase + 1; next <= phase; next++ {
		if next != checks.Rcpt {
			r.start(next, m, nil)
		}
	}
	r.phase = max(r.phase, phase)
}

// Recipient starts the checks of the Rcpt phase for the recipient that was
// added last to m.
func (r *Run) Recipient(m *message.Message) {
	if r.phase < checks.Mail {
		r.Publish(checks.Mail, m)
	}
	r.start(checks.Rcpt, m, &m.Recipients[len(m.Recipients)-1])
}

// runs reports whether the check has business with mail of that role.
func (s *step) runs(role message.Role) bool {
	switch role {
	case message.Outbound:
		return s.spec.Outbound
	case message.Reinject:
		return false
	}
	return true
}

func (r *Run) start(phase checks.Phase, m *message.Message, rcpt *message.Recipient) {
	for i, st := range r.p.steps {
		if st.spec.Phase != phase || !st.runs(m.Role) {
			continue
		}
		t := &task{step: st, done: make(chan struct{}), in: &checks.Input{Message: m, Recipient: rcpt}}
		if st.spec.BodyReader {
			t.in.Body = m.Body.Reader()
		}
		if m.Body != nil {
			m.Body.Retain()
		}
		var deps []*task
		for _, d := range st.deps {
			deps = append(deps, r.byStep[d]...)
		}
		r.byStep[i] = append(r.byStep[i], t)
		r.tasks = append(r.tasks, t)
		ctx := r.ctx
		if phase <= checks.Helo {
			ctx = r.session
		}
		r.p.running.Go(func() { r.p.do(ctx, t, deps) })
	}
}

// do runs one check, whatever it does.
func (p *Pipeline) do(ctx context.Context, t *task, deps []*task) {
	began := time.Now()
	if t.in.Message.Body != nil {
		defer t.in.Message.Body.Release()
	}
	defer close(t.done)
	defer func() {
		t.result.Check = t.step.spec.Name
		t.result.Took = time.Since(began)
		t.observe(&t.result)
	}()
	defer func() {
		if v := recover(); v != nil {
			t.result = checks.Result{Err: &PanicError{Value: v, Stack: debug.Stack()}}
			p.o.Metrics.panicked(t.step.spec.Name)
			p.o.Logger.Error("check panicked", "check", t.step.spec.Name, "id", t.in.Message.ID,
				"panic", fmt.Sprint(v), "stack", string(t.result.Err.(*PanicError).Stack))
		}
	}()
	for _, d := range deps {
		select {
		case <-d.done:
			if t.in.Prior == nil {
				t.in.Prior = checks.Prior{}
			}
			t.in.Prior[d.step.spec.Name] = &d.result
		case <-ctx.Done():
			t.result.Err = ctx.Err()
			return
		}
	}
	began = time.Now() // waiting for others is not this check's time
	limit := t.step.spec.Timeout
	if limit == 0 && !t.step.spec.BodyReader {
		limit = p.o.MessageTime
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if p.o.Scope != nil {
		ctx = p.o.Scope(ctx, t.step.spec.Name)
	}
	t.result, t.result.Err = call(ctx, t)
	if t.result.Err != nil && errors.Is(t.result.Err, context.DeadlineExceeded) {
		t.result.Err = fmt.Errorf("%w: %w", errDeadline, t.result.Err)
	}
}

func call(ctx context.Context, t *task) (checks.Result, error) {
	res, err := t.step.check.Run(ctx, t.in)
	if err != nil {
		return checks.Result{}, err // evidence of a check that failed half-way proves nothing
	}
	return res, nil
}

// results waits for all tasks until ctx ends and returns their results in plan
// order. A task that has not ended by then is a result with errDeadline; its
// goroutine goes on, but nobody reads what it brings.
func (r *Run) results(ctx context.Context) []checks.Result {
	var all []checks.Result
	for i := range r.byStep {
		for _, t := range r.byStep[i] {
			select {
			case <-t.done:
				all = append(all, t.result)
				continue
			default:
			}
			select {
			case <-t.done:
				all = append(all, t.result)
			case <-ctx.Done():
				res := checks.Result{Check: t.step.spec.Name, Err: errDeadline, Took: time.Since(r.began)}
				t.observe(&res)
				all = append(all, res)
			}
		}
	}
	return all
}

// observe reports a result to the metrics, once a task.
func (t *task) observe(res *checks.Result) {
	if t.counted.CompareAndSwap(false, true) {
		t.step.per.observe(res)
	}
}

// Close ends the checks that still run. It does not wait for them.
func (r *Run) Close() { r.cancel() }
