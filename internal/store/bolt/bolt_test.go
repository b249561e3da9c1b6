package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"milterd/internal/store"
	"milterd/internal/store/storetest"

	"go.etcd.io/bbolt"
)

const space = "test"

// open opens the store at path; the test closes it at its end, at the latest.
func open(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "state.db") }

func put(key, value string) store.Op { return store.Put([]byte(key), []byte(value), 0) }

func apply(t testing.TB, s *Store, ops ...store.Op) {
	t.Helper()
	if err := s.Apply(t.Context(), space, ops...); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

// holds fails the test unless key holds value; "-" is nothing.
func holds(t testing.TB, s *Store, key, value string) {
	t.Helper()
	values, err := s.Get(t.Context(), space, []byte(key))
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	if got := string(values[0]); values[0] == nil && value != "-" || values[0] != nil && got != value {
		t.Errorf("%s holds %q, want %q", key, got, value)
	}
}

// close closes the store before the test ends.
func closed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// TestSuite runs what every store must pass, with commits and sweeps in between as
// often as can be.
func TestSuite(t *testing.T) {
	storetest.Run(t, func(t testing.TB, now func() time.Time) storetest.Store {
		return open(t, file(t), Options{Now: now, CommitEvery: time.Millisecond, SweepEvery: time.Millisecond})
	})
}

func FuzzModel(f *testing.F) {
	f.Add([]byte{8, 0, 3, 0, 0, 3, 'x', 5, 4, 6, 0, 1, 0, 0, 1, 4})
	f.Add([]byte{8, 0, 1, 0, 2, 3, 'x', 5, 0, 0xff, 0xff, 2, 0xff, 0xff, 4, 4})
	f.Fuzz(func(t *testing.T, script []byte) {
		c := storetest.NewClock()
		s := open(t, file(t), Options{Now: c.Now, CommitEvery: time.Millisecond, SweepEvery: time.Millisecond})
		storetest.Play(t, s, c, script)
		closed(t, s)
	})
}

func TestSurvivesClose(t *testing.T) {
	path := file(t)
	s := open(t, path, Options{})
	apply(t, s, put("a", "1"), store.Add([]byte("n"), time.Hour, 7))
	if err := s.Post(space, put("b", "2")); err != nil {
		t.Fatal(err)
	}
	closed(t, s) // writes what waits
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	s = open(t, path, Options{Now: func() time.Time { return time.Now().Add(59 * time.Minute) }})
	holds(t, s, "a", "1")
	holds(t, s, "b", "2")
	holds(t, s, "n", "\x00\x00\x00\x00\x00\x00\x00\x07")
	closed(t, s)
	s = open(t, path, Options{Now: func() time.Time { return time.Now().Add(61 * time.Minute) }})
	holds(t, s, "a", "1")
	holds(t, s, "n", "-")
}

// TestCommitEvery: posts gather for a quarter of a second and cost one sync; a
// caller who waits takes them along at once.
func TestCommitEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, file(t), Options{})
		for i := range 10 {
			if err := s.Post(space, put(fmt.Sprint(i), "1")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(24 * time.Millisecond)
		}
		if n := s.Stats().Commits; n != 0 {
			t.Errorf("%d commits after 240 ms", n)
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if st := s.Stats(); st.Commits != 1 || st.QueuedBytes != 0 {
			t.Errorf("%+v after 250 ms", st)
		}
		holds(t, s, "9", "1")
		began := time.Now()
		if err := s.Post(space, put("x", "1")); err != nil {
			t.Fatal(err)
		}
		apply(t, s, put("y", "1"))
		holds(t, s, "x", "1")
		// What changes nothing costs no sync.
		apply(t, s)
		apply(t, s, store.Delete([]byte("never there")))
		if err := s.Apply(t.Context(), space, store.If([]byte("x"), nil), put("x", "2")); !errors.Is(err, store.ErrConflict) {
			t.Errorf("apply: %v", err)
		}
		if took := time.Since(began); took != 0 || s.Stats().Commits != 2 {
			t.Errorf("%v, %+v", took, s.Stats())
		}
		closed(t, s)
	})
}

// stall holds the lock of bbolt's writers, as a disk does that does not come back.
func stall(t *testing.T, s *Store) (release func()) {
	t.Helper()
	tx, err := s.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	})
}

