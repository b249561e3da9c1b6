package integration

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"milterd/bayes"
	"milterd/internal/control"
	"milterd/milter"
)

// settledAfter is the age from which on nothing that was said may be lost by a crash.
const settledAfter = time.Second

// sayings is what a daemon has said in one of its lives.
type sayings struct {
	mu       sync.Mutex
	asked    []saying // senders who were asked to come back
	accepted []saying // verdicts, by transaction id
	lessons  int      // learned, all of them
}

type saying struct {
	at   time.Time
	what string
}

func (s *sayings) note(list *[]saying, at time.Time, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, saying{at, what})
}

// settled gives the last few of the sayings that were settled at that time: those in danger.
func settled(all []saying, at time.Time) []saying {
	old := slices.DeleteFunc(slices.Clone(all), func(s saying) bool { return at.Sub(s.at) < settledAfter })
	return old[max(0, len(old)-20):]
}

// TestKillUnderLoad ends the daemon with SIGKILL at any moment, again and again, while it
// greylists strangers, learns and decides. Its store is whole each time and opens at once; whoever
// was asked to come back, a second or longer before, is known when he does; every lesson that
// was acknowledged is known, and every verdict of a second before is in the journal.
// MILTERD_KILLS says how often; "make torture" says 300.
func TestKillUnderLoad(t *testing.T) {
	testBed(t)
	kills := times(t, "MILTERD_KILLS", 5)
	d, err := startDaemon("kills", DaemonConfig{YAML: "checks: {greylist: {enabled: true, stage: rcpt, delay: 1s}}\nlog: {level: warn}\n"})
	if err != nil {
		t.Fatal(err)
	}
	addr := milter.Addr{Network: "unix", Address: d.Socket()}
	teacher := "unix:" + filepath.Join(d.dir, "state/control.sock")
	chance := rand.New(rand.NewPCG(7, 7))
	var asked, verdicts, lessons int // that were looked at again
	var starts []time.Duration
	for round := range kills {
		life := &sayings{}
		// stranger sends from a domain of his own, for which nothing speaks.
		stranger := func(n int) string { return fmt.Sprintf("joe@no%d.life%d.test", n, round) }
		over := make(chan struct{})
		var work sync.WaitGroup
		for client := range 6 {
			work.Go(func() {
				for n := client; !isClosed(over); n += 6 {
					c, err := greeted(t.Context(), addr)
					if err != nil {
						return // killed
					}
					one, err := playOne(t.Context(), c, stranger(n), newMail(t, "hello").Bytes(), nil)
					at := time.Now()
					c.Close()
					switch {
					case err != nil:
						return
					case strings.HasPrefix(one.out.Reply.SMTP(), "451 4.7.1 "):
						life.note(&life.asked, at, stranger(n))
					default:
						t.Errorf("life %d: %s: %v", round, stranger(n), one.out.Reply)
						return
					}
				}
			})
		}
		work.Go(func() { // postmaster is never asked to wait
			for n := 0; !isClosed(over); n++ {
				id, err := decided(t, addr, fmt.Sprintf("ann@no%d.life%d.test", n, round))
				if err != nil {
					return
				}
				life.note(&life.accepted, time.Now(), id)
			}
		})
		lesson := func(n int) []byte {
			return fmt.Appendf(nil, "From: a@b.test\nMessage-ID: <%d.%d@x>\nSubject: number %d\n\nlesson%d of life%d\n", round, n, n, n, round)
		}
		work.Go(func() {
			client := control.NewClient(teacher)
			defer client.Close()
			for n := 0; !isClosed(over); n++ {
				if _, err := client.Learn(t.Context(), "", bayes.Spam, lesson(n)); err != nil {
					return
				}
				life.lessons = n + 1
			}
		})
		<-time.After(time.Duration(20+chance.IntN(1600)) * time.Millisecond) // a life
		killed := time.Now()
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
		close(over)
		work.Wait()

		checkStore(t, filepath.Join(d.dir, "state/state.db"))
		began := time.Now()
		if err := d.Start(t.Context()); err != nil {
			t.Fatalf("after kill %d: %v", round+1, err)
		}
		starts = append(starts, time.Since(began))
		for _, s := range settled(life.asked, killed) {
			c, err := greeted(t.Context(), addr)
			if err != nil {
				t.Fatal(err)
			}
			one, err := playOne(t.Context(), c, s.what, newMail(t, "here I am again").Bytes(), nil)
			c.Close()
			check(t, err == nil && one.out.Reply.IsContinue(), "life %d: %s was asked to come back %v before the kill and is unknown: %v, %v",
				round, s.what, killed.Sub(s.at), one.out.Reply, err)
			asked++
		}
		client := control.NewClient(teacher)
		for n := max(0, life.lessons-20); n < life.lessons; n++ {
			report, err := client.Learn(t.Context(), "", bayes.Spam, lesson(n))
			check(t, err == nil && len(report.Results) == 1 && report.Results[0] == bayes.Known, "life %d: lesson %d of %d: %v, %v", round, n, life.lessons, report, err)
			lessons++
		}
		client.Close()
		if old := settled(life.accepted, killed); len(old) > 0 {
			last := old[len(old)-1]
			out, code, err := d.Command(within(t), "why", last.what)
			check(t, err == nil && code == 0, "life %d: the verdict %s of %v before the kill: %d, %v\n%s", round, last.what, killed.Sub(last.at), code, err, out)
			verdicts++
		}
	}
	for _, line := range d.Log.Since(0) {
		check(t, ParseLine(line)["level"] != "ERROR", "the daemons complain: %s", line)
	}
	check(t, lessons > 0, "nothing was learned in %d lives", kills)
	check(t, kills < 8 || asked > 0 && verdicts > 0, "%d senders and %d verdicts looked at again in %d lives", asked, verdicts, kills)
	slices.Sort(starts)
	fmt.Printf("%d times SIGKILL under load: every store whole; %d senders, %d lessons and %d verdicts of before looked at again, none lost; ready again after %v, p99 %v\n",
		kills, asked, lessons, verdicts, starts[len(starts)/2].Round(time.Millisecond), starts[len(starts)*99/100].Round(time.Millisecond))
}

// decided has a message to postmaster decided, and returns the transaction id.
func decided(t *testing.T, addr milter.Addr, from string) (id string, err error) {
	c, err := greeted(t.Context(), addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	out, err := c.Send(t.Context(), milter.Envelope{From: from, Rcpts: []milter.Recipient{{Address: "postmaster@example.test"}}, QueueID: "4KILL"}, newMail(t, "hello").Bytes())
	if err != nil {
		return "", err
	}
	for _, e := range out.Edits {
		if e.Name == "X-Milterd-Id" {
			return strings.Fields(e.Value)[0], nil
		}
	}
	return "", fmt.Errorf("no X-Milterd-Id: %v", out.Reply)
}

// checkStore looks through every page of a store that nobody has open.
func checkStore(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: patience})
	if err != nil {
		t.Fatalf("the store does not open: %v", err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for problem := range tx.Check() {
			t.Errorf("the store is corrupt: %v", problem)
		}
		return nil
	})
	check(t, err == nil, "reading the store: %v", err)
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
