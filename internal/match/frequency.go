package match

import "strings"

// frequency is how often a byte is seen in mail, as a share of all; roughly, since it
// only decides what is searched for first.
var frequency = func() (table [256]float64) {
	// Of a thousand characters of English text.
	for c, n := range map[byte]float64{
		' ': 170, 'e': 102, 't': 75, 'a': 66, 'o': 62, 'i': 57, 'n': 56, 's': 52, 'r': 49, 'h': 49, 'd': 35, 'l': 33, 'u': 22, 'c': 22, 'm': 20, 'f': 18, 'w': 19,
		'y': 16, 'g': 16, 'p': 15, 'b': 12, 'v': 8, 'k': 6, 'x': 1, 'q': 1, 'j': 1, 'z': 1,
	} {
		table[c] = n / 1000
		if 'a' <= c && c <= 'z' {
			table[c-'a'+'A'] = n / 10_000
		}
	}
	for c := range table {
		switch {
		case '0' <= c && c <= '9':
			table[c] = 0.004
		case table[c] == 0 && c > ' ' && c < 0x7f:
			table[c] = 0.003
		case c >= 0x80:
			table[c] = 0.0001
		case table[c] == 0:
			table[c] = 0.0005
		}
	}
	table['\n'] = 0.02
	table['.'], table[','], table['-'] = 0.01, 0.01, 0.01
	return table
}()

// commonWords is how often words are seen, in the same way, that are much more common
// than their letters tell.
var commonWords = map[string]float64{
	"the": 0.01, "and": 0.005, "of": 0.005, "to": 0.005, "in": 0.004, "you": 0.003, "for": 0.002, "that": 0.002, "is": 0.002, "on": 0.002, "it": 0.002,
	"your": 0.001, "this": 0.001, "with": 0.001, "have": 0.001, "not": 0.001, "are": 0.001, "from": 0.001, "our": 0.0007, "can": 0.0007, "will": 0.0007,
	"all": 0.0007, "has": 0.0005, "was": 0.0007, "but": 0.0007, "if": 0.001, "http://": 0.001, "https://": 0.001, "mail": 0.0005, "email": 0.0005, "we": 0.0007,
}

// expected returns how many of all places in a text have the literal, roughly.
func (n needle) expected() float64 {
	const edge = 0.3 // of the places where the letters of a word are, a word begins or ends so often
	literal := n.bare()
	literal = literal[:min(len(literal), maxNeedle)]
	share, common := commonWords[strings.TrimSpace(literal)]
	if !common {
		share = 1
		for _, c := range []byte(literal) {
			share *= frequency[c]
		}
	}
	if n.beginsWord() {
		share *= edge
	}
	if n.endsWord() {
		share *= edge
	}
	return share
}
