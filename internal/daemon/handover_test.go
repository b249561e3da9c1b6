package daemon

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"milterd/internal/config"
	"milterd/internal/control"
	"milterd/internal/store"
	"milterd/milter"

	"golang.org/x/sys/unix"
)

// next is a house in the place of h: the same files, another daemon.
func (h *house) next() *house {
	n := *h
	n.log, n.reload = newLogBuffer(), make(chan struct{})
	return &n
}

// TestTakeover: the successor has the sockets and the store at once, the old daemon
// keeps its sessions and goes when they do.
func TestTakeover(t *testing.T) {
	old := start(t, "")
	session := old.dial()
	old.send(session, "4bOne", ham)
	now := old.next()
	now.run(func(o *Options) { o.Takeover = true })

	out := old.send(session, "4bTwo", ham)
	if out.Reply.Refuses() {
		t.Errorf("the old session: %v", out.Reply)
	}
	fresh := now.dial()
	now.send(fresh, "4bThree", ham)
	if n, m := old.log.count("qid=4bTwo"), now.log.count("qid=4bThree"); n != 1 || m != 1 {
		t.Errorf("%d messages of the old session with the old daemon, %d of the new one with the new\n%s\n%s", n, m, old.log, now.log)
	}
	if code, _ := now.get("/readyz"); code != 200 {
		t.Errorf("/readyz: %d", code)
	}
	if got := now.metric("milterd_store_failing"); got != "0" {
		t.Errorf("milterd_store_failing: %s", got)
	}
	if err := session.Quit(t.Context()); err != nil {
		t.Error(err)
	}
	<-old.ended
	if old.err != nil || old.log.count("level=WARN")+old.log.count("level=ERROR") != 0 {
		t.Errorf("the old daemon ends with %v\n%s", old.err, old.log)
	}
	now.send(now.dial(), "4bFour", ham) // the sockets are still there
	third := now.next()
	third.run(func(o *Options) { o.Takeover = true })
	fresh.Close()
	third.send(third.dial(), "4bFive", ham)
	third.stop()
	for _, socket := range []string{"m.sock", "c.sock"} {
		if _, err := os.Lstat(third.path(socket)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", socket, err)
		}
	}
}

// TestTakeoverOfNobody is an ordinary start.
func TestTakeoverOfNobody(t *testing.T) {
	h := start(t, "", func(o *Options) { o.Takeover = true })
	h.send(h.dial(), "4bOne", ham)
	if h.log.count("nothing to take over") != 1 {
		t.Errorf("the log does not say so:\n%s", h.log)
	}
}

// TestTermDuringLastSessions: SIGTERM does not wait for a session without a message.
func TestTermDuringLastSessions(t *testing.T) {
	old := start(t, "")
	old.send(old.dial(), "4bOne", ham)
	now := old.next()
	now.run(func(o *Options) { o.Takeover = true })
	old.log.wait(t, "a successor serves", 1)
	old.stop()
}

// TestSuccessorGoesAway: whatever step it came to, the daemon goes on as before, with
// what was noted meanwhile.
func TestSuccessorGoesAway(t *testing.T) {
	h := start(t, "")
	session := h.dial()
	at := config.Socket{Address: "unix:" + h.path("c.sock")}
	for i, leave := range []func(p *predecessor){
		func(p *predecessor) {},
		func(p *predecessor) { fmt.Fprintln(p.c, "milk") },
		func(p *predecessor) {
			if err := p.releaseStore(); err != nil {
				t.Fatal(err)
			}
			if code, _ := h.get("/healthz"); code != 200 {
				t.Errorf("/healthz: %d", code)
			}
			h.send(session, "4bGap", ham)
		},
		func(p *predecessor) {
			if err := p.releaseStore(); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(p.c, "serving {")
		},
	} {
		p, err := meetPredecessor(t.Context(), at, "")
		if err != nil {
			t.Fatal(err)
		}
		uses := ""
		for _, s := range p.sockets {
			uses += s.Use + " "
		}
		if uses != "milter control http " {
			t.Errorf("sockets for %s", uses)
		}
		if _, err := meetPredecessor(t.Context(), at, ""); err == nil || !strings.Contains(err.Error(), "409") {
			t.Errorf("a second successor at the same time: %v", err)
		}
		leave(p)
		p.close()
		h.log.wait(t, "this daemon goes on", i+1)
		h.send(session, "4bOn", ham)
		h.send(h.dial(), "4bOn", ham)
		if got := h.metric("milterd_store_failing"); got != "0" {
			t.Errorf("milterd_store_failing: %s", got)
		}
	}
	now := h.next()
	now.run(func(o *Options) { o.Takeover = true })
	now.send(now.dial(), "4bNow", ham)
	session.Close()
}

