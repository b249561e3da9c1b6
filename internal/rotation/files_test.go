package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"milterd/internal/keys"
)

func decode(t testing.TB, text []byte) *keys.State {
	t.Helper()
	s := new(keys.State)
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// fakeDNS shows what the test says.
type fakeDNS func(name, record string) Sight

func (f fakeDNS) Look(_ context.Context, name, record string) Sight {
	s := f(name, record)
	s.Name, s.Record = name, record
	return s
}

var (
	showsAll  = fakeDNS(func(string, string) Sight { return Sight{Status: Shown, TTL: time.Hour} })
	showsNone = fakeDNS(func(string, string) Sight { return Sight{Status: Missing, TTL: time.Hour} })
)

var errCrash = errors.New("the power went out")

// crashAfter is a disk on which n operations succeed.
func crashAfter(n int) (disk, *[]string) {
	var done []string
	return disk{before: func(operation string) error {
		if len(done) == n {
			return errCrash
		}
		done = append(done, operation)
		return nil
	}}, &done
}

// keyDirectory is an empty directory of keys.
func keyDirectory(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.Chmod(dir, 0o755) // whatever the umask is
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "keys/example.org")
}

func stages(s *keys.State) string {
	var all []string
	for _, k := range s.Keys {
		all = append(all, k.Selector+":"+string(k.Stage))
	}
	return strings.Join(all, " ")
}

var ed = []Wish{{Algorithm: keys.Ed25519}}

func TestGenerate(t *testing.T) {
	dir := keyDirectory(t)
	s, err := Generate(dir, "Example.ORG", []Wish{{Algorithm: keys.RSA, Bits: 1024}, {Algorithm: keys.Ed25519}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if got := stages(s); got != "202611:next 202611e:next" || s.Domain != "example.org" {
		t.Errorf("%s of %s", got, s.Domain)
	}
	again, err := keys.ReadState(dir)
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("read %+v, %v\nwant %+v", again, err, s)
	}
	for _, k := range s.Keys {
		private, err := keys.Load(k.Path)
		if err != nil || keys.Record(private.Public()) != k.Record || k.Name != k.Selector+"._domainkey.example.org" || !k.Created.Equal(noon) {
			t.Errorf("%+v, %v", k, err)
		}
		info, err := os.Stat(k.Path)
		if err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", k.Path, info.Mode(), err)
		}
	}
	for _, test := range []struct {
		domain string
		wish   Wish
		want   string
	}{
		{"example.org", Wish{Algorithm: keys.Ed25519}, "there is a next key already: 202611e (ed25519), made on 2026-11-01"},
		{"example.com", Wish{Algorithm: keys.Ed25519}, "holds the keys of example.org"},
		{"org", Wish{Algorithm: keys.Ed25519}, "not a domain that mail can be signed for"},
		{"-.example.org", Wish{Algorithm: keys.Ed25519}, "not a domain that mail can be signed for"},
	} {
		if _, err := Generate(dir, test.domain, []Wish{test.wish}, noon); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, expected one with %q", test.domain, err, test.want)
		}
	}
	if _, err := Generate(keyDirectory(t), "example.org", []Wish{{Algorithm: keys.Ed25519, Selector: "../x"}}, noon); err == nil || !strings.Contains(err.Error(), "selector") {
		t.Errorf("a selector that leads out: %v", err)
	}
}

// TestGenerateTakesUp: a key file that is there already becomes the managed key of
// that selector.
func TestGenerateTakesUp(t *testing.T) {
	dir := keyDirectory(t)
	s, err := Generate(dir, "example.org", ed, noon)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, keys.StateFile))
	again, err := Generate(dir, "example.org", []Wish{{Algorithm: keys.Ed25519, Selector: "202611e"}}, noon)
	if err != nil || again.Keys[0].Record != s.Keys[0].Record || s.Keys[0].TakenUp || !again.Keys[0].TakenUp {
		t.Errorf("%+v, %v\nbefore %+v", again, err, s)
	}
	os.Remove(filepath.Join(dir, keys.StateFile))
	if _, err := Generate(dir, "example.org", []Wish{{Algorithm: keys.RSA, Bits: 2048, Selector: "202611e"}}, noon); err == nil || !strings.Contains(err.Error(), "another key in it, ed25519 of 256 bits") {
		t.Errorf("of another algorithm: %v", err)
	}
}

