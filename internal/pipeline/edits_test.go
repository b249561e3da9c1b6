package pipeline

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"milterd/authres"
	"milterd/message"
)

// apply makes edits as an MTA does, one after the other: a deletion counts the
// fields of that name that are still there, an insertion goes above what was
// inserted at that place before it was written. So of several insertions at one
// place the wire has the last one first; here they stand in the order given, as
// message.Edit says.
func apply(t testing.TB, fields []message.Field, edits []message.Edit) []message.Field {
	t.Helper()
	fields = slices.Clone(fields)
	var top []message.Field
	for _, e := range edits {
		switch e.Op {
		case message.Insert:
			if e.Index != 0 {
				t.Fatalf("insertion at %d: %+v", e.Index, e)
			}
			top = append(top, message.Field{Name: e.Name, Value: " " + e.Value})
		case message.Delete:
			if len(top) > 0 {
				t.Fatal("a deletion after an insertion")
			}
			nth, at := e.Index, -1
			for i, f := range fields {
				if strings.EqualFold(f.Name, e.Name) {
					if nth--; nth == 0 {
						at = i
					}
				}
			}
			if at < 0 {
				t.Fatalf("nothing to delete at %+v", e)
			}
			fields = slices.Delete(fields, at, at+1)
		}
	}
	return append(top, fields...)
}

func names(fields []message.Field) string {
	var all []string
	for _, f := range fields {
		all = append(all, f.Name)
	}
	return strings.Join(all, " ")
}

// What a stranger wrote in our name goes, in any spelling, and nothing else.
func TestRemovals(t *testing.T) {
	const header = `Received: from a by b
X-Spam-Flag: NO
AUTHENTICATION-RESULTS: mx.test; dmarc=pass
Authentication-Results: other.test; spf=pass
x-spam: No
X-Spam-Status: No, score=-100
X-Spamd-Result: default: False
X-Milterd-Id: k7q2m9zt4w1c 0000
Authentication-Results: MX.Test 1 (hello); dkim=pass
x-milterd-carry: forged
Authentication-Results:
	"mx.test"; spf=pass
Authentication-Results: other.test (mx.test); spf=pass
Authentication-Results: unreadable =;
Subject: X-Spam-Flag
X-Spam-Level: *
`
	for role, want := range map[message.Role]string{
		message.Inbound:  "Received Authentication-Results X-Spamd-Result Subject",
		message.Outbound: "Received X-Spam-Flag Authentication-Results x-spam X-Spam-Status X-Spamd-Result Subject X-Spam-Level",
		message.Reinject: "Received X-Spam-Flag AUTHENTICATION-RESULTS Authentication-Results x-spam X-Spam-Status X-Spamd-Result X-Milterd-Id " +
			"Authentication-Results x-milterd-carry Authentication-Results Authentication-Results Authentication-Results Subject X-Spam-Level",
	} {
		p := newPipeline(t, nil, nil)
		m := newMessage(t, header+"\n", func(m *message.Message) { m.Role = role })
		out := decide(t, p, m)
		removals := slices.DeleteFunc(slices.Clone(out.Edits), func(e message.Edit) bool { return e.Op != message.Delete })
		if got := names(apply(t, m.Header.Fields, removals)); got != want {
			t.Errorf("%s: left %s\nwant    %s", role, got, want)
		}
	}
}

// Whatever a header looks like: made one after the other from the bottom up, the
// removals leave exactly the fields that are not ours, in their order.
func TestRemovalsHoldForEveryHeader(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	forged := []message.Field{
		{Name: "Authentication-Results", Value: " mx.test; dmarc=pass"}, {Name: "authentication-results", Value: "\n\tMX.TEST;spf=pass"},
		{Name: "Authentication-Results", Value: ""}, {Name: "X-Spam-Flag", Value: " YES"}, {Name: "x-SPAM", Value: ""}, {Name: "X-Milterd-Id", Value: " x"},
	}
	honest := []message.Field{
		{Name: "Authentication-Results", Value: " other.test; spf=pass"}, {Name: "X-Spambayes", Value: " ham"}, {Name: "X-Spamd", Value: ""},
		{Name: "Subject", Value: " hi"}, {Name: "X-Milterd", Value: " no"}, {Name: "ARC-Authentication-Results", Value: " i=1; mx.test; spf=pass"},
	}
	p := newPipeline(t, nil, nil)
	for range 3000 {
		var fields, want []message.Field
		for range rnd.IntN(30) {
			if rnd.IntN(2) == 0 {
				fields = append(fields, forged[rnd.IntN(len(forged))])
				continue
			}
			f := honest[rnd.IntN(len(honest))]
			fields, want = append(fields, f), append(want, f)
		}
		m := &message.Message{Role: message.Inbound, Header: message.NewHeader(fields, 0)}
		edits := p.removals(m, "mx.test")
		if got := apply(t, fields, edits); !slices.Equal(got, want) {
			t.Fatalf("of   %q\nleft %q\nwant %q", fields, got, want)
		}
	}
}

