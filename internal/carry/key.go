package carry

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"milterd/internal/store"
)

const (
	space    = "carry"
	keyBytes = 32
	// retry is how long a store that could not give the key is left alone: mail goes
	// on without the field.
	retry = 5 * time.Second
)

var keyName = []byte("key")

// Keys gives the key that all hosts of a store share. It is made once, by whoever
// comes first, and kept in memory from then on.
type Keys struct {
	Store  store.Store
	Now    func() time.Time
	Random io.Reader

	mu    sync.Mutex
	key   []byte
	tried time.Time
	err   error
}

// Key returns the key. While the store cannot give it, it is asked again every few
// seconds, and the error is the store's.
func (k *Keys) Key(ctx context.Context) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key != nil {
		return k.key, nil
	}
	now := k.Now()
	if age := now.Sub(k.tried); k.err != nil && 0 <= age && age < retry {
		return nil, k.err
	}
	k.key, k.err = load(ctx, k.Store, k.Random)
	if k.err != nil {
		k.key, k.tried = nil, now
	}
	return k.key, k.err
}

// load reads the key, or stores a fresh one where there is none: that of the host
// that was first.
func load(ctx context.Context, s store.Store, random io.Reader) ([]byte, error) {
	for range 2 {
		values, err := s.Get(ctx, space, keyName)
		if err != nil {
			return nil, err
		}
		if len(values[0]) == keyBytes {
			return values[0], nil
		}
		fresh := make([]byte, keyBytes)
		if _, err := io.ReadFull(random, fresh); err != nil {
			return nil, err
		}
		err = s.Apply(ctx, space, store.If(keyName, values[0]), store.Put(keyName, fresh, 0))
		if err == nil {
			return fresh, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return nil, err
		}
	}
	return nil, store.ErrConflict
}
