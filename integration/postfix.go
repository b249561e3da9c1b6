package integration

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"
)

//go:embed bed
var bedFiles embed.FS

// render fills one of the bed's configuration files in.
func render(name string, data any) (string, error) {
	t, err := template.ParseFS(bedFiles, "bed/"+name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, data)
	return b.String(), err
}

// deployed reads a file of deploy/postfix in the source tree: the bed uses what
// operators copy.
func deployed(name string) (string, error) {
	root, err := SourceRoot()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy", "postfix", name))
	return string(text), err
}

// SourceRoot is the nearest directory above this one with a go.mod.
func SourceRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working directory: the bed needs the source tree")
		}
		dir = filepath.Dir(dir)
	}
}

// services returns the whole master.cf and reserves a port for each listener.
func (b *Bed) services(extra []Listener) (string, error) {
	base, err := bedFiles.ReadFile("bed/master.cf")
	if err != nil {
		return "", err
	}
	snippet, err := deployed("master.cf")
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.Write(base)
	for _, l := range append([]Listener{{Name: "mx"}}, extra...) {
		addr, err := b.reserve(l.Name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%s inet n - y - - smtpd\n  -o syslog_name=postfix/%s\n", addr, l.Name)
		if l.Milter != "" {
			fmt.Fprintf(&out, "  -o { smtpd_milters = %s }\n", l.Milter)
		}
		for _, option := range l.Options {
			fmt.Fprintf(&out, "  -o { %s }\n", option)
		}
	}
	for line := range strings.Lines(snippet) {
		service, rest, _ := strings.Cut(line, " ")
		if service != "" && !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
			addr, err := b.reserve(serviceName(service))
			if err != nil {
				return "", err
			}
			line = addr + " " + rest
		}
		out.WriteString(line)
	}
	return out.String(), nil
}

// serviceName names the listener for a service of deploy/postfix/master.cf.
func serviceName(service string) string {
	if strings.Contains(service, ":") {
		return "reinject" // 127.0.0.1:10026
	}
	return service
}

func (b *Bed) reserve(listener string) (addr string, err error) {
	if _, taken := b.ports[listener]; taken {
		return "", fmt.Errorf("two listeners named %q", listener)
	}
	port, err := ReservePort()
	if err != nil {
		return "", err
	}
	b.ports[listener] = port
	return port.Addr(), nil
}

// startPostfix writes the configuration and runs master in the foreground, as
// "postfix start-fg" does, but as our own child: start-fg's shell would hide its
// pid, and check in a hundred ways what was made a moment ago.
func (b *Bed) startPostfix(ctx context.Context, services, extra string) error {
	deploy, err := deployed("main.cf")
	if err != nil {
		return err
	}
	out, err := run(ctx, nil, "postconf", "-dh", "daemon_directory", "command_directory", "meta_directory")
	if err != nil {
		return err
	}
	programs := strings.Fields(out) // in the order asked for
	if len(programs) != 3 {
		return fmt.Errorf("postconf -dh: %q, want three directories", out)
	}
	main, err := render("main.cf", map[string]any{
		"Dir": b.dir, "Deploy": deploy, "Extra": extra, "SinkPort": b.ports["sink"].Number,
		"DaemonDir": programs[0], "CommandDir": programs[1], "MetaDir": programs[2],
	})
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "postfix")
	for name, text := range map[string]string{"main.cf": main, "master.cf": services} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		// Postfix rereads a file that changed within the last two seconds until it
		// is older, in every one of its programs. It may as well be old at once.
		old := time.Now().Add(-time.Minute)
		if err := os.Chtimes(path, old, old); err != nil {
			return err
		}
	}
	b.postfix, err = b.family.start("postfix", b.Log, []string{"MAIL_CONFIG=" + dir}, filepath.Join(programs[0], "master"), "-s")
	if err != nil {
		return err
	}
	// master says so after it has bound every port; nothing has to be probed, and
	// no milter sees a connection that is not mail.
	if err := b.postfix.whileAlive(ctx, func(ctx context.Context) error {
		_, err := b.Log.Wait(ctx, 0, "postfix/master", "daemon started")
		return err
	}); err != nil {
		return fmt.Errorf("%w\n%s", err, b.Log.Tail(20))
	}
	return b.checkMasterPID()
}

// checkMasterPID compares the pid that Postfix itself goes by with ours.
func (b *Bed) checkMasterPID() error {
	text, err := os.ReadFile(filepath.Join(b.dir, "spool/pid/master.pid"))
	if err != nil {
		return err
	}
	if pid := strings.TrimSpace(string(text)); pid != strconv.Itoa(b.postfix.pid()) {
		return fmt.Errorf("master.pid says %s, but master was started as %d", pid, b.postfix.pid())
	}
	return nil
}

// Postfix runs one of Postfix's commands (postqueue, postsuper, postconf, …) on
// this bed and returns what it prints.
func (b *Bed) Postfix(ctx context.Context, command string, args ...string) (string, error) {
	return run(ctx, nil, command, append([]string{"-c", filepath.Join(b.dir, "postfix")}, args...)...)
}

// Sendmail hands a message to sendmail(1), with lines ended as on Unix.
func (b *Bed) Sendmail(ctx context.Context, from string, to []string, message []byte) error {
	args := append([]string{"-C", filepath.Join(b.dir, "postfix"), "-i", "-f", from, "--"}, to...)
	_, err := run(ctx, bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")), "sendmail", args...)
	return err
}

// Queued is a message in Postfix's queue (postqueue -j).
type Queued struct {
	Queue      string `json:"queue_name"` // incoming, active, deferred, hold, …
	ID         string `json:"queue_id"`
	Sender     string `json:"sender"`
	Recipients []struct {
		Address     string `json:"address"`
		DelayReason string `json:"delay_reason"`
	} `json:"recipients"`
}

// Queue lists what is queued now.
func (b *Bed) Queue(ctx context.Context) ([]Queued, error) {
	out, err := b.Postfix(ctx, "postqueue", "-j")
	if err != nil {
		return nil, err
	}
	var queue []Queued
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var q Queued
		if err := d.Decode(&q); err == io.EOF {
			return queue, nil
		} else if err != nil {
			return nil, fmt.Errorf("postqueue -j: %w", err)
		}
		queue = append(queue, q)
	}
}

// QueuedMessage returns a message that lies in the queue (postcat).
func (b *Bed) QueuedMessage(ctx context.Context, id string) (Delivered, error) {
	out, err := b.Postfix(ctx, "postcat", "-h", "-b", "-q", id)
	return parseDelivered([]byte(out)), err
}

// Gone waits until a message has left the queue: delivered, bounced or removed.
func (b *Bed) Gone(ctx context.Context, id string) error {
	_, err := b.Log.Wait(ctx, 0, "postfix/qmgr", id+": removed")
	return err
}
