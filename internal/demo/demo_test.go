package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/internal/pipeline"
	"milterd/message"
)

// TestPlay: the demonstration ends well, and its table has a row for every
// message with the action that the message is to show.
func TestPlay(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Stdout: &out, Stderr: io.Discard, Version: "test", Play: true}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	lines := strings.Split(out.String(), "\n")
	first := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "  #") })
	if first < 0 {
		t.Fatalf("no table:\n%s", out.String())
	}
	column := strings.Index(lines[first], "action")
	row := first
	for _, s := range script() {
		for _, sc := range s.scenes {
			row++
			if row >= len(lines) || !strings.Contains(lines[row], sc.what) || !strings.HasPrefix(lines[row][min(column, len(lines[row])):], string(sc.want)+" ") {
				t.Errorf("row %d is not %q with %s:\n%s", row-first, sc.what, sc.want, strings.Join(lines[first:], "\n"))
			}
			if !strings.HasPrefix(lines[row], fmt.Sprintf("%3d  ", row-first)) {
				t.Errorf("row %d: %s", row-first, lines[row])
			}
		}
	}
	if got := out.String(); !strings.HasPrefix(got, "milterd test, demonstration: milter 127.0.0.1:") || !strings.Contains(got, "/metrics") ||
		!strings.Contains(got, `milterd_messages_total{action="junk",role="inbound"}`) || !strings.Contains(got, "451 4.7.0 Sender policy lookup failed") || strings.Contains(got, "Local filter error") {
		t.Errorf("%s", got)
	}
}

// TestConfiguration: what newcomers see is a configuration that is meant.
func TestConfiguration(t *testing.T) {
	cfg, err := load("127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	if all := cfg.Warnings(); len(all) > 0 {
		t.Error(all)
	}
}

// TestScript: the play shows what a newcomer is promised.
func TestScript(t *testing.T) {
	actions := map[message.Action]int{}
	messages, shared, logins, local, refused := 0, 0, 0, 0, 0
	for _, s := range script() {
		messages += len(s.scenes)
		if len(s.scenes) > 1 {
			shared++
		}
		if s.peer.Login != "" {
			logins++
		}
		if s.peer.Local {
			local++
		}
		for _, sc := range s.scenes {
			actions[sc.want]++
			if _, err := sc.raw(); err != nil {
				t.Error(err)
			}
			for _, r := range sc.rcpts {
				if r.Rejected != "" && len(sc.rcpts) > 1 {
					refused++
				}
			}
		}
	}
	for _, a := range []message.Action{message.Accept, message.Junk, message.TempFail, message.RejectMail} {
		if actions[a] == 0 {
			t.Errorf("no message shows %s", a)
		}
	}
	if messages < 8 || shared == 0 || logins == 0 || local == 0 || refused == 0 || actions[message.RejectMail] < 3 {
		t.Errorf("%d messages, %d sessions with several, %d submissions, %d local, %d with a refused recipient, %v", messages, shared, logins, local, refused, actions)
	}
}

// TestPlayNotices: a verdict that is not the one to show ends the play, and the
// rows so far are printed.
func TestPlayNotices(t *testing.T) {
	running := &running{}
	addr := running.start(t)
	accepted := func() *pipeline.Outcome {
		return &pipeline.Outcome{Message: new(message.Message), Verdict: message.Verdict{Action: message.Accept}}
	}
	for want, decided := range map[string]*outcomes{
		"second one on that connection: accept, but the demonstration wants reject": {all: map[string]*pipeline.Outcome{"4DEMO001": accepted(), "4DEMO002": accepted()}},
		"second one on that connection: no verdict":                                 {all: map[string]*pipeline.Outcome{"4DEMO001": accepted()}},
	} {
		wrong := script()[:1]
		wrong[0].scenes[1].want = message.RejectMail
		var out bytes.Buffer
		if err := play(t.Context(), wrong, addr, decided, &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if !strings.Contains(out.String(), "  1  newsletter") || strings.Contains(out.String(), "second one") {
			t.Errorf("%s", out.String())
		}
	}
}

// TestServe: without Play the demonstration waits to be sent messages, says how,
// and ends well.
func TestServe(t *testing.T) {
	running := &running{}
	addr := running.start(t)
	text := running.out.String()
	if !strings.Contains(text, "milterd send --socket inet:"+addr+" ") || !strings.Contains(text, "end with ^C") {
		t.Errorf("%s", text)
	}
	running.stop(t)
	if !strings.Contains(running.log.String(), "milterd serves") {
		t.Errorf("the log:\n%s", running.log.String())
	}
}

// running is a demonstration that serves.
type running struct {
	out, log buffer
	cancel   context.CancelFunc
	ended    chan error
}

// start returns the address of its milter socket.
func (r *running) start(t *testing.T) (addr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	found := make(chan string, 1)
	r.out.found = found
	go func() { r.ended <- Run(ctx, Options{Stdout: &r.out, Stderr: &r.log, Version: "test"}) }()
	t.Cleanup(func() { r.stop(t) })
	select {
	case addr = <-found:
		return addr
	case err := <-r.ended:
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		t.Fatal("the demonstration does not start")
	}
	return ""
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

// buffer is written by one goroutine and read by another. It sends the address
// of the milter socket to found once it has been printed, whole.
type buffer struct {
	mu    sync.Mutex
	text  bytes.Buffer
	found chan string
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.text.Write(p)
	if _, rest, ok := strings.Cut(b.text.String(), "--socket inet:"); ok && b.found != nil {
		addr, _, _ := strings.Cut(rest, " ")
		b.found <- addr
		b.found = nil
	}
	return n, err
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
