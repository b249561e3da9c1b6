package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds of an expression. What a person writes is far below.
const (
	maxWhen   = 4096 // bytes
	maxDepth  = 50   // parentheses and unary operators inside each other
	maxNumber = 1e6
	maxName   = 64
)

// op is an operator, or what an operand is.
type op uint8

const (
	opName op = iota
	opNumber
	opNot
	opNeg
	opMul
	opAdd
	opSub
	opEqual
	opUnequal
	opLess
	opLessEqual
	opMore
	opMoreEqual
	opAnd
	opOr
)

// operators holds how each is written and how tightly it binds.
var operators = [...]struct {
	text string
	bind int
}{
	opName: {"", 7}, opNumber: {"", 7}, opNot: {"!", 6}, opNeg: {"-", 6}, opMul: {"*", 5}, opAdd: {"+", 4}, opSub: {"-", 4},
	opEqual: {"==", 3}, opUnequal: {"!=", 3}, opLess: {"<", 3}, opLessEqual: {"<=", 3}, opMore: {">", 3}, opMoreEqual: {">=", 3},
	opAnd: {"&&", 2}, opOr: {"||", 1},
}

// bindCompare is how tightly comparisons bind. They do not chain.
const bindCompare = 3

// expr is an expression: an operand, or an operator over one (left) or two.
type expr struct {
	op          op
	name        string
	number      float64
	left, right *expr
}

// syntaxError is a mistake in an expression. Column counts characters from 1.
type syntaxError struct {
	column int
	what   string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("at its column %d: %s", e.column, e.what) }

// parseWhen reads an expression. The error is a *syntaxError.
func parseWhen(text string) (*expr, error) {
	if len(text) > maxWhen {
		return nil, &syntaxError{1, fmt.Sprintf("%d bytes, expected at most %d", len(text), maxWhen)}
	}
	p := whenParser{text: text}
	p.next()
	e := p.binary(1)
	if p.err == nil && p.token != "" {
		p.fail(p.start, "got %q, expected %s", p.token, meant(p.token, "an operator or the end"))
	}
	if p.err != nil {
		return nil, p.err
	}
	return e, nil
}

// whenParser reads by recursive descent, one token ahead. After the first
// mistake there are no more tokens.
type whenParser struct {
	text  string
	at    int    // behind the token
	start int    // of the token
	token string // "" is the end
	depth int
	group *expr // what the last closing parenthesis closed
	err   *syntaxError
}

func (p *whenParser) fail(at int, format string, args ...any) {
	if p.err == nil {
		p.err = &syntaxError{len([]rune(p.text[:at])) + 1, fmt.Sprintf(format, args...)}
	}
	p.at, p.start, p.token = len(p.text), len(p.text), ""
}

// next reads a token: a word, a number, an operator, a parenthesis.
func (p *whenParser) next() {
	rest := strings.TrimLeft(p.text[p.at:], " \t\r\n")
	p.start = len(p.text) - len(rest)
	if rest == "" {
		p.at, p.token = len(p.text), ""
		return
	}
	n := 0
	for n < len(rest) && isWord(rest[n]) {
		n++
	}
	switch two := rest[:min(2, len(rest))]; {
	case n > 0:
	case slices.Contains([]string{"&&", "||", "==", "!=", "<=", ">="}, two):
		n = 2
	case strings.IndexByte("()!+-*<>", rest[0]) >= 0:
		n = 1
	case rest[0] == '&' || rest[0] == '|' || rest[0] == '=':
		p.fail(p.start, "got %q, expected %q", rest[:1], rest[:1]+rest[:1])
		return
	default:
		r := []rune(rest)[0]
		p.fail(p.start, "got %q, expected a name, a number or one of ! && || == != < <= > >= + - * ( )", r)
		return
	}
	p.token = rest[:n]
	p.at = p.start + n
}

func isWord(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '.'
}

// binary reads operators that bind at least as tightly as bind.
func (p *whenParser) binary(bind int) *expr {
	left := p.unary()
	for {
		at, o, ok := p.start, op(0), false
		for i := opMul; i <= opOr; i++ {
			if operators[i].text == p.token {
				o, ok = i, true
			}
		}
		own := operators[o].bind
		if !ok || own < bind {
			return left
		}
		if own == bindCompare && left.op >= opEqual && left.op <= opMoreEqual && left != p.group {
			p.fail(at, "a second comparison, expected parentheses around one of them")
			return left
		}
		p.next()
		left = &expr{op: o, left: left, right: p.binary(own + 1)}
	}
}

