package bayes

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"milterd/internal/store"
	"milterd/message"
	"milterd/mime"
)

// Share is a part of what may be learned in a day without anybody having said so.
type Share struct {
	Name string // of what is counted: everything, a domain, a user
	Most int64  // a day
}

const (
	quotaDay  = 24 * time.Hour
	quotaLife = 2 * quotaDay
)

// quotaKey holds the count of a share on a day (UTC). The name is hashed: it may be a
// user's or a domain's.
func (s *secret) quotaKey(day int64, name string) []byte {
	key := binary.BigEndian.AppendUint64([]byte("q"), uint64(day))
	return binary.BigEndian.AppendUint64(key, s.hash([]byte("quota\x00"+name)))
}

// AuthorDomain is the domain for whose mail a share holds: what somebody can register
// of the author's domain, so that subdomains are no way around it. Mail without a
// single author has one share together, that of the empty name.
func AuthorDomain(h *message.Header) string {
	addresses := h.Author().Addresses
	if len(addresses) != 1 {
		return ""
	}
	host := addresses[0].Domain.String()
	url := mime.URL{Host: host}
	return cmp.Or(url.Domain(), host)
}

// Take takes one of each share, and reports whether there was one left of all of
// them. The counts lie in the store, so neither a restart nor a second host that uses
// it brings more. Who does not get one may have used up one of another share; what is
// taken too little is the better mistake. On error nothing may be learned.
func (c *Classifier) Take(ctx context.Context, shares ...Share) (bool, error) {
	key, err := c.made(ctx)
	if err != nil {
		return false, err
	}
	day := c.now().Unix() / int64(quotaDay/time.Second)
	keys, ops := make([][]byte, len(shares)), make([]store.Op, len(shares))
	for i, s := range shares {
		keys[i] = key.quotaKey(day, s.Name)
		ops[i] = store.Add(keys[i], quotaLife, 1)
	}
	// Seen before, so that who asks in vain writes nothing; and again after, when
	// those who asked at the same time are counted.
	for _, already := range []int64{1, 0} {
		counts, err := c.store.Get(ctx, Space, keys...)
		if err != nil {
			return false, fmt.Errorf("bayes: %w", err)
		}
		for i, s := range shares {
			if store.Counter(counts[i], 0)+already > s.Most {
				return false, nil
			}
		}
		if already == 1 {
			if err := c.store.Apply(ctx, Space, ops...); err != nil {
				return false, fmt.Errorf("bayes: %w", err)
			}
		}
	}
	return true, nil
}
