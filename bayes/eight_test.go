package bayes

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// The bytes of a number and one beside them are told apart as they are one by one, whatever
// stands around them.
func TestEight(t *testing.T) {
	for around := range 256 {
		for c := range 256 {
			s := strings.Repeat(string([]byte{byte(around), byte(c)}), 5)
			x := eight(s, 1)
			ascii := x &^ tops
			for n := range 8 {
				b := s[1+n]
				capital, small := 'A' <= b && b <= 'Z', 'a' <= b && b <= 'z'
				top := func(x uint64) bool { return x>>(8*n+7)&1 != 0 }
				if byte(x>>(8*n)) != b || top(plain(x)) != (capital || small || '0' <= b && b <= '9') ||
					b < utf8.RuneSelf && (top(between(ascii, 'A', 'Z')) != capital || top(between(ascii, 'a', 'z')) != small) {
					t.Fatalf("byte %d of %q", n, s)
				}
			}
		}
	}
	for n := range 9 {
		s := "12345678"[:n]
		want := eight(s+"\x00\x00\x00\x00\x00\x00\x00\x00", 0)
		if got := eight("x"+s, 1); got != want || n > 0 && first(eight("12345678", 0), n) != want {
			t.Errorf("%q: %x, want %x", s, got, want)
		}
	}
}

// plainWords is words a letter at a time, for a text without dense scripts.
func plainWords(s string) (found []string) {
	for i := 0; i < len(s); {
		kind, size := kindAt(s, i)
		from := i
		i += size
		switch kind {
		case letter:
			for {
				next, size := kindAt(s, i)
				if next != letter && i < len(s) && characters[s[i]].inside {
					if next, size = kindAt(s, i+1); next == letter {
						size++
					}
				}
				if next != letter {
					break
				}
				i += size
			}
			found = append(found, s[from:i])
		case shout:
			for i < len(s) && s[i] == s[from] {
				i++
			}
			found = append(found, s[from:min(i, from+4)])
		}
	}
	return found
}

// Eight letters at a time words are what they are letter by letter, and so are their
// hashes.
func FuzzWords(f *testing.F) {
	for _, text := range []string{"Don't miss it, Joe. Only $12.50!!!!!! WOW", "joe@example.org, v1-a_b ", "über Straße 50% ÄÖÜ", "\xff\xfea\xff",
		"http-equiv-and-much-more-of-that FREE12345678 12345678abcdefgh x", strings.Repeat("x", 24) + " " + strings.Repeat("Y", 25), "a\x00b", "1.2..3-", "abcdefg\xc3"} {
		f.Add("text", text)
	}
	f.Fuzz(func(t *testing.T, kind, text string) {
		o := testSecret.open(kind)
		var found []string
		dense := false
		for from, to := range words(text) {
			w := text[from:to]
			found = append(found, w)
			first, _ := kindAt(text, from)
			dense = dense || first != letter && first != shout
			folded, loud := appendFolded(append([]byte(kind), 0), w)
			want := testSecret.hash(folded)
			if id, l, ok := o.word(text, from, to); ok && (id != want || l != loud) {
				t.Errorf("%q: %x %t, want %x %t", w, id, l, want, loud)
			} else if ok != (len(w) <= longest && strings.IndexFunc(w, func(r rune) bool { return r >= utf8.RuneSelf }) < 0) {
				t.Errorf("%q: ok %t", w, ok)
			}
			if id, l, ok := o.word(w, 0, len(w)); ok && (id != want || l != loud) {
				t.Errorf("%q alone: %x %t, want %x %t", w, id, l, want, loud)
			}
		}
		if want := plainWords(text); !dense && strings.Join(found, "\n") != strings.Join(want, "\n") {
			t.Errorf("%q: %q, want %q", text, found, want)
		}
	})
}
