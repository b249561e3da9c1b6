package bayes

import (
	"slices"
	"strings"
	"testing"

	"milterd/mime"
)

// form returns the tokens of a message that say how it is written.
func form(raw string) (all []string) {
	for _, t := range tokensOf(testSecret, Parse([]byte(raw), mime.Limits{})) {
		if t.place == inForm {
			all = append(all, t.String())
		}
	}
	return all
}

func TestForm(t *testing.T) {
	answer := form("From: joe@a.example.co.uk\nReply-To: joe@b.example.co.uk\nTo: ann@here.test, \"Bob\" <bob@there.test>\nSender: list@lists.test\n" +
		"Subject: RE: plans\nIn-Reply-To: <1@x>\nMessage-ID: <2@A.example.co.uk>\n\n" + strings.Repeat("HELLO there\n", 20))
	want := []string{
		"message-id beside from:same", "message-id beside to:other", "reply-to beside from:related", "sender beside from:other", "to beside from:other",
		"answer:says true, is true", "twentieths in capitals:10", "exclamation marks in 500:0", "bits of a line's length:4",
	}
	slices.Sort(answer)
	slices.Sort(want)
	if !slices.Equal(answer, want) {
		t.Errorf("%q, want %q", answer, want)
	}

	shout := form("From: x\nSubject: Re: you\n\n" + strings.Repeat("BUY! ", 200))
	for _, want := range []string{"message-id beside from:missing", "answer:says true, is false", "twentieths in capitals:20", "exclamation marks in 500:10"} {
		if !slices.Contains(shout, want) {
			t.Errorf("%q is not in %q", want, shout)
		}
	}

	// What the words are has no part in it.
	if a, b := form("From: a@b.test\n\nsome words here\n"), form("From: a@b.test\n\nmany birds sing\n"); !slices.Equal(a, b) {
		t.Errorf("%q and %q", a, b)
	}
	if empty := form("\n"); len(empty) != 9 {
		t.Errorf("%d tokens of an empty message, want 9: %q", len(empty), empty)
	}
}

// A message of which only the form is known is near neutral: who was taught letters
// without a word in common with it has no opinion on it.
func TestFormMakesNothingFamiliar(t *testing.T) {
	k := &known{site: make([]numbers, 4)}
	tokens := []Token{{ID: 1, place: inForm}, {ID: 2, place: inFacts}, {ID: 3, place: inNames}, {ID: 4, place: inText}}
	for i := range 3 {
		k.site[i] = numbers{spam: 5}
	}
	if f := k.familiar(tokens); f != 0 {
		t.Errorf("familiar %g with no known word, want 0", f)
	}
	k.site[3].ham = 1
	if f := k.familiar(tokens); f != 1 {
		t.Errorf("familiar %g with all words known, want 1", f)
	}
}
