package pipeline

import "sync"

// crewIdle is how many goroutines a crew keeps that have nothing to do.
const crewIdle = 64

// crew runs functions in goroutines, and keeps these for the next functions while the
// pipeline is in service: a message has a dozen checks and more, and the stack of a new
// goroutine has to grow anew for each. There is always one for a function, as a check
// may wait for another.
type crew struct {
	work chan func() // unbuffered: only who is idle takes from it

	mu    sync.Mutex
	keeps bool
	idle  int
	home  chan struct{}  // closed when nobody is to stay
	left  sync.WaitGroup // the idle ones
}

// keep lets goroutines stay from now on, until dismiss.
func (c *crew) keep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keeps, c.home = true, make(chan struct{})
}

// dismiss sends the idle ones home and waits for them. Who is at work goes on, and leaves
// when that is done.
func (c *crew) dismiss() {
	c.mu.Lock()
	if c.keeps {
		c.keeps = false
		close(c.home)
	}
	c.mu.Unlock()
	c.left.Wait()
}

// do runs f, and does not wait for it.
func (c *crew) do(f func()) {
	select {
	case c.work <- f:
	default:
		go func() {
			for f != nil {
				f()
				f = c.next()
			}
		}()
	}
}

// next waits for the next function. There is none for a goroutine that is to leave.
func (c *crew) next() func() {
	c.mu.Lock()
	if !c.keeps || c.idle == crewIdle {
		c.mu.Unlock()
		return nil
	}
	c.idle++
	c.left.Add(1)
	home := c.home
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.idle--
		c.mu.Unlock()
		c.left.Done()
	}()
	select {
	case f := <-c.work:
		return f
	case <-home:
		return nil
	}
}
