package bayes

import (
	"math"
)

// The constants below were chosen on one half of the development half of the
// SpamAssassin public corpus and tried on the other, and the other way round: what
// was better on both was taken, also for training with little mail, with all of one
// class first, and with mail of other years and lists than the mail that is judged.
// The figures hardly change when one of them is halved or doubled.
const (
	// doubt is Robinson's s: how many sightings the belief is worth that a token says
	// nothing. His x is one half.
	doubt = 0.1
	// telltale is how far from one half a token must be to have a say.
	telltale = 0.40
	// rarest tells most tokens without a say at once: one that is not so many times as
	// frequent in one class as in the other is at most 8/9 - 1/2 from one half.
	rarest = 8
	// placeDoubt is as how much log odds of tokens that say nothing each place of a
	// message has beside its own.
	placeDoubt = 1
	// background is how many messages of no class each class is mixed with, so that a
	// class of which little was learned claims no word for itself, and one of which
	// nothing was learned, none at all.
	background = 1
	// siteMessages is as how many messages of each class the site counts beside what a
	// user has taught.
	siteMessages = 10
	// rate is the step of the regression, weightShare its part in the score.
	rate        = 40
	weightShare = 1.3
	// boldest is the largest mistake that a step is made of: the second lesson shall not
	// drown the first, nor a wrong one all others.
	boldest = 0.6
	// calm is how much a weight is worth of a token that is seen more and more often:
	// half of it at calm squared messages.
	calm = 8
	// firstSteps and enough say how much is made of the score while of one class fewer
	// messages were taught.
	firstSteps = 3
	enough     = 25
	// steepness turns the score into log odds.
	steepness = 0.6
)

// known is what the store says about the tokens of a message, for the site and for
// the user. The fields of nobody are empty.
type known struct {
	site, user       []numbers
	siteAll, userAll Totals
}

// Clue is a token that had a say.
type Clue struct {
	Token     Token
	Spam, Ham int64   // messages in which it was seen, by the site and the user
	Weight    float64 // its part in the score; above 0 speaks for spam
}

// frequencies are how often a token is in spam and in ham, as far as anybody knows:
// the user's own messages beside the site's few.
func (k *known) frequencies(i int) (spam, ham, spamAll, hamAll float64) {
	s := k.site[i]
	if k.user == nil || k.userAll == (Totals{}) {
		return float64(s.spam), float64(s.ham), float64(k.siteAll.Spam), float64(k.siteAll.Ham)
	}
	u := k.user[i]
	spamAll, hamAll = min(float64(k.siteAll.Spam), siteMessages), min(float64(k.siteAll.Ham), siteMessages)
	if spamAll > 0 {
		spam = float64(s.spam) / float64(k.siteAll.Spam) * spamAll
	}
	if hamAll > 0 {
		ham = float64(s.ham) / float64(k.siteAll.Ham) * hamAll
	}
	return spam + float64(u.spam), ham + float64(u.ham), spamAll + float64(k.userAll.Spam), hamAll + float64(k.userAll.Ham)
}

// belief returns the log odds that a message with token i is spam, 0 for a token that
// has no say.
func (k *known) belief(i int) float64 {
	seen := float64(k.site[i].spam) + float64(k.site[i].ham)
	if k.user != nil {
		seen += float64(k.user[i].spam) + float64(k.user[i].ham)
	}
	if seen == 0 {
		return 0
	}
	spam, ham, spamAll, hamAll := k.frequencies(i)
	common := background * (spam + ham) / (spamAll + hamAll)
	inSpam, inHam := (spam+common)/(spamAll+background), (ham+common)/(hamAll+background)
	if inSpam < rarest*inHam && inHam < rarest*inSpam {
		return 0
	}
	p := inSpam / (inSpam + inHam)
	f := (doubt*0.5 + seen*p) / (doubt + seen)
	if !(math.Abs(f-0.5) >= telltale) {
		return 0
	}
	return math.Log(f / (1 - f))
}

