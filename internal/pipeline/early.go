package pipeline

import (
	"context"
	"time"

	"milterd/checks"
	"milterd/message"
	"milterd/scoring"
)

// earlyWait is how long a recipient waits for the checks that may refuse it. It is
// less than what a reply to an envelope command may take (limits.reply_time).
const earlyWait = 4500 * time.Millisecond

// planEarly notes what the step that was added last has to say at RCPT TO.
func (p *Pipeline) planEarly(st *step) {
	e, ok := st.check.(checks.Early)
	answers := ok && e.AnswersAtRcpt()
	if answers && st.spec.Phase < checks.Header {
		p.early = append(p.early, len(p.steps)-1)
	}
	if k, ok := st.check.(checks.Doorkeeper); ok {
		if at := k.AtRcpt(); at != nil {
			door := &step{spec: st.spec, check: at}
			door.spec.Phase, door.spec.BodyReader = checks.Rcpt, false
			for _, d := range st.deps {
				if p.steps[d].spec.Phase <= checks.Mail {
					door.deps = append(door.deps, d)
				}
			}
			p.doors = append(p.doors, door)
		}
	}
	if answers {
		p.answers = true
		p.o.Metrics.mayRefuse(st.spec.Name)
	}
}

// Early decides on the recipient that was added last to m, as far as checks answer at
// RCPT TO. It returns the refusal, or nil: then the message is decided at its end, as
// always. Mode, policies, postmaster@ and abuse@ count as they do there; what is known
// only from the header cannot. Who refuses a recipient also calls [Run.Record].
func (r *Run) Early(ctx context.Context, m *message.Message) *Outcome {
	if !r.p.answers || m.Role != message.Inbound || !m.Peer.Refusable() || len(m.Recipients) == 0 {
		return nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, earlyWait)
	defer cancel()
	one := *m
	one.Header, one.Body = nil, nil // not come yet
	one.Recipients = m.Recipients[len(m.Recipients)-1:]
	results := r.earlyResults(ctx, r.atDoors(&one))
	if len(results) == 0 {
		return nil
	}
	v := r.p.o.Policy.Decide(scoring.Facts{Message: &one, Private: r.p.private(m), Results: results})
	if !v.Action.Refuses() {
		return nil
	}
	r.withdraw()
	v.Reply = v.Reply.WithID(m.ID)
	out := &Outcome{Message: &one, Verdict: v, AtRcpt: true, Results: results, Took: time.Since(began)}
	r.p.o.Metrics.refused(&out.Verdict)
	return out
}

// atDoors starts the look of all doorkeepers at the only recipient of m.
func (r *Run) atDoors(m *message.Message) []*task {
	var looking []*task
	for _, door := range r.p.doors {
		t := &task{step: door, began: time.Now(), done: make(chan struct{}), in: checks.Input{Message: m, Recipient: &m.Recipients[0]}}
		var deps []*task
		for _, d := range door.deps {
			deps = append(deps, r.tasks[d]...)
		}
		looking = append(looking, t)
		r.begin(t, deps)
	}
	return looking
}

// earlyResults waits for what can be said about the recipient that was added last, and
// returns what may matter: nothing, where nobody asks for its refusal.
func (r *Run) earlyResults(ctx context.Context, doors []*task) []checks.Result {
	waiting := make([]*task, 0, len(r.p.early)+len(doors))
	for _, i := range r.p.early {
		if n := len(r.tasks[i]); n > 0 {
			waiting = append(waiting, r.tasks[i][n-1]) // that of this recipient, or the only one
		}
	}
	var all []checks.Result
	refused := false
	for _, t := range append(waiting, doors...) {
		select {
		case <-t.done:
		case <-ctx.Done():
			continue // too late to be early
		}
		res := t.result // a copy: others read it too
		demands := res.Demand != nil && res.Demand.AtRcpt && res.Demand.Action.Refuses()
		if res.Err != nil || !demands && len(res.Exempt) == 0 && res.Detail == nil {
			continue
		}
		if !demands { // what it found is for the end of the message
			res.Findings, res.Demand = nil, nil
		}
		refused = refused || demands
		all = append(all, res)
	}
	if !refused {
		return nil
	}
	return all
}

// withdraw forgets what the checks of the Rcpt phase said about the last recipient,
// who is none any more.
func (r *Run) withdraw() {
	for i, st := range r.p.steps {
		if n := len(r.tasks[i]); st.spec.Phase == checks.Rcpt && n > 0 {
			r.tasks[i] = r.tasks[i][: n-1 : n-1]
		}
	}
}
