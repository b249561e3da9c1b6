package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"milterd/internal/dns/dnstest"
)

// A Fault is something that breaks and can be mended again, on a bench of the lab.
type Fault struct {
	Break func(ctx context.Context, b *Bench) error
	Mend  func(ctx context.Context, b *Bench) error
}

// Deed is something that is over when it is done.
type Deed func(ctx context.Context, b *Bench) error

// Faults is all that can be broken, by name.
func Faults() map[string]Fault {
	return map[string]Fault{
		"dns dead": {
			func(_ context.Context, b *Bench) error { return b.Lab.Names.Die() },
			func(_ context.Context, b *Bench) error { return b.Lab.Names.Live() },
		},
		"dns silent":   lying(func() dnstest.Lie { return dnstest.Drop }),
		"dns servfail": lying(func() dnstest.Lie { return dnstest.ServFail }),
		"dns slow":     lying(func() dnstest.Lie { return late }),
		"dns hostile":  lying(hostile),

		"clamd dead": {
			func(_ context.Context, b *Bench) error { return b.Lab.Clamd.Kill() },
			func(ctx context.Context, b *Bench) error { return b.Lab.Clamd.Start(ctx) },
		},
		"clamd hanging": {
			func(_ context.Context, b *Bench) error { return b.Lab.Clamd.Freeze() },
			func(_ context.Context, b *Bench) error { return b.Lab.Clamd.Thaw() },
		},
		"clamd lying": {
			func(_ context.Context, b *Bench) error {
				return errors.Join(b.Lab.Clamd.Kill(), b.Lab.Impostor.Start())
			},
			func(ctx context.Context, b *Bench) error {
				return errors.Join(b.Lab.Impostor.Close(), b.Lab.Clamd.Start(ctx))
			},
		},

		"redis dead": {
			func(_ context.Context, b *Bench) error { return b.Lab.Redis.Kill() },
			func(ctx context.Context, b *Bench) error { return b.Lab.Redis.Start(ctx) },
		},
		"redis hanging": {
			func(_ context.Context, b *Bench) error { return b.Lab.Redis.Freeze() },
			func(_ context.Context, b *Bench) error { return b.Lab.Redis.Thaw() },
		},
		"redis full": {
			func(ctx context.Context, b *Bench) error {
				return errors.Join(b.Lab.Redis.Do(ctx, "CONFIG", "SET", "maxmemory-policy", "noeviction"), b.Lab.Redis.Do(ctx, "CONFIG", "SET", "maxmemory", "1"))
			},
			func(ctx context.Context, b *Bench) error {
				return b.Lab.Redis.Do(ctx, "CONFIG", "SET", "maxmemory", "0")
			},
		},

		"disk full": {
			func(_ context.Context, b *Bench) error { return b.onDisk(disk.fill) },
			func(_ context.Context, b *Bench) error { return b.onDisk(disk.free) },
		},
		// The kernel writes no more after an error; that is mended with the daemon down.
		"disk read-only": {
			func(_ context.Context, b *Bench) error { return b.onDisk(disk.fill) },
			func(ctx context.Context, b *Bench) error {
				if err := b.Daemon.Stop(); err != nil {
					return err
				}
				return errors.Join(b.onDisk(disk.free), b.Daemon.Start(ctx))
			},
		},

		"milterd killed": {
			func(_ context.Context, b *Bench) error { return b.Daemon.Kill() },
			func(ctx context.Context, b *Bench) error { return b.Daemon.Start(ctx) },
		},
		"milterd stopped": {
			func(_ context.Context, b *Bench) error { return b.Daemon.Stop() },
			func(ctx context.Context, b *Bench) error { return b.Daemon.Start(ctx) },
		},
		"files exhausted": {
			func(ctx context.Context, b *Bench) error { return b.crowd(ctx) },
			func(_ context.Context, b *Bench) error { return b.disperse() },
		},
		"memory taken": {
			func(ctx context.Context, b *Bench) error { return b.occupy(ctx) },
			func(_ context.Context, b *Bench) error { return b.disperse() },
		},
		"milterd starved": {
			func(ctx context.Context, b *Bench) error { return b.starve(ctx) },
			func(ctx context.Context, b *Bench) error { return b.feed(ctx) },
		},
		"clock a year ahead": clockFault(+year),
		"clock a year back":  clockFault(-year),
	}
}

