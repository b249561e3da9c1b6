package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"milterd/internal/config"
	"milterd/milter"
)

// sockets are those that a daemon listens on.
type sockets struct {
	milter  []net.Listener
	control net.Listener // nil when there is none
	http    net.Listener // nil when there is none
	// Those for Dovecot, nil when they are off.
	delivery, training net.Listener
	// all are those that a successor gets.
	all []handed
}

// openSockets opens what the configuration names. Without its milter sockets a
// daemon is useless, and without the control socket it cannot be asked; a
// missing /metrics never stops mail.
func (d *daemon) openSockets(ctx context.Context, cfg *config.Config) (*sockets, error) {
	s := &sockets{milter: d.o.Listeners}
	inherited, err := milter.Inherited()
	if err != nil {
		s.close()
		return nil, err
	}
	for _, l := range inherited {
		s.take(handed{Use: useOf(l.Name), Inherited: true, l: l.Listener})
	}
	for _, h := range d.before.inherited() {
		s.take(h)
	}
	// open takes the predecessor's socket for a use, or listens.
	open := func(use, address string, listen func() (net.Listener, error)) error {
		l := d.before.take(use, address)
		if l == nil {
			var err error
			if l, err = listen(); err != nil {
				return err
			}
		}
		s.take(handed{Use: use, Address: address, l: l})
		return nil
	}
	if len(s.milter) == 0 {
		for _, sock := range cfg.Listen {
			if err := open(useMilter, sock.Address, func() (net.Listener, error) { return listen(ctx, sock) }); err != nil {
				s.close()
				return nil, err
			}
		}
	}
	if !d.o.Ephemeral && s.control == nil {
		if err := open(useControl, cfg.Control.Address, func() (net.Listener, error) { return listen(ctx, cfg.Control) }); err != nil {
			s.close()
			return nil, err
		}
	}
	for _, m := range []struct {
		use    string
		config *config.MailSocket
		there  net.Listener
	}{{useDelivery, &cfg.Delivery, s.delivery}, {useTraining, &cfg.Training, s.training}} {
		if m.config.Off() || d.o.Ephemeral || m.there != nil {
			continue
		}
		if err := open(m.use, m.config.Address, func() (net.Listener, error) { return listenMail(ctx, m.config) }); err != nil {
			s.close()
			return nil, err
		}
	}
	if cfg.HTTP != "" && s.http == nil {
		var lc net.ListenConfig
		err := open(useHTTP, string(cfg.HTTP), func() (net.Listener, error) { return lc.Listen(ctx, "tcp", string(cfg.HTTP)) })
		if err != nil {
			d.log.Warn("no /metrics and /healthz: the address cannot be opened", "http", string(cfg.HTTP), "err", err)
		}
	}
	return s, nil
}

// What a socket is for. Those of the service manager bear these names
// (FileDescriptorName= in the socket unit); any other name is a milter socket's.
const (
	useMilter   = "milter"
	useControl  = "control"
	useHTTP     = "http"
	useDelivery = "delivery"
	useTraining = "training"
)

func useOf(name string) string {
	switch name {
	case useControl, useHTTP, useDelivery, useTraining:
		return name
	}
	return useMilter
}

// take adds a socket. A second one for a use that has one socket is closed.
func (s *sockets) take(h handed) {
	var into *net.Listener
	switch h.Use {
	case useControl:
		into = &s.control
	case useHTTP:
		into = &s.http
	case useDelivery:
		into = &s.delivery
	case useTraining:
		into = &s.training
	default:
		s.milter = append(s.milter, h.l)
		s.all = append(s.all, h)
		return
	}
	if *into != nil {
		h.l.Close()
		return
	}
	*into = h.l
	s.all = append(s.all, h)
}

// leave lets the sockets' names stay where they are: another process listens there.
func (s *sockets) leave() {
	for _, h := range s.all {
		milter.LeaveSocket(h.l, true)
	}
}

func (s *sockets) close() {
	for _, l := range append(append([]net.Listener{}, s.milter...), s.control, s.http, s.delivery, s.training) {
		if l != nil {
			l.Close()
		}
	}
}

func (s *sockets) httpAddress() string {
	if s.http == nil {
		return ""
	}
	return s.http.Addr().String()
}

