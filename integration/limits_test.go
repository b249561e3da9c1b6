package integration

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/milter"
)

// TestLimits: who finds a limit used up is told so at once and can come back; nobody waits
// for somebody who waits, the session goes on, and each limit counts.
func TestLimits(t *testing.T) {
	testBed(t)
	const (
		clients = 40
		room    = 12 // messages of 512 KiB each in three quarters of 8 MiB
		most    = 50 // connections
	)
	d, err := startDaemon("limits", DaemonConfig{YAML: fmt.Sprintf("limits: {memory_inflight: 8MiB, spool_bytes: 8MiB, connections: %d}\n", most)})
	if err != nil {
		t.Fatal(err)
	}
	before := restOf(t, d)
	ctx := within(t)
	addr := milter.Addr{Network: "unix", Address: d.Socket()}
	sessions := make([]*milter.Client, clients)
	for i := range sessions {
		if sessions[i], err = greeted(ctx, addr); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		for _, c := range sessions {
			c.Close()
		}
	}()

	var held, waiting []*milter.Client
	for _, c := range sessions {
		r, err := c.Mail(ctx, "<"+joe+">")
		switch {
		case err != nil:
			t.Fatal(err)
		case r.IsContinue():
			held = append(held, c)
		default:
			check(t, strings.HasPrefix(r.SMTP(), "451 4.3.1 "), "no memory: %v", r)
			waiting = append(waiting, c)
		}
	}
	check(t, len(held) == room, "%d messages began, expected %d", len(held), room)
	hits(t, d, "memory_inflight", len(waiting))
	for _, c := range held {
		if err := c.Abort(ctx); err != nil {
			t.Fatal(err)
		}
	}
	givenBack(t, d, "milterd_inflight_memory_bytes")
	for _, c := range waiting[:room] { // the sessions of the refused live, and now there is room
		one, err := playAgain(ctx, c, newMail(t, "second try").Bytes())
		check(t, err == nil && one.out.Reply.IsContinue(), "the next try: %v, %v", one.out.Reply, err)
	}

	for i := range 20 {
		c, err := milter.Dial(ctx, addr, milter.ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, c)
		r, err := c.Greet(ctx, milter.LocalPeer("mx.example.test"))
		if i < most-clients {
			check(t, err == nil && r.IsContinue(), "connection %d: %v, %v", clients+i, r, err)
		} else {
			check(t, err == nil && strings.HasPrefix(r.SMTP(), "421 4.3.2 "), "connection %d: %v, %v", clients+i, r, err)
		}
	}
	hits(t, d, "connections", clients+20-most)

	large := newMail(t, strings.Repeat(strings.Repeat("x", 70)+"\n", 5<<20/71)).Bytes()
	one, err := playOne(ctx, sessions[0], joe, large, func() {
		second, err := playOne(ctx, sessions[1], joe, large, nil)
		check(t, err == nil && strings.HasPrefix(second.out.Reply.SMTP(), "451 4.3.1 "), "no spool: %v, %v", second.out.Reply, err)
	})
	check(t, err == nil && one.out.Reply.IsContinue(), "beside it: %v, %v", one.out.Reply, err)
	hits(t, d, "spool_bytes", 1)
	givenBack(t, d, "milterd_spool_bytes")
	one, err = playAgain(ctx, sessions[1], large)
	check(t, err == nil && one.out.Reply.IsContinue(), "and when there is room: %v, %v", one.out.Reply, err)
	for _, reason := range []string{"memory_inflight is used up", "body cannot be kept"} {
		check(t, slices.ContainsFunc(d.Log.Since(0), func(line string) bool { return strings.Contains(line, reason) }), "the log does not say: %s", reason)
	}

	for _, c := range sessions {
		c.Close()
	}
	backToBase(t, d, before)
}

// givenBack waits until messages hold nothing of a budget. What they held goes back when
// their answers are out.
func givenBack(t *testing.T, d *Daemon, metric string) {
	t.Helper()
	for ctx := within(t); ; {
		n, err := d.Metric(ctx, metric)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("%s is %v, %v", metric, n, err)
		}
		if n == 0 {
			shared.assertions.Add(1)
			return
		}
		select {
		case <-time.After(5 * time.Millisecond): // the daemon is another process
		case <-ctx.Done():
		}
	}
}

// playAgain plays a message in a session that has had one.
func playAgain(ctx context.Context, c *milter.Client, raw []byte) (play, error) {
	if err := c.Abort(ctx); err != nil {
		return play{}, err
	}
	return playOne(ctx, c, joe, raw, nil)
}

func hits(t *testing.T, d *Daemon, limit string, want int) {
	t.Helper()
	n, err := d.Metric(within(t), "milterd_limit_hits_total", `limit="`+limit+`"`)
	check(t, err == nil && int(n) == want, "milterd_limit_hits_total of %s: %v, %v, want %d", limit, n, err, want)
}

// TestManyRecipients: of a hundred thousand recipients of one message ten thousand are
// taken, the others are told so, and the session goes on; so it does with messages of a
// thousand recipients each, ten of them, or with MILTERD_FLOOD a hundred.
func TestManyRecipients(t *testing.T) {
	testBed(t)
	const (
		recipients = 100_000
		most       = 10_000
		maxBytes   = 100 << 20
	)
	d, err := startDaemon("recipients", DaemonConfig{})
	if err != nil {
		t.Fatal(err)
	}
	before := restOf(t, d)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := greeted(ctx, milter.Addr{Network: "unix", Address: d.Socket()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	send := func(n int) (accepted, refused int) {
		list := make([]milter.Recipient, n)
		for i := range list {
			list[i].Address = fmt.Sprintf("user%d@example.test", i)
		}
		out, err := c.Send(ctx, milter.Envelope{From: joe, Rcpts: list, QueueID: "4MANY"}, newMail(t, "to all of you").Bytes())
		if err != nil || !out.Reply.IsContinue() {
			t.Fatalf("%v at %s, %v", out.Reply, out.Stage, err)
		}
		for _, r := range out.Rcpts {
			switch {
			case r.IsContinue():
				accepted++
			case strings.HasPrefix(r.SMTP(), "452 4.5.3 "):
				refused++
			default:
				t.Fatalf("a recipient: %v", r)
			}
		}
		return accepted, refused
	}
	accepted, refused := send(recipients)
	check(t, accepted == most && refused == recipients-most, "%d recipients accepted, %d refused", accepted, refused)
	hits(t, d, "recipients", recipients-most)
	messages := 10
	if os.Getenv("MILTERD_FLOOD") != "" {
		messages = 100
	}
	for range messages {
		accepted, refused = send(1000)
		check(t, accepted == 1000 && refused == 0, "%d recipients accepted, %d refused", accepted, refused)
	}
	took := time.Since(began)
	peak := status(t, d, "VmHWM")
	check(t, peak < maxBytes, "%d MiB resident", peak>>20)
	c.Close()
	backToBase(t, d, before)
	fmt.Printf("%d recipients of one message and %d times 1000 in %v: %d MiB resident before, %d at most\n",
		recipients, messages, took.Round(time.Millisecond), before.resident>>20, peak>>20)
}
