package netns

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func newNetwork(t *testing.T, addrs ...netip.Addr) *Network {
	t.Helper()
	n, err := New(addrs...)
	if errors.Is(err, ErrRefused) {
		t.Skip("*** NOT TESTED: networks. " + err.Error() + " ***")
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Inside there is loopback with its addresses and nothing else, and outside all is
// as before.
func TestNetwork(t *testing.T) {
	addr := netip.MustParseAddr("10.53.53.53")
	n := newNetwork(t, addr)
	defer n.Close()
	var listener net.Listener
	var inside []net.Interface
	if err := n.Do(func() (err error) {
		if inside, err = net.Interfaces(); err == nil {
			listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 53)))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if len(inside) != 1 || inside[0].Name != "lo" {
		t.Errorf("inside there is %v, want lo alone", inside)
	}
	if err := n.Do(func() error {
		conn, err := net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr))
		if err == nil {
			err = conn.Close()
		}
		return err
	}); err != nil {
		t.Errorf("nobody hears inside: %v", err)
	}
	if l, err := net.Listen("tcp", listener.Addr().String()); err == nil {
		l.Close()
		t.Errorf("outside there is %v, too", addr)
	}
}

// A program that is started inside lives there.
func TestProgram(t *testing.T) {
	n := newNetwork(t)
	defer n.Close()
	cmd := exec.Command("readlink", "/proc/self/ns/net")
	var out strings.Builder
	cmd.Stdout = &out
	if err := n.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	ours, err := os.Readlink("/proc/thread-self/ns/net") // the leader of all threads may be one that has left
	if err != nil {
		t.Fatal(err)
	}
	if theirs := strings.TrimSpace(out.String()); theirs == ours || !strings.HasPrefix(theirs, "net:[") {
		t.Errorf("the program is in %s, and we are in %s", theirs, ours)
	}
}

func TestDoReturnsTheError(t *testing.T) {
	n := newNetwork(t)
	defer n.Close()
	want := errors.New("no")
	if err := n.Do(func() error { return want }); err != want {
		t.Errorf("got %v", err)
	}
}
