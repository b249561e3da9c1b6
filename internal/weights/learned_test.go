package weights

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/bayes"
	"milterd/checks"
	"milterd/checks/attachments"
	bayescheck "milterd/checks/bayes"
	"milterd/internal/mailbox"
	"milterd/internal/mailbox/mailboxtest"
	"milterd/internal/race"
	"milterd/internal/store"
	"milterd/message"
	"milterd/mime"
	"milterd/rules"
	"milterd/scoring"

	"github.com/prometheus/client_golang/prometheus"
)

// What stands here is about rules and learned opinion together, as a site has them:
// the checks that need nothing but the message, the rules, weights, groups and caps
// that ship, the findings of Bayes beside them, and scoring itself, which decides. What
// was learned is never of the message that is judged, nor of one with the same body.

// togetherDeals is how many deals into five folds the figures are the mean of, seeds
// from 1.
const togetherDeals = 3

// transport says of a field that it tells how a message came into the collection, or what
// filters said of it. Learning leaves those out by itself; here nobody has to believe it.
func transport(name string) bool {
	switch name {
	case "received", "return-path", "delivered-to", "delivery-date", "x-original-to", "status", "x-status", "x-keywords", "x-uid",
		"x-mozilla-status", "x-mozilla-status2", "content-length", "lines":
		return true
	}
	return strings.HasPrefix(name, "x-spam")
}

// letter is a message with all that is known of it but what was learned.
type letter struct {
	name    string
	spam    bool
	learned bayes.Message    // as it is taught
	message *message.Message // as it is judged; its body is in memory
	results []checks.Result
	body    []byte
	fold    int
	sample  Sample
}

// bench is what letters are judged with.
type bench struct {
	set      *rules.Set
	checks   []checks.Check
	evidence *Evidence
	model    *Model
	specs    []checks.FindingSpec
}

