package bayes

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// Training of which 5 % is poison costs under half a point of ham, by the probability that files on its own, whatever the
// poison: all words of the dictionary in messages that people call spam; every second
// word of ham that is to come, which is what an attacker may guess (Nelson and others,
// "Exploiting machine learning to subvert your spam filter", 2008); or spam that
// carries 50 to 500 good words.
func TestPoison(t *testing.T) {
	all := corpus(t)
	kinds := []string{"nothing", "dictionary", "focused", "good words"}
	files, leans := map[string]float64{}, map[string]float64{} // percent of ham, summed
	deals := 1                                                 // three take long
	if os.Getenv("MILTERD_ACCURACY") != "" {
		deals = 3
	}
	for seed := range uint64(deals) {
		deal(all, 5, 5-seed)
		for _, kind := range kinds {
			high, half := poisoned(t, all, kind, rand.New(rand.NewPCG(seed, 5)))
			files[kind] += high / float64(deals)
			leans[kind] += half / float64(deals)
		}
	}
	for _, kind := range kinds {
		t.Logf("%-12s ham from 0.999 up %.2f %%, from 0.5 up %.2f %%", kind, files[kind], leans[kind])
		if files[kind]-files["nothing"] >= 0.5 {
			t.Errorf("%s: ham lost goes from %.2f %% to %.2f %%", kind, files["nothing"], files[kind])
		}
	}
}

// poisoned teaches two folds and the poison, and returns how much ham of a third has a
// probability from 0.999 and from 0.5 up, in percent.
func poisoned(t *testing.T, all []*mail, kind string, random *rand.Rand) (files, leans float64) {
	var train, ham []*mail
	for _, m := range all {
		switch {
		case m.fold < 2:
			train = append(train, m)
		case m.fold == 2 && !m.spam:
			ham = append(ham, m)
		}
	}
	var dictionary []string
	for _, m := range train {
		if text, _ := m.Tree.VisibleText(); !m.spam {
			for from, to := range words(text) {
				dictionary = append(dictionary, text[from:to])
			}
		}
	}
	good := func(from []string, n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(from[random.IntN(len(from))] + " ")
		}
		return b.String()
	}
	poison := func(kind string) (out []*mail) {
		if kind == "nothing" {
			return nil
		}
		for i := range len(train) / 20 {
			var text string
			switch kind {
			case "dictionary":
				text = good(dictionary, 1500)
			case "focused":
				visible, _ := ham[i%len(ham)].Tree.VisibleText()
				for from, to := range words(visible) {
					if random.IntN(2) == 0 {
						text += visible[from:to] + " "
					}
				}
			default:
				text = "buy cheap pills at http://pills.test/ now\n\n" + good(dictionary, 50+random.IntN(450))
			}
			out = append(out, &mail{spam: true, Message: parsed(fmt.Sprintf("From: x%d@y%d.test\nSubject: hi\nMessage-ID: <%d@z.test>\n\n%s\n", i, i, i, text))})
		}
		return out
	}
	taught := slices.Concat(train, poison(kind))
	random.Shuffle(len(taught), func(i, j int) { taught[i], taught[j] = taught[j], taught[i] })
	c := newClassifier(t)
	teach(t, c, "", taught...)
	out := make([]judged, len(ham))
	for i, m := range ham {
		out[i] = judged{m, score(t, c, "", m.Message)}
	}
	return float64(share(out, false, 0.999)), float64(share(out, false, 0.5))
}
