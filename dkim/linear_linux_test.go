package dkim

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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

// within tries a few times to get f done in the given time, for machines that
// are busy with other things.
func within(t *testing.T, name string, most time.Duration, f func()) {
	t.Helper()
	var took time.Duration
	for range 5 {
		if took = cpuTime(t, f); took <= most {
			t.Logf("%s: %v", name, took)
			return
		}
	}
	t.Errorf("%s takes %v, want at most %v", name, took, most)
}

// slowdown is how much slower the tests may be, or how much less they do, under
// the race detector.
func slowdown() time.Duration {
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return 20
	}
	return 1
}

// A signature field as large as Postfix lets pass, full of names, in a header of
// 2,000 fields: the "h= bomb".
func TestHeaderBomb(t *testing.T) {
	fields := make([]message.Field, 0, 2001)
	for i := range 2000 {
		fields = append(fields, message.Field{Name: fmt.Sprintf("X%d", i%500), Value: " a value"})
	}
	for name, piece := range map[string]string{"one name": ":x1", "empty names": ":", "many names": ":x1:x2:x3:x499", "no names": ":y", "folds": ":\n\t"} {
		h := "From" + strings.Repeat(piece, 61_000/len(piece))
		bomb := append([]message.Field{{Name: FieldName, Value: " v=1; a=ed25519-sha256; d=example.org; s=ed25519; h=" + h +
			"; bh=" + strings.Repeat("A", 43) + "=; b=AAAAAAAAAAAA"}}, fields...)
		for limit, want := range map[int]string{0: "too many names in h=", 100_000: "body hash did not verify"} {
			v := &Verifier{Resolver: testZone(t, ""), MaxHeaderNames: limit}
			within(t, fmt.Sprintf("%s, limit %d", name, limit), 20*time.Millisecond*slowdown(), func() {
				s := v.Start(t.Context(), bomb, message.Domain{})
				if r := s.Finish(t.Context()); r[0].Reason != want {
					t.Fatalf("%+v, want %s", r, want)
				}
			})
		}
	}
}

// 16 MB of blank lines, with two signatures, in the chunks of a milter.
func TestBlankLines(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	for _, c := range []string{"simple/simple", "relaxed/relaxed"} {
		fields = append([]message.Field{{Name: FieldName, Value: " v=1; a=ed25519-sha256; d=example.org; s=ed25519; h=From; c=" + c +
			"; bh=" + strings.Repeat("A", 43) + "=; b=AAAAAAAAAAAA"}}, fields...)
	}
	v := &Verifier{Resolver: testZone(t, "")}
	for name, piece := range map[string]string{"CRLF": "\r\n", "LF": "\n", "CR": "\r", "blanks": " ", "blank lines": " \r\n", "tabs": "a\t", "one letter lines": "a\r\n"} {
		chunk := []byte(strings.Repeat(piece, 65535/len(piece)+1))
		within(t, name, 200*time.Millisecond, func() {
			s := v.Start(t.Context(), fields, message.Domain{})
			for range 16<<20/len(chunk)/int(slowdown()) + 1 {
				s.Write(chunk)
			}
			s.Write([]byte("end"))
			s.Finish(t.Context())
		})
	}
}

// The worst texts cost no more than a few passes: four times the size takes about
// four times as long, where the square would be 16.
func TestLinear(t *testing.T) {
	const large, factor = 64 << 10, 4
	work := map[string]func(text string){
		"signature": func(text string) {
			fields := []message.Field{{Name: FieldName, Value: text}}
			ParseSignature(fields, 0)
		},
		"key record":     func(text string) { parseTags(text, true) },
		"simple header":  func(text string) { AppendHeader(nil, Simple, &message.Field{Name: "x", Value: text}) },
		"relaxed header": func(text string) { AppendHeader(nil, Relaxed, &message.Field{Name: "x", Value: text}) },
		"simple body":    func(text string) { canonicalBody(Simple, text) },
		"relaxed body":   func(text string) { canonicalBody(Relaxed, text) },
	}
	for name, f := range work {
		for _, piece := range []string{";", "a=b;", "=", " ", "\r\n ", "\r\n", "\n", "\r", ":", "a:", "@", "=40", "a \t", "\xff", "0", "b=A;", "."} {
			for _, head := range []string{"", "h=", "b=", "i=", "d=", "s=", "l=", "z="} {
				if head != "" && name != "signature" {
					continue
				}
				text := head + strings.Repeat(piece, large/len(piece)+1)
				run := func(size int) func() {
					return func() {
						for range 4 {
							f(text[:size])
						}
					}
				}
				ok := false
				var first, second time.Duration
				for try := 0; try < 5 && !ok; try++ {
					first, second = cpuTime(t, run(large/factor)), cpuTime(t, run(large))
					ok = second < 20*time.Millisecond*slowdown() || second <= 3*factor*first
				}
				if !ok {
					t.Errorf("%s: %q repeated after %q: %v, four times the size %v", name, piece, head, first, second)
				}
			}
		}
	}
}
