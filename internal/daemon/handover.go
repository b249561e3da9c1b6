package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"milterd/internal/dovecot"
	"milterd/milter"

	"golang.org/x/sys/unix"
)

// A daemon can be succeeded while it works. The successor, "milterd serve --takeover",
// asks on the control socket, and then each of its lines gets an answer:
//
//	sockets    a list of the listening sockets, with their descriptors (SCM_RIGHTS)
//	store      "closed": the file of the store is the successor's to open
//	serving    "bye": the successor accepts connections, we no more
//
// In this order nothing is ever without an owner. Until "store" nothing has changed for
// us; until "serving" we accept connections as well, and a successor that goes away
// before leaves us as we were, with the file open again. After "serving" we serve the
// sessions that we have to their end, ask the successor for what is in the store, and
// exit.
const (
	askSockets = "sockets"
	askStore   = "store"
	askServing = "serving"
	sayClosed  = "closed"
	sayBye     = "bye"
)

const (
	// stepTime bounds each step; the successor makes its engine meanwhile.
	stepTime = time.Minute
	// maxHanded bounds the descriptors of one list.
	maxHanded = 128
	maxLine   = 64 << 10
	// closeTime is how long the store may take to write what waits.
	closeTime = 10 * time.Second
)

// upgraded is the answer to POST /takeover.
const upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: milterd-takeover\r\n\r\n"

// handed is a listening socket on its way from one process to the next.
type handed struct {
	Use     string `json:"use"`     // milter, control, http, delivery, training
	Address string `json:"address"` // as the configuration has it
	// Inherited says that the service manager opened it, whatever the configuration says.
	Inherited bool `json:"inherited,omitempty"`

	l net.Listener
}

// served is what the successor says when it serves.
type served struct {
	Control string `json:"control"` // where to ask for the store
}

// succession is how a daemon gives its work away, once.
type succession struct {
	busy sync.Mutex // held while somebody takes over, and from the end on
	// to is told of a successor that serves.
	to chan successor

	mu     sync.Mutex
	conn   *net.UnixConn // of the one who takes over
	closed bool
}

type successor struct {
	pid     int32
	control string
	store   *lastDays // nil where the store needs no handing over
}

func newSuccession() *succession { return &succession{to: make(chan successor, 1)} }

// begin registers a connection; false when the daemon ends, or another one is first.
func (s *succession) begin(c *net.UnixConn) bool {
	if !s.busy.TryLock() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = c
	if s.closed {
		s.busy.Unlock()
		return false
	}
	return true
}

// end waits until nobody takes over, and lets nobody begin.
func (s *succession) end() {
	s.mu.Lock()
	s.closed = true
	if s.conn != nil {
		_ = s.conn.SetDeadline(time.Unix(1, 0))
	}
	s.mu.Unlock()
	s.busy.Lock()
}

