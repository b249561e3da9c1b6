package message

import (
	"strings"
	"testing"
)

func TestSafeText(t *testing.T) {
	for _, c := range []struct {
		name, in string
		limit    int
		want     string
	}{
		{"plain", "hello, world", 100, "hello, world"},
		{"empty", "", 100, ""},
		{"line breaks", "a\r\nBcc: b", 100, "a??Bcc: b"},
		{"NUL, escape, tab, delete", "a\x00\x1b[2J\t\x7f", 100, "a??[2J??"},
		{"one mark a character", "Grüße", 100, "Gr??e"},
		{"bidi override", "a\u202eb", 100, "a?b"},
		{"line separator", "a\u2028b", 100, "a?b"},
		{"not UTF-8", "a\xff\xfeb", 100, "a??b"},
		{"cut", "abcdef", 3, "abc"},
		{"cut in a character", "aé", 2, "a?"},
		{"at the limit", "abc", 3, "abc"},
		{"nothing left", "abc", 0, ""},
	} {
		if got := SafeText(c.in, c.limit); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Whatever comes in, what goes out is printable ASCII, one line and short
// enough, and harmless text is left alone.
func FuzzSafeText(f *testing.F) {
	f.Add("a\r\nX-Spam: no", 80)
	f.Add("\xc3", 1)
	f.Add(strings.Repeat("é", 100), 7)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit &= 1023
		got := SafeText(s, limit)
		if len(got) > limit {
			t.Fatalf("%d bytes of at most %d", len(got), limit)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q is not printable ASCII", got)
		}
		if again := SafeText(got, limit); again != got {
			t.Fatalf("%q becomes %q when made safe again", got, again)
		}
	})
}
