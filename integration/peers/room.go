package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	wire "github.com/emersion/go-milter"

	"milterd/integration/netns"
	"milterd/internal/dns/zone"
	"milterd/milter"
)

// A Room is where whole filters run as their packages set them up, with services on
// well-known ports and the name server of /etc/resolv.conf: a network of its own,
// in which a name server that tests feed is the only one there is.
type Room struct {
	network *netns.Network
	names   *zone.Server
}

// roomDNS is where the name server listens. OpenDKIM's resolver asks none in
// 127.0.0.0/8.
var roomDNS = netip.MustParseAddrPort("10.53.53.53:53")

// NewRoom makes a room whose name server answers by handle. An error may wrap
// [netns.ErrRefused].
func NewRoom(handle zone.Handler) (*Room, error) {
	network, err := netns.New(roomDNS.Addr())
	if err != nil {
		return nil, err
	}
	r := &Room{network: network}
	err = network.Do(func() (err error) {
		r.names, err = zone.ServeAt(roomDNS, handle)
		return err
	})
	if err != nil {
		network.Close()
		return nil, err
	}
	return r, nil
}

// Close ends the name server; filters in the room must have been closed before.
func (r *Room) Close() error {
	err := r.names.Close()
	r.network.Close()
	return err
}

// inside is a shell's script that shows $1 as /etc/resolv.conf and becomes the
// program that follows.
const inside = `mount --bind "$1" "$(readlink -f /etc/resolv.conf)" && shift && exec "$@"`

// start runs a program in the room. Its directory is dir, in which the files are
// written first; "@" in them and in the arguments stands for it.
func (r *Room) start(files map[string]string, owner, name string, args ...string) (*program, error) {
	path, err := find(name)
	if err != nil {
		return nil, err
	}
	dir, err := newDir()
	if err != nil {
		return nil, err
	}
	at := strings.NewReplacer("@", dir)
	files["resolv.conf"] = "nameserver " + roomDNS.Addr().String() + "\n"
	for file, text := range files {
		file = filepath.Join(dir, file)
		err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(at.Replace(text)), 0o644))
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	if err := exec.Command("chown", "-R", owner, dir).Run(); err != nil {
		return nil, errors.Join(fmt.Errorf("user %s: %w", owner, err), os.RemoveAll(dir))
	}
	all := []string{"-c", inside, "sh", filepath.Join(dir, "resolv.conf"), path}
	for _, arg := range args {
		all = append(all, at.Replace(arg))
	}
	cmd := exec.Command("/bin/sh", all...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // the runtime makes all mounts private
	var p *program
	err = r.network.Do(func() (err error) {
		p, err = start(dir, cmd)
		return err
	})
	return p, err
}

// A Filter is one or several milters that look at a message one after the other.
type Filter struct {
	Version  string     // of the packages, as in "opendkim 2.11.0, opendmarc 1.4.2"
	Sockets  []string   // paths, in the order in which a mail server calls them
	programs []*program // in the order of their start
}

// Close ends all programs of the filter.
func (f *Filter) Close() error {
	var errs []error
	for i := len(f.programs) - 1; i >= 0; i-- {
		errs = append(errs, f.programs[i].Close())
	}
	return errors.Join(errs...)
}

// add waits until a program that has been started is ready and takes it in; should
// it not come up, the whole filter ends.
func (f *Filter) add(ctx context.Context, p *program, err error, probe func(context.Context) error) error {
	if err == nil {
		f.programs = append(f.programs, p)
		err = p.ready(ctx, probe)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// answers probes a milter: it is there when it lets a plain message pass.
func answers(socket string) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := milter.Dial(ctx, milter.Addr{Network: "unix", Address: socket}, milter.ClientOptions{Actions: milter.AllActions | wire.OptChangeBody})
		if err != nil {
			return err
		}
		client := netip.MustParseAddr("192.0.2.1")
		peer := milter.Peer{Connect: milter.Connect{Host: "client.test", Family: byte(wire.FamilyInet), Port: 40000, Addr: client}, Helo: "client.test"}
		if r, err := c.Greet(ctx, peer); err != nil || !r.IsContinue() {
			return errors.Join(err, fmt.Errorf("greeted with %v", r), c.Close())
		}
		raw := "From: ann@example.org\r\nTo: bob@example.net\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nSubject: ready\r\n\r\nready?\r\n"
		out, err := c.Send(ctx, milter.Envelope{From: "ann@example.org", Rcpts: []milter.Recipient{{Address: "bob@example.net"}}}, []byte(raw))
		if err == nil && out.Reply.Refuses() {
			err = fmt.Errorf("%v at %s", out.Reply, out.Stage)
		}
		return errors.Join(err, c.Quit(ctx))
	}
}

// versions are the packages with their versions, or by name where dpkg does not
// know them.
func versions(packages ...string) string {
	said := make([]string, len(packages))
	for i, name := range packages {
		out, _ := exec.Command("dpkg-query", "-W", "-f", "${Version}", name).Output()
		said[i] = strings.TrimSpace(name + " " + string(out))
	}
	return strings.Join(said, ", ")
}
