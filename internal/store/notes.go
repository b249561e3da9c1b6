package store

import (
	"context"
	"encoding/binary"
	"time"
)

// Notes remembers when something was first seen: the clocks of undecidable mail,
// the first try of a greylisted sender. A store that fails forgets, and what it
// forgets begins now; a note never makes anybody wait for the disk.
type Notes struct {
	Store Store
	Space string
}

// Since returns when key was noted first. If it was not, or the store cannot tell,
// that is now, and it is noted for ttl. A note from the future, made before the
// clock was set back, is made anew.
//
// Whoever asks again within a second may get now again; of several notes made at
// once the first one stays.
func (n Notes) Since(ctx context.Context, key string, now time.Time, ttl time.Duration) time.Time {
	k := []byte(key)
	values, err := n.Store.Get(ctx, n.Space, k)
	if err != nil {
		return now
	}
	noted := values[0]
	if len(noted) == 8 {
		if at := time.UnixMilli(int64(binary.BigEndian.Uint64(noted))); !at.After(now) {
			return at
		}
	}
	at := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	n.Store.Post(n.Space, If(k, noted), Put(k, at, ttl)) // where that fails, the next message tries again
	return now
}

// Forget forgets key. It reads before it writes, so that forgetting what nobody
// noted, which may happen with every message, costs no disk.
func (n Notes) Forget(ctx context.Context, key string) {
	k := []byte(key)
	if values, err := n.Store.Get(ctx, n.Space, k); err == nil && values[0] != nil {
		n.Store.Post(n.Space, Delete(k))
	}
}
