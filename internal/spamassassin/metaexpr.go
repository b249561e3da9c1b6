package spamassassin

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// expr is a meta rule's expression.
type expr struct {
	op   string // "name", "number", "!", "neg", or a binary operator
	name string
	num  float64
	a, b *expr
}

// metaParser reads expressions as Perl does. names are the rules that
// rules_matching goes through.
type metaParser struct {
	tokens []string
	names  []string
	nodes  int
}

// maxNodes bounds an expression.
const maxNodes = 4000

func parseMeta(text string, names []string) (*expr, error) {
	p := metaParser{names: names}
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		n := 0
		switch {
		case isWord(text[0]):
			for n < len(text) && (isWord(text[n]) || text[n] == '.') {
				n++
			}
			if text[:n] == "rules_matching" {
				end := strings.IndexByte(text, ')')
				if end < 0 {
					return nil, errors.New("rules_matching without its )")
				}
				n = end + 1
			}
		default:
			for _, op := range []string{"&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "+", "-", "*"} {
				if strings.HasPrefix(text, op) {
					n = len(op)
					break
				}
			}
		}
		if n == 0 {
			return nil, fmt.Errorf("%.10q is no operator that milterd has", text)
		}
		p.tokens = append(p.tokens, strings.TrimSpace(text[:n]))
		if len(p.tokens) > maxNodes {
			return nil, errors.New("an expression too long to carry")
		}
		text = text[n:]
	}
	e, err := p.binary(0, 0)
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("%q was not expected", p.tokens[0])
	}
	return e, err
}

// levels are the binary operators from loose to tight.
var levels = [][]string{{"||"}, {"&&"}, {"==", "!="}, {"<", "<=", ">", ">="}, {"+", "-"}, {"*"}}

func levelOf(op string) int {
	for i, ops := range levels {
		for _, o := range ops {
			if o == op {
				return i
			}
		}
	}
	return len(levels)
}

func (p *metaParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *metaParser) binary(level, depth int) (*expr, error) {
	if level == len(levels) {
		return p.unary(depth)
	}
	e, err := p.binary(level+1, depth)
	for err == nil && p.peek() != "" && levelOf(p.peek()) == level {
		op := p.peek()
		p.tokens = p.tokens[1:]
		var b *expr
		b, err = p.binary(level+1, depth)
		e = &expr{op: op, a: e, b: b}
	}
	return e, err
}

func (p *metaParser) unary(depth int) (*expr, error) {
	if depth > 100 {
		return nil, errors.New("nested too deep")
	}
	t := p.peek()
	if t == "" {
		return nil, errors.New("it ends too early")
	}
	p.tokens = p.tokens[1:]
	switch {
	case t == "!":
		a, err := p.unary(depth + 1)
		return &expr{op: "!", a: a}, err
	case t == "-":
		a, err := p.unary(depth + 1)
		return &expr{op: "neg", a: a}, err
	case t == "(":
		e, err := p.binary(0, depth+1)
		if err == nil && p.peek() != ")" {
			return nil, errors.New("a ) is missing")
		}
		if err == nil {
			p.tokens = p.tokens[1:]
		}
		return e, err
	case strings.HasPrefix(t, "rules_matching"):
		return p.matching(t)
	case '0' <= t[0] && t[0] <= '9':
		v, err := strconv.ParseFloat(t, 64)
		if err != nil || v > 1e6 {
			return nil, fmt.Errorf("%q is no number", t)
		}
		return &expr{op: "number", num: v}, nil
	case goodName(t):
		return &expr{op: "name", name: t}, nil
	}
	return nil, fmt.Errorf("%q was not expected", t)
}

// matching is the sum of the rules whose names match.
func (p *metaParser) matching(call string) (*expr, error) {
	glob := strings.Trim(strings.TrimPrefix(call, "rules_matching"), "() \t")
	var sum *expr
	for _, name := range p.names {
		if ok, err := path.Match(glob, name); err != nil {
			return nil, fmt.Errorf("rules_matching(%s): not to be read", glob)
		} else if !ok {
			continue
		}
		if p.nodes++; p.nodes > maxNodes {
			return nil, errors.New("rules_matching finds too many rules")
		}
		one := &expr{op: "name", name: name}
		if sum == nil {
			sum = one
		} else {
			sum = &expr{op: "+", a: sum, b: one}
		}
	}
	if sum == nil {
		return &expr{op: "number"}, nil
	}
	return sum, nil
}

