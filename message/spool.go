package message

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Spool holds a body while it arrives and afterwards: short bodies in memory of their
// own, longer ones in one of the [Buffers], those for which there is none in a file that
// has no name (it is unlinked before the first byte is written, so a crash leaves
// nothing behind).
//
// One writer appends; any number of readers follow, each at its own pace, and
// wait for what has not arrived yet. So a check can hash or scan the body as
// it streams in, and a slow one delays nobody.
//
// A Spool is counted: whoever keeps it beyond the call that handed it over
// calls Retain, and Release when done. The last Release frees memory and file.
type Spool struct {
	o SpoolOptions

	mu      sync.Mutex
	refs    int
	mem     []byte   // the whole body, until it goes to a file
	buffer  []byte   // where mem lies or lay, once it is of some size; of o.Buffers
	file    *os.File // the whole body, once it has outgrown that, too
	mapped  []byte   // file, mapped by Bytes
	size    int64
	done    bool
	err     error
	arrived chan struct{} // closed at the next change; nil when nobody waits
	shared  map[any]any
}

// SpoolOptions says where a body may lie.
type SpoolOptions struct {
	// Memory is how many bytes stay in memory before a body for which there is no buffer
	// moves to a file.
	Memory int
	// Buffers are what bodies of more than a quarter of that share; nil means that there
	// are none.
	Buffers *Buffers
	// Dir is the directory for the file; empty means the system's.
	Dir string
	// Files bounds the bytes of all spool files together; nil means no bound.
	Files *Budget
}

// ErrSpoolFull is returned by Write when the budget for spool files is used up.
var ErrSpoolFull = errors.New("message: spool budget used up")

// NewSpool returns an empty spool with one reference.
func NewSpool(o SpoolOptions) *Spool { return &Spool{o: o, refs: 1} }

// Write appends a chunk. After an error the spool stays broken: readers get
// the error when they reach the place.
func (s *Spool) Write(chunk []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	if s.file == nil && !s.holds(len(s.mem)+len(chunk)) {
		s.err = s.moveToFile()
	}
	if s.err == nil && s.file != nil {
		s.err = s.writeTo(s.file, chunk)
	} else if s.err == nil {
		s.mem = append(s.mem, chunk...)
	}
	if s.err != nil {
		s.wake()
		return 0, s.err
	}
	s.size += int64(len(chunk))
	s.wake()
	return len(chunk), nil
}

// holds reports whether memory holds n bytes, after a move to a buffer if need be. A
// quarter of what may lie in memory of its own goes to a buffer already where there is
// one: it spares the collector what a long body leaves behind while it grows.
func (s *Spool) holds(n int) bool {
	switch {
	case n <= s.o.Memory/4, n <= len(s.buffer):
		return true
	case s.buffer != nil:
		return false
	}
	if s.buffer = s.o.Buffers.take(n); s.buffer != nil {
		s.mem = s.buffer[:copy(s.buffer, s.mem)] // readers that hold a piece of the old one keep it alive
		return true
	}
	return n <= s.o.Memory
}

func (s *Spool) moveToFile() error {
	f, err := os.CreateTemp(s.o.Dir, "milterd-body-")
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return fmt.Errorf("spool: %w", err)
	}
	if err := s.writeTo(f, s.mem); err != nil {
		f.Close() // what has arrived stays in memory, and the budget as it was
		return err
	}
	s.file = f
	s.mem = nil // readers may hold a piece of it: memory of its own lives as long, a buffer until the last Release
	return nil
}

func (s *Spool) writeTo(f *os.File, p []byte) error {
	if !s.o.Files.Take(int64(len(p))) {
		return ErrSpoolFull
	}
	if _, err := f.Write(p); err != nil {
		s.o.Files.Give(int64(len(p)))
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// Finish says that the body is complete.
func (s *Spool) Finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	s.wake()
}

// Fail ends the body early: the message was dropped while it arrived.
func (s *Spool) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done && s.err == nil {
		s.err = err
	}
	s.wake()
}

func (s *Spool) wake() {
	if s.arrived != nil {
		close(s.arrived)
		s.arrived = nil
	}
}

