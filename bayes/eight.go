package bayes

import "encoding/binary"

// Text is read eight bytes at a time, in one number, the first byte lowest. A word of the
// language is seldom longer, so most words take one step where they took one for
// each letter.

const (
	each = 0x0101010101010101 // times a byte: that byte eight times
	tops = 0x80 * each        // the top bits, which no ASCII has
)

// eight returns eight bytes of s from i on, zeros where it ends.
func eight(s string, i int) uint64 {
	if len(s)-i < 8 {
		return end(s, i)
	}
	return binary.LittleEndian.Uint64([]byte(s[i : i+8]))
}

func end(s string, i int) (x uint64) {
	for n := len(s) - 1; n >= i; n-- {
		x = x<<8 | uint64(s[n])
	}
	return x
}

// first keeps the first n bytes of x, of 1 to 8.
func first(x uint64, n int) uint64 { return x & (^uint64(0) >> (64 - 8*n)) }

// between returns the top bits of the bytes of x, which must be ASCII, from lo to hi.
func between(x uint64, lo, hi uint64) uint64 {
	return (x + (0x80-lo)*each) &^ (x + (0x7f-hi)*each) & tops
}

// plain returns the top bits of the bytes of x that are letters or digits in ASCII.
func plain(x uint64) uint64 {
	ascii := x &^ tops
	return (between(ascii|0x20*each, 'a', 'z') | between(ascii, '0', '9')) &^ x
}
