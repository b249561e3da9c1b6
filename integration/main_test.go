package integration

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"milterd/internal/dns/zone"
)

// The suite is what all tests of the package share: one bed, one name server, one
// binary, and a daemon for each configuration that several tests use. The first
// test that needs a thing brings it up; TestMain takes everything down.
type suite struct {
	inet   Port // second socket of the daemon "milterd"
	filter Port // content filter
	behind Port // where mail goes that a filter of the spoof lab let pass

	once    sync.Once
	err     error
	bed     *Bed
	names   *zone.Server
	held    *heldNames
	binary  string
	daemons map[string]*sharedDaemon

	assertions atomic.Int64
	skipped    sync.Map // what was said about it
}

type sharedDaemon struct {
	once sync.Once
	*Daemon
	err error
}

var shared suite

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.bed != nil {
		begin := time.Now()
		if err := shared.close(); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: the bed did not come down:", err)
			code = 1
		}
		fmt.Printf("bed down in %v, nothing of it left\n", time.Since(begin).Round(time.Millisecond))
		fmt.Printf("%d assertions\n", shared.assertions.Load())
	}
	os.Exit(code)
}

// patience bounds every single wait of a test.
const patience = 30 * time.Second

// testBed returns the shared bed; where no bed can run, the test is skipped.
func testBed(t *testing.T) *Bed {
	t.Helper()
	if missing := Missing(); missing != "" {
		skipLoudly(t, "milterd with a real Postfix. "+missing)
	}
	shared.once.Do(func() {
		begin := time.Now()
		if shared.err = shared.start(context.Background()); shared.err == nil {
			fmt.Printf("bed up in %v\n", time.Since(begin).Round(time.Millisecond))
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.bed
}

// skipLoudly says what this machine leaves untested. "go test" hides the word of
// a package that passes, so where nothing may be left out, as in "make test", the
// environment says MILTERD_BED=required, and the test fails instead.
func skipLoudly(t *testing.T, what string) {
	t.Helper()
	what = "*** NOT TESTED: " + what + " ***"
	if os.Getenv("MILTERD_BED") == "required" {
		t.Fatal(what)
	}
	if _, said := shared.skipped.LoadOrStore(what, true); !said {
		fmt.Fprintln(os.Stderr, what)
	}
	t.Skip(what)
}

func (s *suite) start(ctx context.Context) (err error) {
	if s.inet, err = ReservePort(); err != nil {
		return err
	}
	if s.filter, err = ReservePort(); err != nil {
		return err
	}
	if s.behind, err = ReservePort(); err != nil {
		return err
	}
	if s.names, s.held, err = startNames(); err != nil {
		return err
	}
	s.daemons = make(map[string]*sharedDaemon)
	for name := range daemonConfigs {
		s.daemons[name] = new(sharedDaemon)
	}
	s.bed, err = Start(ctx, Config{Listeners: listeners(s)})
	return err
}

func (s *suite) close() error {
	err := s.bed.Close()
	s.held.release()
	s.names.Close()
	s.inet.Release()
	s.filter.Release()
	s.behind.Release()
	return err
}

// daemon returns the shared daemon of that name, started when it is first wanted.
func daemon(t *testing.T, name string) *Daemon {
	t.Helper()
	testBed(t)
	d := shared.daemons[name]
	d.once.Do(func() { d.Daemon, d.err = startDaemon(name, daemonConfigs[name]) })
	if d.err != nil {
		t.Fatal(d.err)
	}
	return d.Daemon
}

func startDaemon(name string, config DaemonConfig) (*Daemon, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := buildOnce(ctx); err != nil {
		return nil, err
	}
	config.Name = name
	if config.DNS == nil {
		config.DNS = []string{shared.names.Addr()}
	}
	if name == "milterd" {
		config.Inet = []string{shared.inet.Addr()}
	}
	return shared.bed.StartDaemon(ctx, shared.binary, config)
}

var buildOnce = func() func(context.Context) error {
	var once sync.Once
	var err error
	return func(ctx context.Context) error {
		once.Do(func() { shared.binary, err = Build(ctx, shared.bed.Dir()) })
		return err
	}
}()

// check counts an assertion and reports it when it does not hold.
func check(t *testing.T, holds bool, format string, args ...any) bool {
	t.Helper()
	shared.assertions.Add(1)
	if !holds {
		t.Errorf(format, args...)
	}
	return holds
}

// within is the context of one wait.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// stranger is a client somewhere else, as XCLIENT spells it.
const stranger = "ADDR=203.0.113.7 NAME=mail.sender.test REVERSE_NAME=mail.sender.test PORT=40000"

// alice and bob are users of the bed, joe writes to them from the network that his
// domain's SPF record names.
const (
	alice = "alice@example.test"
	bob   = "bob@example.test"
	carol = "carol@second.test"
	joe   = "joe@sender.test"
)

// gtube is spam by agreement.
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// newMail is a plain message of joe's to alice. Its subject begins with the test's
// name and is nobody else's.
func newMail(t *testing.T, body string) Mail {
	name := strings.NewReplacer("/", " ", "_", " ").Replace(t.Name())
	return Mail{From: joe, To: alice, Subject: fmt.Sprintf("%s %d", name, serial.Add(1)), Body: body}
}

var serial atomic.Int64

// dial connects to a listener, as xclient if that is not empty, and closes with
// the test.
func dial(t *testing.T, listener, xclient string) *SMTP {
	t.Helper()
	c, err := testBed(t).Client(within(t), listener, xclient)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// send runs one transaction from joe to the recipients, alice by default.
func send(t *testing.T, c *SMTP, m Mail, to ...string) Reply {
	t.Helper()
	if len(to) == 0 {
		to = []string{alice}
	}
	return sendFrom(t, c, joe, m, to...)
}

func sendFrom(t *testing.T, c *SMTP, from string, m Mail, to ...string) Reply {
	t.Helper()
	r, err := c.Send(from, to, m.Bytes())
	if err != nil {
		t.Fatalf("%s: %v", m.Subject, err)
	}
	return r
}

// cmd sends one SMTP command and wants a reply with that code.
func cmd(t *testing.T, c *SMTP, code int, format string, args ...any) {
	t.Helper()
	r, err := c.Cmd(format, args...)
	if err != nil {
		t.Fatal(err)
	}
	if r.Code != code {
		t.Fatalf("%s: got %v, want %d", fmt.Sprintf(format, args...), r, code)
	}
}

// find waits for a mail in a folder.
func find(t *testing.T, user, folder string, m Mail) Delivered {
	t.Helper()
	got, err := testBed(t).Find(within(t), user, folder, m.Subject)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// verdict waits for what the daemon logged about a queue id.
func verdict(t *testing.T, d *Daemon, queueID string) Verdict {
	t.Helper()
	v, err := d.Verdict(within(t), queueID)
	if err != nil {
		t.Fatalf("%v\n%s", err, d.Log.Tail(10))
	}
	return v
}

// queueID waits until Postfix has queued a message, for those whose reply nobody
// sees.
func queueID(t *testing.T, messageID string) string {
	t.Helper()
	line, err := testBed(t).Log.Wait(within(t), 0, "/cleanup[", "message-id=<"+messageID+">")
	if err != nil {
		t.Fatal(err)
	}
	return logQueueID(line)
}

// logQueueID takes the queue id out of "… postfix/cleanup[12]: ID: message-id=…".
func logQueueID(line string) string {
	_, rest, _ := strings.Cut(line, "]: ")
	id, _, _ := strings.Cut(rest, ":")
	return id
}