// Golden: the fields that readers of SpamAssassin's know, as they know them.
func TestSpamFields(t *testing.T) {
	at := func(x float64) *float64 { return &x }
	usual := message.Thresholds{Greylist: at(4), Junk: at(6), Reject: at(15)}
	many := make([]message.Finding, 12)
	for i := range many {
		many[i] = message.Finding{Name: fmt.Sprintf("A_RULE_NUMBER_%02d", i), Score: 1.5}
	}
	for _, c := range []struct {
		name    string
		verdict message.Verdict
		want    string
	}{
		{"nothing found", message.Verdict{Action: message.Accept, Thresholds: usual}, `
X-Spam-Status: No, score=0.0 required=6.0
	tests=[]
	autolearn=no milterd=1.2.3
X-Spam-Score: 0.0`},
		{"ham", message.Verdict{Action: message.Accept, Thresholds: usual, Score: 2.46, Findings: []message.Finding{
			{Name: "SPF_PASS"}, {Name: "SPF_HELO_FAIL", Score: 0.5}, {Name: "SHADOW", Shadow: true}, {Name: "OTHER", Score: 1.96}}}, `
X-Spam-Status: No, score=2.5 required=6.0
	tests=[SPF_HELO_FAIL=0.5,OTHER=2.0]
	autolearn=no milterd=1.2.3
X-Spam-Score: 2.5
X-Spam-Level: **`},
		{"below zero", message.Verdict{Action: message.Accept, Thresholds: usual, Score: -0.04, Findings: []message.Finding{{Name: "GOOD", Score: -0.04}}}, `
X-Spam-Status: No, score=0.0 required=6.0
	tests=[GOOD=0.0]
	autolearn=no milterd=1.2.3
X-Spam-Score: 0.0`},
		{"far below zero", message.Verdict{Action: message.Accept, Thresholds: usual, Score: -4, Findings: []message.Finding{{Name: "GOOD", Score: -4}}}, `
X-Spam-Status: No, score=-4.0 required=6.0
	tests=[GOOD=-4.0]
	autolearn=no milterd=1.2.3
X-Spam-Score: -4.0`},
		{"junk", message.Verdict{Action: message.Junk, Thresholds: usual, Score: 6, Findings: []message.Finding{{Name: "BAD", Score: 6}}}, `
X-Spam-Flag: YES
X-Spam: Yes
X-Spam-Status: Yes, score=6.0 required=6.0
	tests=[BAD=6.0]
	autolearn=no milterd=1.2.3
X-Spam-Score: 6.0
X-Spam-Level: ******`},
		{"many findings are folded", message.Verdict{Action: message.Junk, Thresholds: usual, Score: 18, Findings: many}, `
X-Spam-Flag: YES
X-Spam: Yes
X-Spam-Status: Yes, score=18.0 required=6.0
	tests=[A_RULE_NUMBER_00=1.5,A_RULE_NUMBER_01=1.5,A_RULE_NUMBER_02=1.5,
	A_RULE_NUMBER_03=1.5,A_RULE_NUMBER_04=1.5,A_RULE_NUMBER_05=1.5,
	A_RULE_NUMBER_06=1.5,A_RULE_NUMBER_07=1.5,A_RULE_NUMBER_08=1.5,
	A_RULE_NUMBER_09=1.5,A_RULE_NUMBER_10=1.5,A_RULE_NUMBER_11=1.5]
	autolearn=no milterd=1.2.3
X-Spam-Score: 18.0
X-Spam-Level: ******************`},
		{"stars end", message.Verdict{Action: message.Junk, Thresholds: usual, Score: 1000}, `
X-Spam-Flag: YES
X-Spam: Yes
X-Spam-Status: Yes, score=1000.0 required=6.0
	tests=[]
	autolearn=no milterd=1.2.3
X-Spam-Score: 1000.0
X-Spam-Level: **************************************************`},
		{"held, and spam", message.Verdict{Action: message.Quarantine, Thresholds: usual, Score: 7}, `
X-Spam-Flag: YES
X-Spam: Yes
X-Spam-Status: Yes, score=7.0 required=6.0
	tests=[]
	autolearn=no milterd=1.2.3
X-Spam-Score: 7.0
X-Spam-Level: *******`},
		{"held for another cause", message.Verdict{Action: message.Quarantine, Thresholds: usual, Score: 1}, `
X-Spam-Status: No, score=1.0 required=6.0
	tests=[]
	autolearn=no milterd=1.2.3
X-Spam-Score: 1.0
X-Spam-Level: *`},
		{"junk is off", message.Verdict{Action: message.Accept, Score: 7}, `
X-Spam-Status: No, score=7.0
	tests=[]
	autolearn=no milterd=1.2.3
X-Spam-Score: 7.0
X-Spam-Level: *******`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPipeline(t, nil, nil)
			var got strings.Builder
			p.addSpamFields(func(name, value string) { fmt.Fprintf(&got, "\n%s: %s", name, value) }, &c.verdict)
			if got.String() != c.want {
				t.Errorf("got%s\nwant%s", got.String(), c.want)
			}
			// What e2e-tested readers look for: Dovecot's spamtest by score and by status.
			if !regexp.MustCompile(`\nX-Spam-Score: (-?[0-9]+\.?[0-9]*)`).MatchString(got.String()) ||
				!regexp.MustCompile(`\nX-Spam-Status: [[:alpha:]]+, score=(-?[0-9]+\.?[0-9]*)`).MatchString(got.String()) {
				t.Error("spamtest finds no score")
			}
			for line := range strings.SplitSeq(got.String(), "\n") {
				if len(line) > 78 {
					t.Errorf("a line of %d bytes: %q", len(line), line)
				}
			}
		})
	}
}

