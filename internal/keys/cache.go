package keys

import (
	"crypto"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// lookAgain is how long a file is taken for what it was.
const lookAgain = time.Second

// A Cache keeps what is in the files of keys. It looks at a file again a second
// after it did last, when somebody asks, and reads it again when it has changed;
// an error is as short-lived as that. It is safe for concurrent use.
type Cache struct {
	now func() time.Time

	mu     sync.Mutex // guards the maps, not what is in them
	keys   map[string]*entry[crypto.Signer]
	states map[string]*entry[*State]
}

// NewCache returns an empty Cache with that clock.
func NewCache(now func() time.Time) *Cache {
	return &Cache{now: now, keys: make(map[string]*entry[crypto.Signer]), states: make(map[string]*entry[*State])}
}

// Get is Load with a memory. As long as a file does not change, the key is the
// same one.
func (c *Cache) Get(path string) (crypto.Signer, error) {
	e := place(c, c.keys, path)
	return e.get(c.now(), path, privately, maxKeyFile, func(text []byte) (crypto.Signer, error) { return parse(path, text) })
}

// State is ReadState with a memory. As long as the file does not change, the State
// is the same one: read it, never write to it.
func (c *Cache) State(dir string) (*State, error) {
	e := place(c, c.states, dir)
	return e.get(c.now(), filepath.Join(dir, StateFile), publicly, maxStateFile, func(text []byte) (*State, error) { return parseState(dir, text) })
}

// place returns the entry for path.
func place[T any](c *Cache, entries map[string]*entry[T], path string) *entry[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := entries[path]
	if e == nil {
		e = new(entry[T])
		entries[path] = e
	}
	return e
}

// An entry is what is known of one file.
type entry[T any] struct {
	mu     sync.Mutex
	looked time.Time // when we looked last, zero for never
	seen   stamp     // the version that value was read from
	value  T
	err    error
}

// get returns what parse makes of the file at path.
func (e *entry[T]) get(now time.Time, path string, mask os.FileMode, limit int64, parse func([]byte) (T, error)) (T, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	// A clock that was put back must not make the file stand still.
	if since := now.Sub(e.looked); !e.looked.IsZero() && since >= 0 && since < lookAgain {
		return e.value, e.err
	}
	e.looked = now
	_, seen, err := inspect(path, mask)
	if err == nil && seen == e.seen {
		return e.value, e.err
	}
	var text []byte
	if err == nil {
		text, seen, err = read(path, mask, limit)
	}
	var value T
	if err == nil {
		value, err = parse(text)
		e.seen = seen
	} else {
		e.seen = stamp{}
	}
	e.value, e.err = value, err
	return value, err
}

// A stamp tells one version of a file from another, as far as this can be told
// without reading it. The zero stamp is that of no file.
type stamp struct {
	device, inode uint64
	size          int64
	mode, owner   uint32
	changed       syscall.Timespec // ctime: it moves with the content, the rights and the name
	modified      syscall.Timespec
}

func stampOf(info os.FileInfo) stamp {
	s := info.Sys().(*syscall.Stat_t)
	return stamp{uint64(s.Dev), s.Ino, s.Size, s.Mode, s.Uid, s.Ctim, s.Mtim}
}
