package pipeline

import "sync"

// crewIdle is how many goroutines a crew keeps that have nothing to do.
const crewIdle = 64

// crew runs functions in goroutines, and keeps these for the next functions while the
// pipeline is in service: a message has a dozen checks and more, and the stack of a new
// goroutine has to grow anew for each. There is always one for a function, as a check
// may wait for another.
type crew struct {
	mu    sync.Mutex
	keeps bool
	// idle are those who wait for a function. Who came last goes first: its stack is
	// large and warm, and the collector shrinks those that are not needed.
	idle []chan func()
	left sync.WaitGroup // the idle ones
}

// keep lets goroutines stay from now on, until dismiss.
func (c *crew) keep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keeps = true
}

// dismiss sends the idle ones home and waits for them. Who is at work goes on, and leaves
// when that is done.
func (c *crew) dismiss() {
	c.mu.Lock()
	c.keeps = false
	for _, wait := range c.idle {
		close(wait)
	}
	c.idle = nil
	c.mu.Unlock()
	c.left.Wait()
}

// do runs f, and does not wait for it.
func (c *crew) do(f func()) {
	c.mu.Lock()
	if last := len(c.idle) - 1; last >= 0 {
		wait := c.idle[last]
		c.idle = c.idle[:last]
		c.mu.Unlock()
		wait <- f // has room for it
		return
	}
	c.mu.Unlock()
	go func() {
		wait := make(chan func(), 1)
		for f != nil {
			f()
			f = c.next(wait)
		}
	}()
}

// next waits for the next function. There is none for a goroutine that is to leave.
func (c *crew) next(wait chan func()) func() {
	c.mu.Lock()
	if !c.keeps || len(c.idle) == crewIdle {
		c.mu.Unlock()
		return nil
	}
	c.idle = append(c.idle, wait)
	c.left.Add(1)
	c.mu.Unlock()
	defer c.left.Done()
	return <-wait // nil when it was closed
}
