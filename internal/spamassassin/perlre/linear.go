package perlre

// Bounds of what a look-around may hold to be written out.
const (
	maxSequences = 40
	maxSequence  = 40 // bytes of each
)

// linear rewrites an expression so that it needs as little backtracking as can
// be. Unless exact, what is matched may grow at both ends; whether it matches stays
// the same.
func linear(root *node, exact bool) *node {
	if has(root, func(n *node) bool { return n.op == opBackref }) {
		return root // what its groups take must stay
	}
	return rewrite(root, !exact, !exact)
}

// has says whether some node of a tree is as wanted.
func has(n *node, wanted func(*node) bool) bool {
	if wanted(n) {
		return true
	}
	for _, s := range n.subs {
		if has(s, wanted) {
			return true
		}
	}
	return false
}

// needs names the first thing that only an engine with backtracking has.
func needs(n *node) string {
	what := ""
	has(n, func(n *node) bool {
		switch {
		case n.op == opBackref:
			what = "a back-reference"
		case n.op == opAtomic:
			what = "an atomic group"
		case n.op == opRepeat && n.possessive:
			what = "a possessive repeat"
		case n.op == opLook:
			what = "a look-"
			if n.negative {
				what = "a negative look-"
			}
			if n.behind {
				what += "behind"
			} else {
				what += "ahead"
			}
		}
		return what != ""
	})
	return what
}

// rewrite rewrites one node. Head says that nothing of the expression stands
// before it and tail that nothing follows.
func rewrite(n *node, head, tail bool) *node {
	switch n.op {
	case opAlt:
		subs := make([]*node, len(n.subs))
		for i, s := range n.subs {
			subs[i] = rewrite(s, head, tail)
		}
		return alternate(subs...)
	case opCapture:
		return rewrite(n.subs[0], head, tail)
	case opAtomic:
		if tail { // giving back could not help what is not there
			return rewrite(n.subs[0], head, tail)
		}
		return &node{op: opAtomic, subs: []*node{rewrite(n.subs[0], false, false)}}
	case opRepeat:
		again := *n
		again.subs = []*node{rewrite(n.subs[0], false, false)}
		again.possessive = n.possessive && !tail
		return &again
	case opConcat, opLook:
		subs := n.subs
		if n.op == opLook {
			subs = []*node{n}
		}
		return sequence(subs, head, tail)
	}
	return n
}

// sequence rewrites one thing after another.
func sequence(subs []*node, head, tail bool) *node {
	subs = narrow(subs)
	if head {
		subs = lookOut(subs, true)
	}
	if tail {
		subs = lookOut(subs, false)
	}
	out := make([]*node, len(subs))
	for i, s := range subs {
		if s.op == opLook {
			out[i] = s
			continue
		}
		out[i] = rewrite(s, head && i == 0, tail && i == len(subs)-1)
	}
	for i, s := range out[:max(0, len(out)-1)] {
		out[i] = yielding(s, out[i+1])
	}
	return concat(out...)
}

// yielding makes a repeat, or an atomic group around one, that gives nothing back
// a plain one, if what follows could not begin with anything that it took.
func yielding(n, next *node) *node {
	repeat := n
	if n.op == opAtomic {
		repeat = n.subs[0]
	} else if n.op != opRepeat || !n.possessive {
		return n
	}
	if repeat.op != opRepeat || repeat.lazy || repeat.subs[0].op != opSet {
		return n
	}
	first, ok := firstOf(next)
	if !ok || first.and(repeat.subs[0].bytes()) != (set{}) {
		return n
	}
	again := *repeat
	again.possessive = false
	return &again
}

// firstOf returns the bytes that a match of n can begin with, if it cannot be
// empty.
func firstOf(n *node) (set, bool) {
	switch n.op {
	case opSet:
		return n.bytes(), true
	case opConcat, opCapture, opAtomic:
		return firstOf(n.subs[0])
	case opRepeat:
		if n.min > 0 {
			return firstOf(n.subs[0])
		}
	case opAlt:
		var all set
		for _, s := range n.subs {
			first, ok := firstOf(s)
			if !ok {
				return set{}, false
			}
			all = all.or(first)
		}
		return all, true
	}
	return set{}, false
}

// narrow takes away each look-around of one byte beside a set: a byte of the set
// that the look-around allows is all that both ask for.
func narrow(subs []*node) []*node {
	subs = append([]*node(nil), subs...)
	for i := 0; i < len(subs); i++ {
		n := subs[i]
		if n.op != opLook {
			continue
		}
		allowed, ok := oneByte(n)
		if !ok {
			continue
		}
		step := 1
		if n.behind {
			step = -1
		}
		j := i + step
		for j >= 0 && j < len(subs) && (subs[j].op == opAssert || subs[j].op == opLook) {
			j += step
		}
		if j < 0 || j >= len(subs) {
			continue
		}
		with := meet(subs[j], allowed, n.behind)
		if with == nil {
			continue
		}
		subs[j] = with
		subs = append(subs[:i], subs[i+1:]...)
		i--
	}
	return subs
}

// oneByte returns the bytes that a look-around of one byte allows.
func oneByte(n *node) (set, bool) {
	s := n.subs[0]
	if s.op != opSet {
		return set{}, false
	}
	if n.negative {
		return s.bytes().not(), true
	}
	return s.bytes(), true
}

