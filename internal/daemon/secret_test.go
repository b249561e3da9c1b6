package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"milterd/internal/config"
	"milterd/internal/strictyaml"
)

func keyOf(t *testing.T, dir string) (key []byte, log string) {
	t.Helper()
	var b bytes.Buffer
	d := &daemon{log: newLogger(&b, config.LogText, config.LogInfo)}
	cfg := config.Default()
	cfg.Journal.Path = strictyaml.Path(filepath.Join(dir, "verdicts"))
	return d.markKey(cfg), b.String()
}

// TestMarkKey: made once, for nobody else to read, and the same ever after.
func TestMarkKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state") // not even that is there at the first start
	first, log := keyOf(t, dir)
	if len(first) != markKeyBytes || bytes.Equal(first, make([]byte, markKeyBytes)) || log != "" {
		t.Errorf("%x %s", first, log)
	}
	info, err := os.Stat(filepath.Join(dir, "id.key"))
	if err != nil || info.Mode() != 0o600 || info.Size() != markKeyBytes {
		t.Errorf("%v, %v", info, err)
	}
	second, log := keyOf(t, dir)
	if !bytes.Equal(first, second) || log != "" {
		t.Errorf("another key at the next start: %s", log)
	}
	if other, _ := keyOf(t, t.TempDir()); bytes.Equal(first, other) {
		t.Error("every host has the same key")
	}
}

// TestMarkKeyRefused: a file that others might know is no secret. Then a random
// key serves, the log says why and what to do, and the file stays for a person
// to look at.
func TestMarkKeyRefused(t *testing.T) {
	good := bytes.Repeat([]byte{7}, markKeyBytes)
	for name, c := range map[string]struct {
		put  func(path string) error
		want string
	}{
		"group may read":  {func(p string) error { return put(p, good, 0o640) }, "chmod 0600"},
		"others may read": {func(p string) error { return put(p, good, 0o604) }, "chmod 0600"},
		"group may write": {func(p string) error { return put(p, good, 0o620) }, "chmod 0600"},
		"too short":       {func(p string) error { return put(p, good[1:], 0o600) }, "remove it"},
		"too long":        {func(p string) error { return put(p, append([]byte{7}, good...), 0o600) }, "remove it"},
		"empty":           {func(p string) error { return put(p, nil, 0o600) }, "remove it"},
		"a directory":     {func(p string) error { return os.Mkdir(p, 0o700) }, "regular file"},
		"a fifo":          {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "regular file"},
		"a link": {func(p string) error {
			if err := put(p+".target", good, 0o600); err != nil {
				return err
			}
			return os.Symlink(p+".target", p)
		}, "id.key"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "id.key")
			if err := c.put(path); err != nil {
				t.Fatal(err)
			}
			key, log := keyOf(t, dir)
			again, _ := keyOf(t, dir)
			if len(key) != markKeyBytes || bytes.Equal(key, good) || bytes.Equal(key, again) {
				t.Errorf("key %x, then %x", key, again)
			}
			if !strings.Contains(log, "level=WARN") || !strings.Contains(log, c.want) || strings.Contains(log, string(good)) {
				t.Errorf("the log says %s, want %s", log, c.want)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMarkKeyWithoutDisk: no place for the key is no reason not to start.
func TestMarkKeyWithoutDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := put(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if key, log := keyOf(t, filepath.Join(file, "state")); len(key) != markKeyBytes || !strings.Contains(log, "kept in memory only") {
		t.Errorf("%x %s", key, log)
	}
}

func put(path string, content []byte, mode os.FileMode) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask
}
