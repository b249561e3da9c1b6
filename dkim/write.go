package dkim

import (
	"encoding/base64"
)

// A TagWriter writes the value of a signature field, tag by tag, folded so that
// its lines keep to 78 characters where the tags allow it (RFC 5322, section
// 2.1.1). Names and values must be clean: it escapes nothing.
type TagWriter struct {
	buf  []byte
	line int // length of the current line
}

// lineWanted is the length of a line without its end.
const lineWanted = 78

// NewTagWriter returns a writer for the value of the named field. The value
// begins with the blank after the colon.
func NewTagWriter(field string) *TagWriter {
	return &TagWriter{buf: make([]byte, 0, 1<<10), line: len(field) + len(":")}
}

// Tag writes one tag on one line.
func (w *TagWriter) Tag(name, value string) {
	w.name(name, len(value))
	w.append(value)
}

// List writes a tag whose value is a list with colons, such as h=.
func (w *TagWriter) List(name string, members []string) {
	first := 0
	if len(members) > 0 {
		first = len(members[0])
	}
	w.name(name, first)
	for i, m := range members {
		if i > 0 {
			w.append(":")
			w.foldFor(len(m) + len(":"))
		}
		w.append(m)
	}
}

// Base64 writes a tag whose value is binary.
func (w *TagWriter) Base64(name string, value []byte) {
	w.name(name, len("xxxx"))
	w.Value(value)
}

// Value writes binary data in base64 at the end of the value, which is where the
// signature goes after Tag("b", "") and the hash of everything before.
func (w *TagWriter) Value(value []byte) {
	text := base64.StdEncoding.EncodeToString(value)
	for text != "" {
		n := min(len(text), max(lineWanted-w.line-len(";"), 0))
		w.append(text[:n])
		if text = text[n:]; text != "" {
			w.fold()
		}
	}
}

// String returns what has been written.
func (w *TagWriter) String() string { return string(w.buf) }

// name writes what stands before a value of which size bytes are to stay on the
// same line.
func (w *TagWriter) name(name string, size int) {
	if len(w.buf) > 0 {
		w.append(";")
	}
	size += len(" ") + len(name) + len("=") + len(";")
	if w.line+size > lineWanted {
		w.fold()
	} else {
		w.append(" ")
	}
	w.append(name)
	w.append("=")
}

func (w *TagWriter) foldFor(size int) {
	if w.line+size > lineWanted {
		w.fold()
	}
}

func (w *TagWriter) fold() {
	w.buf = append(w.buf, "\n\t"...)
	w.line = 1
}

func (w *TagWriter) append(s string) {
	w.buf = append(w.buf, s...)
	w.line += len(s)
}
