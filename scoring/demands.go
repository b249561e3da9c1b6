package scoring

import (
	"cmp"
	"slices"
	"strings"

	"milterd/checks"
	"milterd/message"
)

// severity orders actions from mild to harsh where several are asked for.
var severity = map[message.Action]int{
	message.Accept: 0, message.Junk: 1, message.Greylist: 2, message.TempFail: 3,
	message.Quarantine: 4, message.RejectMail: 5, message.Discard: 6,
}

// followDemands takes the harshest of what the checks' modes ask for, if it is
// harsher than what the score says. Junk comes first, since it changes the score
// and with it what is undecided: which check stands before which must not matter.
func (d *decision) followDemands() {
	for dem, check := range d.demands {
		if dem.Action == message.Junk && d.holds(dem) {
			d.fileToJunk(dem, check)
		}
	}
	for dem, check := range d.demands {
		if dem.Action != message.Junk && d.holds(dem) {
			d.follow(dem, check)
		}
	}
}

// holds reports whether a demand is meant for this message: not for our own
// users, unless it says so, nor for a host that is most likely ours and only
// not named in networks.
func (d *decision) holds(dem *checks.Demand) bool {
	if dem.IfRejected && !d.rejects() {
		return false
	}
	if dem.Always || dem.Outbound {
		return true
	}
	if d.f.Private && severity[dem.Action] > severity[d.v.Action] {
		d.v.Mitigation = "private"
	}
	return !d.f.Private && d.f.Message.Role != message.Outbound
}

// follow does what a demand asks for. A rejection for a certain cause names its
// cause to the sender, also where the score would reject as well.
func (d *decision) follow(dem *checks.Demand, check string) {
	switch {
	case dem.Action == message.Greylist && !dem.AtRcpt && !d.undecided():
		return
	case dem.Action == message.RejectMail && d.v.Action == message.RejectMail && d.followed == nil:
	case d.followed == nil && d.f.Message.Role == message.Outbound: // where the score does nothing
	case severity[dem.Action] <= severity[d.v.Action]:
		return
	}
	d.v.Action, d.v.Reply, d.v.DecidedBy, d.followed = dem.Action, dem.Reply, check, dem
	d.v.HoldReason = cmp.Or(dem.Finding, check)
}

// undecided reports whether the score lies from greylist to junk.
func (d *decision) undecided() bool {
	t := &d.terms.thresholds
	return reached(t.Greylist, d.v.Score) && !reached(t.Junk, d.v.Score)
}

// fileToJunk follows a demand for junk.
func (d *decision) fileToJunk(dem *checks.Demand, check string) {
	d.fill(cmp.Or(dem.Finding, strings.ToUpper(check)), check)
	if severity[message.Junk] > severity[d.v.Action] {
		d.v.Action, d.v.DecidedBy, d.followed = message.Junk, check, dem
	}
}

// fill adds the points by which the score falls short of junk, as a finding
// named after the evidence, so that score, flag and Sieve's spamtest agree.
func (d *decision) fill(evidence, check string) {
	if t := d.terms.thresholds.Junk; t != nil && d.v.Score < *t {
		name := evidence + policySuffix
		d.add(message.Finding{Name: name, Check: check, Score: round(*t - d.v.Score),
			Detail: "points that file the message to junk"}, d.p.of(name))
		d.sum()
	}
}

// actOnFaults makes mail wait that could not be checked. What is refused for
// good anyway stays refused, what is held stays held.
func (d *decision) actOnFaults() {
	faults := slices.DeleteFunc(slices.Clone(d.f.Faults), func(check string) bool { _, exempt := d.without[check]; return exempt })
	if len(faults) == 0 || d.v.Action == message.RejectMail || d.v.Action == message.Discard {
		return
	}
	by := byOwnFault + faults[0]
	if !d.f.FaultsExhausted || d.p.ownFault == FaultTempFail {
		d.v.Action, d.v.Reply, d.v.DecidedBy, d.v.Mitigation, d.followed = message.TempFail, cmp.Or(d.f.FaultReply, message.ReplyOwnFault), by, "", nil
		return
	}
	action := message.Quarantine
	if d.p.ownFault == FaultJunk {
		action = message.Junk
	}
	if severity[action] <= severity[d.v.Action] {
		return
	}
	if action == message.Junk {
		d.fill(ownFault, "scoring")
	}
	d.v.Action, d.v.DecidedBy, d.v.Mitigation, d.followed = action, by, "", nil
	d.v.HoldReason = "unscanned: " + faults[0] + " failed"
}
