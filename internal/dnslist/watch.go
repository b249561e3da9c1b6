package dnslist

import (
	"context"
	"sync"
	"time"
)

// A testResult is how a test ended, as metrics call it.
type testResult string

const (
	testPassed    testResult = "passed"
	testFailed    testResult = "failed"
	testUndecided testResult = "undecided" // the DNS is in trouble: says nothing about the list
)

// Watch tests every list now, once an hour, and sooner those that are benched, and
// keeps the count of the day in the store. It returns when ctx ends and no test is
// under way any more.
func (b *Book) Watch(ctx context.Context) {
	if len(b.lists) == 0 {
		return
	}
	defer b.share(context.WithoutCancel(ctx))
	b.share(ctx)
	b.testAll(ctx, b.lists)
	for ctx.Err() == nil {
		timer := time.NewTimer(b.untilNext())
		select {
		case <-timer.C:
		case <-b.kick:
		case <-ctx.Done():
		}
		timer.Stop()
		b.share(ctx)
		b.testAll(ctx, b.due())
	}
}

// untilNext is how long there is nothing to do. A clock that was set back costs at
// most one round.
func (b *Book) untilNext() time.Duration {
	now := b.now()
	wait := testAge
	if b.store != nil {
		wait = shareAge
	}
	for _, l := range b.lists {
		b.ledger.with(l, now, func(a *account) { wait = min(wait, a.next.Sub(now)) })
	}
	return max(wait, 0)
}

func (b *Book) due() []*List {
	now := b.now()
	var due []*List
	for _, l := range b.lists {
		b.ledger.with(l, now, func(a *account) {
			if !a.next.After(now) || a.next.Sub(now) > testAge {
				due = append(due, l)
			}
		})
	}
	return due
}

// testAll tests lists side by side.
func (b *Book) testAll(ctx context.Context, lists []*List) {
	if ctx.Err() != nil {
		return
	}
	var testing sync.WaitGroup
	for _, l := range lists {
		testing.Go(func() { b.test(ctx, l) })
	}
	testing.Wait()
}

// test asks a list for its test points and draws the conclusion.
func (b *Book) test(ctx context.Context, l *List) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	result, why := testPassed, Reason("")
	if q, ok := l.listedPoint(); ok {
		b.ledger.charge(l, b.now(), 1)
		switch a := b.lookup(ctx, &q); {
		case a.Status == Listed:
		case a.Status == Clear:
			result, why = testFailed, ReasonDead
		case a.Reason.benches():
			result, why = testFailed, a.Reason
		default:
			result = testUndecided
		}
	}
	if result == testPassed {
		switch a := b.control(ctx, l); {
		case a.Status == Clear:
		case a.Reason.benches():
			result, why = testFailed, a.Reason
		default:
			result = testUndecided
		}
	}
	if ctx.Err() != nil && result != testPassed && context.Cause(ctx) == context.Canceled {
		return // the daemon ends
	}
	b.metrics.tested(l, result)
	if result == testFailed {
		b.bench(l, why)
	}
	now, back := b.now(), false
	b.ledger.with(l, now, func(a *account) {
		a.tested = now
		switch {
		case result == testUndecided:
			a.next = now.Add(undecided)
		case result == testFailed:
			a.next = now.Add(a.retest())
			a.tries++
		default:
			a.next = now.Add(testAge)
			if back = a.bench != ""; back {
				a.back = now
			}
			a.bench, a.confirmed = "", now
		}
	})
	if back {
		b.log.Info("a DNS list has passed its test and is asked again", "list", l.Name)
	}
}