// handOver gives the daemon's work to the process behind c, or goes on with it.
func (d *daemon) handOver(c *net.UnixConn) {
	if !d.succession.begin(c) {
		fmt.Fprint(c, "HTTP/1.1 409 Conflict\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer d.succession.busy.Unlock()
	peer, err := dovecot.PeerOf(c)
	if err != nil {
		d.log.Warn("nobody takes over", "err", err)
		return
	}
	g := &giver{d: d, c: c, in: bufio.NewReaderSize(c, maxLine)}
	s, err := g.give()
	if err != nil {
		d.log.Warn("a successor went away before it served, this daemon goes on", "pid", peer.PID, "err", err)
		return
	}
	s.pid = peer.PID
	d.succession.to <- s
	_ = g.say(sayBye) // it serves already
}

// giver is our side of one takeover.
type giver struct {
	d  *daemon
	c  *net.UnixConn
	in *bufio.Reader
}

func (g *giver) give() (s successor, err error) {
	if err := g.say(upgraded[:len(upgraded)-1]); err != nil {
		return s, err
	}
	if _, err := g.hear(askSockets); err != nil {
		return s, err
	}
	if err := sendSockets(g.c, g.d.sockets.all); err != nil {
		return s, err
	}
	if _, err := g.hear(askStore); err != nil {
		return s, err
	}
	s.store, err = g.d.releaseStore()
	if err == nil {
		err = g.say(sayClosed)
	}
	var rest string
	if err == nil {
		rest, err = g.hear(askServing)
	}
	var told served
	if err == nil {
		err = json.Unmarshal([]byte(rest), &told)
	}
	if err != nil {
		g.d.takeStoreBack(s.store)
		return s, err
	}
	s.control = told.Control
	return s, nil
}

func (g *giver) say(line string) error {
	_ = g.c.SetWriteDeadline(time.Now().Add(stepTime))
	_, err := fmt.Fprintf(g.c, "%s\n", line)
	return err
}

// hear waits for a line that begins with word, and returns what follows it.
func (g *giver) hear(word string) (rest string, err error) {
	g.d.succession.mu.Lock()
	if g.d.succession.closed {
		err = errors.New("this daemon ends")
	} else {
		err = g.c.SetReadDeadline(time.Now().Add(stepTime))
	}
	g.d.succession.mu.Unlock()
	if err != nil {
		return "", err
	}
	return hear(g.in, word)
}

func hear(in *bufio.Reader, word string) (rest string, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return "", fmt.Errorf("waiting for %q: %w", word, err)
	}
	got, rest, _ := strings.Cut(string(line[:len(line)-1]), " ")
	if got != word {
		return "", fmt.Errorf("waiting for %q: got %.80q", word, line)
	}
	return rest, nil
}

// releaseStore closes the file of the store, so that a successor can open it, and
// stops what else only one process may do. What has no file stays as it is.
func (d *daemon) releaseStore() (*lastDays, error) {
	d.keepers.stop()
	if _, ok := d.storeAt.Bolt(); !ok {
		return nil, nil
	}
	l := newLastDays(d.log)
	old := d.records.use(l)
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	err := old.Close(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return l, fmt.Errorf("the store does not close: %w", err)
	}
	if err != nil {
		d.log.Warn("the store lost something when it was handed over", "err", err)
	}
	return l, nil
}

// takeStoreBack undoes releaseStore.
func (d *daemon) takeStoreBack(l *lastDays) {
	if l != nil {
		d.fillStore(d.engine.Load().Config)
		l.giveBack(d.records)
	}
	d.keepers.start()
}

// sendSockets sends the list of sockets in one line, with their descriptors beside it.
func sendSockets(c *net.UnixConn, all []handed) error {
	fds := make([]int, 0, len(all))
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for _, h := range all {
		f, err := milter.Duplicate(h.l)
		if err != nil {
			return err
		}
		files = append(files, f)
		raw, err := f.SyscallConn()
		if err != nil {
			return err
		}
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return err
		}
	}
	line, err := json.Marshal(all)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	_ = c.SetWriteDeadline(time.Now().Add(stepTime))
	n, _, err := c.WriteMsgUnix(line, unix.UnixRights(fds...), nil)
	if err == nil && n < len(line) {
		_, err = c.Write(line[n:])
	}
	return err
}

// lastSessions serves the SMTP sessions that are left to their end, for at most the
// time in which Postfix may be silent, or until ctx ends. Nobody listens here any more.
func (d *daemon) lastSessions(ctx context.Context, next successor, idle time.Duration) {
	d.notify(fmt.Sprintf("MAINPID=%d", next.pid))
	if next.store != nil {
		next.store.meet(next.control)
	}
	d.log.Info("a successor serves, the sessions that are left are served to their end", "pid", next.pid)
	ctx, cancel := context.WithTimeout(ctx, idle)
	defer cancel()
	if err := d.server.Wait(ctx); errors.Is(err, context.DeadlineExceeded) {
		d.log.Warn("sessions are left after limits.idle", "idle", idle)
	}
}

// holdClock keeps the clock of the store, if it has one.
func (d *daemon) holdClock(ctx context.Context) {
	if d.clock != nil {
		d.clock.Hold(ctx, d.store)
	}
}

// keepers are the tasks that run beside the mail, in one process at a time.
type keepers struct {
	run []func(ctx context.Context)

	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (k *keepers) start() {
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	for _, task := range k.run {
		k.running.Go(func() { task(ctx) })
	}
}

// stop ends the tasks and waits for them.
func (k *keepers) stop() {
	k.cancel()
	k.running.Wait()
}
