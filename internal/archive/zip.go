package archive

import (
	"bytes"
	"cmp"
	"compress/bzip2"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// The signatures of a zip's records (APPNOTE.TXT, sections 4.3.7, 4.3.12, 4.3.16).
var (
	localMagic   = []byte("PK\x03\x04")
	centralMagic = []byte("PK\x01\x02")
	endMagic     = []byte("PK\x05\x06")
)

const (
	localSize   = 30
	centralSize = 46
	endSize     = 22
	zip64Claim  = 0xffffffff // the real value stands in the extra field
)

// zipEntry is what a zip says about a file.
type zipEntry struct {
	name         []byte // of the archive itself: a thousand long ones need no copies
	flags        uint16
	method       uint16
	packed, size int64
	at           int64 // of the local header
}

// zip walks through a zip: through its central directory, and where it has none that
// can be found, through the headers in front of the files, as repairing programs do.
func (w *walker) zip(content []byte) error {
	at, base, count := findDirectory(content)
	if at < 0 {
		w.facts |= Broken
		return w.zipLocal(content)
	}
	if count > w.budget.entries {
		w.facts |= LimitEntries
	}
	var entries []zipEntry
	for len(entries) < w.budget.entries {
		e, next, ok := centralEntry(content, at, base)
		if !ok {
			break
		}
		entries, at = append(entries, e), next
	}
	if len(entries) < min(count, w.budget.entries) {
		w.facts |= Broken
	}
	if count == 0 && bytes.HasPrefix(content, localMagic) {
		return w.zipLocal(content)
	}
	w.overlaps(entries, int64(len(content)))
	for i := range entries {
		if err := w.zipEntry(content, &entries[i]); err != nil {
			return err
		}
	}
	if w.facts.Has(LimitEntries) {
		return errStop
	}
	return nil
}

// findDirectory returns where the central directory begins, where the archive itself
// does (something may stand in front of it), and how many entries it claims; at is -1
// if there is none. In a zip64 the offsets of the usual record mean nothing, so the
// directory is taken to stand where its size says it does: right before its end.
func findDirectory(content []byte) (at, base int64, count int) {
	const longestComment = 1<<16 - 1
	from := max(0, len(content)-endSize-longestComment)
	end := from + bytes.LastIndex(content[from:], endMagic)
	if end < from || len(content)-end < endSize {
		return -1, 0, 0
	}
	record := content[end:]
	count = int(binary.LittleEndian.Uint16(record[10:]))
	size, offset := int64(binary.LittleEndian.Uint32(record[12:])), int64(binary.LittleEndian.Uint32(record[16:]))
	if size == zip64Claim || offset == zip64Claim || count == 0xffff {
		if at := bytes.Index(content[:end], centralMagic); at >= 0 {
			return int64(at), 0, count
		}
		return -1, 0, 0
	}
	if at = int64(end) - size; at < 0 || at < offset {
		return -1, 0, 0
	}
	return at, at - offset, count
}

// centralEntry reads the entry of the central directory at at.
func centralEntry(content []byte, at, base int64) (e zipEntry, next int64, ok bool) {
	if at < 0 || int64(len(content))-at < centralSize || !bytes.HasPrefix(content[at:], centralMagic) {
		return e, 0, false
	}
	h := content[at:]
	name, extra, comment := int64(binary.LittleEndian.Uint16(h[28:])), int64(binary.LittleEndian.Uint16(h[30:])), int64(binary.LittleEndian.Uint16(h[32:]))
	if centralSize+name+extra > int64(len(h)) {
		return e, 0, false
	}
	e = zipEntry{
		name: h[centralSize : centralSize+name], flags: binary.LittleEndian.Uint16(h[8:]), method: binary.LittleEndian.Uint16(h[10:]),
		packed: int64(binary.LittleEndian.Uint32(h[20:])), size: int64(binary.LittleEndian.Uint32(h[24:])), at: int64(binary.LittleEndian.Uint32(h[42:])),
	}
	e.zip64(h[centralSize+name : centralSize+name+extra])
	e.at += base
	return e, at + centralSize + name + extra + comment, true
}

// zip64 takes the values that were too large for their fields from the extra field
// (APPNOTE.TXT, section 4.5.3).
func (e *zipEntry) zip64(extra []byte) {
	for len(extra) >= 4 {
		id, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		extra = extra[4:]
		if size > len(extra) {
			return
		}
		if id == 1 {
			values := extra[:size]
			for _, field := range []*int64{&e.size, &e.packed, &e.at} {
				if *field == zip64Claim && len(values) >= 8 {
					*field = max(0, int64(binary.LittleEndian.Uint64(values)))
					values = values[8:]
				}
			}
		}
		extra = extra[size:]
	}
}

// overlaps looks whether files share their bytes, and how large all of them together
// claim to be: a file whose every byte is unpacked a thousand times needs no other trick.
func (w *walker) overlaps(entries []zipEntry, size int64) {
	byPlace := slices.SortedFunc(slices.Values(entries), func(a, b zipEntry) int { return cmp.Compare(a.at, b.at) })
	total, end := int64(0), int64(-1)
	for i := range byPlace {
		e := &byPlace[i]
		if e.at < end {
			w.facts |= Overlap
		}
		end = e.at + localSize + min(e.packed, size)
		total += min(e.size, 1<<40)
	}
	if w.tooDense(total, size) {
		w.facts |= LimitRatio
	}
}

// zipEntry visits a file.
func (w *walker) zipEntry(content []byte, e *zipEntry) error {
	local, packed, ok := localEntry(content, e.at)
	entry := &Entry{
		Path: []string{string(e.name)}, Size: e.size, Packed: e.packed,
		Encrypted: e.flags&1 != 0 || ok && local.flags&1 != 0,
		Directory: len(e.name) > 0 && e.name[len(e.name)-1] == '/' && e.size == 0,
	}
	if !ok {
		w.facts |= Broken
		return w.entry(entry, 0, nil)
	}
	if !bytes.Equal(local.name, e.name) {
		entry.Alias = string(local.name)
	}
	return w.entry(entry, price(e.method), func() (io.Reader, error) {
		return inflate(e.method, packed[:min(e.packed, int64(len(packed)))], e.size)
	})
}

// localEntry reads the header in front of a file and returns what follows it.
func localEntry(content []byte, at int64) (e zipEntry, after []byte, ok bool) {
	if at < 0 || int64(len(content))-at < localSize || !bytes.HasPrefix(content[at:], localMagic) {
		return e, nil, false
	}
	h := content[at:]
	name, extra := int(binary.LittleEndian.Uint16(h[26:])), int(binary.LittleEndian.Uint16(h[28:]))
	if localSize+name+extra > len(h) {
		return e, nil, false
	}
	e = zipEntry{
		name: h[localSize : localSize+name], flags: binary.LittleEndian.Uint16(h[6:]), method: binary.LittleEndian.Uint16(h[8:]),
		packed: int64(binary.LittleEndian.Uint32(h[18:])), size: int64(binary.LittleEndian.Uint32(h[22:])), at: at,
	}
	e.zip64(h[localSize+name : localSize+name+extra])
	return e, h[localSize+name+extra:], true
}

// zipLocal walks from one local header to the next.
func (w *walker) zipLocal(content []byte) error {
	for at := int64(0); ; {
		next := bytes.Index(content[at:], localMagic)
		if next < 0 {
			return nil
		}
		at += int64(next)
		e, after, ok := localEntry(content, at)
		if !ok {
			at += int64(len(localMagic))
			continue
		}
		if e.packed == 0 { // its size follows the file
			e.packed = int64(len(after))
		}
		if err := w.zipEntry(content, &e); err != nil {
			return err
		}
		if at = int64(len(content) - len(after)); e.flags&8 == 0 {
			at += min(e.packed, int64(len(after)))
		}
	}
}

// The methods of a zip that are unpacked here (APPNOTE.TXT, section 4.4.5).
const (
	methodStore   = 0
	methodDeflate = 8
	methodBzip2   = 12
	methodLZMA    = 14
)

func price(method uint16) int64 {
	if method == methodStore || method == methodDeflate {
		return priceFast
	}
	return priceSlow
}

func inflate(method uint16, packed []byte, size int64) (io.Reader, error) {
	from := bytes.NewReader(packed)
	switch method {
	case methodStore:
		return from, nil
	case methodDeflate:
		return flate.NewReader(from), nil
	case methodBzip2:
		return bzip2.NewReader(from), nil
	case methodLZMA:
		// APPNOTE.TXT, section 5.8.8: two bytes of version, two of length, properties.
		if len(packed) < 9 {
			return nil, errBroken
		}
		return newLZMA(bytes.NewReader(packed[9:]), packed[4:9], size)
	}
	return nil, fmt.Errorf("%w: method %d", errUnsupported, method)
}
