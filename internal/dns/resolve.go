package dns

import (
	"errors"
	"os"
	"slices"
	"time"
)

// resolve asks the servers for k until one of them knows. keep says whether the
// answer may be cached.
func (r *Resolver) resolve(k key) (a *answer, keep bool) {
	servers := r.order()
	if len(servers) == 0 {
		// All are down. One question at a time is asked all the same, in case it is only
		// the probes that somebody does not let through; the others fail at once.
		if !r.trial.CompareAndSwap(false, true) {
			return failure(k.name, OutcomeTimeout, "no DNS server answers"), false
		}
		defer r.trial.Store(false)
		servers = r.servers
	}
	q := newQuery(k)
	var heard []*upstream // servers that gave a reply, if not a helpful one
	for _, u := range servers {
		if slices.Contains(heard, u) {
			continue // it would say the same again
		}
		next, replied := r.try(u, q, k)
		if replied {
			heard = append(heard, u)
		}
		// What a server said tells more than another one's silence.
		if a == nil || replied {
			a = next
		}
		if a.conclusive() {
			return a, true
		}
	}
	// The silence of dead servers is not kept: the moment one is back, everybody
	// shall know.
	return a, len(heard) > 0 || r.anyAlive()
}

// try asks u once. replied is false where no usable reply came.
func (r *Resolver) try(u *upstream, q *query, k key) (a *answer, replied bool) {
	deadline := time.Now().Add(r.tries.timeout)
	if !r.enter(u, deadline) {
		return failure(k.name, OutcomeTimeout, "too many questions waiting"), false
	}
	defer func() { <-u.slots }()
	m, overTCP, err := r.exchange(u, q, deadline)
	if err != nil {
		outcome := OutcomeError
		if errors.Is(err, os.ErrDeadlineExceeded) {
			outcome = OutcomeTimeout
		}
		a = failure(k.name, outcome, err.Error())
		a.err.UnwrapErr = err
	} else {
		a = parse(m, k)
	}
	a.overTCP = overTCP
	if a.err != nil {
		a.err.Server = u.name
	}
	return a, err == nil
}

// enter takes one of u's places, until the deadline.
func (r *Resolver) enter(u *upstream, deadline time.Time) bool {
	select {
	case u.slots <- struct{}{}:
		return true
	default:
	}
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case u.slots <- struct{}{}:
		return true
	case <-t.C:
	case <-r.ctx.Done():
	}
	return false
}

// order returns the servers to try, one after the other: those that are up in
// their configured order, then the suspect ones; never those that are down. Those
// with no place free come last. A single server is tried twice, because datagrams
// get lost; several are tried three times in all.
func (r *Resolver) order() []*upstream {
	servers := make([]*upstream, 0, len(r.servers)+2)
	for _, wanted := range []health{up, suspect} {
		for _, u := range r.servers {
			if u.state() == wanted {
				servers = append(servers, u)
			}
		}
	}
	slices.SortStableFunc(servers, func(a, b *upstream) int { return a.full() - b.full() })
	switch n := len(servers); n {
	case 0:
		return nil
	case 1:
		return append(servers, servers[0])
	case 2:
		return append(servers, servers[0])
	}
	return servers[:3]
}

// full is 1 where a question would have to wait for a place, else 0.
func (u *upstream) full() int {
	if len(u.slots) == cap(u.slots) {
		return 1
	}
	return 0
}

// anyAlive reports whether some server is not known to be down, so that silence was
// about the question.
func (r *Resolver) anyAlive() bool {
	return slices.ContainsFunc(r.servers, func(u *upstream) bool { return u.state() != down })
}