func TestSlowDisk(t *testing.T) {
	s := open(t, file(t), Options{QueueBytes: 100 << 10})
	apply(t, s, put("a", "1"))
	release := stall(t, s)
	defer release()

	n := 0
	var err error
	for ; err == nil; n++ {
		err = s.Post(space, store.Put(fmt.Append(nil, n), make([]byte, 900), 0))
	}
	if !errors.Is(err, store.ErrBusy) || n < 90 || n > 110 {
		t.Fatalf("%d posts of 1 kB in 100 kB, then %v", n, err)
	}
	if err := s.Apply(t.Context(), space, put("b", strings.Repeat("x", 900))); !errors.Is(err, store.ErrBusy) {
		t.Errorf("apply without room: %v", err)
	}
	if st := s.Stats(); st.Refused != 2 || st.QueuedBytes > 100<<10 || st.QueuedBytes < 90<<10 {
		t.Errorf("%+v", st)
	}
	holds(t, s, "a", "1") // reading goes on

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if err := s.Apply(ctx, space, put("gone", "1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("apply: %v", err)
	}
	release()
	apply(t, s)
	holds(t, s, "0", string(make([]byte, 900)))
	holds(t, s, fmt.Sprint(n-2), string(make([]byte, 900)))
	holds(t, s, fmt.Sprint(n-1), "-")
	if st := s.Stats(); st.QueuedBytes != 0 || st.Failures != 0 {
		t.Errorf("%+v", st)
	}
}

// TestAbandoned: what nobody waits for any more is not written when the disk is
// back, unless it had been begun.
func TestAbandoned(t *testing.T) {
	s := open(t, file(t), Options{})
	release := stall(t, s)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	abandon := func(key string) {
		callers.Go(func() {
			if err := s.Apply(ctx, space, put(key, "1")); !errors.Is(err, context.Canceled) {
				t.Errorf("apply: %v", err)
			}
		})
	}
	abandon("begun")
	eventually(t, func() bool { return s.Stats().QueuedBytes > 0 && !s.somethingWaits() })
	abandon("a")
	abandon("b")
	eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.waiting) == 2
	})
	cancel()
	callers.Wait()
	release()
	apply(t, s)
	holds(t, s, "begun", "1")
	holds(t, s, "a", "-")
	holds(t, s, "b", "-")
	if st := s.Stats(); st.QueuedBytes != 0 {
		t.Errorf("%+v", st)
	}
}

// eventually waits until what another goroutine does is done.
func eventually(t testing.TB, done func() bool) {
	t.Helper()
	late, again := time.After(10*time.Second), time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-late:
			t.Fatal("still not after 10 s")
		case <-again.C:
		}
	}
}

func TestCloseDoesNotWaitForever(t *testing.T) {
	s := open(t, file(t), Options{})
	release := stall(t, s)
	defer release()
	if err := s.Post(space, put("a", "1")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
	if err := s.Post(space, put("b", "1")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("post: %v", err)
	}
	release()
	closed(t, s)
}

// TestFull: a store that has reached its size refuses, deletes, and heals.
func TestFull(t *testing.T) {
	s := open(t, file(t), Options{MaxBytes: 1 << 20})
	n := 0
	var err error
	for ; err == nil && n < 10000; n++ {
		if err = s.Post(space, store.Put(fmt.Append(nil, n), make([]byte, 1000), 0)); n%100 == 99 {
			apply(t, s)
		}
	}
	if !errors.Is(err, store.ErrFull) || n < 400 || n > 1100 {
		t.Fatalf("%d records of 1 kB in 1 MiB, then %v", n, err)
	}
	if err := s.Apply(t.Context(), space, store.Add([]byte("n"), 0, 1)); !errors.Is(err, store.ErrFull) {
		t.Errorf("apply: %v", err)
	}
	if st := s.Stats(); st.UsedBytes <= 1<<20 || st.Refused != 2 || st.Failing {
		t.Errorf("%+v", st)
	}
	holds(t, s, "0", string(make([]byte, 1000)))
	for i := range n / 2 {
		apply(t, s, store.Delete(fmt.Append(nil, i)))
	}
	apply(t, s, put("a", "1"))
	holds(t, s, "a", "1")
}

// TestSweep: what has expired gives its space back, wherever it stands, a bounded
// number of records at a time, and nothing else does.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, file(t), Options{})
		living, all := 0, 0
		fill := func(space string, n int, lives func(i int) bool) {
			for from := 0; from < n; from += 4000 {
				var ops []store.Op
				for i := from; i < from+4000; i++ {
					ttl := time.Minute
					if lives(i) {
						ttl, living = time.Hour, living+1
					}
					all++
					ops = append(ops, store.Put(fmt.Appendf(nil, "%08d", i), []byte("1"), ttl))
				}
				if err := s.Apply(t.Context(), space, ops...); err != nil {
					t.Fatal(err)
				}
			}
		}
		fill("a", 24000, func(i int) bool { return i < sweepRecords+1000 }) // a step that finds nothing
		fill("b", 24000, func(i int) bool { return i%100 == 0 })
		before := s.Stats()
		for range 5 { // every round over living records
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		if st := s.Stats(); st != before {
			t.Errorf("%+v, was %+v", st, before)
		}
		for range 7 {
			last := s.Stats().Swept
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if n := s.Stats().Swept - last; n > sweepRecords {
				t.Errorf("%d records in one sweep", n)
			}
		}
		if st := s.Stats(); st.Swept != uint64(all-living) || st.UsedBytes > before.UsedBytes*2/3 {
			t.Errorf("%+v; %d should have been swept, and much of %d bytes been given back", st, all-living, before.UsedBytes)
		}
		if n := count(t, s); n != living {
			t.Errorf("%d records in the file, want %d", n, living)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := count(t, s); n != 0 {
			t.Errorf("%d records in the file after an hour", n)
		}
		closed(t, s)
	})
}

// count counts the records in the file, expired ones too.
func count(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			if !bytes.Equal(name, formatBucket) {
				n += b.Stats().KeyN
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// logged collects a log.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// count returns how many lines have the words in them.
func (l *logged) count(words string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}
