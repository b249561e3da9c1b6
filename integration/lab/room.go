package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"milterd/integration"
	"milterd/integration/netns"

	"golang.org/x/sys/unix"
)

// roomVariable tells the process that it is inside.
const roomVariable = "MILTERD_LAB_ROOM"

// ErrRefused is a kernel, or whoever confines this process, that does not give what the lab
// needs: namespaces, mounts, a loop device.
var ErrRefused = errors.New("this machine does not give it")

// Enter runs this program once more, with the same arguments, in a network and a mount
// namespace of its own, and returns how it ended; the caller ends with that code. Inside,
// where Enter has nothing left to do, it returns inside, with loopback up and an empty
// /tmp in memory. The error wraps [ErrRefused] where the kernel gives no namespaces.
func Enter() (inside bool, code int, err error) {
	if os.Getenv(roomVariable) != "" {
		return true, 0, furnish()
	}
	self, err := os.Executable()
	if err != nil {
		return false, 1, err
	}
	// The kernel ends the child with the thread that started it, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), roomVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return false, max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return false, 1, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return false, 0, nil
}

// furnish sets up the room from inside.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("%w: private mounts: %w", ErrRefused, err)
	}
	source, err := integration.SourceRoot()
	if err != nil {
		return err
	}
	show, err := keepInTmp(source)
	if err != nil {
		return err
	}
	if err := unix.Mount("lab", "/tmp", "tmpfs", 0, "mode=1777,size=4g"); err != nil {
		return fmt.Errorf("%w: tmpfs: %w", ErrRefused, err)
	}
	if err := show(); err != nil {
		return fmt.Errorf("the source tree below the new /tmp: %w", err)
	}
	if err := netns.LoopbackUp(); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// keepInTmp keeps hold of a directory, with the working directory inside of it, and returns
// what shows it at its old place when another /tmp hides it. One that lies elsewhere needs none of that.
func keepInTmp(dir string) (show func() error, err error) {
	if !strings.HasPrefix(dir, "/tmp/") {
		return func() error { return nil }, nil
	}
	working, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%w: a second mount of %s: %w", ErrRefused, dir, err)
	}
	return func() error {
		defer unix.Close(tree)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.MoveMount(tree, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return err
		}
		return os.Chdir(working)
	}, nil
}