// life takes the keys of a domain through a whole rotation and says what happened.
// Every turn is taken by cut, at a disk of its own.
func life(t *testing.T, dir string, cut func(t *testing.T, turn func(disk) error)) string {
	t.Helper()
	now := noon
	policy := Policy{Age: 10 * 24 * time.Hour, Overlap: 8 * 24 * time.Hour}
	cut(t, func(d disk) error {
		_, err := generate(d, dir, "example.org", ed, now)
		if errors.Is(err, ErrNextIsThere) {
			return nil // it had been written when the power went out
		}
		return err
	})
	var log []string
	for _, moment := range []struct {
		days float64
		dns  fakeDNS
	}{
		{0, showsNone}, {0.1, showsAll}, // active
		{11, showsNone}, {12, showsNone}, // the next is made
		{13, showsAll}, {14, showsAll}, // visible, active
		{15, showsAll}, {24, showsAll}, // retired
	} {
		now = noon.Add(time.Duration(moment.days * 24 * float64(time.Hour)))
		cut(t, func(d disk) error {
			_, err := rotate(t.Context(), d, dir, moment.dns, now, policy, false)
			return err
		})
		s, err := keys.ReadState(dir)
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, stages(s))
	}
	return strings.Join(log, "\n")
}

const wholeLife = `202611e:next
202611e:active
202611e:active 202611e-2:next
202611e:active 202611e-2:next
202611e:active 202611e-2:next
202611e:retiring 202611e-2:active
202611e:retiring 202611e-2:active
202611e:retired 202611e-2:active 202611e-3:next`

func TestRotate(t *testing.T) {
	dir := keyDirectory(t)
	got := life(t, dir, func(t *testing.T, turn func(disk) error) {
		if err := turn(disk{}); err != nil {
			t.Fatal(err)
		}
	})
	if got != wholeLife {
		t.Errorf("%s\nwant\n%s", got, wholeLife)
	}
	if _, err := os.Stat(filepath.Join(dir, "202611e.pem")); err != nil {
		t.Errorf("a retired key was deleted: %v", err)
	}
}

// TestCutOffAnywhere lets the power go out before each single operation of each
// turn. What is left must be a state that can be read, in which a key signs if one
// did before, each with its file; and turns taken again end where they would have.
func TestCutOffAnywhere(t *testing.T) {
	crashes := 0
	for survive := 0; ; survive++ {
		dir := keyDirectory(t)
		cutOff := false
		got := life(t, dir, func(t *testing.T, turn func(disk) error) {
			before, _ := keys.ReadState(dir)
			d, done := crashAfter(survive)
			err := turn(d)
			if err == nil {
				return
			}
			if !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			cutOff = true
			crashes++
			after, err := keys.ReadState(dir)
			if err != nil {
				if before == nil && errors.Is(err, keys.ErrMissing) {
					after = new(keys.State)
				} else {
					t.Fatalf("after %v: %v", *done, err)
				}
			}
			if before != nil && len(after.Active()) < len(before.Active()) {
				t.Errorf("after %v: nothing signs: %s", *done, stages(after))
			}
			for _, k := range after.Keys {
				if err := holds(&k); err != nil && k.Stage != keys.Retired {
					t.Errorf("after %v: %v", *done, err)
				}
			}
			if err := turn(disk{}); err != nil {
				t.Fatalf("again after %v: %v", *done, err)
			}
		})
		if got != wholeLife {
			t.Errorf("cut off after %d operations:\n%s\nwant\n%s", survive, got, wholeLife)
		}
		if pems, _ := filepath.Glob(filepath.Join(dir, "*.pem")); len(pems) != 3 {
			t.Errorf("cut off after %d operations: %v are left over", survive, pems)
		}
		if !cutOff {
			break
		}
	}
	if crashes < 50 {
		t.Errorf("only %d crashes", crashes)
	}
	t.Logf("%d crashes", crashes)
}

