// Package lab breaks what milterd leans on, beside a real Postfix, and counts the mail.
//
// A lab is a test bed (package integration: Postfix, Dovecot) with neighbours that can
// be broken at will: a name server that goes away, is slow or lies; a clamd that dies,
// hangs or answers nonsense; a Redis that dies, hangs or is full; a disk that fills up
// or can no longer be written; a milterd that is killed, ended, told to reload, left
// without file descriptors or memory, that the kernel kills for want of it, or whose clock is set. It runs in a network and
// a mount namespace of its own ([Enter]), where nothing but loopback exists, and
// nothing that is mounted is seen outside.
//
// # Scenarios
//
// A file of scenarios/ is one row of the table of faults: what breaks, when, which mail
// is sent meanwhile, what its sender is told, which header field, metric and log line
// say so ([Scenario]). [Faults] lists what can be broken, [Kinds] what can be sent.
//
// # The account
//
// Whatever a scenario expects besides, one law holds over all its mail, and over fifty
// thousand messages with faults at random: each message handed in is delivered, deferred
// or refused, and the log says which; none is delivered that nobody has looked at, unless
// it says so itself; none arrives twice. The [Postman] writes down what he handed in and
// what he was told; the [Account] compares that with Postfix's log, milterd's verdicts
// and what lies in the mailboxes.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"milterd/integration"
)

// Config says which daemon a lab has, and on what it stands.
type Config struct {
	Name   string // of the daemon's socket and of the listener in front of it
	Binary string // milterd
	Build  Build
	YAML   string // of the daemon's configuration, after what the lab sets
	Store  Store
	Disk   Disk
	// FewFiles lets the daemon open few files.
	FewFiles bool
	// Memory, if not 0, is what the daemon may have of it, in bytes, in a control group of its own.
	Memory int64
}

// A Lab is a bed with its neighbours and one daemon or several.
type Lab struct {
	Bed      *integration.Bed
	Names    *Names
	Clamd    *integration.Clamd
	Impostor *Impostor
	Redis    *integration.Redis
	Benches  []*Bench
}

// A Bench is one daemon of a lab, with the disk it writes to.
type Bench struct {
	Config
	Lab    *Lab
	Daemon *integration.Daemon
	disk   disk
	group  *group // nil without Memory
	clock  string // the file by which its clock is set
	idle   []io.Closer
}

// Missing says why there can be no lab here, or "".
func Missing() string {
	for _, missing := range []func() string{integration.Missing, integration.MissingClamd, integration.MissingRedis} {
		if why := missing(); why != "" {
			return why
		}
	}
	return ""
}

// Start brings up a bed, its neighbours and a daemon for each configuration, each
// behind a listener of its name.
func Start(ctx context.Context, configs ...Config) (*Lab, error) {
	bed := integration.Config{MainCF: mainCF}
	for _, c := range configs {
		bed.Listeners = append(bed.Listeners, integration.Listener{Name: c.Name, Milter: "unix:milterd/" + c.Name + ".sock"})
	}
	l := &Lab{}
	if err := l.start(ctx, bed, configs); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: %w", err), l.Close())
	}
	return l, nil
}

// mainCF: an id that is never used again, since the account goes by it, and no pause for
// a client that was refused often.
const mainCF = `
enable_long_queue_ids = yes
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_client_connection_rate_limit = 0
`

func (l *Lab) start(ctx context.Context, config integration.Config, configs []Config) (err error) {
	if l.Bed, err = integration.Start(ctx, config); err != nil {
		return err
	}
	if l.Names, err = StartNames(); err != nil {
		return err
	}
	if l.Clamd, err = l.Bed.StartClamd(ctx, "clamd"); err != nil {
		return err
	}
	l.Impostor = &Impostor{Socket: l.Clamd.Socket}
	if l.Redis, err = l.Bed.StartRedis(ctx, "redis-server"); err != nil {
		return err
	}
	for _, c := range configs {
		b := &Bench{Config: c, Lab: l}
		l.Benches = append(l.Benches, b)
		if err := b.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settings are what every daemon of a lab has: neighbours that are given up after
// seconds and not after half a minute.
const settings = `
spool: %s
journal: {max_size: 16MiB}
dns: {timeout: 300ms}
limits: {message_time: 6s, dns_time: 2s}
checks:
  clamav: {enabled: true, sockets: ["unix:%s"], timeout: 2s}
%s
`

func (b *Bench) start(ctx context.Context) error {
	config := integration.DaemonConfig{Name: b.Name, YAML: b.YAML, DNS: []string{b.Lab.Names.Addr()}, Prepare: b.prepare}
	b.clock = filepath.Join(b.Lab.Bed.Dir(), b.Name+".clock")
	if b.Build == Special {
		config.Env = []string{clockVariable + "=" + b.clock}
		if err := b.setClock(0); err != nil {
			return err
		}
	}
	if b.Memory > 0 {
		g, err := newGroup("/", fmt.Sprintf("milterd-lab-%d-%s", os.Getpid(), b.Name), b.Memory)
		if err != nil {
			return err
		}
		b.group = g
	}
	binary := b.Binary
	if b.FewFiles || b.group != nil {
		binary = filepath.Join(b.Lab.Bed.Dir(), b.Name+".sh")
		if err := b.confine(binary); err != nil {
			return err
		}
	}
	d, err := b.Lab.Bed.StartDaemon(ctx, binary, config)
	b.Daemon = d
	return err
}

// prepare puts the lab's settings before those of the scenario, and the disk under the
// daemon's state.
func (b *Bench) prepare(state string) (err error) {
	store := ""
	if b.Store == Redis {
		store = "store: redis://" + b.Lab.Redis.Addr() + "/0"
	}
	text := fmt.Sprintf(settings, state, b.Lab.Clamd.Socket, store)
	if err := os.WriteFile(filepath.Join(filepath.Dir(state), "conf.d/40-lab.yaml"), []byte(text), 0o644); err != nil {
		return err
	}
	b.disk, err = b.Disk.mount(state)
	return err
}

// Close ends everything. The error names what did not end as it should.
func (l *Lab) Close() error {
	var errs []error
	if l.Impostor != nil {
		errs = append(errs, l.Impostor.Close())
	}
	if l.Clamd != nil {
		errs = append(errs, l.Clamd.Stop())
	}
	if l.Redis != nil {
		errs = append(errs, l.Redis.Stop())
	}
	for _, b := range l.Benches {
		errs = append(errs, b.disperse())
		if b.Daemon != nil && b.Daemon.PID() != 0 {
			errs = append(errs, b.Daemon.Stop())
		}
		if b.disk != nil {
			errs = append(errs, b.disk.unmount())
		}
		if b.group != nil {
			errs = append(errs, b.group.remove())
		}
	}
	if l.Bed != nil {
		errs = append(errs, l.Bed.Close())
	}
	if l.Names != nil {
		errs = append(errs, l.Names.Close())
	}
	return errors.Join(errs...)
}

// wait waits, or less when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// moment is the time between two looks at another process.
const moment = 50 * time.Millisecond

// patience bounds every single wait of a lab; a busy machine is slow, a fault is for ever.
const patience = 90 * time.Second
