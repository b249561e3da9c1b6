package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// maxDictionary bounds what is reserved for the dictionary of an LZMA stream or a rar.
// 7z at its usual level takes 16 MiB at most for what fits into a mail.
const maxDictionary = 16 << 20

// dictionary returns what has to be reserved for a dictionary that is claimed to be
// so large, where size bytes come out at most.
func dictionary(claimed, size int64) (int, error) {
	if claimed = min(claimed, size); claimed > maxDictionary {
		return 0, errDictionary
	}
	return int(max(claimed, lzma.MinDictCap)), nil
}

// newLZMA unpacks size bytes of LZMA; properties are the five bytes that 7z keeps of
// its header.
func newLZMA(from io.Reader, properties []byte, size int64) (io.Reader, error) {
	if len(properties) != 5 {
		return nil, errBroken
	}
	most, err := dictionary(int64(binary.LittleEndian.Uint32(properties[1:])), size)
	if err != nil {
		return nil, err
	}
	header := append([]byte{properties[0]}, binary.LittleEndian.AppendUint32(nil, uint32(most))...)
	header = binary.LittleEndian.AppendUint64(header, uint64(size))
	return lzma.ReaderConfig{DictCap: most}.NewReader(io.MultiReader(bytes.NewReader(header), from))
}

// newLZMA2 unpacks LZMA2; property is the byte that says how large the dictionary is.
func newLZMA2(from io.Reader, property byte, size int64) (io.Reader, error) {
	claimed, err := lzma.DecodeDictCap(property)
	if err != nil {
		return nil, err
	}
	most, err := dictionary(claimed, size)
	if err != nil {
		return nil, err
	}
	return lzma.Reader2Config{DictCap: most}.NewReader2(from)
}

// newXZ unpacks the first block of an xz file (The .xz File Format, version 1.2.1,
// sections 2.1.1 and 3.1), which is all of it if one thread packed it. The library's
// own reader would reserve whatever dictionary the file claims.
func newXZ(content []byte) (io.Reader, error) {
	const streamHeader = 12
	if len(content) < streamHeader+2 {
		return nil, errBroken
	}
	block := content[streamHeader:]
	size := (int(block[0]) + 1) * 4
	flags := block[1]
	if block[0] == 0 {
		return bytes.NewReader(nil), nil // the index: nothing is in it
	}
	if len(block) < size {
		return nil, errBroken
	}
	if flags&0x03 != 0 {
		return nil, errUnsupported // more filters than one
	}
	header := block[2:size]
	for range (flags>>6)&1 + flags>>7 { // compressed and uncompressed size
		_, n := binary.Uvarint(header)
		if n <= 0 {
			return nil, errBroken
		}
		header = header[n:]
	}
	if len(header) < 3 || header[1] != 1 {
		return nil, errBroken
	}
	if header[0] != 0x21 {
		return nil, fmt.Errorf("%w: filter %#x", errUnsupported, header[0])
	}
	// Most files do not need the dictionary that "xz -9" asks for whatever is packed.
	return newLZMA2(bytes.NewReader(block[size:]), header[2], 1<<20+100*int64(len(content)))
}
