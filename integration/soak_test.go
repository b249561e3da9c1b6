package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"milterd/milter"
)

// What a soak may show at its end, against the time when the daemon had warmed up.
const (
	soakClients    = 8
	soakGoroutines = 138 // more than at rest before: those that wait for the next checks and connections, 64 of each at most, and a few
	soakFiles      = 5
	soakSlope      = 1 << 20  // bytes of resident memory an hour, of a soak of hours
	soakGrowth     = 32 << 20 // and of any soak
	soakDrift      = 1.5      // of p99, the last tenth against the first
)

// TestSoak sends without a pause for as long as MILTERD_SOAK says ("make soak T=8h"):
// memory does not grow, and when it is over goroutines and descriptors are as before.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("MILTERD_SOAK"))
	if err != nil {
		t.Skip("SKIPPED: no soak; make soak T=30s is one")
	}
	testBed(t)
	d, err := startDaemon("soak", DaemonConfig{YAML: "log: {level: warn}\n"})
	if err != nil {
		t.Fatal(err)
	}
	load := func(length time.Duration) (took []time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		var mu sync.Mutex
		var clients sync.WaitGroup
		for client := range soakClients {
			clients.Go(func() {
				mine, err := soakClient(ctx, t, d, client)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				took = append(took, mine...)
				mu.Unlock()
			})
		}
		clients.Wait()
		slices.Sort(took)
		return took
	}
	tenth := length / 10
	first := load(tenth) // caches fill
	atRest := restOf(t, d)
	load(length - 2*tenth)
	last := load(tenth)
	after := restOf(t, d)

	p99 := func(took []time.Duration) time.Duration { return took[len(took)*99/100] }
	if len(first) < 100 || len(last) < 100 {
		t.Fatalf("%d messages in the first tenth, %d in the last: nothing is proved", len(first), len(last))
	}
	slope := float64(after.resident-atRest.resident) / length.Hours()
	check(t, after.resident-atRest.resident < soakGrowth, "resident memory grew from %d to %d MiB", atRest.resident>>20, after.resident>>20)
	check(t, length < 2*time.Hour || slope < soakSlope, "resident memory grows by %.1f MiB an hour", slope/(1<<20))
	check(t, after.goroutines <= atRest.goroutines+soakGoroutines, "%d goroutines before, %d after", atRest.goroutines, after.goroutines)
	check(t, after.files <= atRest.files+soakFiles, "%d descriptors before, %d after", atRest.files, after.files)
	drift := float64(p99(last)) / float64(p99(first))
	check(t, drift < soakDrift, "p99 was %v and is %v", p99(first), p99(last))
	fmt.Printf("%v of mail, %d messages in the last tenth: %d MiB resident, %+d KiB since the first tenth (%+.1f MiB an hour); %d goroutines, %+d; %d descriptors, %+d; p99 %v, was %v\n",
		length, len(last), after.resident>>20, (after.resident-atRest.resident)>>10, slope/(1<<20), after.goroutines, after.goroutines-atRest.goroutines,
		after.files, after.files-atRest.files, p99(last).Round(100*time.Microsecond), p99(first).Round(100*time.Microsecond))
}

// soakClient plays sessions of a few messages, ham and spam, until ctx ends, and returns
// how long each message took.
func soakClient(ctx context.Context, t *testing.T, d *Daemon, client int) (took []time.Duration, err error) {
	addr := milter.Addr{Network: "unix", Address: d.Socket()}
	for n := 0; ctx.Err() == nil; n++ {
		c, err := greeted(t.Context(), addr)
		if err != nil {
			return took, err
		}
		for i := range messagesOfSession {
			body := fmt.Sprintf("message %d of session %d of client %d", i, n, client)
			if i == 1 {
				body += "\n" + gtube
			}
			began := time.Now()
			if _, err := c.Send(t.Context(), milter.Envelope{From: joe, Rcpts: []milter.Recipient{{Address: alice}}, QueueID: "4SOAK"}, newMail(t, body).Bytes()); err != nil {
				c.Close()
				return took, fmt.Errorf("client %d session %d message %d: %w", client, n, i, err)
			}
			took = append(took, time.Since(began))
		}
		if err := c.Quit(t.Context()); err != nil {
			return took, err
		}
	}
	return took, nil
}

// rest is what a daemon holds while nobody talks to it.
type rest struct{ resident, goroutines, files int }

// restOf waits until the daemon's connections have ended, and counts.
func restOf(t *testing.T, d *Daemon) rest {
	t.Helper()
	ctx := within(t)
	for {
		open, err := d.Metric(ctx, "milterd_milter_connections")
		if err != nil {
			t.Fatal(err)
		}
		if open == 0 {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%v connections are left", open)
		case <-time.After(20 * time.Millisecond): // the daemon is another process
		}
	}
	goroutines, err := d.Metric(ctx, "go_goroutines")
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(d.proc.pid()), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return rest{residentBytes(t, d), int(goroutines), len(files)}
}
