// Package crew runs functions in goroutines that stay for the next function.
//
// A new goroutine has a small stack, which is copied each time it has to grow: for what
// a milter does with a message that is some 3 % of the CPU time. So connections and checks
// run in goroutines that have a large one already.
package crew

import "sync"

// most is how many goroutines a crew keeps that have nothing to do.
const most = 64

// Crew runs functions in goroutines, and keeps these for the next functions while it is
// in service. The zero value is one that is not: each function has a goroutine of its own.
// It is safe for concurrent use.
type Crew struct {
	mu    sync.Mutex
	keeps bool
	// idle are those who wait for a function. Who came last goes first: its stack is
	// large and warm, and the collector shrinks those that are not needed.
	idle []chan func()
	left sync.WaitGroup // the idle ones
	// waits are channels that nobody waits at.
	waits sync.Pool
}

// Keep lets goroutines stay from now on, 64 idle ones at most, until Dismiss.
func (c *Crew) Keep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keeps = true
}

// Dismiss sends the idle ones home and waits for them. Who is at work goes on, and leaves
// when that is done.
func (c *Crew) Dismiss() {
	c.mu.Lock()
	c.keeps = false
	for _, wait := range c.idle {
		close(wait)
	}
	c.idle = nil
	c.mu.Unlock()
	c.left.Wait()
}

// Do runs f, and does not wait for it. There is always a goroutine for it, as functions
// may wait for each other.
func (c *Crew) Do(f func()) {
	c.mu.Lock()
	if last := len(c.idle) - 1; last >= 0 {
		wait := c.idle[last]
		c.idle = c.idle[:last]
		c.mu.Unlock()
		wait <- f // has room for it
		return
	}
	c.mu.Unlock()
	go c.work(f)
}

// work runs f, and then what comes.
func (c *Crew) work(f func()) {
	for f != nil {
		f()
		f = c.next()
	}
}

// next waits for the next function. There is none for a goroutine that is to leave.
func (c *Crew) next() func() {
	c.mu.Lock()
	if !c.keeps || len(c.idle) == most {
		c.mu.Unlock()
		return nil
	}
	wait, ok := c.waits.Get().(chan func()) // not before: ten thousand connections with nothing to say have no need of it
	if !ok {
		wait = make(chan func(), 1)
	}
	c.idle = append(c.idle, wait)
	c.left.Add(1)
	c.mu.Unlock()
	defer c.left.Done()
	f := <-wait
	if f != nil { // nil when it was closed
		c.waits.Put(wait)
	}
	return f
}
