// Package weights finds out what rules are worth, from mail of which is known
// whether it was wanted.
//
// A rule has points, and a message whose points reach the junk threshold is filed.
// [Evidence] notes which rules hit each message of a corpus, without network and
// without anything learned; [Model] adds points up exactly as scoring does, caps of
// groups included; [Fit] looks for points that file much of the spam while hardly
// any honest message is filed; [CrossValidate] says what such a fit is worth on mail
// that it has not seen. The same samples and the same seed give the same figures.
//
// # What a fit may do, and what it may not
//
// Corpora are old and mail is not, so the data propose and people decide. A rule
// that hits too little in the corpus keeps the weight that was set by hand. Each
// rule has bounds by the class of its evidence: what is said (words in body and
// subject), where links lead, how it is addressed and packed, what speaks for the
// message. To how it is packed the corpus may take points away but never add any: that
// changes with the years, and twenty years ago hardly any honest mail was HTML. What
// speaks for a message it leaves alone: such signs are copied the day they are worth
// much. The sign of a weight never changes, and no weight is above the class's most.
package weights

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"milterd/rules"
)

// A Sample is one message of a corpus: what hit it.
type Sample struct {
	Name string
	Spam bool
	// Heft is how many messages it stands for, 1 for most. Mail of today weighs more
	// than mail of twenty years ago, of which there is much.
	Heft float64
	Hits []string // names of rules and findings, each once
}

// Class is a kind of evidence; it bounds weights.
type Class string

// The classes.
const (
	Words    Class = "words"    // what body or subject say
	Origin   Class = "origin"   // where links lead
	Form     Class = "form"     // how the message is addressed, written and packed
	Trade    Class = "trade"    // the words of those who sell, honest or not: group pressure
	Story    Class = "story"    // composites of several signs
	Ham      Class = "ham"      // what speaks for the message
	Finding  Class = "finding"  // what a check reports; its weight is set by hand
	Verdict  Class = "verdict"  // decides alone, like the test string
	Watching Class = "watching" // without points of its own
)

// most is the most points that one rule of a class may have, learned the most that
// the data may give it.
var (
	most    = map[Class]float64{Words: 2.5, Origin: 2.5, Trade: 1.5, Form: 3, Story: 3, Ham: 0}
	learned = map[Class]float64{Words: 2, Origin: 1.8, Trade: 1.2, Story: 3}
)

// least is what a rule is worth at least that says something against a message. One
// that is worth nothing should go, which is for a person to decide.
const least = 0.1

// A Weight is what a rule is worth, and what it may become.
type Weight struct {
	Name     string
	Class    Class
	Points   float64 // as shipped
	Min, Max float64
	group    int // in Model.caps, -1 for none
}

// fixed says that a fit leaves the weight alone.
func (w *Weight) fixed() bool { return w.Min == w.Max }

// Model adds up points as scoring does. It does not change.
type Model struct {
	Weights []Weight
	index   map[string]int
	caps    []float64
}

// New makes a model of a set of rules. Rules in shadow or off have no weight.
func New(set *rules.Set) *Model {
	m := &Model{index: map[string]int{}}
	texts := map[string]bool{}
	trade := map[string]bool{}
	for _, g := range set.Groups {
		for _, name := range g.Rules {
			trade[name] = g.Name == tradeGroup
		}
	}
	for i := range set.Texts {
		t := &set.Texts[i]
		class := classOf(t)
		if class == Words && trade[t.Name] {
			class = Trade
		}
		texts[t.Name] = true
		m.add(&t.Rule, class)
	}
	for i := range set.Composites {
		c := &set.Composites[i]
		m.add(&c.Rule, classOfComposite(c, texts))
	}
	for name, s := range set.Scores {
		m.add(&rules.Rule{Name: name, Score: s.Points, State: rules.Active}, Finding)
	}
	slices.SortFunc(m.Weights, func(a, b Weight) int { return cmp.Compare(a.Name, b.Name) })
	for i := range m.Weights {
		m.index[m.Weights[i].Name] = i
	}
	for g, group := range set.Groups {
		m.caps = append(m.caps, group.Max)
		for _, name := range group.Rules {
			if i, ok := m.index[name]; ok {
				m.Weights[i].group = g
			}
		}
	}
	return m
}

// tradeGroup is the group of rules whose words honest shops write as well.
const tradeGroup = "pressure"

