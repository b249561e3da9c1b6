package scoring

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/message"

	"github.com/google/go-cmp/cmp"
)

// to makes a message for these recipients, each given by a word before the @.
func to(names ...string) *message.Message {
	m := &message.Message{Role: message.Inbound}
	for _, n := range names {
		m.Recipients = append(m.Recipients, message.Recipient{Path: message.ParsePath("<" + n + "@here.test>")})
	}
	return m
}

// only applies to recipients whose local part begins with the word.
func only(word string) func(*message.Message, *message.Recipient) bool {
	return func(_ *message.Message, to *message.Recipient) bool {
		return strings.HasPrefix(to.Path.Address.Local, word)
	}
}

// withExceptions are the exceptions of these tests: for people who see all,
// people who are strict, people who only watch, and people who want no content
// check.
func withExceptions(o *Options) {
	off := math.Inf(1)
	o.Exceptions = []Exception{
		{Name: "everything", Applies: only("open"), Thresholds: message.Thresholds{Greylist: &off, Junk: &off, Reject: &off}},
		{Name: "strict", Applies: only("strict"), Thresholds: message.Thresholds{Junk: at(3), Reject: at(6)}},
		{Name: "watch", Applies: only("watch"), Mode: message.Observe},
		{Name: "no content", Applies: only("plain"), Without: []string{"content"}},
		{Name: "never reached", Applies: only("strict"), Mode: message.Observe},
	}
}

func TestExceptions(t *testing.T) {
	p := newPolicy(t, usual(), withExceptions)
	for _, c := range []struct {
		name   string
		to     string
		found  string
		action message.Action
		would  message.Action
		policy string
		mode   message.Mode
	}{
		{"all mail", "ann", "STRONG", message.RejectMail, "", "", message.Enforce},
		{"thresholds off", "open", "STRONG", message.Accept, "", "everything", message.Enforce},
		{"thresholds lower", "strict", "HIT", message.RejectMail, "", "strict", message.Enforce},
		{"the first that applies holds", "strict", "FACT", message.Junk, "", "strict", message.Enforce},
		{"watched", "watch", "STRONG", message.Accept, message.RejectMail, "watch", message.Observe},
		{"without a check", "plain", "STRONG", message.Accept, "", "no content", message.Enforce},
		{"all agree to refuse", "ann strict strict2", "STRONG", message.RejectMail, "", "", message.Enforce},
		{"one would not refuse", "ann strict open", "STRONG", message.Accept, "", "everything", message.Enforce},
		{"the mildest, whatever the order", "open strict ann", "STRONG", message.Accept, "", "everything", message.Enforce},
		{"junk for one, refused for another", "strict ann", "HIT", message.Junk, "", "", message.Enforce},
		{"an observed one among others: header fields are for the others", "watch ann", "STRONG", message.Accept, message.RejectMail, "watch", message.Enforce},
		{"only observed ones", "watch watch2", "STRONG", message.Accept, message.RejectMail, "watch", message.Observe},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := p.Decide(Facts{Message: to(strings.Fields(c.to)...), Results: found(strings.Fields(c.found)...)})
			if v.Action != c.action || v.Would != c.would || v.Policy != c.policy || v.Mode != c.mode {
				t.Errorf("got %s (would %q) by %q in mode %s, want %s (would %q) by %q in mode %s",
					v.Action, v.Would, v.Policy, v.Mode, c.action, c.would, c.policy, c.mode)
			}
		})
	}
}

// Where recipients differ, the verdict tells what each one's policy says.
func TestEachRecipientIsTold(t *testing.T) {
	v := newPolicy(t, usual(), withExceptions).Decide(Facts{Message: to("ann", "strict", "watch", "bob"), Results: found("HIT")})
	want := []message.RecipientVerdict{
		{Recipient: "<ann@here.test>", Action: message.Junk, DecidedBy: "score"},
		{Recipient: "<strict@here.test>", Policy: "strict", Action: message.RejectMail, DecidedBy: "score"},
		{Recipient: "<watch@here.test>", Policy: "watch", Action: message.Accept, Would: message.Junk, DecidedBy: "score"},
		{Recipient: "<bob@here.test>", Action: message.Junk, DecidedBy: "score"},
	}
	if diff := cmp.Diff(want, v.Recipients); diff != "" {
		t.Error(diff)
	}
	if v := newPolicy(t, usual(), withExceptions).Decide(Facts{Message: to("strict", "strict2"), Results: found("HIT")}); v.Recipients != nil {
		t.Errorf("all agree, and still: %v", v.Recipients)
	}
}

