package daemon

import (
	"fmt"
	"net"
	"os"
	"reflect"

	"milterd/internal/config"

	"golang.org/x/sys/unix"
)

// notify tells the service manager how we are (sd_notify(3)), if there is one.
func (d *daemon) notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if state == "RELOADING=1" {
		var now unix.Timespec
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil {
			state += fmt.Sprintf("\nMONOTONIC_USEC=%d", now.Nano()/1000)
		}
	}
	if path[0] == '@' {
		path = "\x00" + path[1:]
	}
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		d.log.Warn("service manager cannot be told", "err", err)
		return
	}
	defer conn.Close()
	conn.Write([]byte(state))
}

// needsRestart names the keys whose change a reload does not carry out: what
// was opened at the start stays open.
func needsRestart(old, now *config.Config) []string {
	var keys []string
	for _, k := range []struct {
		name     string
		old, now any
	}{
		{"listen", old.Listen, now.Listen}, {"control", old.Control, now.Control}, {"http", old.HTTP, now.HTTP},
		{"delivery", old.Delivery, now.Delivery}, {"training", old.Training, now.Training},
		{"dns", old.DNS, now.DNS}, {"journal", startJournal(old), startJournal(now)}, {"store", old.Store, now.Store},
		{"log.format", old.Log.Format, now.Log.Format}, {"spool", old.Spool, now.Spool}, {"limits", startLimits(old), startLimits(now)},
	} {
		if !reflect.DeepEqual(k.old, k.now) {
			keys = append(keys, k.name)
		}
	}
	return keys
}

// startLimits are the limits of the wire and of all messages together, and that of Bayes,
// which must learn and judge alike.
func startLimits(c *config.Config) []any {
	l := &c.Limits
	return []any{l.MilterFrame, l.Idle, l.FrameTime, l.ReplyTime, l.MessageTime, l.Connections, l.HeaderFields, l.HeaderBytes,
		l.FromBytes, l.Recipients, l.MemoryInflight, l.SpoolBytes, l.Words}
}

// startJournal is the journal but for journal.subjects, which each record asks
// for anew.
func startJournal(c *config.Config) []any {
	return []any{c.Journal.Path, c.Journal.MaxSize, c.Journal.MaxAge}
}
