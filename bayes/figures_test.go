package bayes

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
)

// judged is a message that a filter has given a score; more is more like spam.
type judged struct {
	*mail
	score float64
}

// figures are what a filter made of all messages.
type figures struct {
	inverted float64 // (1-AUC): chance that a ham scores above a spam, in percent
	caught1  float64 // spam caught where 0.1 % of ham is, in percent
	caught5  float64 // where 0.5 % is
}

func (f figures) minus(g figures) figures {
	return figures{f.inverted - g.inverted, f.caught1 - g.caught1, f.caught5 - g.caught5}
}

// plus adds a part of other figures.
func (f figures) plus(g figures, part float64) figures {
	return figures{f.inverted + part*g.inverted, f.caught1 + part*g.caught1, f.caught5 + part*g.caught5}
}

// figuresOf counts times each message as often as it says; nil is once each.
func figuresOf(all []judged, times map[*mail]int) (f figures) {
	order := make([]int, len(all))
	weights := make([]float64, len(all))
	var ham, spam float64
	for i := range all {
		order[i], weights[i] = i, 1
		if times != nil {
			weights[i] = float64(times[all[i].mail])
		}
		if all[i].spam {
			spam += weights[i]
		} else {
			ham += weights[i]
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(all[b].score, all[a].score) })
	var hamAbove, spamAbove, pairs float64
	for from := 0; from < len(order); {
		to, hams, spams := from, 0.0, 0.0
		for ; to < len(order) && all[order[to]].score == all[order[from]].score; to++ {
			if i := order[to]; all[i].spam {
				spams += weights[i]
			} else {
				hams += weights[i]
			}
		}
		pairs += spams * (hamAbove + hams/2)
		hamAbove += hams
		spamAbove += spams
		if hamAbove <= 0.001*ham {
			f.caught1 = 100 * spamAbove / spam
		}
		if hamAbove <= 0.005*ham {
			f.caught5 = 100 * spamAbove / spam
		}
		from = to
	}
	f.inverted = 100 * pairs / ham / spam
	return f
}

// meanOf returns the mean of what a filter made of several deals.
func meanOf(deals [][]judged, times map[*mail]int) (f figures) {
	for _, all := range deals {
		f = f.plus(figuresOf(all, times), 1/float64(len(deals)))
	}
	return f
}

// bounds are the middle 95 % of figures.
type bounds struct{ low, high figures }

// bootstrap draws the messages again and again, with a fixed seed, and returns the
// bounds of a filter's figures; with another filter's judgement of the same deals,
// those of the difference. A message is drawn for all deals at once: they are the same
// mail, so more of them make nothing surer but how it was dealt.
func bootstrap(deals, other [][]judged, draws int) bounds {
	var mails []*mail
	for _, j := range deals[0] {
		mails = append(mails, j.mail)
	}
	slices.SortFunc(mails, func(a, b *mail) int { return cmp.Compare(a.name, b.name) })
	random := rand.New(rand.NewPCG(7, 7))
	samples := make([]figures, draws)
	for d := range samples {
		times := make(map[*mail]int, len(mails))
		for range mails {
			times[mails[random.IntN(len(mails))]]++
		}
		samples[d] = meanOf(deals, times)
		if other != nil {
			samples[d] = samples[d].minus(meanOf(other, times))
		}
	}
	at := func(get func(figures) float64, q float64) float64 {
		values := make([]float64, draws)
		for i := range samples {
			values[i] = get(samples[i])
		}
		slices.Sort(values)
		return values[min(int(q*float64(draws)), draws-1)]
	}
	inverted, one, five := func(f figures) float64 { return f.inverted }, func(f figures) float64 { return f.caught1 }, func(f figures) float64 { return f.caught5 }
	return bounds{
		figures{at(inverted, 0.025), at(one, 0.025), at(five, 0.025)},
		figures{at(inverted, 0.975), at(one, 0.975), at(five, 0.975)},
	}
}

func row(name string, f figures, b bounds) string {
	return fmt.Sprintf("%-24s %8.4f %% (%.4f to %.4f) %7.1f %% (%.1f to %.1f) %7.1f %% (%.1f to %.1f)\n", name,
		f.inverted, b.low.inverted, b.high.inverted, f.caught1, b.low.caught1, b.high.caught1, f.caught5, b.low.caught5, b.high.caught5)
}
