package bolt

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"milterd/internal/store"

	"go.etcd.io/bbolt"
)

func TestLocked(t *testing.T) {
	t.Parallel() // it mostly waits
	path := file(t)
	s := open(t, path, Options{})
	began := time.Now()
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("second process: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("waited %v", took)
	}
	apply(t, s, put("a", "1"))
	closed(t, s)
	open(t, path, Options{})
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.db")
	closed(t, open(t, good, Options{}))
	healthy, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	foreign := func(f func(tx *bbolt.Tx) error) func(string) error {
		return func(path string) error {
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				return err
			}
			return errors.Join(db.Update(f), db.Close())
		}
	}
	write := func(data []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, data, 0o600) }
	}
	for name, c := range map[string]struct {
		make func(path string) error
		want string
		is   error
	}{
		"no directory": {func(string) error { return nil }, "no such file", os.ErrNotExist},
		"a directory":  {func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory", nil},
		"text":         {write([]byte(strings.Repeat("From: a@b.test\n", 2000))), "invalid database", ErrDamaged},
		"short":        {write([]byte("x")), "", nil},
		"zeros":        {write(make([]byte, 1<<16)), "invalid database", ErrDamaged},
		"cut off":      {write(healthy[:8192]), "", ErrDamaged},
		"somebody else's": {foreign(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("users")); return err }),
			"not a file of milterd", nil},
		"from the future": {foreign(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket(formatBucket)
			return errors.Join(err, b.Put(formatKey, []byte("2")))
		}), `format "2", expected "1"`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "_"))
			if name == "no directory" {
				path = filepath.Join(path, "state.db")
			}
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path, Options{})
			if s != nil || err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, want %q and %v", err, c.want, c.is)
			}
		})
	}
	for _, o := range []Options{{MaxBytes: -1}, {QueueBytes: -1}, {CommitEvery: -1}, {SweepEvery: -1}} {
		if _, err := Open(good, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if err := write(nil)(filepath.Join(dir, "empty")); err != nil {
		t.Fatal(err)
	}
	closed(t, open(t, filepath.Join(dir, "empty"), Options{})) // killed before the first byte
}

// TestDamage: a file that is cut off under the daemon ends the store, not the
// daemon, and everybody is told at once.
func TestDamage(t *testing.T) {
	path, log := file(t), new(logged)
	s := open(t, path, Options{Logger: log.logger()})
	apply(t, s, put("a", "1"))
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if values, err := s.Get(t.Context(), space, []byte("a")); !errors.Is(err, ErrDamaged) || values != nil {
			t.Errorf("get: %q, %v", values, err)
		}
		if err := s.Apply(t.Context(), space, put("a", "2")); !errors.Is(err, ErrDamaged) {
			t.Errorf("apply: %v", err)
		}
		if err := s.Post(space, put("a", "2")); !errors.Is(err, ErrDamaged) {
			t.Errorf("post: %v", err)
		}
	}
	if !s.Stats().Failing || log.count("store cannot read its file") != 1 {
		t.Errorf("%+v, %q", s.Stats(), log.lines)
	}
	closed(t, s)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{}) // nobody holds the lock
	apply(t, s, put("a", "3"))
}

// TestDamageWhileWriting: the same, found by the writer.
func TestDamageWhileWriting(t *testing.T) {
	path, log := file(t), new(logged)
	s := open(t, path, Options{Logger: log.logger()})
	apply(t, s, put("a", "1"))
	if err := s.Post(space, put("b", "1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), space, put("a", "2")); !errors.Is(err, ErrDamaged) {
		t.Errorf("apply: %v", err)
	}
	if err := s.Close(t.Context()); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "1 batches unwritten") {
		t.Errorf("close: %v", err)
	}
}

// alone runs the calling test again in a process of its own and reports whether
// this is that process: a limit on file sizes would hold for what "go test" writes
// about this one as well.
func alone(t *testing.T) bool {
	t.Helper()
	const key = "MILTERD_TEST_ALONE"
	if os.Getenv(key) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), key+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// limitFiles makes the disk full for files that are larger, until the test ends or
// lift is called.
func limitFiles(t *testing.T, bytes uint64) (lift func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	set := func(bytes uint64) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: old.Max}); err != nil {
			t.Error(err)
		}
	}
	lift = sync.OnceFunc(func() { set(old.Cur) })
	t.Cleanup(lift)
	set(bytes)
	return lift
}

// TestDiskFull: a disk without room, shown by the limit on file sizes. Who waits is
// told at once, what was posted is kept and written when there is room again.
func TestDiskFull(t *testing.T) {
	if !alone(t) {
		return
	}
	log := new(logged)
	s := open(t, file(t), Options{Logger: log.logger()})
	apply(t, s, put("a", "1"))
	lift := limitFiles(t, 64<<10)
	if err := s.Post(space, store.Add([]byte("n"), 0, 1), put("big", strings.Repeat("x", store.MaxValue))); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := s.Apply(t.Context(), space, put("b", "1")); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("apply: %v", err)
		}
		if err := s.Post(space, store.Add([]byte("n"), 0, 1), put(fmt.Sprint(i), "1")); err != nil {
			t.Errorf("post: %v", err)
		}
	}
	holds(t, s, "a", "1")
	holds(t, s, "n", "-")
	if st := s.Stats(); !st.Failing || st.Failures < 3 || log.count("store cannot be written") != 1 {
		t.Errorf("%+v, %q", st, log.lines)
	}
	lift()
	apply(t, s, put("c", "1"))
	holds(t, s, "n", "\x00\x00\x00\x00\x00\x00\x00\x04") // each of them once
	holds(t, s, "2", "1")
	holds(t, s, "b", "-") // its caller was told
	if st := s.Stats(); st.Failing || st.QueuedBytes != 0 || log.count("store is written again") != 1 {
		t.Errorf("%+v, %q", st, log.lines)
	}
}

// TestHealsAlone: nobody needs to ask for what was posted to be tried again, and it
// is written in the order in which it came.
func TestHealsAlone(t *testing.T) {
	if !alone(t) {
		return
	}
	s := open(t, file(t), Options{})
	apply(t, s, put("a", "1"))
	release := stall(t, s)
	defer release()
	post := func(value string) {
		t.Helper()
		if err := s.Post(space, put("big", value+strings.Repeat("x", store.MaxValue-1))); err != nil {
			t.Fatal(err)
		}
	}
	post("1")
	eventually(t, func() bool { return !s.somethingWaits() })
	post("2") // while the first is being written
	lift := limitFiles(t, 64<<10)
	release()
	eventually(t, func() bool { return s.Stats().Failures > 0 })
	lift()
	eventually(t, func() bool { return s.Stats().QueuedBytes == 0 })
	holds(t, s, "big", "2"+strings.Repeat("x", store.MaxValue-1))
}
