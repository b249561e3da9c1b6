package authres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// MarshalJSON writes the result as the journal and scan --json show it:
//
//	{"method":"spf","result":"fail","reason":"","props":{"smtp.mailfrom":"a@b.test"}}
//
// The keys are always these four, in this order, and the properties stand in
// the order of Props, so the same result gives the same bytes. Comment and
// Version are not part of it. A property given twice keeps its first value.
func (m Method) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the outer encoder escapes once more if it wants to
	text := func(before, s string) error {
		b.WriteString(before)
		if !strings.ContainsFunc(s, escaped) { // nearly always
			b.WriteByte('"')
			b.WriteString(s)
			b.WriteByte('"')
			return nil
		}
		err := enc.Encode(s)
		b.Truncate(b.Len() - 1) // the encoder's newline
		return err
	}
	err := text(`{"method":`, m.Method)
	if err == nil {
		err = text(`,"result":`, m.Result)
	}
	if err == nil {
		err = text(`,"reason":`, m.Reason)
	}
	b.WriteString(`,"props":{`)
	separator := ""
	for name, value := range m.Named() {
		if err == nil {
			err = text(separator, name)
		}
		if err == nil {
			err = text(":", value)
		}
		separator = ","
	}
	if err != nil {
		return nil, fmt.Errorf("authres: result as JSON: %w", err)
	}
	b.WriteString("}}")
	return b.Bytes(), nil
}

// Named returns name and value of the properties as [Method.MarshalJSON] has them, in the
// order of Props: the name is "smtp.mailfrom", or the property alone where there is no
// ptype, and a name that is given twice keeps its first value.
func (m Method) Named() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		var room [8]string
		seen := room[:0]
		for _, p := range m.Props {
			name := p.Property
			if p.Ptype != "" {
				name = p.Ptype + "." + name
			}
			if slices.Contains(seen, name) {
				continue
			}
			if !yield(name, p.Value) {
				return
			}
			seen = append(seen, name)
		}
	}
}

// escaped says which characters may not stand in a JSON string as they are, and leaves
// those beyond ASCII to those who know more of them.
func escaped(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r >= 0x7f }

// UnmarshalJSON reads what MarshalJSON wrote; keys it does not know are passed
// over. Properties keep the order in which they stand.
func (m *Method) UnmarshalJSON(data []byte) error {
	var shape struct {
		Method string          `json:"method"`
		Result string          `json:"result"`
		Reason string          `json:"reason"`
		Props  json.RawMessage `json:"props"`
	}
	if err := json.Unmarshal(data, &shape); err != nil {
		return fmt.Errorf("authres: result from JSON: %w", err)
	}
	read := Method{Method: shape.Method, Result: shape.Result, Reason: shape.Reason}
	if len(shape.Props) > 0 {
		// First as a map, which checks the types; then token by token, which
		// keeps the order.
		if err := json.Unmarshal(shape.Props, new(map[string]string)); err != nil {
			return fmt.Errorf("authres: props from JSON: %w", err)
		}
		dec := json.NewDecoder(bytes.NewReader(shape.Props))
		var key string
		for isKey := true; ; {
			token, err := dec.Token()
			if err != nil {
				break // the end: the syntax is known to be good
			}
			word, ok := token.(string)
			switch {
			case !ok: // a brace, or null where a value is missing
				isKey = true
			case isKey:
				key, isKey = word, false
			default:
				p := Prop{Property: key, Value: word}
				if ptype, property, found := strings.Cut(key, "."); found {
					p.Ptype, p.Property = ptype, property
				}
				read.Props = append(read.Props, p)
				isKey = true
			}
		}
	}
	*m = read
	return nil
}
