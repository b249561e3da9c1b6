package archive

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// opener gives what an entry holds.
type opener func() (io.Reader, error)

// What a byte of output costs, by how it is made: that of deflate is the unit, the
// slower decoders take several times as long for it.
const (
	priceFast = 1
	priceSlow = 4
)

// newBytesReader returns a reader that can seek, so that what is skipped costs nothing.
func newBytesReader(b []byte) io.Reader { return bytes.NewReader(b) }

// meter takes what is read from the budget, and ends with it.
type meter struct {
	w     *walker
	from  io.Reader
	price int64
	read  int64
}

func (m *meter) Read(p []byte) (int, error) {
	const step = 64 << 10
	if m.w.ctx.Err() != nil {
		m.w.facts |= LimitTime
		return 0, errStop
	}
	if m.w.budget.bytes <= 0 {
		m.w.facts |= LimitBytes
		return 0, errStop
	}
	if len(p) > step {
		p = p[:step]
	}
	n, err := m.from.Read(p)
	m.read += int64(n)
	m.w.budget.bytes -= int64(n) * m.price
	return n, err
}

// open unpacks the beginning of an entry and visits it; an archive is unpacked as a
// whole and walked through.
func (w *walker) open(e *Entry, price int64, open opener) error {
	from, err := open()
	if err != nil {
		w.facts |= cause(err)
		w.visit(e)
		return nil
	}
	m := &meter{w: w, from: from, price: price}
	head := make([]byte, HeadBytes)
	n, err := io.ReadFull(m, head)
	whole := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	e.Head = head[:n]
	var content []byte
	e.rest = func() ([]byte, error) {
		if content == nil && err == nil {
			content, err = w.rest(m, e)
		}
		return content, err
	}
	if whole {
		content, err = e.Head, nil
	}
	w.visit(e)
	switch {
	case errors.Is(err, errStop):
		return err
	case err != nil:
		w.facts |= cause(err)
		return nil
	case whole && e.Size > int64(n):
		w.facts |= Broken
	}
	f := FormatOf(e.Head, e.Name())
	if f == None {
		return nil
	}
	if f == Foreign {
		w.facts |= Unsupported
		return nil
	}
	if len(e.Path) > w.budget.limits.Depth {
		w.facts |= LimitDepth
		return nil
	}
	if _, err = e.rest(); err != nil {
		return err
	}
	outer := w.path
	w.path = slices.Clip(e.Path)
	goOn := w.archive(f, content)
	w.path = outer
	if !goOn {
		return errStop
	}
	return nil
}

// rest unpacks an archive in an archive. It stays in memory while that is walked
// through, so it may have a quarter of the budget only; the next one at the same depth
// gets the same memory.
func (w *walker) rest(m *meter, e *Entry) ([]byte, error) {
	most := w.budget.limits.Bytes / 4
	depth := len(e.Path) - 2
	for len(w.buffers) <= depth {
		w.buffers = append(w.buffers, nil)
	}
	size := int64(256 << 10)
	if e.Size > size && !w.tooDense(e.Size, e.Packed) {
		size = min(e.Size, most) // what is there to be unpacked is as large as that
	}
	content := append(w.buffers[depth][:0], e.Head...)
	for {
		if len(content) == cap(content) {
			more := min(max(2*int64(cap(content)), size), most+1)
			content = append(make([]byte, 0, more), content...)
			w.buffers[depth] = content
		}
		n, err := m.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		switch {
		case int64(len(content)) > most:
			w.facts |= LimitBytes
			return nil, errStop
		case errors.Is(err, io.EOF):
			return content, nil
		case errors.Is(err, errStop):
			return nil, err
		case err != nil:
			w.facts |= cause(err)
			return content, nil
		}
	}
}

// errUnsupported is what an opener says to what it cannot unpack, errDictionary to a
// dictionary that is larger than what is behind it is worth.
var (
	errUnsupported = errors.New("archive: packed in an unknown way")
	errDictionary  = errors.New("archive: dictionary too large")
)

// cause is the fact behind an error of an opener or a decoder.
func cause(err error) Facts {
	switch {
	case errors.Is(err, errStop):
		return 0 // it is there already
	case errors.Is(err, errUnsupported):
		return Unsupported
	case errors.Is(err, errDictionary):
		return LimitBytes
	}
	return Broken
}
