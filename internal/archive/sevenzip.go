package archive

import (
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"unicode/utf16"
)

// What a property of a 7z header begins with (7zFormat.txt, "Property IDs").
const (
	idEnd             = 0x00
	idHeader          = 0x01
	idArchiveProps    = 0x02
	idAdditional      = 0x03
	idMainStreams     = 0x04
	idFilesInfo       = 0x05
	idPackInfo        = 0x06
	idUnpackInfo      = 0x07
	idSubStreams      = 0x08
	idSize            = 0x09
	idCRC             = 0x0a
	idFolder          = 0x0b
	idUnpackSize      = 0x0c
	idNumUnpackStream = 0x0d
	idEmptyStream     = 0x0e
	idNames           = 0x11
	idEncodedHeader   = 0x17
)

// maxHeader bounds the unpacked list of a 7z: a thousand names of a kilobyte.
const maxHeader = 2 << 20

// sevenZip walks through a 7z. Its list of files stands at the end, mostly packed
// itself. The files of a folder are packed as one stream.
func (w *walker) sevenZip(content []byte) error {
	const start = 32
	if len(content) < start {
		return errBroken
	}
	at, size := binary.LittleEndian.Uint64(content[12:]), binary.LittleEndian.Uint64(content[20:])
	packed := content[start:]
	if at > uint64(len(packed)) || size > uint64(len(packed))-at {
		return errBroken
	}
	if size == 0 {
		return nil
	}
	header := packed[at : at+size]
	for range 4 { // a list that is packed may be packed again
		if header[0] != idEncodedHeader {
			break
		}
		s := &scanner{buf: header[1:], most: w.budget.limits.Entries}
		folders := s.streams()
		if s.bad || len(folders) != 1 {
			return errBroken
		}
		f := &folders[0]
		if f.encrypted() {
			w.facts |= Encrypted
			return nil
		}
		if f.size > maxHeader {
			w.facts |= LimitBytes
			return errStop
		}
		r, err := f.unpack(packed)
		if err != nil {
			w.facts |= cause(err)
			return nil
		}
		unpacked, err := io.ReadAll(io.LimitReader(&meter{w: w, from: r, price: priceSlow}, maxHeader))
		if err != nil {
			return err
		}
		if header = unpacked; len(header) == 0 {
			return errBroken
		}
	}
	if header[0] != idHeader {
		return errBroken
	}
	s := &scanner{buf: header[1:], most: w.budget.entries}
	folders, names, empty := s.header()
	if s.tooMany {
		w.facts |= LimitEntries
	}
	if s.bad {
		w.facts |= Broken
	}
	return w.sevenZipFiles(packed, folders, names, empty)
}

// sevenZipFiles visits the files: those that are empty have no stream, the others have
// theirs one after the other, folder by folder.
func (w *walker) sevenZipFiles(packed []byte, folders []folder, names []string, empty []bool) error {
	var (
		in  int       // the folder
		nth int       // the stream in it
		r   io.Reader // of the folder, nil before it is opened
	)
	for i, name := range names {
		e := &Entry{Path: []string{name}, Packed: -1}
		if i < len(empty) && empty[i] {
			if err := w.entry(e, 0, nil); err != nil {
				return err
			}
			continue
		}
		for in < len(folders) && nth >= len(folders[in].files) {
			in, nth, r = in+1, 0, nil
		}
		if in == len(folders) {
			w.facts |= Broken
			if err := w.entry(e, 0, nil); err != nil {
				return err
			}
			continue
		}
		f := &folders[in]
		e.Size, e.Encrypted = int64(min(f.files[nth], 1<<62)), f.encrypted()
		if nth == 0 && w.tooDense(int64(min(f.size, 1<<62)), int64(f.packed())) {
			w.facts |= LimitRatio
		}
		nth++
		var file *io.LimitedReader
		err := w.entry(e, priceSlow, func() (io.Reader, error) {
			if r == nil {
				unpacked, err := f.unpack(packed)
				if err != nil {
					return nil, err
				}
				r = unpacked
			}
			file = &io.LimitedReader{R: r, N: e.Size}
			return file, nil
		})
		if err != nil {
			return err
		}
		if file != nil && file.N > 0 && nth < len(f.files) {
			// The next file begins where this one ends.
			if _, err := io.Copy(io.Discard, &meter{w: w, from: file, price: priceSlow}); err != nil {
				return err
			}
		}
	}
	if w.facts.Has(LimitEntries) {
		return errStop
	}
	return nil
}

// folder is what a 7z calls files that are packed together.
type folder struct {
	coders []coder
	at     uint64   // of its packed streams
	sizes  []uint64 // of those
	size   uint64   // unpacked
	summed bool     // has a checksum of its own
	files  []uint64 // the sizes of the files in it
}

type coder struct {
	id         uint64
	properties []byte
}

// The coders that matter (Methods.txt of 7-Zip).
const (
	coderCopy    = 0x00
	coderLZMA2   = 0x21
	coderLZMA    = 0x030101
	coderDeflate = 0x040108
	coderBzip2   = 0x040202
	coderAES     = 0x06f10701
)

