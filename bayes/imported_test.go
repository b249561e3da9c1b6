package bayes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"milterd/internal/spamassassin/tokens"
	"milterd/internal/store"
)

// remembered is a backup of a SpamAssassin that has learned these messages.
func remembered(mails ...*mail) *tokens.Backup {
	b := &tokens.Backup{}
	at := map[[5]byte]int{}
	for _, m := range mails {
		if m.spam {
			b.Spam++
		} else {
			b.Ham++
		}
		for _, t := range tokens.Of(m.Header, m.Tree) {
			i, there := at[t.Sum]
			if !there {
				i = len(b.Counts)
				at[t.Sum], b.Counts = i, append(b.Counts, tokens.Count{Sum: t.Sum})
			}
			if m.spam {
				b.Counts[i].Spam++
			} else {
				b.Counts[i].Ham++
			}
		}
	}
	return b
}

// offersAndMinutes is what such a one knows after many pills and meetings.
func offersAndMinutes(n int) *tokens.Backup {
	var mails []*mail
	for i := range n {
		mails = append(mails, &mail{spam: true, Message: about(1000+i, "cheap pills without prescription")}, &mail{Message: about(2000+i, "minutes of the meeting")})
	}
	return remembered(mails...)
}

func imported(t *testing.T, c *Classifier, user string, b *tokens.Backup) Import {
	t.Helper()
	i, err := c.Import(t.Context(), user, "joe", b)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// importRecords counts what lies in the store of imports.
func importRecords(t *testing.T, m *store.Memory) (n int) {
	t.Helper()
	err := m.Walk(t.Context(), func(_ string, key []byte, _ store.Record) error {
		if key[0] == 'i' || key[0] == 's' {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What another filter has learned counts at once, until it is forgotten, and then
// nothing of it is left.
func TestImport(t *testing.T) {
	now := time.Unix(1795269600, 0)
	clock := func() time.Time { return now }
	memory := store.NewMemory(clock, 1<<28)
	c := New(memory, Options{Now: clock})
	i := imported(t, c, "", offersAndMinutes(100))
	if seen, ok, err := c.Imported(t.Context(), ""); !ok || err != nil || seen != i {
		t.Errorf("%+v, %v, %v, want %+v", seen, ok, err, i)
	}
	if i.Spam != 100 || i.Ham != 100 || i.Tokens < 50 || !i.At.Equal(now) || i.By != "joe" {
		t.Errorf("%+v", i)
	}
	if spam, ham, unlike := probability(t, c, "", pills2), probability(t, c, "", minutes), probability(t, c, "", holiday); spam < 0.95 || ham > 0.05 || unlike < 0.2 || unlike > 0.8 {
		t.Errorf("spam %.3f, ham %.3f, unlike both %.3f", spam, ham, unlike)
	}
	v, err := c.Classify(t.Context(), "", pills2)
	if err != nil || v.Unlearned() || v.Imported.Spam != 100 || v.Imported.Clues[0].Weight <= 0 || v.Imported.Clues[0].Spam == 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	// Another process sees it, and one in place of it; of the first nothing is left.
	other := New(memory, Options{Now: clock})
	before := importRecords(t, memory)
	if again := imported(t, other, "", offersAndMinutes(50)); again.Spam != 50 {
		t.Errorf("%+v", again)
	}
	if n := importRecords(t, memory); n > before {
		t.Errorf("%d records, there were %d", n, before)
	}
	now = now.Add(cacheLife)
	if v, err := c.Classify(t.Context(), "", pills2); err != nil || v.Imported.Spam != 50 || len(v.Imported.Clues) == 0 {
		t.Errorf("%+v, %v", v.Imported, err)
	}
	if was, ok, err := c.DropImport(t.Context(), ""); err != nil || !ok || was.Spam != 50 {
		t.Errorf("%+v, %v, %v", was, ok, err)
	}
	if _, ok, err := c.Imported(t.Context(), ""); ok || err != nil {
		t.Errorf("there is still one: %v", err)
	}
	if n := importRecords(t, memory); n != 0 {
		t.Errorf("%d records are left", n)
	}
	if _, ok, err := c.DropImport(t.Context(), ""); ok || err != nil {
		t.Errorf("there is still one: %v", err)
	}
	if p := probability(t, c, "", pills2); p != 0.5 {
		t.Errorf("forgotten, it says %.3f", p)
	}
}

// A user's import stands in place of the site's, for him.
func TestImportOfUser(t *testing.T) {
	c := newClassifier(t)
	imported(t, c, "", offersAndMinutes(100))
	swapped := offersAndMinutes(100)
	for i := range swapped.Counts {
		swapped.Counts[i].Spam, swapped.Counts[i].Ham = swapped.Counts[i].Ham, swapped.Counts[i].Spam
	}
	imported(t, c, "pharmacist", swapped)
	if site, joe, own := probability(t, c, "", pills2), probability(t, c, "joe", pills2), probability(t, c, "pharmacist", pills2); site < 0.95 || joe != site || own > 0.05 {
		t.Errorf("site %.3f, joe %.3f, the pharmacist %.3f", site, joe, own)
	}
}

// What is taught here takes its place, and in the end it is not asked any more.
func TestImportFades(t *testing.T) {
	c := newClassifier(t)
	imported(t, c, "", offersAndMinutes(100))
	var lessons []Lesson
	last := probability(t, c, "", pills2)
	for i := range outgrown { // the opposite of what the import says
		lessons = append(lessons, Lesson{Class: Ham, Message: about(3000+i, "cheap pills without prescription")}, Lesson{Class: Spam, Message: about(5000+i, "minutes of the meeting")})
		if n := i + 1; n == 10 || n == 100 || n == outgrown {
			if _, err := c.LearnAll(t.Context(), "", lessons...); err != nil {
				t.Fatal(err)
			}
			lessons = nil
			v, err := c.Classify(t.Context(), "", pills2)
			if err != nil || v.Probability > last || (v.Imported == nil) != (n == outgrown) {
				t.Errorf("after %d lessons %.3f, before %.3f: %v, %v", n, v.Probability, last, v.Imported, err)
			}
			last = v.Probability
		}
	}
	if last > 0.05 {
		t.Errorf("after a thousand lessons of each class %.3f", last)
	}
}

// fragile is a store in which the n-th write fails, or all reads.
type fragile struct {
	Store
	fail int
	dead bool
}

func (f *fragile) Apply(ctx context.Context, space string, ops ...store.Op) error {
	if f.fail--; f.fail == 0 {
		return errBroken
	}
	return f.Store.Apply(ctx, space, ops...)
}

func (f *fragile) Get(ctx context.Context, space string, keys ...[]byte) ([][]byte, error) {
	if f.dead {
		return nil, errBroken
	}
	return f.Store.Get(ctx, space, keys...)
}

// An import that fails in the middle changes nothing and leaves nothing behind; a
// store that cannot be read costs the opinion.
func TestImportFails(t *testing.T) {
	now := time.Unix(1795269600, 0)
	memory := store.NewMemory(time.Now, 1<<28)
	f := &fragile{Store: memory}
	c := New(f, Options{Now: func() time.Time { return now }, Random: rand.NewChaCha8([32]byte{1})})
	learn(t, c, "", Spam, about(1, "something"))
	for at := 1; at <= 2; at++ { // the counts, what says that they are there
		f.fail = at
		if _, err := c.Import(t.Context(), "", "joe", offersAndMinutes(100)); !errors.Is(err, errBroken) {
			t.Errorf("write %d: %v", at, err)
		}
		if v, err := c.Classify(t.Context(), "", pills2); err != nil || v.Imported != nil {
			t.Errorf("write %d: half an import counts: %+v, %v", at, v.Imported, err)
		}
	}
	imported(t, c, "", offersAndMinutes(100))
	f.dead = true
	now = now.Add(cacheLife)
	if _, err := c.Classify(t.Context(), "", pills2); !errors.Is(err, errBroken) {
		t.Errorf("classified without a store: %v", err)
	}
	if _, err := c.Import(t.Context(), "", "joe", offersAndMinutes(1)); !errors.Is(err, errBroken) {
		t.Errorf("imported without a store: %v", err)
	}
	if _, _, err := c.DropImport(t.Context(), ""); !errors.Is(err, errBroken) {
		t.Errorf("forgotten without a store: %v", err)
	}
}

// overtaken lets somebody else import between reading and writing.
type overtaken struct {
	Store
	then func()
}

func (o *overtaken) Apply(ctx context.Context, space string, ops ...store.Op) error {
	if then := o.then; then != nil && bytes.HasPrefix(ops[0].Key, []byte("i")) {
		o.then = nil
		then()
	}
	return o.Store.Apply(ctx, space, ops...)
}

func TestImportsMeet(t *testing.T) {
	memory := store.NewMemory(time.Now, 1<<28)
	o := &overtaken{Store: memory}
	c := New(o, Options{})
	quicker := func() { imported(t, New(memory, Options{}), "", offersAndMinutes(30)) }
	o.then = quicker
	if _, err := c.Import(t.Context(), "", "joe", offersAndMinutes(100)); !errors.Is(err, ErrImporting) {
		t.Errorf("%v", err)
	}
	if v, err := New(memory, Options{}).Classify(t.Context(), "", pills2); err != nil || v.Imported.Spam != 30 {
		t.Errorf("%+v, %v", v.Imported, err)
	}
	o.then = quicker
	if _, _, err := c.DropImport(t.Context(), ""); !errors.Is(err, ErrImporting) {
		t.Errorf("%v", err)
	}
}

// A record of counts is read to its end, whatever bytes it holds.
func FuzzFindCounts(f *testing.F) {
	f.Add(counted{7, 3, 300}.appendTo(counted{1 << 40, 1, 0}.appendTo(nil)), uint64(7))
	f.Add([]byte("\x00\x00\x00\x00\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), uint64(7))
	f.Fuzz(func(t *testing.T, record []byte, hash uint64) {
		if _, _, ok := findCounts(record, hash); ok && !bytes.Contains(record, func() []byte { r := rest(hash); return r[:] }()) {
			t.Error("found what is not there")
		}
		whole := counted{hash, 3, 70000}.appendTo(nil)
		if spam, ham, ok := findCounts(append(whole, record...), hash); !ok || spam != 3 || ham != 70000 {
			t.Errorf("%d %d %t", spam, ham, ok)
		}
	})
}

// Half of the mail as SpamAssassin would remember it, against a floor on the other
// half. TestImportTable has SpamAssassin's own memory.
func TestImportFloor(t *testing.T) {
	all := corpus(t)
	deal(all, 2, tableSeed)
	c := newClassifier(t)
	imported(t, c, "", remembered(fold(all, 0)...))
	f := figuresOf(importJudges(t, c, fold(all, 1)), nil)
	t.Logf("(1-AUC) %.4f %%, caught at 0.1 %% %.1f %%, at 0.5 %% %.1f %%", f.inverted, f.caught1, f.caught5)
	if f.inverted > 0.4 || f.caught5 < 90 {
		t.Errorf("%+v, want at most 0.4 %% inverted and at least 90 %% caught at 0.5 %%", f)
	}
}

func fold(all []*mail, k int) (some []*mail) {
	for _, m := range all {
		if m.fold == k {
			some = append(some, m)
		}
	}
	return some
}

// importJudges asks a classifier with an import, in log odds.
func importJudges(t *testing.T, c *Classifier, mails []*mail) (out []judged) {
	t.Helper()
	for _, m := range mails {
		out = append(out, judged{m, logit(probability(t, c, "", m.Message))})
	}
	return out
}

// BenchmarkClassifyImported beside BenchmarkClassify says what an import costs.
func BenchmarkClassifyImported(b *testing.B) {
	c := newClassifier(b)
	if _, err := c.Import(b.Context(), "", "joe", offersAndMinutes(200)); err != nil {
		b.Fatal(err)
	}
	m := parsed("From: joe@example.org\nSubject: pills\n\n" + strings.Repeat(fmt.Sprintln("cheap pills without prescription for everybody who reads minutes"), 40))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Classify(b.Context(), "", m); err != nil {
			b.Fatal(err)
		}
	}
}

// logit is the inverse of sigmoid, as far as numbers go.
func logit(p float64) float64 {
	const most = 36
	return max(-most, min(most, math.Log(p/(1-p))))
}
