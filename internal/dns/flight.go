package dns

import (
	"context"
	"fmt"
	"runtime/debug"
)

// A flight is one question on its way, and all who wait for its answer. It runs
// in a goroutine of the resolver, under the resolver's context: an asker who
// leaves early takes nothing from the others, and what still arrives is cached.
type flight struct {
	landed chan struct{} // closed when answer is there
	answer *answer
}

// board returns the flight for k that is under way, or starts one. Where too many
// are in the air the asker waits in line, in its own goroutine, until ctx ends;
// that is the only error.
func (r *Resolver) board(ctx context.Context, k key) (*flight, error) {
	r.mu.Lock()
	f := r.flights[k]
	r.mu.Unlock()
	if f != nil {
		return f, nil
	}
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	// Another asker may have been quicker while this one stood in line.
	if f := r.flights[k]; f != nil {
		<-r.slots
		return f, nil
	}
	if a := r.cache.get(k, r.now()); a != nil {
		<-r.slots
		return landed(a), nil
	}
	if r.closed {
		<-r.slots
		a := failure(k.name, OutcomeError, "resolver is closed")
		a.err.UnwrapErr = errClosed
		return landed(a), nil
	}
	f = &flight{landed: make(chan struct{})}
	r.flights[k] = f
	r.running.Go(func() { r.fly(k, f) })
	return f, nil
}

// landed returns a flight that is over.
func landed(a *answer) *flight {
	f := &flight{landed: make(chan struct{}), answer: a}
	close(f.landed)
	return f
}

// fly answers k for everyone aboard f.
func (r *Resolver) fly(k key, f *flight) {
	a, keep := r.guardedResolve(k)
	r.mu.Lock()
	delete(r.flights, k)
	if keep {
		now := r.now()
		r.cache.put(k, a, now, now.Add(r.lives.of(a)))
	}
	r.mu.Unlock()
	<-r.slots
	f.answer = a
	close(f.landed)
}

// guardedResolve is resolve, but a panic becomes an answer: this goroutine belongs
// to no session, so nobody else would catch what a hostile reply may set off in
// the library.
func (r *Resolver) guardedResolve(k key) (a *answer, keep bool) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("panic while resolving", "type", k.typeName(), "name", fmt.Sprintf("%q", k.name),
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			a, keep = failure(k.name, OutcomeError, "internal error"), true
		}
	}()
	return r.resolve(k)
}
