package integration

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// Ports are taken below the kernel's ephemeral range, so that no outgoing
// connection of this machine ever sits on one.
const (
	firstPort = 20000
	lastPort  = 32000
)

// A Port is a TCP port of 127.0.0.1 kept for this bed. It is a socket that is
// bound but never listens: Postfix, Dovecot and Go, which all set SO_REUSEADDR or
// SO_REUSEPORT, may bind beside it, while another bed, whose reservation sets
// neither before it binds, is refused. Without it Postfix would silently share
// the port with another instance, and each would get half of the connections.
type Port struct {
	Number int
	fd     int
}

// ReservePort finds a free port and keeps it until Release.
func ReservePort() (Port, error) {
	for range 200 {
		p, err := bindPort(firstPort + rand.IntN(lastPort-firstPort))
		if err == nil {
			return p, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return Port{}, fmt.Errorf("reserve a port of 127.0.0.1: %w", err)
		}
	}
	return Port{}, errors.New("reserve a port of 127.0.0.1: 200 ports in a row are taken")
}

func bindPort(number int) (Port, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Port{}, err
	}
	err = unix.Bind(fd, &unix.SockaddrInet4{Port: number, Addr: [4]byte{127, 0, 0, 1}})
	for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1)
		}
	}
	if err != nil {
		unix.Close(fd)
		return Port{}, err
	}
	return Port{Number: number, fd: fd}, nil
}

// Addr is 127.0.0.1 and the port, as net.Dial and net.Listen want it.
func (p Port) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Number)) }

// Release gives the port back.
func (p Port) Release() { unix.Close(p.fd) }
