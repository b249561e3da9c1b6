package milter

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const (
	firstInheritedFD = 3  // SD_LISTEN_FDS_START
	maxInherited     = 64 // nobody means more
)

// InheritedListener is a listening socket that the service manager opened.
type InheritedListener struct {
	net.Listener
	Name string // from LISTEN_FDNAMES (FileDescriptorName=), or empty
}

// Inherited gives the listening sockets that were passed to this process by
// LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES (sd_listen_fds(3)); none when there
// are none, or when they are for another process. The descriptors are taken
// over: call it once. An error names the descriptor that is no listening socket.
func Inherited() ([]InheritedListener, error) {
	return inherited(os.Getenv, os.Getpid(), firstInheritedFD)
}

func inherited(getenv func(string) string, pid, first int) ([]InheritedListener, error) {
	if getenv("LISTEN_FDS") == "" || getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > maxInherited {
		return nil, fmt.Errorf("LISTEN_FDS=%q is no number of sockets", getenv("LISTEN_FDS"))
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	var listeners []InheritedListener
	for i := range n {
		fd := first + i
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "LISTEN_FD_"+strconv.Itoa(fd))
		l, err := net.FileListener(f) // a copy of the descriptor
		f.Close()
		if err != nil {
			for _, got := range listeners {
				got.Close()
			}
			return nil, fmt.Errorf("LISTEN_FDS: descriptor %d is no listening socket: %w", fd, err)
		}
		name := ""
		if i < len(names) {
			name = names[i]
		}
		listeners = append(listeners, InheritedListener{l, name})
	}
	return listeners, nil
}
