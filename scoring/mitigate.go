package scoring

import (
	"strings"

	"milterd/checks"
	"milterd/message"
)

// mitigate softens an action where nobody is there to be refused, or where
// refusing would do harm. Our own fault still makes mail wait.
func (d *decision) mitigate() {
	v := &d.v
	if strings.HasPrefix(v.DecidedBy, "own_fault:") {
		return
	}
	always := d.demandAlways()
	m := d.f.Message
	switch {
	case m.Role == message.Outbound:
		// Scored in observe. A demand that gets here was meant for outbound.
		if v.DecidedBy == "score" || v.DecidedBy == "default" {
			d.soften(message.Accept, "outbound")
		}
	case !m.Peer.Refusable():
		switch {
		case always && v.Action != message.Accept:
			d.hold(string(m.Peer))
		case v.Action == message.RejectMail, v.Action == message.Discard:
			d.soften(message.Junk, string(m.Peer))
		case v.Action.Refuses():
			d.soften(message.Accept, string(m.Peer))
		}
	case reachesRole(m.Recipients) && (v.Action.Refuses() || v.Action == message.Discard):
		switch {
		case always:
			d.hold("postmaster")
		case v.Action == message.RejectMail, v.Action == message.Discard:
			d.soften(message.Junk, "postmaster")
		default:
			d.soften(message.Accept, "postmaster")
		}
	}
}

func (d *decision) soften(to message.Action, why string) {
	if d.v.Action == to {
		return
	}
	d.v.Action, d.v.Mitigation, d.v.Reply, d.v.HoldReason = to, why, message.Reply{}, ""
}

func (d *decision) hold(why string) {
	if d.v.Action == message.Quarantine {
		return
	}
	d.v.Action, d.v.Mitigation, d.v.Reply = message.Quarantine, why, message.Reply{}
	d.v.HoldReason = d.v.DecidedBy
}

// demandAlways reports whether the action rests on a demand that spares nobody.
func (d *decision) demandAlways() bool {
	dem := d.demandOf(d.v.DecidedBy)
	return dem != nil && dem.Always
}

func (d *decision) demandOf(check string) *checks.Demand {
	for i := range d.f.Results {
		if res := &d.f.Results[i]; res.Check == check && res.Demand != nil && res.Demand.Action == d.v.Action {
			return res.Demand
		}
	}
	return nil
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
	allowed := v.Action
	switch d.p.Mode {
	case message.Observe:
		allowed = message.Accept
	case message.Tag:
		switch {
		case v.Action == message.RejectMail, v.Action == message.Discard, v.Action == message.Quarantine:
			allowed = message.Junk
		case v.Action.Refuses():
			allowed = message.Accept
		}
	}
	if allowed != v.Action {
		v.Would, v.Action = v.Action, allowed
		v.Mitigation = string(d.p.Mode)
	}
}
