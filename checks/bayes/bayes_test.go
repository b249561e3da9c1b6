package bayes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"milterd/bayes"
	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/spamassassin/tokens"
	"milterd/internal/store"
	"milterd/message"
	"milterd/mime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const (
	spamText = "From: a@shop.test\nSubject: cheap pills\nMessage-ID: <%d@shop.test>\n\nOrder cheap pills without prescription, offer %d\n"
	hamText  = "From: joe@work.test\nSubject: minutes\nMessage-ID: <%d@work.test>\n\nThe minutes of meeting %d are attached.\n"
)

// taught is a classifier with n messages of each class.
func taught(t testing.TB, n int) *bayes.Classifier {
	t.Helper()
	return taughtBy(t, n, bayes.Options{})
}

func taughtBy(t testing.TB, n int, o bayes.Options) *bayes.Classifier {
	t.Helper()
	c := bayes.New(store.NewMemory(time.Now, 1<<28), o)
	var lessons []bayes.Lesson
	for i := range n {
		lessons = append(lessons, bayes.Lesson{Class: bayes.Spam, Message: bayes.Parse(fmt.Appendf(nil, spamText, i, i), mime.Limits{})},
			bayes.Lesson{Class: bayes.Ham, Message: bayes.Parse(fmt.Appendf(nil, hamText, i, i), mime.Limits{})})
	}
	if _, err := c.LearnAll(t.Context(), "", lessons...); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFindings(t *testing.T) {
	h := checktest.New(t, Spec(), "", checks.Env{Bayes: taught(t, 200)})
	spam, ham := h.Run(checktest.Mail{Text: fmt.Sprintf(spamText, 999, 999)}), h.Run(checktest.Mail{Text: fmt.Sprintf(hamText, 999, 999)})
	other := h.Run(checktest.Mail{Text: "From: x@y.test\nSubject: \n\nqwertz asdf\n"})
	if f := spam.Findings; len(f) != 1 || f[0].Name != "BAYES_999" || f[0].Value < 0.999 || !strings.Contains(f[0].Detail, "of 200 spam and 200 ham: ") || !strings.Contains(f[0].Detail, "pills") {
		t.Errorf("spam: %+v", f)
	}
	if f := ham.Findings; len(f) != 1 || f[0].Name != "BAYES_00" || f[0].Value > 0.01 {
		t.Errorf("ham: %+v", f)
	}
	if f := other.Findings; len(f) != 1 || f[0].Value < 0.2 || f[0].Value > 0.8 {
		t.Errorf("unlike everything: %+v", f)
	}
}

// An opinion on a part of the words says so.
func TestPartial(t *testing.T) {
	h := checktest.New(t, Spec(), "", checks.Env{Bayes: taughtBy(t, 200, bayes.Options{Words: 12})})
	for text, want := range map[string]int{"From: x@y.test\n\nshort\n": 1, fmt.Sprintf(spamText, 999, 999): 2} {
		f := h.Run(checktest.Mail{Text: text}).Findings
		if len(f) != want || want == 2 && f[1].Name != findingPartial {
			t.Errorf("%q: %+v", text, f)
		}
	}
}

// Each step begins where its name says.
func TestSteps(t *testing.T) {
	for p, want := range map[float64]string{0: "BAYES_00", 0.0099: "BAYES_00", 0.01: "BAYES_05", 0.05: "BAYES_20", 0.2: "BAYES_40", 0.4: "BAYES_50", 0.5: "BAYES_50",
		0.6: "BAYES_60", 0.8: "BAYES_80", 0.95: "BAYES_95", 0.99: "BAYES_99", 0.9989: "BAYES_99", 0.999: "BAYES_999", 1: "BAYES_999"} {
		if got := Finding(p); got != want {
			t.Errorf("%g: %s, want %s", p, got, want)
		}
	}
	for _, f := range Spec().Findings {
		if !f.Subjective {
			t.Errorf("%s is not subjective", f.Name)
		}
	}
}

// Who has learned nothing, or shall be silent, is.
func TestSilent(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		bayes  *bayes.Classifier
	}{"no memory": {"", nil}, "nothing learned": {"", taught(t, 0)}, "off": {"before_queue: off", taught(t, 20)}} {
		res := checktest.New(t, Spec(), c.config, checks.Env{Bayes: c.bayes}).Run(checktest.Mail{Text: fmt.Sprintf(spamText, 1, 1)})
		if len(res.Findings) != 0 || res.Ended() != checks.None {
			t.Errorf("%s: %+v", name, res)
		}
	}
}

