package dkim

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"milterd/message"
)

// AppendHeader appends one header field in canonical form, with CRLF at its end
// (RFC 6376, section 3.4.1 and 3.4.2), and returns the extended buffer.
//
// A field has its line ends as they were received: CRLF, or the LF that a milter
// gets, which stands for CRLF.
func AppendHeader(dst []byte, c Canonicalization, f *message.Field) []byte {
	return append(appendHeader(dst, c, f.Name, f.Value), '\r', '\n')
}

// appendHeader is AppendHeader without the last CRLF.
func appendHeader(dst []byte, c Canonicalization, name, value string) []byte {
	if c == Relaxed {
		// Section 3.4.2: name in lower case, no white space around the colon,
		// folds undone, every run of white space one space, none at the end.
		for name != "" && isBlank(name[len(name)-1]) {
			name = name[:len(name)-1]
		}
		dst = append(appendLower(dst, name), ':')
		return appendRelaxed(dst, value)
	}
	// Section 3.4.1: no change at all.
	dst = append(append(dst, name...), ':')
	start := 0
	for i := range len(value) {
		if value[i] == '\n' && (i == 0 || value[i-1] != '\r') {
			dst = append(append(dst, value[start:i]...), '\r')
			start = i
		}
	}
	return append(dst, value[start:]...)
}

func appendRelaxed(dst []byte, value string) []byte {
	start, blank := len(dst), false
	for i := range len(value) {
		switch c := value[i]; {
		case isBlank(c):
			blank = true
		case c == '\n', c == '\r' && i+1 < len(value) && value[i+1] == '\n':
		default:
			if blank && len(dst) > start {
				dst = append(dst, ' ')
			}
			blank = false
			dst = append(dst, c)
		}
	}
	return dst
}

// A bodyCanonicalizer brings a body that arrives in pieces into canonical form
// (RFC 6376, sections 3.4.3 and 3.4.4) and hands it to a bodyHash.
//
// A line ends with CRLF or with a bare LF, which stands for CRLF; a CR that no LF
// follows is an ordinary character. Line ends are held back, as a number, until
// something follows them, because empty lines at the end of a body do not count;
// with relaxed the same is true of white space at the end of a line. So whatever
// the body, and wherever it is cut, each byte is looked at a fixed number of
// times.
type bodyCanonicalizer struct {
	relaxed bool
	out     *bodyHash

	breaks  int64 // line ends held back
	blank   bool  // relaxed: white space held back, later than the line ends
	cr      bool  // the last piece ended in a CR
	content bool  // something has been handed on
}

// write takes the next piece of the body.
func (b *bodyCanonicalizer) write(p []byte) {
	if b.cr && len(p) > 0 {
		b.cr = false
		if p[0] == '\n' {
			b.endLine()
			p = p[1:]
		} else {
			b.emit(crlf[:1])
		}
	}
	for len(p) > 0 {
		switch c := p[0]; {
		case b.relaxed && isBlank(c):
			b.blank = true
			p = p[1:]
			continue
		case c == '\n':
			b.endLine()
			p = p[1:]
			continue
		case c == '\r' && len(p) == 1:
			b.cr = true
			return
		case c == '\r' && p[1] == '\n':
			b.endLine()
			p = p[2:]
			continue
		}
		n := 0
		if b.relaxed {
			n = relaxedRun(p)
		} else {
			n = simpleRun(p)
		}
		b.emit(p[:n])
		p = p[n:]
	}
}

func (b *bodyCanonicalizer) endLine() {
	b.breaks++
	b.blank = false
}

// emit hands on what was held back, and p, which does not begin or end with
// anything that would be.
func (b *bodyCanonicalizer) emit(p []byte) {
	for b.breaks > 0 {
		n := min(b.breaks, int64(len(crlf)/2))
		b.out.write(crlf[:2*n])
		b.breaks -= n
	}
	if b.blank {
		b.out.write(space)
		b.blank = false
	}
	b.out.write(p)
	b.content = true
}

// close ends the body.
func (b *bodyCanonicalizer) close() {
	if b.cr {
		b.cr = false
		b.emit(crlf[:1])
	}
	// Section 3.4.3: a body that does not end with CRLF gets one, and an empty
	// one as well. Section 3.4.4: an empty one stays empty.
	if b.content || !b.relaxed {
		b.out.write(crlf[:2])
	}
	b.out.close()
}

var (
	crlf  = bytes.Repeat([]byte("\r\n"), 256) // read only
	space = []byte(" ")                       // read only
)

// simpleRun returns the length of the longest beginning of p that is its own
// canonical form and does not end in what would be held back. p begins with an
// ordinary character.
func simpleRun(p []byte) int {
	n := len(p)
	for from := 0; ; {
		i := bytes.IndexByte(p[from:], '\n')
		if i < 0 {
			break
		}
		if p[from+i-1] != '\r' {
			n = from + i
			break
		}
		from += i + 1
	}
	if n == len(p) && p[n-1] == '\r' {
		n--
	}
	for p[n-1] == '\n' {
		n -= len("\r\n")
	}
	return n
}

// relaxedRun is simpleRun for relaxed: it also stops before white space that is
// more than one space between two characters.
func relaxedRun(p []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 1
	for i < len(p) {
		// Eight bytes at a time, up to the first one that is not above ' ': the
		// lowest high bit of the sum below is that of the first such byte.
		if i+8 <= len(p) {
			w := binary.LittleEndian.Uint64(p[i:])
			low := (w - ones*('!')) &^ w & highs
			if low == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(low) / 8
		}
		switch c := p[i]; {
		case c == ' ' && i+1 < len(p) && !isSpace(p[i+1]):
			i += 2
		case c == '\r' && i+2 < len(p) && p[i+1] == '\n' && !isSpace(p[i+2]):
			i += 3
		case c == '\r' && i+1 < len(p) && p[i+1] != '\n':
			i++
		case isSpace(c):
			return i
		default:
			i++
		}
	}
	return i
}
