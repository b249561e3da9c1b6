package archive

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
)

// Outlook puts what it cannot say in MIME into one attachment, winmail.dat, in a format
// of its own, TNEF ([MS-OXTNEF]). Files lie in it as they are; Outlook shows them as if
// they were attached themselves.

// What an attribute is (section 2.1.3.2): its type in the upper half, its name below.
const (
	tnefRenderData = 0x00069002 // a new attachment begins
	tnefTitle      = 0x00018010 // its name, in a code page
	tnefData       = 0x0006800f // its content
	tnefProperties = 0x00069005 // its MAPI properties
)

// The MAPI properties that matter ([MS-OXPROPS]), by their id.
const (
	mapiData     = 0x3701 // the content, or an attached message
	mapiName     = 0x3704 // the name, short
	mapiLongName = 0x3707
)

// Types of MAPI properties ([MS-OXCDATA], section 2.11.1).
const (
	mapiString8  = 0x001e
	mapiUnicode  = 0x001f
	mapiObject   = 0x000d
	mapiBinary   = 0x0102
	mapiMultiple = 0x1000 // a flag: there are several values
)

// tnefFile is an attachment. Of several names of a kind the first counts.
type tnefFile struct {
	title, short, long string
	content            []byte
	message            []byte // TNEF of an attached message
}

// tnef walks through a TNEF.
func (w *walker) tnef(content []byte) error {
	const head = 6 // signature and key
	if len(content) < head {
		return errBroken
	}
	s := &scanner{buf: content[head:]}
	var f *tnefFile
	visit := func() error {
		if f == nil {
			return nil
		}
		return w.tnefFile(f)
	}
	for len(s.buf) > 0 {
		level := s.byte()
		id := s.uint32()
		data := s.bytes(uint64(s.uint32()))
		s.bytes(2) // a checksum, which nobody compares
		if s.bad || level < 1 || level > 2 {
			return cmp.Or(visit(), errBroken)
		}
		if id == tnefRenderData {
			if err := visit(); err != nil {
				return err
			}
			f = &tnefFile{}
		}
		if f == nil || level != 2 {
			continue // of the message itself
		}
		switch id {
		case tnefTitle:
			f.title = cmp.Or(f.title, name8(data))
		case tnefData:
			f.content = data
		case tnefProperties:
			if !f.properties(data) {
				w.facts |= Broken
			}
		}
	}
	return visit()
}

// tnefFile visits an attachment. One that is a message is looked into, its name is
// mostly a subject.
func (w *walker) tnefFile(f *tnefFile) error {
	name := cmp.Or(f.long, f.title, f.short) // as Outlook chooses
	alias := f.title
	if alias == name {
		alias = f.short
	}
	if alias == name {
		alias = ""
	}
	if f.message != nil {
		return w.inside(name, func() error {
			err := w.tnef(f.message)
			if errors.Is(err, errBroken) {
				w.facts |= Broken
				return nil
			}
			return err
		})
	}
	size := int64(len(f.content))
	e := &Entry{Path: []string{name}, Alias: alias, Size: size, Packed: size}
	return w.entry(e, 0, func() (io.Reader, error) { return newBytesReader(f.content), nil })
}

// properties reads the MAPI properties of an attachment (section 2.1.3.4). It returns
// false where they are not what they say.
func (f *tnefFile) properties(data []byte) bool {
	s := &scanner{buf: data}
	for range s.count32() {
		kind, id := s.uint16(), s.uint16()
		if id >= 0x8000 { // one that has a name
			s.bytes(16)
			if s.uint32() == 0 {
				s.bytes(4)
			} else {
				s.padded()
			}
		}
		value, ok := s.property(kind)
		if !ok {
			return false
		}
		switch id {
		case mapiName:
			f.short = cmp.Or(f.short, name(kind, value))
		case mapiLongName:
			f.long = cmp.Or(f.long, name(kind, value))
		case mapiData:
			f.data(kind, value)
		}
	}
	return !s.bad
}

// name8 and name16 read a name that ends in a zero, in some code page or in UTF-16. What
// is longer than a name can be is cut.
func name8(value []byte) string {
	name, _, _ := bytes.Cut(value[:min(len(value), maxName)], []byte{0})
	return string(name)
}

func name16(value []byte) string {
	var units []uint16
	for ; len(units) < maxName && len(value) >= 2 && value[0]|value[1] != 0; value = value[2:] {
		units = append(units, binary.LittleEndian.Uint16(value))
	}
	return string(utf16.Decode(units))
}

// name reads the value of a property that is a text.
func name(kind uint16, value []byte) string {
	switch kind {
	case mapiString8:
		return name8(value)
	case mapiUnicode:
		return name16(value)
	}
	return ""
}

// data keeps what is in a property that holds the content: 16 bytes say what an object
// is, of which a message is TNEF again.
func (f *tnefFile) data(kind uint16, value []byte) {
	const interfaceID = 16
	switch {
	case kind == mapiBinary:
		f.content = value
	case kind == mapiObject && len(value) > interfaceID && bytes.HasPrefix(value[interfaceID:], tnefMagic):
		f.message = value[interfaceID:]
	case kind == mapiObject && len(value) > interfaceID:
		f.content = value[interfaceID:] // an OLE object
	}
}

// property reads a value, or of several the first.
func (s *scanner) property(kind uint16) (value []byte, ok bool) {
	count := 1
	kind, several := kind&^mapiMultiple, kind&mapiMultiple != 0
	size := 0
	switch kind {
	case 0x0001: // null: there is nothing of it, however often
		if several {
			s.uint32()
		}
		return nil, !s.bad
	case 0x0002, 0x0003, 0x0004, 0x000a, 0x000b:
		size = 4 // the short ones are padded
	case 0x0005, 0x0006, 0x0007, 0x0014, 0x0040:
		size = 8
	case 0x0048:
		size = 16
	case mapiString8, mapiUnicode, mapiObject, mapiBinary:
		several = true
	default:
		return nil, false
	}
	if several {
		count = s.count32()
	}
	for i := range count {
		var one []byte
		if size == 0 {
			one = s.padded()
		} else {
			one = s.bytes(uint64(size))
		}
		if s.bad {
			return nil, false
		}
		if i == 0 {
			value = one
		}
	}
	return value, !s.bad
}

// padded reads bytes with their number in front, and what fills them up to four.
func (s *scanner) padded() []byte {
	n := uint64(s.uint32())
	b := s.bytes(n)
	s.bytes(min(-n%4, uint64(len(s.buf)))) // at the end some leave that out
	return b
}

// count32 reads how many there are of something of which each takes a byte at least.
func (s *scanner) count32() int {
	n := s.uint32()
	if uint64(n) > uint64(len(s.buf)) {
		s.bad = true
		return 0
	}
	return int(n)
}

func (s *scanner) uint16() uint16 {
	if b := s.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (s *scanner) uint32() uint32 {
	if b := s.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}
