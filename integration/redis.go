package integration

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A Redis is a running redis-server without persistence: what it holds ends with it.
type Redis struct {
	Neighbour
	Log *Log

	bed  *Bed
	dir  string
	port Port
}

// MissingRedis says why there can be no Redis here, or "".
func MissingRedis() string {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return "missing: redis-server (package redis-server); integration/install.sh installs it"
	}
	return ""
}

// StartRedis starts a redis-server on a port of its own.
func (b *Bed) StartRedis(ctx context.Context, name string) (*Redis, error) {
	r := &Redis{Log: newLog("redis"), bed: b, dir: filepath.Join(b.dir, "milterd", name)}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if r.port, err = ReservePort(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	_, taken := b.ports[name]
	b.ports[name] = r.port
	b.mu.Unlock()
	if taken {
		return nil, fmt.Errorf("a listener is named %q", name)
	}
	return r, r.Start(ctx)
}

// Addr is host:port of the server.
func (r *Redis) Addr() string { return r.port.Addr() }

// Start starts a server that has been killed, and returns when it answers.
func (r *Redis) Start(ctx context.Context) error {
	var err error
	r.proc, err = r.bed.family.start("redis", r.Log, nil, "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(r.port.Number),
		"--dir", r.dir, "--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning")
	if err != nil {
		return err
	}
	return r.proc.ready(ctx, func(ctx context.Context) error { return r.Do(ctx, "PING") })
}

// Do sends one command; an answer that is an error is one.
func (r *Redis) Do(ctx context.Context, command ...string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	if end, bounded := ctx.Deadline(); bounded {
		_ = conn.SetDeadline(end)
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(command, " ")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(answer, "+") {
		err = fmt.Errorf("redis: %s: %s", strings.Join(command, " "), strings.TrimSpace(answer))
	}
	return err
}
