package mime_test

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"milterd/mime"
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

// checkLinear fails when eight times the size takes much more than eight times
// as long; the square would be 64. What takes next to nothing passes.
func checkLinear(t *testing.T, small, large func()) {
	t.Helper()
	first, second := cpuTime(t, small), cpuTime(t, large)
	for range 4 { // the best of a few
		if second < 50*time.Millisecond || second <= 24*first {
			return
		}
		first, second = max(first, cpuTime(t, small)), min(second, cpuTime(t, large))
	}
	t.Errorf("%v, eight times the size %v", first, second)
}

// readAll asks a message for everything there is to ask.
func readAll(message []byte) {
	tree := mime.WalkMessage(message, mime.Limits{})
	for _, p := range tree.Parts {
		p.Content()
	}
	tree.VisibleText()
	tree.HiddenText()
	tree.URLs()
	tree.Attachments()
}

// Bombs of a megabyte, the size of all text that is looked at.
func BenchmarkBombs(b *testing.B) {
	for _, name := range slices.Sorted(maps.Keys(bombs)) {
		message := []byte(bombs[name](1 << 20))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				readAll(message)
			}
		})
	}
}

// However a message is built, the walk and everything that decodes takes time
// in proportion to its size.
func TestTimeIsLinear(t *testing.T) {
	work := func(message []byte) func() { return func() { readAll(message) } }
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			checkLinear(t, work([]byte(bomb(32<<10))), work([]byte(bomb(256<<10))))
		})
	}
	for _, bomb := range wordBombs {
		t.Run("words "+bomb, func(t *testing.T) {
			text := strings.Repeat(bomb, 64<<10/len(bomb))
			checkLinear(t, func() { mime.DecodeWords(text[:8<<10]) }, func() { mime.DecodeWords(text) })
		})
	}
}
