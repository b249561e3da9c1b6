package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"milterd/checks"
	"milterd/internal/lazy"
	"milterd/message"
)

// Run is the way of one mail transaction through the pipeline, or what the
// transactions of a session have in common (see [Run.Fork]). Its methods are
// called from one goroutine.
type Run struct {
	p      *Pipeline
	ctx    context.Context
	cancel context.CancelFunc
	tasks  [][]*task // of each step: one, or one a recipient
	phase  checks.Phase
	watch  watch
}

// task is one run of one check.
type task struct {
	step    *step
	in      checks.Input
	began   time.Time
	settled atomic.Bool
	done    chan struct{} // closed when result stands
	result  checks.Result

	watched bool      // by the run's watch, whose lock guards these
	lost    time.Time // when the runner gives up on it; zero while it need not
}

// errDeadline is the error of a check that did not come back in time.
var errDeadline = errors.New("no answer in time")

// PanicError is the error of a check that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Begin starts a transaction that lasts until Close, or as long as ctx.
func (p *Pipeline) Begin(ctx context.Context) *Run {
	r := &Run{p: p, phase: -1, tasks: make([][]*task, len(p.steps))}
	first := make([]*task, len(p.steps)) // room for one of each step: most have no other
	for i := range r.tasks {
		r.tasks[i] = first[i : i : i+1]
	}
	r.watch.tasks = make([]*task, 0, len(p.steps))
	if p.o.Transaction != nil {
		ctx = p.o.Transaction(ctx)
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r
}

// Fork begins the next transaction of the same session. It shares what the
// Connect and Helo phases have brought, or are still about to bring: that ends
// with r, not with the transaction.
func (r *Run) Fork(ctx context.Context) *Run {
	n := r.p.Begin(ctx)
	n.phase = min(r.phase, checks.Helo)
	for i, st := range r.p.steps {
		if st.spec.Phase <= checks.Helo && len(r.tasks[i]) > 0 { // else the room is for its own
			n.tasks[i] = r.tasks[i]
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
		t := &task{step: st, began: time.Now(), done: make(chan struct{}), in: checks.Input{Message: m, Recipient: rcpt}}
		if st.spec.BodyReader {
			t.in.Body = m.Body.Reader()
		}
		if m.Body != nil {
			m.Body.Retain()
		}
		var deps []*task
		for _, d := range st.deps {
			deps = append(deps, r.tasks[d]...)
		}
		r.tasks[i] = append(r.tasks[i], t)
		r.begin(t, deps)
	}
}

// begin starts a task. It goes on once deps are done.
func (r *Run) begin(t *task, deps []*task) {
	r.p.count(1)
	r.p.crew.Do(func() { r.do(t, deps) })
}

// do runs one check, whatever it does.
func (r *Run) do(t *task, deps []*task) {
	p, ctx := r.p, r.ctx
	defer p.count(-1)
	if body := t.in.Message.Body; body != nil {
		defer body.Release()
	}
	defer func() {
		if v := recover(); v != nil {
			t.fail(p.panicked(t.step, t.in.Message.ID, v))
		}
	}()
	var took time.Duration // waiting for others is not this check's time
	if c, ok := t.step.check.(checks.Preparer); ok {
		took = r.prepare(t, c)
	}
	for _, d := range deps {
		if !d.isDone() {
			select {
			case <-d.done:
			case <-ctx.Done():
				t.fail(ctx.Err())
				return
			}
		}
		if t.in.Prior == nil {
			t.in.Prior = checks.Prior{}
		}
		t.in.Prior[d.step.spec.Name] = &d.result
	}
	began := time.Now()
	ctx, done := r.bound(t)
	defer done()
	res, err := t.step.check.Run(ctx, &t.in)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", errDeadline, err)
		}
		res = checks.Result{} // evidence of a check that failed half-way proves nothing
	}
	res.Err, res.Took = err, took+time.Since(began)
	t.settle(res)
}

// prepare lets the check begin with what needs no other check's result, and
// returns how long that took.
func (r *Run) prepare(t *task, c checks.Preparer) time.Duration {
	began := time.Now()
	ctx, done := r.bound(t)
	defer done()
	t.in.Prepared = c.Prepare(ctx, &t.in)
	return time.Since(began)
}

// bound makes a check's context, with its time limit and its account at the DNS. done
// ends both.
func (r *Run) bound(t *task) (ctx context.Context, done func()) {
	limit := t.step.spec.Timeout
	if limit == 0 && !t.step.spec.BodyReader {
		limit = r.p.o.MessageTime
	}
	ctx, done = r.ctx, func() {}
	if limit > 0 {
		limited := lazy.WithTimeout(ctx, limit)
		r.watch.begin(t, time.Now().Add(limit+grace))
		ctx, done = limited, func() {
			r.watch.end(t)
			limited.Cancel()
		}
	}
	if r.p.o.Scope != nil {
		ctx = r.p.o.Scope(ctx, t.step.spec.Name)
	}
	return ctx, done
}

// settle lets a result stand, unless another does already: the check has come
// back after the runner has given up on it.
func (t *task) settle(res checks.Result) {
	if !t.settled.CompareAndSwap(false, true) {
		return
	}
	res.Check = t.step.spec.Name
	t.step.per.observe(&res)
	t.result = res
	close(t.done)
}

// isDone reports whether the result stands. Mostly it does when somebody asks, and to look
// at one channel costs much less than to wait at two.
func (t *task) isDone() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// fail settles the task without the check's word.
func (t *task) fail(err error) {
	t.settle(checks.Result{Err: err, Took: time.Since(t.began)})
}

// panicked says in log and metrics that a check has a bug.
func (p *Pipeline) panicked(st *step, id string, value any) *PanicError {
	err := &PanicError{Value: value, Stack: debug.Stack()}
	p.o.Metrics.panicked(st.spec.Name)
	p.o.Logger.Error("check panicked", "check", st.spec.Name, "id", id,
		"panic", message.SafeText(fmt.Sprint(value), 200), "stack", string(err.Stack))
	return err
}

// results waits until ctx ends for all checks that have business with mail of
// that role and returns their results in plan order. A check that has not come
// back by then has failed; its goroutine goes on, but nobody reads what it
// brings.
func (r *Run) results(ctx context.Context, role message.Role) []checks.Result {
	all := make([]checks.Result, 0, len(r.p.steps)) // most checks have one
	for i, st := range r.p.steps {
		if !st.runs(role) {
			continue // begun before the role was known
		}
		for _, t := range r.tasks[i] {
			if !t.isDone() {
				t.wait(ctx)
			}
			all = append(all, t.result)
		}
	}
	return all
}

// wait waits for the result until ctx ends, which is the end of the task, too.
func (t *task) wait(ctx context.Context) {
	select {
	case <-t.done:
	case <-ctx.Done():
		err := errDeadline
		if errors.Is(ctx.Err(), context.Canceled) {
			err = ctx.Err()
		}
		t.fail(err)
		<-t.done
	}
}

// Close ends the checks that still run. It does not wait for them.
func (r *Run) Close() {
	r.cancel()
	r.watch.close()
}
