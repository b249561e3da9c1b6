package bridge

import "milterd/message"

// headerBuilder gathers header fields in one buffer: a field costs no
// allocation of its own. A header over its limits keeps its beginning.
type headerBuilder struct {
	maxFields, maxBytes int
	bytes               []byte
	ends                []fieldEnd
	over                string
}

type fieldEnd struct{ name, value int }

func (h *headerBuilder) add(name, value []byte) {
	switch {
	case h.over != "":
		return
	case len(h.ends) >= h.maxFields:
		h.over = "header_fields"
		return
	case len(h.bytes)+len(name)+len(value) > h.maxBytes:
		h.over = "header_bytes"
		return
	}
	if h.bytes == nil {
		h.bytes = make([]byte, 0, 4096)
		h.ends = make([]fieldEnd, 0, 32)
	}
	h.bytes = append(h.bytes, name...)
	n := len(h.bytes)
	h.bytes = append(h.bytes, value...)
	h.ends = append(h.ends, fieldEnd{n, len(h.bytes)})
}

func (h *headerBuilder) build(fromLimit int) *message.Header {
	all := string(h.bytes)
	fields := make([]message.Field, len(h.ends))
	start := 0
	for i, e := range h.ends {
		fields[i] = message.Field{Name: all[start:e.name], Value: all[e.name:e.value]}
		start = e.value
	}
	header := message.NewHeader(fields, fromLimit)
	header.OverLimit = h.over
	return header
}
