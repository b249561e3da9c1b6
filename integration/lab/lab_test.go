package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"milterd/integration"
)

// TestMain moves into a room of its own, where the kernel lets it.
func TestMain(m *testing.M) {
	flag.Parse()
	if Missing() != "" {
		os.Exit(m.Run()) // each test that wants a lab says what is missing
	}
	inside, code, err := Enter()
	switch {
	case errors.Is(err, ErrRefused):
		room.refused = err
		os.Exit(m.Run())
	case err != nil:
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	case !inside:
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// room is what the tests share: whether there is one, and the binaries.
var room struct {
	refused error

	once        sync.Once
	shipped     string
	special     string
	err         error
	onceSpecial sync.Once
	errSpecial  error
}

// needRoom skips, or fails where nothing may be left out, without what a lab needs.
func needRoom(t *testing.T) {
	t.Helper()
	what := Missing()
	if room.refused != nil {
		what = room.refused.Error()
	}
	if what == "" {
		return
	}
	what = "*** NOT TESTED: faults beside a real Postfix. " + what + " ***"
	if os.Getenv("MILTERD_BED") == "required" && room.refused == nil {
		t.Fatal(what)
	}
	fmt.Fprintln(os.Stderr, what)
	t.Skip(what)
}

// built is the milterd of a build, made once.
func built(t *testing.T, b Build) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	if b == Special {
		room.onceSpecial.Do(func() {
			var dir string
			if dir, room.errSpecial = os.MkdirTemp("/tmp", "build"); room.errSpecial == nil {
				room.special, room.errSpecial = BuildSpecial(ctx, "../..", dir)
			}
		})
		if room.errSpecial != nil {
			t.Fatal(room.errSpecial)
		}
		return room.special
	}
	room.once.Do(func() { room.shipped, room.err = integration.Build(ctx, "/tmp") })
	if room.err != nil {
		t.Fatal(room.err)
	}
	return room.shipped
}

// whole reports whether all scenarios are wanted ("make lab"), or the short ones.
func whole() bool { return os.Getenv("MILTERD_LAB") != "" }

func TestScenarios(t *testing.T) {
	needRoom(t)
	scenarios, err := Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		t.Run(s.Name, func(t *testing.T) {
			if !s.Short && !whole() {
				t.Skip("SKIPPED: this scenario is a part of make lab")
			}
			began := time.Now()
			balance := played(t, s)
			for _, breach := range balance.Breaches {
				t.Error(breach)
			}
			fmt.Printf("%-24s %v in %v\n", s.Name, balance, time.Since(began).Round(100*time.Millisecond))
		})
	}
}

// played plays a scenario on a lab of its own.
func played(t *testing.T, s *Scenario) Balance {
	t.Helper()
	config := Config{Name: "lab", Binary: built(t, s.Build), Build: s.Build, YAML: s.Daemon, Store: s.Store, Disk: s.Disk, FewFiles: s.FewFiles, Memory: int64(s.Memory)}
	l, err := Start(t.Context(), config)
	if errors.Is(err, ErrRefused) {
		fmt.Fprintf(os.Stderr, "*** NOT TESTED: %s: %v ***\n", s.Name, err)
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	balance, err := s.Play(t.Context(), l.Benches[0])
	if err != nil {
		t.Fatal(err)
	}
	if balance.Letters == 0 {
		t.Error("no mail was sent: nothing is proved")
	}
	return balance
}

// TestRandomFaults sends LAB_MESSAGES letters while everything breaks at random, and
// balances the account. A few hundred are a part of every test run.
func TestRandomFaults(t *testing.T) {
	needRoom(t)
	letters := 300
	if whole() {
		letters = 5000
	}
	if n, err := strconv.Atoi(os.Getenv("LAB_MESSAGES")); err == nil {
		letters = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("LAB_SEED"), 10, 64); err == nil {
		seed = n
	}
	l, err := Start(t.Context(),
		Config{Name: "file", Binary: built(t, Shipped), Store: Bolt, Disk: Small},
		Config{Name: "redis", Binary: built(t, Shipped), Store: Redis, Disk: Plain})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	began := time.Now()
	done, faults := 0, map[string]int{}
	c := Chaos{Lab: l, Letters: letters, Round: 2500, Senders: 100, Tries: 12, Seed: seed, Each: func(round int, b Balance, broken map[string]int) {
		done += b.Letters
		for name, n := range broken {
			faults[name] += n
		}
		fmt.Printf("round %d, %d of %d after %v: %v\n", round, done, letters, time.Since(began).Round(time.Second), b)
	}}
	balance, err := c.Run(t.Context())
	if err != nil {
		t.Fatalf("LAB_SEED=%d: %v", seed, err)
	}
	for _, breach := range balance.Breaches {
		t.Error(breach)
	}
	if balance.Letters != letters || balance.Letters != balance.Delivered+balance.Deferred+balance.Rejected {
		t.Errorf("%d letters were to be sent: %v", letters, balance)
	}
	if len(faults) == 0 || balance.Delivered == 0 || balance.Rejected == 0 {
		t.Errorf("nothing is proved: %v, %v", faults, balance)
	}
	fmt.Printf("LAB_SEED=%d: %v in %v\nfaults:", seed, balance, time.Since(began).Round(time.Second))
	for _, name := range names(faults) {
		fmt.Printf(" %s %d;", name, faults[name])
	}
	fmt.Println()
}
