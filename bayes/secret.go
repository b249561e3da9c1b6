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
	v0, v1, v2, v3 := s.start()
	n := len(p)
	for ; len(p) >= 8; p = p[8:] {
		m := binary.LittleEndian.Uint64(p)
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3^m)
		v0 ^= m
	}
	var rest uint64
	for i, b := range p {
		rest |= uint64(b) << (8 * i)
	}
	return sipEnd(v0, v1, v2, v3, rest, n)
}

func (s *secret) start() (v0, v1, v2, v3 uint64) {
	return s.k0 ^ 0x736f6d6570736575, s.k1 ^ 0x646f72616e646f6d, s.k0 ^ 0x6c7967656e657261, s.k1 ^ 0x7465646279746573
}

// opening is a hash of which n bytes are known: those of a kind of tokens, and a zero.
type opening struct {
	v0, v1, v2, v3 uint64
	rest           uint64 // bytes that make no full eight yet
	n              int
}

func (s *secret) open(kind string) opening {
	v0, v1, v2, v3 := s.start()
	i := 0
	for ; len(kind)+1-i >= 8; i += 8 {
		m := eight(kind, i)
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3^m)
		v0 ^= m
	}
	return opening{v0, v1, v2, v3, eight(kind, i), len(kind) + 1}
}

// word hashes the word s[from:to] behind o, as appendFolded writes it. ok is false for
// one that is long, or has more than ASCII.
func (o *opening) word(s string, from, to int) (id uint64, loud, ok bool) {
	if to-from > longest {
		return 0, false, false
	}
	v0, v1, v2, v3, rest, there := o.v0, o.v1, o.v2, o.v3, o.rest, o.n%8
	var upper, lower uint64
	for i := from; i < to; i += 8 {
		n := min(to-i, 8)
		x := first(eight(s, i), n)
		if x&tops != 0 {
			return 0, false, false
		}
		capitals := between(x, 'A', 'Z')
		upper |= capitals
		lower |= between(x, 'a', 'z')
		x |= capitals >> 2 // which is what 'a' has more than 'A'
		if rest |= x << (8 * there); there+n >= 8 {
			v0, v1, v2, v3 = sipRound(v0, v1, v2, v3^rest)
			v0 ^= rest
			rest = x >> (64 - 8*there)
		}
		there = (there + n) % 8
	}
	return sipEnd(v0, v1, v2, v3, rest, o.n+to-from), upper != 0 && lower == 0 && to-from > 2, true
}

// sipEnd takes the last bytes up, less than eight of n in all, and returns the hash.
func sipEnd(v0, v1, v2, v3, rest uint64, n int) uint64 {
	rest |= uint64(n) << 56
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3^rest)
	v0, v1, v2, v3 = sipRound(v0^rest, v1, v2^0xff, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
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
