package mime

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// Encoding is a transfer encoding (RFC 2045, section 6).
type Encoding uint8

const (
	// Identity stands for 7bit, 8bit and binary, and for what nobody knows.
	Identity Encoding = iota
	// Base64 is the encoding of RFC 2045, section 6.8.
	Base64
	// QuotedPrintable is the encoding of RFC 2045, section 6.7.
	QuotedPrintable
)

// String returns the encoding's name in a message, "identity" for what is none.
func (e Encoding) String() string {
	return [...]string{"identity", "base64", "quoted-printable"}[e]
}

// encoding reads the value of a Content-Transfer-Encoding field.
func encoding(field string, found *Facts) Encoding {
	s := paramScanner{text: field}
	switch value := s.until(";"); {
	case strings.EqualFold(value, "base64"):
		return Base64
	case strings.EqualFold(value, "quoted-printable"):
		return QuotedPrintable
	case strings.EqualFold(value, "7bit"), strings.EqualFold(value, "8bit"), strings.EqualFold(value, "binary"), value == "":
	default:
		found.add(UnknownEncoding)
	}
	return Identity
}

// decodeTransfer undoes a transfer encoding and returns at most limit bytes, as many as
// there is time for. The result may be a slice of data.
func decodeTransfer(data []byte, e Encoding, limit int, w *watch) (out []byte, found Facts) {
	switch {
	case e == Identity:
		return data[:min(len(data), limit)], 0
	case w.late:
		found.add(LimitTime)
		return nil, found
	}
	switch e {
	case Base64:
		// Three bytes of every four, and never more than there are.
		out, found = decodeBase64(make([]byte, 0, min(len(data)/4*3+3, limit+3)), data, limit, w)
	case QuotedPrintable:
		out, found = decodeQuotedPrintable(make([]byte, 0, min(len(data), limit)), data, limit, w)
	}
	w.note(&found)
	return out, found
}

// sixBits is the alphabet of base64: 0 to 63, and for everything else one of
// the marks below.
var sixBits = func() (table [256]byte) {
	for i := range table {
		table[i] = junk
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		table[c] = byte(i)
	}
	for _, c := range []byte(" \t\r\n") {
		table[c] = space
	}
	table['='] = padding
	return table
}()

const (
	space   = 0x80 // stands between lines
	padding = 0x81 // ends the data
	junk    = 0x82 // does not belong
)

// decodeBase64 appends what src says to dst, at most limit bytes, and passes
// over all that is not of the alphabet, as mail programs do. Padding ends a
// group of four; what follows it is decoded as more data.
func decodeBase64(dst, src []byte, limit int, w *watch) ([]byte, Facts) {
	var found Facts
	start := len(dst)
	var bits uint32
	n := 0 // characters in bits
	padded := false
	for i, paid := 0, atOnce; i < len(src) && len(dst)-start < limit; {
		if i > paid { // not for each line
			if !w.spend(i - paid + atOnce) {
				return dst[:min(len(dst), start+limit)], found
			}
			paid = i + atOnce
		}
		if n == 0 {
			for i < len(src) && sixBits[src[i]] == space {
				i++
			}
			from := i
			dst, i = appendGroups(dst, src, i, min(limit-(len(dst)-start), pace))
			if padded && i > from {
				found.add(DataAfterPadding)
			}
			if i == len(src) || len(dst)-start >= limit {
				break
			}
		}
		switch v := sixBits[src[i]]; v {
		case space:
		case junk:
			found.add(BadBase64)
		case padding:
			if n == 1 {
				found.add(BadBase64)
			}
			dst = appendBits(dst, bits, n)
			bits, n, padded = 0, 0, true
		default:
			if padded {
				found.add(DataAfterPadding)
			}
			bits = bits<<6 | uint32(v)
			if n++; n == 4 {
				dst = append(dst, byte(bits>>16), byte(bits>>8), byte(bits))
				bits, n = 0, 0
			}
		}
		i++
	}
	if n > 0 {
		if len(dst)-start < limit {
			found.add(BadBase64) // cut off
		}
		dst = appendBits(dst, bits, n)
	}
	return dst[:min(len(dst), start+limit)], found
}

// atOnce is how many bytes are decoded before their time is counted.
const atOnce = 4 << 10

