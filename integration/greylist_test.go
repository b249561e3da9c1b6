package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// greyListeners are the smtpds whose daemons greylist.
func greyListeners() []Listener {
	var list []Listener
	for _, name := range []string{"grey", "grey-one", "grey-two", "grey-rcpt"} {
		list = append(list, Listener{Name: name, Milter: "unix:milterd/" + name + ".sock"})
	}
	return list
}

// greyDelay is what a sender waits in these tests: long enough that what comes at once
// comes too early on a busy machine as well.
const greyDelay = 4 * time.Second

// startGrey starts a daemon that greylists what is worth five points, which is neither
// ham nor spam.
func startGrey(t *testing.T, name, more string) *Daemon {
	t.Helper()
	testBed(t)
	d, err := startDaemon(name, DaemonConfig{
		YAML: fmt.Sprintf("checks: {greylist: {enabled: true, delay: %v}}\n%s", greyDelay, more),
		Rules: `
rules:
  - name: TEST_FIVE
    describe: The subject says what it is worth
    header: Subject
    match: '\bworth five\b'
    score: 5
    tests:
      hit:  ["Subject: worth five points"]
      miss: ["Subject: worthless"]
`})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func undecided(t *testing.T) Mail {
	m := newMail(t, "we have not met")
	m.Subject += " worth five"
	return m
}

// retry sends a mail again and again, as a server does whose queue is run often, until
// it is taken, and wants that to be at the time that milterd named.
func retry(t *testing.T, began time.Time, once func() Reply) {
	t.Helper()
	ctx := within(t)
	often := time.NewTicker(200 * time.Millisecond)
	defer often.Stop()
	for {
		asked := time.Now()
		r := once()
		if r.Code == 250 {
			// A clock in milliseconds may be one of them behind.
			check(t, time.Since(began) >= greyDelay-10*time.Millisecond, "taken %v after the first try, want %v", time.Since(began), greyDelay)
			return
		}
		wantRefusal(t, r, 451, "4.7.1")
		if asked.Sub(began) > greyDelay+5*time.Second {
			t.Fatalf("%v after the first try: %v", asked.Sub(began), r)
		}
		select {
		case <-often.C:
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
}

// A pool of one sender: two networks that its SPF record names.
const poolMember = "ADDR=IPV6:2001:db8::9 NAME=pool.sender.test REVERSE_NAME=pool.sender.test PORT=40001"

// comesBack kills the daemon, starts it again and lets another host of the pool of a sender
// who was asked bring the mail: it is taken when the time has come, and counted.
func comesBack(t *testing.T, d *Daemon, listener string, began time.Time, m Mail) {
	t.Helper()
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	retry(t, began, func() Reply { return send(t, dial(t, listener, poolMember), m) })
	find(t, alice, "INBOX", m)
	var back float64
	var err error
	for until := time.Now().Add(patience); err == nil && back != 1 && time.Now().Before(until); { // it is counted after the reply
		back, err = d.Metric(within(t), "milterd_greylist_senders_total", `outcome="returned_ham"`)
	}
	check(t, err == nil && back == 1, "came back with ham: %v, %v", back, err)
}

// TestGreylist is a server's first mail to us: it is asked to come back, milterd is
// killed, another host of the server's pool comes back, and from then on all is well.
func TestGreylist(t *testing.T) {
	t.Parallel()
	d := startGrey(t, "grey", "")
	m := undecided(t)
	began := time.Now()
	r := send(t, dial(t, "grey", stranger), m)
	id := wantRefusal(t, r, 451, "4.7.1")
	check(t, r.Text() == fmt.Sprintf("4.7.1 Greylisted, try again in 4 s (%s)", id), "got %v", r)
	v, err := d.VerdictOf(within(t), id)
	check(t, err == nil && v["action"] == "greylist" && v["score"] == "5" && v["by"] == "greylist", "%v %v", v, err)
	if r := send(t, dial(t, "grey", stranger), m); time.Since(began) < greyDelay {
		wantRefusal(t, r, 451, "4.7.1")
	}
	asked, err := d.Metric(within(t), "milterd_greylist_senders_total", `outcome="asked"`)
	check(t, err == nil && asked == 1, "asked: %v, %v", asked, err)

	// What needs no second look passes, whoever brings it.
	plain := newMail(t, "nothing wrong with this one")
	check(t, sendFrom(t, dial(t, "grey", "ADDR=198.51.100.8 NAME=other.test PORT=40002"), "jim@other.test", plain, alice).Code == 250, "ham was greylisted")
	boss := undecided(t)
	check(t, send(t, dial(t, "grey", "ADDR=198.51.100.9 NAME=one.test PORT=40002"), boss, "postmaster@example.test").Code != 451, "postmaster was made to wait")

	comesBack(t, d, "grey", began, m)
	check(t, send(t, dial(t, "grey", stranger), undecided(t)).Code == 250, "a known sender is asked again")

	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	check(t, send(t, dial(t, "grey", stranger), undecided(t)).Code == 250, "kill -9 has made a known sender unknown")
}

// sharedRedis is a server of its own for the test, with its data on the disk.
type sharedRedis struct {
	dir  string
	log  *Log
	proc *process
}

func (s *sharedRedis) socket() string { return filepath.Join(s.dir, "s") }

func (s *sharedRedis) start(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		skipLoudly(t, "hosts that share a store. missing: redis-server (package redis-server)")
	}
	b := testBed(t)
	s.proc, err = b.family.start("redis", s.log, nil, path, "--port", "0", "--unixsocket", s.socket(), "--unixsocketperm", "777",
		"--dir", s.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no")
	if err != nil {
		t.Fatal(err)
	}
	err = s.proc.ready(within(t), func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "unix", s.socket())
		if err != nil {
			return err
		}
		defer c.Close()
		answer := make([]byte, 5)
		if _, err := fmt.Fprint(c, "PING\r\n"); err != nil {
			return err
		}
		if _, err := c.Read(answer); err != nil || string(answer) != "+PONG" {
			return fmt.Errorf("answers %q, %w", answer, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err, s.log.Tail(10))
	}
}

func (s *sharedRedis) kill(t *testing.T) {
	t.Helper()
	if err := s.proc.kill(); err != nil {
		t.Fatal(err)
	}
}

// TestGreylistShared has two hosts with one Redis: who was asked by one may come back
// to the other. While the server is away nobody is asked, and when it is there again
// all is as before.
func TestGreylistShared(t *testing.T) {
	t.Parallel()
	b := testBed(t)
	s := &sharedRedis{dir: filepath.Join(b.Dir(), "redis"), log: newLog("redis")}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	t.Cleanup(func() { s.kill(t) })
	store := "store: redis+unix://" + s.socket() + "\n"
	startGrey(t, "grey-one", store)
	startGrey(t, "grey-two", store)

	m := undecided(t)
	began := time.Now()
	wantRefusal(t, send(t, dial(t, "grey-one", stranger), m), 451, "4.7.1")
	retry(t, began, func() Reply { return send(t, dial(t, "grey-two", poolMember), m) })
	// Known to both: what the one has written is read by the other a second later at most.
	known := func(listener string) {
		t.Helper()
		check(t, send(t, dial(t, listener, stranger), undecided(t)).Code == 250, "%s asks a known sender", listener)
	}
	known("grey-one")
	known("grey-two")

	other := func(listener string) Reply {
		return sendFrom(t, dial(t, listener, "ADDR=198.51.100.77 NAME=mail.elsewhere.test PORT=40002"), "jim@elsewhere.test", undecided(t), alice)
	}
	s.kill(t)
	check(t, other("grey-one").Code == 250 && other("grey-two").Code == 250, "without a store somebody is asked to come back")
	s.start(t)
	for until := time.Now().Add(patience); other("grey-one").Code != 451; { // it heals by itself
		if time.Now().After(until) {
			t.Fatal("the store is there again, and nobody is asked to come back")
		}
	}
	wantRefusal(t, other("grey-two"), 451, "4.7.1")
	known("grey-one")
	known("grey-two")
}
