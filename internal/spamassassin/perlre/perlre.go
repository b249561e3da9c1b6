// Package perlre reads regular expressions as Perl has them and writes them as
// milterd's engines read them.
//
// The expressions of SpamAssassin's rules are Perl's, and they are matched to
// bytes: a dot is one byte, \w and \b know ASCII only, and a letter with an accent
// is two bytes in UTF-8. Engines for Go match characters. So both sides meet in
// the middle: a text is handed to the engine with one character, from U+0000 to
// U+00FF, for each of its bytes, and the expressions that this package writes
// speak of those characters. On ASCII, which is nearly everything, that changes
// nothing at all.
//
//	e, err := perlre.Parse(`\bfree(?!dom)\b`, perlre.Flags{Fold: true})
//	expr, err := e.Linear()      // for RE2: a *NeedsBacktracking, it has a look-ahead
//	expr, err = e.Backtracking() // for an engine that backtracks
//
// # What is equal
//
// Written expressions say whether a text matches, exactly as Perl does; of what is
// matched they may take in more or less at the ends. That allows a lot: a
// look-ahead at the end of an expression, a look-behind at its beginning, those
// that only narrow the one character beside them, a possessive repeat that could
// not have given back anything, all become plain expressions of linear time. What
// does not, and back-references, need an engine that backtracks.
//
// Two things differ on texts that hardly exist: $ that is followed by a line
// feed in the expression, and ^ under m behind the last line feed of a text.
package perlre

import "fmt"

// Flags are the letters behind an expression. Others than these change nothing
// about whether it matches.
type Flags struct {
	Fold      bool // i: ASCII letters of either case
	MultiLine bool // m: ^ and $ are also the ends of lines
	DotAll    bool // s: a dot is any byte, a line feed as well
	Extended  bool // x: white space and comments mean nothing
}

// Expr is a parsed expression. It does not change.
type Expr struct {
	root   *node
	groups int // captures that it has
}

// SyntaxError is an expression that Perl would refuse, or one with something in
// it that cannot be carried at all.
type SyntaxError struct {
	Offset int // in bytes
	What   string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.What) }

// NeedsBacktracking is the error for an expression that cannot be written in RE2.
type NeedsBacktracking struct {
	What string // the first thing that needs it, such as "a negative look-ahead"
}

func (e *NeedsBacktracking) Error() string { return e.What + " needs backtracking" }

// Parse reads an expression, without delimiters. An error is a *[SyntaxError].
func Parse(expr string, flags Flags) (*Expr, error) {
	p := parser{src: expr, flags: flags, names: map[string]int{}}
	p.countGroups()
	root, err := p.alternation(0)
	if err != nil {
		return nil, err
	}
	if p.at < len(p.src) {
		return nil, p.errorf("a ) too many")
	}
	return &Expr{root: root, groups: p.groups}, nil
}

// Linear writes the expression for RE2, package regexp's engine. An error is a
// *[NeedsBacktracking].
func (e *Expr) Linear() (string, error) { return e.linear(false) }

// LinearExact is Linear for an expression whose matches are counted: it matches
// the same bytes, so that the next match may begin right behind them.
func (e *Expr) LinearExact() (string, error) { return e.linear(true) }

func (e *Expr) linear(exact bool) (string, error) {
	root := linear(e.root, exact)
	if what := needs(root); what != "" {
		return "", &NeedsBacktracking{What: what}
	}
	text, ok := write(root, false)
	if !ok {
		return "", &NeedsBacktracking{What: "an expression too long when its repeats are written out"}
	}
	return text, nil
}

// Backtracking writes the expression for an engine with look-around, atomic
// groups and back-references in the style of .NET, package regexp2's.
func (e *Expr) Backtracking() string {
	text, _ := write(e.root, true) // nothing is written out
	return text
}

// Latin1 gives text the form that written expressions are matched to: a character
// for each byte.
func Latin1(text []byte) string {
	high := 0
	for _, c := range text {
		if c >= 0x80 {
			high++
		}
	}
	if high == 0 {
		return string(text)
	}
	out := make([]byte, 0, len(text)+high)
	for _, c := range text {
		if c >= 0x80 {
			out = append(out, 0xc0|c>>6, 0x80|c&0x3f)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

// Bytes is the way back from [Latin1]: what was a byte is one again, anything
// else stays as it is.
func Bytes(text string) string {
	i := 0
	for i < len(text) && text[i] < 0x80 {
		i++
	}
	if i == len(text) {
		return text
	}
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if r < 0x100 {
			out = append(out, byte(r))
		} else {
			out = append(out, string(r)...)
		}
	}
	return string(out)
}
