package authres_test

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"milterd/authres"
)

// cpuTime returns the processor time that f takes, so that a busy machine does
// not matter.
func cpuTime(t *testing.T, f func()) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const rusageThread = 1 // RUSAGE_THREAD of getrusage(2)
	var before, after syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &before); err != nil {
		t.Fatal(err)
	}
	f()
	if err := syscall.Getrusage(rusageThread, &after); err != nil {
		t.Fatal(err)
	}
	return time.Duration(after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano())
}

// The worst texts of the largest size cost no more than a few passes: eight
// times the size takes about eight times as long, where the square would be 64.
func TestIsOursIsLinear(t *testing.T) {
	const large, factor = authres.MaxBytes, 8
	for _, piece := range []string{"(", ")", "()", `"`, `\`, ";", "a=b;", "\n", "\r\n ", " ", "(\\)", "(mx.ours.test)", "mx.ours.test", "a.b=c ", "\xff"} {
		for _, head := range []string{"", "foreign.test;", "(", `"`, "foreign.test; a=b (", `foreign.test; a=b reason="`} {
			value := []byte(head + strings.Repeat(piece, large/len(piece)+1))
			work := func(size int) func() {
				return func() {
					for range 10 {
						authres.IsOurs(value[:size], ours)
					}
				}
			}
			ok := false
			var first, second time.Duration
			for try := 0; try < 5 && !ok; try++ {
				first, second = cpuTime(t, work(large/factor)), cpuTime(t, work(large))
				ok = second < 20*time.Millisecond || second <= 3*factor*first
			}
			if !ok {
				t.Errorf("%q repeated after %q: %v, eight times the size %v", piece, head, first, second)
			}
		}
	}
}
