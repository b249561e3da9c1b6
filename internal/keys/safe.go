package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

var (
	// ErrMissing is for a file that is not there.
	ErrMissing = errors.New("is not there")
	// ErrNoDirectory is the ErrMissing of a file whose directory is not there
	// either, as with a volume that is not mounted yet.
	ErrNoDirectory = fmt.Errorf("%w, and its directory is not", ErrMissing)
)

// An UnsafeError is about a file that must not be used where it lies.
type UnsafeError struct {
	Path string // the file or directory that is wrong
	Why  string // what is wrong with it: "others can read it"
	Cure string // the shell command that puts it right
}

func (e *UnsafeError) Error() string { return e.Path + ": " + e.Why + "; cure: " + e.Cure }

// The rights that nobody but the owner may have in a file.
const (
	privately os.FileMode = 0o027 // nothing for others; the group may read
	publicly  os.FileMode = 0o022 // everybody may read
)

const maxLinks = 40 // in one path, as in Linux

// read returns what is in the file at path, which has none of the rights in mask,
// and what identifies this version of it.
func read(path string, mask os.FileMode, limit int64) ([]byte, stamp, error) {
	real, seen, err := inspect(path, mask)
	if err != nil {
		return nil, stamp{}, err
	}
	// Nobody but root and we could have changed anything since: all directories on
	// the way are closed to others.
	f, err := os.OpenFile(real, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, stamp{}, explain(path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, stamp{}, explain(path, err)
	}
	if int64(len(text)) > limit {
		return nil, stamp{}, fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return text, seen, nil
}

// inspect follows path from the root of the file system to a regular file, with
// its symbolic links, and looks at every directory that it comes through. A file
// in a directory may be a link, as Kubernetes makes them, but only to one below
// that directory. The directory itself may be reached through links.
func inspect(path string, mask os.FileMode) (real string, s stamp, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return "", stamp{}, err
	}
	dir, _, err := walk(filepath.Dir(path))
	if err != nil {
		if errors.Is(err, ErrMissing) {
			err = fmt.Errorf("%s: %w", path, ErrNoDirectory)
		}
		return "", stamp{}, err
	}
	real, info, err := walk(path)
	if err != nil {
		return "", stamp{}, err
	}
	if !strings.HasPrefix(real, strings.TrimSuffix(dir, "/")+"/") {
		return "", stamp{}, &UnsafeError{path, "it is a link that leads out of its directory, to " + real,
			"cp --remove-destination " + quote(real) + " " + quote(path)}
	}
	perm := info.Mode().Perm()
	want := fmt.Sprintf("chmod %04o %s", perm&^mask&0o666, quote(real))
	switch {
	case !info.Mode().IsRegular():
		return "", stamp{}, &UnsafeError{real, "it is not a regular file", "mv " + quote(real) + " " + quote(real+".old")}
	case perm&mask&0o007 != 0:
		return "", stamp{}, &UnsafeError{real, fmt.Sprintf("others have rights to it (mode %04o)", perm), want}
	case perm&mask != 0:
		return "", stamp{}, &UnsafeError{real, fmt.Sprintf("its group can change it (mode %04o)", perm), want}
	}
	return real, stampOf(info), nil
}

// walk returns where path leads and what is there. It refuses a way on which
// somebody else could put another file in place.
func walk(path string) (real string, info os.FileInfo, err error) {
	real = "/"
	if info, err = os.Lstat(real); err != nil {
		return "", nil, err
	}
	rest := strings.Split(strings.Trim(path, "/"), "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		if err := safeDirectory(real, info); err != nil {
			return "", nil, err
		}
		if name == ".." {
			real = filepath.Dir(real)
			if info, err = os.Lstat(real); err != nil {
				return "", nil, explain(path, err)
			}
			continue
		}
		next := filepath.Join(real, name)
		if info, err = os.Lstat(next); err != nil {
			return "", nil, explain(path, err)
		}
		if owner := ownerOf(info); !trusted(owner) {
			return "", nil, &UnsafeError{next, "it belongs to " + userName(owner) + ", expected root or the user that milterd runs as", "chown -h root " + quote(next)}
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			real = next
			continue
		}
		if links++; links > maxLinks {
			return "", nil, fmt.Errorf("%s: too many symbolic links", path)
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", nil, explain(path, err)
		}
		if filepath.IsAbs(target) {
			real = "/"
		}
		if info, err = os.Lstat(real); err != nil {
			return "", nil, explain(path, err)
		}
		rest = append(strings.Split(strings.Trim(target, "/"), "/"), rest...)
	}
	if info.IsDir() {
		return real, info, safeDirectory(real, info)
	}
	return real, info, nil
}

// safeDirectory refuses a directory in which others could put a file. In one with
// the sticky bit, like /tmp, they cannot touch what is ours, and walk looks at the
// owner of everything that it comes through.
func safeDirectory(path string, info os.FileInfo) error {
	if !info.IsDir() {
		return fmt.Errorf("%s: is not a directory", path)
	}
	perm := info.Mode().Perm()
	if perm&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		who := "others"
		if perm&0o002 == 0 {
			who = "its group"
		}
		return &UnsafeError{path, fmt.Sprintf("%s can write to this directory (mode %04o) and so put another key in place", who, perm), fmt.Sprintf("chmod go-w %s", quote(path))}
	}
	return nil
}

// explain turns an error of the system into one of ours.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", path, ErrMissing)
	case errors.Is(err, fs.ErrPermission):
		group := strconv.Itoa(os.Getegid())
		if g, err := user.LookupGroupId(group); err == nil {
			group = g.Name
		}
		return &UnsafeError{path, userName(os.Geteuid()) + " cannot read it",
			fmt.Sprintf("chgrp %s %s %s && chmod g+rx %s && chmod g+r %s", group, quote(filepath.Dir(path)), quote(path), quote(filepath.Dir(path)), quote(path))}
	}
	return fmt.Errorf("%s: %w", path, errors.Unwrap(err))
}

// trusted reports whether what belongs to that user is in good hands: root's, and
// ours. Where root looks after the keys, the user milterd is meant.
func trusted(uid int) bool {
	if uid == 0 || uid == os.Geteuid() {
		return true
	}
	if os.Geteuid() != 0 {
		return false
	}
	u, err := user.Lookup(User)
	return err == nil && u.Uid == strconv.Itoa(uid)
}

// User is the name of the user and group that milterd runs as, where a package
// has installed it.
const User = "milterd"

func ownerOf(info os.FileInfo) int {
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// userName names a user for people.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(uid)
}

// quote writes a path for a shell.
func quote(path string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._-+:@=,", r)
	}
	if strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
