package daemon

import (
	"math"

	"golang.org/x/sys/unix"
)

const (
	// filesKept are the files that are not connections: store, journal, sockets to the
	// DNS and to scanners, and those connections that are only there to be told that
	// milterd is too busy.
	filesKept = 64 + 100
	// filesEach is what a connection takes, in halves: itself, and for every second one the
	// body of its message in a file.
	filesEach = 3
)

// connectionsFor returns how many connections there may be where that many are wanted and
// the process may open so many files. Without it a flood would leave none for the store
// and the DNS, and those who wait in the socket's queue would hear nothing; so they are
// told to come back (421 4.3.2).
func connectionsFor(files uint64, wanted int) int {
	n := int(min(files, math.MaxInt32))
	return min(wanted, max((n-filesKept)*2/filesEach, n/4, 1))
}

// connections is limits.connections, or less where the process may not open the files.
func (d *daemon) connections(wanted int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return wanted
	}
	possible := connectionsFor(limit.Cur, wanted)
	if possible < wanted {
		d.log.Warn("fewer connections than limits.connections: the process may not open more files", "connections", possible, "files", limit.Cur)
	}
	return possible
}
