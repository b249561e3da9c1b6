package scoring

import (
	"strings"
	"testing"

	"milterd/checks"
	"milterd/message"
)

// demand is a result of a check of that name with a demand that rests on the
// finding NAME_FOUND.
func demand(check string, a message.Action, more ...func(*checks.Demand)) checks.Result {
	d := &checks.Demand{Action: a, Finding: strings.ToUpper(check) + "_FOUND"}
	if a.Refuses() {
		d.Reply = replyOf(check, a)
	}
	for _, m := range more {
		m(d)
	}
	return checks.Result{Check: check, Demand: d, Findings: []checks.Finding{{Name: d.Finding}}}
}

func replyOf(check string, a message.Action) message.Reply {
	if a == message.RejectMail {
		return message.Reply{Code: 550, Enhanced: "5.7.1", Text: check}
	}
	return message.Reply{Code: 451, Enhanced: "4.7.1", Text: check}
}

func always(d *checks.Demand)   { d.Always = true }
func outbound(d *checks.Demand) { d.Outbound = true }

// facts about whom a message comes from and goes to.
func from(change func(*message.Message)) *message.Message {
	m := inbound()
	change(m)
	return m
}

func relay(m *message.Message)   { m.Peer = message.Relay }
func fetcher(m *message.Message) { m.Peer = message.Fetcher }
func ours(m *message.Message)    { m.Role = message.Outbound }
func postmaster(m *message.Message) {
	m.Recipients = append(m.Recipients, message.Recipient{Path: message.ParsePath("<PostMaster@here.test>")})
}
func abuse(m *message.Message) {
	m.Recipients = []message.Recipient{{Path: message.ParsePath("<abuse@here.test>")}}
}
func bare(m *message.Message) {
	m.Recipients = []message.Recipient{{Path: message.ParsePath("<postmaster>")}}
}
func stranger(*message.Message) {}

