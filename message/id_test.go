package message

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	letters := map[rune]bool{}
	for range 2000 {
		id := NewID(rand.Reader)
		if len(id) != 12 || !ValidID(id) || seen[id] {
			t.Fatalf("%q: not twelve letters and digits, or not the first of its kind", id)
		}
		seen[id] = true
		for _, c := range id {
			letters[c] = true
		}
	}
	if len(letters) != len(idAlphabet) {
		t.Errorf("24,000 characters, and of %d letters and digits only %d came up", len(idAlphabet), len(letters))
	}
	for _, c := range "ilou" { // 1, 0 and v on the phone
		if letters[c] {
			t.Errorf("%c in an id", c)
		}
	}
}

// All 60 bits matter: ids are as hard to guess as they look.
func TestNewIDUsesItsRandomness(t *testing.T) {
	zero := NewID(bytes.NewReader(make([]byte, 8)))
	for bit := range 60 {
		var b [8]byte
		b[7-bit/8] = 1 << (bit % 8)
		if NewID(bytes.NewReader(b[:])) == zero {
			t.Errorf("bit %d changes nothing", bit)
		}
	}
}

func TestNewIDWithoutRandomness(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an id was made of nothing")
		}
	}()
	NewID(iotest.ErrReader(errors.New("no entropy")))
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"k7q2m9zt4w1c": true, "000000000000": true,
		"": false, "k7q2m9zt4w1": false, "k7q2m9zt4w1cc": false,
		"K7Q2M9ZT4W1C": false, "k7q2m9zt4w1 ": false, "k7q2m9zt4w1\n": false, "k7q2m9zt4w-c": false,
		"k7q2m9zt4wé": false, strings.Repeat("\x00", 12): false,
	} {
		if ValidID(id) != want {
			t.Errorf("ValidID(%q) is %v", id, !want)
		}
	}
}
