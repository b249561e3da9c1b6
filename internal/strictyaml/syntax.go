package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The YAML parser says "line 7: did not find expected key": no column, often the line where the construct began, and
// no line at all for the first. This file finds the place again, by running the parser once more on a reader that
// hands out single bytes, so that it is known how far it came, and says what to do about it.

// A mistake is a complaint of the parser that people really meet, and what it means.
type mistake struct {
	problem string                                    // what the parser's text contains
	find    func(src []byte, line, read int) (at int) // offset of the culprit; line as the parser says, read: bytes it had taken
	what    string
}

func mistakes() []mistake {
	return []mistake{
		{"tab character", byteBefore("\t"), "a tab in the indentation, expected spaces"},
		{"mapping values are not allowed", byteBefore(":"), `a key is not possible here, expected quotes around text with ": ", or the indentation of the keys above`},
		{"block sequence entries are not allowed", byteBefore("-"), "a list item is not possible here, expected it in a line of its own"},
		{"cannot start any token", byteBefore("\t@`%"), ""}, // what depends on the character
		{"unknown escape character", byteBefore(`\`), "an unknown escape, expected single quotes around text with backslashes"},
		{"found unexpected end of stream", openingQuote, "a quote that is never closed, expected its end"},
		{"',' or ']'", openingBracket('['), `a list that is not closed here, expected "," or "]" (text that begins with [ needs quotes)`},
		{"',' or '}'", openingBracket('{'), `a mapping that is not closed here, expected "," or "}" (text with { or } needs quotes)`},
		{"could not find expected ':'", lineStart, `a line without a key, expected "key: value"`},
		{"did not find expected key", lastGood, "the line does not fit those above, expected a key in their column (text after a closing quote belongs inside)"},
		{"did not find expected '-' indicator", lastGood, `the line does not fit the list above, expected "- " in its column`},
		{"did not find expected node content", lastGood, "no value can begin like this, expected quotes around it"},
		{"exceeded max depth", lastRead, fmt.Sprintf("too many levels, expected at most %d", MaxDepth)},
	}
}

var (
	statedLine    = regexp.MustCompile(`^line (\d+): `)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxError turns an error of the YAML parser into one with a place and advice.
func syntaxError(file string, src []byte, err error) *Error {
	if second, ok := errors.AsType[*errSecondDocument](err); ok {
		return &Error{Pos: Pos{file, second.line, second.col}, What: "a second document, expected one in a file"}
	}
	problem, line, read := rerun(src)
	at, what := lastRead(src, line, read), problem+", expected YAML"
	if name := unknownAnchor.FindStringSubmatch(problem); name != nil {
		at = max(0, bytes.LastIndex(src[:read], []byte("*"+name[1])))
		what = fmt.Sprintf("*%s is not known, expected &%s before it (text that begins with * needs quotes)", name[1], name[1])
	}
	known := mistakes()
	if i := slices.IndexFunc(known, func(m mistake) bool { return strings.Contains(problem, m.problem) }); i >= 0 {
		at, what = known[i].find(src, line, read), known[i].what
	}
	if what == "" {
		c, _ := utf8.DecodeRune(src[min(at, len(src)-1):])
		if what = fmt.Sprintf("%q cannot begin a value, expected quotes around it", c); c == '\t' {
			what = "a tab, expected spaces"
		}
	}
	line, col := position(src, at)
	return &Error{Pos: Pos{file, line, col}, What: what}
}

// rerun parses again and gives the parser's complaint, the line it means (0: none) and how many bytes it had taken.
func rerun(src []byte) (problem string, line, read int) {
	// The parser drops the place of a construct that began in the first line. A blank line before it prevents that.
	r := &trickle{src: slices.Concat([]byte("\n"), src)}
	_, err := parseYAML(r)
	if err == nil {
		return "unknown trouble", 0, len(src)
	}
	problem = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := statedLine.FindStringSubmatch(problem); m != nil {
		problem = problem[len(m[0]):]
		line, _ = strconv.Atoi(m[1])
		// Errors of the parser count from 0, which our blank line has made up for; those of the scanner from 1.
		if !strings.Contains(problem, "did not find expected") {
			line--
		}
	}
	return problem, line, max(0, r.taken-1)
}

// trickle hands out one byte a time.
type trickle struct {
	src   []byte
	taken int
}

func (t *trickle) Read(p []byte) (int, error) {
	if t.taken >= len(t.src) {
		return 0, io.EOF
	}
	t.taken++
	return copy(p, t.src[t.taken-1:t.taken]), nil
}

// byteBefore finds a character at which the scanner stopped. It looks ahead by four at most.
func byteBefore(chars string) func([]byte, int, int) int {
	return func(src []byte, line, read int) int {
		if at := read - 4; at >= 0 && strings.IndexByte(chars, src[at]) >= 0 {
			return at
		}
		begin, end := lineBounds(src, line)
		if at := bytes.LastIndexAny(src[begin:max(begin, min(end, read))], chars); at >= 0 {
			return begin + at
		}
		return max(0, bytes.LastIndexAny(src[:read], chars))
	}
}

// openingQuote finds the quote that has no partner in the line in which the text began.
func openingQuote(src []byte, line, _ int) int {
	begin, end := lineBounds(src, line)
	for _, quote := range []string{`"`, `'`} {
		if bytes.Count(src[begin:end], []byte(quote))%2 == 1 {
			return begin + bytes.LastIndex(src[begin:end], []byte(quote))
		}
	}
	return lineStart(src, line, 0)
}

// openingBracket finds the first bracket in the line in which the list or mapping began.
func openingBracket(bracket byte) func([]byte, int, int) int {
	return func(src []byte, line, _ int) int {
		begin, end := lineBounds(src, line)
		if at := bytes.IndexByte(src[begin:end], bracket); at >= 0 {
			return begin + at
		}
		return lineStart(src, line, 0)
	}
}

// lineStart is the first character of a line that is not blank.
func lineStart(src []byte, line, _ int) int {
	begin, end := lineBounds(src, line)
	return begin + len(src[begin:end]) - len(bytes.TrimLeft(src[begin:end], " \t\r"))
}

// lastRead is the last character taken that is not blank.
func lastRead(src []byte, _, read int) int {
	taken := bytes.TrimRight(src[:read], " \t\r\n")
	_, size := utf8.DecodeLastRune(taken)
	return len(taken) - size
}

// lastGood finds the line that spoils the document: without it and all after it, the complaint is another one or none.
// It is the line of the last token read or one of the few above it.
func lastGood(src []byte, _, read int) int {
	problem, _, _ := rerun(src)
	line, _ := position(src, lastRead(src, 0, read))
	for tries := 0; tries < 8 && line > 1; tries++ {
		begin, _ := lineBounds(src, line)
		if got, _, _ := rerun(src[:begin]); got != problem {
			break
		}
		line, _ = position(src, lastRead(src, 0, begin))
	}
	return lineStart(src, line, 0)
}

// lineBounds gives the offsets of a line without its end, of the nearest line there is for a number out of range.
func lineBounds(src []byte, line int) (begin, end int) {
	for ; line > 1; line-- {
		next := bytes.IndexByte(src[begin:], '\n')
		if next < 0 {
			break
		}
		begin += next + 1
	}
	if length := bytes.IndexByte(src[begin:], '\n'); length >= 0 {
		return begin, begin + length
	}
	return begin, len(src)
}
