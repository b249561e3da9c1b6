package integration

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestCrash kills milterd in the middle of messages. The sender is told to come
// back, and finds a daemon that has forgotten nothing that matters.
func TestCrash(t *testing.T) {
	t.Parallel()
	b := testBed(t)
	d := daemon(t, "crash")

	m := newMail(t, "killed between the recipient and the message")
	c := dial(t, "crash", stranger)
	cmd(t, c, 250, "MAIL FROM:<%s>", joe)
	cmd(t, c, 250, "RCPT TO:<%s>", alice)
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	r, err := c.Data(m.Bytes())
	check(t, err == nil && r.Code == 451, "got %v, %v, want 451", r, err)
	check(t, len(r.Lines) == 1 && strings.HasPrefix(r.Text(), "4."), "got %v", r)

	r = send(t, dial(t, "crash", stranger), newMail(t, "while milterd is down"))
	check(t, r.Code == 451, "while milterd is down: got %v, want 451", r)
	if err := d.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	r = send(t, dial(t, "crash", stranger), m)
	check(t, r.Code == 250, "after the restart: got %v, want 250", r)
	wantResults(t, find(t, alice, "INBOX", m), "spf=pass")
	n, err := b.Count(within(t), alice, "INBOX", m.Subject)
	check(t, err == nil && n == 1, "delivered %d times, %v", n, err)

	t.Run("while it decides", func(t *testing.T) {
		m := newMail(t, "killed at the end of the message")
		c := dial(t, "crash", stranger)
		replies := make(chan Reply, 1)
		go func() {
			r, err := c.Send("joe@held.test", []string{alice}, m.Bytes())
			if err != nil {
				r = Reply{Lines: []string{err.Error()}}
			}
			replies <- r
		}()
		// SPF starts at MAIL and waits for its answer; the message is through when
		// Postfix's cleanup has logged it.
		queueID(t, m.MessageID())
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
		r := <-replies
		check(t, r.Code == 451, "got %v, want 451", r)
		if err := d.Start(within(t)); err != nil {
			t.Fatal(err)
		}
		r = send(t, dial(t, "crash", stranger), m)
		check(t, r.Code == 250, "after the restart: got %v, want 250", r)
		n, err := b.Count(within(t), alice, "INBOX", m.Subject)
		check(t, err == nil && n <= 1, "delivered %d times, %v", n, err)
		wantResults(t, find(t, alice, "INBOX", m), "spf=pass")
	})
	t.Run("SIGTERM lets the message in flight end", func(t *testing.T) {
		m := newMail(t, "one moment please")
		c := dial(t, "crash", stranger)
		cmd(t, c, 250, "MAIL FROM:<%s>", joe)
		stopped := make(chan error, 1)
		mark := d.Log.Mark()
		go func() { stopped <- d.Stop() }()
		if _, err := d.Log.WaitFunc(within(t), mark, "anything about stopping", func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		cmd(t, c, 250, "RCPT TO:<%s>", alice)
		r, err := c.Data(m.Bytes())
		check(t, err == nil && r.Code == 250, "got %v, %v, want 250", r, err)
		c.Quit()
		check(t, <-stopped == nil, "the daemon did not stop by itself")
		wantResults(t, find(t, alice, "INBOX", m), "spf=pass")
	})
}

// TestReload changes the configuration to and fro under traffic, every other time
// to one that is no good. No message may notice but by the rule it is judged by.
func TestReload(t *testing.T) {
	t.Parallel()
	b := testBed(t)
	d := daemon(t, "reload")
	traffic := startTraffic(t, "reload", 4)

	required := func(want string) {
		t.Helper()
		m := newMail(t, "which configuration am I judged by?")
		r := send(t, dial(t, "reload", stranger), m)
		check(t, r.Code == 250, "got %v, want 250", r)
		status := find(t, alice, "INBOX", m).Get("X-Spam-Status")
		check(t, strings.Contains(status, "required="+want), "X-Spam-Status: %q, want required=%s", status, want)
	}
	reload := func(yaml string, good float64) (line string) {
		t.Helper()
		if err := d.Configure(yaml); err != nil {
			t.Fatal(err)
		}
		line, err := d.Reload(within(t))
		check(t, err == nil, "reload: %v", err)
		n, err := d.Metric(within(t), "milterd_config_last_reload_successful")
		check(t, err == nil && n == good, "milterd_config_last_reload_successful: %v, %v, want %v", n, err, good)
		return line
	}

	required("6")
	reload("thresholds: {junk: 7}\n", 1)
	required("7")
	for _, broken := range []string{
		"thresholds: {junk: 8, rejekt: 9}\n", // did you mean reject?
		"thresholds: {junk: 8, reject: 5}\n", // not ascending
		"thresholds: [\n",
	} {
		mark := d.Log.Mark()
		line := reload(broken, 0)
		text := strings.Join(append(d.Log.Since(mark), line), "\n")
		check(t, position.MatchString(text), "no file:line:col of what is wrong in %q", text)
	}
	required("7")
	reload("thresholds: {junk: 5.5}\n", 1)
	required("5.5")

	sent, failed := traffic.stop()
	check(t, len(failed) == 0, "%d of %d messages failed, first: %s", len(failed), sent, strings.Join(failed[:min(1, len(failed))], ""))
	check(t, sent >= 8, "only %d messages ran meanwhile", sent)
	ctx := within(t)
	for _, id := range traffic.queued {
		if err := b.Gone(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	n, err := b.Count(ctx, bob, "INBOX", "traffic of "+t.Name())
	check(t, err == nil && n == sent, "%d of %d messages arrived: %v", n, sent, err)
}

// position is where a configuration error lies.
var position = regexp.MustCompile(`50-test\.yaml:\d+:\d+`)

// traffic is clients that send one message after the other.
type traffic struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
	sent   atomic.Int64
	mu     sync.Mutex
	queued []string // queue ids
	failed []string // errors
}

func startTraffic(t *testing.T, listener string, clients int) *traffic {
	ctx, cancel := context.WithCancel(t.Context())
	tr := &traffic{cancel: cancel}
	for range clients {
		tr.work.Go(func() {
			for ctx.Err() == nil {
				n := tr.sent.Add(1)
				m := Mail{From: joe, To: bob, Subject: fmt.Sprintf("traffic of %s %d", t.Name(), n), Body: "hello"}
				id, err := sendOnce(t, listener, m)
				tr.mu.Lock()
				if err == nil {
					tr.queued = append(tr.queued, id)
				} else {
					tr.failed = append(tr.failed, err.Error())
				}
				tr.mu.Unlock()
			}
		})
	}
	return tr
}

func sendOnce(t *testing.T, listener string, m Mail) (queueID string, err error) {
	c, err := shared.bed.Client(t.Context(), listener, stranger)
	if err != nil {
		return "", err
	}
	defer c.Quit()
	r, err := c.Send(joe, []string{bob}, m.Bytes())
	if err == nil && r.Code != 250 {
		err = fmt.Errorf("%s: %v", m.Subject, r)
	}
	return r.QueueID(), err
}

// stop ends the traffic and says how many messages were sent and what went wrong.
func (tr *traffic) stop() (sent int, failed []string) {
	tr.cancel()
	tr.work.Wait()
	return int(tr.sent.Load()), tr.failed
}
