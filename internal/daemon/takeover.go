package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"milterd/internal/config"
	"milterd/internal/dovecot"
	"milterd/milter"

	"golang.org/x/sys/unix"
)

// predecessor is the daemon whose work this one takes over: our side of what
// handover.go describes.
type predecessor struct {
	c       *net.UnixConn
	in      *bufio.Reader
	sockets []handed // those that nobody took yet
}

// errNoPredecessor is a control socket where nobody answers: there is nothing to take
// over, and an ordinary start does.
var errNoPredecessor = errors.New("no daemon answers on the control socket")

// meetPredecessor asks the daemon behind the control socket for its sockets. It must
// run as root, as this process does, or as the user that this process becomes: whoever
// else listens there would choose what we listen on.
func meetPredecessor(ctx context.Context, control config.Socket, becoming string) (*predecessor, error) {
	addr, err := milter.ParseAddr(control.Address)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "unix", addr.Address)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errNoPredecessor
	}
	if err != nil {
		return nil, fmt.Errorf("take over: %w", err)
	}
	p := &predecessor{c: nc.(*net.UnixConn)}
	if err := p.meet(becoming); err != nil {
		p.close()
		return nil, fmt.Errorf("take over from the daemon at %s: %w", control.Address, err)
	}
	return p, nil
}

func (p *predecessor) meet(becoming string) error {
	peer, err := dovecot.PeerOf(p.c)
	if err != nil {
		return err
	}
	if uid := int(peer.UID); uid != 0 && uid != os.Geteuid() && !isUser(uid, becoming) {
		return fmt.Errorf("uid %d listens there, and is not trusted", uid)
	}
	_ = p.c.SetDeadline(time.Now().Add(stepTime))
	if _, err := fmt.Fprint(p.c, "POST /takeover HTTP/1.1\r\nHost: milterd\r\nContent-Length: 0\r\n\r\n"); err != nil {
		return err
	}
	// Not a byte more than the answer: descriptors come with what follows.
	answer := make([]byte, len(upgraded))
	for n := 0; n < len(answer); {
		m, err := p.c.Read(answer[n:])
		if n += m; err != nil {
			return fmt.Errorf("it answers %q: %w", answer[:n], err)
		}
		if status, _, whole := strings.Cut(string(answer[:n]), "\r\n"); whole && !strings.HasPrefix(upgraded, status) {
			return fmt.Errorf("it answers %q", status)
		}
	}
	if string(answer) != upgraded {
		return fmt.Errorf("it answers %q", answer)
	}
	if _, err := fmt.Fprintf(p.c, "%s\n", askSockets); err != nil {
		return err
	}
	if p.sockets, err = receiveSockets(p.c); err != nil {
		return err
	}
	p.in = bufio.NewReaderSize(p.c, maxLine)
	return nil
}

func isUser(uid int, name string) bool {
	u, err := user.Lookup(name)
	return name != "" && err == nil && u.Uid == strconv.Itoa(uid)
}

// receiveSockets reads what sendSockets sends.
func receiveSockets(c *net.UnixConn) (all []handed, err error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close() // a second time does no harm
		}
		if err != nil {
			for _, h := range all {
				if h.l != nil {
					h.l.Close()
				}
			}
			all = nil
		}
	}()
	var line []byte
	buffer, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*maxHanded))
	for len(line) == 0 || line[len(line)-1] != '\n' {
		n, rn, flags, _, err := c.ReadMsgUnix(buffer, rights)
		if err != nil {
			return nil, fmt.Errorf("its sockets: %w", err)
		}
		got, err := descriptors(rights[:rn])
		for _, fd := range got {
			files = append(files, os.NewFile(uintptr(fd), "handed over"))
		}
		if err != nil {
			return nil, err
		}
		if line = append(line, buffer[:n]...); n == 0 || len(line) > maxLine || flags&unix.MSG_CTRUNC != 0 {
			return nil, errors.New("its list of sockets is cut off")
		}
	}
	if err := json.Unmarshal(line, &all); err != nil {
		return nil, fmt.Errorf("its list of sockets: %w", err)
	}
	if len(all) != len(files) {
		return nil, fmt.Errorf("%d descriptors for %d sockets", len(files), len(all))
	}
	for i, f := range files {
		if all[i].l, err = milter.Adopt(f); err != nil {
			return all, err
		}
	}
	return all, nil
}

func descriptors(rights []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	for _, m := range messages {
		if got, err := unix.ParseUnixRights(&m); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds, err
}

// take returns the predecessor's socket for that use and address, nil when it has none.
// It is good on a nil predecessor.
func (p *predecessor) take(use, address string) net.Listener {
	if p == nil {
		return nil
	}
	i := slices.IndexFunc(p.sockets, func(h handed) bool { return h.Use == use && h.Address == address && !h.Inherited })
	if i < 0 {
		return nil
	}
	l := p.sockets[i].l
	p.sockets = slices.Delete(p.sockets, i, i+1)
	return l
}

// inherited takes the sockets that the service manager gave the predecessor.
func (p *predecessor) inherited() (all []handed) {
	if p == nil {
		return nil
	}
	p.sockets = slices.DeleteFunc(p.sockets, func(h handed) bool {
		if h.Inherited {
			all = append(all, h)
		}
		return h.Inherited
	})
	return all
}

// releaseStore returns when the file of the store is free.
func (p *predecessor) releaseStore() error {
	_ = p.c.SetDeadline(time.Now().Add(stepTime))
	if _, err := fmt.Fprintf(p.c, "%s\n", askStore); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	if _, err := hear(p.in, sayClosed); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	return nil
}

// serving tells the predecessor that it may go. The sockets in use are ours now, their
// names too; those that nobody wants any more are closed.
func (p *predecessor) serving(control string, ours []handed) error {
	_ = p.c.SetDeadline(time.Now().Add(stepTime))
	told, err := json.Marshal(served{control})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.c, "%s %s\n", askServing, told)
	if err == nil {
		_, err = hear(p.in, sayBye)
	}
	for _, h := range append(p.sockets, ours...) {
		milter.LeaveSocket(h.l, false)
	}
	p.close()
	return err
}

func (p *predecessor) close() {
	for _, h := range p.sockets {
		h.l.Close()
	}
	p.sockets = nil
	p.c.Close()
}
