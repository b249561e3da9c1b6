package dns

import (
	"context"
	"sync"
	"time"
)

// Limits is what one message may spend on DNS. Zero values mean no limit.
type Limits struct {
	// Queries is for the whole message, all groups together.
	Queries int
	// Time is for each group: the time during which at least one of its questions
	// is waiting. Time in which a group asks nothing is not counted, so a client
	// that dawdles between MAIL and RCPT costs its checks nothing; nor are several
	// questions side by side counted several times.
	Time time.Duration
	// Groups narrows or widens this for the groups it names.
	Groups map[string]GroupLimits
}

// GroupLimits is what one group of a message may spend.
type GroupLimits struct {
	// Queries is the most this group may send. Zero: what the message has left.
	Queries int
	// Reserve is the part of Limits.Queries that only this group may spend; it is
	// spent first.
	Reserve int
	// Time replaces Limits.Time. Zero: Limits.Time.
	Time time.Duration
}

// A Budget counts what one message spends on DNS, apart for each group (spf,
// dkim, dmarc, lists), so that a sender who makes one check ask endlessly cannot
// starve another. Give it to look-ups by WithBudget and WithGroup.
//
// A question that the cache can answer costs nothing. Any other costs one query,
// however often it has to be repeated because servers stay silent (their silence
// is not the sender's doing), and one more when the reply had to be fetched again
// over TCP. A question that several askers share is paid by each of them.
type Budget struct {
	limits Limits
	common int // of limits.Queries, what no group has reserved

	mu     sync.Mutex
	shared int // spent of common
	groups map[string]*purse
}

// A purse is what one group has spent.
type purse struct {
	queries int
	waiting int           // questions on their way
	since   time.Time     // when waiting became positive
	spent   time.Duration // before that
}

// NewBudget returns a fresh budget for one message. Reserves that add up to more
// than l.Queries are granted all the same, and leave nothing to share.
func NewBudget(l Limits) *Budget {
	b := &Budget{limits: l, common: l.Queries, groups: make(map[string]*purse)}
	for _, g := range l.Groups {
		b.common -= g.Reserve
	}
	return b
}

// Usage is what one group has spent.
type Usage struct {
	Queries int
	Time    time.Duration // of finished waits
}

// Used returns what each group has spent so far, by the group's name; look-ups
// without WithGroup are under "". Groups that have asked nothing are absent.
func (b *Budget) Used() map[string]Usage {
	b.mu.Lock()
	defer b.mu.Unlock()
	used := make(map[string]Usage, len(b.groups))
	for name, p := range b.groups {
		used[name] = Usage{p.queries, p.spent}
	}
	return used
}

// purse returns the purse of a group; b.mu is held.
func (b *Budget) purse(group string) *purse {
	p := b.groups[group]
	if p == nil {
		p = new(purse)
		b.groups[group] = p
	}
	return p
}

// spend takes one query out of the group's purse, or reports that there is none.
func (b *Budget) spend(group string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, limits := b.purse(group), b.limits.Groups[group]
	if limits.Queries > 0 && p.queries >= limits.Queries {
		return false
	}
	if b.limits.Queries > 0 && p.queries >= limits.Reserve {
		if b.shared >= b.common {
			return false
		}
		b.shared++
	}
	p.queries++
	return true
}

// startWait notes that a question of the group begins to wait at now. It returns
// how long it may wait; limited is false where nothing limits it.
func (b *Budget) startWait(group string, now time.Time) (left time.Duration, limited bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.purse(group)
	if p.waiting == 0 {
		p.since = now
	}
	p.waiting++
	most := orDefault(b.limits.Groups[group].Time, b.limits.Time)
	return most - p.spent - now.Sub(p.since), most > 0
}

// endWait notes that a question of the group has ended its wait at now.
func (b *Budget) endWait(group string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.purse(group)
	p.waiting--
	if p.waiting == 0 {
		p.spent += now.Sub(p.since)
	}
}

type budgetKey struct{}
type groupKey struct{}

// WithBudget returns a context whose look-ups are paid from b. Without one they
// are not counted.
func WithBudget(ctx context.Context, b *Budget) context.Context {
	return context.WithValue(ctx, budgetKey{}, b)
}

// WithGroup returns a context whose look-ups are counted for the named group. The
// innermost group counts; the order of WithGroup and WithBudget does not matter.
func WithGroup(ctx context.Context, group string) context.Context {
	return &grouped{ctx, group}
}

// grouped is what [context.WithValue] would make, in one piece of memory: each check of
// each message has one.
type grouped struct {
	context.Context
	group string
}

// Value implements [context.Context].
func (g *grouped) Value(key any) any {
	if key == (groupKey{}) {
		return g
	}
	return g.Context.Value(key)
}

// An account is the budget and group of one look-up. Its budget may be nil.
type account struct {
	budget *Budget
	group  string
	now    func() time.Time
}

func (r *Resolver) account(ctx context.Context) account {
	b, _ := ctx.Value(budgetKey{}).(*Budget)
	if b == nil {
		return account{}
	}
	var group string
	if g, ok := ctx.Value(groupKey{}).(*grouped); ok {
		group = g.group
	}
	return account{b, group, r.now}
}

// spend pays for one query, or reports that it cannot.
func (a account) spend() bool { return a.budget == nil || a.budget.spend(a.group) }

// wait returns a context that also ends when the group's time does, with the
// cause ErrBudgetTime. The caller calls done when it has stopped waiting.
func (a account) wait(ctx context.Context) (waiting context.Context, done func()) {
	if a.budget == nil {
		return ctx, func() {}
	}
	left, limited := a.budget.startWait(a.group, a.now())
	cancel := func() {}
	if limited {
		ctx, cancel = context.WithTimeoutCause(ctx, left, ErrBudgetTime)
	}
	return ctx, func() {
		cancel()
		a.budget.endWait(a.group, a.now())
	}
}