func listen(ctx context.Context, s config.Socket) (net.Listener, error) {
	addr, err := milter.ParseAddr(s.Address)
	if err != nil {
		return nil, err
	}
	if addr.Network == "unix" {
		if err := socketDir(filepath.Dir(addr.Address)); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", s.Address, err)
		}
	}
	return milter.Listen(ctx, addr, milter.ListenOptions{Mode: s.Mode, Group: s.Group})
}

// listenMail opens a socket for Dovecot. A directory that is missing is made for all
// to pass: who may say what is asked for each call.
func listenMail(ctx context.Context, s *config.MailSocket) (net.Listener, error) {
	addr, err := milter.ParseAddr(s.Address)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(addr.Address), 0o755); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", s.Address, err)
	}
	return milter.Listen(ctx, addr, milter.ListenOptions{Mode: s.Mode, Group: s.Group})
}

// postfixGroup is who must reach the socket.
const postfixGroup = "postfix"

// socketDir makes the directory of a socket where it is missing. Made by root
// it belongs to Postfix's group, set-gid, so that the socket in it does too:
// Postfix reaches the socket without being in a group of ours, which would open
// our keys to it.
func socketDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	group, err := user.LookupGroup(postfixGroup)
	if err != nil {
		return nil // no Postfix on this host: the operator's key group says whose it is
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		return err
	}
	return errors.Join(os.Chown(dir, -1, gid), os.Chmod(dir, fs.ModeSetgid|0o750))
}

// becomeUser gives up root for good. The directories in which the user must
// write are made his first. To become who one is already is no work.
func becomeUser(name string, cfg *config.Config) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	if uid == os.Geteuid() {
		return nil // the service manager has done it
	}
	state := string(cfg.Journal.Path)
	ours := []string{filepath.Dir(state), state}
	if file, ok := cfg.Store.Bolt(); ok {
		ours = append(ours, filepath.Dir(file))
	}
	if err := handOver(uid, gid, ours...); err != nil {
		return err
	}
	for _, socket := range append([]config.Socket{cfg.Control, cfg.Delivery.Socket, cfg.Training.Socket}, cfg.Listen...) {
		addr, err := milter.ParseAddr(socket.Address)
		if err != nil || addr.Network != "unix" {
			continue // another process opened it, or it needs no directory
		}
		if err := handOver(uid, -1, filepath.Dir(addr.Address)); err != nil { // the group is Postfix's
			return err
		}
	}
	if control, err := milter.ParseAddr(cfg.Control.Address); err == nil && cfg.Control.Group == "" {
		// It stands in a directory of Postfix's group, but is no business of Postfix.
		if err := os.Lchown(control.Address, uid, gid); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return dropPrivileges(uid, gid)
}

// handOver makes directories where they are missing and gives them to the user;
// gid -1 leaves the group. What the user himself may have put there in the place
// of a directory, a link to somewhere else, is never followed.
func handOver(uid, gid int, dirs ...string) error {
	for _, dir := range dirs {
		made, err := makeDir(dir)
		if err != nil {
			return err
		}
		if len(made) == 0 && ownable(dir) {
			made = []string{dir}
		}
		for _, dir := range made {
			if err := os.Lchown(dir, uid, gid); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeDir makes a directory and those above it, and returns the ones that were
// missing: they are nobody's yet.
func makeDir(dir string) (made []string, err error) {
	err = os.Mkdir(dir, 0o750)
	if errors.Is(err, fs.ErrNotExist) {
		if made, err = makeDir(filepath.Dir(dir)); err == nil {
			err = os.Mkdir(dir, 0o750)
		}
	}
	if err == nil {
		return append(made, dir), nil
	}
	if info, is := os.Stat(dir); errors.Is(err, fs.ErrExist) && is == nil && info.IsDir() {
		err = nil
	}
	return made, err
}

// ownable keeps us from taking over a directory that others use: of those that are
// there only one that bears our name is given away.
func ownable(dir string) bool { return strings.Contains(dir, "milterd") }

func addresses(all []net.Listener) string {
	names := make([]string, len(all))
	for i, l := range all {
		names[i] = l.Addr().Network() + ":" + l.Addr().String()
	}
	return strings.Join(names, " ")
}