// One row for each kind of demand and each who may be spared.
func TestDemands(t *testing.T) {
	reject := func(more ...func(*checks.Demand)) checks.Result { return demand("dmarc", message.RejectMail, more...) }
	tempfail := demand("dmarc", message.TempFail)
	greylist := demand("greylist", message.Greylist)
	junk := demand("dmarc", message.Junk)
	hold := demand("clamav", message.Quarantine, always)
	malware := demand("clamav", message.RejectMail, always, outbound)
	discard := demand("lists", message.Discard)
	list := func(r ...checks.Result) []checks.Result { return r }

	for _, c := range []struct {
		name       string
		who        func(*message.Message)
		private    bool
		results    []checks.Result
		want       message.Action
		by         string
		mitigation string
		score      float64
		hold       string
	}{
		// what is asked for
		{name: "reject", results: list(reject()), want: message.RejectMail, by: "dmarc"},
		{name: "tempfail", results: list(tempfail), want: message.TempFail, by: "dmarc"},
		{name: "hold", results: list(hold), want: message.Quarantine, by: "clamav", hold: "CLAMAV_FOUND"},
		{name: "discard", results: list(discard), want: message.Discard, by: "lists"},
		{name: "junk brings the points it takes", results: list(junk), want: message.Junk, by: "dmarc", score: 6},
		{name: "junk on top of points", results: append(found("FACT"), junk), want: message.Junk, by: "dmarc", score: 6},
		{name: "junk of what is junk", results: append(found("HIT"), junk), want: message.Junk, by: "score", score: 6},
		{name: "junk of what is refused", results: append(found("STRONG"), junk), want: message.RejectMail, by: "score", score: 15},

		// greylisting is for the undecided
		{name: "greylist below its band", results: append(found("FACT"), greylist), want: message.Accept, by: "default", score: 3},
		{name: "greylist in its band", results: append(found("MEMBER_ONE"), greylist), want: message.Greylist, by: "greylist", score: 5},
		{name: "greylist over its band", results: append(found("HIT"), greylist), want: message.Junk, by: "score", score: 6},
		{name: "greylist before junk by policy", results: append(found("MEMBER_ONE"), greylist, junk), want: message.Junk, by: "dmarc", score: 6},
		{name: "greylist after junk by policy", results: append(found("MEMBER_ONE"), junk, greylist), want: message.Junk, by: "dmarc", score: 6},

		// several
		{name: "the harshest", results: list(tempfail, junk, reject(), hold), want: message.RejectMail, by: "dmarc", score: 6},
		{name: "hold over tempfail", results: list(tempfail, hold), want: message.Quarantine, by: "clamav", hold: "CLAMAV_FOUND"},
		{name: "the first of equals", results: list(malware, reject()), want: message.RejectMail, by: "clamav"},
		{name: "a certain cause is named where the score would do", results: append(found("STRONG"), reject()), want: message.RejectMail, by: "dmarc", score: 15},
		{name: "score over tempfail", results: append(found("STRONG"), tempfail), want: message.RejectMail, by: "score", score: 15},

		// relays and fetchers of ours are never refused
		{name: "relay, reject", who: relay, results: list(reject()), want: message.Junk, by: "dmarc", mitigation: "relay", score: 6},
		{name: "relay, reject by score", who: relay, results: found("STRONG"), want: message.Junk, by: "score", mitigation: "relay", score: 15},
		{name: "relay, tempfail", who: relay, results: list(tempfail), want: message.Accept, by: "dmarc", mitigation: "relay"},
		{name: "relay, tempfail of spam", who: relay, results: append(found("HIT"), tempfail), want: message.Junk, by: "dmarc", mitigation: "relay", score: 6},
		{name: "relay, greylist", who: relay, results: append(found("MEMBER_ONE"), greylist), want: message.Accept, by: "greylist", mitigation: "relay", score: 5},
		{name: "relay, malware", who: relay, results: list(malware), want: message.Quarantine, by: "clamav", mitigation: "relay", hold: "CLAMAV_FOUND"},
		{name: "relay, held anyway", who: relay, results: list(hold), want: message.Quarantine, by: "clamav", hold: "CLAMAV_FOUND"},
		{name: "relay, junk", who: relay, results: found("HIT"), want: message.Junk, by: "score", score: 6},
		{name: "relay, discard", who: relay, results: list(discard), want: message.Junk, by: "lists", mitigation: "relay", score: 6},
		{name: "fetcher, reject", who: fetcher, results: list(reject()), want: message.Junk, by: "dmarc", mitigation: "fetcher", score: 6},
		{name: "fetcher, tempfail", who: fetcher, results: list(tempfail), want: message.Accept, by: "dmarc", mitigation: "fetcher"},
		{name: "fetcher, malware", who: fetcher, results: list(malware), want: message.Quarantine, by: "clamav", mitigation: "fetcher", hold: "CLAMAV_FOUND"},

		// postmaster and abuse must be reachable
		{name: "postmaster among others, reject", who: postmaster, results: list(reject()), want: message.Junk, by: "dmarc", mitigation: "postmaster", score: 6},
		{name: "postmaster, reject by score", who: postmaster, results: found("STRONG"), want: message.Junk, by: "score", mitigation: "postmaster", score: 15},
		{name: "abuse, tempfail", who: abuse, results: list(tempfail), want: message.Accept, by: "dmarc", mitigation: "postmaster"},
		{name: "postmaster without a domain, greylist", who: bare, results: append(found("MEMBER_ONE"), greylist), want: message.Accept, by: "greylist", mitigation: "postmaster", score: 5},
		{name: "postmaster, malware", who: postmaster, results: list(malware), want: message.Quarantine, by: "clamav", mitigation: "postmaster", hold: "CLAMAV_FOUND"},

		// our own users: scored in observe, refused only by what is meant for them
		{name: "outbound, spam", who: ours, results: found("STRONG"), want: message.Accept, by: "score", mitigation: "outbound", score: 15},
		{name: "outbound, junk by score", who: ours, results: found("HIT"), want: message.Accept, by: "score", mitigation: "outbound", score: 6},
		{name: "outbound, reject", who: ours, results: list(reject()), want: message.Accept, by: "default"},
		{name: "outbound, reject meant for it", who: ours, results: list(reject(outbound)), want: message.RejectMail, by: "dmarc"},
		{name: "outbound, malware", who: ours, results: list(malware), want: message.RejectMail, by: "clamav"},
		{name: "outbound to a postmaster, malware", who: func(m *message.Message) { ours(m); postmaster(m) }, results: list(malware), want: message.RejectMail, by: "clamav"},

		// a private client that no key names is most likely ours
		{name: "private, reject", private: true, results: list(reject()), want: message.Accept, by: "default", mitigation: "private", score: 0.75},
		{name: "private, tempfail", private: true, results: list(tempfail), want: message.Accept, by: "default", mitigation: "private", score: 0.75},
		{name: "private, junk", private: true, results: list(junk), want: message.Accept, by: "default", mitigation: "private", score: 0.75},
		{name: "private, malware", private: true, results: list(malware), want: message.RejectMail, by: "clamav", score: 0.75},
		{name: "private, reject by score", private: true, results: found("STRONG"), want: message.RejectMail, by: "score", score: 15.75},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.who == nil {
				c.who = stranger
			}
			v := newPolicy(t, usual(), nil).Decide(Facts{Message: from(c.who), Results: c.results, Private: c.private})
			if v.Action != c.want || v.DecidedBy != c.by || v.Mitigation != c.mitigation || v.HoldReason != c.hold {
				t.Errorf("%s by %s, softened by %q, hold %q; want %s by %s, %q, %q (%s)",
					v.Action, v.DecidedBy, v.Mitigation, v.HoldReason, c.want, c.by, c.mitigation, c.hold, shown(v))
			}
			if v.Score != c.score {
				t.Errorf("score %g, want %g (%s)", v.Score, c.score, shown(v))
			}
			want := message.Reply{}
			if c.want.Refuses() {
				want = message.ReplySpam
				if c.by != "score" {
					want = replyOf(c.by, c.want)
				}
			}
			if v.Reply != want {
				t.Errorf("reply %q, want %q", v.Reply, want)
			}
		})
	}
}

