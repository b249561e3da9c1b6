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

// Early decides on the recipient that was added last to m, as far as checks answer at
// RCPT TO. It returns the reply and the check that refuses, or a zero reply: then the
// message is decided at its end, as always. Mode, policies, postmaster@ and abuse@
// count as they do there; what is known only from the header cannot.
func (r *Run) Early(ctx context.Context, m *message.Message) (reply message.Reply, check string) {
	if len(r.p.early) == 0 || m.Role != message.Inbound || !m.Peer.Refusable() || len(m.Recipients) == 0 {
		return message.Reply{}, ""
	}
	ctx, cancel := context.WithTimeout(ctx, earlyWait)
	defer cancel()
	one := *m
	one.Recipients = m.Recipients[len(m.Recipients)-1:]
	facts := scoring.Facts{Message: &one, Private: r.p.private(m)}
	for _, i := range r.p.early {
		if len(r.tasks[i]) == 0 {
			continue
		}
		t := r.tasks[i][len(r.tasks[i])-1] // that of this recipient, or the only one
		select {
		case <-t.done:
		case <-ctx.Done():
			continue // too late to be early
		}
		if d := t.result.Demand; t.result.Err == nil && d != nil && d.AtRcpt && d.Action.Refuses() {
			facts.Results = append(facts.Results, checks.Result{Check: t.result.Check, Findings: t.result.Findings, Demand: d})
		}
	}
	if len(facts.Results) == 0 {
		return message.Reply{}, ""
	}
	v := r.p.o.Policy.Decide(facts)
	if !v.Action.Refuses() {
		return message.Reply{}, ""
	}
	r.withdraw()
	return v.Reply.WithID(m.ID), v.DecidedBy
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
