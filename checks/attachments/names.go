package attachments

import (
	"slices"
	"strings"
	"unicode"
)

// extensions are lists of what may stand behind the last dot of a name, in lower case.
type extensions []string

// executables are what Windows runs when somebody opens it, whatever is in it.
var executables = extensions{
	"exe", "scr", "com", "pif", "cpl", "js", "jse", "vbs", "vbe", "wsf", "wsh", "wsc", "sct", "hta", "lnk", "bat", "cmd",
	"ps1", "msi", "msp", "msc", "scf", "xll", "application", "appref-ms", "settingcontent-ms",
}

// riskies can do harm once somebody helps them: images of disks, which keep Windows from
// seeing that a file came by mail, packed programs, settings, help files.
var riskies = extensions{
	"jar", "iso", "img", "vhd", "vhdx", "udf", "dmg", "cab", "ace", "arj", "chm", "dll", "reg", "url", "website", "iqy", "slk",
	"msix", "appx", "apk", "rdp", "inf", "swf", "desktop", "py", "sh", "psm1", "library-ms", "search-ms",
}

// scripts are the executables that also lie in archives for honest reasons: in a web
// page that was saved, in a program's source.
var scripts = extensions{"js", "bat", "cmd", "ps1", "vbs"}

// documents are what a second extension pretends to be.
var documents = extensions{
	"pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "rtf", "txt", "csv", "eml", "jpg", "jpeg", "png", "gif",
	"tif", "tiff", "bmp", "mp3", "mp4", "avi", "wav", "zip",
}

func (e extensions) has(extension string) bool { return slices.Contains(e, extension) }

// fileName is a name as a file system takes it.
type fileName struct {
	extension string // in lower case, without the dot
	before    string // the extension in front of that one
	gap       bool   // so many blanks stand in front of the extension that nobody sees it
	bidi      bool   // characters turn the direction of writing
}

// maxGap is how many blanks in a row a name may have.
const maxGap = 8

// readName takes a name apart. What does not show is left out, and so are the dots and
// blanks at its end, which Windows drops.
func readName(name string) fileName {
	var n fileName
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		switch {
		case r == '\u202a' || r == '\u202b' || r == '\u202d' || r == '\u202e' || r >= '\u2066' && r <= '\u2068':
			n.bidi = true
			return -1
		case unicode.Is(unicode.Cf, r) || unicode.IsControl(r) && !unicode.IsSpace(r):
			return -1
		case unicode.IsSpace(r):
			return ' '
		case r == '\uff0e' || r == '\u2024':
			return '.'
		}
		return r
	}, name)
	name = strings.ToLower(strings.TrimRight(name, ". "))
	n.gap = strings.Contains(name, strings.Repeat(" ", maxGap))
	front := ""
	front, n.extension = cutExtension(name)
	_, n.before = cutExtension(front)
	return n
}

// cutExtension cuts a name at its last dot.
func cutExtension(name string) (front, extension string) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return name, ""
	}
	return name[:dot], strings.TrimSpace(name[dot+1:])
}

// doubled reports whether the name shows another extension than the one that counts.
func (n *fileName) doubled() bool {
	return n.gap || documents.has(n.before) && n.before != n.extension
}
