package dkim

import (
	"slices"

	"milterd/message"
)

// Header is the header of a message, made ready for finding the fields that h=
// tags name. It is for one goroutine.
type Header struct {
	fields []message.Field
	ids    map[string]int32 // of names in lower case
	lowest []int32          // by id: the field of that name nearest to the body
	above  []int32          // by field: the next one of that name above it, -1 when there is none

	cursor []int32 // by id, for Select
	picked []int
	name   []byte
	buf    []byte
}

// NewHeader returns the header of the given fields, from top to bottom, which it
// keeps and does not change.
func NewHeader(fields []message.Field) *Header {
	size := 0
	for i := range fields {
		size += len(fields[i].Name)
	}
	h := &Header{
		fields: fields,
		ids:    make(map[string]int32, len(fields)),
		above:  make([]int32, len(fields)),
		lowest: make([]int32, 0, len(fields)),
		name:   make([]byte, 0, 64),
		buf:    make([]byte, 0, 1<<10),
	}
	// All names in lower case, in one piece.
	names := make([]byte, 0, size)
	for i := range fields {
		names = appendLower(names, fields[i].Name)
	}
	rest := string(names)
	for i := range fields {
		name := rest[:len(fields[i].Name)]
		rest = rest[len(name):]
		for name != "" && isBlank(name[len(name)-1]) {
			name = name[:len(name)-1]
		}
		id, known := h.ids[name]
		if !known {
			id = int32(len(h.lowest))
			h.ids[name] = id
			h.lowest = append(h.lowest, -1)
		}
		h.above[i] = h.lowest[id]
		h.lowest[id] = int32(i)
	}
	return h
}

// Select returns the places of the fields that names stand for, one for each
// name (RFC 6376, section 5.4.2): a name given for the first time is the field
// of that name nearest to the body, the second time the one above it, and so on.
// It is -1 where the header has no more of that name: such a name signs that
// there is none. The signature field itself, at the place own, is never taken
// (section 3.5, h=); own is -1 when it is not in the header.
//
// The slice is valid until the next call.
func (h *Header) Select(names []string, own int) []int {
	h.cursor = append(h.cursor[:0], h.lowest...)
	h.picked = slices.Grow(h.picked[:0], len(names))
	for _, name := range names {
		h.name = appendLower(h.name[:0], name)
		at := -1
		// A field without a name is no field.
		if id, ok := h.ids[string(h.name)]; ok && name != "" {
			at = int(h.cursor[id])
			if at == own && at >= 0 {
				at = int(h.above[at])
			}
			if at >= 0 {
				h.cursor[id] = h.above[at]
			} else {
				h.cursor[id] = -1
			}
		}
		h.picked = append(h.picked, at)
	}
	return h.picked
}

// Count returns how many fields of that name there are.
func (h *Header) Count(name string) int {
	h.name = appendLower(h.name[:0], name)
	id, ok := h.ids[string(h.name)]
	if !ok {
		return 0
	}
	n := 0
	for i := h.lowest[id]; i >= 0; i = h.above[i] {
		n++
	}
	return n
}