// deciding is the weight from which a rule is no evidence but a verdict.
const deciding = 15

func classOf(t *rules.TextRule) Class {
	if t.Score < 0 {
		return Ham
	}
	switch t.Text {
	case rules.Body:
		return Words
	case rules.Header:
		if t.Header == "Subject" {
			return Words
		}
	case rules.URI, rules.URIHost, rules.URIShown:
		return Origin
	}
	return Form
}

// classOfComposite says what a composite is about: one of facts of HTML is of form,
// whatever else it asks.
func classOfComposite(c *rules.Composite, texts map[string]bool) Class {
	if c.Score < 0 {
		return Ham
	}
	class := Story
	for _, name := range c.Names {
		switch {
		case texts[name]:
		case strings.HasPrefix(name, "HTML_") || strings.HasPrefix(name, "MIME_"):
			return Form
		case strings.HasPrefix(name, "URL_"):
			class = Origin
		}
	}
	return class
}

func (m *Model) add(r *rules.Rule, class Class) {
	w := Weight{Name: r.Name, Class: class, Points: r.Score, Min: r.Score, Max: r.Score, group: -1}
	switch {
	case r.State != rules.Active:
		return
	case math.Abs(r.Score) >= deciding:
		w.Class = Verdict
	case r.Score == 0:
		w.Class = Watching
	case class == Finding || class == Ham:
	case class == Form:
		w.Min = min(least, r.Score)
	default:
		w.Min, w.Max = min(least, r.Score), max(learned[class], r.Score)
	}
	m.Weights = append(m.Weights, w)
}

// Most returns the most points that a rule of the class may ship with, and whether
// there is a bound.
func Most(c Class) (points float64, bounded bool) {
	points, bounded = most[c]
	return points, bounded
}

// Shipped returns the points as they are, one for each of Weights.
func (m *Model) Shipped() []float64 {
	points := make([]float64, len(m.Weights))
	for i := range m.Weights {
		points[i] = m.Weights[i].Points
	}
	return points
}

// encode returns the places of what hit, in the order of Weights.
func (m *Model) encode(hits []string) []int {
	var at []int
	for _, name := range hits {
		if i, ok := m.index[name]; ok {
			at = append(at, i)
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// Score returns what a message with these hits gets, with the given points.
func (m *Model) Score(points []float64, hits []string) float64 {
	return m.score(points, m.encode(hits), make([]float64, len(m.caps)))
}

// score adds up; sums is room for the groups, and afterwards holds what each of
// them would bring without its cap.
func (m *Model) score(points []float64, at []int, sums []float64) float64 {
	clear(sums)
	total := 0.0
	for _, i := range at {
		if g := m.Weights[i].group; g >= 0 {
			sums[g] += points[i]
		} else {
			total += points[i]
		}
	}
	for g, sum := range sums {
		total += min(sum, m.caps[g])
	}
	return total
}

// Rate is how a choice of points does on samples.
type Rate struct {
	Ham, Spam           int // messages
	HamFiled, SpamFiled int // those at or above the threshold
}

// FalsePositives is the share of honest messages that are filed.
func (r Rate) FalsePositives() float64 { return share(r.HamFiled, r.Ham) }

// Recall is the share of spam that is filed.
func (r Rate) Recall() float64 { return share(r.SpamFiled, r.Spam) }

func share(part, all int) float64 {
	if all == 0 {
		return 0
	}
	return float64(part) / float64(all)
}

// add counts one message.
func (r *Rate) add(spam, filed bool) {
	switch {
	case spam && filed:
		r.Spam, r.SpamFiled = r.Spam+1, r.SpamFiled+1
	case spam:
		r.Spam++
	case filed:
		r.Ham, r.HamFiled = r.Ham+1, r.HamFiled+1
	default:
		r.Ham++
	}
}

// plus adds two rates up.
func (r Rate) plus(other Rate) Rate {
	return Rate{r.Ham + other.Ham, r.Spam + other.Spam, r.HamFiled + other.HamFiled, r.SpamFiled + other.SpamFiled}
}

// Rate returns how points do on samples, with a threshold.
func (m *Model) Rate(points []float64, samples []Sample, threshold float64) Rate {
	var r Rate
	for i := range samples {
		// Half a hundredth is lost in adding decimals; scoring rounds as well.
		r.add(samples[i].Spam, m.Score(points, samples[i].Hits) >= threshold-0.005)
	}
	return r
}