func newBench(t *testing.T) *bench {
	t.Helper()
	m, e := evidence(t)
	set, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{set: set, evidence: e, model: m, checks: e.checks, specs: bayescheck.Spec().Findings}
	c, err := attachments.Spec().New(none{}, checks.Env{Now: time.Now, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	b.checks = append(slices.Clip(b.checks), c)
	return b
}

// letter reads one message and runs the checks on it.
func (b *bench) letter(t *testing.T, name string, raw []byte, spam bool) *letter {
	t.Helper()
	m, err := parse(raw)
	if err != nil {
		t.Fatal(name, err)
	}
	l := &letter{name: name, spam: spam, message: m, learned: bayes.Parse(mailboxtest.Without(raw, transport), mime.Limits{})}
	_, l.body, _ = bytes.Cut(raw, []byte("\n\n"))
	if l.results, err = run(t.Context(), b.checks, m); err != nil {
		t.Fatal(name, err)
	}
	l.sample = b.evidence.sample(name, l.results, spam)
	return l
}

func (b *bench) corpus(t *testing.T) (all []*letter) {
	t.Helper()
	for _, kind := range []string{"ham", "spam"} {
		for _, m := range mailboxtest.Corpus(t, kind) {
			all = append(all, b.letter(t, m.Name, m.Raw, kind == "spam"))
		}
	}
	return all
}

// policy is what ships, with points of the rules in place of their own where there
// are some.
func (b *bench) policy(points []float64) *scoring.Policy {
	set := *b.set
	if points != nil {
		set.Texts, set.Composites = slices.Clone(set.Texts), slices.Clone(set.Composites)
		for i := range set.Texts {
			if at, ok := b.model.index[set.Texts[i].Name]; ok {
				set.Texts[i].Score = points[at]
			}
		}
		for i := range set.Composites {
			if at, ok := b.model.index[set.Composites[i].Name]; ok {
				set.Composites[i].Score = points[at]
			}
		}
	}
	junk, reject := 6.0, 15.0
	return scoring.New(scoring.Options{Mode: message.Enforce, Thresholds: message.Thresholds{Junk: &junk, Reject: &reject}, Rules: &set, Findings: b.specs})
}

// opinion is what the check of Bayes finds; that itself gives up on a store that takes
// longer than its time, and figures must not depend on the clock.
func opinion(t *testing.T, c *bayes.Classifier, l *letter) checks.Result {
	t.Helper()
	v, err := c.Classify(t.Context(), "", l.learned)
	if err != nil {
		t.Fatal(l.name, err)
	}
	return checks.Result{Check: "bayes", Findings: []checks.Finding{{Name: bayescheck.Finding(v.Probability), Value: v.Probability}}}
}

// taught returns who was taught letters, once through.
func taught(t *testing.T, letters []*letter) *bayes.Classifier {
	t.Helper()
	c := bayes.New(store.NewMemory(time.Now, 1<<30), bayes.Options{Random: rand.NewChaCha8([32]byte{1})})
	lessons := make([]bayes.Lesson, len(letters))
	for i, l := range letters {
		lessons[i] = bayes.Lesson{Class: bayes.Ham, Message: l.learned}
		if l.spam {
			lessons[i].Class = bayes.Spam
		}
	}
	if _, err := c.LearnAll(t.Context(), "", lessons...); err != nil {
		t.Fatal(err)
	}
	return c
}

// ways are how letters are judged.
var ways = []string{"rules and Bayes, as shipped", "rules fitted to the other folds, and Bayes", "Bayes alone", "rules alone, as shipped"}

// filing is what became of one letter, judged each way.
type filing struct {
	*letter
	score [4]float64
	band  string // what Bayes found
}

func (f *filing) filed(way int) bool { return f.score[way] >= 6 }

// shippedCeiling is what the weights that ship hold in the collection: none of 2,094
// honest messages is filed by the rules alone.
const shippedCeiling = 0.0002

// crossValidate judges the letters of folds after the others were learned, and, if fit
// says so, weights were fitted to them.
func (b *bench) crossValidate(t *testing.T, all []*letter, folds []int, seed uint64, fit bool) (out []filing) {
	t.Helper()
	o := Defaults()
	o.Ceiling = shippedCeiling
	bodies := make([][]byte, len(all))
	for i, l := range all {
		bodies[i] = l.body
	}
	order, fold := mailboxtest.Deal(bodies, 5, seed)
	for i, l := range all {
		l.fold = fold[i]
	}
	shippedPolicy := b.policy(nil)
	for _, k := range folds {
		var train, test []*letter
		var samples []Sample
		for _, i := range order {
			if l := all[i]; l.fold == k {
				test = append(test, l)
			} else {
				train = append(train, l)
				samples = append(samples, l.sample)
			}
		}
		classifier, fitted := taught(t, train), shippedPolicy
		if fit {
			fitted = b.policy(b.model.Fit(samples, o))
		}
		for _, l := range test {
			learned := opinion(t, classifier, l)
			both := append(slices.Clip(l.results), learned)
			score := func(p *scoring.Policy, results ...checks.Result) float64 {
				v := p.Decide(scoring.Facts{Message: l.message, Results: results})
				return v.Score
			}
			out = append(out, filing{l, [4]float64{
				score(shippedPolicy, both...), score(fitted, both...), score(shippedPolicy, learned), score(shippedPolicy, l.results...),
			}, learned.Findings[0].Name})
		}
	}
	return out
}

// rates returns how much ham and spam is filed one way, in percent, the mean of
// deals; each letter counts as often as times says, nil is once.
func rates(deals [][]filing, way int, times map[*letter]int) (ham, spam float64) {
	for _, all := range deals {
		var n, filed [2]float64
		for i := range all {
			f, weight, class := &all[i], 1.0, 0
			if times != nil {
				weight = float64(times[f.letter])
			}
			if f.spam {
				class = 1
			}
			n[class] += weight
			if f.filed(way) {
				filed[class] += weight
			}
		}
		ham += 100 * filed[0] / n[0] / float64(len(deals))
		spam += 100 * filed[1] / n[1] / float64(len(deals))
	}
	return ham, spam
}

// bounds are the middle 95 % of such rates, when messages are drawn again and again; a
// message is drawn for all deals at once, which are the same mail.
func bounds(deals [][]filing, way, draws int) (ham, spam [2]float64) {
	letters := make([]*letter, len(deals[0]))
	for i := range deals[0] {
		letters[i] = deals[0][i].letter
	}
	slices.SortFunc(letters, func(a, b *letter) int { return cmp.Compare(a.name, b.name) })
	random := rand.New(rand.NewPCG(7, 7))
	hams, spams := make([]float64, draws), make([]float64, draws)
	for d := range draws {
		times := make(map[*letter]int, len(letters))
		for range letters {
			times[letters[random.IntN(len(letters))]]++
		}
		hams[d], spams[d] = rates(deals, way, times)
	}
	slices.Sort(hams)
	slices.Sort(spams)
	low, high := draws/40, draws-1-draws/40
	return [2]float64{hams[low], hams[high]}, [2]float64{spams[low], spams[high]}
}

// Rules and Bayes together, one fold of five, against a floor that leaves room for
// chance. The figures are the business of make accuracy.
func TestTogetherFloor(t *testing.T) {
	if race.Enabled {
		t.Skip("nothing here runs at the same time as something else")
	}
	b := newBench(t)
	out := b.crossValidate(t, b.corpus(t), []int{0}, 1, false)
	ham, spam := rates([][]filing{out}, 0, nil)
	t.Logf("%.2f %% of ham and %.2f %% of spam filed", ham, spam)
	if ham > 0.5 || spam < 93 {
		t.Errorf("%.2f %% of ham and %.2f %% of spam filed, want at most 0.5 %% and at least 93 %%", ham, spam)
	}
}

// TestTogether prints what make accuracy says of rules and Bayes together, and holds
// them to it.
func TestTogether(t *testing.T) {
	if os.Getenv("MILTERD_ACCURACY") == "" {
		t.Skip("make accuracy runs this")
	}
	b, w := newBench(t), t.Output()
	all := b.corpus(t)
	var deals [][]filing
	for seed := range uint64(togetherDeals) {
		deals = append(deals, b.crossValidate(t, all, []int{0, 1, 2, 3, 4}, seed+1, true))
	}
	const draws = 1000
	fmt.Fprintf(w, "\nFiled at the junk threshold of 6: checks without network, shipped rules, weights and caps, and Bayes taught the other folds;\n")
	fmt.Fprintf(w, "%d ham, %d spam, five folds by message, mean of %d deals (seeds 1 to %d). In brackets 95 %% of %d bootstrap draws by message.\n\n",
		count(deals[0], false), count(deals[0], true), togetherDeals, togetherDeals, draws)
	for way, name := range ways {
		ham, spam := rates(deals, way, nil)
		hams, spams := bounds(deals, way, draws)
		fmt.Fprintf(w, "%-44s ham %.3f %% (%.3f to %.3f)   spam %.2f %% (%.2f to %.2f)   by deal", name, ham, hams[0], hams[1], spam, spams[0], spams[1])
		for i := range deals {
			ham, spam := rates(deals[i:i+1], way, nil)
			fmt.Fprintf(w, " %.3f/%.2f", ham, spam)
		}
		fmt.Fprintln(w)
	}
	printWrong(t, deals)
	if ham, spam := rates(deals, 0, nil); ham > 0.1 || spam < 97 {
		t.Errorf("%.3f %% of ham and %.2f %% of spam filed, want at most 0.1 %% and at least 97 %%", ham, spam)
	}
	b.today(t, all)
}

func count(all []filing, spam bool) (n int) {
	for i := range all {
		if all[i].spam == spam {
			n++
		}
	}
	return n
}

// printWrong names the messages on the wrong side in any deal, for people to look at:
// some are errors of the collection.
func printWrong(t *testing.T, deals [][]filing) {
	type wrong struct {
		times int
		rules float64
		bands []string
	}
	all := map[*letter]*wrong{}
	for _, deal := range deals {
		for i := range deal {
			f := &deal[i]
			if all[f.letter] == nil {
				all[f.letter] = &wrong{rules: f.score[3]}
			}
			o := all[f.letter]
			if o.bands = append(o.bands, f.band); f.filed(0) != f.spam {
				o.times++
			}
		}
	}
	for _, spam := range []bool{false, true} {
		fmt.Fprintf(t.Output(), "\n%s, how often of %d, points of the rules, what Bayes says in each deal:\n", map[bool]string{false: "ham that is filed", true: "spam that is not filed"}[spam], len(deals))
		var list []*letter
		for l, o := range all {
			if l.spam == spam && o.times > 0 {
				list = append(list, l)
			}
		}
		slices.SortFunc(list, func(a, b *letter) int {
			return cmp.Or(-cmp.Compare(all[a].times, all[b].times), cmp.Compare(a.name, b.name))
		})
		for _, l := range list {
			fmt.Fprintf(t.Output(), "  %d  %4.1f  %-18.18s %s\n", all[l].times, all[l].rules, l.name, strings.Join(all[l].bands, " "))
		}
	}
}

// today asks those who were taught the mail of 2002 and 2003 about mail of today: it
// is unlike anything learned, so opinion shall hardly file any honest mail.
func (b *bench) today(t *testing.T, all []*letter) {
	bodies := make([][]byte, len(all))
	for i, l := range all {
		bodies[i] = l.body
	}
	order, _ := mailboxtest.Deal(bodies, 5, 1)
	mixed := make([]*letter, len(all))
	for to, from := range order {
		mixed[to] = all[from]
	}
	classifier, policy := taught(t, mixed), b.policy(nil)
	filed, n := map[bool]int{}, map[bool]int{}
	for kind, spam := range map[string]bool{"ham.mbox": false, "spam.mbox": true} {
		for m := range mailbox.Messages([]string{filepath.Join("testdata", kind)}, nil, func(name, why string) { t.Errorf("%s: %s", name, why) }) {
			if m.Err != nil {
				t.Fatal(m.Err)
			}
			l := b.letter(t, m.Name, m.Raw, spam)
			v := policy.Decide(scoring.Facts{Message: l.message, Results: append(slices.Clip(l.results), opinion(t, classifier, l))})
			if n[spam]++; v.Score >= 6 {
				filed[spam]++
			}
		}
	}
	fmt.Fprintf(t.Output(), "\nmail of today, after lessons of 2002 and 2003 only: %d of %d ham and %d of %d spam filed\n", filed[false], n[false], filed[true], n[true])
	if n[false] < 60 || filed[false] > n[false]/12 || filed[true] < n[true]*9/10 {
		t.Errorf("%v of %v filed, want at most a twelfth of the ham, and nine tenths of the spam", filed, n)
	}
}