// A name that is too long for a line has one of its own, and nothing is lost to
// folding.
func TestTestListFolds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		var findings []message.Finding
		var want []string
		for range rnd.IntN(12) {
			f := message.Finding{Name: strings.Repeat("X", 1+rnd.IntN(64)), Score: float64(1 + rnd.IntN(100))}
			findings = append(findings, f)
			want = append(want, fmt.Sprintf("%s=%.1f", f.Name, f.Score))
		}
		list := testList(findings)
		if got := strings.ReplaceAll(list, "\n\t", ""); got != strings.Join(want, ",") {
			t.Fatalf("%q, want %q", got, want)
		}
		for i, line := range strings.Split("tests=["+list+"]", "\n") {
			if i > 0 {
				line = line[1:]
			}
			if len(line)+1 > 78 && strings.Count(line, ",") > 1 {
				t.Fatalf("a line of %d bytes: %q", len(line), line)
			}
		}
	}
}

// On top, and in this order: the results, the spam fields, the mark.
func TestOrderOfWhatIsAdded(t *testing.T) {
	p := newPipeline(t, nil, func(o *Options) { o.Policy = newPolicy(t, message.Enforce, "scores: {CLIENT_PRIVATE: 7}") })
	m := newMessage(t, "Authentication-Results: mx.test; spf=pass\n"+plain, func(m *message.Message) { m.Session.Client = prefixes("192.168.1.1/32")[0].Addr() })
	out := decide(t, p, m)
	if got, want := names(apply(t, m.Header.Fields, out.Edits)),
		"Authentication-Results X-Spam-Flag X-Spam X-Spam-Status X-Spam-Score X-Spam-Level X-Milterd-Id From Message-ID Date Subject"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	p = newPipeline(t, nil, func(o *Options) { o.SpamHeaders = false })
	if got, want := names(apply(t, nil, decide(t, p, newMessage(t, plain, nil)).Edits)), "Authentication-Results X-Milterd-Id"; got != want {
		t.Errorf("without compat: %s, want %s", got, want)
	}
	outbound := decide(t, p, newMessage(t, plain, func(m *message.Message) { m.Role = message.Outbound }))
	if len(outbound.Edits) != 0 {
		t.Errorf("outbound: %v", outbound.Edits)
	}
}

// Nothing that came with a message can write a field of ours or end one: names of
// findings are ours, and the rest is escaped where it is written.
func FuzzEdits(f *testing.F) {
	f.Add("mx.test\r\nX-Spam-Flag: NO", "pass\nX-Spam: No", "a@b.test\x00")
	f.Add("", "", "\xff\u2028")
	f.Fuzz(func(t *testing.T, id, reason, value string) {
		p := newPipeline(t, nil, nil)
		m := &message.Message{ID: "000000000000", Role: message.Inbound, Session: &message.Session{MTA: id},
			Header: message.NewHeader([]message.Field{{Name: "From", Value: value}, {Name: "Authentication-Results", Value: value}}, 0)}
		v := message.Verdict{Action: message.Junk}
		for _, e := range p.edits(m, &v, id, []authres.Method{{Method: "spf", Result: "pass", Reason: reason,
			Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: value}}}}, nil) {
			for i, line := range strings.Split(e.Value, "\n") {
				if i > 0 && (!strings.HasPrefix(line, "\t") || strings.TrimSpace(line) == "") {
					t.Errorf("%s: line %q ends the field", e.Name, line)
				}
				if strings.ContainsAny(line, "\r\x00") {
					t.Errorf("%s: %q", e.Name, line)
				}
			}
		}
	})
}
