package milter

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A listening socket can pass from one process to its successor: clients that
// connect meanwhile wait in the kernel's queue, which both share. Duplicate gives the
// descriptor to send, Adopt makes a listener of one that was received, and
// LeaveSocket says whose business the name in the file system is.

// Duplicate returns another descriptor of l's socket, to hand to another process;
// the caller closes it. l itself goes on as before.
func Duplicate(l net.Listener) (*os.File, error) {
	c, ok := l.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("milter: %T has no descriptor", l)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	copied, failed := -1, error(nil)
	err = raw.Control(func(fd uintptr) { copied, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("milter: %s: %w", l.Addr(), err)
	}
	return os.NewFile(uintptr(copied), l.Addr().String()), nil
}

// Adopt makes a listener of a descriptor from another process, and closes f. What is
// no listening socket is an error. The name of a unix socket stays in the file system
// when the listener closes, until LeaveSocket says otherwise.
func Adopt(f *os.File) (net.Listener, error) {
	defer f.Close()
	listening, err := unix.GetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return nil, fmt.Errorf("milter: descriptor %s is no listening socket", f.Name())
	}
	l, err := net.FileListener(f) // a copy of the descriptor
	if err != nil {
		return nil, err
	}
	ul, ok := l.(*net.UnixListener)
	if !ok {
		return l, nil
	}
	ul.SetUnlinkOnClose(false)
	own := &ownedListener{UnixListener: ul, path: ul.Addr().String()}
	own.leave.Store(true)
	own.info, _ = os.Lstat(own.path) // without it nothing is removed
	return own, nil
}

// LeaveSocket says whether the name of l's unix socket stays when l closes: true when
// another process listens there, false to remove it. It does nothing for others.
func LeaveSocket(l net.Listener, leave bool) {
	if own, ok := l.(*ownedListener); ok {
		own.leave.Store(leave)
	}
}
