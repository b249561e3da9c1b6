package integration

import (
	"fmt"
	"strings"
)

// Mail is a message to send. Its bytes end every line with CRLF.
type Mail struct {
	From    string   // the From field's value; "" leaves the field out
	To      string   // the To field's value
	Subject string   // make it unique: tests find their mail by it
	Header  []string // whole fields, put above From as a stranger would
	Body    string   // one line or several, joined by line feeds
}

// MessageID is the message-id, without angle brackets, that Bytes gives the mail.
func (m Mail) MessageID() string {
	return strings.ReplaceAll(strings.ToLower(m.Subject), " ", ".") + "@sender.test"
}

// Bytes returns the message as it goes over the wire, before dot-stuffing.
func (m Mail) Bytes() []byte {
	var b strings.Builder
	for _, field := range m.Header {
		fmt.Fprintf(&b, "%s\r\n", field)
	}
	if m.From != "" {
		fmt.Fprintf(&b, "From: %s\r\n", m.From)
	}
	fmt.Fprintf(&b, "To: %s\r\nSubject: %s\r\nMessage-ID: <%s>\r\n", m.To, m.Subject, m.MessageID())
	fmt.Fprintf(&b, "Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n\r\n%s\r\n", strings.ReplaceAll(m.Body, "\n", "\r\n"))
	return []byte(b.String())
}

// Field is one header field.
type Field struct {
	Name  string
	Value string // unfolded: line breaks dropped, outer white space too
}

// Delivered is a message as it arrived: in a mailbox, at the sink, or in the queue.
type Delivered struct {
	Fields []Field // from top to bottom
	Body   string  // lines end with a line feed
}

// ParseDelivered reads a message as it lies in a file, with any line ends.
func ParseDelivered(raw []byte) Delivered { return parseDelivered(raw) }

// parseDelivered reads a message with any line ends.
func parseDelivered(raw []byte) Delivered {
	text := strings.ReplaceAll(string(raw), "\r\n", "\n")
	head, body, _ := strings.Cut(text, "\n\n")
	d := Delivered{Body: body}
	for line := range strings.SplitSeq(head, "\n") {
		if n := len(d.Fields); n > 0 && strings.IndexAny(line, " \t") == 0 {
			d.Fields[n-1].Value += line
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		d.Fields = append(d.Fields, Field{Name: name, Value: value})
	}
	for i := range d.Fields {
		d.Fields[i].Value = strings.TrimSpace(d.Fields[i].Value)
	}
	return d
}

// All returns the values of every field of that name, whatever its case.
func (d Delivered) All(name string) []string {
	var values []string
	for _, f := range d.Fields {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

// Get returns the value of the topmost field of that name, or "".
func (d Delivered) Get(name string) string {
	if all := d.All(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// Named returns the fields whose name begins with the prefix, whatever its case.
func (d Delivered) Named(prefix string) []Field {
	var fields []Field
	for _, f := range d.Fields {
		if len(f.Name) >= len(prefix) && strings.EqualFold(f.Name[:len(prefix)], prefix) {
			fields = append(fields, f)
		}
	}
	return fields
}

// String is the header and the body again, for error texts.
func (d Delivered) String() string {
	var b strings.Builder
	for _, f := range d.Fields {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	return b.String() + "\n" + d.Body
}