// A check that is exempted is shown and does not count: neither its findings,
// nor the rules made of them, nor its demand, nor its failure.
func TestExempt(t *testing.T) {
	p := newPolicy(t, usual(), nil)
	results := []checks.Result{
		{Check: "lists", Exempt: []string{"content", "dmarc", "spf"}},
		{Check: "content", Findings: []checks.Finding{{Name: "HIT", Detail: "text"}, {Name: "STRONG"}}},
		demand("dmarc", message.RejectMail),
		{Check: "auth", Findings: []checks.Finding{{Name: "FACT"}}},
	}
	v := p.Decide(Facts{Message: inbound(), Results: results, Faults: []string{"spf"}})
	if v.Action != message.Accept || shown(v) != "HIT=0# STRONG=0# DMARC_FOUND=0# FACT=3" || v.Findings[0].Detail != "text; not counted: lists" {
		t.Errorf("%s by %s: %s, %q", v.Action, v.DecidedBy, shown(v), v.Findings[0].Detail)
	}
	v = p.Decide(Facts{Message: inbound(), Results: results, Faults: []string{"spf", "clamav"}})
	if v.Action != message.TempFail || v.DecidedBy != "own_fault:clamav" {
		t.Errorf("the fault of a check that counts: %s by %s", v.Action, v.DecidedBy)
	}
	results[0].Exempt = nil
	if v = p.Decide(Facts{Message: inbound(), Results: results}); v.Action != message.RejectMail {
		t.Errorf("without the exemption %s", v.Action)
	}
}

// With exceptions, too: nobody is refused whose own policy would not refuse; the
// order of the recipients does not matter; and an exception that changes nothing
// changes nothing.
func TestEveryVerdictWithExceptions(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	site := newPolicy(t, usual(), nil)
	idle := newPolicy(t, usual(), func(o *Options) {
		o.Exceptions = []Exception{{Name: "idle", Applies: only("ann")}}
	})
	p := newPolicy(t, usual(), withExceptions)
	names := []string{"ann", "bob", "open", "strict", "watch", "plain"}
	for range 4_000 {
		f := randomFacts(rnd)
		m := *f.Message
		f.Message = &m
		m.Recipients = m.Recipients[:0:0]
		for range 1 + rnd.IntN(4) {
			m.Recipients = append(m.Recipients, to(names[rnd.IntN(len(names))]).Recipients...)
		}
		all := p.Decide(f)
		for _, r := range m.Recipients {
			one := m
			one.Recipients = []message.Recipient{r}
			if v := p.Decide(Facts{Message: &one, Results: f.Results, Faults: f.Faults, FaultsExhausted: f.FaultsExhausted, Private: f.Private}); severity[v.Action] < severity[all.Action] {
				t.Fatalf("%s for all, %s for %s alone", all.Action, v.Action, r.Path.Raw)
			}
		}
		if a, b := site.Decide(f), idle.Decide(f); a.Action != b.Action || a.Score != b.Score {
			t.Fatalf("an exception that changes nothing: %s (%g), was %s (%g)", b.Action, b.Score, a.Action, a.Score)
		}
		shuffled := m
		shuffled.Recipients = slices.Clone(m.Recipients)
		rnd.Shuffle(len(shuffled.Recipients), func(i, j int) {
			shuffled.Recipients[i], shuffled.Recipients[j] = shuffled.Recipients[j], shuffled.Recipients[i]
		})
		f.Message = &shuffled
		if v := p.Decide(f); v.Action != all.Action {
			t.Fatalf("%s, in another order of recipients %s", all.Action, v.Action)
		}
	}
}

// More weight on a finding never makes the verdict milder, and less never
// harsher. Demands are left out: of those, one that files to junk may replace
// one that makes the mail wait.
func TestMonotone(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	set := load(t)
	for range 3_000 {
		f := randomFacts(rnd)
		f.Faults = nil
		for i := range f.Results {
			f.Results[i].Demand = nil
		}
		heavy := *set
		i := rnd.IntN(len(set.Texts))
		heavy.Texts = slices.Clone(set.Texts)
		heavy.Texts[i].Score += rnd.Float64() * 20
		light := New(Options{Mode: message.Enforce, Thresholds: usual(), OwnFault: FaultHold, Rules: set, Findings: reported}).Decide(f)
		more := New(Options{Mode: message.Enforce, Thresholds: usual(), OwnFault: FaultHold, Rules: &heavy, Findings: reported}).Decide(f)
		if severity[more.Action] < severity[light.Action] || more.Score < light.Score {
			t.Fatalf("%s heavier: %s (%g), was %s (%g)\n%s\n%s", set.Texts[i].Name, more.Action, more.Score, light.Action, light.Score, shown(more), shown(light))
		}
	}
}