func (f *folder) encrypted() bool {
	for i := range f.coders {
		if f.coders[i].id == coderAES {
			return true
		}
	}
	return false
}

func (f *folder) packed() (sum uint64) {
	for _, s := range f.sizes {
		sum += min(s, 1<<50)
	}
	return sum
}

// unpack unpacks a folder of one coder; filters for machine code are not undone.
func (f *folder) unpack(packed []byte) (io.Reader, error) {
	if len(f.coders) != 1 || len(f.sizes) != 1 {
		return nil, fmt.Errorf("%w: %d coders", errUnsupported, len(f.coders))
	}
	if f.at > uint64(len(packed)) || f.sizes[0] > uint64(len(packed))-f.at || f.size > 1<<50 {
		return nil, errBroken
	}
	from := bytes.NewReader(packed[f.at : f.at+f.sizes[0]])
	switch c := &f.coders[0]; c.id {
	case coderCopy:
		return from, nil
	case coderLZMA:
		return newLZMA(from, c.properties, int64(f.size))
	case coderLZMA2:
		if len(c.properties) != 1 {
			return nil, errBroken
		}
		return newLZMA2(from, c.properties[0], int64(f.size))
	case coderDeflate:
		return flate.NewReader(from), nil
	case coderBzip2:
		return bzip2.NewReader(from), nil
	default:
		return nil, fmt.Errorf("%w: coder %#x", errUnsupported, c.id)
	}
}

// scanner reads a 7z header. After anything that cannot be, bad is set and it reads
// zeros; nothing is reserved for numbers that the rest of the header cannot hold.
type scanner struct {
	buf     []byte
	most    int // entries
	bad     bool
	tooMany bool
}

func (s *scanner) bytes(n uint64) []byte {
	if s.bad || n > uint64(len(s.buf)) {
		s.bad = true
		return nil
	}
	b := s.buf[:n]
	s.buf = s.buf[n:]
	return b
}

func (s *scanner) byte() byte {
	if b := s.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// number reads a number: the ones at the top of the first byte say how many follow.
func (s *scanner) number() uint64 {
	first := s.byte()
	n := bits.LeadingZeros8(^first)
	var v uint64
	for i, b := range s.bytes(uint64(n)) {
		v |= uint64(b) << (8 * i)
	}
	if n < 7 {
		v |= uint64(first&(1<<(7-n)-1)) << (8 * n)
	}
	return v
}

// count reads how many there are of something of which each takes a byte at least.
func (s *scanner) count() int {
	n := s.number()
	if n > uint64(len(s.buf)) {
		s.bad = true
		return 0
	}
	return int(n)
}

// bits reads n bits, the first the highest of its byte.
func (s *scanner) bits(n int) []bool {
	packed := s.bytes(uint64(n+7) / 8)
	if s.bad {
		return nil
	}
	all := make([]bool, n)
	for i := range all {
		all[i] = packed[i/8]&(0x80>>(i%8)) != 0
	}
	return all
}

// digests passes over checksums of n streams and returns which of these have one;
// nil is all of them.
func (s *scanner) digests(n int) (defined []bool) {
	there := n
	if s.byte() == 0 {
		there = 0
		defined = s.bits(n)
		for _, d := range defined {
			if d {
				there++
			}
		}
	}
	s.bytes(4 * uint64(there))
	return defined
}

// header reads the list: folders, names of the files, and which of these are empty.
func (s *scanner) header() (folders []folder, names []string, empty []bool) {
	for !s.bad {
		switch s.byte() {
		case idEnd:
			return folders, names, empty
		case idArchiveProps:
			for !s.bad && s.byte() != idEnd {
				s.bytes(s.number())
			}
		case idAdditional:
			s.streams()
		case idMainStreams:
			folders = s.streams()
		case idFilesInfo:
			names, empty = s.files()
		default:
			s.bad = true
		}
	}
	return folders, names, empty
}

// files reads names.
func (s *scanner) files() (names []string, empty []bool) {
	n := s.count()
	for !s.bad {
		id := s.byte()
		if id == idEnd {
			break
		}
		property := &scanner{buf: s.bytes(s.number()), most: s.most}
		switch id {
		case idEmptyStream:
			empty = property.bits(n)
		case idNames:
			property.byte() // the names could be elsewhere; nobody writes that
			for range n {
				if len(names) >= s.most {
					s.tooMany = true
					break
				}
				names = append(names, property.name())
			}
		}
		s.bad = s.bad || property.bad
	}
	return names, empty
}

// maxName is how many characters a name has at most; Windows takes no more.
const maxName = 32767

// name reads a name in UTF-16 that ends in a zero.
func (s *scanner) name() string {
	var units []uint16
	for len(units) <= maxName {
		b := s.bytes(2)
		if b == nil || b[0]|b[1] == 0 {
			return string(utf16.Decode(units))
		}
		units = append(units, binary.LittleEndian.Uint16(b))
	}
	s.bad = true
	return ""
}
