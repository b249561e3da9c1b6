package redis

import (
	"context"
	"strings"

	"milterd/internal/store"
)

// walkKeys is how many keys the server is asked for at a time.
const walkKeys = 1000

var _ store.Walker = (*Store)(nil)

// Walk implements [store.Walker]. A key that the server names twice, which it may
// while it makes room, is shown twice.
func (s *Store) Walk(ctx context.Context, each func(space string, key []byte, r store.Record) error) error {
	pattern := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s.prefix) + ":*"
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		if s.isClosed() {
			return store.ErrClosed
		}
		names, next, err := s.client.Scan(ctx, cursor, pattern, walkKeys).Result()
		if err != nil {
			return s.wrap(ctx, err)
		}
		cursor = next
		if len(names) == 0 {
			continue
		}
		values, err := s.client.MGet(ctx, names...).Result()
		if err != nil {
			return s.wrap(ctx, err)
		}
		now := s.o.Now()
		for i, v := range values {
			text, _ := v.(string)
			space, key, ok := strings.Cut(strings.TrimPrefix(names[i], s.prefix+":"), ":")
			r := record(text).At(now)
			if !ok || r.Value == nil { // gone meanwhile, or the name of a batch, which is no record
				continue
			}
			if err := each(space, []byte(key), r); err != nil {
				return err
			}
		}
	}
	return nil
}
