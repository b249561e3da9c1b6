package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Chaos is mail by the thousand while everything breaks at random, in rounds: at the end
// of a round all is mended and the account is balanced.
type Chaos struct {
	Lab     *Lab
	Letters int // in all
	Round   int // letters in one round
	Senders int // at a time
	Tries   int // of one letter, before it stays deferred
	Seed    uint64
	// Each, if set, is told the balance of each round.
	Each func(round int, b Balance, faults map[string]int)
}

// areas are what can be broken at the same time: each has a hand of its own that breaks
// one thing of it, mends it after a while, and takes the next.
func (l *Lab) areas() []area {
	areas := []area{
		{l.Benches[0], []string{"dns dead", "dns silent", "dns servfail", "dns slow", "dns hostile"}, nil},
		{l.Benches[0], []string{"clamd dead", "clamd hanging", "clamd lying"}, nil},
		{l.Benches[0], []string{"redis dead", "redis hanging", "redis full"}, nil},
	}
	for _, b := range l.Benches {
		areas = append(areas, area{b, []string{"milterd killed", "milterd stopped"}, []string{"reload a good file", "reload a broken file"}})
		if b.Disk == Small {
			areas = append(areas, area{b, []string{"disk full"}, nil})
		}
	}
	return areas
}

type area struct {
	bench  *Bench
	faults []string
	deeds  []string
}

// wholeFor is how long an area stays in order between two faults, brokenFor how long a fault
// lasts, at most and half of that on average.
const (
	wholeFor  = 10 * time.Second
	brokenFor = 2 * time.Second
)

// Run sends all letters and returns the balance over all rounds. The error is of the lab
// itself: something that could not be broken, mended or counted.
func (c *Chaos) Run(ctx context.Context) (Balance, error) {
	postman := c.Lab.Postman()
	var total Balance
	for round, left := 0, c.Letters; left > 0; round++ {
		n := min(left, c.Round)
		left -= n
		since := c.Lab.Mark()
		faults, err := c.round(ctx, postman, n, uint64(round))
		if err != nil {
			return total, fmt.Errorf("round %d: %w", round, err)
		}
		balance, err := c.Lab.Settle(ctx, postman, since, false)
		if err != nil {
			return total, fmt.Errorf("round %d: %w", round, err)
		}
		total.Add(balance)
		if c.Each != nil {
			c.Each(round, balance, faults)
		}
		if err := c.Lab.Clear(ctx); err != nil {
			return total, fmt.Errorf("round %d: %w", round, err)
		}
		postman.Turn()
	}
	return total, nil
}

// round sends n letters while the hands are at work, and counts what they did.
func (c *Chaos) round(ctx context.Context, postman *Postman, n int, round uint64) (faults map[string]int, err error) {
	breaking, enough := context.WithCancel(ctx)
	defer enough()
	var hands, senders sync.WaitGroup
	var mu sync.Mutex
	faults = map[string]int{}
	for i, a := range c.Lab.areas() {
		random := rand.New(rand.NewPCG(c.Seed, round<<8|uint64(i)))
		hands.Go(func() {
			failed := a.work(ctx, breaking, random, func(what string) {
				mu.Lock()
				faults[what]++
				mu.Unlock()
			})
			mu.Lock()
			err = errors.Join(err, failed)
			mu.Unlock()
		})
	}
	letters := make(chan *Letter)
	for i := range c.Senders {
		random := rand.New(rand.NewPCG(c.Seed, round<<8|0x80|uint64(i)))
		senders.Go(func() {
			for l := range letters {
				postman.Deliver(ctx, c.Lab.Benches[l.Serial%len(c.Lab.Benches)].Name, l, c.Tries, random)
			}
		})
	}
	random := rand.New(rand.NewPCG(c.Seed, round))
	for range n {
		letters <- postman.Write(mixture[random.IntN(len(mixture))])
	}
	close(letters)
	senders.Wait()
	enough()
	hands.Wait()
	return faults, err
}

// mixture is what is sent: half of it is welcome.
var mixture = []string{"ham", "ham", "ham", "bank", "large", "malware", "spam", "spoof", "forged", "malware"}

// work breaks and mends until it is enough, for the first time soon. Whatever is broken is
// mended before it returns, by ctx.
func (a area) work(ctx, enough context.Context, random *rand.Rand, did func(string)) error {
	what := slices.Concat(a.faults, a.deeds)
	for whole := brokenFor; ; whole = wholeFor {
		if wait(enough, time.Duration(random.Int64N(int64(whole)))) != nil {
			return nil
		}
		name := what[random.IntN(len(what))]
		did(strings.TrimSpace(name + " " + a.at(name)))
		if deed, ok := Deeds()[name]; ok {
			if err := deed(ctx, a.bench); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		fault := Faults()[name]
		if err := fault.Break(ctx, a.bench); err != nil {
			return fmt.Errorf("break %s: %w", name, err)
		}
		_ = wait(enough, time.Duration(random.Int64N(int64(brokenFor))))
		if err := fault.Mend(ctx, a.bench); err != nil {
			return fmt.Errorf("mend %s: %w", name, err)
		}
	}
}

// at names the daemon of a fault that is one daemon's.
func (a area) at(fault string) string {
	if strings.HasPrefix(fault, "milterd") || strings.HasPrefix(fault, "disk") || strings.HasPrefix(fault, "reload") {
		return "(" + a.bench.Name + ")"
	}
	return ""
}
