package daemon

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"milterd/bayes"
	"milterd/internal/control"
)

// kills is how often TestKillWhileLearning kills: MILTERD_KILLS says another number,
// as "make torture" does.
const kills = 6

// TestKillWhileLearning ends a daemon with SIGKILL at any moment while it is taught,
// again and again: its store opens each time, and of what it had said was learned
// nothing is lost.
func TestKillWhileLearning(t *testing.T) {
	times := kills
	if text := os.Getenv("MILTERD_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		times = n
	}
	dir, err := os.MkdirTemp("/tmp", "m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	yaml := "listen: [unix:m.sock]\ncontrol: unix:c.sock\nhttp: off\nstore: bolt:state/state.db\njournal: {path: state/verdicts}\ndns: {servers: [\"127.0.0.1:1\"]}\n"
	if err := os.WriteFile(filepath.Join(dir, "milterd.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	text := func(i int) []byte {
		return fmt.Appendf(nil, "From: a@b.example\nMessage-ID: <%d@x>\nSubject: number %d\n\nwords%d and some more of them, word%d\n", i, i, i, i%7)
	}
	acknowledged := 0 // messages from 0 on, each taught as what classOf says
	classOf := func(i int) bayes.Class {
		if i%3 == 0 {
			return bayes.Ham
		}
		return bayes.Spam
	}
	delay := rand.New(rand.NewPCG(1, 2))
	for round := range times + 1 {
		p := startChild(t, dir)
		client := control.NewClient("unix:" + filepath.Join(dir, "c.sock"))
		// What was acknowledged before is known. The last ones are those in danger.
		for i := max(0, acknowledged-30); i < acknowledged; i++ {
			report, err := client.Learn(t.Context(), "", classOf(i), text(i))
			if err != nil || len(report.Results) != 1 || report.Results[0] != bayes.Known {
				t.Fatalf("round %d: message %d of %d: %v, %v", round, i, acknowledged, report, err)
			}
		}
		if round == times {
			client.Close()
			p.Process.Kill()
			p.Wait()
			break
		}
		timer := time.AfterFunc(time.Duration(1+delay.IntN(40))*time.Millisecond, func() { p.Process.Kill() })
		for {
			if _, err := client.Learn(t.Context(), "", classOf(acknowledged), text(acknowledged)); err != nil {
				break // it was killed; whether this one is stored nobody knows
			}
			acknowledged++
		}
		timer.Stop()
		client.Close()
		p.Wait()
	}
	if acknowledged < times {
		t.Errorf("%d messages acknowledged in %d rounds: that shows nothing", acknowledged, times)
	}
	t.Logf("%d kills, %d lessons acknowledged, none lost", times, acknowledged)
}

// startChild starts this test binary as a daemon and waits until it serves.
func startChild(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready") {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("%q, %v\n%s", line, err, log.String())
	}
	return cmd
}
