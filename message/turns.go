package message

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Turns is an amount that messages wait for in the order in which they came, where
// [Budget] refuses at once. It is for the last thing that a message needs: who holds a
// part of it waits for nothing else that others hold, so everybody's turn comes.
type Turns struct {
	all  int64
	free *semaphore.Weighted
}

// NewTurns returns an amount of that many units.
func NewTurns(all int64) *Turns {
	return &Turns{all: max(all, 1), free: semaphore.NewWeighted(max(all, 1))}
}

// Take waits for n units, or for all of them where n is more, until ctx ends; then the
// error is that of ctx. give gives them back; it must be called once.
func (t *Turns) Take(ctx context.Context, n int64) (give func(), err error) {
	n = min(n, t.all)
	if err := t.free.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { t.free.Release(n) }, nil
}
