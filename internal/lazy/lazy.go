// Package lazy has contexts with a time limit that set a timer only once somebody waits
// for their end. Most of what a message is given a time limit for is there at once: an
// answer in the cache, a key in the store's file, a check that only computes.
package lazy

import (
	"context"
	"sync"
	"time"
)

// Context ends at a time, like that of [context.WithDeadline], or when its parent does or
// by Cancel.
type Context struct {
	context.Context // the parent
	at              time.Time

	mu     sync.Mutex
	waited context.Context // nil until somebody waits
	cancel context.CancelFunc
	over   bool // cancelled
}

// WithTimeout returns a context that ends after limit. Who has it calls Cancel when he
// needs it no more.
func WithTimeout(parent context.Context, limit time.Duration) *Context {
	return &Context{Context: parent, at: time.Now().Add(limit)}
}

// Deadline implements [context.Context].
func (c *Context) Deadline() (time.Time, bool) {
	if at, ok := c.Context.Deadline(); ok && at.Before(c.at) {
		return at, true
	}
	return c.at, true
}

// Done implements [context.Context].
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waited == nil {
		c.waited, c.cancel = context.WithDeadline(c.Context, c.at)
		if c.over {
			c.cancel()
		}
	}
	return c.waited.Done()
}

// Err implements [context.Context].
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.waited != nil:
		return c.waited.Err()
	case c.over:
		return context.Canceled
	case c.Context.Err() == nil && !time.Now().Before(c.at):
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}

// Value implements [context.Context]. What package context keeps there of the context
// that is waited for spares its children a goroutine.
func (c *Context) Value(key any) any {
	c.mu.Lock()
	waited := c.waited
	c.mu.Unlock()
	if waited != nil {
		return waited.Value(key)
	}
	return c.Context.Value(key)
}

// Cancel ends the context before its time.
func (c *Context) Cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.cancel != nil {
		c.cancel()
	}
}
