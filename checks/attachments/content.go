package attachments

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"

	"github.com/gabriel-vasile/mimetype"
)

// kind is what a file is by its content, as far as that matters here.
type kind string

const (
	unknown   kind = "" // nothing that is known for sure, such as text
	program   kind = "a Windows program"
	shortcut  kind = "a shortcut"
	installer kind = "an installer"
	foreign   kind = "a program"
	disk      kind = "a disk image"
	help      kind = "a help file"
	page      kind = "a web page"
	pdf       kind = "PDF"
	picture   kind = "a picture"
	rtf       kind = "RTF"
	zipped    kind = "a zip"
	packed    kind = "an archive"
	compound  kind = "an OLE document"
)

// kinds says what the types are of which the content of a file is one, or a child of
// one in the library's tree.
var kinds = map[string]kind{
	"application/vnd.microsoft.portable-executable": program,
	"application/x-ms-shortcut":                     shortcut,
	"application/x-ms-installer":                    installer,
	"application/x-elf":                             foreign,
	"application/x-mach-binary":                     foreign,
	"application/x-java-applet":                     foreign,
	"application/x-shockwave-flash":                 foreign,
	"application/vnd.ms-htmlhelp":                   help,
	"text/html":                                     page,
	"application/xhtml+xml":                         page,
	"image/svg+xml":                                 page,
	"application/pdf":                               pdf,
	"text/rtf":                                      rtf,
	"application/zip":                               zipped,
	"application/x-7z-compressed":                   packed,
	"application/vnd.rar":                           packed,
	"application/x-tar":                             packed,
	"application/gzip":                              packed,
	"application/x-bzip2":                           packed,
	"application/x-xz":                              packed,
	"application/vnd.ms-cab-compressed":             packed,
	"application/x-ole-storage":                     compound,
}

// kindOf says what a file is that begins with these bytes.
func kindOf(head []byte) kind {
	if isDisk(head) {
		return disk
	}
	for t := mimetype.Detect(head); t != nil; t = t.Parent() {
		name, _, _ := strings.Cut(t.String(), ";")
		switch k := kinds[name]; {
		case k == program && bytes.IndexByte(head[:min(len(head), 64)], 0) < 0:
			return unknown // a text that happens to begin with MZ
		case k != unknown:
			return k
		case strings.HasPrefix(name, "image/"):
			return picture
		}
	}
	return unknown
}

// isDisk knows the image of a CD (ECMA-119, section 8: the first descriptor stands at
// sector 16) and virtual disks. The library reads 4 KiB, an image begins later.
func isDisk(content []byte) bool {
	const first = 16 * 2048
	return len(content) > first+6 && string(content[first+1:first+6]) == "CD001" ||
		bytes.HasPrefix(content, []byte("conectix")) || bytes.HasPrefix(content, []byte("vhdxfile"))
}

// claims says what a file is that has this extension, where that leaves no doubt: a
// file of another kind was renamed. Extensions that honest programs give to several
// kinds (.doc, .xls, .txt) are not in it.
var claims = map[string][]kind{
	"pdf": {pdf}, "jpg": {picture}, "jpeg": {picture}, "png": {picture}, "gif": {picture}, "bmp": {picture}, "tif": {picture}, "tiff": {picture},
	"docx": {zipped, compound}, "xlsx": {zipped, compound}, "pptx": {zipped, compound},
	"zip": {zipped}, "rar": {packed}, "7z": {packed}, "gz": {packed}, "tgz": {packed}, "xz": {packed},
	"mp3": {}, "mp4": {}, "wav": {}, "txt": {page, rtf}, "csv": {page},
	"doc": {compound, zipped, rtf, page}, "xls": {compound, zipped, page}, "ppt": {compound, zipped}, "rtf": {rtf, page, compound, zipped},
}

// renamed reports whether the content is of a kind that the extension rules out.
func renamed(extension string, k kind) bool {
	wants, known := claims[extension]
	if !known || k == unknown {
		return false
	}
	for _, want := range wants {
		if k == want {
			return false
		}
	}
	return true
}

// compoundFacts are what the directory of an OLE document tells about it.
type compoundFacts struct {
	macros, encrypted bool
}

// entrySize is the size of an entry of the directory ([MS-CFB], section 2.6.1). Sectors
// are 512 bytes or 4096, so wherever the directory lies, an entry begins at a multiple
// of it.
const entrySize = 128

var compoundMagic = []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")

// readCompound looks for entries of the directory of an OLE document: the storages that
// hold macros ([MS-OVBA], section 2.2.1), and the stream of an encrypted one
// ([MS-OFFCRYPTO], section 2.3.4.4). The chains of sectors that lead to the directory
// are not followed. They are a stranger's, Office repairs those that are broken, and
// an entry is known by its name.
func readCompound(content []byte) (found compoundFacts) {
	if !bytes.HasPrefix(content, compoundMagic) {
		return found
	}
	for at := 512; at+entrySize <= len(content); at += entrySize {
		entry := content[at : at+entrySize]
		size := binary.LittleEndian.Uint16(entry[64:])
		storage, stream := entry[66] == 1, entry[66] == 2
		if !storage && !stream || size < 4 || size > 64 || size%2 != 0 || entry[1] != 0 {
			continue
		}
		units := make([]uint16, 0, 32)
		for i := range int(size)/2 - 1 {
			units = append(units, binary.LittleEndian.Uint16(entry[2*i:]))
		}
		switch name := string(utf16.Decode(units)); {
		case storage && (strings.EqualFold(name, "VBA") || strings.EqualFold(name, "_VBA_PROJECT_CUR") || strings.EqualFold(name, "Macros")),
			stream && strings.EqualFold(name, "_VBA_PROJECT"):
			found.macros = true
		case stream && name == "EncryptedPackage":
			found.encrypted = true
		}
	}
	return found
}
