package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/milter"
)

// players are clients that speak the milter protocol to a daemon, message after
// message and without Postfix between, which would stop at a hundred.
type players struct {
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	plays  []play
	failed []string
}

// play is one message that was answered.
type play struct {
	at       time.Time // when its last byte was sent
	envelope time.Duration
	end      time.Duration // from the end of the message to the answer
	out      milter.Response
}

// playersOf says what they do.
type playersOf struct {
	clients    int
	perSession int // messages, 1 when it is not set
	// next gives the next message of a client: who sends it and its text.
	next func(client, n int) (from string, raw []byte)
	// wrong says what is wrong with an answer, "" when nothing is.
	wrong func(p play) string
}

// startPlayers lets them play until stop. Whatever goes wrong is kept for stop to tell.
func startPlayers(t *testing.T, d *Daemon, o playersOf) *players {
	ctx, cancel := context.WithCancel(t.Context())
	p := &players{cancel: cancel}
	if o.next == nil {
		o.next = func(client, n int) (string, []byte) {
			return joe, newMail(t, fmt.Sprintf("message %d of client %d", n, client)).Bytes()
		}
	}
	for client := range o.clients {
		p.work.Go(func() {
			for n := 0; ctx.Err() == nil; {
				played, err := p.session(t.Context(), ctx, d, client, n, o)
				if n += played; err != nil {
					p.fail(fmt.Sprintf("client %d message %d: %v", client, n, err))
				}
			}
		})
	}
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *players) fail(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = append(p.failed, what)
}

// session is one SMTP session; asked ends when the players shall stop, between two messages.
func (p *players) session(ctx, asked context.Context, d *Daemon, client, first int, o playersOf) (played int, err error) {
	c, err := greeted(ctx, milter.Addr{Network: "unix", Address: d.Socket()})
	if err != nil {
		return 1, err
	}
	defer c.Close()
	for ; played < max(o.perSession, 1) && asked.Err() == nil; played++ {
		from, raw := o.next(client, first+played)
		one, err := playOne(ctx, c, from, raw, nil)
		if err != nil {
			return played + 1, err
		}
		if o.wrong != nil {
			if what := o.wrong(one); what != "" {
				p.fail(fmt.Sprintf("client %d message %d: %s", client, first+played, what))
			}
		}
		p.mu.Lock()
		p.plays = append(p.plays, one)
		p.mu.Unlock()
		if err := c.Abort(ctx); err != nil {
			return played + 1, err
		}
	}
	return played, c.Quit(ctx)
}

// playOne plays one message to alice. pause, if set, is called when all is sent but the end.
// An answer before that which is not "continue" is the answer to the message.
func playOne(ctx context.Context, c *milter.Client, from string, raw []byte, pause func()) (play, error) {
	one := play{}
	answered := func(r milter.Reply, err error) bool {
		one.out.Reply = r
		return err != nil || !r.IsContinue()
	}
	began := time.Now()
	r, err := c.Mail(ctx, "<"+from+">")
	if one.envelope = time.Since(began); answered(r, err) {
		return one, err
	}
	began = time.Now()
	r, err = c.Rcpt(ctx, "<"+alice+">")
	if one.envelope = max(one.envelope, time.Since(began)); answered(r, err) {
		return one, err
	}
	m := milter.ParseMessage(raw)
	for _, f := range m.Fields {
		if r, err := c.Header(ctx, f.Name, f.Value); answered(r, err) {
			return one, err
		}
	}
	if r, err := c.EndOfHeader(ctx); answered(r, err) {
		return one, err
	}
	for chunk := range slices.Chunk(m.Body, 65535) {
		if r, err := c.Body(ctx, chunk); answered(r, err) {
			return one, err
		}
	}
	if pause != nil {
		pause()
	}
	one.at = time.Now()
	one.out, err = c.EndOfMessage(ctx)
	one.end = time.Since(one.at)
	return one, err
}

// result finds the result of a method in the Authentication-Results that an answer adds:
// "pass" for dkim; "none given" without any.
func (p play) result(method string) string {
	for _, e := range p.out.Edits {
		if e.Name != "Authentication-Results" {
			continue
		}
		for _, word := range strings.Fields(e.Value) {
			if result, found := strings.CutPrefix(word, method+"="); found {
				return strings.TrimSuffix(result, ";")
			}
		}
	}
	return "none given"
}

// field gives the value of a field that an answer adds.
func (p play) field(name string) string {
	for _, e := range p.out.Edits {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// stop ends the players after the sessions at hand.
func (p *players) stop() (plays []play, failed []string) {
	p.cancel()
	p.work.Wait()
	return p.plays, p.failed
}

// percentile is the value that so many of a hundred do not exceed.
func percentile(n int, plays []play, of func(play) time.Duration) time.Duration {
	all := make([]time.Duration, len(plays))
	for i, p := range plays {
		all[i] = of(p)
	}
	slices.Sort(all)
	if len(all) == 0 {
		return 0
	}
	return all[min(len(all)*n/100, len(all)-1)]
}

func endOf(p play) time.Duration      { return p.end }
func envelopeOf(p play) time.Duration { return p.envelope }

// backToBase waits until the daemon holds no more goroutines and descriptors than before.
func backToBase(t *testing.T, d *Daemon, before rest) {
	t.Helper()
	ctx := within(t)
	for {
		after := restOf(t, d)
		if after.goroutines <= before.goroutines+soakGoroutines && after.files <= before.files+soakFiles {
			shared.assertions.Add(1)
			return
		}
		select {
		case <-time.After(50 * time.Millisecond): // the daemon is another process
		case <-ctx.Done():
			t.Errorf("%d goroutines and %d descriptors are left of %d and %d", after.goroutines, after.files, before.goroutines, before.files)
			return
		}
	}
}
