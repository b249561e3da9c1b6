package strictyaml

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Bytes is a size. In a file it has a binary unit: 512B, 64KiB, 256MiB, 8GiB, 1TiB, also 1.5GiB. A bare number is an
// error, and so is MB, of which nobody knows whether it is 1,000,000 or 1,048,576.
type Bytes int64

// byteUnits, each 1024 times the one before it.
var byteUnits = [...]string{"B", "KiB", "MiB", "GiB", "TiB"}

// ParseBytes reads a size with its unit.
func ParseBytes(s string) (Bytes, error) {
	for i, unit := range slices.Backward(byteUnits[:]) {
		number, ok := strings.CutSuffix(s, unit)
		if !ok {
			continue
		}
		n, err := multiply(number, 1<<(10*i))
		if err != nil || i == 0 && strings.Contains(number, ".") {
			break
		}
		return Bytes(n), nil
	}
	return 0, fmt.Errorf("%q is not a size", s)
}

// String gives the size in the largest unit that divides it, as ParseBytes reads it.
func (b Bytes) String() string {
	n, unit := int64(b), 0
	for n != 0 && n%1024 == 0 && unit+1 < len(byteUnits) {
		n, unit = n/1024, unit+1
	}
	return strconv.FormatInt(n, 10) + byteUnits[unit]
}

// DecodeYAML implements [Decoder].
func (b *Bytes) DecodeYAML(n *Node) error {
	size, err := ParseBytes(n.raw.text)
	switch {
	case n.raw.kind == Scalar && err != nil && likeNumber(n.raw.raw):
		return n.Errorf("%s has no unit, expected a size such as %sKiB, 256MiB or 8GiB", n.raw.raw, n.raw.raw)
	case n.raw.kind != Scalar || err != nil:
		return n.Expected("a size such as 64KiB, 256MiB or 8GiB")
	}
	*b = size
	return nil
}

// Path is a path in the file system. In a file it is relative to the directory of that file; decoded it is joined with it.
type Path string

// DecodeYAML implements [Decoder].
func (p *Path) DecodeYAML(n *Node) error {
	text, ok := n.Text()
	if !ok || text == "" || strings.ContainsRune(text, 0) {
		return n.Expected("a path")
	}
	*p = Path(n.Beside(text))
	return nil
}

// Beside joins a path with the directory of the file in which n stands; an absolute one stays.
func (n *Node) Beside(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(n.raw.pos.File), path)
}

// Located is a value that remembers where it stood. What is not in the file keeps the default and the zero Pos.
type Located[T any] struct {
	Value T
	Pos   Pos
}

// DecodeYAML implements [Decoder].
func (l *Located[T]) DecodeYAML(n *Node) error {
	l.Pos = n.Pos()
	return n.Decode(&l.Value)
}

// Section is a mapping kept for its owner to decode later. The zero Section, and one with nothing in it, is valid.
type Section struct {
	node *Node
}

// DecodeYAML implements [Decoder].
func (s *Section) DecodeYAML(n *Node) error {
	if n.Kind() != Mapping && n.Kind() != Null {
		return n.Expected("a mapping")
	}
	s.node = &Node{raw: n.raw, at: n.at} // without the cache of this decoding: sections may be decoded at the same time
	return nil
}

// Decode reads the section onto into, which may hold defaults, as strictly as [Node.Decode]. The zero Section decodes nothing.
func (s Section) Decode(into any) error {
	if s.node == nil {
		return nil
	}
	return s.node.Decode(into)
}

// Node gives the section for what Decode cannot say: positions and errors of single keys. That of the zero Section is
// Null and nowhere.
func (s Section) Node() *Node {
	if s.node == nil {
		return &Node{raw: &node{}}
	}
	return s.node
}

// OneOf reads one of several words.
func OneOf[T ~string](n *Node, into *T, words ...T) error {
	text, _ := n.Text()
	if i := slices.Index(words, T(text)); i >= 0 && n.Kind() == Scalar {
		*into = words[i]
		return nil
	}
	known := make([]string, len(words))
	for i, w := range words {
		known[i] = string(w)
	}
	want := choice(known)
	if !n.raw.expanded { // advice would say what the secret is like
		want += DidYouMean(text, known)
	}
	return n.Expected(want)
}
