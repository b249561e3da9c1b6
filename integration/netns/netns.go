// Package netns makes networks in which there is nobody else: a network namespace
// with a loopback interface and nothing more, beside the network that this process
// lives in. Programs started there cannot reach anything outside, have all ports
// to themselves, and may be asked about by Unix sockets, which know of no
// namespaces.
//
//	n, err := netns.New(netip.MustParseAddr("10.53.53.53"))
//	defer n.Close()
//	err = n.Do(func() error { return cmd.Start() })
package netns

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrRefused is a kernel, or whoever confines this process, that gives no network
// namespaces.
var ErrRefused = errors.New("this machine gives no network namespace")

// A Network is one thread of this process, which has left for a network of its own.
type Network struct {
	calls  chan func()
	thread sync.WaitGroup
}

// New makes a network with loopback up. Its interface has the IPv4 addresses given
// beside 127.0.0.1: some resolvers ask no name server in 127.0.0.0/8. An error may
// wrap [ErrRefused].
func New(addrs ...netip.Addr) (*Network, error) {
	n := &Network{calls: make(chan func())}
	made := make(chan error, 1)
	n.thread.Go(func() {
		// Never unlocked: the thread, which is good for nothing else any more, ends
		// with this function.
		runtime.LockOSThread()
		err := furnish(addrs)
		made <- err
		for call := range n.calls {
			call()
		}
	})
	if err := <-made; err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Do calls f inside: what it starts (exec.Cmd.Start) and the sockets that it opens
// belong to the network, and stay there when Do returns. Goroutines that f starts
// are outside.
func (n *Network) Do(f func() error) error {
	done := make(chan error, 1)
	n.calls <- func() { done <- f() }
	return <-done
}

// Close lets go of the network, which ends with the last of its processes and
// sockets. Nothing may call Do any more.
func (n *Network) Close() {
	close(n.calls)
	n.thread.Wait()
}

func furnish(addrs []netip.Addr) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := LoopbackUp(); err != nil {
		return err
	}
	for i, addr := range addrs {
		if err := setAddress(fmt.Sprintf("lo:%d", i+1), addr); err != nil {
			return err
		}
	}
	return nil
}

// LoopbackUp switches on the interface with which every network begins, in that of
// the calling thread.
func LoopbackUp() error {
	return configure("lo", unix.SIOCSIFFLAGS, func(lo *unix.Ifreq) error {
		lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return nil
	})
}

func setAddress(label string, addr netip.Addr) error {
	return configure(label, unix.SIOCSIFADDR, func(lo *unix.Ifreq) error { return lo.SetInet4Addr(addr.AsSlice()) })
}

func configure(label string, request uint, fill func(*unix.Ifreq) error) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq(label)
	if err != nil {
		return err
	}
	if err := fill(lo); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, request, lo); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRefused, label, err)
	}
	return nil
}
