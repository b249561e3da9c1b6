package match

import (
	"fmt"
	"regexp/syntax"
	"sync"
	"time"

	"github.com/dlclark/regexp2"
)

// Some expressions that people bring along look ahead, look behind or refer back
// to what matched before, which no search in linear time can do. Such a pattern
// is searched for by trying and going back, whose time may grow without bound. So
// it has two guards:
//
//   - a gate, a linear expression that matches at least what the pattern does: the
//     same without what is looked for around it, with anything in place of a
//     back-reference. Only where the gate matches is the pattern tried. The
//     literals of the gate are those of the pattern.
//   - a limit of time, at which it is given up.

// clockPeriod is how exact the limit of time is.
const clockPeriod = 5 * time.Millisecond

// setClock must have been called before the first search with a limit.
var setClock = sync.OnceFunc(func() { regexp2.SetTimeoutCheckPeriod(clockPeriod) })

// maxBacktrack is the longest text that is tried, in bytes. Longer ones are cut.
const maxBacktrack = 256 << 10

// backtracking is an expression that needs more than linear has.
type backtracking struct {
	gate linear
	expr string
	once sync.Once
	re   *regexp2.Regexp
}

// CheckBacktracking says whether an expression that RE2 does not know can be a
// [Pattern] with Backtracking. The error says what is wrong.
func CheckBacktracking(expr string) error {
	b, _, err := newBacktracking(expr)
	if err != nil {
		return err
	}
	_, err = b.compile()
	return err
}

// newBacktracking makes the gate, in simple form, and leaves the rest for later.
func newBacktracking(expr string) (*backtracking, *syntax.Regexp, error) {
	relaxed, err := relax(expr)
	if err != nil {
		return nil, nil, fmt.Errorf("match: %w", err)
	}
	parsed, err := syntax.Parse(relaxed, syntax.Perl)
	if err != nil {
		return nil, nil, fmt.Errorf("match: no linear expression can stand guard: %w", err)
	}
	return &backtracking{gate: linear{expr: relaxed}, expr: expr}, parsed.Simplify(), nil
}

func (b *backtracking) compile() (*regexp2.Regexp, error) {
	re, err := regexp2.Compile(unpossess(b.expr), regexp2.RE2)
	if err != nil {
		return nil, fmt.Errorf("match: %w", err)
	}
	return re, nil
}

// get compiles the expression when it is first needed. One that does not compile
// matches nothing: CheckBacktracking has said so before.
func (b *backtracking) get(limit time.Duration) *regexp2.Regexp {
	b.once.Do(func() {
		setClock()
		re, err := b.compile()
		if err != nil {
			return
		}
		if limit > 0 {
			re.MatchTimeout = limit
		}
		b.re = re
	})
	return b.re
}

// search tries the expression where the gate lets it. The limit of the first
// search is that of all.
func (b *backtracking) search(text string, most int, limit time.Duration) (first string, n int, slow bool) {
	if b.gate.index(text) == nil {
		return "", 0, false
	}
	re := b.get(limit)
	if re == nil {
		return "", 0, false
	}
	m, err := re.FindStringMatch(text[:min(len(text), maxBacktrack)])
	for ; err == nil && m != nil; m, err = re.FindNextMatch(m) {
		if n == 0 {
			first = m.String()
		}
		if n++; n >= most {
			break
		}
	}
	return first, n, err != nil
}
