package strictyaml

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind is the shape of a value.
type Kind uint8

// The four shapes. Null is a key with nothing behind it (or "null", "~"), and everything that is not in the file at all.
const (
	Null Kind = iota
	Scalar
	List
	Mapping
)

// String names the kind as error messages do.
func (k Kind) String() string {
	return [...]string{"nothing", "a single value", "a list", "a mapping"}[k]
}

// node is one value of a parsed document. After Parse and Expand it is never changed, so trees may share nodes.
type node struct {
	kind     Kind
	plain    bool // a scalar without quotes
	expanded bool // text came from the environment or a file: never to be shown
	pos      Pos
	raw      string  // a scalar as it is in the file, quotes and escapes resolved
	text     string  // raw after expansion
	keys     []key   // of a mapping, in file order
	items    []*node // of a list, or of a mapping beside its keys
}

type key struct {
	name string
	pos  Pos
}

// find gives the value under a key, nil when there is none.
func (n *node) find(name string) *node {
	if i := slices.IndexFunc(n.keys, func(k key) bool { return k.name == name }); i >= 0 {
		return n.items[i]
	}
	return nil
}

// A Node is a value and the way to it: what a [Decoder] reads from. It is never changed by reading.
type Node struct {
	raw   *node
	at    *place
	types typeCache // of the decoding that is under way, nil outside one
}

// place is one step of a key path. It is linked upwards so that a path costs nothing until an error prints it.
type place struct {
	up    *place
	key   string
	index int // of a list; -1 for a key
}

func (p *place) item(i int) *place       { return &place{up: p, index: i} }
func (p *place) child(key string) *place { return &place{up: p, key: key, index: -1} }

// String gives a path as signing.domains["example.org"].keys[0].
func (p *place) String() string {
	if p == nil {
		return ""
	}
	up := p.up.String()
	switch {
	case p.index >= 0:
		return up + "[" + strconv.Itoa(p.index) + "]"
	case strings.Trim(p.key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" || p.key == "":
		return up + "[" + cut(p.key) + "]"
	case len(p.key) > 60:
		return up + "[" + cut(p.key) + "]"
	case up == "":
		return p.key
	default:
		return up + "." + p.key
	}
}

// Kind gives the shape of the value.
func (n *Node) Kind() Kind { return n.raw.kind }

// Pos says where the value begins; for something that is not in the file, where its mapping or list does.
func (n *Node) Pos() Pos { return n.raw.pos }

// Path gives the keys that lead to the value, as limits.idle or listen[1]; empty for the document itself.
func (n *Node) Path() string { return n.at.String() }

// Text gives a scalar as text, whatever it looks like (600, off and "off" alike), after expansion. It is false for other kinds.
func (n *Node) Text() (string, bool) { return n.raw.text, n.raw.kind == Scalar }

// Len counts the items of a list or the keys of a mapping.
func (n *Node) Len() int { return len(n.raw.items) }

// Key goes to a key of a mapping. What is not there is a Node too: Null, placed at its mapping, good for [Node.Errorf].
func (n *Node) Key(name string) *Node {
	to := n.raw.find(name)
	if to == nil {
		to = &node{pos: n.raw.pos}
	}
	return &Node{to, n.at.child(name), n.types}
}

// Item goes to an item of a list, counted from 0. What is not there is Null, as with [Node.Key].
func (n *Node) Item(i int) *Node {
	to := &node{pos: n.raw.pos}
	if n.raw.kind == List && i < len(n.raw.items) {
		to = n.raw.items[i]
	}
	return &Node{to, n.at.item(i), n.types}
}

// Errorf makes an error about this value. By convention the text is "what is there, expected what".
func (n *Node) Errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Pos: n.raw.pos, Path: n.Path(), What: err.Error(), Err: err}
}

// Expected makes the error "got VALUE, expected WHAT". A value from ${env:} or ${file:} is shown as it is in the file.
func (n *Node) Expected(what string) error {
	return n.Errorf("got %s, expected %s", n.raw.describe(), what)
}

// KnownKeys reports each key of a mapping that is not among the known ones, with the nearest. It is for mappings whose
// keys only the caller knows; structs do it themselves.
func (n *Node) KnownKeys(known ...string) error {
	var errs Errors
	for _, k := range n.raw.keys {
		if len(errs) < maxErrors && !slices.Contains(known, k.name) {
			errs = append(errs, unknownKey(n.at, k, known))
		}
	}
	return errs.Err()
}

func unknownKey(at *place, k key, known []string) *Error {
	e := &Error{Pos: k.pos, Path: at.child(k.name).String(), What: "unknown key"}
	if advice := DidYouMean(k.name, known); advice != "" {
		e.What += advice
	} else {
		e.What += ", expected " + choice(known)
	}
	return e
}

// choice lists words as "a, b or c", in their order, and no more than a screen line of them.
func choice(words []string) string {
	const most = 12
	switch n := len(words); {
	case n == 0:
		return "none"
	case n == 1:
		return words[0]
	case n > most:
		return fmt.Sprintf("one of %s and %d more", strings.Join(words[:most], ", "), n-most)
	default:
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
}

// describe shows a value in an error message: numbers and true or false bare, other text in quotes.
func (n *node) describe() string {
	switch {
	case n.kind != Scalar:
		return n.kind.String()
	case !likeNumber(n.raw) && n.raw != "true" && n.raw != "false":
		return cut(n.raw)
	case n.plain:
		return n.raw
	default:
		return "the text " + cut(n.raw)
	}
}

// likeNumber reports whether text begins as only numbers do; short, so that it may be shown bare.
func likeNumber(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "0123456789+-.eE_") == "" && strings.ContainsAny(s, "0123456789")
}
