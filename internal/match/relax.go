package match

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// relax makes of an expression with look-around, back-references, atomic groups
// and possessive repeats a linear one that matches at least where it does:
//
//	(?=x) (?!x) (?<=x) (?<!x)  nothing
//	\1 \k<n>                   anything
//	(?>x)  x*+                 (?:x)  x*
//	\b \B \Z \G \K $           nothing: they see more than RE2's do
//	x{2000}                    x{1000,}
//
// What it does not know it leaves, for the parser to refuse. The error is about
// what has no such relative.
func relax(expr string) (string, error) {
	r := relaxer{in: unquoted(expr)}
	if err := r.run(); err != nil {
		return "", err
	}
	return r.out.String(), nil
}

type relaxer struct {
	in  string
	at  int
	out strings.Builder
}

// nothing stands for what is dropped, so that a repeat behind it has something to
// repeat.
const nothing = "(?:)"

func (r *relaxer) run() error {
	for r.at < len(r.in) {
		rest := r.in[r.at:]
		switch rest[0] {
		case '\\':
			r.escape(rest)
		case '[':
			n := classLength(rest)
			r.out.WriteString(rest[:n])
			r.at += n
		case '(':
			if err := r.open(rest); err != nil {
				return err
			}
		case '$':
			r.replace(1, nothing)
		case '{', '*', '+', '?':
			r.repeat(rest)
		default:
			r.replace(1, rest[:1])
		}
	}
	return nil
}

// replace writes text in place of the next n bytes.
func (r *relaxer) replace(n int, text string) {
	r.out.WriteString(text)
	r.at += n
}

const (
	anything = "(?s:.*)"
	blank    = `[ \t]` // \h
)

// escape takes what begins with a backslash.
func (r *relaxer) escape(rest string) {
	if len(rest) < 2 {
		r.replace(1, rest)
		return
	}
	switch c := rest[1]; {
	case '1' <= c && c <= '9':
		n := 2
		for n < len(rest) && n < 4 && '0' <= rest[n] && rest[n] <= '9' {
			n++
		}
		r.replace(n, anything)
	case c == 'k' || c == 'g':
		n := 2
		if n < len(rest) {
			if end := closer(rest[n]); end != 0 {
				if i := strings.IndexByte(rest[n+1:], end); i >= 0 {
					n += i + 2
				}
			} else {
				for n < len(rest) && '0' <= rest[n] && rest[n] <= '9' {
					n++
				}
			}
		}
		r.replace(n, anything)
	case strings.IndexByte("bBZzAGK", c) >= 0:
		r.replace(2, nothing)
	case c == 'h':
		r.replace(2, blank)
	case c == 'e':
		r.replace(2, `\x1b`)
	default:
		r.replace(2, rest[:2])
	}
}

func closer(open byte) byte {
	switch open {
	case '<':
		return '>'
	case '{':
		return '}'
	case '\'':
		return '\''
	}
	return 0
}

// open takes the beginning of a group, or all of one that is dropped.
func (r *relaxer) open(rest string) error {
	for _, look := range []string{"(?=", "(?!", "(?<=", "(?<!", "(?#"} {
		if strings.HasPrefix(rest, look) {
			n, err := groupLength(rest)
			if err != nil {
				return err
			}
			r.replace(n, nothing)
			return nil
		}
	}
	switch {
	case strings.HasPrefix(rest, "(?>"):
		r.replace(3, "(?:")
	case strings.HasPrefix(rest, "(?("), strings.HasPrefix(rest, "(?R"), strings.HasPrefix(rest, "(?|"), strings.HasPrefix(rest, "(?&"), strings.HasPrefix(rest, "(*"):
		return fmt.Errorf("%s: no linear expression can stand guard for it", rest[:min(3, len(rest))])
	case strings.HasPrefix(rest, "(?<"), strings.HasPrefix(rest, "(?'"), strings.HasPrefix(rest, "(?P<"):
		name := strings.TrimLeft(rest, "(?P<'")
		end := strings.IndexAny(name, ">'")
		if end < 0 {
			return fmt.Errorf("%.10s: the name of a group does not end", rest)
		}
		r.replace(len(rest)-len(name)+end+1, "(")
	case strings.HasPrefix(rest, "(?"):
		end := strings.IndexAny(rest, ":)")
		if end < 0 || strings.Contains(rest[:end], "x") || strings.Contains(rest[:end], "n") {
			return fmt.Errorf("%.10s: no linear expression can stand guard for it", rest)
		}
		r.replace(end+1, rest[:end+1])
	default:
		r.replace(1, "(")
	}
	return nil
}

