package message

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
)

func readAll(t *testing.T, r *BodyReader) []byte {
	t.Helper()
	var all []byte
	for {
		p, err := r.Next(t.Context())
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p...)
	}
}

// Every reader sees the whole body, wherever it lies and however it is cut.
func TestSpoolReadersFollow(t *testing.T) {
	buffers := NewBuffers(128<<10, 64<<10)
	for _, size := range []int{0, 1, 4096, 4097, 60_000, 300_000} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(rand.Uint32())
		}
		files := NewBudget(1 << 20)
		s := NewSpool(SpoolOptions{Memory: 4096, Buffers: buffers, Dir: t.TempDir(), Files: files})
		var wg sync.WaitGroup
		for range 4 {
			s.Retain()
			r := s.Reader()
			wg.Go(func() {
				defer s.Release()
				if got := readAll(t, r); !bytes.Equal(got, body) {
					t.Errorf("size %d: reader saw %d other bytes", size, len(got))
				}
			})
		}
		slow := s.Reader() // reads one piece, and the rest when all is there
		var early []byte
		for rest := body; len(rest) > 0; {
			if len(early) == 0 && len(rest) < size {
				p, err := slow.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				early = bytes.Clone(p)
			}
			n := min(len(rest), 1+rand.IntN(20_000))
			if _, err := s.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		s.Finish()
		wg.Wait()
		if got := append(early, readAll(t, slow)...); !bytes.Equal(got, body) {
			t.Errorf("size %d: a slow reader saw %d other bytes", size, len(got))
		}
		if got := readAll(t, s.Reader()); !bytes.Equal(got, body) {
			t.Errorf("size %d: a late reader saw %d other bytes", size, len(got))
		}
		for _, limit := range []int{0, size / 2, size, size + 1} {
			got, err := s.Bytes(int64(limit))
			if want := body[:min(limit, size)]; err != nil || !bytes.Equal(got, want) {
				t.Errorf("size %d: Bytes(%d) = %d bytes, %v", size, limit, len(got), err)
			}
		}
		s.Release()
		if files.Used() != 0 {
			t.Errorf("size %d: %d bytes of the budget not given back", size, files.Used())
		}
		if in := buffers.made - len(buffers.free); in != 0 {
			t.Errorf("size %d: %d buffers not given back", size, in)
		}
		if _, err := s.Write([]byte("x")); err == nil {
			t.Error("write after the last release succeeded")
		}
	}
}

// Bodies lie in buffers while there are some and while they fit; then in files, or where
// they are small in memory of their own. What a reader holds stays as it is until the spool goes.
func TestSpoolSharesBuffers(t *testing.T) {
	buffers, files := NewBuffers(2*1000, 1000), NewBudget(1<<20)
	spool := func(c byte, sizes ...int) *Spool {
		s := NewSpool(SpoolOptions{Memory: 40, Buffers: buffers, Dir: t.TempDir(), Files: files})
		for _, size := range sizes {
			if _, err := s.Write(bytes.Repeat([]byte{c}, size)); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	short, first, second := spool('s', 10), spool('1', 9, 2, 989), spool('2', 900)
	if files.Used() != 0 || buffers.take(1) != nil {
		t.Fatalf("two bodies for two buffers: %d bytes are in files, or there is a third buffer", files.Used())
	}
	held, err := second.Reader().Next(t.Context())
	if err != nil || len(held) != 900 {
		t.Fatalf("%d bytes, %v", len(held), err)
	}
	third, small := spool('3', 900), spool('x', 40)
	if files.Used() != 900 {
		t.Errorf("a body without a buffer: %d bytes are in files", files.Used())
	}
	if _, err := second.Write([]byte("2222222222")); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Write(bytes.Repeat([]byte("2"), 100)); err != nil || files.Used() != 900+1010 {
		t.Errorf("a body that outgrows its buffer: %d bytes are in files, %v", files.Used(), err)
	}
	first.Release()
	fourth := spool('4', 1000) // in the buffer of the first
	if want := bytes.Repeat([]byte("2"), 900); !bytes.Equal(held, want) {
		t.Error("what a reader holds has changed before the last Release")
	}
	for c, s := range map[byte]*Spool{'s': short, '2': second, '3': third, '4': fourth, 'x': small} {
		s.Finish()
		if got := readAll(t, s.Reader()); !bytes.Equal(got, bytes.Repeat([]byte{c}, int(s.Size()))) {
			t.Errorf("the body of %c is another: %.40q", c, got)
		}
		s.Release()
	}
	if files.Used() != 0 || buffers.made != len(buffers.free) {
		t.Errorf("%d bytes of files and %d buffers not given back", files.Used(), buffers.made-len(buffers.free))
	}
}

func TestSpoolLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	s := NewSpool(SpoolOptions{Memory: 10, Dir: dir})
	if _, err := s.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("the spool file has a name: %v", names)
	}
	s.Release()
}

