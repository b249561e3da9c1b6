package bolt

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/internal/store"

	"go.etcd.io/bbolt"
)

// victim in the environment makes the test binary a process that writes to the file
// it names until it is killed.
const victim = "MILTERD_STORE_VICTIM"

func TestMain(m *testing.M) {
	if path := os.Getenv(victim); path != "" {
		if err := beVictim(path, os.Getenv(victim+"_ROUND")); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// writers is how many goroutines of the victim apply batches.
const writers = 3

// beVictim writes and says on standard output what was acknowledged: "apply 2 17" is
// batch 17 of writer 2, "post 5" is post 5.
func beVictim(path, round string) error {
	s, err := Open(path, Options{SweepEvery: 5 * time.Millisecond})
	if err != nil {
		return err
	}
	failed := make(chan error)
	for w := range writers {
		go func() {
			for i := 0; ; i++ {
				err := s.Apply(context.Background(), space,
					store.Put(appliedKey(round, w, i, 'a'), make([]byte, 100+i%1000), 0),
					store.Put(fmt.Appendf(nil, "brief %d %d", w, i), make([]byte, 200), time.Millisecond), // for the sweep
					store.Add(counterKey(round, w), 0, 1),
					store.Put(appliedKey(round, w, i, 'b'), []byte("x"), 0))
				if err != nil {
					failed <- err
					return
				}
				fmt.Printf("apply %d %d\n", w, i)
			}
		}()
	}
	go func() {
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for i := 0; ; i++ {
			if err := s.Post(space, store.Put(postedKey(round, i), []byte("x"), 0)); err != nil {
				failed <- err
				return
			}
			fmt.Printf("post %d\n", i)
			<-pace.C
		}
	}()
	return <-failed
}

func appliedKey(round string, w, i int, half byte) []byte {
	return fmt.Appendf(nil, "applied %s %d %d %c", round, w, i, half)
}

func counterKey(round string, w int) []byte { return fmt.Appendf(nil, "counter %s %d", round, w) }

func postedKey(round string, i int) []byte { return fmt.Appendf(nil, "posted %s %d", round, i) }

// acknowledged is what a victim had said when it died.
type acknowledged struct {
	applied [writers]int      // batches of each writer
	posted  map[int]time.Time // when each post was heard of
	died    time.Time         // when it was killed
}

// TestKill: a process that is killed while it writes loses nothing that it had
// acknowledged, but posts of the last second, and no batch is there by half. It is
// killed 8 times, 200 with LONG=1.
func TestKill(t *testing.T) {
	t.Parallel() // it mostly waits
	rounds := 8
	if os.Getenv("LONG") != "" {
		rounds = 200
	}
	path, random := file(t), rand.New(rand.NewPCG(3, 4))
	applied, posted := 0, 0
	for round := range rounds {
		life := time.Duration(random.IntN(60)) * time.Millisecond
		if round%20 == 0 {
			life = 1300 * time.Millisecond // long enough for a post to be due
		}
		ack := kill(t, path, strconv.Itoa(round), life)
		a, p := verify(t, path, strconv.Itoa(round), ack)
		applied, posted = applied+a, posted+p
	}
	t.Logf("%d kills: %d applied batches and %d posts older than a second, none lost", rounds, applied, posted)
	if applied < rounds || posted == 0 {
		t.Errorf("%d applied, %d posted: too little to prove anything", applied, posted)
	}
}

// kill starts a victim and kills it some time after its first word.
func kill(t *testing.T, path, round string, life time.Duration) *acknowledged {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victim+"="+path, victim+"_ROUND="+round)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ack := &acknowledged{posted: make(map[int]time.Time)}
	var killing sync.Once
	died := make(chan time.Time, 1)
	said := bufio.NewScanner(out)
	for said.Scan() {
		heard := time.Now()
		killing.Do(func() {
			time.AfterFunc(life, func() {
				died <- time.Now()
				cmd.Process.Kill()
			})
		})
		words := strings.Fields(said.Text())
		switch {
		case len(words) == 3 && words[0] == "apply":
			w, _ := strconv.Atoi(words[1])
			i, _ := strconv.Atoi(words[2])
			ack.applied[w] = i + 1
		case len(words) == 2 && words[0] == "post":
			i, _ := strconv.Atoi(words[1])
			ack.posted[i] = heard
		default:
			t.Errorf("victim: %s", said.Text())
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("victim ended by itself: %v", err)
	}
	ack.died = <-died
	return ack
}

// verify opens the file that a victim has left and looks for what it had said.
func verify(t *testing.T, path, round string, ack *acknowledged) (applied, posted int) {
	t.Helper()
	s := open(t, path, Options{})
	defer closed(t, s)
	err := s.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("round %s: %v", round, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	there := func(key []byte) []byte {
		values, err := s.Get(t.Context(), space, key)
		if err != nil {
			t.Fatal(err)
		}
		return values[0]
	}
	for w, n := range ack.applied {
		applied += n
		present := 0
		for i := range n + 2 { // one may be stored and not yet acknowledged
			a, b := there(appliedKey(round, w, i, 'a')), there(appliedKey(round, w, i, 'b'))
			if (a == nil) != (b == nil) {
				t.Errorf("round %s: half of batch %d of writer %d", round, i, w)
			}
			if i < n && a == nil {
				t.Errorf("round %s: batch %d of writer %d is lost", round, i, w)
			}
			if a != nil {
				present++
			}
		}
		if c := store.Counter(there(counterKey(round, w)), 0); c != int64(present) {
			t.Errorf("round %s: writer %d counted %d of %d batches", round, w, c, present)
		}
	}
	for i, heard := range ack.posted {
		if ack.died.Sub(heard) < time.Second {
			continue
		}
		posted++
		if there(postedKey(round, i)) == nil {
			t.Errorf("round %s: post %d of %v before the end is lost", round, i, ack.died.Sub(heard))
		}
	}
	return applied, posted
}

// TestTornMeta: of the two pages that say where the tree begins, one may be half
// written when the power fails; the other still tells what was there before.
func TestTornMeta(t *testing.T) {
	for page := range 2 {
		path := file(t)
		s := open(t, path, Options{})
		for i := range 4 {
			apply(t, s, put(fmt.Sprint(i), "1"))
		}
		closed(t, s)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], 0xdeadbeef)
		if _, err := f.WriteAt(word[:], int64(page*os.Getpagesize()+56)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, path, Options{})
		holds(t, s, "2", "1") // the last one may be gone: its page is the torn one
		closed(t, s)
	}
}