// repeat takes a repeat, without the + that forbids to go back.
func (r *relaxer) repeat(rest string) {
	n := 1
	text := rest[:1]
	if rest[0] == '{' {
		low, high, length, ok := counts(rest)
		if !ok {
			r.replace(1, `\{`)
			return
		}
		n, text = length, plainCounts(rest[:length])
		if low > maxRepeat || high > maxRepeat {
			text = "{" + strconv.Itoa(min(low, maxRepeat)) + ",}"
		}
	}
	r.replace(n, text)
	if r.at < len(r.in) && r.in[r.at] == '+' {
		r.at++
	}
}

// plainCounts writes {00,01} as {0,1}: to RE2 the former is text.
func plainCounts(repeat string) string {
	numbers := strings.Split(repeat[1:len(repeat)-1], ",")
	for i, n := range numbers {
		if n != "" {
			numbers[i] = cmp.Or(strings.TrimLeft(n, "0"), "0")
		}
	}
	return "{" + strings.Join(numbers, ",") + "}"
}

// maxRepeat is what RE2 allows.
const maxRepeat = 1000

// counts reads {n}, {n,} or {n,m}.
func counts(s string) (low, high, length int, ok bool) {
	end := strings.IndexByte(s, '}')
	if end < 0 || end > 12 {
		return 0, 0, 0, false
	}
	first, second, two := strings.Cut(s[1:end], ",")
	low, err := strconv.Atoi(first)
	if err != nil || strings.Trim(first+second, "0123456789") != "" {
		return 0, 0, 0, false
	}
	if two && second != "" {
		if high, err = strconv.Atoi(second); err != nil || high < low {
			return 0, 0, 0, false
		}
	}
	return low, high, end + 1, true
}

// classLength returns the length of the class of characters at the beginning.
func classLength(s string) int {
	i := 1
	if i < len(s) && s[i] == '^' {
		i++
	}
	if i < len(s) && s[i] == ']' {
		i++
	}
	for i < len(s) {
		switch {
		case s[i] == '\\':
			i++
		case strings.HasPrefix(s[i:], "[:"):
			if end := strings.Index(s[i:], ":]"); end >= 0 {
				i += end + 1
			}
		case s[i] == ']':
			return i + 1
		}
		i++
	}
	return len(s)
}

// groupLength returns the length of the group at the beginning.
func groupLength(s string) (int, error) {
	depth := 0
	for i := 0; i < len(s); {
		switch s[i] {
		case '\\':
			i += 2
			continue
		case '[':
			i += classLength(s[i:])
			continue
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1, nil
			}
		}
		i++
	}
	return 0, fmt.Errorf("%.10s: a group does not end", s)
}

// otherwise are escapes that the engine that goes back takes for something else: an
// h, the beginnings of back-references.
var otherwise = map[string]string{`\h`: blank, `\<`: "[<]", `\'`: "[']"}

// unquoted writes what stands between \Q and \E as the characters that it is.
func unquoted(expr string) string {
	if !strings.Contains(expr, `\Q`) {
		return expr
	}
	var b strings.Builder
	for i := 0; i < len(expr); {
		n := 1
		switch {
		case strings.HasPrefix(expr[i:], `\Q`):
			text, rest, _ := strings.Cut(expr[i+2:], `\E`)
			b.WriteString(regexp.QuoteMeta(text))
			i = len(expr) - len(rest)
			continue
		case expr[i] == '\\':
			n = min(2, len(expr)-i)
		case expr[i] == '[':
			n = classLength(expr[i:])
		}
		b.WriteString(expr[i : i+n])
		i += n
	}
	return b.String()
}

// unpossess writes what the engine that goes back does not know in another way:
// escapes that mean something else to it as what they mean, and possessive repeats
// as atomic groups' poor relatives, plain repeats. By these what is matched may
// grow, never shrink.
func unpossess(expr string) string {
	expr = unquoted(expr)
	var b strings.Builder
	for i := 0; i < len(expr); {
		n := 1
		switch c := expr[i]; c {
		case '\\':
			n = min(2, len(expr)-i)
			if meant, ok := otherwise[expr[i:i+n]]; ok {
				b.WriteString(meant)
				i += n
				continue
			}
		case '[':
			n = classLength(expr[i:])
		case '*', '+', '?', '}':
			b.WriteByte(c)
			if i++; i < len(expr) && expr[i] == '+' && (c != '}' || repeatEnds(expr[:i])) {
				i++
			}
			continue
		}
		b.WriteString(expr[i : i+n])
		i += n
	}
	return b.String()
}

// repeatEnds says whether s ends in a counted repeat.
func repeatEnds(s string) bool {
	open := strings.LastIndexByte(s, '{')
	if open < 0 {
		return false
	}
	_, _, length, ok := counts(s[open:])
	return ok && open+length == len(s)
}
