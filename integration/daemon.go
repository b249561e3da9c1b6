package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// daemonUser is whom milterd becomes in the bed: a user that every Debian has and
// that is in no group of Postfix's, as the package's own user milterd is.
const daemonUser = "daemon"

// Build compiles cmd/milterd into the directory and returns the binary's path. The
// environment variable MILTERD_BIN names a binary to test instead.
func Build(ctx context.Context, dir string) (string, error) {
	if path := os.Getenv("MILTERD_BIN"); path != "" {
		return path, nil
	}
	root, err := SourceRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "milterd.bin")
	_, err = run(ctx, nil, "go", "-C", root, "build", "-o", path, "./cmd/milterd")
	return path, err
}

// DaemonConfig is one milterd beside the bed.
type DaemonConfig struct {
	// Name is that of the daemon's socket, <queue_directory>/milterd/NAME.sock, which
	// Postfix calls unix:milterd/NAME.sock. "milterd" is the one of
	// deploy/postfix/main.cf.
	Name string
	// YAML goes into conf.d/50-test.yaml and so wins over what the bed sets: the
	// sockets, paths below the bed, an HTTP port and the DNS servers.
	YAML string
	// Rules is the text of rules.d/test.yaml, "" for none.
	Rules string
	// DNS are the servers to ask, host:port. Without any, none is reachable: the
	// bed never asks the machine's own.
	DNS []string
	// Inet lists more sockets as host:port (see [ReservePort]).
	Inet []string
	// Env is more of the process's environment, as NAME=value.
	Env []string
	// Prepare, if set, is called before the first start with the directory of the
	// daemon's state: its store, journal and control socket.
	Prepare func(state string) error
}

// A Daemon is a running "milterd serve".
type Daemon struct {
	// Log is what the daemon writes.
	Log *Log

	family *family
	binary string
	dir    string // milterd.yaml, conf.d, rules.d, state
	socket string // of the milter protocol, absolute
	env    []string
	http   Port
	proc   *process // nil when it should not run
}