// Size returns the bytes that have arrived.
func (s *Spool) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// Bytes returns the first limit bytes of a complete body in one piece, valid
// until the last Release. Nobody may write to it. A long body is mapped from
// its file, not read into memory.
func (s *Spool) Bytes(limit int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if !s.done {
		return nil, errors.New("message: body is not complete")
	}
	n := min(s.size, limit)
	if s.file == nil {
		return s.mem[:n:n], nil
	}
	if err := s.mapFile(); err != nil {
		return nil, err
	}
	return s.mapped[:n:n], nil
}

// mapFile maps the file of a complete body.
func (s *Spool) mapFile() error {
	if s.mapped != nil {
		return nil
	}
	m, err := unix.Mmap(int(s.file.Fd()), 0, int(s.size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("spool: map: %w", err)
	}
	s.mapped = m
	return nil
}

// Retain adds a reference.
func (s *Spool) Retain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refs++
}

// Release drops a reference; the last one frees the body.
func (s *Spool) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs--; s.refs > 0 {
		return
	}
	if s.refs < 0 {
		panic("message: spool released too often")
	}
	if s.mapped != nil {
		_ = unix.Munmap(s.mapped)
		s.mapped = nil
	}
	if s.file != nil {
		s.file.Close()
		s.o.Files.Give(s.size)
	}
	s.mem = nil
	if s.buffer != nil {
		s.o.Buffers.give(s.buffer)
		s.buffer = nil
	}
	if s.err == nil {
		s.err = os.ErrClosed
	}
}

// Shared returns what readers of the same body have in common, such as a hash that
// is computed once for all of them: the value under key, which the first one made.
// As with [context.WithValue], a key of a type of its own is nobody else's. The
// value must see to it itself that its readers do not disturb each other.
func (s *Spool) Shared(key any, first func() any) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, there := s.shared[key]
	if !there {
		if s.shared == nil {
			s.shared = map[any]any{}
		}
		value = first()
		s.shared[key] = value
	}
	return value
}

// Reader returns a new reader at the beginning of the body.
func (s *Spool) Reader() *BodyReader { return &BodyReader{spool: s} }

// BodyReader follows a body while it arrives. It is not for concurrent use.
type BodyReader struct {
	spool *Spool
	pos   int64
	buf   []byte
}

// Spool returns the body that the reader follows.
func (r *BodyReader) Spool() *Spool { return r.spool }

// Next returns the next piece of the body, waiting until there is one. The
// piece is read-only and valid until the following call. At the end of the
// body the error is io.EOF; a body that was dropped, a full spool or the
// context give theirs.
func (r *BodyReader) Next(ctx context.Context) ([]byte, error) {
	s := r.spool
	for {
		s.mu.Lock()
		switch {
		case r.pos < s.size && s.file == nil && s.mem != nil:
			p := s.mem[r.pos:s.size:s.size]
			s.mu.Unlock()
			r.pos += int64(len(p))
			return p, nil
		case r.pos < s.size && s.file != nil:
			p, err := r.readFile()
			s.mu.Unlock()
			return p, err
		case s.err != nil:
			s.mu.Unlock()
			return nil, s.err
		case s.done:
			s.mu.Unlock()
			return nil, io.EOF
		}
		if s.arrived == nil {
			s.arrived = make(chan struct{})
		}
		arrived := s.arrived
		s.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

const readerChunk = 64 << 10

// readFile reads what follows from the file; the caller holds the lock. A file that is
// complete is mapped: somebody looks at it as a whole, too, and nothing is copied.
func (r *BodyReader) readFile() ([]byte, error) {
	if s := r.spool; s.done && s.mapFile() == nil {
		p := s.mapped[r.pos:min(r.pos+readerChunk, s.size)]
		r.pos += int64(len(p))
		return p, nil
	}
	if r.buf == nil {
		r.buf = make([]byte, readerChunk)
	}
	n, err := r.spool.file.ReadAt(r.buf[:min(readerChunk, r.spool.size-r.pos)], r.pos)
	if n == 0 && err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	r.pos += int64(n)
	return r.buf[:n], nil
}
