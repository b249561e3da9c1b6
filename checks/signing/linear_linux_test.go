package signing

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

// cpuTime returns the processor time that f takes on its thread, so that a busy
// machine does not matter.
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

// 16 MB of blank lines are signed in 0.3 s of processor time.
func TestBlankLines(t *testing.T) {
	most := 300 * time.Millisecond
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		most *= 20
	}
	for _, canon := range []string{"relaxed/simple", "relaxed/relaxed"} {
		_, h := both(t, "canonicalization: "+canon)
		for name, piece := range map[string]string{"blank lines": "\r\n", "lines of blanks": " \r\n"} {
			m := checktest.Mail{Role: message.Outbound, Login: "ann@example.org", Text: mailOf("ann@example.org")}.Message(t)
			m.Body.Release()
			m.Body = message.NewSpool(message.SpoolOptions{Memory: 32 << 20})
			if _, err := m.Body.Write([]byte(strings.Repeat(piece, 16<<20/len(piece)))); err != nil {
				t.Fatal(err)
			}
			m.Body.Finish()
			var took time.Duration
			for range 5 {
				took = cpuTime(t, func() {
					res, err := h.Check().Run(t.Context(), &checks.Input{Message: m, Body: m.Body.Reader()})
					if err != nil || res.Detail.(Outcome).Reason != Signed {
						t.Fatalf("%+v, %v", res, err)
					}
				})
				if took <= most {
					break
				}
			}
			m.Body.Release()
			t.Logf("%s, %s: %v", canon, name, took)
			if took > most {
				t.Errorf("%s, %s: takes %v, want at most %v", canon, name, took, most)
			}
		}
	}
}
