package bayes

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/internal/store"
	"milterd/mime"
)

func parsed(text string) Message { return Parse([]byte(text), mime.Limits{}) }

// about is a message of its own about something.
func about(n int, what string) Message {
	return parsed(fmt.Sprintf("From: Person %d <p%d@example.org>\nTo: ann@here.test\nSubject: %s\nMessage-ID: <%d@example.org>\nDate: Fri, 20 Nov 2026 12:00:00 +0000\n\nHello,\n%s\n",
		n, n, what, n, strings.Repeat(what+" and more of it.\n", 3)))
}

func learn(t *testing.T, c *Classifier, user string, class Class, m Message) Result {
	t.Helper()
	r, err := c.Learn(t.Context(), user, Lesson{Class: class, Message: m, By: "joe", Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var (
	pills   = about(1, "cheap pills without prescription ORDER NOW")
	pills2  = about(2, "cheap pills without any prescription ORDER today")
	minutes = about(3, "minutes of the meeting on Monday")
	holiday = parsed("From: aunt@elsewhere.test\nSubject: Urlaub\n\nWir sind gut angekommen, das Wetter ist herrlich.\n")
)

// Who has learned nothing has no opinion, and after one message has one about its
// like and none about others.
func TestFirstMessage(t *testing.T) {
	c := newClassifier(t)
	if p := probability(t, c, "", pills); p != 0.5 {
		t.Errorf("without any lesson: %g", p)
	}
	learn(t, c, "", Spam, pills)
	same, alike, other := probability(t, c, "", pills), probability(t, c, "", pills2), probability(t, c, "", holiday)
	if same <= 0.7 || alike <= 0.55 || alike >= same || math.Abs(other-0.5) > 0.1 {
		t.Errorf("the same %.3f, alike %.3f, unlike %.3f", same, alike, other)
	}
	learn(t, c, "", Ham, minutes)
	if p := probability(t, c, "", minutes); p >= 0.4 {
		t.Errorf("a message taught as ham: %.3f", p)
	}
	if p := probability(t, c, "", holiday); math.Abs(p-0.5) > 0.1 {
		t.Errorf("a message unlike everything: %.3f", p)
	}
}

// Teaching again does nothing, teaching the opposite flips, forgetting leaves every
// number as it was.
func TestAgainFlipForget(t *testing.T) {
	c := newClassifier(t)
	for i := range 5 {
		learn(t, c, "", Ham, about(100+i, "minutes of another meeting"))
		learn(t, c, "", Spam, about(200+i, "pills and watches"))
	}
	state := func() string {
		tokens := append(tokensOf(c.secret.Load(), pills), tokensOf(c.secret.Load(), minutes)...)
		c.cache.forget(0, tokens)
		k, err := c.recall(t.Context(), 0, tokens, new(scratch))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(k.siteAll, k.site)
	}
	before := state()
	for i, step := range []struct {
		class Class
		want  Result
	}{{Forget, Known}, {Spam, Learned}, {Spam, Known}, {Ham, Flipped}, {Ham, Known}, {Spam, Flipped}, {Forget, Forgotten}, {Forget, Known}} {
		if got := learn(t, c, "", step.class, pills); got != step.want {
			t.Errorf("step %d, %s: %s, want %s", i, step.class, got, step.want)
		}
		if r, ok, err := c.Taught(t.Context(), "", pills); err != nil || ok != (step.class != Forget) || ok && (r.Class != step.class || r.By != "joe" || r.Source != "test") {
			t.Errorf("step %d: the record is %+v %t %v", i, r, ok, err)
		}
	}
	if after := state(); after != before {
		t.Errorf("after taking all back\n%s\nbefore\n%s", after, before)
	}
}

// everything reads what a store holds of weights and records of the site.
func everything(t *testing.T, m *store.Memory) (weights map[uint64]int64, taught map[digest]Record, places int) {
	t.Helper()
	weights, taught = map[uint64]int64{}, map[digest]Record{}
	if err := m.Walk(t.Context(), func(_ string, key []byte, r store.Record) error {
		switch key[0] {
		case 't':
			weights[binary.BigEndian.Uint64(key[1:])] = numbersOf(r.Value).weight
		case 'm':
			record, _ := recordOf(r.Value)
			taught[digest(key[9:])] = record
		case 'r':
			if _, ok := readKept(r.Value); !ok {
				t.Errorf("%q is no remembered message", r.Value)
			}
			places++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return weights, taught, places
}

// However lessons come, flip, are forgotten and have others taught again: a token's
// weight is the sum of the steps of those messages that are taught and have it, to the
// last digit. So nothing stays of a message that is forgotten.
func TestWeightsAreTheirLessons(t *testing.T) {
	memory := store.NewMemory(time.Now, 1<<30)
	c := New(memory, Options{Random: rand.NewChaCha8([32]byte{1})})
	random := rand.New(rand.NewPCG(1, 2))
	mails := make([]Message, 120)
	of := map[digest][]Token{}
	again := 0
	for i := range mails {
		mails[i] = about(i, fmt.Sprintf("words %d and %d and %d", random.IntN(9), random.IntN(9), random.IntN(9)))
	}
	check := func(when string) {
		t.Helper()
		weights, taught, _ := everything(t, memory)
		for d, r := range taught {
			for _, token := range of[d] {
				weights[token.ID] -= r.Step
			}
			if r.Again != "" {
				again++
			}
		}
		for id, rest := range weights {
			if rest != 0 {
				t.Fatalf("%s: of the weight of token %x nobody knows where %d come from", when, id, rest)
			}
		}
	}
	for round, classes := range [][]Class{{Ham}, {Spam}, {Spam, Ham}, {Spam, Ham, Forget}, {Forget}} { // one class after the other first
		var lessons []Lesson
		for i, m := range mails {
			if round == 0 && i%2 == 0 || round == 1 && i%2 == 1 {
				continue
			}
			lessons = append(lessons, Lesson{Class: classes[random.IntN(len(classes))], Message: m})
		}
		for len(lessons) > 0 {
			n := min(1+random.IntN(40), len(lessons))
			if _, err := c.LearnAll(t.Context(), "", lessons[:n]...); err != nil {
				t.Fatal(err)
			}
			lessons = lessons[n:]
		}
		for _, m := range mails {
			key := c.secret.Load()
			of[key.digest(sum(m))] = tokensOf(key, m)
		}
		check(fmt.Sprint("round ", round))
	}
	if _, taught, places := everything(t, memory); len(taught) != 0 || places != 0 || again == 0 {
		t.Errorf("%d records and %d remembered messages are left, %d were taught again", len(taught), places, again)
	}
}

// What was taught again with a lesson is undone with it, as long as it is remembered.
func TestTaughtAgainIsUndone(t *testing.T) {
	memory := store.NewMemory(time.Now, 1<<30)
	c := New(memory, Options{Random: rand.NewChaCha8([32]byte{1})})
	for i := range 100 {
		learn(t, c, "", Ham, about(i, "minutes of the meeting"))
	}
	undone := 0
	for i := range 60 { // the first spam after so much ham: what is remembered is misjudged soon
		m := about(1000+i, "minutes of pills")
		before, _, _ := everything(t, memory)
		learn(t, c, "", Spam, m)
		r, _, err := c.Taught(t.Context(), "", m)
		if err != nil {
			t.Fatal(err)
		}
		if r.Again == "" {
			continue
		}
		undone++
		learn(t, c, "", Forget, m)
		after, _, _ := everything(t, memory)
		for id, w := range after {
			if w != before[id] {
				t.Fatalf("lesson %d: token %x had %d and has %d", i, id, before[id], w)
			}
		}
		learn(t, c, "", Spam, m)
	}
	if undone == 0 {
		t.Error("no message was taught again")
	}
}

// A group learns as its lessons do one by one, whatever is in it twice.
func TestGroupIsItsLessons(t *testing.T) {
	lessons := []Lesson{{Class: Spam, Message: pills}, {Class: Ham, Message: minutes}, {Class: Spam, Message: pills2}, {Class: Spam, Message: pills},
		{Class: Ham, Message: pills2}, {Class: Forget, Message: minutes}, {Class: Ham, Message: holiday}}
	one, all := newClassifier(t), newClassifier(t)
	var results []Result
	for _, l := range lessons {
		r, err := one.Learn(t.Context(), "ann", l)
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	got, err := all.LearnAll(t.Context(), "ann", lessons...)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(results) {
		t.Errorf("%v %v, want %v", got, err, results)
	}
	for _, m := range []Message{pills, pills2, minutes, holiday} {
		if a, b := probability(t, one, "ann", m), probability(t, all, "ann", m); a != b {
			t.Errorf("%g one by one, %g together", a, b)
		}
	}
}

// Many who teach the same at once teach it once, whoever they are.
func TestTaughtOnce(t *testing.T) {
	memory := store.NewMemory(time.Now, 1<<30)
	var mu sync.Mutex
	count := map[Result]int{}
	var all sync.WaitGroup
	for range 8 {
		c := New(memory, Options{}) // each a process of its own
		all.Go(func() {
			for {
				r, err := c.Learn(t.Context(), "", Lesson{Class: Spam, Message: pills})
				if errors.Is(err, store.ErrConflict) {
					continue // five times met another one
				} else if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				count[r]++
				mu.Unlock()
				return
			}
		})
	}
	all.Wait()
	totals, err := New(memory, Options{}).Totals(t.Context(), "")
	if count[Learned] != 1 || count[Known] != 7 || totals != (Totals{Spam: 1}) || err != nil {
		t.Errorf("%v, totals %+v %v", count, totals, err)
	}
}

// A user's first lesson moves his own opinion, over what the site says, and nobody
// else's.
func TestUserOverSite(t *testing.T) {
	c := newClassifier(t)
	var lessons []Lesson
	for i := range 60 {
		lessons = append(lessons, Lesson{Class: Ham, Message: about(1000+i, fmt.Sprintf("minutes of meeting %d", i))},
			Lesson{Class: Spam, Message: about(2000+i, fmt.Sprintf("cheap watches offer %d", i))})
	}
	if _, err := c.LearnAll(t.Context(), "", lessons...); err != nil {
		t.Fatal(err)
	}
	letter := func(n int) Message { return about(n, "weekly bargains from the garden shop") }
	site, meeting := probability(t, c, "", letter(1)), about(3, "minutes of meeting 99")
	if p := probability(t, c, "ann", letter(1)); p != site {
		t.Errorf("who has taught nothing: %g, the site %g", p, site)
	}
	learn(t, c, "ann", Spam, letter(1))
	learn(t, c, "bob", Ham, letter(1))
	ann, bob := probability(t, c, "ann", letter(2)), probability(t, c, "bob", letter(2))
	if ann < 0.9 || bob > 0.3 {
		t.Errorf("another letter: ann %.3f, bob %.3f", ann, bob)
	}
	if p := probability(t, c, "", letter(1)); p != site {
		t.Errorf("the site has moved from %g to %g", site, p)
	}
	if p := probability(t, c, "ann", meeting); p > 0.4 {
		t.Errorf("ann's meetings are spam now: %.3f", p)
	}
}

// The same message is the same before and after transport, delivery and filing.
func TestSameOnTheWay(t *testing.T) {
	c := newClassifier(t)
	sent := parsed("From: joe@a.test\nSubject: Gr\xc3\xbc\xc3\x9fe\nMessage-ID: <1@a.test>\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nviele Gr\xc3\xbc\xc3\x9fe\n")
	moved := parsed("From x  Thu Jan  1 00:00:00 2026\r\nReturn-Path: <joe@a.test>\r\nX-Spam-Flag: YES\r\nReceived: from a by b\r\nX-Milterd-Id: x y\r\nAuthentication-Results: mx; spf=pass\r\n" +
		"From: joe@a.test\r\nSubject: Gr\xc3\xbc\xc3\x9fe\r\nMessage-ID:\r\n <1@a.test>\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nviele =\r\nGr=C3=BC=C3=9Fe\r\n\r\n")
	learn(t, c, "", Spam, sent)
	if r := learn(t, c, "", Spam, moved); r != Known {
		t.Errorf("the moved message: %s", r)
	}
	if r := learn(t, c, "", Spam, parsed("From: joe@a.test\nSubject: Gr\xc3\xbc\xc3\x9fe\nMessage-ID: <1@a.test>\n\nother text\n")); r != Learned {
		t.Errorf("another text: %s", r)
	}
}

// spy keeps what is written.
type spy struct {
	Store
	written bytes.Buffer
}

func (s *spy) Apply(ctx context.Context, space string, ops ...store.Op) error {
	for _, o := range ops {
		s.written.Write(o.Key)
		s.written.Write(o.Value)
	}
	return s.Store.Apply(ctx, space, ops...)
}

// No word of a message, and no name of a user, is ever in the store.
func TestNoClearText(t *testing.T) {
	s := &spy{Store: store.NewMemory(time.Now, 1<<30)}
	learn(t, New(s, Options{}), "ann.secret", Spam, pills)
	for _, word := range []string{"pills", "prescription", "example.org", "ann.secret"} {
		if bytes.Contains(bytes.ToLower(s.written.Bytes()), []byte(word)) {
			t.Errorf("%q lies in the store", word)
		}
	}
	if s.written.Len() == 0 {
		t.Error("nothing was written")
	}
}

// At the bound words that nobody has seen are left out, known ones are still counted,
// and what was never taken up is not taken back.
func TestMaxTokens(t *testing.T) {
	c := New(store.NewMemory(time.Now, 1<<30), Options{MaxTokens: 60})
	learn(t, c, "", Spam, pills)
	for i := range 10 {
		learn(t, c, "", Ham, about(300+i, fmt.Sprintf("words %d that %d nobody %d knows", i, i+50, i+90)))
	}
	tokens, err := c.Tokens(t.Context())
	if err != nil || tokens > 60*2 { // each is counted once when made and once when seen again
		t.Errorf("%d tokens, %v", tokens, err)
	}
	full, err := c.Totals(t.Context(), "")
	if err != nil || full != (Totals{1, 10}) {
		t.Errorf("%+v %v", full, err)
	}
	learn(t, c, "", Forget, about(309, "words 9 that 59 nobody 99 knows"))
	if p := probability(t, c, "", pills); p < 0.5 {
		t.Errorf("what was learned first: %.3f", p)
	}
}

// broken is a store that does not work.
type broken struct{ Store }

var errBroken = errors.New("broken")

func (broken) Get(context.Context, string, ...[]byte) ([][]byte, error) { return nil, errBroken }

func TestBrokenStore(t *testing.T) {
	c := New(broken{}, Options{})
	if _, err := c.Classify(t.Context(), "", pills); !errors.Is(err, errBroken) {
		t.Errorf("Classify: %v", err)
	}
	if _, err := c.Learn(t.Context(), "", Lesson{Class: Spam, Message: pills}); !errors.Is(err, errBroken) {
		t.Errorf("Learn: %v", err)
	}
	if _, err := newClassifier(t).Learn(t.Context(), "", Lesson{Class: "tofu", Message: pills}); err == nil {
		t.Error("a class that does not exist is learned")
	}
}

// What lies where a message is remembered is read as it was written, or not at all.
func FuzzKept(f *testing.F) {
	whole := kept{digest{1, 2, 3}, []uint64{0, 1, math.MaxUint64}}
	f.Add(whole.value())
	f.Add(whole.value()[:30])
	f.Add(make([]byte, 16))
	f.Fuzz(func(t *testing.T, value []byte) {
		k, ok := readKept(value)
		if ok && (!bytes.Equal(k.value(), value) || len(k.ids) == 0 || len(k.ids) > rememberedTokens) {
			t.Errorf("%x is read as %x", value, k.value())
		}
	})
}

// A store that holds something else where messages are remembered learns all the same.
func TestRememberedDamaged(t *testing.T) {
	memory := store.NewMemory(time.Now, 1<<30)
	c := New(memory, Options{})
	learn(t, c, "", Ham, minutes)
	for place := range rememberedPlaces {
		for _, class := range []Class{Spam, Ham} {
			damaged := []byte("no message")
			if place%2 == 0 { // one that nobody has taught
				damaged = (&kept{digest{byte(place)}, []uint64{1, 2, 3}}).value()
			}
			if err := memory.Apply(t.Context(), Space, store.Put(rememberedKey(0, class, byte(place)), damaged, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 30 {
		if r := learn(t, c, "", Spam, about(i, "cheap pills")); r != Learned {
			t.Errorf("lesson %d: %s", i, r)
		}
	}
	if k, err := c.recall(t.Context(), 0, []Token{{ID: 1}}, new(scratch)); err != nil || k.site[0] != (numbers{}) {
		t.Error("tokens of nobody have a weight")
	}
}
