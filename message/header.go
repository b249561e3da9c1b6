package message

import (
	"iter"
	"strings"
	"sync"
)

// Field is one header field.
type Field struct {
	// Name is the field's name as received; compare without regard to case.
	Name string
	// Value is everything after the colon exactly as received: leading blank,
	// folds and all. Postfix joins folded lines by a bare LF.
	Value string
}

// Header is the header of a message: its fields from top to bottom.
type Header struct {
	Fields []Field
	// Size is the length of the block in bytes with CRLF line ends.
	Size int
	// OverLimit names the limit that the header went over (header_fields,
	// header_bytes); Fields then holds only its beginning. Empty otherwise.
	OverLimit string

	author      func() Author
	authorLimit int
}

// NewHeader returns a header of the given fields. fromLimit bounds the bytes
// of From that are read (limits.from_bytes).
func NewHeader(fields []Field, fromLimit int) *Header {
	h := &Header{Fields: fields, authorLimit: fromLimit}
	for _, f := range fields {
		h.Size += len(f.Name) + len(":\r\n") + len(f.Value) + strings.Count(f.Value, "\n")
	}
	h.author = sync.OnceValue(h.parseAuthor)
	return h
}

// Get returns the value of the topmost field of that name.
func (h *Header) Get(name string) (value string, ok bool) {
	for v := range h.All(name) {
		return v, true
	}
	return "", false
}

// Text returns the topmost field of that name unfolded and without blanks
// around it, or "".
func (h *Header) Text(name string) string {
	v, _ := h.Get(name)
	return Unfold(v)
}

// All yields the values of the fields of that name from top to bottom.
func (h *Header) All(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range h.Fields {
			f := &h.Fields[i]
			if len(f.Name) == len(name) && strings.EqualFold(f.Name, name) && !yield(f.Value) {
				return
			}
		}
	}
}

// Count returns how many fields of that name there are.
func (h *Header) Count(name string) int {
	n := 0
	for range h.All(name) {
		n++
	}
	return n
}

// Author returns the identity of the From field. It is parsed once.
func (h *Header) Author() Author { return h.author() }

func (h *Header) parseAuthor() Author {
	var from []string
	for v := range h.All("From") {
		from = append(from, v)
	}
	return ParseAuthor(from, h.Count("Sender") > 0, h.authorLimit)
}

// Unfold removes the line breaks of a folded value and the blanks around it
// (RFC 5322, section 2.2.3).
func Unfold(value string) string {
	if strings.ContainsAny(value, "\r\n") {
		line := make([]byte, 0, len(value))
		for i := range len(value) {
			if c := value[i]; c != '\r' && c != '\n' {
				line = append(line, c)
			}
		}
		value = string(line)
	}
	return strings.Trim(value, " \t")
}
