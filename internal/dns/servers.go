package dns

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
)

// localServer is asked where resolv.conf names nobody: "If no nameserver entries
// are present, the default is to use the name server on the local machine", and
// the same where the file is missing (resolv.conf(5)).
var localServer = netip.MustParseAddrPort("127.0.0.1:53")

// serverAddrs returns the addresses of the named servers, or of those in the file
// resolvConf where none is named.
func serverAddrs(names []string, resolvConf string) ([]netip.AddrPort, error) {
	if len(names) == 0 {
		// Read here, because the library takes an unreadable file for an empty one.
		text, err := os.ReadFile(resolvConf)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		conf, err := mdns.ClientConfigFromReader(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", resolvConf, err)
		}
		if names = conf.Servers; len(names) == 0 {
			return []netip.AddrPort{localServer}, nil
		}
	}
	var addrs []netip.AddrPort
	for _, name := range names {
		addr, err := serverAddr(name)
		if err != nil {
			return nil, fmt.Errorf("server %q: %w", name, err)
		}
		if !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs, nil
}

// serverAddr returns the address of one server, given as host or host:port.
func serverAddr(s string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(addr.Unmap(), 53), nil
	}
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		hostPort := s
		if !strings.Contains(s, ":") {
			hostPort = net.JoinHostPort(s, "53")
		}
		resolved, err := net.ResolveUDPAddr("udp", hostPort)
		if err != nil {
			return netip.AddrPort{}, err
		}
		addr = resolved.AddrPort()
	}
	if !addr.Addr().IsValid() || addr.Port() == 0 {
		return netip.AddrPort{}, errors.New("want host or host:port")
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}
