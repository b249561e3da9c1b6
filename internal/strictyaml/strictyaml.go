// Package strictyaml reads YAML that people wrote by hand, and tells them everything that is wrong with it at once.
//
// A YAML library is built to be generous: a misspelt key is dropped, "off" may become false, a number without a unit
// becomes nanoseconds. In a mail filter each of these ends in mail handled differently from what the operator wrote.
// So this package uses gopkg.in/yaml.v3 for the syntax only and decodes the tree itself:
//
//   - an unknown key is an error at any depth, with the nearest known key; so are a key given twice, a wrong type and a bad value;
//   - every error says "file:line:col: key.path: what is there, expected what"; all errors are reported, in order of
//     position (of each step the first hundred, for nobody reads more);
//   - values are decoded onto what the struct already holds, so defaults live in Go: a mapping merges, a list replaces,
//     and a key with nothing behind it says nothing (an empty document or section is valid);
//   - nothing is guessed: true and false are the only booleans, a duration or size needs its unit;
//   - size, depth and the growth by aliases are bounded ([MaxBytes], [MaxDepth], [MaxNodes]).
//
// # Use
//
// [Decode] does it in one step. In several steps: [Parse] each file, [Merge] the trees (each value remembers its own
// file), [Node.Expand] what may hold ${env:NAME} or ${file:PATH}, then [Node.Decode].
//
// Struct fields are found by their `yaml:"name"` tag; a field without one is not read. A field of type [Pos] without a
// tag learns where the mapping began. An embedded struct without a tag lends its keys to the outer one.
//
// Understood without further ado: string, bool, integers, floats, [time.Duration] (30s, 5m, 7d), [io/fs.FileMode] (octal
// permissions), [net/netip.Addr], [net/netip.Prefix] (a bare address is a network of one), pointers, slices and
// maps with string keys of all these; [Bytes], [Path], [Located] and [Section] of this package; and what implements
// [Decoder] or [encoding.TextUnmarshaler]. A struct that implements [Validator] checks itself once it is read.
package strictyaml

import "fmt"

// Bounds for one document. They are far above what a person writes and far below what hurts.
const (
	MaxBytes = 4 << 20 // of text
	MaxDepth = 64      // mappings and lists inside each other
	MaxNodes = 1 << 19 // keys, values and lists once all aliases are expanded
)

// Pos says where something stands in a file, as an editor counts: Line from 1, Col from 1 in characters.
// The zero Pos is nowhere; a Pos with a File only is the file as a whole.
type Pos struct {
	File string
	Line int
	Col  int
}

// String gives "file:line:col", or the file alone when there is no line.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// IsZero reports whether p is nowhere.
func (p Pos) IsZero() bool { return p == Pos{} }

// Decode reads one document onto into, which must be a non-nil pointer and may hold defaults. The name file is what
// errors show and what a [Path] is relative to. The error is nil or [Errors]; what could be read has been read even then.
func Decode(file string, src []byte, into any) error {
	var errs Errors
	n, err := Parse(file, src)
	errs.Add(err)
	if n != nil {
		errs.Add(n.Decode(into))
	}
	return errs.Err()
}
