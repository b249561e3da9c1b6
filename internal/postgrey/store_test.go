package postgrey

import (
	"context"

	"milterd/internal/store"
)

// asked is a store that only counts who is looked up: nobody who is exempt.
type asked struct {
	store.Store
	n int
}

func (a *asked) Get(_ context.Context, _ string, keys ...[]byte) ([][]byte, error) {
	a.n++
	return make([][]byte, len(keys)), nil
}