// unary reads an operand with what stands before it.
func (p *whenParser) unary() *expr {
	if p.depth++; p.depth > maxDepth {
		p.fail(p.start, "more than %d levels deep, expected fewer", maxDepth)
	}
	defer func() { p.depth-- }()
	at, token := p.start, p.token
	switch {
	case token == "!" || token == "-":
		o := opNot
		if token == "-" {
			o = opNeg
		}
		p.next()
		return &expr{op: o, left: p.unary()}
	case token == "(":
		p.next()
		e := p.binary(1)
		if p.token != ")" {
			p.fail(p.start, "got %s, expected %q for the one in column %d", p.got(), ")", len([]rune(p.text[:at]))+1)
		}
		p.next()
		p.group = e
		return e
	case token != "" && isWord(token[0]):
		e := p.operand(at, token)
		p.next()
		return e
	}
	p.fail(p.start, "got %s, expected a name, a number or %q", p.got(), "(")
	return &expr{op: opNumber}
}

func (p *whenParser) got() string {
	if p.token == "" {
		return "the end"
	}
	return strconv.Quote(p.token)
}

// operand reads a name or a number.
func (p *whenParser) operand(at int, word string) *expr {
	if c := word[0]; '0' <= c && c <= '9' || c == '.' {
		n, err := strconv.ParseFloat(word, 64)
		switch {
		case err != nil || strings.Trim(word, "0123456789.") != "" || c == '.' || strings.HasSuffix(word, "."):
			p.fail(at, "%q is no number, expected one such as 2 or 0.5", word)
		case n > maxNumber:
			p.fail(at, "%s is too large, expected at most %.0f", word, maxNumber)
		}
		return &expr{op: opNumber, number: n}
	}
	if !validName(word) {
		p.fail(at, "got %q, expected %s", word, meant(word, "a name in capital letters, digits and _"))
	}
	return &expr{op: opName, name: word}
}

// meant is what to expect of a word that is an operator in other languages.
func meant(word, otherwise string) string {
	switch strings.ToLower(word) {
	case "and":
		return "&&"
	case "or":
		return "||"
	case "not":
		return "!"
	}
	return otherwise
}

// validName says whether s can be the name of a rule or finding.
func validName(s string) bool {
	return s != "" && len(s) <= maxName && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" && (s[0] < '0' || s[0] > '9')
}

// eval computes e, of which and and or look at the right side only when it
// matters.
func (e *expr) eval(count func(name string) float64) float64 {
	switch e.op {
	case opName:
		return count(e.name)
	case opNumber:
		return e.number
	case opNot:
		return truth(e.left.eval(count) == 0)
	case opNeg:
		return -e.left.eval(count)
	case opAnd:
		return truth(e.left.eval(count) != 0 && e.right.eval(count) != 0)
	case opOr:
		return truth(e.left.eval(count) != 0 || e.right.eval(count) != 0)
	}
	a, b := e.left.eval(count), e.right.eval(count)
	switch e.op {
	case opMul:
		return a * b
	case opAdd:
		return a + b
	case opSub:
		return a - b
	case opEqual:
		return truth(a == b)
	case opUnequal:
		return truth(a != b)
	case opLess:
		return truth(a < b)
	case opLessEqual:
		return truth(a <= b)
	case opMore:
		return truth(a > b)
	default:
		return truth(a >= b)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// hits says whether e is not 0. What is no number at all (an overflow minus an
// overflow) is no hit.
func (e *expr) hits(count func(name string) float64) bool {
	v := e.eval(count)
	return v != 0 && v == v
}

// names appends the names in e that are not in list yet.
func (e *expr) names(list []string) []string {
	if e == nil {
		return list
	}
	if e.op == opName && !slices.Contains(list, e.name) {
		list = append(list, e.name)
	}
	return e.right.names(e.left.names(list))
}

// String prints e as parseWhen reads it back.
func (e *expr) String() string {
	var b strings.Builder
	e.print(&b)
	return b.String()
}

func (e *expr) print(b *strings.Builder) {
	own := operators[e.op].bind
	switch e.op {
	case opName:
		b.WriteString(e.name)
	case opNumber:
		b.WriteString(strconv.FormatFloat(e.number, 'f', -1, 64))
	case opNot, opNeg:
		b.WriteString(operators[e.op].text)
		e.left.printIn(b, own)
	default:
		left := own
		if own == bindCompare {
			left++
		}
		e.left.printIn(b, left)
		b.WriteString(" " + operators[e.op].text + " ")
		e.right.printIn(b, own+1)
	}
}

// printIn prints e where something that binds less than bind needs parentheses.
func (e *expr) printIn(b *strings.Builder, bind int) {
	if operators[e.op].bind < bind {
		b.WriteByte('(')
		e.print(b)
		b.WriteByte(')')
		return
	}
	e.print(b)
}