// StartDaemon writes the configuration below <dir>/milterd/NAME, starts milterd as
// root with --user, so that it drops to a user without rights, and returns once
// /readyz says yes.
func (b *Bed) StartDaemon(ctx context.Context, binary string, config DaemonConfig) (*Daemon, error) {
	d := &Daemon{
		Log:    newLog("milterd " + config.Name),
		family: b.family,
		binary: binary,
		dir:    filepath.Join(b.dir, "milterd", config.Name),
		env:    config.Env,
		socket: filepath.Join(b.dir, "spool/milterd", config.Name+".sock"),
	}
	var err error
	if d.http, err = ReservePort(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.daemons = append(b.daemons, d)
	b.mu.Unlock()
	if err := d.configure(config); err != nil {
		return nil, err
	}
	if config.Prepare != nil {
		if err := config.Prepare(filepath.Join(d.dir, "state")); err != nil {
			return nil, err
		}
	}
	return d, d.Start(ctx)
}

func (d *Daemon) configure(config DaemonConfig) error {
	for _, sub := range []string{"conf.d", "rules.d", "state"} {
		if err := os.MkdirAll(filepath.Join(d.dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := chown(filepath.Join(d.dir, "state"), daemonUser, daemonUser); err != nil {
		return err
	}
	servers := config.DNS
	if len(servers) == 0 {
		servers = []string{"127.0.0.1:1"} // refused at once
	}
	listen := []string{"unix:" + d.socket}
	for _, addr := range config.Inet {
		listen = append(listen, "inet:"+addr)
	}
	base := fmt.Sprintf(`listen: [%s]
control: unix:%s/state/control.sock
http: %s
dns: {servers: [%s]}
journal: {path: state/verdicts}
store: bolt:state/state.db
`, quoteAll(listen), d.dir, strconv.Quote(d.http.Addr()), quoteAll(servers))
	if err := os.WriteFile(d.Config(), []byte(base), 0o644); err != nil {
		return err
	}
	if config.Rules != "" {
		if err := os.WriteFile(filepath.Join(d.dir, "rules.d/test.yaml"), []byte(config.Rules), 0o644); err != nil {
			return err
		}
	}
	return d.Configure(config.YAML)
}

func quoteAll(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	return strings.Join(quoted, ", ")
}

// Config is the path of the daemon's milterd.yaml.
func (d *Daemon) Config() string { return filepath.Join(d.dir, "milterd.yaml") }

// Socket is the absolute path of the daemon's milter socket.
func (d *Daemon) Socket() string { return d.socket }

// Configure replaces DaemonConfig.YAML; the daemon reads it at the next Reload or
// Start.
func (d *Daemon) Configure(yaml string) error {
	return os.WriteFile(filepath.Join(d.dir, "conf.d/50-test.yaml"), []byte(yaml), 0o644)
}

// Start starts the daemon, for the first time or after Kill or Stop.
func (d *Daemon) Start(ctx context.Context) error {
	proc, err := d.family.start("milterd", d.Log, d.env, d.binary, "serve", "--user", daemonUser, "--config", d.Config())
	if err != nil {
		return err
	}
	d.proc = proc
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = proc.ready(ctx, func(ctx context.Context) error {
		_, err := d.Get(ctx, "/readyz")
		return err
	})
	if err != nil {
		return errors.Join(fmt.Errorf("%w\n%s", err, d.Log.Tail(20)), d.Kill())
	}
	return nil
}

// Stop ends the daemon with SIGTERM, which lets messages in flight end.
func (d *Daemon) Stop() error {
	proc := d.proc
	d.proc = nil
	return proc.stop(40 * time.Second)
}

// PID is that of the running process, 0 when there is none.
func (d *Daemon) PID() int {
	if d.proc == nil || d.proc.ended.Err() != nil {
		return 0
	}
	return d.proc.pid()
}

// State is the directory of the store, the journal and the control socket.
func (d *Daemon) State() string { return filepath.Join(d.dir, "state") }

// Kill ends the daemon with SIGKILL, as a crash or the kernel would.
func (d *Daemon) Kill() error {
	proc := d.proc
	d.proc = nil
	return proc.kill()
}

// close ends the daemon with its bed. One that ended by itself is an error.
func (d *Daemon) close() error {
	d.http.Release()
	if d.proc == nil {
		return nil
	}
	if d.proc.ended.Err() != nil {
		return fmt.Errorf("%w, by itself:\n%s", context.Cause(d.proc.ended), d.Log.Tail(20))
	}
	return d.Stop()
}

// Reload sends SIGHUP and returns what the daemon logs about it.
func (d *Daemon) Reload(ctx context.Context) (string, error) {
	mark := d.Log.Mark()
	if err := d.proc.signal(syscall.SIGHUP); err != nil {
		return "", err
	}
	return d.Log.WaitFunc(ctx, mark, "reload", func(line string) bool {
		return ParseLine(line)["msg"] != "verdict" && strings.Contains(strings.ToLower(line), "reload")
	})
}

// Get fetches a path of the daemon's HTTP port; another status than 200 is an error.
func (d *Daemon) Get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.http.Addr()+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	return string(body), err
}

// Metric sums the series of one metric that carry every given label, such as
// `action="reject"`. A metric without such a series is 0.
func (d *Daemon) Metric(ctx context.Context, name string, labels ...string) (float64, error) {
	text, err := d.Get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	return SumMetric(text, name, labels...), nil
}

// SumMetric is Metric for the text of /metrics.
func SumMetric(text, name string, labels ...string) float64 {
	var sum float64
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.Contains(line, "{") {
			series, value, _ = strings.Cut(strings.TrimSpace(line), " ")
		}
		if got, _, _ := strings.Cut(series, "{"); got != name || !containsAll(series, labels) {
			continue
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			sum += n
		}
	}
	return sum
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

// Command runs another command of milterd on this daemon's configuration: "why",
// "check", … It returns both outputs and the exit code.
func (d *Daemon) Command(ctx context.Context, name string, args ...string) (out string, code int, err error) {
	out, err = run(ctx, nil, d.binary, append([]string{name, "--config", d.Config()}, args...)...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return out, exit.ExitCode(), nil
	}
	return out, 0, err
}

// A Verdict is the daemon's log line about one message, by attribute: msg, qid, id,
// role, action, score, findings, …
type Verdict map[string]string

// Verdict waits for the log line about the message that Postfix queued under that
// id. Postfix uses an id again at times, so ask soon.
func (d *Daemon) Verdict(ctx context.Context, queueID string) (Verdict, error) {
	return d.verdict(ctx, "qid", queueID)
}

// VerdictOf waits for the log line about milterd's own transaction id.
func (d *Daemon) VerdictOf(ctx context.Context, id string) (Verdict, error) {
	return d.verdict(ctx, "id", id)
}

func (d *Daemon) verdict(ctx context.Context, attribute, value string) (Verdict, error) {
	if value == "" {
		return nil, fmt.Errorf("no %s to look for a verdict by", attribute)
	}
	line, err := d.Log.WaitFunc(ctx, 0, "msg=verdict "+attribute+"="+value, func(line string) bool {
		v := ParseLine(line)
		return v["msg"] == "verdict" && v[attribute] == value
	})
	return ParseLine(line), err
}

// Refused waits for the log line about a recipient who was refused at RCPT TO, by
// milterd's own transaction id.
func (d *Daemon) Refused(ctx context.Context, id, rcpt string) (Verdict, error) {
	line, err := d.Log.WaitFunc(ctx, 0, "recipient refused id="+id+" rcpt=<"+rcpt+">", func(line string) bool {
		v := ParseLine(line)
		return v["msg"] == "recipient refused" && v["id"] == id && v["rcpt"] == "<"+rcpt+">"
	})
	return ParseLine(line), err
}

// Verdicts returns all verdicts logged after the mark (see [Log.Mark]).
func (d *Daemon) Verdicts(mark int) []Verdict {
	var all []Verdict
	for _, line := range d.Log.Since(mark) {
		if v := ParseLine(line); v["msg"] == "verdict" {
			all = append(all, v)
		}
	}
	return all
}

// ParseLine reads a line of the daemon's log, of whatever kind: msg says which. It is in
// slog's text format: key=value, values quoted as in Go where needed.
func ParseLine(line string) Verdict {
	v := make(Verdict)
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		key, rest, found := strings.Cut(line, "=")
		if !found {
			return v
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil { // a bare value
			v[key], line, _ = strings.Cut(rest, " ")
			continue
		}
		v[key], _ = strconv.Unquote(quoted)
		line = rest[len(quoted):]
	}
	return v
}
