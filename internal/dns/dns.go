// Package dns is the stub resolver of milterd: it asks the recursive servers
// of the site, remembers what they said, and tells apart what the checks must
// never confuse: a name that does not exist, a name without such records, and
// a question that nobody could answer.
//
// # What comes back
//
// A look-up ends in one of three ways:
//
//   - a nil error and the records. An empty slice is NODATA (RFC 2308, section
//     2.2): the name exists, records of this type do not.
//   - the name does not exist (NXDOMAIN): a *net.DNSError with IsNotFound.
//   - everything else: a *net.DNSError with IsTemporary, and IsTimeout where
//     time ran out. SERVFAIL, REFUSED, silence, a reply that does not parse or is
//     too large, a CNAME loop, a dead context: the sender may come back later.
//
// The one exception is a message that has used up its number of queries: that
// error is neither, and errors.Is finds ErrBudget in it (see Budget).
//
// Errors are always a bare *net.DNSError, never wrapped, because code outside
// this house asserts that very type. Slices are shared with the cache and with
// other askers: read them, never write to them.
//
// # The way of one question
//
// The name becomes a key, the cache is asked, then the flights: a question that
// is already on its way is not sent twice (flight). A flight takes the usable
// servers in their order (upstream), asks each over UDP with EDNS0 and over TCP
// where UDP is not enough (exchange), and reads the reply into an answer (parse).
// A reply is hostile input like any other: it must echo id and question, records
// must belong to the CNAME chain of the question, sizes and numbers are bounded.
//
// The package assumes a recursive server nearby, best on the same host: it does
// not recurse, does not validate DNSSEC and believes what the configured servers
// say.
package dns

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options says how to build a Resolver. The zero value is right for most.
type Options struct {
	// Servers are recursive servers as host or host:port, the preferred one first.
	// A host that is not an IP address is looked up once, by the system. Empty: the
	// nameserver lines of ResolvConf.
	Servers []string
	// ResolvConf is read when Servers is empty. Empty: /etc/resolv.conf.
	ResolvConf string
	// Timeout is how long one try at one server may take; a question is tried two
	// times, three with several servers. Zero: 3 s.
	Timeout time.Duration

	// CacheBytes bounds the memory of the cache. Zero: 16 MiB.
	CacheBytes int
	// MinTTL lengthens shorter lives, so that all checks of one message see one
	// answer. Zero: 5 s.
	MinTTL time.Duration
	// MaxTTL shortens longer ones. Zero: 1 h.
	MaxTTL time.Duration
	// NegativeTTL is the longest that NXDOMAIN and NODATA are believed (RFC 2308,
	// section 5). Zero: 5 min.
	NegativeTTL time.Duration
	// FailureTTL is how long a failed question is not asked again (RFC 9520,
	// section 3.2: at least 1 s, at most 5 min). Zero: 3 s.
	FailureTTL time.Duration

	// MaxInFlight bounds the questions on their way, and with them the goroutines
	// and sockets of the resolver; later askers wait in line. Zero: 1024.
	MaxInFlight int
	// MaxPerServer bounds the questions waiting for one server, so that a silent
	// one leaves room for the others. Zero: 512.
	MaxPerServer int

	// Now is the clock of the cache and of the budgets. Nil: time.Now.
	Now func() time.Time
	// Rand gives the query ids; it must be unpredictable and safe for concurrent
	// use. Nil: crypto/rand.
	Rand io.Reader
	// Logger hears when a server falls silent and when it is back. Nil: nobody.
	Logger *slog.Logger
	// Observe is called once for each look-up that had something to ask, cached or
	// not. It must be quick and safe for concurrent use. Nil: nobody.
	Observe func(Observation)
}

// An Observation is what metrics may know of one look-up: closed sets only.
type Observation struct {
	Type     string // A, AAAA, TXT, MX, NS or PTR
	Outcome  Outcome
	Duration time.Duration // zero where the cache answered
	Cached   bool
}

// A Resolver answers look-ups from its cache and its servers. It is safe for
// concurrent use and ends with Close.
type Resolver struct {
	tries   tries
	lives   lives
	now     func() time.Time
	observe func(Observation)
	rand    io.Reader
	log     *slog.Logger
	servers []*upstream

	ctx     context.Context // ends with Close; flights and probes live under it
	stop    context.CancelFunc
	running sync.WaitGroup // flights and probes
	slots   chan struct{}  // holds one token for each flight, MaxInFlight at most
	trial   atomic.Bool    // a question is asked although all servers are down

	mu      sync.Mutex // guards what follows
	cache   *cache
	flights map[key]*flight
	closed  bool
}

// New returns a Resolver for the servers of o. It sends nothing. An error is about
// a server that is no host or host:port, an unreadable ResolvConf, or a negative
// number.
func New(o Options) (*Resolver, error) {
	if min(o.Timeout, o.MinTTL, o.MaxTTL, o.NegativeTTL, o.FailureTTL) < 0 ||
		min(o.CacheBytes, o.MaxInFlight, o.MaxPerServer) < 0 {
		return nil, errors.New("dns: negative time or size")
	}
	addrs, err := serverAddrs(o.Servers, orDefault(o.ResolvConf, "/etc/resolv.conf"))
	if err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	r := &Resolver{
		tries: tries{
			timeout:    orDefault(o.Timeout, 3*time.Second),
			probe:      time.Second,
			firstPause: 250 * time.Millisecond,
			lastPause:  2 * time.Second,
		},
		lives: lives{
			min:      orDefault(o.MinTTL, 5*time.Second),
			max:      orDefault(o.MaxTTL, time.Hour),
			negative: orDefault(o.NegativeTTL, 5*time.Minute),
			failure:  orDefault(o.FailureTTL, 3*time.Second),
		},
		now:     o.Now,
		observe: o.Observe,
		rand:    o.Rand,
		log:     o.Logger,
		slots:   make(chan struct{}, orDefault(o.MaxInFlight, 1024)),
		cache:   newCache(orDefault(o.CacheBytes, 16<<20)),
		flights: make(map[key]*flight),
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.observe == nil {
		r.observe = func(Observation) {}
	}
	if r.rand == nil {
		r.rand = rand.Reader
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	for _, addr := range addrs {
		r.servers = append(r.servers, newUpstream(addr, orDefault(o.MaxPerServer, 512)))
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r, nil
}

// orDefault returns v, or the default where v was left at its zero value.
func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Close ends every question on its way, waits for the resolver's goroutines and
// closes its sockets. What the cache cannot answer fails from then on. Close
// always returns nil.
func (r *Resolver) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.running.Wait()
	for _, u := range r.servers {
		u.closeIdle()
	}
	return nil
}

// Stats is the state of a Resolver at one moment.
type Stats struct {
	Servers    int // configured
	Up         int // of these, not known to be silent
	InFlight   int // questions on their way
	Cached     int // answers kept
	CacheBytes int // an estimate of their memory
}

// Stats returns the state of r. With Up at zero look-ups that the cache cannot
// answer fail, nearly all at once, and the fault is ours or our network's.
func (r *Resolver) Stats() Stats {
	s := Stats{Servers: len(r.servers)}
	for _, u := range r.servers {
		if u.state() != down {
			s.Up++
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.InFlight = len(r.flights)
	s.Cached = r.cache.len()
	s.CacheBytes = r.cache.bytes
	return s
}
