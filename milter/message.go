package milter

import (
	"bytes"
	"slices"
	"strings"
)

// Field is one header field: Value is all that follows the colon, folds a bare LF.
type Field struct{ Name, Value string }

// Message is a message as an MTA shows it to a filter.
type Message struct {
	Fields []Field
	Body   []byte // lines ended by CRLF
	crlf   bool   // the lines of the original were
}

// ParseMessage takes a message apart as Postfix does. Line endings may be LF or
// CRLF. The header ends at an empty line or at the first line that is no field:
// what follows is body. White space between name and colon is dropped, a line is
// cut at a NUL, a lone CR becomes a space, an mbox "From " line the field
// X-Mailbox-Line.
func ParseMessage(raw []byte) *Message {
	m := &Message{}
	first, _, _ := bytes.Cut(raw, []byte{'\n'})
	m.crlf = bytes.HasSuffix(first, []byte{'\r'})
	var folds []string // of the last field, joined at its end: one by one they are quadratic
	for len(raw) > 0 {
		line, rest := cutLine(raw)
		if len(line) == 0 {
			raw = rest
			break
		}
		text := headerText(line)
		if len(m.Fields) > 0 && (line[0] == ' ' || line[0] == '\t') {
			folds = append(folds, text)
			raw = rest
			continue
		}
		folds = m.fold(folds)
		field, ok := parseLine(text)
		if !ok {
			if len(m.Fields) > 0 || !isMailbox(text) {
				break
			}
			field = Field{"X-Mailbox-Line", " " + text}
		}
		m.Fields = append(m.Fields, field)
		raw = rest
	}
	m.fold(folds)
	m.Body = make([]byte, 0, len(raw)+len(raw)/32+2)
	for len(raw) > 0 {
		var line []byte
		line, raw = cutLine(raw)
		m.Body = append(append(m.Body, line...), '\r', '\n')
	}
	return m
}

// fold gives the last field its other lines, and the slice back for the next.
func (m *Message) fold(lines []string) []string {
	if len(lines) > 0 {
		last := &m.Fields[len(m.Fields)-1]
		last.Value += "\n" + strings.Join(lines, "\n")
	}
	return lines[:0]
}

func cutLine(raw []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(raw, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), rest
}

func headerText(line []byte) string {
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i]
	}
	return strings.ReplaceAll(string(line), "\r", " ")
}

func isMailbox(line string) bool {
	return strings.HasPrefix(line, "From ") || strings.HasPrefix(line, ">From ")
}

// parseLine divides "Name: value": the name is printable ASCII.
func parseLine(line string) (Field, bool) {
	name, value, ok := strings.Cut(line, ":")
	name = strings.TrimRight(name, " \t")
	if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return Field{}, false
	}
	return Field{name, value}, true
}

// Apply makes the edits in the order given (the order of the wire), as Postfix
// makes them: an insertion counts Postfix's own Received, which is not shown, as
// the first field; changing a field that is not there adds it; deleting one that
// is not there does nothing. Edits of the envelope are none of the message's.
func (m *Message) Apply(edits []Edit) *Message {
	out := &Message{Fields: slices.Clone(m.Fields), Body: m.Body, crlf: m.crlf}
	for _, e := range edits {
		field := Field{e.Name, " " + e.Value}
		if e.Tight {
			field.Value = e.Value
		}
		switch e.Op {
		case OpInsertHeader:
			at := min(max(e.Index-1, 0), len(out.Fields))
			out.Fields = slices.Insert(out.Fields, at, field)
		case OpAddHeader:
			out.Fields = append(out.Fields, field)
		case OpChangeHeader, OpDeleteHeader:
			at := out.find(e.Index, e.Name)
			switch {
			case at < 0 && e.Op == OpChangeHeader:
				out.Fields = append(out.Fields, field)
			case at < 0:
			case e.Op == OpChangeHeader:
				out.Fields[at] = field
			default:
				out.Fields = slices.Delete(out.Fields, at, at+1)
			}
		}
	}
	return out
}

// find gives the place of the nth field of a name, -1 when there is none.
func (m *Message) find(nth int, name string) int {
	for i, f := range m.Fields {
		if strings.EqualFold(f.Name, name) {
			if nth--; nth == 0 {
				return i
			}
		}
	}
	return -1
}

// Bytes writes the message with the line endings that it came in.
func (m *Message) Bytes() []byte {
	var b bytes.Buffer
	for _, f := range m.Fields {
		b.WriteString(f.Name)
		b.WriteByte(':')
		b.WriteString(f.Value)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	if m.crlf {
		return append(bytes.ReplaceAll(b.Bytes(), []byte{'\n'}, []byte{'\r', '\n'}), m.Body...)
	}
	return append(b.Bytes(), bytes.ReplaceAll(m.Body, []byte{'\r', '\n'}, []byte{'\n'})...)
}
