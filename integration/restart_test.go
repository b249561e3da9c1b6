package integration

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// restarts is how often TestRestart replaces the daemon; "make torture" says 300 by
// MILTERD_RESTARTS.
const restarts = 30

// TestRestart replaces the daemon by a new process, again and again, while clients
// send over sessions that outlast it. No client may see an error, and every message
// must arrive, once.
func TestRestart(t *testing.T) {
	t.Parallel()
	b := testBed(t)
	d := daemon(t, "restart")
	want := restarts
	if n, err := strconv.Atoi(os.Getenv("MILTERD_RESTARTS")); err == nil {
		want = n
	}
	load := startSessions(t, "restart", 3)
	began := time.Now()
	var old []*process
	for range want {
		before := d.proc
		if err := d.takeOver(within(t)); err != nil {
			t.Fatalf("restart %d: %v\n%s", len(old)+1, err, d.Log.Tail(20))
		}
		old = append(old, before)
	}
	took := time.Since(began)
	sent, failed := load.stop()
	check(t, len(failed) == 0, "%d messages of %d failed: %v", len(failed), sent, failed)
	for _, p := range old {
		select {
		case <-p.ended.Done():
			cause := context.Cause(p.ended).Error()
			check(t, strings.Contains(cause, "exit status 0"), "a daemon that was succeeded: %s", cause)
		case <-within(t).Done():
			t.Fatalf("process %d was succeeded and does not end\n%s", p.pid(), d.Log.Tail(20))
		}
	}

	for n, times := range load.arrived(t, b, sent) {
		check(t, times == 1, "message %d is there %d times", n, times)
	}
	for _, line := range d.Log.Since(0) {
		v := ParseLine(line)
		check(t, v["level"] != "ERROR" && v["level"] != "WARN", "the daemons complain: %s", line)
	}
	check(t, sent >= want, "%d messages for %d restarts: nothing is proved", sent, want)
	fmt.Printf("%d restarts in %v under load: %d messages, %d errors\n", want, took.Round(time.Millisecond), sent, len(failed))
}

// takeOver starts the daemon's next process and returns when it serves and the one
// before has stopped listening.
func (d *Daemon) takeOver(ctx context.Context) error {
	mark := d.Log.Mark()
	proc, err := d.family.start("milterd", d.Log, nil, d.binary, "serve", "--takeover", "--user", daemonUser, "--config", d.Config())
	if err != nil {
		return err
	}
	d.proc = proc
	return proc.whileAlive(ctx, func(ctx context.Context) error {
		if _, err := d.Log.Wait(ctx, mark, "milterd serves"); err != nil {
			return err
		}
		_, err := d.Log.Wait(ctx, mark, "a successor serves", "pid="+strconv.Itoa(proc.pid()))
		return err
	})
}

// sessions is load of another kind than traffic: SMTP sessions with several messages,
// which a daemon that is told to go meets between two of them.
type sessions struct {
	name   string
	cancel context.CancelFunc
	work   sync.WaitGroup
	sent   atomic.Int64

	mu     sync.Mutex
	failed []string
}

const messagesOfSession = 5

func startSessions(t *testing.T, listener string, clients int) *sessions {
	ctx, cancel := context.WithCancel(t.Context())
	s := &sessions{name: t.Name(), cancel: cancel}
	for range clients {
		s.work.Go(func() {
			for ctx.Err() == nil {
				if err := s.play(t, listener); err != nil {
					s.mu.Lock()
					s.failed = append(s.failed, err.Error())
					s.mu.Unlock()
				}
			}
		})
	}
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *sessions) subject(n int) string { return fmt.Sprintf("session load of %s no %06d", s.name, n) }

// arrived waits until as many messages as were sent lie in bob's mailbox, and returns how
// often each one does.
func (s *sessions) arrived(t *testing.T, b *Bed, sent int) []int {
	t.Helper()
	ctx := within(t)
	for {
		c, err := b.IMAP(ctx, bob)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Select("INBOX")
		var r response
		if err == nil {
			r, err = c.cmd("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
		}
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		all, times := 0, make([]int, sent)
		for _, header := range r.literals {
			_, number, ours := strings.Cut(string(header), s.subject(0)[:len(s.subject(0))-6])
			n, err := strconv.Atoi(strings.TrimSpace(number))
			if ours && err == nil && n < sent {
				times[n]++
				all++
			}
		}
		if all >= sent || ctx.Err() != nil {
			return times
		}
		select {
		case <-time.After(50 * time.Millisecond): // Postfix delivers
		case <-ctx.Done():
		}
	}
}

func (s *sessions) play(t *testing.T, listener string) error {
	c, err := shared.bed.Client(context.WithoutCancel(t.Context()), listener, stranger)
	if err != nil {
		return err
	}
	defer c.Quit()
	for range messagesOfSession {
		m := Mail{From: joe, To: bob, Subject: s.subject(int(s.sent.Add(1)) - 1), Body: "hello"}
		r, err := c.Send(joe, []string{bob}, m.Bytes())
		if err != nil {
			return fmt.Errorf("%s: %w", m.Subject, err)
		}
		if r.Code != 250 {
			return fmt.Errorf("%s: %v", m.Subject, r)
		}
	}
	return nil
}

// stop ends the load after the sessions at hand.
func (s *sessions) stop() (sent int, failed []string) {
	s.cancel()
	s.work.Wait()
	return int(s.sent.Load()), s.failed
}
