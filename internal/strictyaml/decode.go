package strictyaml

import (
	"encoding"
	"errors"
	"reflect"
	"slices"
)

// A Decoder reads itself from a node of any kind but Null (which leaves it as it is). An error that is not from
// [Node.Errorf], [Node.Expected] or [Node.Decode] is placed at the node.
type Decoder interface {
	DecodeYAML(n *Node) error
}

// A Validator is a struct that checks itself once it has been read from n without error: what no single key can know.
// Errors are best made by n.Key("name").Errorf, so that they point at the key.
type Validator interface {
	ValidateYAML(n *Node) error
}

var (
	decoderType = reflect.TypeFor[Decoder]()
	textType    = reflect.TypeFor[encoding.TextUnmarshaler]()
	posType     = reflect.TypeFor[Pos]()
	sectionType = reflect.TypeFor[Section]()
)

// Decode reads n onto into, which must be a non-nil pointer and may hold defaults. The error is nil or [Errors]; what
// could be read has been read even then.
func (n *Node) Decode(into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return Errors{{Pos: n.Pos(), Path: n.Path(), What: "decoding into something that is not a pointer, a fault of the program"}}
	}
	d := decoder{types: n.types}
	if d.types == nil {
		d.types = typeCache{}
	}
	d.value(n.raw, n.at, v.Elem())
	return d.errs.Err()
}

// decoder is one run of Decode.
type decoder struct {
	errs  Errors
	types typeCache
}

// add keeps an error, placed at n unless it knows better.
func (d *decoder) add(n *node, at *place, err error) {
	if len(d.errs) < maxErrors {
		d.errs.add(err, func(err error) *Error {
			return &Error{Pos: n.pos, Path: at.String(), What: err.Error(), Err: err}
		})
	}
}

func (d *decoder) expected(n *node, at *place, what string) {
	d.add(n, at, (&Node{n, at, d.types}).Expected(what))
}

// value reads n onto v, which is addressable.
func (d *decoder) value(n *node, at *place, v reflect.Value) {
	if n.kind == Null && v.Type() != sectionType {
		return // says nothing: the default stays
	}
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem()) // the default may be shared, so it is copied
		if !v.IsNil() {
			fresh.Elem().Set(v.Elem())
		}
		d.value(n, at, fresh.Elem())
		v.Set(fresh)
		return
	}
	if own, ok := v.Addr().Interface().(Decoder); ok {
		d.add(n, at, own.DecodeYAML(&Node{n, at, d.types}))
		return
	}
	if read, ok := scalars[v.Type()]; ok {
		d.scalar(n, at, v, read)
		return
	}
	if own, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.scalar(n, at, v, scalar{"a single value", func(n *node, _ reflect.Value) error { return own.UnmarshalText([]byte(n.text)) }})
		return
	}
	switch kind := v.Kind(); kind {
	case reflect.Struct:
		d.structure(n, at, v)
	case reflect.Slice:
		d.slice(n, at, v)
	case reflect.Map:
		d.mapping(n, at, v)
	default:
		read, ok := scalarKinds[kind]
		if !ok {
			d.add(n, at, errors.New("a key of type "+v.Type().String()+" cannot be read, a fault of the program"))
			return
		}
		d.scalar(n, at, v, read)
	}
}

// scalar reads a single value by a reader of this package or of the type itself.
func (d *decoder) scalar(n *node, at *place, v reflect.Value, read scalar) {
	if n.kind != Scalar {
		d.expected(n, at, read.expect(v))
		return
	}
	switch err := read.set(n, v); {
	case err == nil:
	case errors.Is(err, errUnexpected):
		d.expected(n, at, read.expect(v))
	case n.expanded: // the text of the error may show the secret
		d.expected(n, at, "another value behind it")
	default:
		d.add(n, at, err)
	}
}

// slice replaces v.
func (d *decoder) slice(n *node, at *place, v reflect.Value) {
	if n.kind != List {
		d.expected(n, at, "a list")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		if item.kind == Null {
			d.expected(item, at.item(i), "a value or no item")
			continue
		}
		d.value(item, at.item(i), list.Index(i))
	}
	v.Set(list)
}

