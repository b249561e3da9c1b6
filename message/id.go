package message

import (
	"encoding/binary"
	"io"
)

const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz" // no i l o u: ids are read out on the phone

// NewID returns a transaction id: twelve letters and digits, 60 random bits.
// random must never fail; crypto/rand.Reader does not.
func NewID(random io.Reader) string {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		panic("message: no randomness: " + err.Error())
	}
	n := binary.BigEndian.Uint64(b[:])
	var id [12]byte
	for i := range id {
		id[i] = idAlphabet[n&31]
		n >>= 5
	}
	return string(id[:])
}

// ValidID reports whether s has the form of a transaction id.
func ValidID(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
