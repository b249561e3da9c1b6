package archive

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"strings"
)

// What the header of a cabinet says ([MS-CAB], section 2.1).
const (
	cabHeader   = 36
	cabPrevious = 0x0001 // it goes on from another cabinet
	cabNext     = 0x0002 // it goes on in another one
	cabReserve  = 0x0004 // there are reserved areas
	cabBlock    = 8      // bytes of CFDATA in front of what is packed
	cabWindow   = 32 << 10
)

// How a folder is packed (section 2.2, typeCompress).
const (
	cabStored = 0
	cabMSZIP  = 1
)

// cabFolder is what a cabinet calls files that are packed as one stream, in blocks.
type cabFolder struct {
	w        *walker
	data     []byte // the blocks, with what lies behind them
	blocks   int
	reserved int // bytes between a block's header and its content
	method   uint16
	packed   int64 // bytes in its blocks

	from io.Reader // nil before it is opened
	at   int64     // in what is unpacked
}

// cab walks through a cabinet. What is packed with LZX or Quantum is listed.
func (w *walker) cab(content []byte) error {
	if len(content) < cabHeader {
		return errBroken
	}
	files := int64(binary.LittleEndian.Uint32(content[16:]))
	nFolders, nFiles := int(binary.LittleEndian.Uint16(content[26:])), int(binary.LittleEndian.Uint16(content[28:]))
	flags := binary.LittleEndian.Uint16(content[30:])
	s := &scanner{buf: content[cabHeader:]}
	var perFolder, perBlock int
	if flags&cabReserve != 0 {
		sizes := s.bytes(4)
		if s.bad {
			return errBroken
		}
		perFolder, perBlock = int(sizes[2]), int(sizes[3])
		s.bytes(uint64(binary.LittleEndian.Uint16(sizes)))
	}
	for _, flag := range []uint16{cabPrevious, cabNext} {
		if flags&flag != 0 { // the names of another cabinet and its disk
			w.facts |= Unsupported
			s.text()
			s.text()
		}
	}
	var folders []*cabFolder
	steps := len(content) / cabBlock // blocks of all folders, which do not share them
	for range nFolders {
		head := s.bytes(uint64(8 + perFolder))
		if s.bad {
			break // its files are listed all the same
		}
		f := &cabFolder{w: w, reserved: perBlock, blocks: int(binary.LittleEndian.Uint16(head[4:])), method: binary.LittleEndian.Uint16(head[6:]) & 0x0f}
		if at := int64(binary.LittleEndian.Uint32(head)); at <= int64(len(content)) {
			f.data = content[at:]
		}
		steps = f.measure(steps)
		folders = append(folders, f)
	}
	if files < cabHeader || files > int64(len(content)) {
		return errBroken
	}
	return w.cabFiles(&scanner{buf: content[files:]}, nFiles, folders)
}

