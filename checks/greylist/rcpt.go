package greylist

import (
	"context"

	"milterd/checks"
	"milterd/internal/evidence"
	"milterd/message"
)

// At the stage rcpt every sender is asked to come back who is new, and each recipient is
// asked about by himself: the message goes on for those to whom he is known. What can be
// proven by then is the domain of the reverse-path, by SPF; the same is looked at again at
// the end of the message, so that whoever was let in is not asked there.

// AnswersAtRcpt reports whether senders are asked to come back at RCPT TO.
func (c *check) AnswersAtRcpt() bool { return c.stage == atRcpt && c.store != nil }

// AtRcpt returns who looks at recipients at the stage rcpt.
func (c *check) AtRcpt() checks.Check {
	if !c.AnswersAtRcpt() {
		return nil
	}
	return door{c}
}

// door is the check as it stands at RCPT TO. It remembers who was asked by the check's
// own Record.
type door struct{ *check }

var _ checks.Recorder = door{}

// Run looks up whether the sender is known to one recipient.
func (d door) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	if in.Message.Role != message.Inbound || d.exempt.sender(in.Message) || d.exempt.recipient(*in.Recipient) {
		return checks.Result{Outcome: checks.None}, nil
	}
	return d.assess(ctx, atEnvelope(in, in.Recipient))
}

// runForEach looks once more, at the end of the message, at those who were let in.
func (c *check) runForEach(ctx context.Context, in *checks.Input) (checks.Result, error) {
	m := in.Message
	if c.exempt.sender(m) {
		return checks.Result{Outcome: checks.None}, nil
	}
	var all []who
	exempt := false
	for i := range m.Recipients[:min(len(m.Recipients), maxRecipients)] {
		if r := &m.Recipients[i]; c.exempt.recipient(*r) {
			exempt = true
		} else {
			all = append(all, atEnvelope(in, r))
		}
	}
	if len(all) == 0 {
		return checks.Result{Outcome: checks.None}, nil
	}
	res, err := c.assess(ctx, all...)
	if exempt {
		res.Demand = nil
	}
	return res, err
}

// atEnvelope reads from the envelope alone who sends a message to a recipient.
func atEnvelope(in *checks.Input, to *message.Recipient) who {
	m := in.Message
	w := who{network: message.Network(m.Session.Client), sender: lasting(m.MailFrom), to: []string{path(to.Path)}}
	if d, ok := evidence.MailFrom(in.Prior); ok {
		w.domains = []message.Domain{d}
	}
	if !m.MailFrom.Address.IsZero() {
		w.from = []string{path(m.MailFrom)}
	}
	return w
}
