package archive

import (
	"bytes"
	"strings"
)

// Format is how an archive is built.
type Format uint8

// The formats that are read here. Gzip, Bzip2 and Xz hold one file, which mostly is
// a tar.
const (
	None Format = iota
	Zip
	SevenZip
	Rar
	Tar
	Gzip
	Bzip2
	Xz
)

var (
	sevenZipMagic = []byte("7z\xbc\xaf\x27\x1c")
	rarMagic      = []byte("Rar!\x1a\x07")
	xzMagic       = []byte("\xfd7zXZ\x00")
	gzipMagic     = []byte("\x1f\x8b\x08")
)

// FormatOf says which archive it is that begins with these bytes: by what they are
// and, since a zip is read from its end and may have anything in front, by its name.
// More than the beginning is needed for nothing.
func FormatOf(head []byte, name string) Format {
	switch {
	case bytes.HasPrefix(head, localMagic), bytes.HasPrefix(head, endMagic), bytes.HasPrefix(head, []byte("PK00PK\x03\x04")):
		return Zip
	case bytes.HasPrefix(head, sevenZipMagic):
		return SevenZip
	case bytes.HasPrefix(head, rarMagic):
		return Rar
	case bytes.HasPrefix(head, gzipMagic):
		return Gzip
	case bytes.HasPrefix(head, xzMagic):
		return Xz
	case len(head) > 10 && bytes.HasPrefix(head, []byte("BZh")) && bytes.Equal(head[4:10], []byte("1AY&SY")):
		return Bzip2
	case isTar(head):
		return Tar
	}
	switch strings.ToLower(name[strings.LastIndexByte(name, '.')+1:]) {
	case "zip", "jar":
		return Zip
	}
	return None
}

// isTar knows a tar by its magic, or where it is older than that, by the sum over its
// first header.
func isTar(head []byte) bool {
	const block = 512
	if len(head) < block {
		return false
	}
	if bytes.HasPrefix(head[257:], []byte("ustar")) {
		return true
	}
	want, digits := 0, 0
	for _, c := range head[148:156] {
		if c >= '0' && c <= '7' {
			want, digits = want*8+int(c-'0'), digits+1
		} else if digits > 0 {
			break
		}
	}
	sum := 8 * int(' ')
	for i, c := range head[:block] {
		if i < 148 || i >= 156 {
			sum += int(c)
		}
	}
	return digits > 0 && head[0] != 0 && sum == want
}
