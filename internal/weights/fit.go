package weights

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"sync"
)

// Options is what a fit aims at.
type Options struct {
	// Threshold is from how many points on a message is filed.
	Threshold float64
	// Ceiling is the largest share of honest messages that may be filed.
	Ceiling float64
	// MinHits is how many messages a rule must hit for its weight to be fitted.
	MinHits int
	// Folds and Seed are for CrossValidate: into how many parts, and how they are
	// drawn.
	Folds int
	Seed  uint64
}

// Defaults returns the options of milterd's own rules: the default junk threshold,
// three honest messages in a thousand, ten folds.
func Defaults() Options {
	return Options{Threshold: 6, Ceiling: 0.003, MinHits: 8, Folds: 10, Seed: 1}
}

// The way of a fit: so many steps of that length. They are what it takes for figures
// not to change any more in their first decimal.
const (
	steps    = 500
	stepSize = 0.05
	// momentum carries a step on into the next ones.
	momentum = 0.9
	// pull draws weights towards the class's usual one, so that a rule with few hits
	// does not run to its bound.
	pull = 0.004
	// margin is how far from the threshold a message shall be, on its side.
	margin = 0.7
	// reserve is how far below the threshold the ceiling is held: mail that was not
	// seen lies a little higher than mail that was.
	reserve = 1.2
	// dearer is by how much an honest message becomes more expensive, as long as too
	// many of them are filed; tries is how often.
	dearer = 1.6
	tries  = 12
)

// usual is where the weight of a rule of a class begins that the data know: not the
// weight that ships, which was fitted to the same data.
var usual = map[Class]float64{Words: 0.7, Origin: 0.7, Trade: 0.4, Form: 0.7, Story: 1}

// Fit returns points for the rules of the model, one for each of its Weights, of at
// most one decimal. Points of rules that hit too few samples stay.
func (m *Model) Fit(samples []Sample, o Options) []float64 {
	f := m.newFit(samples, o)
	price := 4.0
	for range tries {
		points := f.descend(price)
		for i := range points {
			points[i] = math.Round(points[i]*10) / 10
		}
		if m.Rate(points, samples, o.Threshold-reserve).FalsePositives() <= o.Ceiling {
			return points
		}
		price *= dearer
	}
	// Nothing in the bounds holds the ceiling: what hits honest mail is not learned,
	// it is wrong.
	return f.descend(price)
}

// fit is the samples as numbers.
type fit struct {
	m       *Model
	o       Options
	samples []Sample
	at      [][]int
	free    []bool
	start   []float64
}

func (m *Model) newFit(samples []Sample, o Options) *fit {
	f := &fit{m: m, o: o, samples: samples, at: make([][]int, len(samples)), free: make([]bool, len(m.Weights)), start: m.Shipped()}
	hits := make([]int, len(m.Weights))
	for i := range samples {
		f.at[i] = m.encode(samples[i].Hits)
		for _, at := range f.at[i] {
			hits[at]++
		}
	}
	for i := range m.Weights {
		w := &m.Weights[i]
		if f.free[i] = !w.fixed() && hits[i] >= o.MinHits; f.free[i] {
			f.start[i] = min(max(usual[w.Class], w.Min), w.Max)
		}
	}
	return f
}

// descend goes down the slope of the cost: the logistic loss of each message, on
// honest ones at a price, and the pull. A group at its cap has no slope.
func (f *fit) descend(price float64) []float64 {
	points := slices.Clone(f.start)
	slope, speed := make([]float64, len(points)), make([]float64, len(points))
	sums := make([]float64, len(f.m.caps))
	var all float64
	for i := range f.samples {
		all += f.cost(i, price)
	}
	for range steps {
		clear(slope)
		for i := range f.samples {
			score := f.m.score(points, f.at[i], sums)
			var push float64 // how much more points would cost
			if f.samples[i].Spam {
				push = -logistic(f.o.Threshold + margin - score)
			} else {
				push = logistic(score - f.o.Threshold + margin)
			}
			if math.Abs(push) < 1e-4 {
				continue
			}
			push *= f.cost(i, price) / all
			for _, at := range f.at[i] {
				if g := f.m.Weights[at].group; g >= 0 && sums[g] > f.m.caps[g] && push < 0 {
					continue
				}
				slope[at] += push
			}
		}
		for i := range points {
			if !f.free[i] {
				continue
			}
			w := &f.m.Weights[i]
			speed[i] = momentum*speed[i] - stepSize*(slope[i]*100+pull*(points[i]-f.start[i]))
			points[i] = min(max(points[i]+speed[i], w.Min), w.Max)
		}
	}
	return points
}

func (f *fit) cost(i int, price float64) float64 {
	s := &f.samples[i]
	if heft := max(s.Heft, 1); s.Spam {
		return heft
	} else {
		return heft * price
	}
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-2*x)) }

// draw puts a sample somewhere, by its name and the seed alone.
func (s *Sample) draw(seed uint64) []byte {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %s", seed, s.Name))
	return h[:8]
}

// CrossValidate fits on all folds but one, tries the points on that one, and adds up
// over the folds: what a fit does with mail that it has not seen. Samples are drawn
// by message; their order does not matter.
func (m *Model) CrossValidate(samples []Sample, o Options) Rate {
	order := slices.Clone(samples)
	slices.SortFunc(order, func(a, b Sample) int {
		return cmp.Or(bytes.Compare(a.draw(o.Seed), b.draw(o.Seed)), cmp.Compare(a.Name, b.Name))
	})
	rates := make([]Rate, o.Folds)
	var folds sync.WaitGroup
	for fold := range o.Folds {
		var learn, try []Sample
		for i := range order {
			if i%o.Folds == fold {
				try = append(try, order[i])
			} else {
				learn = append(learn, order[i])
			}
		}
		folds.Go(func() { rates[fold] = m.Rate(m.Fit(learn, o), try, o.Threshold) })
	}
	folds.Wait()
	var sum Rate
	for _, r := range rates {
		sum = sum.plus(r)
	}
	return sum
}
