package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"milterd/internal/strictyaml"
)

// Store is where a daemon remembers.
type Store string

// The stores: a file in the daemon's state, or the lab's Redis.
const (
	Bolt  Store = "bolt"
	Redis Store = "redis"
)

// DecodeYAML implements [strictyaml.Decoder].
func (s *Store) DecodeYAML(n *strictyaml.Node) error { return strictyaml.OneOf(n, s, Bolt, Redis) }

// Disk is what the daemon's state lies on.
type Disk string

// The disks: whatever /tmp is; a small one of 32 MiB, which can be filled; ext4 on a
// loop device, which gives up writing when it meets an error; the same with room for a flood of
// mail, of which a control group counts only what the kernel can free again (in the lab /tmp is memory).
const (
	Plain Disk = "plain"
	Small Disk = "small"
	Ext4  Disk = "ext4"
	Large Disk = "large"
)

// DecodeYAML implements [strictyaml.Decoder].
func (d *Disk) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, d, Plain, Small, Ext4, Large)
}

// disk is one that is mounted.
type disk interface {
	// fill takes all space, or the right to write; free gives it back. A disk may need
	// the daemon to be gone for that.
	fill() error
	free() error
	unmount() error
}

var errPlainDisk = errors.New("a plain disk cannot be broken: say disk: small or disk: ext4")

func (d Disk) mount(dir string) (disk, error) {
	switch d {
	case Small:
		return smallDisk(dir), unix.Mount("state", dir, "tmpfs", 0, owned(dir)+",size=32m")
	case Ext4:
		e := &ext4Disk{dir: dir, image: dir + ".img"}
		return e, e.make(32 << 20)
	case Large:
		e := &ext4Disk{dir: dir, image: dir + ".img"}
		return e, e.make(512 << 20)
	}
	return nil, nil
}

// owned gives the mount options that leave the directory with its owner.
func owned(dir string) string {
	var uid, gid uint32
	if info, err := os.Stat(dir); err == nil {
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			uid, gid = s.Uid, s.Gid
		}
	}
	return fmt.Sprintf("mode=755,uid=%d,gid=%d", uid, gid)
}

// smallDisk is a tmpfs.
type smallDisk string

func (s smallDisk) ballast() string { return filepath.Join(string(s), "ballast") }

func (s smallDisk) fill() error {
	f, err := os.Create(s.ballast())
	if err != nil {
		return err
	}
	defer f.Close()
	// To the last page: what others write meanwhile may take it first.
	for piece := make([]byte, 1<<20); len(piece) >= 512; {
		if _, err = f.Write(piece); err != nil {
			piece = piece[:len(piece)/2]
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("the disk does not fill: %w", err)
	}
	return nil
}

func (s smallDisk) free() error { return os.Remove(s.ballast()) }

func (s smallDisk) unmount() error { return unix.Unmount(string(s), unix.MNT_DETACH) }

// ext4Disk is a file system that goes read-only on an error, as servers have it.
type ext4Disk struct{ dir, image string }

func (e *ext4Disk) make(size int64) error {
	for _, program := range []string{"mkfs.ext4", "fsck.ext4"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: %w (package e2fsprogs)", ErrRefused, err)
		}
	}
	// Every page is there beforehand: who writes to the disk later has no memory to pay for it.
	image, err := os.OpenFile(e.image, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Fallocate(int(image.Fd()), 0, 0, size), image.Close()); err != nil {
		return err
	}
	var owner syscall.Stat_t
	if err := syscall.Stat(e.dir, &owner); err != nil {
		return err
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-E", fmt.Sprintf("root_owner=%d:%d", owner.Uid, owner.Gid), e.image).CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	return e.attach()
}

func (e *ext4Disk) attach() error {
	out, err := exec.Command("mount", "-o", "loop,errors=remount-ro", e.image, e.dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: mount -o loop: %s", ErrRefused, strings.TrimSpace(string(out)))
	}
	return nil
}

// fill lets the kernel meet an error on the disk, upon which it writes no more.
func (e *ext4Disk) fill() error {
	var at unix.Stat_t
	if err := unix.Stat(e.dir, &at); err != nil {
		return err
	}
	device := fmt.Sprintf("/dev/loop%d", unix.Minor(at.Dev))
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(device), "trigger_fs_error")
	return os.WriteFile(trigger, []byte("a bad day\n"), 0o200)
}

// free is a check of the file system and a fresh mount; nobody may have a file open.
func (e *ext4Disk) free() error {
	if err := unix.Unmount(e.dir, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", e.dir, err)
	}
	// 1 says that something was mended.
	if out, err := exec.Command("fsck.ext4", "-p", "-f", e.image).CombinedOutput(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() > 1 {
			return fmt.Errorf("fsck.ext4: %w: %s", err, out)
		}
	}
	return e.attach()
}

func (e *ext4Disk) unmount() error { return unix.Unmount(e.dir, unix.MNT_DETACH) }