// A demand that forgot to say on what it rests still holds and files.
func TestDemandWithoutFinding(t *testing.T) {
	for action, want := range map[message.Action]string{message.Quarantine: "clamav", message.Junk: ""} {
		v := newPolicy(t, usual(), nil).Decide(Facts{Message: inbound(), Results: []checks.Result{{Check: "clamav", Demand: &checks.Demand{Action: action}}}})
		if v.Action != action || v.HoldReason != want || action == message.Junk && shown(v) != "CLAMAV_POLICY=6" {
			t.Errorf("%s: %s, hold %q, %s", action, v.Action, v.HoldReason, shown(v))
		}
	}
}

// What milterd itself could not do makes mail wait, whoever brought it, and does
// not make it wait for ever.
func TestOwnFaults(t *testing.T) {
	reject, malware := demand("dmarc", message.RejectMail), demand("clamav", message.Quarantine, always)
	for _, c := range []struct {
		name      string
		who       func(*message.Message)
		ownFault  OwnFault
		exhausted bool
		results   []checks.Result
		want      message.Action
		by        string
		hold      string
		score     float64
	}{
		{name: "waits", want: message.TempFail, by: "own_fault:spf"},
		{name: "waits from a relay too", who: relay, want: message.TempFail, by: "own_fault:spf"},
		{name: "waits for a postmaster too", who: postmaster, want: message.TempFail, by: "own_fault:spf"},
		{name: "waits outbound too", who: ours, want: message.TempFail, by: "own_fault:spf"},
		{name: "spam waits", results: found("HIT"), want: message.TempFail, by: "own_fault:spf", score: 6},
		{name: "refused stays refused", results: found("STRONG"), want: message.RejectMail, by: "score", score: 15},
		{name: "refused for cause stays refused", results: []checks.Result{reject}, want: message.RejectMail, by: "dmarc"},
		{name: "not refused because of the relay: waits", who: relay, results: []checks.Result{reject}, want: message.TempFail, by: "own_fault:spf", score: 6},
		{name: "not refused because of the postmaster: waits", who: abuse, results: found("STRONG"), want: message.TempFail, by: "own_fault:spf", score: 15},
		{name: "waits although it would be held", results: []checks.Result{malware}, want: message.TempFail, by: "own_fault:spf"},

		{name: "held in the end", exhausted: true, want: message.Quarantine, by: "own_fault:spf", hold: "unscanned: spf failed"},
		{name: "held in the end from a relay", who: relay, exhausted: true, want: message.Quarantine, by: "own_fault:spf", hold: "unscanned: spf failed"},
		{name: "spam held in the end", exhausted: true, results: found("HIT"), want: message.Quarantine, by: "own_fault:spf", hold: "unscanned: spf failed", score: 6},
		{name: "junk in the end", ownFault: FaultJunk, exhausted: true, want: message.Junk, by: "own_fault:spf", score: 6},
		{name: "malware is not junk in the end", ownFault: FaultJunk, exhausted: true, results: []checks.Result{malware},
			want: message.Quarantine, by: "clamav", hold: "CLAMAV_FOUND"},
		{name: "what waits for another cause is not junk in the end", ownFault: FaultJunk, exhausted: true,
			results: []checks.Result{demand("dmarc", message.TempFail)}, want: message.TempFail, by: "dmarc"},
		{name: "waits for ever", ownFault: FaultTempFail, exhausted: true, want: message.TempFail, by: "own_fault:spf"},
		{name: "refused stays refused in the end", exhausted: true, results: found("STRONG"), want: message.RejectMail, by: "score", score: 15},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.who == nil {
				c.who = stranger
			}
			p := newPolicy(t, usual(), func(o *Options) {
				if c.ownFault != "" {
					o.OwnFault = c.ownFault
				}
			})
			v := p.Decide(Facts{Message: from(c.who), Results: c.results, Faults: []string{"spf", "content"}, FaultsExhausted: c.exhausted})
			if v.Action != c.want || v.DecidedBy != c.by || v.HoldReason != c.hold || v.Mitigation != "" || v.Score != c.score {
				t.Errorf("%s by %s, hold %q, softened by %q, score %g; want %s by %s, hold %q, score %g",
					v.Action, v.DecidedBy, v.HoldReason, v.Mitigation, v.Score, c.want, c.by, c.hold, c.score)
			}
			if c.want == message.TempFail && strings.HasPrefix(c.by, "own") != (v.Reply == message.ReplyOwnFault) {
				t.Errorf("reply %q", v.Reply)
			}
		})
	}
}

