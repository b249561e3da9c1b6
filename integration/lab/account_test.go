package lab

import (
	"fmt"
	"strings"
	"testing"

	"milterd/integration"
)

// honest is an account that balances: of eight letters three are delivered, one of them
// held and one twice after an answer that went unheard, two are deferred, three rejected.
func honest() *Account {
	kinds := Kinds()
	a := &Account{Required: []string{"clamav", "spf"}, JournalWhole: true}
	letter := func(kind string, tries ...Try) *Letter {
		l := &Letter{Serial: len(a.Letters), Kind: kinds[kind], To: "alice@example.test", Tries: tries}
		a.Letters = append(a.Letters, l)
		return l
	}
	queued := func(id string) Try {
		return Try{Reply: integration.Reply{Code: 250, Lines: []string{"2.0.0 Ok: queued as " + id}}}
	}
	arrives := func(l *Letter, id, where string, fields ...string) {
		own := fmt.Sprintf("%012d", len(a.Milterd))
		action := map[string]string{"INBOX": "accept", "Junk": "junk", "hold": "quarantine"}[where]
		v := integration.Verdict{"msg": "verdict", "id": own, "qid": id, "action": action}
		if where == "hold" {
			v["failed"] = "clamav: no answer; greylist: store"
		}
		a.Milterd = append(a.Milterd, v)
		a.Journal = append(a.Journal, Record{ID: own, Action: action})
		text := strings.Join(append([]string{
			"Received: by mx.example.test with LMTP id abc", "Received: from mail.sender.test by mx.example.test (Postfix) with ESMTP id " + id,
			"Authentication-Results: mx.example.test; spf=pass", "X-Spam-Status: No, score=0", "X-Milterd-Id: " + own + " tag", "Subject: " + l.Subject(),
		}, fields...), "\n")
		a.Copies = append(a.Copies, Copy{Where: where, QueueID: id, Serial: l.Serial, Delivered: integration.ParseDelivered([]byte(text + "\n\nx\n"))})
	}
	refused := func(l *Letter, code int, text, id string) Try {
		if id != "" {
			text += " (" + id + ")"
			a.Milterd = append(a.Milterd, integration.Verdict{"msg": "verdict", "id": id, "reply": fmt.Sprintf("%d %s", code, text)})
		}
		a.Postfix = append(a.Postfix, fmt.Sprintf("postfix/cleanup[1]: X: milter-reject: END-OF-MESSAGE from x[1]: %s; from=<%s> to=<a>", text, l.From()))
		return Try{Reply: integration.Reply{Code: code, Lines: []string{text}}}
	}

	arrives(letter("ham", queued("Q1")), "Q1", "INBOX")
	held := letter("malware")
	held.Tries = []Try{refused(held, 451, "4.3.0 Content scan unavailable", "aaaaaaaaaaa1"), queued("Q2")}
	arrives(held, "Q2", "hold", "X-Milterd-Unscanned: clamav")
	again := letter("ham", Try{Unheard: true}, queued("Q4"))
	arrives(again, "Q3", "INBOX")
	arrives(again, "Q4", "INBOX")
	late := letter("ham")
	late.Tries = []Try{refused(late, 451, "4.7.1 Service unavailable - try again later", "")}
	letter("ham", Try{Unheard: true})
	for _, kind := range []string{"malware", "spoof", "spam"} {
		l := letter(kind)
		l.Tries = []Try{refused(l, 554, "5.7.1 No", "bbbbbbbbbbb"+fmt.Sprint(l.Serial))}
	}
	return a
}

func TestHonestAccount(t *testing.T) {
	b := honest().Settle()
	for _, breach := range b.Breaches {
		t.Error(breach)
	}
	b.Breaches = nil
	want := Balance{Letters: 8, Tries: 10, Delivered: 3, Deferred: 2, Rejected: 3, Held: 1, Marked: 1, Unheard: 2, Again: 1}
	if b.String() != want.String() {
		t.Errorf("got  %v\nwant %v", b, want)
	}
}

