package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// group is a control group of the kernel's in which a daemon runs alone, with a limit of memory.
// Version 1 and version 2 differ in the names of their files, and in where a group may be made.
type group struct {
	dir string // of its files
	v2  bool
}

// newGroup makes a group of that name and limit in bytes, which swaps nothing. root is where proc lies: "/". The
// error wraps [ErrRefused] where kernel, container or rights do not give one.
func newGroup(root, name string, limit int64) (*group, error) {
	parent, v2, err := groupParent(root)
	if err != nil {
		return nil, fmt.Errorf("%w: a control group of memory: %w", ErrRefused, err)
	}
	g := &group{dir: filepath.Join(parent, name), v2: v2}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w: a control group of memory: %w", ErrRefused, err)
	}
	// What is in swap is not killed; the limit would be none.
	err = g.write("memory.swappiness", "memory.swap.max", 0)
	if errors.Is(err, os.ErrNotExist) { // a kernel without swap
		err = nil
	}
	if err = errors.Join(err, g.limit(limit)); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: a limit of memory: %w", ErrRefused, err), g.remove())
	}
	return g, nil
}

// groupParent finds the group below which one with a limit of its own can be made. In version 1
// that is the group of this process. In version 2 a group with processes has no groups with limits below it, so that it
// is the nearest one above which hands the controller on (cgroup-v2.rst, "no internal process constraint").
func groupParent(root string) (dir string, v2 bool, err error) {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return "", false, err
	}
	mounts, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return "", false, err
	}
	unified := ""
	for line := range strings.Lines(string(groups)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		if slices.Contains(strings.Split(controllers, ","), "memory") {
			dir, _, err = groupDir(root, string(mounts), path, "cgroup", "memory")
			return dir, false, err
		}
		if id == "0" && controllers == "" {
			unified = path
		}
	}
	if unified == "" {
		return "", false, errors.New("this process is in none")
	}
	dir, top, err := groupDir(root, string(mounts), unified, "cgroup2", "")
	if err != nil {
		return "", true, err
	}
	for ; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if err == nil && slices.Contains(strings.Fields(string(text)), "memory") {
			return dir, true, nil
		}
		if dir == top || len(dir) <= len(top) {
			return "", true, fmt.Errorf("no group from %s on hands the controller to groups below it", unified)
		}
	}
}

// groupDir is where the files of a group are, and those of the uppermost group that is to be seen: in a file
// system of that type and with that option.
func groupDir(root, mounts, path, fstype, option string) (dir, top string, err error) {
	for line := range strings.Lines(mounts) {
		// ID parent major:minor ROOT MOUNTPOINT options [optional]* - TYPE source SUPEROPTIONS (proc(5)).
		place, kind, _ := strings.Cut(line, " - ")
		fields, kinds := strings.Fields(place), strings.Fields(kind)
		if len(fields) < 5 || len(kinds) < 3 || kinds[0] != fstype || option != "" && !slices.Contains(strings.Split(kinds[2], ","), option) {
			continue
		}
		rel, err := filepath.Rel(fields[3], path)
		if err != nil || strings.HasPrefix(rel, "..") {
			return "", "", fmt.Errorf("the group %s is not to be seen below %s", path, fields[4])
		}
		top = filepath.Join(root, fields[4])
		return filepath.Join(top, rel), top, nil
	}
	return "", "", fmt.Errorf("no file system of type %s with it", fstype)
}

// members is the file into which a process writes itself to be in the group, with all that it starts.
func (g *group) members() string { return filepath.Join(g.dir, "cgroup.procs") }

// limit sets the limit, in bytes. Version 1 refuses one that is less than what cannot be freed; in
// version 2 the kernel kills at once.
func (g *group) limit(bytes int64) error {
	return g.write("memory.limit_in_bytes", "memory.max", bytes)
}

// used is how many bytes the group has, pages of files among them.
func (g *group) used() (int64, error) {
	text, err := g.read("memory.usage_in_bytes", "memory.current")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
}

// kills is how many processes of the group the kernel has killed because they had too little memory.
func (g *group) kills() (int, error) {
	text, err := g.read("memory.oom_control", "memory.events")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if n, found := strings.CutPrefix(line, "oom_kill "); found {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, fmt.Errorf("%w: this kernel does not count whom it kills (oom_kill, Linux 4.13)", ErrRefused)
}

func (g *group) read(v1, v2 string) (string, error) {
	text, err := os.ReadFile(g.file(v1, v2))
	return string(text), err
}

func (g *group) write(v1, v2 string, n int64) error {
	f, err := os.OpenFile(g.file(v1, v2), os.O_WRONLY, 0) // never makes one
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.FormatInt(n, 10))
	return errors.Join(err, f.Close())
}

func (g *group) file(v1, v2 string) string {
	if g.v2 {
		return filepath.Join(g.dir, v2)
	}
	return filepath.Join(g.dir, v1)
}

// remove removes the group. A process that has ended stays in it for a moment.
func (g *group) remove() error {
	var err error
	for range int(5 * time.Second / moment) {
		if err = os.Remove(g.dir); err == nil {
			return nil
		}
		time.Sleep(moment)
	}
	return err
}

// starvation is a limit, in bytes, beneath which milterd cannot even start.
const starvation = 8 << 20

var errNoGroup = errors.New("milterd has all the memory of the machine: say memory: 256MiB")

// starve takes memory away from the daemon's group until the kernel kills it, and once more when it is
// started with too little, as a service manager would.
func (b *Bench) starve(ctx context.Context) error {
	if b.group == nil {
		return errNoGroup
	}
	before, err := b.group.kills()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for b.Daemon.PID() != 0 {
		// Version 1 takes no less than what cannot be freed; then the next page is too many.
		if used, err := b.group.used(); err == nil && b.group.limit(starvation) != nil {
			_ = b.group.limit(used) // may be more by now
		}
		soon, cancel := context.WithTimeout(ctx, time.Second)
		_, _ = b.Daemon.Get(soon, "/metrics") // costs memory; there may be nobody left to answer
		cancel()
		if err := wait(ctx, moment); err != nil {
			return fmt.Errorf("the kernel does not kill it: %w", err)
		}
	}
	if err := b.gone(); err != nil {
		return err
	}
	if err := b.group.limit(starvation); err != nil {
		return err
	}
	if b.Daemon.Start(ctx) == nil {
		return fmt.Errorf("it starts in %d bytes", starvation)
	}
	kills, err := b.group.kills()
	if err == nil && kills < before+2 {
		err = fmt.Errorf("it ended, and started in vain, and the kernel has killed %d of these two", kills-before)
	}
	return err
}

// gone takes note that the daemon has ended without our doing.
func (b *Bench) gone() error {
	if err := b.Daemon.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// feed gives the memory back and starts the daemon again.
func (b *Bench) feed(ctx context.Context) error {
	return errors.Join(b.group.limit(b.Memory), b.Daemon.Start(ctx))
}
