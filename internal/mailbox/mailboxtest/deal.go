package mailboxtest

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
)

// Deal shuffles messages and deals them into folds; those with one body, blanks aside, come into
// one fold, so that nothing is tested that was taught. It returns the places of the messages in
// their new order, and for each message, by its place in bodies, the fold. The same seed gives the
// same deal.
func Deal(bodies [][]byte, folds int, seed uint64) (order, fold []int) {
	order, fold = make([]int, len(bodies)), make([]int, len(bodies))
	for i := range order {
		order[i] = i
	}
	random := rand.New(rand.NewPCG(seed, 0))
	random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	where := map[[32]byte]int{}
	for _, i := range order {
		sum := sha256.Sum256(bytes.Join(bytes.Fields(bodies[i]), nil))
		f, known := where[sum]
		if !known {
			f = random.IntN(folds)
			where[sum] = f
		}
		fold[i] = f
	}
	return order, fold
}
