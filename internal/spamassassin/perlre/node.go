package perlre

// op is a kind of node.
type op uint8

const (
	opEmpty   op = iota
	opSet        // one byte out of set
	opConcat     // subs one after another
	opAlt        // one of subs
	opRepeat     // subs[0], min to max times
	opCapture    // subs[0] as the group number index
	opAtomic     // subs[0], which gives nothing back
	opAssert     // a place: assert
	opLook       // what stands before or behind: behind, negative
	opBackref    // what the group number index took
)

// node is a piece of an expression. Nodes are not changed once they are made;
// rewriting makes new ones.
type node struct {
	op   op
	subs []*node

	set  set
	fold bool // of opSet and opBackref: in either case

	min, max         int // of opRepeat; max -1 is no bound
	lazy, possessive bool

	index            int
	assert           assert
	behind, negative bool
}

// assert is a place in a text.
type assert uint8

const (
	beginText  assert = iota // \A, and ^ without m
	endText                  // \z
	endLine                  // $ and \Z: also before the last line feed
	beginEach                // ^ under m
	endEach                  // $ under m
	wordEdge                 // \b
	noWordEdge               // \B
)

var empty = &node{op: opEmpty}

func concat(subs ...*node) *node {
	var all []*node
	for _, s := range subs {
		switch s.op {
		case opEmpty:
		case opConcat:
			all = append(all, s.subs...)
		default:
			all = append(all, s)
		}
	}
	switch len(all) {
	case 0:
		return empty
	case 1:
		return all[0]
	}
	return &node{op: opConcat, subs: all}
}

// alternate makes one node of alternatives; neighbours of one byte become one set.
func alternate(subs ...*node) *node {
	var all []*node
	for _, s := range subs {
		if n := len(all); s.op == opSet && n > 0 && all[n-1].op == opSet && all[n-1].fold == s.fold {
			both := all[n-1].set.or(s.set)
			all[n-1] = &node{op: opSet, set: both, fold: s.fold}
			continue
		}
		all = append(all, s)
	}
	if len(all) == 1 {
		return all[0]
	}
	return &node{op: opAlt, subs: all}
}

func single(c byte, fold bool) *node {
	var s set
	s.add(c)
	return &node{op: opSet, set: s, fold: fold}
}

// bytes returns what one byte may be, with both cases where the node folds.
func (n *node) bytes() set {
	if n.fold {
		return n.set.folded()
	}
	return n.set
}

// set is a set of bytes.
type set [4]uint64

func (s *set) add(c byte)     { s[c/64] |= 1 << (c % 64) }
func (s set) has(c byte) bool { return s[c/64]&(1<<(c%64)) != 0 }

func (s *set) addRange(lo, hi byte) {
	for c := int(lo); c <= int(hi); c++ {
		s.add(byte(c))
	}
}

func (s set) or(t set) set { return set{s[0] | t[0], s[1] | t[1], s[2] | t[2], s[3] | t[3]} }

func (s set) and(t set) set { return set{s[0] & t[0], s[1] & t[1], s[2] & t[2], s[3] & t[3]} }

func (s set) not() set { return set{^s[0], ^s[1], ^s[2], ^s[3]} }

// folded adds the other case of each ASCII letter.
func (s set) folded() set {
	const upper, lower = 0x07fffffe, 0x07fffffe << 32
	t := s
	t[1] |= s[1]&upper<<32 | s[1]&lower>>32
	return t
}

// setOf makes a set of ranges, each a first and a last byte.
func setOf(ranges string) (s set) {
	for i := 0; i+1 < len(ranges); i += 2 {
		s.addRange(ranges[i], ranges[i+1])
	}
	return s
}

// The classes with names of their own.
func digits() set      { return setOf("09") }
func capitals() set    { return setOf("AZ") }
func words() set       { return setOf("09AZ__az") }
func spaces() set      { return setOf("\t\r  ") } // Perl's \s has the vertical tab
func horizontal() set  { return setOf("\t\t  \xa0\xa0") }
func vertical() set    { return setOf("\n\r\x85\x85") }
func notLineFeed() set { return setOf("\n\n").not() }
func everything() set  { return set{}.not() }
