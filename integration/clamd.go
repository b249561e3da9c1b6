package integration

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// Eicar is the harmless file that every scanner finds, in two pieces so that none finds
// it here.
const Eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-` + `STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

// A Clamd is a running clamd that knows one signature, that of [Eicar].
type Clamd struct {
	Neighbour
	Socket string
	Log    *Log

	bed  *Bed
	conf string
}

// MissingClamd says why there can be no clamd here, or "".
func MissingClamd() string {
	if _, err := exec.LookPath("clamd"); err != nil {
		return "missing: clamd (package clamav-daemon); integration/install.sh installs it"
	}
	return ""
}

// StartClamd writes a database of one line and starts clamd on a socket below the bed.
// No signatures are fetched from anywhere.
func (b *Bed) StartClamd(ctx context.Context, name string) (*Clamd, error) {
	dir := filepath.Join(b.dir, "milterd", name)
	c := &Clamd{Socket: filepath.Join(dir, "clamd.ctl"), Log: newLog("clamd"), bed: b, conf: filepath.Join(dir, "clamd.conf")}
	if err := os.MkdirAll(filepath.Join(dir, "db"), 0o755); err != nil {
		return nil, err
	}
	config := fmt.Sprintf("Foreground yes\nUser root\nLocalSocket %s\nLocalSocketMode 666\nDatabaseDirectory %s/db\nTemporaryDirectory %s\n", c.Socket, dir, dir)
	signature := "Test.Eicar:0:*:" + hex.EncodeToString([]byte(Eicar[:60])) + "\n"
	if err := errors.Join(os.WriteFile(c.conf, []byte(config), 0o644), os.WriteFile(filepath.Join(dir, "db/test.ndb"), []byte(signature), 0o644)); err != nil {
		return nil, err
	}
	return c, c.Start(ctx)
}

// Start starts a clamd that has been stopped, and returns when it answers.
func (c *Clamd) Start(ctx context.Context) error {
	var err error
	if c.proc, err = c.bed.family.start("clamd", c.Log, nil, "clamd", "-c", c.conf); err != nil {
		return err
	}
	return c.proc.ready(ctx, c.probe)
}

// probe succeeds once clamd answers.
func (c *Clamd) probe(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if end, bounded := ctx.Deadline(); bounded {
		_ = conn.SetDeadline(end)
	}
	if _, err := conn.Write([]byte("zPING\x00")); err != nil {
		return err
	}
	if reply, err := io.ReadAll(conn); err != nil || string(reply) != "PONG\x00" {
		return fmt.Errorf("answers %q, %w", reply, err)
	}
	return nil
}