// weight returns what the regression has learned of token i: the sum of its steps,
// which counts the less the more often it was seen, by the site or the user. Steps are
// larger than a single lesson deserves, so that the first ones tell, and what many
// lessons agree on is smoothed. So a user's few lessons move little of what the site
// knows of common words.
func (k *known) weight(i int) float64 {
	w, seen := k.site[i].weight, float64(k.site[i].spam)+float64(k.site[i].ham)
	if k.user != nil {
		w += k.user[i].weight
		seen += float64(k.user[i].spam) + float64(k.user[i].ham)
	}
	if w == 0 {
		return 0
	}
	return float64(w) * millionth * calm / (calm + math.Sqrt(seen))
}

// assurance shrinks the score while little has been learned, of one class above all.
func (k *known) assurance() float64 {
	spam, ham := k.siteAll.Spam+k.userAll.Spam, k.siteAll.Ham+k.userAll.Ham
	if spam+ham == 0 {
		return 0
	}
	fewer := float64(min(spam, ham))
	return (fewer + firstSteps) / (fewer + enough)
}

// familiar is the share of the message's words that somebody has taught. A message
// that is made of other words than those that were learned is judged by the few that
// are known, which are hardly typical of it: its score counts that much less. How a
// message is built and written is known of each, and makes none familiar.
func (k *known) familiar(tokens []Token) float64 {
	n, all := 0, 0
	for i := range tokens {
		switch tokens[i].place {
		case inFacts, inNames, inForm:
			continue
		}
		if all++; k.site[i] != (numbers{}) || k.user != nil && k.user[i] != (numbers{}) {
			n++
		}
	}
	return float64(n) / float64(max(all, 1))
}

// weigh returns the log odds that the message of which d holds the tokens is spam, and the strongest
// clues, the strongest first.
func (k *known) weigh(d *scratch) (odds float64, clues []Clue) {
	var said [places]float64 // log odds of both signs
	tokens := d.tokenizer.tokens
	weights := sized(d.weights, len(tokens))
	d.weights = weights
	for i := range tokens {
		if weights[i] = k.belief(i); weights[i] != 0 {
			said[tokens[i].place] += math.Abs(weights[i])
		}
	}
	assurance, share := k.assurance()*k.familiar(tokens), weightShare/spread(tokens)
	var score float64
	var order ranking // by strength, the place in tokens behind it
	for i := range tokens {
		w := share * k.weight(i)
		if weights[i] != 0 {
			// A mean in which the stronger belief counts for more.
			w += weights[i] * math.Abs(weights[i]) / (said[tokens[i].place] + placeDoubt)
		}
		if weights[i] = w; w != 0 {
			score += w
			order.add(uint64(math.Float32bits(float32(math.Abs(w))))<<32 | uint64(math.MaxUint32-i))
		}
	}
	clues = make([]Clue, order.n)
	for n, o := range order.top[:order.n] {
		i := math.MaxUint32 - int(o&math.MaxUint32)
		clue := Clue{Token: tokens[i], Spam: int64(k.site[i].spam), Ham: int64(k.site[i].ham), Weight: weights[i] * assurance}
		if k.user != nil {
			clue.Spam += int64(k.user[i].spam)
			clue.Ham += int64(k.user[i].ham)
		}
		clues[n] = clue
	}
	return steepness * assurance * score, clues
}

// ranking keeps the greatest of the numbers that it is given, in falling order.
type ranking struct {
	n   int
	top [strongest]uint64
}

func (r *ranking) add(v uint64) {
	switch {
	case r.n < strongest:
		r.n++
	case v <= r.top[strongest-1]:
		return
	}
	i := r.n - 1
	for ; i > 0 && r.top[i-1] < v; i-- {
		r.top[i] = r.top[i-1]
	}
	r.top[i] = v
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