// each goes through the names of e and how they count: up says that more hits of
// the name can only help, down that they can only hinder; both may be.
func (e *expr) each(up, down bool, visit func(name string, up, down bool)) {
	switch e.op {
	case "name":
		visit(e.name, up, down)
	case "number":
	case "!", "neg":
		e.a.each(down, up, visit)
	case "-":
		e.a.each(up, down, visit)
		e.b.each(down, up, visit)
	case "<", "<=":
		e.a.each(down, up, visit)
		e.b.each(up, down, visit)
	case ">", ">=":
		e.a.each(up, down, visit)
		e.b.each(down, up, visit)
	case "==", "!=":
		e.a.each(true, true, visit)
		e.b.each(true, true, visit)
	default:
		e.a.each(up, down, visit)
		e.b.each(up, down, visit)
	}
}

// boolean says whether the value of e is 0 or 1.
func (e *expr) boolean() bool {
	switch e.op {
	case "!", "==", "!=", "<", "<=", ">", ">=", "&&", "||":
		return true
	case "number":
		return e.num == 0 || e.num == 1
	}
	return false
}

// simplify computes e as far as it does not depend on names.
func (e *expr) simplify() *expr {
	if e.a == nil {
		return e
	}
	s := &expr{op: e.op, a: e.a.simplify()}
	if e.b == nil {
		if s.a.op == "number" {
			if e.op == "!" {
				return number(truth(s.a.num == 0))
			}
			if s.a.num == 0 {
				return number(0)
			}
		}
		return s
	}
	s.b = e.b.simplify()
	if s.a.op == "number" && s.b.op == "number" {
		if v := apply(e.op, s.a.num, s.b.num); v >= 0 {
			return number(v)
		}
		return s
	}
	for _, side := range [][2]*expr{{s.a, s.b}, {s.b, s.a}} {
		if side[0].op != "number" {
			continue
		}
		zero := side[0].num == 0
		switch {
		case e.op == "&&" && zero, e.op == "*" && zero:
			return number(0)
		case e.op == "||" && !zero:
			return number(1)
		case e.op == "||" && zero, e.op == "&&" && !zero:
			if side[1].boolean() {
				return side[1]
			}
			return &expr{op: "!=", a: side[1], b: number(0)}
		case e.op == "+" && zero:
			return side[1]
		}
	}
	if e.op == "-" && s.b.op == "number" && s.b.num == 0 {
		return s.a
	}
	return s
}

func number(v float64) *expr { return &expr{op: "number", num: v} }

func apply(op string, a, b float64) float64 {
	switch op {
	case "||":
		return truth(a != 0 || b != 0)
	case "&&":
		return truth(a != 0 && b != 0)
	case "==":
		return truth(a == b)
	case "!=":
		return truth(a != b)
	case "<":
		return truth(a < b)
	case "<=":
		return truth(a <= b)
	case ">":
		return truth(a > b)
	case ">=":
		return truth(a >= b)
	case "+":
		return a + b
	case "-":
		return a - b
	}
	return a * b
}

// String writes e in milterd's language, where two comparisons in a row need
// parentheses.
func (e *expr) String() string { return e.text(0) }

func (e *expr) text(around int) string {
	switch e.op {
	case "name":
		return e.name
	case "number":
		return strconv.FormatFloat(e.num, 'f', -1, 64)
	case "!":
		return "!" + e.a.text(len(levels))
	case "neg":
		return "-" + e.a.text(len(levels))
	}
	level := levelOf(e.op)
	comparison := level == 2 || level == 3
	left, right := level, level+1
	if comparison {
		left, right = 4, 4
	}
	text := e.a.text(left) + " " + e.op + " " + e.b.text(right)
	if level < around {
		return "(" + text + ")"
	}
	return text
}