// stuck is a store that answers when its context ends, or never does anything.
type stuck struct{ bayes.Store }

func (stuck) Get(ctx context.Context, _ string, _ ...[]byte) ([][]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

type full struct{ bayes.Store }

func (full) Get(context.Context, string, ...[]byte) ([][]byte, error) {
	return nil, errors.New("dead\r\nX-Spam: No")
}

// A store that does not work costs the opinion and a tenth of a second.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, s := range map[string]bayes.Store{"stuck": stuck{}, "dead": full{}} {
			reg := prometheus.NewRegistry()
			h := checktest.New(t, Spec(), "", checks.Env{Bayes: bayes.New(s, bayes.Options{}), Registerer: reg})
			began := time.Now()
			res := h.Run(checktest.Mail{Text: fmt.Sprintf(spamText, 1, 1)})
			if len(res.Findings) != 1 || res.Findings[0].Name != findingUnavailable || time.Since(began) > storeTime {
				t.Errorf("%s: %+v after %v", name, res, time.Since(began))
			}
			if n := testutil.ToFloat64(h.Check().(*check).metrics.unavailable); n != 1 {
				t.Errorf("%s: the metric says %g", name, n)
			}
		}
	})
}

// The end of the message's own time is an error, not an opinion.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := checktest.New(t, Spec(), "", checks.Env{Bayes: taught(t, 1)}).Try(ctx, checktest.Mail{Text: spamText})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The gauges follow what is taught, by whomever, without any mail.
func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		classifier := taught(t, 3)
		h := checktest.New(t, Spec(), "", checks.Env{Bayes: classifier, Registerer: prometheus.NewRegistry()})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.Check().(checks.Background).Background(ctx)
		}()
		m := h.Check().(*check).metrics
		gauges := func() [4]float64 {
			synctest.Wait()
			return [4]float64{testutil.ToFloat64(m.taught.WithLabelValues("spam")), testutil.ToFloat64(m.taught.WithLabelValues("ham")),
				testutil.ToFloat64(m.imported.WithLabelValues("spam")), testutil.ToFloat64(m.imported.WithLabelValues("ham"))}
		}
		if got := gauges(); got != [4]float64{3, 3, 0, 0} || testutil.ToFloat64(m.tokens) == 0 {
			t.Errorf("at the beginning: %v, %v tokens", got, testutil.ToFloat64(m.tokens))
		}
		backup := &tokens.Backup{Spam: 5, Ham: 7, Counts: []tokens.Count{{Spam: 1}}}
		if _, err := classifier.Import(t.Context(), "", "joe", backup); err != nil {
			t.Fatal(err)
		}
		time.Sleep(watchEvery)
		if got := gauges(); got != [4]float64{3, 3, 5, 7} {
			t.Errorf("a minute later: %v", got)
		}
		cancel()
		<-ended
	})
	checktest.New(t, Spec(), "", checks.Env{}).Check().(checks.Background).Background(t.Context()) // without a memory: at once
}

