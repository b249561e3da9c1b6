package content

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"milterd/checks"
)

func TestExcerpt(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"plain":                 `"plain"`,
		"\x00\xff\u200b€":       `"\x00\xff\u200b€"`,
		"\ufffd":                "\"\ufffd\"",
		strings.Repeat("x", 78): `"` + strings.Repeat("x", 78) + `"`,
		strings.Repeat("x", 79): `"` + strings.Repeat("x", 75) + `..."`,
		strings.Repeat("€", 40): `"` + strings.Repeat("€", 25) + `..."`,
	} {
		if got := excerpt(text); got != want {
			t.Errorf("%q gives %s, want %s", text, got, want)
		}
	}
}

// What is shown is one printable line, bounded, whatever the text.
func FuzzExcerpt(f *testing.F) {
	f.Add("\x1b[31m\r\nX-Spam: no\x00\u202e")
	f.Add(strings.Repeat("\xff", 100))
	f.Add(strings.Repeat("\U0001f600", 30))
	f.Fuzz(func(t *testing.T, text string) {
		got := excerpt(text)
		if len(got) > maxExcerpt || !utf8.ValidString(got) {
			t.Fatalf("%q gives %d bytes: %q", text, len(got), got)
		}
		for _, r := range got {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= '\u202a' && r <= '\u202e' || r == '\u2028' {
				t.Fatalf("%q gives %q", text, got)
			}
		}
		if (text == "") != (got == "") {
			t.Fatalf("%q gives %q", text, got)
		}
	})
}

// Whatever the message: findings are declared and stand once, what they show is
// short, and the same message gives the same findings.
func FuzzRun(f *testing.F) {
	f.Add("Subject: =?utf-8?B?4oKs?=\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nnext of kin\n--b--")
	f.Add("Content-Type: text/html; charset=utf-7\n\n<p>+ADw-b+AD4- " + strings.Repeat("<div>", 500))
	f.Add("Content-Type: multipart/mixed; boundary=\"\"\n\n----\n" + strings.Repeat("((((", 100))
	f.Add("Content-Transfer-Encoding: base64\n\n" + strings.Repeat("=", 300))
	f.Add("From: a@b\nFrom: =?x?y?z?=\n\nstrictly confidential million dollars barrister your bank account \xff\xc5\xbf\xe2\x84")
	set := shippedSet(f)
	c := newCheckWith(f, set, checks.Limits{TextBytes: 4096, MIMEParts: 20, MIMEDepth: 5}, func() time.Time { return time.Time{} })
	declared := map[string]bool{}
	for _, spec := range Spec(set).Findings {
		declared[spec.Name] = true
	}
	f.Fuzz(func(t *testing.T, text string) {
		first := run(t, c, parse(t, []byte(text)))
		if second := run(t, c, parse(t, []byte(text))); !slices.Equal(first, second) {
			t.Fatalf("%q, then %q", first, second)
		}
		seen := map[string]bool{}
		for _, finding := range first {
			name, detail, _ := strings.Cut(finding, " ")
			if !declared[name] || seen[name] || len(detail) > maxExcerpt {
				t.Fatalf("%q of %q", finding, first)
			}
			seen[name] = true
		}
	})
}

// Texts made to be slow are not: each of a megabyte.
func BenchmarkHostile(b *testing.B) {
	c := newCheckWith(b, shippedSet(b), checks.Limits{RuleTime: time.Hour, RulesTime: time.Hour}, time.Now)
	for name, unit := range map[string]string{
		"letters": "a", "parentheses": "(", "literal": "million ", "nearly": "next of ki", "digits": "$1,000,000.", "words": "your full late ", "tags": "<b>", "spaces": " \n",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				m := newMessage(b, nil, []byte(strings.Repeat(unit, 1<<20/len(unit))))
				b.StartTimer()
				if _, err := c.Run(b.Context(), &checks.Input{Message: m}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
