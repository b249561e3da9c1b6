package match

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Normalise gives a text as its reader takes it, however it was disguised, so
// that an expression need not list the disguises. It is for words in Latin
// letters:
//
//   - letters are small, without accents; those of other scripts and shapes that
//     look like Latin ones (Cyrillic а, Greek ο, mathematical 𝐚, fullwidth ａ, ⓐ) are
//     those;
//   - characters that do not show are gone: zero-width ones, soft hyphens,
//     variation selectors;
//   - white space of all kinds is one blank, none of it at the ends; dashes and
//     quotes are those of ASCII;
//   - spaced words (v i a g r a, V.I.A.G.R.A, f-r-e-e) are in one piece: four single
//     letters or more with the same one of blank . - _ * between them;
//   - with leet, digits and $ between two letters are the letters they stand for:
//     0o 1i 3e 4a 5s 7t $s.
//
// What is normalised already stays as it is.
func Normalise(text string, leet bool) string {
	b := make([]byte, 0, len(text))
	common := commonPlain()
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			switch p := plainASCII[c]; {
			case p > ' ':
				b = append(b, p)
			case p == ' ' && len(b) > 0 && b[len(b)-1] != ' ':
				b = append(b, ' ')
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if int(r) < len(common) && common[r] != " " {
			b = append(b, common[r]...)
		} else {
			b = appendPlain(b, r, text[i:i+size])
		}
		i += size
	}
	b = trimBlank(b)
	b = joinSpaced(b)
	if leet {
		readLeet(b)
	}
	return string(b)
}

// plainASCII is what a byte becomes: a letter small, white space a blank, and 0
// where it does not show.
var plainASCII = func() (table [utf8.RuneSelf]byte) {
	for c := range byte(utf8.RuneSelf) {
		if b := appendASCII([]byte("x"), c); len(b) > 1 {
			table[c] = b[1]
		}
	}
	return table
}()

// commonPlain is what the characters of most scripts become, so that nobody has to
// look that up in large tables: those of Latin, Greek, Cyrillic, Armenian, Hebrew
// and Arabic. A blank, which depends on what is before it, stands for "look it up".
var commonPlain = sync.OnceValue(func() []string {
	table := make([]string, 0x700)
	for r := range rune(len(table)) {
		if table[r] = " "; r >= utf8.RuneSelf {
			if plain := string(appendPlain([]byte("x"), r, string(r))[1:]); !strings.Contains(plain, " ") {
				table[r] = plain
			}
		}
	}
	return table
})

func trimBlank(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == ' ' {
		return b[:n-1]
	}
	return b
}

// appendASCII appends one byte, small; of white space no second one.
func appendASCII(to []byte, c byte) []byte {
	switch {
	case 'A' <= c && c <= 'Z':
		c += 'a' - 'A'
	case c == ' ' || '\t' <= c && c <= '\r':
		if n := len(to); n == 0 || to[n-1] == ' ' {
			return to
		}
		c = ' '
	case c < ' ' || c == 0x7f:
		return to
	}
	return append(to, c)
}

// appendPlain appends what a character beyond ASCII looks like. raw are its
// bytes; those that are no UTF-8 become U+FFFD.
func appendPlain(to []byte, r rune, raw string) []byte {
	if whole := norm.NFKD.PropertiesString(raw).Decomposition(); whole != nil {
		for _, part := range string(whole) {
			to = appendRune(to, part)
		}
		return to
	}
	return appendRune(to, r)
}

func appendRune(to []byte, r rune) []byte {
	if r < utf8.RuneSelf {
		return appendASCII(to, byte(r))
	}
	if c, ok := lookalike(r); ok {
		return append(to, c...)
	}
	switch {
	case unicode.IsSpace(r) || r == '\u2800':
		return appendASCII(to, ' ')
	case invisible(r):
		return to
	}
	low := unicode.ToLower(r)
	if low == r {
		return utf8.AppendRune(to, r)
	}
	if c, ok := lookalike(low); ok {
		return append(to, c...)
	}
	return appendPlain(to, low, string(low)) // not endless: what is small has no smaller one
}

// invisible says whether a character does not show: marks on a letter and what
// Unicode calls default ignorable.
func invisible(r rune) bool {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Cc):
		return true
	case r == '\u115f', r == '\u1160', r == '\u3164', r == '\uffa0': // Hangul fillers
		return true
	}
	return r >= 0xe0000 && r <= 0xe0fff
}

// minSpaced is how many letters a spaced word has. Three are an abbreviation.
const minSpaced = 4

// joinSpaced puts spaced words together, in place.
func joinSpaced(b []byte) []byte {
	if len(b) < 2*minSpaced-1 {
		return b
	}
	to := 0
	for i := 0; i < len(b); {
		n := spacedAt(b, i)
		if n == 0 {
			b[to] = b[i]
			to++
			i++
			continue
		}
		for range n {
			b[to] = b[i]
			to++
			i += 2
		}
		i-- // the last letter has no gap behind it
	}
	return b[:to]
}

