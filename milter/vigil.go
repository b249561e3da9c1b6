package milter

import (
	"context"
	"sync"
	"time"
)

// An event that takes longer than this is worth a goroutine that looks whether
// the MTA is still there.
const vigilDelay = 50 * time.Millisecond

// eventContext is the ctx of one event. Most events never look at theirs, so the
// real context with its timer is made when first asked for, and an unused one
// serves the next event too.
type eventContext struct {
	conn *Conn

	mu     sync.Mutex
	limit  time.Duration
	live   bool // the event is running
	ctx    context.Context
	cancel context.CancelFunc
}

func (e *eventContext) real() context.Context {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx == nil {
		e.ctx, e.cancel = context.WithTimeout(e.conn.ctx, e.limit)
		if e.live {
			e.conn.keepVigil(false) // somebody waits: see that the end of the connection ends it
		} else {
			e.cancel()
		}
	}
	return e.ctx
}

func (e *eventContext) Deadline() (time.Time, bool) { return e.real().Deadline() }
func (e *eventContext) Done() <-chan struct{}       { return e.real().Done() }
func (e *eventContext) Err() error                  { return e.real().Err() }
func (e *eventContext) Value(key any) any           { return e.real().Value(key) }

// reuse begins another event with an unused context; false when it was used.
func (e *eventContext) reuse(limit time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx != nil {
		return false
	}
	e.limit, e.live = limit, true
	return true
}

// begin opens an event and gives its context.
func (c *Conn) begin(limit time.Duration, progress bool) context.Context {
	e := c.current
	if e == nil || !e.reuse(limit) {
		e = &eventContext{conn: c, limit: limit, live: true}
		c.current = e
	}
	if progress {
		c.keepVigil(true)
	}
	return e
}

// end closes the event: its context is over, nobody else reads or writes.
func (c *Conn) end() {
	e := c.current
	e.mu.Lock()
	e.live = false
	if e.ctx != nil {
		e.cancel()
	}
	e.mu.Unlock()
	c.endVigil()
}

// vigil watches over a long event: it reads ahead, so that a connection that
// dies is noticed while the Session works, and writes PROGRESS at end of message.
type vigil struct {
	mu       sync.Mutex
	timer    *time.Timer
	armed    bool
	over     bool
	progress bool
	until    time.Time     // no PROGRESS after that: a Session that hangs is the MTA's to time out
	halt     chan struct{} // closed to end the running vigil
	running  sync.WaitGroup
}

// keepVigil arms the watch. It costs a timer; the goroutines come after vigilDelay.
func (c *Conn) keepVigil(progress bool) {
	v := &c.vigil
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.armed {
		return
	}
	v.armed, v.over, v.progress = true, false, progress
	if progress {
		v.until = time.Now().Add(c.srv.limits.message)
	}
	v.running.Add(1)
	if v.timer == nil {
		v.timer = time.AfterFunc(vigilDelay, c.watch)
	} else {
		v.timer.Reset(vigilDelay)
	}
}

// endVigil ends the watch and waits until it has let go of the connection.
func (c *Conn) endVigil() {
	v := &c.vigil
	v.mu.Lock()
	if !v.armed {
		v.mu.Unlock()
		return
	}
	v.armed = false
	if v.timer.Stop() {
		v.running.Done()
		v.mu.Unlock()
		return
	}
	v.over = true
	if v.halt != nil {
		close(v.halt)
		v.halt = nil
	}
	c.nc.SetReadDeadline(longAgo)
	v.mu.Unlock()
	v.running.Wait()
	c.rearm = true
}

func (c *Conn) watch() {
	v := &c.vigil
	defer v.running.Done()
	v.mu.Lock()
	if v.over {
		v.mu.Unlock()
		return
	}
	halt := make(chan struct{})
	v.halt = halt
	progress, until := v.progress, v.until
	v.mu.Unlock()

	var reader sync.WaitGroup
	reader.Go(c.listenForHangup)
	if progress {
		c.sendProgress(halt, until)
	}
	<-halt
	reader.Wait()
}

// listenForHangup reads what the MTA sends while an event runs. It normally
// sends nothing: it waits for the answer. The slices of the event lie before
// in.w and are not touched.
func (c *Conn) listenForHangup() {
	for c.in.w < len(c.in.buf) {
		n, err := c.nc.Read(c.in.buf[c.in.w:])
		c.in.w += n
		if err != nil {
			if hungUp(err) {
				c.cancel(errGone)
			}
			return
		}
	}
}

// sendProgress writes SMFIR_PROGRESS, upon which the MTA starts its timer again.
// Postfix waits milter_content_timeout, 300 s.
func (c *Conn) sendProgress(halt <-chan struct{}, until time.Time) {
	tick := time.NewTicker(c.srv.limits.progress)
	defer tick.Stop()
	packet := []byte{0, 0, 0, 1, byte(ActProgress)}
	for {
		select {
		case <-halt:
			return
		case now := <-tick.C:
			if now.After(until) {
				return
			}
			c.armWrite()
			if _, err := c.nc.Write(packet); err != nil {
				c.cancel(errGone)
				return
			}
		}
	}
}
