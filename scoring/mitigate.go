package scoring

import (
	"cmp"
	"strings"

	"milterd/message"
)

// mitigate softens an action where nobody is there to be refused, or where
// refusing would do harm. Our own faults come after it and spare nobody: what
// could not be checked waits, whoever brought it.
func (d *decision) mitigate() {
	m := d.f.Message
	why := ""
	switch {
	case m.Role == message.Outbound:
		// Scored in observe. A demand that got here was meant for outbound.
		if d.followed == nil && d.v.Action != message.Accept {
			d.v.Action, d.v.Mitigation = message.Accept, "outbound"
		}
		return
	case !m.Peer.Refusable():
		why = string(m.Peer)
	case reachesRole(m.Recipients):
		why = "postmaster"
	}
	if why == "" || !d.v.Action.Refuses() && d.v.Action != message.Discard {
		return
	}
	d.v.Mitigation = why
	if d.followed != nil && d.followed.Always {
		d.v.Action, d.v.HoldReason = message.Quarantine, cmp.Or(d.followed.Finding, d.v.DecidedBy)
		return
	}
	d.soften()
}

// soften takes the harshest action that refuses nobody: junk for what was to be
// refused for good or is spam by its score, nothing for what was only to wait.
func (d *decision) soften() {
	v := &d.v
	switch {
	case d.f.Message.Role == message.Outbound: // no mailbox of ours has a junk folder for it
		v.Action = message.Accept
	case v.Action == message.RejectMail, v.Action == message.Discard, v.Action == message.Quarantine:
		evidence := ownFault
		if d.followed != nil {
			evidence = cmp.Or(d.followed.Finding, strings.ToUpper(v.DecidedBy))
		}
		d.fill(evidence, "scoring")
		v.Action = message.Junk
	case d.isSpam():
		v.Action = message.Junk
	default:
		v.Action = message.Accept
	}
}

// reachesRole reports whether a recipient is postmaster or abuse: somebody who
// must be reachable above all when mail is refused (RFC 5321, section 4.5.1;
// RFC 2142).
func reachesRole(recipients []message.Recipient) bool {
	for _, r := range recipients {
		local := r.Path.Address.Local
		if strings.EqualFold(local, "postmaster") || strings.EqualFold(local, "abuse") {
			return true
		}
	}
	return false
}

// applyMode says what would have been done where the mode forbids it.
func (d *decision) applyMode() {
	v := &d.v
	would := v.Action
	switch d.terms.mode {
	case message.Observe:
		v.Action = message.Accept
	case message.Tag:
		if would.Refuses() || would == message.Discard || would == message.Quarantine {
			d.soften()
		}
	}
	if v.Action != would {
		v.Would, v.Mitigation = would, string(d.terms.mode)
	}
}
