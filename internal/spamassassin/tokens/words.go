package tokens

import (
	"iter"
	"strings"
	"unicode/utf8"
)

// clean blanks what is in no word: all but letters, digits, the marks of prices,
// links and shouting, and characters beyond ASCII. Runs of dots and dashes inside a
// word become words of their own.
func clean(text string) string {
	b := make([]byte, 0, len(text)+8)
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c < utf8.RuneSelf:
			if !inWord[c] {
				c = ' '
			}
			b = append(b, c)
			i++
		default:
			_, size := utf8.DecodeRuneInString(text[i:])
			if size == 1 && c < 0xa1 {
				b = append(b, ' ')
			} else {
				b = append(b, text[i:i+size]...)
			}
			i += size
		}
	}
	return apart(apart(string(b), '.', 3), '-', 2)
}

var inWord = func() (set [utf8.RuneSelf]bool) {
	for c := range set {
		set[c] = alphanumeric(byte(c)) || strings.IndexByte(`,@*!_'"$. -`, byte(c)) >= 0
	}
	return set
}()

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isWord(c byte) bool { return alphanumeric(c) || c == '_' }

// apart puts blanks around runs of least to six marks that stand between two words.
func apart(text string, mark byte, least int) string {
	if !strings.Contains(text, strings.Repeat(string(mark), least)) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] != mark {
			b.WriteByte(text[i])
			i++
			continue
		}
		end := i
		for end < len(text) && text[end] == mark {
			end++
		}
		if n := end - i; n >= least && n <= 6 && i > 0 && isWord(text[i-1]) && end < len(text) && isWord(text[end]) {
			b.WriteByte(' ')
			b.WriteString(text[i:end])
			b.WriteByte(' ')
		} else {
			b.WriteString(text[i:end])
		}
		i = end
	}
	return b.String()
}

// untitled writes the first letter small of a text, and of a sentence behind a full
// stop, where the words that follow have no capital. As in SpamAssassin one such
// stretch takes the stop at its end with it, so the sentence behind it is left alone.
func untitled(text string) string {
	var changed []byte
	for from, start := 0, 0; start >= 0; from, start = next(text, from) {
		if start >= len(text) || !capital(text[start]) {
			continue
		}
		end := start + 1
		for end < len(text) && !capital(text[end]) {
			end++
		}
		if end < len(text) {
			end = start + 1 + strings.LastIndexByte(text[start+1:end], ' ')
		}
		if end <= start+1 {
			continue
		}
		if changed == nil {
			changed = []byte(text)
		}
		changed[start] += 'a' - 'A'
		from = end + 1
	}
	if changed == nil {
		return text
	}
	return string(changed)
}

// next finds a full stop with blanks behind it in text[from:]. It returns where to
// look on, and where the sentence begins, -1 when there is none.
func next(text string, from int) (on, start int) {
	if from >= len(text) {
		return from, -1
	}
	stop := strings.Index(text[from:], ". ")
	if stop < 0 {
		return from, -1
	}
	on = from + stop + 1
	for start = on; start < len(text) && text[start] == ' '; start++ {
	}
	return on, start
}

func capital(c byte) bool { return 'A' <= c && c <= 'Z' }

// lower is for ASCII alone, as in Perl on bytes.
func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

func wordCharacter(r rune) rune {
	if r < utf8.RuneSelf && (isWord(byte(r)) || r == ':' || r == '*') {
		return r
	}
	return -1
}

// dotted says whether a letter follows a dot that is not the first character.
func dotted(word string) bool {
	for i := 1; i+1 < len(word); i++ {
		if c := word[i+1]; word[i] == '.' && alphanumeric(c) && c > '9' {
			return true
		}
	}
	return false
}

// wide says whether a character of two or more bytes ends so that two trailing bytes
// of UTF-8 follow each other.
func wide(word string) bool {
	for i := 1; i < len(word); i++ {
		if word[i]&0xc0 == 0x80 && word[i-1]&0xc0 == 0x80 {
			return true
		}
	}
	return false
}

// skipped is what is kept of a long word: its first characters.
func skipped(word string) string {
	end := 0
	for range kept {
		_, size := utf8.DecodeRuneInString(word[end:])
		end += size
	}
	if len(word)-end < 2 {
		return word
	}
	return "sk:" + word[:end]
}

// address is what is made of a mail address: its local part, its domain, and the
// domains above that.
func address(a string) []string {
	at := strings.LastIndexByte(a, '@')
	if at < 1 || at == len(a)-1 || len(a) > maxName {
		return nil
	}
	out := []string{"U*" + a[:at], "D*" + a[at+1:]}
	for parent := range parents(a[at+1:]) {
		out = append(out, "D*"+parent)
	}
	return out
}

// parents yields the domains above a name, the nearest first.
func parents(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			dot := strings.IndexByte(name, '.')
			if dot < 1 || dot == len(name)-1 {
				return
			}
			if name = name[dot+1:]; !yield(name) {
				return
			}
		}
	}
}