// cabFiles visits the files of a cabinet.
func (w *walker) cabFiles(s *scanner, n int, folders []*cabFolder) error {
	for range n {
		head := s.bytes(16)
		name := s.text()
		if s.bad || len(name) > maxName {
			return errBroken
		}
		// Directories are separated by backslashes. A name that is not said to be UTF-8 is
		// in some code page of DOS, and stays as it is.
		e := &Entry{Path: []string{strings.ReplaceAll(string(name), `\`, "/")}, Size: int64(binary.LittleEndian.Uint32(head)), Packed: -1}
		at, folder := int64(binary.LittleEndian.Uint32(head[4:])), int(binary.LittleEndian.Uint16(head[8:]))
		open := opener(func() (io.Reader, error) { return nil, errUnsupported }) // it lies in another cabinet
		if folder < len(folders) {
			f := folders[folder]
			if w.tooDense(at+e.Size, f.packed) {
				w.facts |= LimitRatio
			}
			open = func() (io.Reader, error) { return f.file(at, e.Size) }
		} else if folder < 0xfffd {
			w.facts |= Broken
			open = nil
		}
		if err := w.entry(e, 0, open); err != nil {
			return err
		}
	}
	return nil
}

// measure adds up what the blocks have, as far as they are there and steps go, and returns
// how many of those are left.
func (f *cabFolder) measure(steps int) (left int) {
	data := f.data
	for range min(f.blocks, steps) {
		if len(data) < cabBlock+f.reserved {
			break
		}
		steps--
		n := min(int(binary.LittleEndian.Uint16(data[4:])), len(data)-cabBlock-f.reserved)
		f.packed += int64(n)
		data = data[cabBlock+f.reserved+n:]
	}
	return steps
}

// file returns what unpacks a file that begins at a place in its folder. Files come in
// their order; one that lies in what was unpacked already shares its bytes with another.
func (f *cabFolder) file(at, size int64) (io.Reader, error) {
	if f.from == nil {
		blocks := &cabBlocks{folder: f, data: f.data}
		switch f.method {
		case cabStored:
		case cabMSZIP:
			blocks.inflate = flate.NewReader(bytes.NewReader(nil))
		default:
			return nil, errUnsupported
		}
		f.from = &meter{w: f.w, from: blocks, price: priceFast}
	}
	if at < f.at {
		f.w.facts |= Overlap
		return nil, errUnsupported
	}
	n, err := io.CopyN(io.Discard, f.from, at-f.at)
	if f.at += n; err != nil {
		if errors.Is(err, io.EOF) {
			err = errBroken
		}
		return nil, err
	}
	return &cabFile{f, size}, nil
}

// cabFile reads a file out of its folder.
type cabFile struct {
	folder *cabFolder
	left   int64
}

func (c *cabFile) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.EOF
	}
	n, err := c.folder.from.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.folder.at += int64(n)
	return n, err
}

// cabBlocks unpacks the blocks of a folder, one after the other (section 2.5 and
// [MS-MCI]): each is a deflate stream by itself, which may repeat what the blocks before
// it had.
type cabBlocks struct {
	folder  *cabFolder
	data    []byte
	nth     int
	inflate io.ReadCloser // nil for what is stored
	window  []byte        // the last of what was unpacked
	out     []byte        // of the present block, not yet read
}

func (b *cabBlocks) Read(p []byte) (int, error) {
	for len(b.out) == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.out)
	b.out = b.out[n:]
	return n, nil
}

// next unpacks a block.
func (b *cabBlocks) next() error {
	if b.nth++; b.nth > b.folder.blocks {
		return io.EOF
	}
	head := cabBlock + b.folder.reserved
	if len(b.data) < head {
		return errBroken
	}
	packed, unpacked := int(binary.LittleEndian.Uint16(b.data[4:])), int(binary.LittleEndian.Uint16(b.data[6:]))
	if len(b.data)-head < packed {
		return errBroken
	}
	block := b.data[head : head+packed]
	b.data = b.data[head+packed:]
	if b.inflate == nil {
		b.out = block
		return nil
	}
	deflated, signed := bytes.CutPrefix(block, []byte("CK"))
	if !signed {
		return errBroken
	}
	if err := b.inflate.(flate.Resetter).Reset(bytes.NewReader(deflated), b.window); err != nil {
		return err
	}
	if unpacked < cabWindow { // only a folder's last block is: what the window costs is not for nothing
		b.folder.w.budget.bytes -= int64(len(b.window))
	}
	out := make([]byte, unpacked)
	n, err := io.ReadFull(b.inflate, out)
	if n == 0 && err != nil {
		return errBroken
	}
	b.out = out[:n]
	b.window = append(b.window, b.out...)
	b.window = b.window[max(0, len(b.window)-cabWindow):]
	return nil
}

// text reads a text that ends in a NUL.
func (s *scanner) text() []byte {
	n := bytes.IndexByte(s.buf, 0)
	if n < 0 {
		s.bad = true
		return nil
	}
	return s.bytes(uint64(n + 1))[:n]
}
