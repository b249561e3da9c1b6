package match

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNormalise(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"plain", "Your Invoice", "your invoice"},
		{"Cyrillic and Greek", "Раураl асcοunt", "paypal account"},
		{"mathematical, fullwidth, circled", "𝐕𝐢𝐚𝐠𝐫𝐚 ｌｏａｎ ⓕⓡⓔⓔ", "viagra loan free"},
		{"small capitals, squared, flags", "ᴡɪɴɴᴇʀ 🅲🅰🆂🅷 🇼🇮🇳", "winner cash win"},
		{"accents", "Vïágrà Crédit ŁÓDŹ", "viagra credit lodz"},
		{"nothing to see", "in\u200bvo\u00adi\u2060c\ufe0fe\ufeff", "invoice"},
		{"white space", "\u00a0 pay\t\n now\u2003\u3000", "pay now"},
		{"spaced", "v i a g r a and V.I.A.G.R.A or f-r-e-e", "viagra and viagra or free"},
		{"spaced with stars", "*f*r*e*e*", "*free*"},
		{"not spaced", "a b c, U.S.A, plan b c to d, i.e. x.y.zoo", "a b c, u.s.a, plan b c to d, i.e. x.y.zoo"},
		{"quotes and dashes", "“you’ve won” – now…", `"you've won" - now...`},
		{"other letters stay", "добрый 日本", "дoбpыи 日本"},
		{"broken", "a\xffb", "a\ufffdb"},
		{"control", "a\x00b\x1bc", "abc"},
		{"nothing", " \u200b ", ""},
		{"digits stay", "v1agra l0an", "v1agra l0an"},
	} {
		if got := Normalise(c.text, false); got != c.want {
			t.Errorf("%s: %q gives %q, want %q", c.name, c.text, got, c.want)
		}
	}
	for text, want := range map[string]string{
		"v1agra l0an ca$h": "viagra loan cash", "b00k": "book", "covid19 a000b 4you": "covid19 a000b 4you", "alice@example": "alice@example", "": "",
	} {
		if got := Normalise(text, true); got != want {
			t.Errorf("leet: %q gives %q, want %q", text, got, want)
		}
	}
}

// Eight characters at once become what they become one by one.
func FuzzPlainASCII(f *testing.F) {
	f.Add("x", "Your  invoice 12 is\tready,\r\n Please \x7f pay.")
	f.Add(" ", " @AZ[`az{ ~~~~ \x1f\x20!")
	f.Add("", "12345678 2345678  345678 é")
	f.Fuzz(func(t *testing.T, before, text string) {
		want, size := []byte(before), 0
		for size < len(text) && text[size] < utf8.RuneSelf {
			want = appendASCII(want, text[size])
			size++
		}
		if got, n := appendPlainASCII([]byte(before), text); string(got) != string(want) || n != size {
			t.Fatalf("%q after %q gives %q, %d bytes, want %q, %d", text, before, got, n, want, size)
		}
	})
}

// What is normalised stays so, is UTF-8, is small, and has single blanks.
func FuzzNormalise(f *testing.F) {
	f.Add("v i a g r a.b.c.d", false)
	f.Add("İ\u0130ſK\u212a ǅ Ω ᾳ ﷺ", true)
	f.Add("a b c d.e.f.g.h i", false)
	f.Add("x0y0z1 1a\u0301\u00ad \xff", true)
	f.Fuzz(func(t *testing.T, text string, leet bool) {
		once := Normalise(text, leet)
		if twice := Normalise(once, leet); twice != once {
			t.Fatalf("%q gives %q, again %q", text, once, twice)
		}
		if !utf8.ValidString(once) || strings.Contains(once, "  ") || strings.TrimSpace(once) != once || strings.ContainsAny(once, "ABCDEFGHIJKLMNOPQRSTUVWXYZ\t\n\r\x00") {
			t.Fatalf("%q gives %q", text, once)
		}
		if len(once) > 36*len(text) { // U+FDFA is eighteen letters
			t.Fatalf("%d bytes give %d", len(text), len(once))
		}
	})
}

func BenchmarkNormalise(b *testing.B) {
	texts := map[string]string{
		"ASCII":    strings.Repeat("Your invoice 12 is ready, Please pay.\n", 130),
		"accents":  strings.Repeat("Votre facture est prête, à régler\n", 130),
		"Cyrillic": strings.Repeat("Ваш счёт готов к оплате\n", 110),
	}
	for name, text := range texts {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				Normalise(text, true)
			}
		})
	}
}