// spacedAt returns how many single letters stand at i with the same gap between
// them, 0 when they are no spaced word.
func spacedAt(b []byte, i int) int {
	if !isLetter(b[i]) || i+1 >= len(b) || i > 0 && inWord(b[i-1]) {
		return 0
	}
	gap := b[i+1]
	switch gap {
	case ' ', '.', '-', '_', '*':
	default:
		return 0
	}
	n := 1
	for at := i + 1; at+1 < len(b) && b[at] == gap && isLetter(b[at+1]) && (at+2 >= len(b) || !inWord(b[at+2])); at += 2 {
		n++
	}
	if n < minSpaced {
		return 0
	}
	return n
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' }

func inWord(c byte) bool { return isLetter(c) || '0' <= c && c <= '9' || c >= utf8.RuneSelf }

// readLeet replaces digits that stand for letters, in place. A run of two, as in
// b00k, counts as one.
func readLeet(b []byte) {
	const most = 2
	for i := 1; i < len(b); i++ {
		if !isLetter(b[i-1]) || leetOf(b[i]) == 0 {
			continue
		}
		end := i
		for end < len(b) && end-i < most && leetOf(b[end]) != 0 {
			end++
		}
		if end == len(b) || !isLetter(b[end]) {
			continue
		}
		for ; i < end; i++ {
			b[i] = leetOf(b[i])
		}
	}
}

func leetOf(c byte) byte {
	if i := strings.IndexByte("013457$", c); i >= 0 {
		return "oieasts"[i]
	}
	return 0
}

// lookalike returns the ASCII that a character is taken for. What Unicode itself
// calls compatible is not in the list.
func lookalike(r rune) (string, bool) {
	switch {
	case r >= 0x1f150 && r <= 0x1f169: // negative circled letters
		return alphabet[r-0x1f150:][:1], true
	case r >= 0x1f170 && r <= 0x1f189: // negative squared letters
		return alphabet[r-0x1f170:][:1], true
	case r >= 0x1f1e6 && r <= 0x1f1ff: // regional indicators
		return alphabet[r-0x1f1e6:][:1], true
	}
	s, ok := lookalikes[r]
	return s, ok
}

const alphabet = "abcdefghijklmnopqrstuvwxyz"

var lookalikes = map[rune]string{
	// Cyrillic.
	'а': "a", 'А': "a", 'В': "b", 'Ь': "b", 'ь': "b", 'с': "c", 'С': "c", 'ԁ': "d", 'е': "e", 'Е': "e", 'є': "e", 'Є': "e", 'һ': "h", 'Н': "h", 'н': "h",
	'і': "i", 'І': "i", 'ј': "j", 'Ј': "j", 'к': "k", 'К': "k", 'ӏ': "l", 'Ӏ': "l", 'м': "m", 'М': "m", 'п': "n", 'о': "o", 'О': "o", 'р': "p", 'Р': "p",
	'ԛ': "q", 'г': "r", 'ѕ': "s", 'Ѕ': "s", 'т': "t", 'Т': "t", 'ѵ': "v", 'Ѵ': "v", 'ԝ': "w", 'Ԝ': "w", 'х': "x", 'Х': "x", 'у': "y", 'У': "y", 'ү': "y", 'Ү': "y",
	// Greek.
	'α': "a", 'Α': "a", 'β': "b", 'Β': "b", 'ε': "e", 'Ε': "e", 'η': "n", 'Η': "h", 'ι': "i", 'Ι': "i", 'κ': "k", 'Κ': "k", 'Μ': "m", 'ν': "v", 'Ν': "n",
	'ο': "o", 'Ο': "o", 'ρ': "p", 'Ρ': "p", 'τ': "t", 'Τ': "t", 'υ': "u", 'Υ': "y", 'χ': "x", 'Χ': "x", 'γ': "y", 'ω': "w", 'Ζ': "z",
	// Armenian and Cherokee.
	'օ': "o", 'Օ': "o", 'ս': "u", 'Ս': "u", 'հ': "h", 'ո': "n", 'ց': "g", 'յ': "j",
	'Ꭰ': "d", 'Ꭱ': "r", 'Ꭲ': "t", 'Ꭺ': "a", 'Ꭻ': "j", 'Ꭼ': "e", 'Ꮃ': "w", 'Ꮇ': "m", 'Ꮋ': "h", 'Ꮐ': "g", 'Ꮓ': "z", 'Ꮩ': "v", 'Ꮪ': "s", 'Ꮮ': "l",
	'Ꮯ': "c", 'Ꮲ': "p", 'Ꮶ': "k", 'Ᏼ': "b",
	// Latin beyond the accents.
	'ı': "i", 'ł': "l", 'Ł': "l", 'ø': "o", 'Ø': "o", 'đ': "d", 'Đ': "d", 'ð': "d", 'ħ': "h", 'Ħ': "h", 'ŧ': "t", 'Ŧ': "t", 'ƒ': "f", 'ß': "ss", 'ẞ': "ss",
	'æ': "ae", 'Æ': "ae", 'œ': "oe", 'Œ': "oe", 'ɑ': "a", 'ɡ': "g", 'ɩ': "i", 'ƿ': "p", 'ǀ': "l",
	'ᴀ': "a", 'ʙ': "b", 'ᴄ': "c", 'ᴅ': "d", 'ᴇ': "e", 'ꜰ': "f", 'ɢ': "g", 'ʜ': "h", 'ɪ': "i", 'ᴊ': "j", 'ᴋ': "k", 'ʟ': "l", 'ᴍ': "m", 'ɴ': "n", 'ᴏ': "o",
	'ᴘ': "p", 'ʀ': "r", 'ꜱ': "s", 'ᴛ': "t", 'ᴜ': "u", 'ᴠ': "v", 'ᴡ': "w", 'ʏ': "y", 'ᴢ': "z",
	// Signs.
	'‘': "'", '’': "'", '‚': "'", '‛': "'", 'ʼ': "'", '′': "'", '“': `"`, '”': `"`, '„': `"`, '«': `"`, '»': `"`,
	'‐': "-", '–': "-", '—': "-", '―': "-", '−': "-", '­': "", '·': ".", '•': ".", '∕': "/", '⁄': "/", '∶': ":",
}