// appendGroups is the straight way: it appends whole groups of four characters of
// src[from:], until there is anything else between them or room bytes are full, and says
// how far it came. The last group may be more than there is room for.
func appendGroups(dst, src []byte, from, room int) (_ []byte, next int) {
	groups := min((len(src)-from)/4, (room+2)/3)
	dst = slices.Grow(dst, 3*groups)
	in, out := src[from:from+4*groups], dst[len(dst):len(dst)+3*groups]
	n := 0
	for ; len(in) >= 8 && len(out) >= 8; n += 2 { // two at once
		a, b, c, d := sixBits[in[0]], sixBits[in[1]], sixBits[in[2]], sixBits[in[3]]
		e, f, g, h := sixBits[in[4]], sixBits[in[5]], sixBits[in[6]], sixBits[in[7]]
		if (a|b|c|d|e|f|g|h)&0x80 != 0 {
			break
		}
		six := uint64(a)<<58 | uint64(b)<<52 | uint64(c)<<46 | uint64(d)<<40 | uint64(e)<<34 | uint64(f)<<28 | uint64(g)<<22 | uint64(h)<<16
		binary.BigEndian.PutUint64(out, six) // six bytes, and two that the next ones take
		in, out = in[8:], out[6:]
	}
	for ; len(in) >= 4 && len(out) >= 3; n++ {
		a, b, c, d := sixBits[in[0]], sixBits[in[1]], sixBits[in[2]], sixBits[in[3]]
		if (a|b|c|d)&0x80 != 0 {
			break
		}
		out[0], out[1], out[2] = a<<2|b>>4, b<<4|c>>2, c<<6|d
		in, out = in[4:], out[3:]
	}
	return dst[:len(dst)+3*n], from + 4*n
}

// appendBits appends the whole bytes in a group of n characters.
func appendBits(dst []byte, bits uint32, n int) []byte {
	switch n {
	case 2:
		return append(dst, byte(bits>>4))
	case 3:
		return append(dst, byte(bits>>10), byte(bits>>2))
	}
	return dst
}

// hex is the value of a hexadecimal digit, and 16 or more for what is none.
var hex = func() (table [256]byte) {
	for i := range table {
		table[i] = 16
	}
	for i, c := range []byte("0123456789ABCDEF") {
		table[c] = byte(i)
	}
	for i, c := range []byte("abcdef") {
		table[c] = byte(10 + i)
	}
	return table
}()

// decodeQuotedPrintable appends what src says to dst, at most limit bytes. An
// equals sign that begins no escape stands for itself.
func decodeQuotedPrintable(dst, src []byte, limit int, w *watch) ([]byte, Facts) {
	var found Facts
	start := len(dst)
	escapes, done := 0, 0
	for len(src) > 0 && len(dst)-start < limit && !w.late {
		line, lineBreak := src, []byte(nil)
		if end := bytes.IndexByte(src, '\n'); end >= 0 {
			if line, lineBreak = src[:end], src[end:end+1]; end > 0 && src[end-1] == '\r' {
				line, lineBreak = src[:end-1], src[end-1:end+1]
			}
		}
		src = src[len(line)+len(lineBreak):]
		if done += len(line) + len(lineBreak); done > atOnce {
			w.spend(done)
			done = 0
		}
		// RFC 2045, section 6.7, rule 3: white space at the end of a line was
		// added on the way.
		line = bytes.TrimRight(line, " \t")
		if n := len(line); n > 0 && line[n-1] == '=' {
			line, lineBreak = line[:n-1], nil
		}
		for {
			i := bytes.IndexByte(line, '=')
			if i < 0 {
				break
			}
			if escapes++; escapes%pace == 0 && !w.spend(pace) {
				return dst[:min(len(dst), start+limit)], found
			}
			dst = append(dst, line[:i]...)
			if i+2 < len(line) && hex[line[i+1]] < 16 && hex[line[i+2]] < 16 {
				dst = append(dst, hex[line[i+1]]<<4|hex[line[i+2]])
				line = line[i+3:]
				continue
			}
			found.add(BadQuotedPrintable)
			dst = append(dst, '=')
			line = line[i+1:]
		}
		dst = append(dst, line...)
		dst = append(dst, lineBreak...)
	}
	return dst[:min(len(dst), start+limit)], found
}
