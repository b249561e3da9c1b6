package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/checks/all"
	"milterd/internal/config"
	"milterd/internal/dns/dnstest"
	"milterd/milter"

	wire "github.com/emersion/go-milter"
)

// patience bounds every wait of these tests. Nothing waits that long unless it
// is broken.
const patience = 20 * time.Second

// house is a daemon in this process with directories of its own.
type house struct {
	t      *testing.T
	dir    string // milterd.yaml, m.sock, c.sock, state/
	names  *dnstest.Server
	http   string // of /metrics, empty when there is none
	log    *logBuffer
	reload chan struct{}
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // of Run, once ended is closed
}

// start runs a daemon with a configuration until the test ends. change may set
// more of its options.
func start(t *testing.T, yaml string, change ...func(*Options)) *house {
	t.Helper()
	h := newHouse(t, yaml)
	h.run(change...)
	return h
}

func newHouse(t *testing.T, yaml string) *house {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "m") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &house{t: t, dir: dir, log: newLogBuffer(), reload: make(chan struct{}),
		names: dnstest.Start(t, dnstest.Zone{"sender.example": {"TXT v=spf1 ip4:192.0.2.10 -all"}})}
	h.write(yaml)
	return h
}

// write writes milterd.yaml.
func (h *house) write(yaml string) {
	h.t.Helper()
	if err := os.WriteFile(h.path("milterd.yaml"), []byte(yaml), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) path(name string) string { return filepath.Join(h.dir, name) }

// load reads the configuration; what every test needs stands in the environment,
// so that milterd.yaml holds only what the test is about.
func (h *house) load() (*config.Config, error) {
	return config.Load(h.path("milterd.yaml"), config.Options{
		Checks:    all.Names(),
		CheckAddr: func(address string) error { _, err := milter.ParseAddr(address); return err },
		Environ: []string{
			fmt.Sprintf("MILTERD_DNS_SERVERS=[%q]", h.names.Addr()), "MILTERD_HTTP=127.0.0.1:0", "MILTERD_SPOOL=" + h.dir,
			"MILTERD_JOURNAL_PATH=" + h.path("state/verdicts"), "MILTERD_STORE=bolt:" + h.path("state/state.db"), "MILTERD_LISTEN=[unix:" + h.path("m.sock") + "]", "MILTERD_CONTROL=unix:" + h.path("c.sock"),
		},
	})
}

// loadWith is load with a change that no file can make.
func (h *house) loadWith(change func(*config.Config)) func() (*config.Config, error) {
	return func() (*config.Config, error) {
		cfg, err := h.load()
		if err == nil {
			change(cfg)
		}
		return cfg, err
	}
}

// run starts the daemon and waits until it serves.
func (h *house) run(change ...func(*Options)) {
	h.t.Helper()
	ready := make(chan string, 1)
	o := Options{Load: h.load, Version: "test", Stderr: h.log, Ready: func(http string) { ready <- http }}
	for _, c := range change {
		c(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.ended = cancel, make(chan struct{})
	go func() {
		defer close(h.ended)
		h.err = Run(ctx, o, h.reload)
	}()
	h.t.Cleanup(func() {
		cancel()
		<-h.ended
	})
	select {
	case h.http = <-ready:
	case <-h.ended:
		h.t.Fatalf("the daemon does not start: %v\n%s", h.err, h.log)
	case <-time.After(patience):
		h.t.Fatalf("the daemon does not start\n%s", h.log)
	}
}

// stop ends the daemon as SIGTERM does.
func (h *house) stop() {
	h.t.Helper()
	h.cancel()
	select {
	case <-h.ended:
	case <-time.After(patience):
		h.t.Fatal("the daemon does not end")
	}
	if h.err != nil {
		h.t.Errorf("the end: %v", h.err)
	}
}

// reloaded asks for a reload and waits for its outcome in the log.
func (h *house) reloaded(outcome string) {
	h.t.Helper()
	n := h.log.count(outcome)
	h.reload <- struct{}{}
	h.log.wait(h.t, outcome, n+1)
}

// dial connects as Postfix does for a stranger.
func (h *house) dial() *milter.Client {
	h.t.Helper()
	client, err := connect(h.t.Context(), h.path("m.sock"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { client.Close() })
	return client
}

func connect(ctx context.Context, socket string) (*milter.Client, error) {
	client, err := milter.Dial(ctx, milter.Addr{Network: "unix", Address: socket}, milter.ClientOptions{})
	if err != nil {
		return nil, err
	}
	_, err = client.Greet(ctx, stranger("192.0.2.10", "mail.sender.example"))
	return client, err
}

func stranger(addr, name string) milter.Peer {
	return milter.Peer{Connect: milter.Connect{Host: name, Family: byte(wire.FamilyInet), Port: 40000, Addr: netip.MustParseAddr(addr)},
		Helo: name, Hostname: "mx.here.example"}
}

func envelope(queueID string) milter.Envelope {
	return milter.Envelope{From: "joe@sender.example", Rcpts: []milter.Recipient{{Address: "ann@here.example"}}, QueueID: queueID}
}

const (
	ham = "From: joe@sender.example\r\nTo: ann@here.example\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <ham@sender.example>\r\nSubject: minutes\r\n\r\nhello\r\n"
	// spam is the test string, put together here so that this file is none.
	spam = "From: joe@sender.example\r\nMessage-ID: <spam@sender.example>\r\nSubject: test\r\n\r\nXJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
)

// send plays a message and returns the reply.
func (h *house) send(client *milter.Client, queueID, raw string) milter.Outcome {
	h.t.Helper()
	out, err := client.Send(h.t.Context(), envelope(queueID), []byte(raw))
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// get asks the daemon's HTTP address.
func (h *house) get(path string) (code int, body string) {
	h.t.Helper()
	return fetch(h.t, http.DefaultTransport, "http://"+h.http+path)
}

// control asks the control socket.
func (h *house) control(path string) (code int, body string) {
	h.t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", h.path("c.sock"))
	}}
	defer transport.CloseIdleConnections()
	return fetch(h.t, transport, "http://milterd"+path)
}

func fetch(t *testing.T, via http.RoundTripper, url string) (code int, body string) {
	t.Helper()
	client := http.Client{Transport: via, Timeout: patience}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// metric returns the value of one series, given as it is printed.
func (h *house) metric(series string) string {
	h.t.Helper()
	_, body := h.get("/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return "absent"
}

// logBuffer is a log that one can wait for.
type logBuffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // closed and replaced at every line
}

func newLogBuffer() *logBuffer { return &logBuffer{written: make(chan struct{})} }

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.written)
	b.written = make(chan struct{})
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBuffer) count(s string) int { return strings.Count(b.String(), s) }

// wait returns when s stands in the log n times.
func (b *logBuffer) wait(t *testing.T, s string, n int) {
	t.Helper()
	late := time.After(patience)
	for {
		b.mu.Lock()
		there, written := strings.Count(b.text.String(), s), b.written
		b.mu.Unlock()
		if there >= n {
			return
		}
		select {
		case <-written:
		case <-late:
			t.Fatalf("%q is not in the log:\n%s", s, b)
		}
	}
}

// line returns the last line of the log with s in it.
func (b *logBuffer) line(s string) (last string) {
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, s) {
			last = line
		}
	}
	return last
}
