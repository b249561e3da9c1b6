package table

import "iter"

// Words yields what a table may know of a header field's value: what stands in
// angle brackets, or where there are none each word. So of a list of mailboxes
// it gives the addresses and not what their display names pretend, of List-Id
// the identifier, of X-Originating-IP the address. Quoted text and comments (RFC
// 5322, section 3.2) are passed over.
func Words(value string) iter.Seq[string] {
	return func(yield func(string) bool) {
		bracketed := false
		for kind, word := range tokens(value) {
			if kind == inBrackets {
				bracketed = true
				if word != "" && !yield(word) {
					return
				}
			}
		}
		if bracketed {
			return
		}
		for kind, word := range tokens(value) {
			if kind == bare && !yield(word) {
				return
			}
		}
	}
}

type tokenKind int

const (
	bare tokenKind = iota
	inBrackets
)

// tokens splits a value at white space, commas and semicolons.
func tokens(s string) iter.Seq2[tokenKind, string] {
	return func(yield func(tokenKind, string) bool) {
		from := -1 // where the bare word began
		flush := func(at int) bool {
			word := from
			from = -1
			return word < 0 || yield(bare, s[word:at])
		}
		for i := 0; i < len(s); i++ {
			switch c := s[i]; {
			case c == '"':
				if !flush(i) {
					return
				}
				i = skip(s, i, '"', '"')
			case c == '(':
				if !flush(i) {
					return
				}
				i = skip(s, i, '(', ')')
			case c == '<':
				if !flush(i) {
					return
				}
				end := i + 1
				for end < len(s) && s[end] != '>' && s[end] != '<' {
					end++
				}
				if !yield(inBrackets, s[i+1:end]) {
					return
				}
				if i = end; end < len(s) && s[end] == '<' {
					i--
				}
			case c <= ' ' || c == ',' || c == ';' || c == '>':
				if !flush(i) {
					return
				}
			case from < 0:
				from = i
			}
		}
		flush(len(s))
	}
}

// skip returns where what began at i ends; comments nest. Without an end it is
// the end of s.
func skip(s string, i int, begin, end byte) int {
	depth := 1
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == end:
			if depth--; depth == 0 {
				return i
			}
		case c == begin:
			depth++
		}
	}
	return len(s)
}
