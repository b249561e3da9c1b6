package bayes

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// secret keys every hash that goes into the store. It lies in the store itself,
// so that all who share the store agree: it keeps strangers from building words that
// collide, and readers of a copy from reading letters. Who has the whole store can
// still ask it for a word that he guesses.
type secret struct {
	k0, k1 uint64
	mac    [secretSize]byte
}

const secretSize = 16

func newSecret(b [secretSize]byte) *secret {
	return &secret{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:]), b}
}

// scope is whose numbers they are: 0 for the site, else a hash of the user's name.
type scope uint64

func (s *secret) scope(user string) scope {
	if user == "" {
		return 0
	}
	return scope(max(s.hash([]byte("user\x00"+user)), 1))
}

// digest returns the name of a message in the records of what was taught.
func (s *secret) digest(sum [sha256.Size]byte) digest {
	h := hmac.New(sha256.New, s.mac[:])
	h.Write(sum[:])
	return digest(h.Sum(nil))
}

// hash is SipHash-1-3 (Aumasson and Bernstein, 2012): fast on short input, and who
// does not know the key cannot make two words collide.
func (s *secret) hash(p []byte) uint64 {
	v0, v1 := s.k0^0x736f6d6570736575, s.k1^0x646f72616e646f6d
	v2, v3 := s.k0^0x6c7967656e657261, s.k1^0x7465646279746573
	last := uint64(len(p)) << 56
	for len(p) >= 8 {
		m := binary.LittleEndian.Uint64(p)
		v3 ^= m
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0 ^= m
		p = p[8:]
	}
	for i, b := range p {
		last |= uint64(b) << (8 * i)
	}
	v3 ^= last
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0 ^= last
	v2 ^= 0xff
	for range 3 {
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

func sipRound(v0, v1, v2, v3 uint64) (_, _, _, _ uint64) {
	v0 += v1
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v0 = bits.RotateLeft64(v0, 32)
	v2 += v3
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 += v3
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v2 += v1
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v2 = bits.RotateLeft64(v2, 32)
	return v0, v1, v2, v3
}
