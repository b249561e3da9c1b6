package perlre

import "strings"

// group reads what begins with a parenthesis. It returns nil for a comment and
// for flags that hold to the end of the group around them.
func (p *parser) group(depth int) (*node, error) {
	p.at++ // (
	wrap := func(n *node) (*node, error) {
		if err := p.inside(n, depth); err != nil {
			return nil, err
		}
		return n, nil
	}
	switch {
	case p.take("*"):
		return nil, p.errorf("(*...) steers Perl's backtracking")
	case !p.take("?"):
		p.groups++
		return wrap(&node{op: opCapture, index: p.groups})
	case p.take("#"):
		end := strings.IndexByte(p.src[p.at:], ')')
		if end < 0 {
			return nil, p.errorf("a comment without its )")
		}
		p.at += end + 1
		return nil, nil
	case p.take(":"):
		n := &node{op: opConcat}
		if err := p.inside(n, depth); err != nil {
			return nil, err
		}
		return plainGroup(n), nil
	case p.take("|"):
		return nil, p.errorf("(?|...) numbers its groups anew in each branch")
	case p.take(">"):
		return wrap(&node{op: opAtomic})
	case p.take("="):
		return wrap(&node{op: opLook})
	case p.take("!"):
		return wrap(&node{op: opLook, negative: true})
	case p.take("<="):
		return wrap(&node{op: opLook, behind: true})
	case p.take("<!"):
		return wrap(&node{op: opLook, behind: true, negative: true})
	case p.take("P<"), p.take("<"):
		return p.named('>', depth)
	case p.take("'"):
		return p.named('\'', depth)
	case p.take("P="):
		name, ok := p.until(')')
		if !ok {
			return nil, p.errorf("a reference without its )")
		}
		return p.reference(name)
	}
	return p.inlineFlags(depth)
}

// plainGroup is a group that is one only for the reader.
func plainGroup(n *node) *node { return n.subs[0] }

// inside reads the rest of a group into n.
func (p *parser) inside(n *node, depth int) error {
	sub, err := p.alternation(depth + 1)
	if err != nil {
		return err
	}
	if !p.take(")") {
		return p.errorf("a ( without its )")
	}
	n.subs = []*node{sub}
	return nil
}

// until returns what stands before stop, and passes over both.
func (p *parser) until(stop byte) (string, bool) {
	end := strings.IndexByte(p.src[p.at:], stop)
	if end < 0 {
		return "", false
	}
	text := p.src[p.at : p.at+end]
	p.at += end + 1
	return text, true
}

func (p *parser) named(stop byte, depth int) (*node, error) {
	name, ok := p.until(stop)
	if !ok || name == "" {
		return nil, p.errorf("a group without a name")
	}
	p.groups++
	n := &node{op: opCapture, index: p.groups}
	p.names[name] = n.index
	if err := p.inside(n, depth); err != nil {
		return nil, err
	}
	return n, nil
}

// reference is what a named group took.
func (p *parser) reference(name string) (*node, error) {
	index, ok := p.names[name]
	if !ok {
		return nil, p.errorf("a reference to group %q, which there is not", name)
	}
	return &node{op: opBackref, index: index, fold: p.flags.Fold}, nil
}

// inlineFlags reads (?i), (?i-s:...), (?^i:...).
func (p *parser) inlineFlags(depth int) (*node, error) {
	flags, on := p.flags, true
	for first := true; ; first = false {
		c, ok := p.peek()
		if !ok {
			return nil, p.errorf("a ( without its )")
		}
		switch c {
		case 'i':
			flags.Fold = on
		case 'm':
			flags.MultiLine = on
		case 's':
			flags.DotAll = on
		case 'x':
			flags.Extended = on
		case 'a', 'd', 'n', 'p', 'u', 'l':
		case '-':
			on = false
		case '^':
			if !first {
				return nil, p.errorf("(?...^...) is nothing")
			}
			flags = Flags{}
		case ')':
			p.at++
			p.flags = flags
			return nil, nil
		case ':':
			p.at++
			before := p.flags
			p.flags = flags
			n := new(node)
			err := p.inside(n, depth)
			p.flags = before
			if err != nil {
				return nil, err
			}
			return plainGroup(n), nil
		default:
			return nil, p.errorf("(?%c...) is recursion, a condition or code, which only Perl has", c)
		}
		p.at++
	}
}
