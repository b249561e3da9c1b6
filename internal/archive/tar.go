package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"io"
	"strings"
)

// tar walks through a tar that is read as a stream.
func (w *walker) tar(from io.Reader) error {
	r := tar.NewReader(from)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		e := &Entry{Path: []string{h.Name}, Directory: h.Typeflag == tar.TypeDir, Size: h.Size, Packed: -1}
		if err := w.entry(e, 0, func() (io.Reader, error) { return r, nil }); err != nil {
			return err
		}
	}
}

// stream walks through a file that is compressed by itself. If it is a tar, that is
// walked through as it is unpacked.
func (w *walker) stream(f Format, content []byte) error {
	name, from, price, err := decompress(f, content, w.path[len(w.path)-1])
	if err != nil {
		if w.facts |= cause(err); !w.facts.Has(Unsupported | LimitBytes) {
			return err
		}
		return nil
	}
	m := &meter{w: w, from: from, price: price}
	r := bufio.NewReaderSize(m, HeadBytes)
	head, err := r.Peek(HeadBytes)
	if errors.Is(err, errStop) {
		return err
	}
	if FormatOf(head, name) == Tar {
		err = w.inside(name, func() error { return w.tar(r) })
	} else {
		err = w.entry(&Entry{Path: []string{name}, Size: -1, Packed: int64(len(content))}, 0, func() (io.Reader, error) { return r, nil })
	}
	if err == nil {
		err = w.drain(m, r, int64(len(content)))
	}
	return err
}

// inside runs walk with the path of an archive in the present one.
func (w *walker) inside(name string, walk func() error) error {
	if len(w.path) >= w.budget.limits.Depth {
		w.facts |= LimitDepth
		return nil
	}
	outer := w.path
	w.path = append(w.path[:len(w.path):len(w.path)], name)
	defer func() { w.path = outer }()
	return walk()
}

// drain unpacks the rest of a stream to see whether it goes on and on. A stream has
// no list that says how large it is.
func (w *walker) drain(m *meter, r io.Reader, packed int64) error {
	buf := make([]byte, 32<<10)
	for {
		_, err := r.Read(buf)
		if w.tooDense(m.read, packed) {
			w.facts |= LimitRatio
			return errStop
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// decompress returns what unpacks a stream, the name of what is in it and the price
// of a byte.
func decompress(f Format, content []byte, outer string) (name string, from io.Reader, price int64, err error) {
	name = inner(outer)
	switch f {
	case Gzip:
		r, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return name, nil, 0, err
		}
		if r.Name != "" {
			name = r.Name
		}
		return name, r, priceFast, nil
	case Bzip2:
		return name, bzip2.NewReader(bytes.NewReader(content)), priceSlow, nil
	default:
		r, err := newXZ(content)
		return name, r, priceSlow, err
	}
}

// inner is the name of what is in a compressed file: its own without the last
// extension, with that of tar where one stands for both.
func inner(outer string) string {
	dot := strings.LastIndexByte(outer, '.')
	if dot < 0 {
		return outer
	}
	switch strings.ToLower(outer[dot+1:]) {
	case "tgz", "taz", "tbz", "tbz2", "txz":
		return outer[:dot] + ".tar"
	case "gz", "bz2", "xz", "z":
		return outer[:dot]
	}
	return outer
}
