package archive

import (
	"bytes"
	"strings"
)

// Format is how an archive is built.
type Format uint8

// The formats that are read here. Gzip, Bzip2 and Xz hold one file, which mostly is
// a tar; Cab is a Microsoft cabinet, Tnef what Outlook calls winmail.dat. Foreign is an
// archive of another kind, of which nothing is known but that.
const (
	None Format = iota
	Zip
	SevenZip
	Rar
	Tar
	Gzip
	Bzip2
	Xz
	Cab
	Tnef
	Foreign
)

var (
	sevenZipMagic = []byte("7z\xbc\xaf\x27\x1c")
	rarMagic      = []byte("Rar!\x1a\x07")
	xzMagic       = []byte("\xfd7zXZ\x00")
	gzipMagic     = []byte("\x1f\x8b\x08")
	cabMagic      = []byte("MSCF\x00\x00\x00\x00")
	tnefMagic     = []byte("\x78\x9f\x3e\x22")
)

// foreignMagics are how archives begin that are not read here, by where that stands.
var foreignMagics = []struct {
	at    int
	magic string
}{
	{7, "**ACE**"}, {2, "-lh"}, {2, "-lz"}, {0, "\x28\xb5\x2f\xfd"}, // ACE, LHA, LArc, Zstandard
	{0, "\x04\x22\x4d\x18"}, {0, "LZIP"}, {0, "LRZI"}, {0, "\x1f\x9d\x90"}, // LZ4, lzip, lrzip, compress
	{0, "!<arch>\n"}, {0, "\xed\xab\xee\xdb"}, {0, "070701"}, {0, "070702"}, {0, "070707"}, {0, "xar!"}, // ar and Debian's, RPM, cpio, xar
	{0, "MSWIM\x00\x00\x00"}, {0, "StuffIt (c)"}, {0, "SIT!"}, {0, "ALZ\x01"}, {0, "EGGA"}, {0, "7kSt"}, // WIM, StuffIt, ALZip, EGG, ZPAQ
}

// isForeign reports whether head is that of an archive that is not read here.
func isForeign(head []byte) bool {
	for _, m := range foreignMagics {
		if len(head) > m.at && bytes.HasPrefix(head[m.at:], []byte(m.magic)) {
			return m.at != 2 || len(head) > 6 && head[6] == '-'
		}
	}
	// ARJ: its magic is short, the size of the header behind it is not free.
	return len(head) > 4 && head[0] == 0x60 && head[1] == 0xea && head[3] <= 0x0a && head[4] >= 30
}

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
	case bytes.HasPrefix(head, cabMagic):
		return Cab
	case bytes.HasPrefix(head, tnefMagic):
		return Tnef
	case isTar(head):
		return Tar
	case isForeign(head):
		return Foreign
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