// TestBreaches: whatever is not as it should be is found.
func TestBreaches(t *testing.T) {
	field := func(a *Account, copy int, name, value string) {
		c := &a.Copies[copy]
		fields := c.Fields[:0:0]
		for _, f := range c.Fields {
			if f.Name != name {
				fields = append(fields, f)
			}
		}
		if value != "" {
			fields = append(fields, integration.Field{Name: name, Value: value})
		}
		c.Fields = fields
	}
	for name, test := range map[string]struct {
		change func(*Account)
		want   string
	}{
		"a letter lost":               {func(a *Account) { a.Copies = a.Copies[1:] }, "lost: lab 000000 ham"},
		"delivered by another":        {func(a *Account) { a.Copies[0].QueueID = "Q9" }, "lost: lab 000000 ham"},
		"delivered twice":             {func(a *Account) { c := a.Copies[0]; c.QueueID = "Q9"; a.Copies = append(a.Copies, c) }, "twice: lab 000000 ham was taken"},
		"twice from one transaction":  {func(a *Account) { a.Copies = append(a.Copies, a.Copies[0]) }, "twice: lab 000000 ham lies twice"},
		"refused and delivered":       {func(a *Account) { a.Copies[0].Serial = 5 }, "twice: lab 000005 malware"},
		"from nowhere":                {func(a *Account) { a.Copies[3].Serial = 77 }, "1 copies of letter 77"},
		"no answer in Postfix's log":  {func(a *Account) { a.Postfix = a.Postfix[1:] }, "Postfix's log does not have"},
		"no answer in milterd's log":  {func(a *Account) { a.Milterd[1]["id"] = "zzzzzzzzzzzz" }, "milterd's log does not have the answer 451"},
		"another answer in the log":   {func(a *Account) { a.Milterd[len(a.Milterd)-1]["reply"] = "250 fine" }, "milterd's log does not have the answer 554"},
		"no mark of ours":             {func(a *Account) { field(a, 0, "X-Milterd-Id", "") }, "has 0 fields X-Milterd-Id"},
		"a mark of nobody's":          {func(a *Account) { field(a, 0, "X-Milterd-Id", "zzzzzzzzzzzz tag") }, "whose verdict is map[]"},
		"a verdict of another":        {func(a *Account) { a.Milterd[0]["qid"] = "Q9" }, "unchecked: lab 000000 ham"},
		"a verdict against it":        {func(a *Account) { a.Milterd[0]["action"] = "reject" }, "unchecked: lab 000000 ham"},
		"no results":                  {func(a *Account) { field(a, 0, "Authentication-Results", "") }, "0 fields Authentication-Results"},
		"failed without a mark":       {func(a *Account) { field(a, 1, "X-Milterd-Unscanned", "") }, "the check clamav failed"},
		"failed says the journal":     {func(a *Account) { a.Journal[0].Checks = failedChecks("spf") }, "the check spf failed"},
		"the journal disagrees":       {func(a *Account) { a.Journal[0].Action = "reject" }, "the log says accept, the journal reject"},
		"the journal lacks a verdict": {func(a *Account) { a.Journal = a.Journal[1:] }, "the journal has no verdict"},
		"malware as ham":              {func(a *Account) { a.Letters[0].Kind = Kinds()["malware"] }, "malware is delivered"},
		"spam as ham":                 {func(a *Account) { a.Letters[0].Kind = Kinds()["spam"] }, "spam is delivered"},
		"a forgery as ham":            {func(a *Account) { a.Letters[0].Kind = Kinds()["spoof"] }, "a forgery is delivered"},
		"a forgery called genuine": {func(a *Account) {
			a.Letters[0].Kind = Kinds()["spoof"]
			field(a, 0, "Authentication-Results", "mx.example.test; dmarc=pass")
		}, "a forgery is called genuine"},
		"neither yes nor no": {func(a *Account) { a.Letters[0].Tries[0].Reply.Code = 354 }, "neither yes nor no"},
		"never tried":        {func(a *Account) { a.Letters[3].Tries = nil }, "never tried"},
	} {
		t.Run(name, func(t *testing.T) {
			a := honest()
			test.change(a)
			breaches := strings.Join(a.Settle().Breaches, "\n")
			if !strings.Contains(breaches, test.want) {
				t.Errorf("%q, expected %q in it", breaches, test.want)
			}
		})
	}
}

// failedChecks is what a record says of checks that failed.
func failedChecks(name string) (all []CheckRecord) {
	return []CheckRecord{{Name: name, Outcome: "failed"}}
}

func TestReadScenario(t *testing.T) {
	const head = "fault: clamd is dead\npromise: Mail waits\n"
	for name, test := range map[string]struct{ text, want string }{
		"no steps":      {head, "x.yaml"},
		"unknown fault": {head + "steps:\n  - break: clamd asleep\n", `x.yaml:4:12: steps[0].break: got "clamd asleep", expected one of clamd dead, clamd hanging`},
		"two keys":      {head + "steps:\n  - {break: clamd dead, mend: clamd dead}\n", "x.yaml:4:5: steps[0]: got 2 keys"},
		"unknown kind":  {head + "steps:\n  - send: {kind: junk, reply: '250'}\n", "x.yaml:4:18: steps[0].send.kind: got \"junk\", expected one of bank, forged, ham"},
		"no reply":      {head + "steps:\n  - send: {kind: ham}\n", "x.yaml:4:11: steps[0].send"},
		"no sentence":   {"fault: x.\npromise: y\nsteps:\n  - log: x\n", "expected a sentence without a full stop"},
		"unknown disk":  {head + "disk: floppy\nsteps:\n  - log: x\n", "x.yaml:3:7: disk: got \"floppy\""},
		"unknown key":   {head + "steps:\n  - brake: clamd dead\n", "x.yaml:4:5: steps[0].brake: unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadScenario("x.yaml", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, expected %q in it", err, test.want)
			}
		})
	}
}
