package daemon

import (
	"fmt"
	"syscall"
)

// dropPrivileges changes all threads of the process to the user, and proves
// that there is no way back.
func dropPrivileges(uid, gid int) error {
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("setgid: %w", err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("setuid: %w", err)
	}
	if uid != 0 && syscall.Setuid(0) == nil {
		return fmt.Errorf("root privileges could be had again after they were given up")
	}
	return nil
}
