package pipeline

import (
	"context"
	"sync"

	"milterd/checks"
)

// background is what checks do beside the messages.
type background struct {
	mu      sync.Mutex
	cancel  context.CancelFunc // nil when nothing goes on
	stopped bool
	running sync.WaitGroup
}

// Idle tells which checks are on and have nothing to do, each with what is missing.
func (p *Pipeline) Idle() []string {
	var all []string
	for _, st := range p.steps {
		if c, ok := st.check.(checks.Idle); ok {
			if missing := c.Idle(); missing != "" {
				all = append(all, st.spec.Name+" ("+missing+")")
			}
		}
	}
	return all
}

// Patience tells which checks wait for somebody beside the DNS, by name.
func (p *Pipeline) Patience() map[string]checks.Patient {
	all := map[string]checks.Patient{}
	for _, st := range p.steps {
		if c, ok := st.check.(checks.Patient); ok {
			all[st.spec.Name] = c
		}
	}
	return all
}

// Start lets the checks begin what they do beside the messages (see
// [checks.Background]): the pipeline is in service now. It goes on until Stop or
// Close.
func (p *Pipeline) Start() {
	b := &p.background
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel != nil || b.stopped {
		return
	}
	p.crew.Keep()
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	for _, st := range p.steps {
		c, ok := st.check.(checks.Background)
		if !ok {
			continue
		}
		b.running.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					p.panicked(st, "", v)
				}
			}()
			c.Background(ctx)
		})
	}
}

// Stop ends what Start began and waits for it. Messages that are still on their way
// go on.
func (p *Pipeline) Stop() {
	b := &p.background
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	if b.cancel != nil {
		b.cancel()
		b.running.Wait()
		p.crew.Dismiss()
	}
}
