package dnslist

import (
	"context"
	"strconv"
	"time"

	"milterd/internal/store"
)

// Budgets are the list's, not the process's: a restart must not begin a new day, and
// several MX hosts on one store share what one registration allows. Each host adds what
// it has asked to a counter of the day and reads what all have asked; between two
// minutes it goes by its own count. A store that fails changes nothing: then each
// process counts for itself.
const (
	shareSpace = "dnslist"
	shareAge   = time.Minute
	shareTTL   = 48 * time.Hour
)

// share brings the day's counts up to date with the store.
func (b *Book) share(ctx context.Context) {
	if b.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	now := b.now()
	for _, l := range b.lists {
		if l.Daily == 0 {
			continue
		}
		var day int64
		b.ledger.with(l, now, func(a *account) { day = a.day })
		key := append([]byte(l.Name+"/"), strconv.FormatInt(day, 10)...)
		values, err := b.store.Get(ctx, shareSpace, key)
		if err != nil {
			continue
		}
		var more int64
		b.ledger.with(l, now, func(a *account) {
			if a.day != day {
				return
			}
			more = int64(a.spent - a.told)
			a.spent = max(a.spent, int(store.Counter(values[0], 0)+more))
			a.told = a.spent
		})
		if more > 0 && b.store.Post(shareSpace, store.Add(key, shareTTL, more)) != nil {
			b.ledger.with(l, now, func(a *account) {
				if a.day == day {
					a.told -= int(more) // next time
				}
			})
		}
	}
}
