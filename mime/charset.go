package mime

import (
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	htmlcharset "golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/charmap"
)

// decodeText turns the content of a text part into UTF-8 with LF line ends.
// label is the charset the sender named, if any; HTML may name one itself. It takes no
// longer than w allows.
func decodeText(data []byte, label string, isHTML bool, w *watch) (string, Facts) {
	if !w.spend(len(data)) { // for what goes over all of it at once, fast
		return "", 0
	}
	if label == "" && isHTML && !utf8.Valid(data) {
		_, label, _ = htmlcharset.DetermineEncoding(data, "")
	}
	text, found := toUTF8(data, label, w)
	text = strings.TrimPrefix(text, "\ufeff")
	if strings.Contains(text, "\r\n") {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	if strings.IndexByte(text, 0) >= 0 {
		found.add(NULInText)
		text = strings.ReplaceAll(text, "\x00", "")
	}
	return text, found
}

// maxLabel is longer than the name of any charset.
const maxLabel = 40

// toUTF8 turns bytes of the charset named label into valid UTF-8. Bytes that
// the charset does not have become U+FFFD. A charset that is not known, or
// none, means UTF-8 if the bytes are that, else Windows-1252.
func toUTF8(data []byte, label string, w *watch) (string, Facts) {
	label = strings.ToLower(strings.Trim(label, " \t\r\n\"'"))
	var found Facts
	switch {
	case isUTF8(label):
		if utf8.Valid(data) {
			return string(data), 0
		}
		found.add(BadText)
		return strings.ToValidUTF8(string(data), "\ufffd"), found
	case label == "" || label == "us-ascii" || label == "ascii":
		return guessText(data, Undeclared8bit, w)
	case isWindows1252(label):
		return windows1252(data, w), 0
	case label == "utf-7" || label == "unicode-1-1-utf-7":
		return decodeUTF7(data, w)
	case len(label) > maxLabel:
		return guessText(data, UnknownCharset, w)
	}
	source := &timedReader{left: data, watch: *w}
	r, err := charset.Reader(label, source)
	if err != nil {
		return guessText(data, UnknownCharset, w)
	}
	var b strings.Builder
	b.Grow(len(data) + len(data)/2)
	if _, err := io.Copy(&b, r); err != nil {
		found.add(BadText) // as far as it went
	}
	*w = source.watch
	text := strings.ToValidUTF8(b.String(), "\ufffd")
	if strings.Contains(text, "\ufffd") {
		found.add(BadText)
	}
	return text, found
}

// timedReader reads bytes until the time is up.
type timedReader struct {
	left  []byte
	watch watch
}

func (r *timedReader) Read(p []byte) (int, error) {
	n := copy(p, r.left)
	if n == 0 || !r.watch.spend(n) {
		return 0, io.EOF
	}
	r.left = r.left[n:]
	return n, nil
}

func isUTF8(label string) bool { return label == "utf-8" || label == "utf8" }

// isWindows1252 includes ISO 8859-1, as browsers do: what calls itself that
// mostly is the other.
func isWindows1252(label string) bool {
	switch label {
	case "iso-8859-1", "iso8859-1", "latin1", "windows-1252", "cp1252":
		return true
	}
	return false
}

// isCheap says whether toUTF8 has a short way for a charset.
func isCheap(label string) bool {
	label = strings.ToLower(label)
	return isUTF8(label) || isWindows1252(label) || label == "us-ascii"
}

// guessText reads text whose charset says nothing; unless it is plain ASCII,
// fact holds.
func guessText(data []byte, fact Fact, w *watch) (string, Facts) {
	var found Facts
	ascii := asciiPrefix(data) == len(data)
	if !ascii {
		found.add(fact)
	}
	if fact == UnknownCharset {
		found.add(fact)
	}
	if ascii || utf8.Valid(data) {
		return string(data), found
	}
	return windows1252(data, w), found
}

// asciiPrefix returns how many bytes of data are ASCII before the first that is not.
func asciiPrefix(data []byte) int {
	n := 0
	for ; n+8 <= len(data); n += 8 {
		if binary.LittleEndian.Uint64(data[n:])&0x8080808080808080 != 0 {
			break
		}
	}
	for n < len(data) && data[n] < 0x80 {
		n++
	}
	return n
}

// windows1252 cannot fail: every byte has a character.
func windows1252(data []byte, w *watch) string {
	ascii := asciiPrefix(data)
	if ascii == len(data) {
		return string(data)
	}
	var b strings.Builder
	b.Grow(len(data) + (len(data)-ascii)/4)
	b.Write(data[:ascii])
	for piece := range slices.Chunk(data[ascii:], pace) {
		if !w.spend(len(piece)) {
			break
		}
		for _, c := range piece {
			b.WriteRune(charmap.Windows1252.DecodeByte(c))
		}
	}
	return b.String()
}

// decodeUTF7 reads UTF-7 (RFC 2152), which hides text from filters that do not
// know it and which some programs still show.
func decodeUTF7(data []byte, w *watch) (string, Facts) {
	var found Facts
	var b strings.Builder
	b.Grow(len(data))
	for i := 0; i < len(data) && w.spend(1); {
		c := data[i]
		i++
		if c >= 0x80 {
			found.add(BadText)
			b.WriteRune(utf8.RuneError)
			continue
		}
		if c != '+' {
			b.WriteByte(c)
			continue
		}
		if i < len(data) && data[i] == '-' { // "+-" is a plus sign
			b.WriteByte('+')
			i++
			continue
		}
		// A run of base64 without padding, holding UTF-16. It ends before the
		// first character of another kind; a minus there belongs to it.
		var bits uint32
		var n int
		var high rune
		for ; i < len(data) && sixBits[data[i]] < 64 && w.spend(1); i++ {
			bits = bits<<6 | uint32(sixBits[data[i]])
			if n += 6; n < 16 {
				continue
			}
			n -= 16
			r := rune(bits >> n & 0xffff)
			switch {
			case high != 0:
				if r = utf16.DecodeRune(high, r); r == utf8.RuneError {
					found.add(BadText)
				}
				b.WriteRune(r)
				high = 0
			case utf16.IsSurrogate(r):
				high = r
			default:
				b.WriteRune(r)
			}
		}
		if high != 0 || n >= 6 || bits&(1<<n-1) != 0 {
			found.add(BadText)
		}
		if i < len(data) && data[i] == '-' {
			i++
		}
	}
	return b.String(), found
}
