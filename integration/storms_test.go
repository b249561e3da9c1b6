package integration

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"milterd/internal/dns/zone"
	"milterd/milter"
)

// times is how often a test does a thing: as often as the environment says, or a few times.
func times(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestManyReloads reloads under load, every other time a file that is no good. No session
// and no message may notice, and what was in force before stays in force. MILTERD_RELOADS says
// how often; "make torture" says 2,000.
func TestManyReloads(t *testing.T) {
	testBed(t)
	reloads := times(t, "MILTERD_RELOADS", 20)
	config := func(junk int) string { return fmt.Sprintf("log: {level: info}\nthresholds: {junk: %d}\n", junk) }
	d, err := startDaemon("reloads", DaemonConfig{YAML: config(5)})
	if err != nil {
		t.Fatal(err)
	}
	before := restOf(t, d)
	load := startPlayers(t, d, playersOf{clients: 8, perSession: 20, wrong: func(p play) string {
		if !p.out.Reply.IsContinue() {
			return p.out.Reply.String()
		}
		if p.result("spf") != "pass" {
			return "spf=" + p.result("spf")
		}
		return ""
	}})
	judgedBy := func() string {
		c, err := greeted(t.Context(), milter.Addr{Network: "unix", Address: d.Socket()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		one, err := playOne(t.Context(), c, joe, newMail(t, "by which configuration?").Bytes(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, required, _ := strings.Cut(one.field("X-Spam-Status"), "required=")
		return strings.Fields(required + " ?")[0]
	}
	broken := []string{"thresholds: {junk: 8, rejekt: 9}\n", "thresholds: {junk: 8, reject: 5}\n", "thresholds: [\n", "checks: {dmarc: {mode: sometimes}}\n"}
	began := time.Now()
	refused, warm := 0, 0
	for i := range reloads {
		if i == 10 { // two configurations and their garbage have been there
			warm = residentBytes(t, d)
		}
		good, want := i%2 == 0, fmt.Sprintf("%d.0", 5+(i/2)%3)
		yaml := config(5 + (i/2)%3)
		if !good {
			yaml = broken[i/2%len(broken)]
			refused++
		}
		if err := d.Configure(yaml); err != nil {
			t.Fatal(err)
		}
		line, err := d.Reload(within(t))
		if err != nil {
			t.Fatal(err)
		}
		check(t, strings.Contains(line, "configuration reloaded") == good, "reload %d of %q: %s", i, yaml, line)
		check(t, good || position.MatchString(line), "no file:line:col in %s", line)
		got := judgedBy()
		check(t, got == want, "after reload %d of %q: judged by %s, want %s", i, yaml, got, want)
		if i < 4 || i%100 < 2 { // these cost a process and a page each
			n, err := d.Metric(within(t), "milterd_config_last_reload_successful")
			check(t, err == nil && (n == 1) == good, "milterd_config_last_reload_successful is %v, %v after %q", n, err, yaml)
			out, code, err := d.Command(within(t), "check")
			check(t, err == nil && code == map[bool]int{true: 0, false: 78}[good], "milterd check of %q: exit code %d, %v\n%s", yaml, code, err, out)
		}
	}
	took := time.Since(began)
	plays, failed := load.stop()
	check(t, len(failed) == 0, "%d of %d messages failed, first %q", len(failed), len(plays), slices.Concat(failed, []string{""})[0])
	check(t, len(plays) > reloads, "only %d messages meanwhile", len(plays))
	check(t, d.proc.ended.Err() == nil, "milterd died: %s", d.Log.Tail(5))
	backToBase(t, d, before)
	after := restOf(t, d)
	check(t, after.resident-warm < 96<<20, "resident memory grew from %d to %d MiB", warm>>20, after.resident>>20)
	fmt.Printf("%d reloads, %d of them refused, in %v: %d messages meanwhile, %d failed, p99 %v; %d MiB resident before, %d after ten, %d after all\n",
		reloads, refused, took.Round(time.Millisecond), len(plays), len(failed), percentile(99, plays, endOf).Round(time.Millisecond), before.resident>>20, warm>>20, after.resident>>20)
}

// TestEndWithHundredInFlight: SIGTERM meets a hundred messages, some whose body is still to
// come and some whose verdict waits for the DNS. All get their answers, and the process ends by
// itself.
func TestEndWithHundredInFlight(t *testing.T) {
	testBed(t)
	const inFlight = 100
	var held atomic.Int64
	free := make(chan struct{})
	server := serveNames(t, testZone, func(answer zone.Handler) zone.Handler {
		return func(ctx context.Context, q *mdns.Msg, tcp bool) zone.Reply {
			if len(q.Question) == 1 && strings.HasSuffix(q.Question[0].Name, ".slow.test.") {
				held.Add(1)
				select {
				case <-free:
				case <-ctx.Done():
				}
			}
			return answer(ctx, q, tcp)
		}
	})
	release := sync.OnceFunc(func() { close(free) })
	t.Cleanup(release)
	d, err := startDaemon("end", DaemonConfig{DNS: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	var begun, done sync.WaitGroup
	begun.Add(inFlight)
	goOn := make(chan struct{})
	answers := make([]string, inFlight)
	for i := range inFlight {
		done.Go(func() {
			arrived := sync.OnceFunc(begun.Done)
			defer arrived()
			c, err := greeted(t.Context(), milter.Addr{Network: "unix", Address: d.Socket()})
			if err != nil {
				answers[i] = err.Error()
				return
			}
			defer c.Close()
			from, wait := joe, func() {
				arrived()
				<-goOn // all that is missing is the end
			}
			if i%2 == 0 { // the end is there, the verdict is not
				from, wait = fmt.Sprintf("joe@no%d.slow.test", i), arrived
			}
			one, err := playOne(t.Context(), c, from, newMail(t, "on its way").Bytes(), wait)
			answers[i] = fmt.Sprint(one.out.Reply, " ", err)
			if err == nil && one.out.Reply.IsContinue() {
				answers[i] = "accepted, spf=" + one.result("spf")
			}
		})
	}
	begun.Wait()
	for ctx := within(t); held.Load() < inFlight/2; {
		select {
		case <-time.After(5 * time.Millisecond): // the daemon is another process
		case <-ctx.Done():
			t.Fatalf("%d questions wait", held.Load())
		}
	}
	mark := d.Log.Mark()
	if err := d.proc.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Log.Wait(within(t), mark, "milterd ends"); err != nil {
		t.Fatal(err)
	}
	release()
	close(goOn)
	done.Wait()
	final := 0
	for i, got := range answers {
		want := "accepted, spf=pass"
		if i%2 == 0 {
			want = "accepted, spf=none"
		}
		if check(t, got == want, "message %d: %s, want %s", i, got, want) {
			final++
		}
	}
	select {
	case <-d.proc.ended.Done():
		cause := context.Cause(d.proc.ended).Error()
		check(t, strings.Contains(cause, "exit status 0"), "the end: %s", cause)
	case <-within(t).Done():
		t.Fatal("milterd does not end")
	}
	check(t, len(d.Verdicts(0)) == inFlight, "%d verdicts in the log", len(d.Verdicts(0)))
	d.proc = nil // it has ended as it should
	fmt.Printf("SIGTERM with %d in flight: %d final answers\n", inFlight, final)
}

// TestBlackhole: two hundred sessions while no question to the DNS is answered. Postfix must
// not run into its time limits, nothing may pile up, and when the DNS is back everything is as it was.
func TestBlackhole(t *testing.T) {
	testBed(t)
	const (
		sessions   = 200
		envelope   = 5 * time.Second
		end        = 10 * time.Second
		goroutines = 5000
	)
	length := time.Duration(times(t, "MILTERD_BLACKHOLE", 5)) * time.Second
	var dead atomic.Bool
	var questions atomic.Int64
	server := serveNames(t, "*.hole.test TXT v=spf1 ip4:203.0.113.0/24 -all\n"+testZone, func(answer zone.Handler) zone.Handler {
		return func(ctx context.Context, q *mdns.Msg, tcp bool) zone.Reply {
			if dead.Load() {
				questions.Add(1)
				return zone.Reply{}
			}
			return answer(ctx, q, tcp)
		}
	})
	d, err := startDaemon("hole", DaemonConfig{DNS: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	quiet(t, d)
	before := restOf(t, d)
	dead.Store(true)
	// Every message comes from a domain of its own, so that nothing is known of it.
	var serial atomic.Int64
	load := startPlayers(t, d, playersOf{clients: sessions, perSession: 2, next: func(client, n int) (string, []byte) {
		from := fmt.Sprintf("joe@no%d.hole.test", serial.Add(1))
		return from, Mail{From: from, To: alice, Subject: "into the dark", Body: "Look at http://www.no" + strconv.Itoa(n) + ".hole.test/ please"}.Bytes()
	}})
	most := 0.0
	for over := time.After(length); ; {
		n, err := d.Metric(within(t), "go_goroutines")
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, n)
		select {
		case <-time.After(200 * time.Millisecond): // sampling
			continue
		case <-over:
		}
		break
	}
	load.cancel()
	plays, failed := load.stop()
	check(t, len(failed) == 0, "%d messages failed, first %q", len(failed), slices.Concat(failed, []string{""})[0])
	check(t, len(plays) >= sessions, "%d messages of %d sessions", len(plays), sessions)
	counts := map[string]int{}
	for _, p := range plays {
		counts[fmt.Sprintf("%.9s spf=%s", p.out.Reply.String(), p.result("spf"))]++
		check(t, !p.out.Reply.Permanent(), "refused for good: %v", p.out.Reply)
		check(t, p.result("spf") != "pass" && p.result("spf") != "fail", "spf=%s without an answer", p.result("spf"))
	}
	p99, mail := percentile(99, plays, endOf), percentile(100, plays, envelopeOf)
	check(t, p99 <= end, "p99 of the end of a message: %v", p99)
	check(t, mail <= envelope, "an answer to the envelope took %v", mail)
	check(t, most < goroutines, "%v goroutines", most)

	dead.Store(false)
	healed := time.Now()
	var back time.Duration
	for {
		c, err := greeted(t.Context(), milter.Addr{Network: "unix", Address: d.Socket()})
		if err != nil {
			t.Fatal(err)
		}
		from := fmt.Sprintf("joe@no%d.hole.test", serial.Add(1))
		one, err := playOne(t.Context(), c, from, newMail(t, "light again?").Bytes(), nil)
		c.Close()
		back = time.Since(healed)
		if err == nil && one.out.Reply.IsContinue() && one.result("spf") == "pass" && one.end < time.Second {
			break
		}
		if back > recovery {
			t.Errorf("%v after the DNS is back: %v, spf=%s, took %v", back, one.out.Reply, one.result("spf"), one.end)
			break
		}
	}
	backToBase(t, d, before)
	fmt.Printf("DNS dead for %v, %d sessions: %d messages %v, %d questions; end of message p50 %v p99 %v, envelope at most %v, %v goroutines at most; as before %v after\n",
		length, sessions, len(plays), counts, questions.Load(), percentile(50, plays, endOf).Round(time.Millisecond), p99.Round(time.Millisecond), mail.Round(time.Millisecond), most, back.Round(time.Millisecond))
}