// TestOrderOfOperations: what a crash must not lose is on the disk before anything
// refers to it.
func TestOrderOfOperations(t *testing.T) {
	d, done := crashAfter(-1)
	if _, err := generate(d, keyDirectory(t), "example.org", ed, noon); err != nil {
		t.Fatal(err)
	}
	const want = "mkdir, lock, write 202611e.pem, own 202611e.pem, sync 202611e.pem, rename 202611e.pem, sync directory of 202611e.pem, " +
		"write state.json, own state.json, sync state.json, rename state.json, sync directory of state.json"
	if got := strings.Join(*done, ", "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// TestReadersSeeAllOrNothing: until it is renamed nobody sees a new state, not even
// a part of it.
func TestReadersSeeAllOrNothing(t *testing.T) {
	dir := keyDirectory(t)
	if _, err := Generate(dir, "example.org", ed, noon); err != nil {
		t.Fatal(err)
	}
	renamed := false
	d := disk{before: func(operation string) error {
		want := "202611e:next"
		if operation == "sync directory of state.json" {
			want, renamed = "202611e:active", true
		}
		if s, err := keys.ReadState(dir); err != nil || stages(s) != want {
			t.Errorf("before %q: %v, %v", operation, s, err)
		}
		return nil
	}}
	if _, err := rotate(t.Context(), d, dir, showsAll, noon, Policy{}, false); err != nil || !renamed {
		t.Error(err)
	}
}

func TestDryRun(t *testing.T) {
	dir := keyDirectory(t)
	if _, err := Generate(dir, "example.org", ed, noon); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, keys.StateFile))
	turn, err := Rotate(t.Context(), dir, showsAll, noon, Policy{}, true)
	if err != nil || stages(turn.State) != "202611e:active" {
		t.Fatalf("%+v, %v", turn, err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, keys.StateFile)); string(after) != string(before) {
		t.Error("a dry run changed the state")
	}
	Rotate(t.Context(), dir, showsAll, noon, Policy{}, false)
	turn, err = Rotate(t.Context(), dir, showsAll, noon, Policy{New: true}, true)
	if err != nil || fmt.Sprint(turn.Events) != "[{202611e-2 made}]" {
		t.Errorf("%+v, %v", turn, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "202611e-2.pem")); err == nil {
		t.Error("a dry run made a key")
	}
}

// TestNothingIsWritten when nothing has changed.
func TestNothingIsWritten(t *testing.T) {
	dir := keyDirectory(t)
	if _, err := Generate(dir, "example.org", ed, noon); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := Rotate(t.Context(), dir, showsAll, noon, Policy{}, false); err != nil {
			t.Fatal(err)
		}
	}
	d, done := crashAfter(-1)
	if _, err := rotate(t.Context(), d, dir, showsAll, noon.Add(time.Hour), Policy{Age: DefaultAge}, false); err != nil || len(*done) != 0 {
		t.Errorf("%v, %v", *done, err)
	}
}

// TestNeverWithoutItsFile: a key whose private half is not there, or is another
// one, does not begin to sign.
func TestNeverWithoutItsFile(t *testing.T) {
	dir := keyDirectory(t)
	s, err := Generate(dir, "example.org", ed, noon)
	if err != nil {
		t.Fatal(err)
	}
	path := s.Keys[0].Path
	kept, _ := os.ReadFile(path)
	other, err := Generate(keyDirectory(t), "example.org", ed, noon)
	if err != nil {
		t.Fatal(err)
	}
	wrong, _ := os.ReadFile(other.Keys[0].Path)
	for _, test := range []struct {
		change func()
		want   string
	}{
		{func() { os.Remove(path) }, "is not there"},
		{func() { os.WriteFile(path, wrong, 0o600) }, "is not the key of 202611e._domainkey.example.org"},
		{func() { os.Chmod(path, 0o604) }, "others have rights to it"},
		{func() { os.WriteFile(path, []byte("nothing"), 0o600); os.Chmod(path, 0o600) }, "not a key in PEM form"},
	} {
		test.change()
		turn, err := Rotate(t.Context(), dir, showsAll, noon, Policy{}, false)
		if err != nil || stages(turn.State) != "202611e:next" || turn.Seen["202611e"].Err == nil || !strings.Contains(turn.Seen["202611e"].Err.Error(), test.want) {
			t.Errorf("%s: %+v, %v", test.want, turn, err)
		}
	}
	os.WriteFile(path, kept, 0o600)
	if turn, err := Rotate(t.Context(), dir, showsAll, noon, Policy{}, false); err != nil || stages(turn.State) != "202611e:active" {
		t.Errorf("%+v, %v", turn, err)
	}
}

