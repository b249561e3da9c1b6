package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"milterd/milter"
	"milterd/milter/miltertest"
)

// A daemon by itself: ten thousand SMTP sessions that wait, as on a server whose
// clients dawdle, and two hundred that work. Nobody is turned away, and the idle
// ones cost little.
func TestTenThousandIdleConnections(t *testing.T) {
	const (
		idle     = 10_000
		active   = 200
		each     = 5
		maxBytes = 600 << 20
	)
	testBed(t)
	if limit := openFiles(t); limit < idle+2*active {
		skipLoudly(t, fmt.Sprintf("ten thousand connections: this process may open %d files", limit))
	}
	d, err := startDaemon("load", DaemonConfig{YAML: "checks: {greylist: {enabled: true}}\nlog: {level: warn}\n"})
	if err != nil {
		t.Fatal(err)
	}
	addr := milter.Addr{Network: "unix", Address: d.Socket()}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	before := restOf(t, d)
	waiting := make([]*milter.Client, idle)
	var dialers sync.WaitGroup
	for worker := range 8 {
		dialers.Go(func() {
			for i := worker; i < idle; i += 8 {
				if waiting[i], err = greeted(ctx, addr); err != nil {
					t.Errorf("idle connection %d: %v", i, err)
					return
				}
			}
		})
	}
	dialers.Wait()
	hangUp := func() {
		for _, c := range waiting {
			if c != nil {
				c.Close()
			}
		}
	}
	defer hangUp()
	atRest := residentBytes(t, d)

	took := make([][]time.Duration, active)
	var players sync.WaitGroup
	for i := range active {
		players.Go(func() {
			c, err := greeted(ctx, addr)
			if err != nil {
				t.Errorf("active connection %d: %v", i, err)
				return
			}
			defer c.Close()
			for n := range each {
				began := time.Now()
				out, err := c.Send(ctx, milter.Envelope{From: joe, Rcpts: []milter.Recipient{{Address: alice}}, QueueID: "4LOAD"},
					newMail(t, fmt.Sprintf("message %d of connection %d", n, i)).Bytes())
				if err != nil || out.Reply.Refuses() {
					t.Errorf("connection %d message %d: %v %v", i, n, out.Reply, err)
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	players.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	check(t, len(all) == active*each, "%d of %d messages answered", len(all), active*each)
	working := residentBytes(t, d)
	check(t, working < maxBytes, "%d MiB resident", working>>20)
	for i, c := range waiting {
		if i%500 == 0 { // they still live
			out, err := c.Send(ctx, milter.Envelope{From: joe, Rcpts: []milter.Recipient{{Address: alice}}, QueueID: "4LOAD"}, newMail(t, "at last").Bytes())
			check(t, err == nil && !out.Reply.Refuses(), "idle connection %d is dead: %v %v", i, out.Reply, err)
		}
	}
	hangUp()
	afterwards := quiet(t, d)
	backToBase(t, d, before)
	fmt.Printf("%d idle connections: %d MiB resident; with %d active: %d MiB, p50 %v, p99 %v a message, %v when all had gone\n", idle, atRest>>20, active, working>>20,
		all[len(all)/2].Round(100*time.Microsecond), all[len(all)*99/100].Round(100*time.Microsecond), afterwards.Round(100*time.Microsecond))
}

// From the start of the process to the answer to the first negotiation.
func TestColdStart(t *testing.T) {
	testBed(t)
	d, err := startDaemon("cold", DaemonConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var best time.Duration
	for range 5 {
		if err := d.Stop(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if d.proc, err = d.family.start("milterd", d.Log, nil, d.binary, "serve", "--user", daemonUser, "--config", d.Config()); err != nil {
			t.Fatal(err)
		}
		for {
			c, err := greeted(t.Context(), milter.Addr{Network: "unix", Address: d.Socket()})
			if err == nil {
				c.Close()
				break
			}
			if d.proc.ended.Err() != nil || time.Since(began) > patience {
				t.Fatal("milterd does not start")
			}
			time.Sleep(time.Millisecond) // what is waited for is another process
		}
		if took := time.Since(began); best == 0 || took < best {
			best = took
		}
	}
	shared.assertions.Add(1)
	fmt.Printf("from the start of the process to the first answer: %v\n", best.Round(time.Millisecond))
}

// greeted is a client that has said HELO and waits.
func greeted(ctx context.Context, addr milter.Addr) (*milter.Client, error) {
	c, err := milter.Dial(ctx, addr, milter.ClientOptions{})
	if err != nil {
		return nil, err
	}
	p := milter.LocalPeer("mx.example.test")
	p.Local, p.Port, p.Host, p.Addr = false, 40000, "mail.sender.test", netip.MustParseAddr("203.0.113.7")
	if r, err := c.Greet(ctx, p); err != nil || !r.IsContinue() {
		c.Close()
		return nil, fmt.Errorf("HELO: %v %w", r, err)
	}
	return c, nil
}

// residentBytes is the memory of the daemon.
func residentBytes(t *testing.T, d *Daemon) int { return status(t, d, "VmRSS") }

// openFiles is how many files this process may have open.
func openFiles(t *testing.T) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return int(limit.Cur)
}

// Spoiled packets by the thousand, beside an honest session that must not notice.
// MILTERD_TORTURE says how many; "make torture" sends ten million.
func TestTorture(t *testing.T) {
	testBed(t)
	want := 30_000
	if n, err := strconv.Atoi(os.Getenv("MILTERD_TORTURE")); err == nil {
		want = n
	}
	d, err := startDaemon("torture", DaemonConfig{YAML: "log: {level: error}\n"})
	if err != nil {
		t.Fatal(err)
	}
	addr := milter.Addr{Network: "unix", Address: d.Socket()}
	honest, err := greeted(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer honest.Close()
	var spoiled atomic.Int64
	abuse := func(until int) {
		var tormentors sync.WaitGroup
		for seed := range uint64(4) {
			tormentors.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(until)))
				for int(spoiled.Load()) < until {
					conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: addr.Address, Net: "unix"})
					if err != nil {
						t.Error(err)
						return
					}
					spoiled.Add(int64(miltertest.Garbage(conn, rnd)))
				}
			})
		}
		tormentors.Wait()
	}
	abuse(want / 10) // what a daemon needs to get going
	honest.Close()
	before := restOf(t, d)
	if honest, err = greeted(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	defer honest.Close()
	var took []time.Duration
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			began := time.Now()
			out, err := honest.Send(t.Context(), milter.Envelope{From: joe, Rcpts: []milter.Recipient{{Address: alice}}, QueueID: "4HONEST"},
				newMail(t, "never mind them").Bytes())
			if err != nil || out.Reply.Refuses() {
				t.Errorf("the honest session was disturbed: %v %v", out.Reply, err)
				return
			}
			took = append(took, time.Since(began))
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	abuse(want)
	close(stop)
	<-stopped
	honest.Close()
	after := restOf(t, d)
	check(t, after.resident-before.resident < 32<<20, "resident memory grew from %d to %d MiB", before.resident>>20, after.resident>>20)
	backToBase(t, d, before)
	check(t, d.proc.ended.Err() == nil, "milterd died: %s", d.Log.Tail(20))
	slices.Sort(took)
	fmt.Printf("%d spoiled packets: %d MiB resident before, %d after; %d honest messages, p99 %v, the slowest %v\n",
		spoiled.Load(), before.resident>>20, after.resident>>20, len(took), took[len(took)*99/100].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
}