// What our own users send is held where a check asks for it, whatever the score says,
// or only where the score would refuse it.
func TestOutboundHold(t *testing.T) {
	ifRejected := func(d *checks.Demand) { d.IfRejected = true }
	for _, c := range []struct {
		name    string
		who     func(*message.Message)
		results []checks.Result
		want    message.Action
		by      string
	}{
		{"held", ours, []checks.Result{demand("rates", message.Quarantine, outbound)}, message.Quarantine, "rates"},
		{"held, and spam", ours, append(found("STRONG"), demand("rates", message.Quarantine, outbound)), message.Quarantine, "rates"},
		{"held if rejected, and is", ours, append(found("STRONG"), demand("rates", message.Quarantine, outbound, ifRejected)), message.Quarantine, "rates"},
		{"held if rejected, and is not", ours, append(found("HIT"), demand("rates", message.Quarantine, outbound, ifRejected)), message.Accept, "score"},
		{"held if rejected, and clean", ours, []checks.Result{demand("rates", message.Quarantine, outbound, ifRejected)}, message.Accept, "default"},
		{"held if rejected, and malware", ours, append(found("STRONG"), demand("rates", message.Quarantine, outbound, ifRejected), demand("clamav", message.RejectMail, always, outbound)), message.RejectMail, "clamav"},
		{"malware, and held if rejected", ours, append(found("STRONG"), demand("clamav", message.RejectMail, always, outbound), demand("rates", message.Quarantine, outbound, ifRejected)), message.RejectMail, "clamav"},
		{"only for strangers", ours, append(found("STRONG"), demand("rates", message.Quarantine)), message.Accept, "score"},
		{"a stranger is refused all the same", stranger, append(found("STRONG"), demand("rates", message.Quarantine, outbound, ifRejected)), message.RejectMail, "score"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newPolicy(t, usual(), nil).Decide(Facts{Message: from(c.who), Results: c.results})
			if v.Action != c.want || v.DecidedBy != c.by {
				t.Errorf("%s by %s, want %s by %s", v.Action, v.DecidedBy, c.want, c.by)
			}
		})
	}
}

