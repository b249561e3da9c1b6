package strictyaml

// Merge lays documents over each other, later ones on top: mappings merge deep, a list or a single value replaces what
// is below it, nothing (Null) leaves it as it is. Each value keeps the position in its own file, and keys keep the
// order in which they first came. The documents themselves are not changed. Without documents the result is empty.
func Merge(docs ...*Node) *Node {
	merged := &node{}
	for _, doc := range docs {
		merged = mergeNodes(merged, doc.raw)
	}
	return &Node{raw: merged}
}

func mergeNodes(below, above *node) *node {
	switch {
	case above.kind == Null && below.kind != Null:
		return below
	case below.kind != Mapping || above.kind != Mapping:
		return above
	}
	m := &node{kind: Mapping, pos: below.pos}
	m.keys = append(m.keys, below.keys...)
	m.items = append(m.items, below.items...)
	where := make(map[string]int, len(m.keys))
	for i, k := range m.keys {
		where[k.name] = i
	}
	for i, k := range above.keys {
		at, both := where[k.name]
		if !both {
			m.keys, m.items = append(m.keys, k), append(m.items, above.items[i])
			continue
		}
		if above.items[i].kind != Null {
			m.keys[at] = k
		}
		m.items[at] = mergeNodes(m.items[at], above.items[i])
	}
	return m
}

// Under puts n below a key path: n under ("log", "level") is what "log: {level: n}" would be. It is how a setting from
// elsewhere, as an environment variable, becomes a document to [Merge].
func (n *Node) Under(path ...string) *Node {
	raw := n.raw
	for i := len(path) - 1; i >= 0; i-- {
		raw = &node{kind: Mapping, pos: raw.pos, keys: []key{{path[i], raw.pos}}, items: []*node{raw}}
	}
	return &Node{raw: raw}
}
