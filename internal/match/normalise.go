package match

import (
	"encoding/binary"
	"slices"
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
	var b []byte
	common := commonPlain()
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf {
			var n int
			b, n = appendPlainASCII(b, text[i:])
			i += n
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
		readLeet(b, firstLeet(b))
	}
	return string(b)
}

// Leet returns a text that Normalise has made without leet as it makes it with leet.
func Leet(normalised string) string {
	first := firstLeet(normalised)
	if first == len(normalised) {
		return normalised
	}
	b := []byte(normalised)
	readLeet(b, first)
	return string(b)
}

// appendPlainASCII appends what a text begins with, as far as that is ASCII, and says
// how many bytes that is. Letters, blanks and what does not show follow each other
// as they like, so the loop has no branches to be guessed wrong.
func appendPlainASCII(to []byte, text string) (_ []byte, n int) {
	to = slices.Grow(to, len(text))
	out := to[len(to) : len(to)+len(text)]
	afterBlank := uint16(0)
	if len(to) == 0 || to[len(to)-1] == ' ' {
		afterBlank = 1
	}
	at := 0
	for n < len(text) && text[n] < utf8.RuneSelf {
		if len(text)-n >= 8 {
			if eight, blanks, ok := plainEight(text[n:]); ok && blanks&(blanks<<8|afterFirst*uint64(afterBlank)) == 0 {
				binary.LittleEndian.PutUint64(out[at:at+8], eight)
				afterBlank = uint16(blanks >> 63)
				n, at = n+8, at+8
				continue
			}
		}
		end := min(n+8, len(text))
		for n < end && text[n] < utf8.RuneSelf {
			p := plainASCII[text[n]]
			shows, isBlank := p>>8&1, p>>9
			out[at] = byte(p)
			at += int(shows &^ (isBlank & afterBlank))
			afterBlank = isBlank | afterBlank&^shows
			n++
		}
	}
	return to[:len(to)+at], n
}

// afterFirst is the bit that plainEight gives the first of eight characters.
const afterFirst = 0x80

// plainEight returns, in one number, the first eight characters of a text in small
// letters, and the highest bit of each that is a blank. It is not ok with anything but
// characters of ASCII that show.
func plainEight(text string) (small, blanks uint64, ok bool) {
	const each, high = 0x0101010101010101, 0x8080808080808080
	_ = text[7]
	eight := uint64(text[0]) | uint64(text[1])<<8 | uint64(text[2])<<16 | uint64(text[3])<<24 |
		uint64(text[4])<<32 | uint64(text[5])<<40 | uint64(text[6])<<48 | uint64(text[7])<<56
	// Of bytes below 0x80, those from c on have the highest bit in eight|high - c*each, those
	// beyond c in eight + (0x7f-c)*each: nothing is carried from one to the next.
	shows := ((eight | high) - ' '*each) &^ (eight + each) & high
	if eight&high != 0 || shows != high {
		return 0, 0, false
	}
	blanks = high &^ (eight + (0x7f-' ')*each)
	capitals := ((eight | high) - 'A'*each) &^ (eight + (0x7f-'Z')*each) & high
	return eight | capitals>>2, blanks, true
}

// plainASCII is what a byte becomes: a letter small, white space a blank. Bit 8 says that
// it shows, bit 9 that it is a blank.
var plainASCII = func() (table [utf8.RuneSelf]uint16) {
	for c := range byte(utf8.RuneSelf) {
		if b := appendASCII([]byte("x"), c); len(b) > 1 {
			table[c] = 1<<8 | uint16(b[1])
			if b[1] == ' ' {
				table[c] |= 1 << 9
			}
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
	to, from := 0, 0
	for at := nextSpaced(b, 0); at < len(b); at = nextSpaced(b, from) {
		to += copy(b[to:], b[from:at])
		for range spacedAt(b, at) {
			b[to] = b[at]
			to++
			at += 2
		}
		from = at - 1 // the last letter has no gap behind it
	}
	to += copy(b[to:], b[from:])
	return b[:to]
}

// nextSpaced returns where the first spaced word begins, from on, or the length of b.
func nextSpaced(b []byte, from int) int {
	for i := from; i+2*minSpaced-2 < len(b); i++ {
		if b[i+1] == b[i+3] && isGap[b[i+1]] && spacedAt(b, i) > 0 {
			return i
		}
	}
	return len(b)
}

// isGap says what stands between the letters of a spaced word.
var isGap = [256]bool{' ': true, '.': true, '-': true, '_': true, '*': true}

// spacedAt returns how many single letters stand at i with the same gap between
// them, 0 when they are no spaced word.
func spacedAt(b []byte, i int) int {
	if !isLetter(b[i]) || i+1 >= len(b) || i > 0 && inWord(b[i-1]) {
		return 0
	}
	gap := b[i+1]
	if !isGap[gap] {
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

// firstLeet returns where the first digit may be that stands for a letter, or the
// length of the text.
func firstLeet[T string | []byte](text T) int {
	for i := 1; i < len(text); i++ {
		if leet[text[i]] != 0 && isLetter(text[i-1]) {
			return i
		}
	}
	return len(text)
}

// readLeet replaces digits that stand for letters, in place, from a place on. A run of
// two, as in b00k, counts as one.
func readLeet(b []byte, from int) {
	const most = 2
	for i := from; i < len(b); i++ {
		if leet[b[i]] == 0 || !isLetter(b[i-1]) {
			continue
		}
		end := i
		for end < len(b) && end-i < most && leet[b[end]] != 0 {
			end++
		}
		if end == len(b) || !isLetter(b[end]) {
			continue
		}
		for ; i < end; i++ {
			b[i] = leet[b[i]]
		}
	}
}

// leet is what digits and $ stand for.
var leet = [256]byte{'0': 'o', '1': 'i', '3': 'e', '4': 'a', '5': 's', '7': 't', '$': 's'}

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
