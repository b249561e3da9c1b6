package dns

import (
	"encoding/binary"
	"strings"
	"testing"

	"milterd/internal/complexity"

	mdns "github.com/miekg/dns"
)

// TestComplexity: replies of the size that a message over TCP can have.
func TestComplexity(t *testing.T) {
	frames := map[uint16]func(text string) string{}
	for _, qtype := range []uint16{mdns.TypeTXT, mdns.TypeA, mdns.TypeMX} {
		// The header promises more records than there can be; the text is them.
		begin := reply(t, qtype, nil)
		binary.BigEndian.PutUint16(begin[6:], 0xffff)
		frames[qtype] = func(text string) string { return string(begin) + text }
	}
	end := len(reply(t, mdns.TypeTXT, nil))
	pointer := func(at int) string { return string([]byte{0xc0 | byte(at>>8), byte(at)}) }
	const class = "\x00\x01\x00\x00\x00\x3c"
	shapes := map[string]complexity.Text{
		"texts":          complexity.Repeat("\xc0\x0c\x00\x10" + class + "\x00\x02\x01a"),
		"empty texts":    complexity.Repeat("\xc0\x0c\x00\x10" + class + "\x00\x01\x00"),
		"addresses":      complexity.Repeat("\xc0\x0c\x00\x01" + class + "\x00\x04\x7f\x00\x00\x02"),
		"aliases":        complexity.Repeat("\xc0\x0c\x00\x05" + class + "\x00\x02\xc0\x0c"),
		"aliases onward": onward,
		"exchangers":     complexity.Repeat("\xc0\x0c\x00\x0f" + class + "\x00\x05\x00\x0a\x01a\x00"),
		"long names":     complexity.Repeat(strings.Repeat("\x3f"+strings.Repeat("a", 63), 3) + "\x00\x00\x01" + class + "\x00\x00"),
		"one long name":  complexity.Repeat("\x01a"),
		"a loop":         complexity.Repeat(pointer(end)),
		"many to a chain": func(size int) string {
			var chain strings.Builder // each label points at the one before it
			chain.WriteString("\x01a\x00")
			for at := end; chain.Len() < 1000; at = end + chain.Len() - 4 {
				chain.WriteString("\x01a" + pointer(at))
			}
			last := pointer(end + chain.Len() - 4)
			return chain.String() + complexity.Repeat(last+"\x00\x01"+class+"\x00\x00")(size)
		},
	}
	var all []complexity.Parser
	for qtype, frame := range frames {
		all = append(all, complexity.Parser{Name: mdns.TypeToString[qtype], Most: mdns.MaxMsgSize - 2000, Shapes: shapes, Frame: frame,
			Run: func(wire string) { read([]byte(wire), qtype) }})
	}
	complexity.Check(t, all...)
}

// onward are aliases each of which leads to the next.
func onward(size int) string {
	var b strings.Builder
	name := func(i int) string {
		return "\x05" + string([]byte{'n', 'a' + byte(i>>12&15), 'a' + byte(i>>8&15), 'a' + byte(i>>4&15), 'a' + byte(i&15)}) + "\x00"
	}
	b.WriteString("\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x07" + name(0))
	for i := 0; b.Len() < size; i++ {
		b.WriteString(name(i) + "\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x07" + name(i+1))
	}
	return b.String()
}