// Deeds is all that can be done, by name.
func Deeds() map[string]Deed {
	return map[string]Deed{
		"reload a good file": func(ctx context.Context, b *Bench) error {
			if err := b.Daemon.Configure(b.YAML); err != nil {
				return err
			}
			_, err := b.Daemon.Reload(ctx)
			return err
		},
		"reload a broken file": func(ctx context.Context, b *Bench) error {
			if err := b.Daemon.Configure(b.YAML + "\nthresholds: {junk: 6, rejekt: 15}\n"); err != nil {
				return err
			}
			_, err := b.Daemon.Reload(ctx)
			return errors.Join(err, b.Daemon.Configure(b.YAML))
		},
		"kill and start milterd": func(ctx context.Context, b *Bench) error { return errors.Join(b.Daemon.Kill(), b.Daemon.Start(ctx)) },
		"stop and start milterd": func(ctx context.Context, b *Bench) error { return errors.Join(b.Daemon.Stop(), b.Daemon.Start(ctx)) },
		"spoil the store":        spoilStore,
	}
}

// lying is a name server that tells lies; each break begins them anew.
func lying(lie func() dnstest.Lie) Fault {
	return Fault{
		func(_ context.Context, b *Bench) error { b.Lab.Names.Lie(lie()); return nil },
		func(_ context.Context, b *Bench) error { b.Lab.Names.Lie(nil); return nil },
	}
}

func (b *Bench) onDisk(do func(disk) error) error {
	if b.disk == nil {
		return errPlainDisk
	}
	return do(b.disk)
}

// crowd opens more connections to milterd than it has descriptors.
func (b *Bench) crowd(ctx context.Context) error {
	for range 2 * filesAllowed {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", b.Daemon.Socket())
		if err != nil {
			return err
		}
		b.idle = append(b.idle, conn)
	}
	return nil
}

// disperse ends them.
func (b *Bench) disperse() error {
	var errs []error
	for _, conn := range b.idle {
		errs = append(errs, conn.Close())
	}
	b.idle = nil
	return errors.Join(errs...)
}

// filesAllowed is what a daemon may open whose scenario says few_files.
const filesAllowed = 256

// confine writes a script that starts the binary with few files, in the bench's group, or both: neither can be
// done from outside before the binary has begun.
func (b *Bench) confine(script string) error {
	text := "#!/bin/sh\n"
	if b.FewFiles {
		text += fmt.Sprintf("ulimit -n %d\n", filesAllowed)
	}
	if b.group != nil {
		text += fmt.Sprintf("echo 0 >%s || exit\n", b.group.members())
	}
	return os.WriteFile(script, fmt.Appendf(nil, "%sexec %s \"$@\"\n", text, b.Binary), 0o755)
}

// spoilStore writes nonsense over the store of a daemon that is killed for it, as a bad
// disk does, and starts it again.
func spoilStore(ctx context.Context, b *Bench) error {
	if err := b.Daemon.Kill(); err != nil {
		return err
	}
	f, err := os.OpenFile(b.Daemon.State()+"/state.db", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 64<<10))
	return errors.Join(err, f.Close(), b.Daemon.Start(ctx))
}

const (
	year = 365 * 24 * 60 * 60 // seconds
	// clockVariable names the file that the lab's build reads its clock's jump from.
	clockVariable = "MILTERD_LAB_CLOCK"
)

func clockFault(jump int64) Fault {
	return Fault{
		func(_ context.Context, b *Bench) error { return b.setClock(jump) },
		func(_ context.Context, b *Bench) error { return b.setClock(0) },
	}
}

// setClock moves the clock of the lab's build by seconds.
func (b *Bench) setClock(jump int64) error {
	if b.Build != Special {
		return errors.New("only the lab's own build has a clock to be set: say build: lab")
	}
	f, err := os.OpenFile(b.clock, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(jump)), 0)
	return errors.Join(err, f.Close())
}
