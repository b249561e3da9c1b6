package rotation

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"milterd/internal/keys"
)

// ErrBusy is for a directory in which another milterd is at work just now.
var ErrBusy = errors.New("another milterd is changing these keys just now, try again")

const lockFile = ".lock"

// disk makes the changes. Its zero value is a disk; tests make one that fails, or
// that loses its power.
type disk struct {
	// before is called before each operation that changes anything, and may forbid
	// it. Nothing is done after one that failed, nothing is cleaned up: that is what
	// a crash looks like.
	before func(operation string) error
}

func (d disk) may(operation string) error {
	if d.before == nil {
		return nil
	}
	return d.before(operation)
}

// makeDirectory makes dir where it is missing. Made by root it belongs to the user
// that milterd runs as, so that the daemon can change the state in it.
func (d disk) makeDirectory(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := d.may("mkdir"); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if uid, gid, ok := daemonUser(); ok {
		return os.Chown(dir, uid, gid)
	}
	return nil
}

// daemonUser returns whose the directories of keys shall be, where it is for us to
// say.
func daemonUser() (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	u, err := user.Lookup(keys.User)
	if err != nil {
		return 0, 0, false
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	return uid, gid, uidErr == nil && gidErr == nil
}

// lock makes sure that nobody else changes dir until unlock is called or the
// process ends.
func (d disk) lock(dir string) (unlock func(), err error) {
	if err := d.may("lock"); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o660)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, ErrBusy)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := likeDirectory(f, dir, -1); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// likeDirectory gives a file that root makes to the owner and the group of its
// directory; owner, unless it is negative, is another one.
func likeDirectory(f *os.File, dir string, owner int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	of := info.Sys().(*syscall.Stat_t)
	if owner < 0 {
		owner = int(of.Uid)
	}
	return f.Chown(owner, int(of.Gid))
}

// write puts a file in place: either all of it is there afterwards, or nothing has
// changed.
func (d disk) write(dir, name string, text []byte, mode os.FileMode, owner int) error {
	temporary := filepath.Join(dir, "."+name+".new")
	if err := d.may("write " + name); err != nil {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := d.may("own " + name); err != nil {
		return err
	}
	if err := errors.Join(likeDirectory(f, dir, owner), f.Chmod(mode)); err != nil {
		return err
	}
	if err := d.may("sync " + name); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := d.may("rename " + name); err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
		return err
	}
	if err := d.may("sync directory of " + name); err != nil {
		return err
	}
	at, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer at.Close()
	return at.Sync()
}

// writeState puts a state in place. Everybody may read it: there is nothing
// private in it.
func (d disk) writeState(dir string, s *keys.State) error {
	if err := s.Check(); err != nil {
		return fmt.Errorf("refusing to write %s: %w", keys.StateFile, err)
	}
	return d.write(dir, keys.StateFile, encode(s), 0o644, -1)
}

func encode(s *keys.State) []byte {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // plain data
	}
	return append(text, '\n')
}

// makeKey makes a key and its file. A file of that name that no key of s has is
// what an earlier turn left that was cut off before it wrote the state; if it is a
// key of that kind it is taken for the new one.
func (d disk) makeKey(dir string, s *keys.State, algorithm string, bits int, selector string, now time.Time) (keys.Key, error) {
	name, err := nameOf(s, selector)
	if err != nil {
		return keys.Key{}, err
	}
	k := keys.Key{Selector: selector, Algorithm: algorithm, File: selector + ".pem", Stage: keys.Next, Name: name, Created: now}
	k.Path = filepath.Join(dir, k.File)
	private, err := keys.Load(k.Path)
	k.TakenUp = err == nil
	if errors.Is(err, keys.ErrMissing) {
		private, err = d.newKey(dir, k.File, algorithm, bits)
	}
	if err != nil {
		return keys.Key{}, err
	}
	var kind string
	if kind, k.Bits = keys.Describe(private.Public()); kind != algorithm {
		return keys.Key{}, fmt.Errorf("%s: there is another key in it, %s of %d bits", k.Path, kind, k.Bits)
	}
	k.Record = keys.Record(private.Public())
	return k, nil
}

// newKey makes a private key in a file.
func (d disk) newKey(dir, file, algorithm string, bits int) (private crypto.Signer, err error) {
	switch algorithm {
	case keys.Ed25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, bits)
	}
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	// Made by root it is root's, and the daemon can only read it, by its group.
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return private, d.write(dir, file, bytes.Clone(text), 0o640, 0)
}

// newSelector returns a selector by the month, with an e for Ed25519, that no key
// of s has and no file stands in the way of.
func newSelector(dir string, s *keys.State, algorithm string, now time.Time) string {
	base := now.Format("200601")
	if algorithm == keys.Ed25519 {
		base += "e"
	}
	for n := 1; ; n++ {
		selector := base
		if n > 1 {
			selector = fmt.Sprintf("%s-%d", base, n)
		}
		taken := slices.ContainsFunc(s.Keys, func(k keys.Key) bool { return k.Selector == selector })
		if !taken && free(filepath.Join(dir, selector+".pem"), algorithm) {
			return selector
		}
	}
}

// free reports whether a new key of that algorithm can have the file at path: there
// is none, or one that a turn left which was cut off.
func free(path, algorithm string) bool {
	private, err := keys.Load(path)
	if err != nil {
		return errors.Is(err, keys.ErrMissing)
	}
	kind, _ := keys.Describe(private.Public())
	return kind == algorithm
}
