package pipeline

import (
	"cmp"
	"context"
	"errors"
	"time"

	"milterd/authres"
	"milterd/checks"
	"milterd/message"
	"milterd/scoring"
)

// Outcome is a decided message with everything that led there.
type Outcome struct {
	Message *message.Message
	Verdict message.Verdict
	// AuthservID names us in Auth.
	AuthservID string
	// Auth and Edits are what is or would be added, whatever the action.
	Auth  []authres.Method
	Edits []message.Edit
	// AtRcpt says that it is one recipient that was refused, at RCPT TO: Message is what
	// was known by then, with this recipient alone. It may go on for others.
	AtRcpt bool
	// Apply says that Edits are to be made; in mode observe and on a refused
	// message they are not.
	Apply bool
	// Results of the checks in plan order.
	Results []checks.Result
	// Took is the wait between the end of the message and the verdict.
	Took time.Duration
}

// Finish publishes the last phase, waits for the checks and decides. m is the
// whole message. It returns after MessageTime at the latest.
func (r *Run) Finish(ctx context.Context, m *message.Message) *Outcome {
	p := r.p
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.o.MessageTime)
	defer cancel()
	r.Publish(checks.Message, m)
	out := &Outcome{Message: m, Results: r.results(ctx, m.Role)}
	if res, over := limitResult(m); over {
		out.Results = append(out.Results, res)
	}
	facts := scoring.Facts{Message: m, Results: out.Results, Private: p.private(m)}
	failed := p.failed(out.Results)
	facts.Faults = failed
	facts.FaultReply = p.faultReply(failed)
	if len(failed) > 0 && !errors.Is(ctx.Err(), context.Canceled) { // then the client has gone, and tried nothing
		facts.FaultsExhausted = p.o.Faults.Count(m, p.o.Now())
	}
	out.Verdict = p.o.Policy.Decide(facts)
	out.Verdict.Reply = out.Verdict.Reply.WithID(m.ID)

	out.AuthservID = cmp.Or(p.o.AuthservID, m.Session.MTA, p.o.Hostname)
	out.Auth = p.auth(out.Results)
	var unscanned []string
	if !out.Verdict.Action.Refuses() {
		unscanned = append(failed, skipped(out.Results)...)
	}
	out.Edits = p.edits(m, &out.Verdict, out.AuthservID, out.Auth, unscanned)
	out.Edits = append(out.Edits, r.seal(ctx, out)...)
	out.Edits = append(out.Edits, p.carry(ctx, out)...)
	out.Apply = !out.Verdict.Action.Refuses() && out.Verdict.Action != message.Discard &&
		out.Verdict.Mode != message.Observe
	out.Took = time.Since(began)
	p.o.Metrics.decided(out)
	return out
}

// failed names the checks whose failure means that the mail must wait.
func (p *Pipeline) failed(results []checks.Result) []string {
	var names []string
	for i := range results {
		res := &results[i]
		if res.Err == nil || p.onError(res.Check) == checks.OnErrorIgnore {
			continue
		}
		if len(names) == 0 || names[len(names)-1] != res.Check {
			names = append(names, res.Check)
		}
	}
	return names
}

// skipped names the checks that could not look and let the mail go on.
func skipped(results []checks.Result) []string {
	var names []string
	for i := range results {
		if results[i].Unscanned {
			names = append(names, results[i].Check)
		}
	}
	return names
}

// faultReply is what the client is told while the mail waits for the first of the checks
// that failed; zero for the usual reply.
func (p *Pipeline) faultReply(failed []string) message.Reply {
	for _, s := range p.steps {
		if len(failed) > 0 && s.spec.Name == failed[0] {
			return s.spec.FaultReply
		}
	}
	return message.Reply{}
}

func (p *Pipeline) onError(check string) checks.OnError {
	if o, ok := p.o.OnError[check]; ok {
		return o
	}
	for _, s := range p.steps {
		if s.spec.Name == check {
			return cmp.Or(s.spec.OnError, checks.OnErrorTempFail)
		}
	}
	return checks.OnErrorTempFail
}

// private reports whether the client has a private address that the operator
// did not name: most likely a host of his own that he forgot.
func (p *Pipeline) private(m *message.Message) bool {
	c := m.Session.Client.Unmap()
	return m.Role == message.Inbound && m.Peer == message.Stranger && c.IsValid() &&
		(c.IsPrivate() || c.IsLoopback() || c.IsLinkLocalUnicast()) && !p.o.Roles.Ours(c)
}

// auth collects what Authentication-Results shall say.
func (p *Pipeline) auth(results []checks.Result) []authres.Method {
	var all []authres.Method
	for i := range results {
		all = append(all, results[i].Auth...)
	}
	return all
}

// seal asks the checks that sign, once the verdict stands.
func (r *Run) seal(ctx context.Context, o *Outcome) []message.Edit {
	var edits []message.Edit
	each(r, r.p.steps, o, func(s checks.Sealer, st *step, in *checks.Input) {
		e, err := s.Seal(ctx, in, &o.Verdict)
		if err != nil {
			r.p.o.Logger.Error("sealing failed", "check", st.spec.Name, "id", o.Message.ID, "err", err)
		}
		edits = append(edits, e...)
	})
	return edits
}

// Beside runs f in a goroutine of the pipeline, and does not wait for it.
func (r *Run) Beside(f func()) { r.p.crew.Do(f) }

// Record lets the checks that learn remember the message. It is called after
// the reply and cannot change it, and takes MessageTime at most.
func (r *Run) Record(ctx context.Context, o *Outcome) {
	ctx, cancel := context.WithTimeout(ctx, r.p.o.MessageTime)
	defer cancel()
	if o.Message.Role == message.Reinject || r.p.o.Forgetful {
		return
	}
	if !o.Verdict.Action.Refuses() {
		r.p.o.Faults.Forget(o.Message)
	}
	steps := r.p.steps
	if o.AtRcpt {
		steps = r.p.doors
	}
	each(r, steps, o, func(c checks.Recorder, st *step, in *checks.Input) {
		if err := c.Record(ctx, in, &o.Verdict); err != nil && !errors.Is(err, context.Canceled) {
			r.p.o.Logger.Warn("recording failed", "check", st.spec.Name, "id", o.Message.ID, "err", err)
		}
	})
}

// each calls f for every step that has to do with the message and whose check is a C,
// with the results of all checks: now that the verdict stands, nothing waits for anything.
func each[C any](r *Run, steps []*step, o *Outcome, f func(C, *step, *checks.Input)) {
	var prior checks.Prior
	for _, st := range steps {
		c, ok := st.check.(C)
		if !ok || !st.runs(o.Message.Role) {
			continue
		}
		if prior == nil {
			prior = make(checks.Prior, len(o.Results))
			for i := range o.Results {
				prior[o.Results[i].Check] = &o.Results[i]
			}
		}
		in := &checks.Input{Message: o.Message, Prior: prior}
		func() {
			defer func() {
				if v := recover(); v != nil {
					r.p.panicked(st, o.Message.ID, v)
				}
			}()
			f(c, st, in)
		}()
	}
}
