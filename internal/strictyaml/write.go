package strictyaml

import (
	"bytes"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// Write prints the tree as YAML in block form, values as they are in their files: ${env:NAME} stays, so no secret is
// shown. When origin is not nil, the line of each value ends in a comment with what it says about the value's position.
// What [Parse] reads from the result is the same tree but for positions.
func (n *Node) Write(origin func(Pos) string) ([]byte, error) {
	if n.raw.kind == Null {
		return nil, nil
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(n.raw.yaml(origin)); err != nil {
		return nil, fmt.Errorf("printing YAML: %w", err)
	}
	return b.Bytes(), enc.Close()
}

// yaml makes the printable form of a node. Lists of single values are kept in one line, as people write them.
func (n *node) yaml(origin func(Pos) string) *yaml.Node {
	y := &yaml.Node{Kind: yaml.ScalarNode, Value: n.raw}
	simple := true
	switch n.kind {
	case Null:
		y.Value = "null"
	case Scalar:
		if !n.plain {
			y.Style = yaml.DoubleQuotedStyle
		}
	case List:
		y = &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range n.items {
			simple = simple && item.kind == Scalar
			y.Content = append(y.Content, item.yaml(nil))
		}
		if simple {
			y.Style = yaml.FlowStyle
			break
		}
		for i, item := range n.items {
			y.Content[i] = item.yaml(origin)
		}
	case Mapping:
		y = &yaml.Node{Kind: yaml.MappingNode}
		if simple = len(n.items) == 0; simple {
			y.Style = yaml.FlowStyle
		}
		for i, item := range n.items {
			// The tag makes the encoder quote a key that would be a number or a boolean; it overlooks the merge
			// key, and makes a block of a key with line ends that nothing reads back.
			k := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: n.keys[i].name}
			if k.Value == "<<" || strings.Contains(k.Value, "\n") {
				k.Style = yaml.DoubleQuotedStyle
			}
			y.Content = append(y.Content, k, item.yaml(origin))
		}
	}
	if origin != nil && simple {
		y.LineComment = "# " + origin(n.pos)
	}
	return y
}