// meet narrows the first byte of n, or the last, to what is allowed. It returns
// nil if that is not to be had.
func meet(n *node, allowed set, last bool) *node {
	switch {
	case n.op == opSet:
		return &node{op: opSet, set: n.bytes().and(allowed)}
	case n.op == opRepeat && n.min > 0 && !n.possessive && n.subs[0].op == opSet:
		one := &node{op: opSet, set: n.subs[0].bytes().and(allowed)}
		rest := *n
		rest.min--
		if rest.max > 0 {
			rest.max--
		}
		if rest.max == 0 {
			return one
		}
		if last {
			return concat(&rest, one)
		}
		return concat(one, &rest)
	}
	return nil
}

// lookOut writes out the look-behinds at the head of an expression, or the
// look-aheads at its tail: there, what they see may as well be matched.
func lookOut(subs []*node, head bool) []*node {
	edge := 0 // how many of no width there are
	at := func(i int) *node {
		if head {
			return subs[i]
		}
		return subs[len(subs)-1-i]
	}
	var look *node
	allowed, negative, many := everything(), true, 0
	var places []*node
	for ; edge < len(subs) && (at(edge).op == opAssert || at(edge).op == opLook); edge++ {
		n := at(edge)
		if n.op == opAssert {
			places = append(places, n)
			continue
		}
		if n.behind != head {
			return subs // one that looks into the expression
		}
		one, ok := oneByte(n)
		if ok {
			allowed = allowed.and(one)
		}
		if !ok && look != nil || look != nil && many > 0 {
			return subs
		}
		if !ok {
			many++
		}
		look, negative = n, negative && n.negative
	}
	if look == nil {
		return subs
	}
	var seen *node
	switch {
	case many == 0 && negative:
		seen = alternate(edgeOf(head), &node{op: opSet, set: allowed})
	case many == 0:
		seen = &node{op: opSet, set: allowed}
	case !look.negative:
		seen = rewrite(look.subs[0], head, !head)
	default:
		list, ok := sequences(look.subs[0])
		if !ok {
			return subs
		}
		if seen = without(list, head); seen == nil {
			return subs
		}
	}
	if head {
		return append(append([]*node{seen}, places...), subs[edge:]...)
	}
	out := append([]*node(nil), subs[:len(subs)-edge]...)
	for i := len(places) - 1; i >= 0; i-- {
		out = append(out, places[i])
	}
	return append(out, seen)
}

func edgeOf(head bool) *node {
	if head {
		return &node{op: opAssert, assert: beginText}
	}
	return &node{op: opAssert, assert: endText}
}

// sequences lists all that n matches, byte by byte, if that is little.
func sequences(n *node) (list [][]set, ok bool) {
	switch n.op {
	case opEmpty:
		return [][]set{nil}, true
	case opSet:
		return [][]set{{n.bytes()}}, true
	case opCapture:
		return sequences(n.subs[0])
	case opAlt:
		for _, s := range n.subs {
			more, ok := sequences(s)
			if list = append(list, more...); !ok || len(list) > maxSequences {
				return nil, false
			}
		}
		return list, true
	case opConcat:
		list = [][]set{nil}
		for _, s := range n.subs {
			more, ok := sequences(s)
			if list = crossSets(list, more); !ok || list == nil {
				return nil, false
			}
		}
		return list, true
	case opRepeat:
		if n.max < 0 || n.max > maxSequence {
			return nil, false
		}
		one, ok := sequences(n.subs[0])
		if !ok {
			return nil, false
		}
		power := [][]set{nil}
		for i := 0; i <= n.max; i++ {
			if i >= n.min {
				list = append(list, power...)
			}
			if i < n.max {
				if power = crossSets(power, one); power == nil || len(list) > maxSequences {
					return nil, false
				}
			}
		}
		return list, true
	}
	return nil, false
}

// crossSets puts each of b behind each of a; nil if that is too much.
func crossSets(a, b [][]set) (list [][]set) {
	if len(a)*len(b) > maxSequences {
		return nil
	}
	for _, x := range a {
		for _, y := range b {
			if len(x)+len(y) > maxSequence {
				return nil
			}
			list = append(list, append(append([]set(nil), x...), y...))
		}
	}
	return list
}

// without matches what does not go on as one of the sequences: what ends before,
// or has another byte somewhere. Backwards, what does not end as one of them.
// It returns nil when nothing is left or it is too much to write.
func without(list [][]set, backwards bool) *node {
	budget := 400
	return withoutFrom(list, backwards, &budget)
}

func withoutFrom(list [][]set, backwards bool, budget *int) *node {
	if *budget--; *budget < 0 {
		return nil
	}
	branches := []*node{edgeOf(backwards)}
	rest := everything()
	for rest != (set{}) {
		// The bytes that go on with the same sequences as the first one left.
		c := rest.only()
		part := rest
		var next [][]set
		for _, s := range list {
			if len(s) == 0 {
				return nil // one of them is there, whatever follows
			}
			byteOf, tail := s[0], s[1:]
			if backwards {
				byteOf, tail = s[len(s)-1], s[:len(s)-1]
			}
			if byteOf.has(c) {
				part = part.and(byteOf)
				next = append(next, tail)
			} else {
				part = part.and(byteOf.not())
			}
		}
		rest = rest.and(part.not())
		one := &node{op: opSet, set: part}
		if len(next) == 0 {
			branches = append(branches, one)
			continue
		}
		done := false
		for _, s := range next {
			done = done || len(s) == 0
		}
		if done {
			continue // a whole sequence: no match this way
		}
		more := withoutFrom(next, backwards, budget)
		if more == nil {
			return nil
		}
		if backwards {
			branches = append(branches, concat(more, one))
		} else {
			branches = append(branches, concat(one, more))
		}
	}
	return alternate(branches...)
}
