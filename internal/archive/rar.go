package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/nwaples/rardecode/v2"
)

// rar walks through a rar of any version since 1.5. What is packed with a dictionary
// larger than ours is listed and not unpacked.
func (w *walker) rar(content []byte) error {
	r, err := rardecode.NewReader(bytes.NewReader(content), rardecode.MaxDictionarySize(maxDictionary))
	solid := solidRar(content)
	for first := true; err == nil; first = false {
		if solid && !first {
			// The library would unpack the rest of the file to come to the next one;
			// so it is done here, against the budget.
			if _, stop := io.Copy(io.Discard, &meter{w: w, from: r, price: priceSlow}); errors.Is(stop, errStop) {
				return stop
			}
		}
		var h *rardecode.FileHeader
		if h, err = r.Next(); err != nil {
			break
		}
		e := &Entry{Path: []string{h.Name}, Directory: h.IsDir, Size: h.UnPackedSize, Packed: h.PackedSize, Encrypted: h.Encrypted || h.HeaderEncrypted}
		if h.UnKnownSize {
			e.Size = -1
		}
		if stop := w.entry(e, priceSlow, func() (io.Reader, error) { return r, nil }); stop != nil {
			return stop
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, rardecode.ErrArchiveEncrypted), errors.Is(err, rardecode.ErrArchivedFileEncrypted):
		w.facts |= Encrypted
		return nil
	case errors.Is(err, rardecode.ErrDictionaryTooLarge):
		w.facts |= LimitBytes
		return nil
	case errors.Is(err, rardecode.ErrMultiVolume):
		w.facts |= Unsupported // the rest is in another file
		return nil
	}
	return err
}

// solidRar says whether the files of a rar are packed as one stream, by the flags of
// its first header (RAR 4.x: flag 0x0008; RAR 5.0: archive flag 0x0004). What cannot be
// told is taken for solid.
func solidRar(content []byte) bool {
	const magic4, magic5 = 7, 8
	if len(content) < 12 || content[6] == 0 {
		return len(content) < 12 || binary.LittleEndian.Uint16(content[magic4+3:])&0x0008 != 0
	}
	header := content[magic5+4:] // behind the checksum
	var values [5]uint64         // size, type, flags, size of the extra area, archive flags
	for i := range values {
		if i == 3 && values[2]&1 == 0 {
			continue // there is no extra area
		}
		v, n := binary.Uvarint(header)
		if n <= 0 {
			return true
		}
		values[i], header = v, header[n:]
	}
	return values[1] != 1 || values[4]&0x0004 != 0
}
