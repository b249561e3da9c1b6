package bayes

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"milterd/internal/mailbox/mailboxtest"
	"milterd/internal/race"
	"milterd/internal/store"
	"milterd/mime"
)

// mail is one message of the corpus.
type mail struct {
	name string
	spam bool
	raw  []byte // without the header fields that transport and the collection added
	Message
	order int // in the collection
	fold  int
}

func (m *mail) class() Class {
	if m.spam {
		return Spam
	}
	return Ham
}

// corpus reads the mail that is there to try filters on.
func corpus(tb testing.TB) []*mail {
	tb.Helper()
	if race.Enabled {
		tb.Skip("nothing here runs at the same time as something else")
	}
	var all []*mail
	for _, kind := range []string{"ham", "spam"} {
		for _, m := range mailboxtest.Corpus(tb, kind) {
			raw := withoutTransport(m.Raw)
			all = append(all, &mail{name: m.Name, spam: kind == "spam", raw: raw, Message: Parse(raw, mime.Limits{}), order: len(all)})
		}
	}
	return all
}

// withoutTransport takes the fields off that say how a message came into the
// collection, so that no filter can learn them.
func withoutTransport(raw []byte) []byte { return mailboxtest.Without(raw, onTheWay) }

// deal shuffles the mail and deals it into folds, see [mailboxtest.Deal].
func deal(all []*mail, folds int, seed uint64) {
	slices.SortStableFunc(all, func(a, b *mail) int { return cmp.Compare(a.order, b.order) }) // however it was dealt before
	before := slices.Clone(all)
	bodies := make([][]byte, len(all))
	for i, m := range all {
		_, bodies[i], _ = bytes.Cut(m.raw, []byte("\n\n"))
	}
	order, fold := mailboxtest.Deal(bodies, folds, seed)
	for to, from := range order {
		all[to] = before[from]
		all[to].fold = fold[from]
	}
}

// newClassifier has an empty memory.
func newClassifier(tb testing.TB) *Classifier {
	tb.Helper()
	return New(store.NewMemory(time.Now, 1<<30), Options{Random: rand.NewChaCha8([32]byte{1})})
}

func teach(tb testing.TB, c *Classifier, user string, mails ...*mail) {
	tb.Helper()
	lessons := make([]Lesson, len(mails))
	for i, m := range mails {
		lessons[i] = Lesson{Class: m.class(), Message: m.Message}
	}
	if _, err := c.LearnAll(tb.Context(), user, lessons...); err != nil {
		tb.Fatal(err)
	}
}

func probability(tb testing.TB, c *Classifier, user string, m Message) float64 {
	tb.Helper()
	v, err := c.Classify(tb.Context(), user, m)
	if err != nil {
		tb.Fatal(err)
	}
	return v.Probability
}

// score is the log odds, which tell messages apart that are all but certain.
func score(tb testing.TB, c *Classifier, user string, m Message) float64 {
	tb.Helper()
	v, err := c.Classify(tb.Context(), user, m)
	if err != nil {
		tb.Fatal(err)
	}
	return v.odds
}