func TestSpoolFullReachesWriterAndReaders(t *testing.T) {
	s := NewSpool(SpoolOptions{Memory: 10, Dir: t.TempDir(), Files: NewBudget(50)})
	defer s.Release()
	r := s.Reader()
	if _, err := s.Write(make([]byte, 40)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(make([]byte, 40)); !errors.Is(err, ErrSpoolFull) {
		t.Fatalf("write over the budget: %v", err)
	}
	if p, err := r.Next(t.Context()); err != nil || len(p) != 40 {
		t.Fatalf("what had arrived: %d bytes, %v", len(p), err)
	}
	if _, err := r.Next(t.Context()); !errors.Is(err, ErrSpoolFull) {
		t.Errorf("reader past the break: %v", err)
	}
}

// A body that was to move to a file and could not is lost to the writer; what
// had arrived is still there for readers, and nothing is given back that was
// never taken.
func TestSpoolThatCannotMove(t *testing.T) {
	for name, o := range map[string]SpoolOptions{
		"budget too small for what is in memory": {Memory: 10, Dir: t.TempDir(), Files: NewBudget(5)},
		"no such directory":                      {Memory: 10, Dir: "/nowhere/at/all", Files: NewBudget(1000)},
	} {
		s := NewSpool(o)
		if _, err := s.Write([]byte("12345678")); err != nil {
			t.Fatal(err)
		}
		_, err := s.Write([]byte("12345678"))
		if err == nil {
			t.Fatalf("%s: written", name)
		}
		r := s.Reader()
		if p, err := r.Next(t.Context()); string(p) != "12345678" || err != nil {
			t.Errorf("%s: what had arrived: %q, %v", name, p, err)
		}
		if _, again := r.Next(t.Context()); !errors.Is(again, err) {
			t.Errorf("%s: the reader is told %v, the writer %v", name, again, err)
		}
		s.Release()
		if o.Files.Used() != 0 {
			t.Errorf("%s: %d bytes of the budget used", name, o.Files.Used())
		}
	}
}

func TestSpoolReaderStopsWithItsContext(t *testing.T) {
	s := NewSpool(SpoolOptions{Memory: 10})
	defer s.Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Reader().Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	gone := errors.New("gone")
	s.Fail(gone)
	if _, err := s.Reader().Next(t.Context()); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

// What readers share is made once, and apart from what others share.
func TestSpoolShared(t *testing.T) {
	s := NewSpool(SpoolOptions{})
	defer s.Release()
	type mine struct{}
	type yours struct{}
	made := 0
	first := func() any { made++; return made }
	if s.Shared(mine{}, first) != 1 || s.Reader().Spool().Shared(mine{}, first) != 1 || s.Shared(yours{}, first) != 2 || made != 2 {
		t.Errorf("made %d times", made)
	}
}

func TestBudget(t *testing.T) {
	b := NewBudget(10)
	if !b.Take(10) || b.Take(1) {
		t.Error("limit not kept")
	}
	b.Give(4)
	if !b.Take(4) || b.Used() != 10 {
		t.Error("giving back does not count")
	}
}
