package milter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A path longer than this does not fit into sockaddr_un, whose last byte is NUL.
const maxSocketPath = 107

// Addr is a place to listen on or to connect to.
type Addr struct {
	Network string // unix, tcp, tcp4 or tcp6
	Address string // a path, or host:port
}

// String gives the spelling that Postfix knows: unix:path or inet:host:port.
func (a Addr) String() string {
	switch a.Network {
	case "unix":
		return "unix:" + a.Address
	case "tcp6":
		return "inet6:" + a.Address
	}
	return "inet:" + a.Address
}

// ParseAddr reads a socket as Postfix, Sendmail and people spell it:
//
//	unix:/run/milterd/milterd.sock   local:/run/...   /run/...
//	inet:8890@127.0.0.1              inet:127.0.0.1:8890
//	inet6:8890@::1                   inet6:[::1]:8890
//	tcp://127.0.0.1:8890
//
// A path may be relative; what it is relative to is the caller's to decide. A
// host must be given: listening on every interface is never meant by accident.
func ParseAddr(s string) (Addr, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Addr{}, fmt.Errorf("socket %q: control character", s)
	}
	if strings.HasPrefix(s, "/") {
		return unixAddr(s, s)
	}
	if rest, ok := strings.CutPrefix(s, "tcp://"); ok {
		return inetAddr(s, "tcp", rest)
	}
	kind, rest, ok := strings.Cut(s, ":")
	if !ok {
		return Addr{}, fmt.Errorf("socket %q: expected unix:PATH, inet:HOST:PORT or inet:PORT@HOST", s)
	}
	switch kind {
	case "unix", "local":
		return unixAddr(s, rest)
	case "inet":
		return inetAddr(s, "tcp", rest)
	case "inet6":
		return inetAddr(s, "tcp6", rest)
	}
	return Addr{}, fmt.Errorf("socket %q: %q is none of unix, local, inet, inet6, tcp", s, kind)
}

func unixAddr(s, path string) (Addr, error) {
	switch {
	case path == "":
		return Addr{}, fmt.Errorf("socket %q: the path is missing", s)
	case path[0] == '@':
		return Addr{}, fmt.Errorf("socket %q: an abstract socket has no permissions: give a path", s)
	case len(path) > maxSocketPath:
		return Addr{}, fmt.Errorf("socket %q: the path has %d bytes, a socket's may have %d", s, len(path), maxSocketPath)
	}
	return Addr{"unix", path}, nil
}

func inetAddr(s, network, rest string) (Addr, error) {
	port, host, sendmail := strings.Cut(rest, "@")
	if sendmail {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	} else {
		var err error
		if host, port, err = net.SplitHostPort(rest); err != nil {
			return Addr{}, fmt.Errorf("socket %q: expected HOST:PORT, [IPV6]:PORT or PORT@HOST", s)
		}
	}
	if host == "" {
		return Addr{}, fmt.Errorf("socket %q: the host is missing; every interface is 0.0.0.0 or [::]", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Addr{}, fmt.Errorf("socket %q: %q is no port number", s, port)
	}
	name := host
	if ip, err := netip.ParseAddr(host); err == nil {
		if network == "tcp6" && ip.Is4() {
			return Addr{}, fmt.Errorf("socket %q: %s is no IPv6 address", s, host)
		}
		name = ip.Zone()
	}
	if strings.ContainsFunc(name, notInName) {
		return Addr{}, fmt.Errorf("socket %q: %q is no host", s, host)
	}
	return Addr{network, net.JoinHostPort(host, strconv.FormatUint(n, 10))}, nil
}

// notInName tells what is neither in a host name nor in an interface's.
func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
}

// ListenOptions are about unix sockets only.
type ListenOptions struct {
	Mode  fs.FileMode // of the socket, default 0660
	Group string      // name or number of the group that gets it; empty: as the directory says
}

// Listen opens a listening socket. A stale unix socket is removed when it is one
// and nobody answers there; closing removes ours, if it is still ours. Until
// mode and group are right nobody but our own user can connect.
func Listen(ctx context.Context, a Addr, o ListenOptions) (net.Listener, error) {
	var lc net.ListenConfig
	if a.Network != "unix" {
		l, err := lc.Listen(ctx, a.Network, a.Address)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", a, err)
		}
		return l, nil
	}
	if len(a.Address) > maxSocketPath {
		return nil, fmt.Errorf("listen on %s: the path has %d bytes, a socket's may have %d", a, len(a.Address), maxSocketPath)
	}
	gid, err := groupID(o.Group)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	if err := clearStale(ctx, a.Address); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	// The mode of the socket before bind is the mode of the file after it.
	lc.Control = func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}
	l, err := lc.Listen(ctx, "unix", a.Address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false)
	own := &ownedListener{UnixListener: ul, path: a.Address}
	if own.info, err = os.Lstat(a.Address); err == nil && gid >= 0 {
		err = os.Lchown(a.Address, -1, gid)
	}
	if err == nil {
		err = os.Chmod(a.Address, permOr0660(o.Mode))
	}
	if err != nil {
		own.Close()
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	return own, nil
}

func permOr0660(m fs.FileMode) fs.FileMode {
	if m == 0 {
		return 0o660
	}
	return m.Perm()
}

// groupID is -1 for no group.
func groupID(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", name, err)
	}
	return strconv.Atoi(g.Gid)
}

// clearStale makes way for a unix socket, or says what stands in the way.
func clearStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		dir := filepath.Dir(path)
		if parent, err := os.Stat(dir); err != nil {
			return fmt.Errorf("its directory %s: %w", dir, errors.Unwrap(err))
		} else if !parent.IsDir() {
			return fmt.Errorf("%s is no directory", dir)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("something that is no socket is there already")
	}
	dialer := net.Dialer{Timeout: 2 * time.Second}
	nc, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		nc.Close()
		return errors.New("another process listens there already")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("a socket is there already and may be in use: %w", err)
	}
	return os.Remove(path)
}

// ownedListener removes its socket when it closes, unless another process has
// put its own in that place meanwhile.
type ownedListener struct {
	*net.UnixListener
	path  string
	info  fs.FileInfo
	leave atomic.Bool // another process listens there, see LeaveSocket
	once  sync.Once
}

func (l *ownedListener) Close() error {
	l.once.Do(func() {
		if l.leave.Load() {
			return
		}
		if now, err := os.Lstat(l.path); err == nil && l.info != nil && os.SameFile(now, l.info) {
			os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}
