package message

import (
	"sync"

	"golang.org/x/sys/unix"

	"milterd/internal/race"
)

// Buffers are pieces of memory for bodies that are long, and not very long: a file for
// each of them costs several times what it costs to copy the body. They lie where the
// collector does not look, and are used again. There is a fixed number of them; who
// finds none does without. The nil *Buffers has none.
type Buffers struct {
	size int

	mu   sync.Mutex
	made int // those in use and those that are free
	most int
	free [][]byte
}

// NewBuffers returns buffers that take most bytes together, and size bytes each. They
// are made when they are needed for the first time.
func NewBuffers(most, size int64) *Buffers {
	return &Buffers{size: int(size), most: int(most / size)}
}

// take returns a buffer for n bytes, nil when there is none.
func (b *Buffers) take(n int) []byte {
	if b == nil || n > b.size {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := len(b.free) - 1; last >= 0 { // who came last is still in the caches
		buffer := b.free[last]
		b.free = b.free[:last]
		return buffer
	}
	if b.made >= b.most {
		return nil
	}
	buffer, err := unix.Mmap(-1, 0, b.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil // no memory: a file does as well
	}
	b.made++
	return buffer
}

// give takes a buffer back that nobody reads any more.
func (b *Buffers) give(buffer []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if race.Enabled { // who does read it dies of it in the tests, and does not read another's mail
		_ = unix.Munmap(buffer)
		b.made--
		return
	}
	b.free = append(b.free, buffer)
}