// mapping merges n into a copy of the map v. A key with nothing behind it is noted when its value is a section or
// another thing with keys of its own; a plain value it leaves as it is.
func (d *decoder) mapping(n *node, at *place, v reflect.Value) {
	if n.kind != Mapping {
		d.expected(n, at, "a mapping")
		return
	}
	if v.Type().Key().Kind() != reflect.String {
		d.add(n, at, errors.New("a map of type "+v.Type().String()+" cannot be read, a fault of the program"))
		return
	}
	all := reflect.MakeMapWithSize(v.Type(), v.Len()+len(n.items))
	for k, old := range v.Seq2() {
		all.SetMapIndex(k, old)
	}
	for i, k := range n.keys {
		name := reflect.ValueOf(k.name).Convert(v.Type().Key())
		fresh := reflect.New(v.Type().Elem()).Elem()
		if old := all.MapIndex(name); old.IsValid() {
			fresh.Set(old)
		} else if kind := fresh.Kind(); n.items[i].kind == Null && kind != reflect.Struct && kind != reflect.Map && kind != reflect.Pointer {
			continue
		}
		d.value(n.items[i], at.child(k.name), fresh)
		all.SetMapIndex(name, fresh)
	}
	v.Set(all)
}

// structure reads the keys of n onto the fields of v.
func (d *decoder) structure(n *node, at *place, v reflect.Value) {
	if n.kind != Mapping {
		d.expected(n, at, "a mapping")
		return
	}
	before := len(d.errs)
	shape := d.types.of(v.Type())
	for i, k := range n.keys {
		index, known := shape.fields[k.name]
		if !known {
			if len(d.errs) < maxErrors {
				d.errs = append(d.errs, unknownKey(at, k, shape.names))
			}
			continue
		}
		d.value(n.items[i], at.child(k.name), v.FieldByIndex(index))
	}
	for _, index := range shape.positions {
		v.FieldByIndex(index).Set(reflect.ValueOf(n.pos))
	}
	if own, ok := v.Addr().Interface().(Validator); ok && len(d.errs) == before {
		d.add(n, at, own.ValidateYAML(&Node{n, at, d.types}))
	}
}

// shape is what there is to know about a struct type.
type shape struct {
	names     []string         // keys, in the order of the fields
	fields    map[string][]int // where each is
	positions [][]int          // fields of type Pos to be filled
}

// typeCache keeps shapes for one decoding, so that ten thousand rules look at their struct once.
type typeCache map[reflect.Type]*shape

func (c typeCache) of(t reflect.Type) *shape {
	if s, ok := c[t]; ok {
		return s
	}
	s := &shape{fields: map[string][]int{}}
	s.collect(t, nil)
	c[t] = s
	return s
}

func (s *shape) collect(t reflect.Type, outer []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(slices.Clone(outer), i)
		name, tagged := f.Tag.Lookup("yaml")
		switch {
		case !tagged && f.Type == posType && f.IsExported():
			s.positions = append(s.positions, index)
		case !tagged && f.Anonymous && f.Type.Kind() == reflect.Struct:
			s.collect(f.Type, index)
		case tagged && name != "-" && f.IsExported():
			s.names = append(s.names, name)
			s.fields[name] = index
		}
	}
}

// Keys lists the keys that a struct (or pointer to one) understands, by field order, each mapping before its members:
// log, log.format, log.level. It does not look into lists, maps, and types that read themselves.
func Keys(of any) []string {
	var all []string
	types := typeCache{}
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		own := reflect.PointerTo(t)
		if _, builtin := scalars[t]; t.Kind() != reflect.Struct || builtin || own.Implements(decoderType) || own.Implements(textType) {
			return
		}
		s := types.of(t)
		for _, name := range s.names {
			all = append(all, prefix+name)
			walk(t.FieldByIndex(s.fields[name]).Type, prefix+name+".")
		}
	}
	walk(reflect.TypeOf(of), "")
	return all
}