// The modes below enforce say what they would have done.
func TestModes(t *testing.T) {
	reject := []checks.Result{demand("dmarc", message.RejectMail)}
	for _, c := range []struct {
		name    string
		mode    message.Mode
		who     func(*message.Message)
		results []checks.Result
		faults  []string
		want    message.Action
		would   message.Action
		score   float64
	}{
		{name: "observe, nothing", mode: message.Observe, want: message.Accept},
		{name: "observe, reject", mode: message.Observe, results: reject, want: message.Accept, would: message.RejectMail},
		{name: "observe, reject by score", mode: message.Observe, results: found("STRONG"), want: message.Accept, would: message.RejectMail, score: 15},
		{name: "observe, junk", mode: message.Observe, results: found("HIT"), want: message.Accept, would: message.Junk, score: 6},
		{name: "observe, hold", mode: message.Observe, results: []checks.Result{demand("clamav", message.Quarantine)}, want: message.Accept, would: message.Quarantine},
		{name: "observe, own fault", mode: message.Observe, faults: []string{"spf"}, want: message.Accept, would: message.TempFail},
		{name: "observe, relay", mode: message.Observe, who: relay, results: reject, want: message.Accept, would: message.Junk, score: 6},
		{name: "tag, nothing", mode: message.Tag, want: message.Accept},
		{name: "tag, junk is what it may do", mode: message.Tag, results: found("HIT"), want: message.Junk, score: 6},
		{name: "tag, reject", mode: message.Tag, results: reject, want: message.Junk, would: message.RejectMail, score: 6},
		{name: "tag, reject by score", mode: message.Tag, results: found("STRONG"), want: message.Junk, would: message.RejectMail, score: 15},
		{name: "tag, discard", mode: message.Tag, results: []checks.Result{demand("lists", message.Discard)}, want: message.Junk, would: message.Discard, score: 6},
		{name: "tag, hold", mode: message.Tag, results: []checks.Result{demand("clamav", message.Quarantine)}, want: message.Junk, would: message.Quarantine, score: 6},
		{name: "tag, tempfail", mode: message.Tag, results: []checks.Result{demand("dmarc", message.TempFail)}, want: message.Accept, would: message.TempFail},
		{name: "tag, tempfail of spam", mode: message.Tag, results: append(found("HIT"), demand("dmarc", message.TempFail)), want: message.Junk, would: message.TempFail, score: 6},
		{name: "tag, own fault", mode: message.Tag, faults: []string{"spf"}, want: message.Accept, would: message.TempFail},
		{name: "tag, own user's malware", mode: message.Tag, who: ours, results: []checks.Result{demand("clamav", message.RejectMail, always, outbound)},
			want: message.Accept, would: message.RejectMail},
		{name: "enforce", mode: message.Enforce, results: reject, want: message.RejectMail},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.who == nil {
				c.who = stranger
			}
			p := newPolicy(t, usual(), func(o *Options) { o.Mode = c.mode })
			v := p.Decide(Facts{Message: from(c.who), Results: c.results, Faults: c.faults})
			if v.Action != c.want || v.Would != c.would || v.Score != c.score {
				t.Errorf("%s, would be %q, score %g; want %s, %q, %g", v.Action, v.Would, v.Score, c.want, c.would, c.score)
			}
			if (v.Mitigation == string(c.mode)) != (c.would != "") {
				t.Errorf("softened by %q", v.Mitigation)
			}
			if c.mode != message.Enforce && (!v.Reply.IsZero() || v.HoldReason != "") {
				t.Errorf("reply %q, hold %q", v.Reply, v.HoldReason)
			}
		})
	}
}
