package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Parse reads the text of one document: its syntax, not yet what its keys mean. An empty document is a Null node.
// The error is nil or [Errors]; the node is nil only when the text is no YAML at all, so a caller who wants every error
// adds this one to those of [Node.Decode].
func Parse(file string, src []byte) (*Node, error) {
	src = bytes.TrimPrefix(src, []byte("\uFEFF"))
	if err := checkText(file, src); err != nil {
		return nil, Errors{err}
	}
	doc, err := parseYAML(bytes.NewReader(src))
	if err != nil {
		return nil, Errors{syntaxError(file, src, err)}
	}
	c := converter{file: file, open: map[*yaml.Node]bool{}}
	root := &node{pos: Pos{file, 1, 1}}
	if doc != nil {
		root = c.convert(doc.Content[0], nil, 1)
	}
	return &Node{raw: root}, c.errs.Err()
}

// errSecondDocument carries where the second document begins.
type errSecondDocument struct{ line, col int }

func (e *errSecondDocument) Error() string { return "a second document" }

// parseYAML runs the YAML parser over one document; nil without error is an empty one.
func parseYAML(r io.Reader) (doc *yaml.Node, err error) {
	// The library panics where it meets what its authors thought impossible, and has done so on input (CVE-2022-28948).
	// A file must not end a running daemon.
	defer func() {
		if p := recover(); p != nil {
			doc, err = nil, fmt.Errorf("yaml: the parser failed: %v", p)
		}
	}()
	dec := yaml.NewDecoder(r)
	doc = new(yaml.Node)
	if err := dec.Decode(doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, &errSecondDocument{second.Line, second.Column}
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return doc, nil
}

// checkText refuses what is not text. It also refuses the line breaks that only YAML knows, because with them the line
// numbers of YAML and those of an editor would differ.
func checkText(file string, src []byte) *Error {
	if len(src) > MaxBytes {
		return &Error{Pos: Pos{File: file}, What: fmt.Sprintf("more than %d bytes, expected at most %s", MaxBytes, Bytes(MaxBytes))}
	}
	for i, r := range string(src) {
		what := ""
		switch {
		case r == utf8.RuneError && !bytes.HasPrefix(src[i:], []byte("\uFFFD")):
			what = fmt.Sprintf("byte 0x%02X is not UTF-8, expected UTF-8 text", src[i])
		case r == '\r' && (i+1 == len(src) || src[i+1] != '\n'):
			what = "a carriage return alone, expected a line feed after it"
		case r < ' ' && r != '\n' && r != '\t' && r != '\r', r == 0x7F, r >= 0x80 && r < 0xA0,
			r == '\u2028', r == '\u2029', r == '\uFEFF', r == 0xFFFE, r == 0xFFFF:
			what = fmt.Sprintf(`character U+%04X, expected it as "\u%04X" in double quotes`, r, r)
		}
		if what != "" {
			line, col := position(src, i)
			return &Error{Pos: Pos{file, line, col}, What: what}
		}
	}
	return nil
}

// position turns an offset into a line and a column, both from 1.
func position(src []byte, offset int) (line, col int) {
	before := src[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}

// converter turns yaml.Nodes into nodes: aliases and merge keys expanded, duplicate keys found.
type converter struct {
	file  string
	errs  Errors
	count int
	open  map[*yaml.Node]bool // anchored nodes being expanded: an alias to one of them never ends
}

func (c *converter) pos(y *yaml.Node) Pos { return Pos{c.file, max(1, y.Line), max(1, y.Column)} }

func (c *converter) errorf(y *yaml.Node, at *place, format string, args ...any) {
	if len(c.errs) < maxErrors {
		c.errs = append(c.errs, &Error{Pos: c.pos(y), Path: at.String(), What: fmt.Sprintf(format, args...)})
	}
}

func (c *converter) convert(y *yaml.Node, at *place, depth int) *node {
	n := &node{pos: c.pos(y)}
	if c.count++; c.count > MaxNodes {
		if c.count == MaxNodes+1 { // said once; what follows is dropped
			c.errorf(y, at, "more than %d values with all aliases expanded, expected fewer", MaxNodes)
		}
		return n
	}
	if depth > MaxDepth {
		c.errorf(y, at, "more than %d levels deep, expected fewer", MaxDepth)
		return n
	}
	if y.Kind == yaml.AliasNode {
		if c.open[y.Alias] {
			c.errorf(y, at, "*%s inside its own &%s, expected it outside", y.Value, y.Value)
			return n
		}
		return c.convert(y.Alias, at, depth)
	}
	if y.Anchor != "" {
		c.open[y] = true
		defer delete(c.open, y)
	}
	if y.Style&yaml.TaggedStyle != 0 {
		c.errorf(y, at, "tag %s, expected a value without a tag", cut(y.Tag))
		return n
	}
	switch y.Kind {
	case yaml.MappingNode:
		n.kind = Mapping
		c.mapping(n, y, at, depth)
	case yaml.SequenceNode:
		n.kind = List
		for i, item := range y.Content {
			if c.count > MaxNodes {
				break
			}
			n.items = append(n.items, c.convert(item, at.item(i), depth+1))
		}
	default:
		n.plain = y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
		if !n.plain || !nullWord(y.Value) {
			n.kind, n.raw, n.text = Scalar, y.Value, y.Value
		}
	}
	return n
}

func nullWord(s string) bool {
	return s == "" || s == "~" || s == "null" || s == "Null" || s == "NULL"
}

// mapping fills n from y: its own keys first, then those merged by "<<" that it does not have itself.
func (c *converter) mapping(n *node, y *yaml.Node, at *place, depth int) {
	seen := make(map[string]Pos, len(y.Content)/2)
	var merged []*yaml.Node
	for i := 0; i+1 < len(y.Content) && c.count <= MaxNodes; i += 2 {
		k, value := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		switch {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!null" || k.Style&yaml.TaggedStyle != 0:
			c.errorf(k, at, "a key that is not a word, expected a word")
			continue
		case k.Tag == "!!merge":
			merged = append(merged, value)
			continue
		}
		if first, again := seen[k.Value]; again {
			c.errorf(k, at.child(k.Value), "key given twice, expected once (the first is in line %d)", first.Line)
			continue
		}
		seen[k.Value] = c.pos(k)
		n.keys = append(n.keys, key{k.Value, c.pos(k)})
		n.items = append(n.items, c.convert(value, at.child(k.Value), depth+1))
	}
	for _, m := range merged {
		c.merge(n, seen, m, at, depth)
	}
}

// merge adds what "<<: *base" or "<<: [*one, *two]" brings.
func (c *converter) merge(n *node, seen map[string]Pos, y *yaml.Node, at *place, depth int) {
	var bases []*node
	switch base := c.convert(y, at.child("<<"), depth+1); base.kind {
	case Mapping:
		bases = append(bases, base)
	case List:
		bases = base.items
	default:
		bases = append(bases, base)
	}
	for _, base := range bases {
		if base.kind != Mapping {
			c.errorf(y, at.child("<<"), "got %s, expected a mapping or a list of mappings", base.describe())
			continue
		}
		for i, k := range base.keys {
			if _, own := seen[k.name]; !own {
				seen[k.name] = k.pos
				n.keys, n.items = append(n.keys, k), append(n.items, base.items[i])
			}
		}
	}
}