// TestLastDays: what a daemon notes after its store has gone waits for the successor,
// reaches it in order, and can be read there.
func TestLastDays(t *testing.T) {
	h := start(t, "")
	l := newLastDays(newLogger(h.log, "text", nil))
	key := func(s string) []byte { return []byte(s) }
	post := func(ops ...store.Op) {
		t.Helper()
		if err := l.Post("test", ops...); err != nil {
			t.Fatal(err)
		}
	}
	post(store.Put(key("a"), key("1"), 0))
	post(store.If(key("a"), key("1")), store.Put(key("a"), key("2"), 0), store.Put(key("empty"), nil, 0))
	l.meet("unix:" + h.path("c.sock"))
	if err := l.Apply(t.Context(), "test", store.If(key("a"), key("1")), store.Put(key("a"), key("3"), 0)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a batch whose If does not hold: %v", err)
	}
	if err := l.Apply(t.Context(), "test", store.Add(key("n"), 0, 4)); err != nil {
		t.Error(err)
	}
	got, err := l.Get(t.Context(), "test", key("a"), key("nothing"), key("empty"), key("n"))
	if err != nil || len(got) != 4 || string(got[0]) != "2" || got[1] != nil || got[2] == nil || len(got[2]) != 0 || store.Counter(got[3], 0) != 4 {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := l.Get(t.Context(), "no space at all", key("a")); err == nil {
		t.Error("an invalid question has an answer")
	}
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Post("test", store.Delete(key("a"))); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	c := control.NewClient("unix:" + h.path("c.sock"))
	defer c.Close()
	if values, err := c.Get(t.Context(), "test", key("a")); err != nil || string(values[0]) != "2" {
		t.Errorf("%q, %v", values, err)
	}
}

// TestReceiveSockets: a list that does not agree with its descriptors is refused, and
// what is no listening socket.
func TestReceiveSockets(t *testing.T) {
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listening.Close()
	good, err := milter.Duplicate(listening)
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	one, err := json.Marshal([]handed{{Use: useMilter, Address: "inet:1@x"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		line  string
		files []*os.File
		wrong string
	}{
		"one":            {string(one) + "\n", []*os.File{good}, ""},
		"too few":        {string(one) + "\n", nil, "0 descriptors for 1 sockets"},
		"too many":       {"[]\n", []*os.File{good}, "1 descriptors for 0 sockets"},
		"a device":       {string(one) + "\n", []*os.File{null}, "no listening socket"},
		"no list":        {"milk\n", nil, "its "},
		"half a line":    {"[", []*os.File{good}, "its sockets"},
		"without end":    {strings.Repeat("[", maxLine+1), nil, "cut off"},
		"nothing at all": {"", nil, "its "},
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			ends := make([]*net.UnixConn, 2)
			for i, fd := range pair {
				f := os.NewFile(uintptr(fd), "pair")
				nc, err := net.FileConn(f)
				f.Close()
				if err != nil {
					t.Fatal(err)
				}
				ends[i] = nc.(*net.UnixConn)
				defer nc.Close()
			}
			go func() {
				var fds []int
				for _, f := range c.files {
					fds = append(fds, int(f.Fd()))
				}
				ends[0].WriteMsgUnix([]byte(c.line), unix.UnixRights(fds...), nil)
				ends[0].CloseWrite()
			}()
			all, err := receiveSockets(ends[1])
			for _, h := range all {
				h.l.Close()
			}
			switch {
			case c.wrong == "" && (err != nil || len(all) != 1 || all[0].Address != "inet:1@x"):
				t.Errorf("%v, %v", all, err)
			case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
				t.Errorf("%v, expected %q", err, c.wrong)
			}
		})
	}
}

// FuzzHear: a line of the other process is heard as its word and its rest, or refused.
func FuzzHear(f *testing.F) {
	for _, line := range []string{"serving {}\n", "bye\n", "serving", "\n", " serving\n", "serving  \n\n"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		rest, err := hear(bufio.NewReaderSize(strings.NewReader(line), 64), askServing)
		if err == nil && line[:strings.IndexByte(line, '\n')] != strings.TrimSuffix(askServing+" "+rest, " ") && line[:strings.IndexByte(line, '\n')] != askServing+" "+rest {
			t.Errorf("%q: heard %q", line, rest)
		}
	})
}