// TestLock: one at a time; who comes second is told.
func TestLock(t *testing.T) {
	dir := keyDirectory(t)
	if _, err := Generate(dir, "example.org", ed, noon); err != nil {
		t.Fatal(err)
	}
	unlock, err := disk{}.lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(t.Context(), dir, showsAll, noon, Policy{}, false); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	if _, err := Generate(dir, "example.org", ed, noon); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	if turn, err := Rotate(t.Context(), dir, showsAll, noon, Policy{}, true); err != nil || stages(turn.State) != "202611e:active" {
		t.Errorf("a dry run needs no lock: %v", err)
	}
	unlock()
	if _, err := Rotate(t.Context(), dir, showsAll, noon, Policy{}, false); err != nil {
		t.Errorf("%v", err)
	}
}

// TestChangedMeanwhile: what somebody else writes while we look is not overwritten
// by what we saw of the state before.
func TestChangedMeanwhile(t *testing.T) {
	dir := keyDirectory(t)
	if _, err := Generate(dir, "example.org", ed, noon); err != nil {
		t.Fatal(err)
	}
	Rotate(t.Context(), dir, showsAll, noon, Policy{}, false)
	slow := fakeDNS(func(name, record string) Sight {
		if _, err := Generate(dir, "example.org", []Wish{{Algorithm: keys.Ed25519, Selector: "other"}}, noon); err != nil {
			t.Error(err)
		}
		return Sight{Status: Shown}
	})
	turn, err := Rotate(t.Context(), dir, slow, noon, Policy{New: true}, false)
	if err != nil || stages(turn.State) != "202611e:active other:next" {
		t.Errorf("%s, %v", stages(turn.State), err)
	}
}

func TestRotateFails(t *testing.T) {
	dir := keyDirectory(t)
	if _, err := Rotate(t.Context(), dir, showsAll, noon, Policy{}, false); !errors.Is(err, keys.ErrNoDirectory) {
		t.Errorf("%v", err)
	}
	if _, err := Generate(dir, "example.org", ed, noon); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Rotate(ctx, dir, showsAll, noon, Policy{}, false); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if s, _ := keys.ReadState(dir); stages(s) != "202611e:next" {
		t.Errorf("what was seen when the asker went away counted: %s", stages(s))
	}
}

// TestOwner needs root: what root makes in a directory is for the directory's
// owner, and the keys are root's.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: files that root makes for others; this needs root")
	}
	dir := keyDirectory(t)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, 12345, 12346); err != nil {
		t.Fatal(err)
	}
	// Such a directory is not in the hands of root or of a user milterd: it is
	// refused, but only after the files have their owners.
	_, err := Generate(dir, "example.org", ed, noon)
	var unsafe *keys.UnsafeError
	if !errors.As(err, &unsafe) {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "new"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, test := range []struct{ owner, want int }{{-1, 12345}, {0, 0}} {
		if err := likeDirectory(f, dir, test.owner); err != nil {
			t.Fatal(err)
		}
		if got := ownerOf(t, f); got != fmt.Sprintf("%d:12346", test.want) {
			t.Errorf("belongs to %s", got)
		}
	}
}

func ownerOf(t *testing.T, f *os.File) string {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	of := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", of.Uid, of.Gid)
}
