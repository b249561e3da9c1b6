package clamav

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// server is one clamd. One that has failed comes last for a while.
type server struct {
	name             string // as configured
	network, address string

	mu     sync.Mutex
	failed time.Time
}

// benchTime is for how long a server comes last after it has failed.
const benchTime = 30 * time.Second

// rank is 0 for a server that works as far as anybody knows, else 1.
func (s *server) rank(now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed.IsZero() || now.Sub(s.failed).Abs() >= benchTime {
		return 0
	}
	return 1
}

func (s *server) note(failed bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = time.Time{}
	if failed {
		s.failed = now
	}
}

// scanner asks the servers.
type scanner struct {
	servers []*server
	most    int64         // bytes of a stream
	slots   chan struct{} // a place for each connection that may be open
	early   chan struct{} // a place for each that may be open while a body arrives
	cache   *cache
	metrics *metrics
	now     func() time.Time
}

// order returns the servers as they are to be tried.
func (s *scanner) order() []*server {
	now := s.now()
	order := slices.Clone(s.servers)
	slices.SortStableFunc(order, func(a, b *server) int { return cmp.Compare(a.rank(now), b.rank(now)) })
	return order
}

// scan returns the name of what is found in content, "" for nothing; key is its hash.
// ctx has a deadline, and until then all servers are asked twice: one that reads its database
// again says nothing for some seconds.
func (s *scanner) scan(ctx context.Context, content []byte, key [sha256.Size]byte) (virus string, err error) {
	if virus, known := s.cache.get(key, s.now()); known {
		s.metrics.scans.WithLabelValues("cached").Inc()
		return virus, nil
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return "", fmt.Errorf("all connections to clamd are taken: %w", ctx.Err())
	}
	const rounds = 2
	for round := range rounds {
		if round > 0 && !pause(ctx) {
			break
		}
		order := s.order()
		for i, server := range order {
			last := round == rounds-1 && i == len(order)-1
			turns := len(order) - i + (rounds-1-round)*len(order)
			virus, err = s.ask(ctx, server, content, last, turns)
			if err == nil {
				s.cache.put(key, virus, s.now())
				return virus, nil
			}
			if errors.Is(err, errSize) || ctx.Err() != nil {
				return "", err
			}
		}
	}
	return "", err
}

// ask asks one server. It may take its share of the time that is left for so many
// turns, the last one all of it.
func (s *scanner) ask(ctx context.Context, server *server, content []byte, last bool, turns int) (virus string, err error) {
	turn := ctx
	if end, bounded := ctx.Deadline(); bounded && !last {
		var cancel context.CancelFunc
		turn, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(turns))
		defer cancel()
	}
	virus, err = server.instream(turn, content, s.most)
	return virus, s.judge(ctx, server, virus, err)
}

// judge notes how a server has done. Nobody is to blame for a scan that was called off.
func (s *scanner) judge(ctx context.Context, server *server, virus string, err error) error {
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return err
	case err != nil:
		s.metrics.scans.WithLabelValues("error").Inc()
		s.metrics.failures.WithLabelValues(server.name).Inc()
		err = fmt.Errorf("%s: %w", server.name, err)
	case virus != "":
		s.metrics.scans.WithLabelValues("found").Inc()
	default:
		s.metrics.scans.WithLabelValues("clean").Inc()
	}
	server.note(err != nil && !errors.Is(err, errSize), s.now())
	return err
}

// pause waits before everybody is asked again: a quarter of the time that is left, and
// two seconds at most. It returns false when there is no time left.
func pause(ctx context.Context) bool {
	wait := 2 * time.Second
	if end, bounded := ctx.Deadline(); bounded {
		wait = min(wait, time.Until(end)/4)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// cache remembers verdicts by what they are about. It holds two generations: when the
// younger one is full it becomes the older one, and that one goes. A verdict older than
// ttl does not count: the signatures may be others.
type cache struct {
	ttl  time.Duration
	most int // entries of a generation

	mu           sync.Mutex
	young, older map[[sha256.Size]byte]known
}

type known struct {
	virus string
	at    time.Time
}

func newCache(ttl time.Duration, most int) *cache {
	return &cache{ttl: ttl, most: most, young: map[[sha256.Size]byte]known{}}
}

func (c *cache) get(key [sha256.Size]byte, now time.Time) (virus string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, generation := range []map[[sha256.Size]byte]known{c.young, c.older} {
		if k, there := generation[key]; there {
			age := now.Sub(k.at)
			return k.virus, age >= 0 && age < c.ttl
		}
	}
	return "", false
}

func (c *cache) put(key [sha256.Size]byte, virus string, now time.Time) {
	if c.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= c.most {
		c.young, c.older = map[[sha256.Size]byte]known{}, c.young
	}
	c.young[key] = known{virus, now}
}
