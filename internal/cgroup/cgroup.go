// Package cgroup reads what the kernel's control groups allow this process.
//
// A service manager or a container puts a process into a group with a limit of memory; who goes over it is
// killed by the kernel. A program that knows the limit can stay below. Two versions of control groups are in use, and a
// process may be in both; a limit of any group above the process's own holds, too.
//
// Source: the kernel's documentation, admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/memory.rst.
package cgroup

import (
	"bufio"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// unlimited is where version 1 begins to mean that there is no limit: it writes the
// largest number of whole pages instead of a word.
const unlimited = 1 << 62

// MemoryLimit returns the bytes of memory that this process and what shares its groups may have, the smallest of
// all limits that hold; false when there is none, or no control groups. root is the root of the file system, from
// which proc/self and sys/fs/cgroup are read.
func MemoryLimit(root fs.FS) (int64, bool) {
	f, err := root.Open("proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	least := int64(unlimited)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// hierarchy-ID:controllers:path; version 2 is 0 and names no controllers.
		id, rest, _ := strings.Cut(lines.Text(), ":")
		controllers, group, found := strings.Cut(rest, ":")
		switch {
		case !found:
		case id == "0" && controllers == "":
			// Above memory.high a group is not killed but slowed down to nothing. Where both versions are in use, version
			// 2 is mounted in a directory of its own.
			for _, mount := range []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
				least = min(least, leastAbove(root, mount, group, "memory.max", "memory.high"))
			}
		case slices.Contains(strings.Split(controllers, ","), "memory"):
			least = min(least, leastAbove(root, "sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
		}
	}
	return least, least < unlimited
}

// leastAbove returns the smallest limit in the files of a group and of all above it. Inside a container the upper
// part of the path is often not there to be seen, and the mount itself is the container's group.
func leastAbove(root fs.FS, mount, group string, files ...string) int64 {
	least := int64(unlimited)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		for _, file := range files {
			text, err := fs.ReadFile(root, path.Join(mount, group, file))
			if err != nil {
				continue
			}
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // else "max"
				least = min(least, n)
			}
		}
		if group == "/" {
			return least
		}
	}
}
