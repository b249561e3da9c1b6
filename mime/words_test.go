package mime_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"milterd/mime"
)

func TestDecodeWords(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain", "hello world", "hello world"},
		{"folded", "hello\r\n world", "hello world"},
		{"Q", "=?utf-8?q?Gr=C3=BC=c3=9fe_an_alle?=", "Grüße an alle"},
		{"B", "=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"},
		{"B without padding", "=?utf-8?b?R3LDvMOfZQ?=", "Grüße"},
		{"Latin 1", "=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard"},
		{"language", "=?us-ascii*en?q?hello?=", "hello"},
		{"other charset", "=?koi8-r?B?8PLp9+X0?=", "ПРИВЕТ"},
		{"unknown charset", "=?x-nobody?q?=FC?=", "ü"},

		// RFC 2047, section 8.
		{"RFC 2047, one", "(=?ISO-8859-1?Q?a?=)", "(a)"},
		{"RFC 2047, one and text", "(=?ISO-8859-1?Q?a?= b)", "(a b)"},
		{"RFC 2047, two", "(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"RFC 2047, two far apart", "(=?ISO-8859-1?Q?a?=    \r\n     =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"RFC 2047, inner space", "(=?ISO-8859-1?Q?a_b?=)", "(a b)"},
		{"RFC 2047, two charsets", "(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"},

		{"character split by words", "=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"},
		{"character split by encodings", "=?utf-8?q?=C3?= =?UTF-8?b?vA==?=", "ü"},
		{"no space between", "a=?utf-8?q?b?==?utf-8?q?c?=d", "abcd"},
		{"spaces inside", "=?utf-8?q?a b?=", "a b"},
		{"very long", "=?utf-8?q?" + strings.Repeat("x", 5000) + "?=", strings.Repeat("x", 5000)},
		{"empty", "a =?utf-8?q??= b", "a  b"},
		{"equals sign at the end", "=?utf-8?q?a=3D?=", "a="},
		{"bad escape", "=?utf-8?q?a=zz=?=", "a=zz="},
		{"bad UTF-8", "=?utf-8?q?=FC?=", "\ufffd"},

		{"no end", "=?utf-8?q?a", "=?utf-8?q?a"},
		{"no text", "=?utf-8?q", "=?utf-8?q"},
		{"no encoding", "=?utf-8?x?a?=", "=?utf-8?x?a?="},
		{"no charset", "=??q?a?=", "=??q?a?="},
		{"a start in front", "=?=?utf-8?q?a?=", "=?a"},
		{"far apart", "is 1=?2 or 3?=4", "is 1=?2 or 3?=4"},
		{"raw UTF-8", "Grüße", "Grüße"},
		{"raw Latin 1", "Gr\xfc\xdfe =?utf-8?q?=C3=BC?= \xfc", "Grüße ü ü"},
		{"decoded once", "=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?=", "=?utf-8?q?a?="},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := mime.DecodeWords(test.text); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// wordBombs are made for decoders that begin again at every "=?".
var wordBombs = []string{"=?", "=?a?q?", "=?utf-8?q?", "=?utf-8?q?a?=", "=?big5?q?a?= x ", "=?iso-2022-jp?b?GyRC?= ", "=?a?q?=?", "?=", "=?utf-8?b?=", "\xff=?"}

func TestDecodeWordsIsBounded(t *testing.T) {
	for _, bomb := range wordBombs {
		if got := mime.DecodeWords(strings.Repeat(bomb, 1<<20/len(bomb))); len(got) > 3*64<<10 {
			t.Errorf("%q repeated: %d bytes", bomb, len(got))
		}
	}
}

func FuzzDecodeWords(f *testing.F) {
	for _, bomb := range wordBombs {
		f.Add(strings.Repeat(bomb, 20))
	}
	f.Add("(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=) Gr\xfc\xdfe =?utf-7?q?+ADw-?=")
	f.Add("=?utf-8?q?=C3?=\r\n =?UTF-8*de?b?vA==?=")
	f.Add("=\r\r?8?b?=DDED\r\r-8?b?=")
	f.Fuzz(func(t *testing.T, text string) {
		got := mime.DecodeWords(text)
		if !utf8.ValidString(got) {
			t.Fatalf("%q became %q", text, got)
		}
		if len(got) > 3*len(text) {
			t.Fatalf("%q grew to %q", text, got)
		}
		unfolded := strings.NewReplacer("\r", "", "\n", "").Replace(text) // which may make a word
		if !strings.Contains(unfolded, "=?") && utf8.ValidString(text) && got != unfolded {
			t.Fatalf("%q without words became %q", text, got)
		}
		// Text in front that is no word changes nothing after it.
		if !strings.Contains(got, "\n") && len(text) > 0 && len(text) < 1000 {
			if with := mime.DecodeWords("x " + text); with != "x "+got {
				t.Fatalf("%q became %q, after an x %q", text, got, with)
			}
		}
	})
}
