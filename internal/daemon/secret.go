package daemon

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"milterd/internal/config"
)

// markKeyBytes is the length of the secret under X-Milterd-Id.
const markKeyBytes = 32

// markKey returns the secret by which we know our own mark, from the file
// beside the journal; a missing one is made. Without a usable file a random key
// serves until the end of the process: marks of before are then not known, so
// mail that comes back from a content filter is looked at twice.
func (d *daemon) markKey(cfg *config.Config) []byte {
	fresh := make([]byte, markKeyBytes)
	rand.Read(fresh)
	if d.o.Ephemeral {
		return fresh
	}
	dir := filepath.Dir(string(cfg.Journal.Path))
	err := os.MkdirAll(dir, 0o750)
	var key []byte
	if err == nil {
		key, err = loadKey(filepath.Join(dir, "id.key"), fresh)
	}
	if err != nil {
		d.log.Warn("the key for X-Milterd-Id is kept in memory only", "err", err)
		return fresh
	}
	return key
}

// loadKey reads the key, or stores fresh as the key where there is none.
func loadKey(path string, fresh []byte) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.Write(fresh)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, errors.Join(err, os.Remove(path)) // half a key would be refused for ever
		}
		return fresh, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s must be a regular file that only its owner can read: chmod 0600 %s", path, path)
	}
	key := make([]byte, markKeyBytes+1)
	n, _ := f.Read(key)
	if n != markKeyBytes {
		return nil, fmt.Errorf("%s does not hold a key of %d bytes: remove it and a new one is made", path, markKeyBytes)
	}
	return key[:n], nil
}
