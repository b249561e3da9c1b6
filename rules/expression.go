package rules

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"

	"milterd/internal/match"
)

// Bounds of an expression. The time of a search grows with the size of its
// program, so this bounds what one rule can cost for each byte of text.
const (
	maxMatch   = 4096 // bytes
	maxProgram = 5000 // instructions

	// Of expressions for other programs' views of a message. Nobody writes such
	// by hand: they are brought along with all letters that look alike in them.
	maxImportedMatch   = 16 << 10
	maxImportedProgram = 20000
)

// compile checks a match for a text. The error says what to do instead. needs
// says that the expression needs backtracking, which may or may not be allowed.
func compile(text Text, expr string, backtracking bool) (needs bool, err error) {
	maxMatch, maxProgram := maxMatch, maxProgram
	if text.View() != "" {
		maxMatch, maxProgram = maxImportedMatch, maxImportedProgram
	}
	if expr == "" {
		return false, errors.New("an empty expression matches everything, expected one that does not")
	}
	if len(expr) > maxMatch {
		return false, fmt.Errorf("an expression of %d bytes, expected at most %d", len(expr), maxMatch)
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil && backtracking {
		if err := match.CheckBacktracking(expr); err != nil {
			return true, fmt.Errorf("%s, expected an expression without conditions and recursion, its groups closed", strings.TrimPrefix(err.Error(), "match: "))
		}
		return true, nil
	}
	if err != nil {
		return false, errors.New(explain(expr, err))
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return false, errors.New(explain(expr, err))
	}
	if len(program.Inst) > maxProgram {
		return false, fmt.Errorf("an expression of %d steps, expected at most %d: smaller repeat counts or fewer alternatives", len(program.Inst), maxProgram)
	}
	return false, nil
}

// foreign is what other engines have and RE2 has not, by how it begins.
var foreign = []struct{ begins, advice string }{
	{"(?=", `look-ahead is not supported, expected two rules and a when: "A && B"`},
	{"(?!", `negative look-ahead is not supported, expected two rules and a when: "A && !B"`},
	{"(?<=", `look-behind is not supported, expected the text before it inside the match`},
	{"(?<!", `negative look-behind is not supported, expected two rules and a when: "A && !B"`},
	{"(?>", `an atomic group is not supported, expected (?:...): there is no backtracking to stop`},
	{"(?#", `a comment is not supported, expected it in describe or after # in the file`},
	{"(?(", `a condition is not supported, expected alternatives: (?:...|...)`},
	{"(?R", `recursion is not supported, expected a text that needs none`},
	{`\h`, `\h is not supported, expected [ \t]`},
	{`\Z`, `\Z is not supported, expected \z or $`},
	{`\K`, `\K is not supported; what is matched does not matter, only that it is`},
	{`\R`, `\R is not supported, expected \r?\n`},
	{`\G`, `\G is not supported, expected ^ or nothing`},
}

// explain turns an error of regexp/syntax into advice.
func explain(match string, err error) string {
	bad, ok := errors.AsType[*syntax.Error](err)
	if !ok {
		return err.Error()
	}
	for _, f := range foreign {
		if strings.HasPrefix(bad.Expr, f.begins) {
			return f.advice
		}
	}
	switch e := bad.Expr; {
	case bad.Code == syntax.ErrInvalidEscape && len(e) == 2 && '1' <= e[1] && e[1] <= '9',
		bad.Code == syntax.ErrInvalidEscape && (strings.HasPrefix(e, `\k`) || strings.HasPrefix(e, `\g`)):
		return fmt.Sprintf("%s: a back-reference is not supported, expected the alternatives written out", e)
	case bad.Code == syntax.ErrInvalidEscape:
		return fmt.Sprintf("%s is no escape, expected %s, or %s for the backslash itself", e, strings.TrimPrefix(e, `\`), `\\`)
	case bad.Code == syntax.ErrInvalidRepeatOp && strings.HasSuffix(e, "+"):
		return fmt.Sprintf("%s: a possessive repeat is not supported, expected it without the last +: there is no backtracking to stop", e)
	case bad.Code == syntax.ErrInvalidRepeatSize:
		return fmt.Sprintf("%s: a repeat that cannot be, expected the smaller number first and at most 1000 in all", e)
	}
	return fmt.Sprintf("%s: %s, expected an RE2 expression", bad.Code, cut(bad.Expr))
}

// cut shortens text of a file for an error message.
func cut(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}
