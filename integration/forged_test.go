package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"milterd/authres/authrestest"
)

// ourID is the bed's authserv-id.
const ourID = "mx.example.test"

// forgedSeed makes TestForgedResults repeat itself.
const forgedSeed = 48521

// TestForgedResults sends 200 messages of strangers, and 50 of users, each with a
// random set of Authentication-Results: of ours in any spelling and of other hosts,
// in good form and not. What Postfix delivers shows our id to the most careless
// reader in the one field that milterd made, or in none where it makes none; what
// other hosts wrote arrives byte for byte.
func TestForgedResults(t *testing.T) {
	t.Parallel()
	for listener, what := range map[string]struct{ messages, results int }{
		"forged":     {messages: 200, results: 1},
		"submission": {messages: 50, results: 0},
	} {
		t.Run(listener, func(t *testing.T) {
			t.Parallel()
			c, from := dialForger(t, listener)
			r := rand.New(rand.NewPCG(2022, forgedSeed))
			forged, foreign := 0, 0
			for i := range what.messages {
				set := newForgedSet(r, i)
				forged += set.forged
				foreign += len(set.foreign)
				set.play(t, c, from, what.results)
			}
			t.Logf("seed %d: %d forged fields gone, %d of other hosts there", forgedSeed, forged, foreign)
		})
	}
}

// dialForger connects as a stranger or, on submission, logs in.
func dialForger(t *testing.T, listener string) (c *SMTP, from string) {
	t.Helper()
	if listener != "submission" {
		daemon(t, listener)
		return dial(t, listener, stranger), joe
	}
	daemon(t, "milterd")
	c = dial(t, listener, "")
	if err := c.StartTLS(); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(alice, "pass"); err != nil {
		t.Fatal(err)
	}
	return c, alice
}

// A forgedSet is the header of one message.
type forgedSet struct {
	subject string
	fields  []string // whole, with the line end
	forged  int      // how many of them are forged
	foreign []string // values of the others, in their order
}

func newForgedSet(r *rand.Rand, i int) forgedSet {
	pick := func(choices ...string) string { return choices[r.IntN(len(choices))] }
	name := func() string {
		return pick("Authentication-Results", "Authentication-Results", "authentication-results", "AUTHENTICATION-RESULTS", "Authentication-results ", "Authentication-Results\t") + ":"
	}
	s := forgedSet{subject: fmt.Sprintf("forged %d", serial.Add(1))}
	n := 1 + r.IntN(12)
	if i%50 == 0 {
		n = 150
	}
	for j := range n {
		host := fmt.Sprintf("%d.foreign.test", j)
		switch r.IntN(4) {
		case 0:
			value := authrestest.Foreign(r, host)
			s.foreign = append(s.foreign, value)
			s.fields = append(s.fields, "Authentication-Results:"+value+"\r\n")
		case 1: // a foreign id, perhaps in a form that has to go
			s.fields = append(s.fields, name()+onWire(authrestest.Forge(r, host)))
		default:
			s.forged++
			field := name() + onWire(authrestest.Forge(r, ourID))
			s.fields = append(s.fields, slices.Repeat([]string{field}, 1+r.IntN(2))...)
		}
	}
	return s
}

// onWire ends a value as a field's: an empty line would end the header.
func onWire(value string) string { return strings.TrimRight(value, "\r\n") + "\r\n" }

// play sends the message and reads what arrives, with as many results of ours.
func (s forgedSet) play(t *testing.T, c *SMTP, from string, results int) {
	t.Helper()
	raw := "X-First: of the sender\r\n" + strings.Join(s.fields, "") +
		string(Mail{From: from, To: "x@remote.test", Subject: s.subject, Body: "hello"}.Bytes())
	r, err := c.Send(from, []string{"x@remote.test"}, []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	if !check(t, r.Code == 250, "%s: %v\n%q", s.subject, r, raw) {
		return
	}
	got, err := testBed(t).Sink.Wait(within(t), s.subject)
	if err != nil {
		t.Fatal(err)
	}
	var ours, foreign []string
	senders := false // the sender's own fields have begun
	for name, value := range rawFields(string(got.Raw)) {
		senders = senders || name == "X-First"
		if !strings.EqualFold(strings.TrimRight(name, " \t"), "Authentication-Results") {
			continue
		}
		if authrestest.LenientIDs(value)[ourID] {
			ours = append(ours, value)
			check(t, !senders, "%s: %q is among the sender's fields\n%q", s.subject, value, raw)
		}
		foreign = append(foreign, strings.ReplaceAll(value, "\n", "\r\n"))
	}
	check(t, len(ours) == results, "%s: our id is shown by %q\n%q", s.subject, ours, raw)
	for _, value := range ours {
		check(t, strings.Contains(value, "spf=pass") && !strings.Contains(value, "bank.test"), "%s: not made here: %q", s.subject, value)
	}
	for _, value := range s.foreign {
		at := slices.Index(foreign, value)
		if !check(t, at >= 0, "%s: %q of another host is gone, or not in its place\n%q\n%q", s.subject, value, foreign, raw) {
			return
		}
		foreign = foreign[at+1:]
	}
}

// rawFields yields the fields of a message whose lines end with a line feed; folds
// and blanks stay in the values.
func rawFields(raw string) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		head, _, _ := strings.Cut(raw, "\n\n")
		lines := strings.Split(head, "\n")
		for len(lines) > 0 {
			n := 1
			for n < len(lines) && strings.IndexAny(lines[n], " \t") == 0 {
				n++
			}
			name, value, _ := strings.Cut(strings.Join(lines[:n], "\n"), ":")
			if !yield(name, value) {
				return
			}
			lines = lines[n:]
		}
	}
}