func TestConfigErrors(t *testing.T) {
	for config, want := range map[string]string{
		"before_queue: reject":       "expected off or junk",
		"autolearn: {per_domain: 0}": "milterd.yaml:1:25: autolearn.per_domain: 0, expected 1 to 1000",
		"autolearn: {ham_below: 2}":  "expected 0 or less",
		"autolearn: {spam_above: 5}": "expected 8 or more",
		"min_learns: 200":            "min_learns",
	} {
		if _, err := checktest.TryNew(t, Spec(), config, checks.Env{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
}

// verdict has findings of these points, and an opinion that must not count.
func verdict(points ...float64) *message.Verdict {
	v := &message.Verdict{Findings: []message.Finding{{Name: "BAYES_999", Score: 100, Subjective: true}}}
	for i, p := range points {
		v.Findings = append(v.Findings, message.Finding{Name: fmt.Sprint("F", i), Score: p})
	}
	return v
}

func TestAutolearnIsConservative(t *testing.T) {
	a := defaults().Autolearn
	for _, c := range []struct {
		name    string
		points  []float64
		opinion float64
		want    bayes.Class
	}{
		{"three agree", []float64{5, 5, 5}, 0.5, bayes.Spam},
		{"one finding alone", []float64{20}, 0.5, ""},
		{"below the bound", []float64{3, 4, 4.9}, 0.9, ""},
		{"what was learned says otherwise", []float64{5, 5, 5}, 0.1, ""},
		{"an ally", []float64{-3}, 0.5, bayes.Ham},
		{"nothing speaks for it", nil, 0, ""},
		{"something speaks against it", []float64{-3, 0.1}, 0.1, ""},
		{"ham that looks like spam", []float64{-3}, 0.9, ""},
	} {
		if got := a.class(verdict(c.points...), c.opinion); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What is learned by itself is bounded by domain and day, subdomains or not.
func TestAutolearn(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	for config, want := range map[string]int64{"": 0, "autolearn: {enabled: true, per_domain: 3}": 3} {
		memory := store.NewMemory(clock, 1<<28)
		var classifier *bayes.Classifier
		for i := range 8 {
			classifier = bayes.New(memory, bayes.Options{Now: clock}) // no restart brings more
			h := checktest.New(t, Spec(), config, checks.Env{Bayes: classifier, Now: clock})
			mail := checktest.Mail{Text: fmt.Sprintf("From: a@s%d.shop.test\nSubject: x%d\n\nbody %d\n", i, i, i)}
			m := mail.Message(t)
			in := &checks.Input{Message: m, Prior: checks.Prior{"bayes": {Detail: bayes.Verdict{Probability: 0.5}}}}
			if err := h.Check().(checks.Recorder).Record(t.Context(), in, verdict(6, 6, 6)); err != nil {
				t.Fatal(err)
			}
			m.Body.Release()
		}
		if totals, err := classifier.Totals(t.Context(), ""); err != nil || totals.Spam != want || totals.Ham != 0 {
			t.Errorf("%q: learned %+v %v, want %d", config, totals, err, want)
		}
	}
}

// Words of a stranger are shown so that they can do nothing.
func TestExplainIsSafe(t *testing.T) {
	c := bayes.New(store.NewMemory(time.Now, 1<<28), bayes.Options{})
	m := bayes.Parse([]byte("Subject: \x1b[31mred\u202e\n\nx\u2028y \x00z\n"+strings.Repeat("long", 100)), mime.Limits{})
	if _, err := c.Learn(t.Context(), "", bayes.Lesson{Class: bayes.Spam, Message: m}); err != nil {
		t.Fatal(err)
	}
	v, err := c.Classify(t.Context(), "", m)
	if err != nil {
		t.Fatal(err)
	}
	if text := Explain(v); len(text) > 900 || strings.ContainsAny(text, "\x1b\u202e\u2028\x00\n") {
		t.Errorf("%q", text)
	}
}

// What was imported is told of like what was learned, behind it.
func TestExplainImported(t *testing.T) {
	v := bayes.Verdict{Site: bayes.Totals{Spam: 2, Ham: 3}, Imported: &bayes.Imported{Spam: 12, Ham: 30, Clues: []bayes.ImportedClue{
		{Text: "pills\x1b", Spam: 34, Weight: 0.21}, {Text: "sk:confere", Spam: 1, Ham: 20, Weight: -0.5},
	}}}
	if got, want := Explain(v), `of 2 spam and 3 ham; imported, of 12 spam and 30 ham: pills\x1b +0.21 (34/0), sk:confere -0.50 (1/20)`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// What the line costs that says what an opinion rests on.
func BenchmarkExplain(b *testing.B) {
	c := taught(b, 200)
	v, err := c.Classify(b.Context(), "", bayes.Parse(fmt.Appendf(nil, spamText, 999, 999), mime.Limits{}))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if Explain(v) == "" {
			b.Fatal("nothing said")
		}
	}
}
