package mime

import (
	"fmt"
	"strings"
	"sync"

	"milterd/message"
)

// Shared is the tree of a message whose body is complete, walked once for all who
// look at it. scan is how many bytes of the body are looked at; more says that there
// are more. The tree is in use no longer than the body (see [message.Spool]).
func Shared(m *message.Message, scan int64, limits Limits) (tree *Tree, more bool, err error) {
	fields := contentFields(m.Header)
	if m.Body == nil {
		return Walk(fields, nil, limits), false, nil
	}
	raw, err := m.Body.Bytes(scan)
	if err != nil {
		return nil, false, fmt.Errorf("reading the body: %w", err)
	}
	walk := m.Body.Shared(sharedKey{m.Header, scan, limits}, func() any {
		return sync.OnceValue(func() *Tree { return Walk(fields, raw, limits) })
	}).(func() *Tree)
	return walk(), m.Body.Size() > int64(len(raw)), nil
}

// sharedKey tells walks apart that may end in different trees.
type sharedKey struct {
	header *message.Header
	scan   int64
	limits Limits
}

// contentFields are the fields of a header that matter to a walk.
func contentFields(h *message.Header) []Field {
	var fields []Field
	for i := range h.Fields {
		if f := &h.Fields[i]; len(f.Name) > 8 && strings.EqualFold(f.Name[:8], "Content-") {
			fields = append(fields, Field{Name: f.Name, Value: f.Value})
		}
	}
	return fields
}
