package integration

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// opinionRule combines what somebody thinks of a mail with what it is about: at delivery
// it must follow the user's opinion.
const opinionRule = `
rules:
  - {name: TOMATO, header: Subject, match: tomato, score: 0.01}
  - {name: TOMATO_UNWANTED, when: "TOMATO && (BAYES_60 || BAYES_80 || BAYES_95 || BAYES_99 || BAYES_999)", score: 0.5}
`

// delivered: what stays in alice's inbox teaches her a little, within a quota that no
// restart gives back, and is taken back when she drags it to Junk.
func (s *school) delivered(t *testing.T) {
	if err := s.Configure(s.yaml + "checks: {bayes: {learn_delivered: ham}}\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := s.Reload(within(t)); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	learned := func() float64 {
		return s.metric(t, "milterd_learning_lessons_total", `source="delivered"`, `class="ham"`, `result="learned"`)
	}
	var mails []Mail
	deliver := func() {
		m := offer(t, 100+len(mails))
		s.send(t, m, alice)
		got := s.in(t, alice, "INBOX", m)
		check(t, strings.HasPrefix(got.Get("X-Milterd-Delivery"), "ham score="), "alice's reason: %q", got.Get("X-Milterd-Delivery"))
		mails = append(mails, m)
	}
	before := learned()
	for range 4 {
		deliver()
	}
	check(t, learned() == before+2, "%v lessons of one author's domain in a day, want 2\n%s", learned()-before, s.Daemon.Log.Tail(10))
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	deliver()
	check(t, learned() == 0, "a restart brings %v lessons more", learned())
	flipped := s.lessons(t, "spam", "flipped")
	s.move(t, s.imap(t, alice), mails[0], "INBOX", "Junk")
	check(t, s.lessons(t, "spam", "flipped") == flipped+1, "moving to Junk does not take back what the inbox taught\n%s", s.Daemon.Log.Tail(5))
	if err := s.Configure(s.yaml); err != nil {
		t.Fatal(err)
	}
	if line, err := s.Reload(within(t)); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
}

// redisCLI has a command done by the server.
func (s *school) redisCLI(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(within(t), "redis-cli", append([]string{"-s", filepath.Join(s.Dir(), "redis", "socket")}, args...)...).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "OK" {
		t.Fatalf("redis-cli %v: %s, %v", args, out, err)
	}
}

// storeFull: a store without room takes no lesson and says so; what it has counts, and
// when there is room it learns again.
func (s *school) storeFull(t *testing.T) {
	c := s.imap(t, bob)
	s.redisCLI(t, "config", "set", "maxmemory", "1")
	failed := s.lessons(t, "spam", "failed")
	if err := c.Append("Junk", offer(t, 110).Bytes()); err != nil {
		t.Fatal(err)
	}
	check(t, s.lessons(t, "spam", "failed") == failed+1, "a lesson that a full store does not take is not counted")
	m := offer(t, 111)
	s.send(t, m, bob)
	s.in(t, bob, "Junk", m)
	s.redisCLI(t, "config", "set", "maxmemory", "0")
	learned := s.lessons(t, "spam", "learned")
	if err := c.Append("Junk", offer(t, 112).Bytes()); err != nil {
		t.Fatal(err)
	}
	check(t, s.lessons(t, "spam", "learned") == learned+1, "with room again it learns nothing\n%s", s.Daemon.Log.Tail(5))
}

// storeSilent: a store that answers nothing holds no mail up, and when it answers again
// the opinion is back.
func (s *school) storeSilent(t *testing.T) {
	if err := s.redis.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	m := offer(t, 120)
	s.send(t, m, bob)
	got := s.in(t, bob, "INBOX", m)
	check(t, got.Get("X-Milterd-Delivery") == "", "an opinion of a store that says nothing: %s", got.Get("X-Milterd-Delivery"))
	if err := s.redis.signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.heals(t, 121)
}

// heals waits until bob's opinion counts again.
func (s *school) heals(t *testing.T, n int) {
	t.Helper()
	for {
		m := offer(t, n)
		s.send(t, m, bob)
		c, err := s.IMAP(within(t), bob)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err = c.wait(ctx, "Junk", m.Subject)
		cancel()
		c.Close()
		if err == nil {
			return
		}
		if within(t).Err() != nil {
			t.Fatal("no opinion after the store came back")
		}
	}
}
