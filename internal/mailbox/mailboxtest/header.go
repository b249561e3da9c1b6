package mailboxtest

import (
	"bytes"
	"strings"
)

// Without returns a message without the header fields for whose names, in lower case, drop
// says so. A filter that learns from a collection must not see what put the messages there.
func Without(raw []byte, drop func(name string) bool) []byte {
	head, body, _ := bytes.Cut(raw, []byte("\n\n"))
	var kept []byte
	keep := true
	for line := range bytes.Lines(append(bytes.Clone(head), '\n')) {
		if line[0] != ' ' && line[0] != '\t' { // else it goes on
			name, _, _ := strings.Cut(string(line), ":")
			keep = !drop(strings.ToLower(name))
		}
		if keep {
			kept = append(kept, line...)
		}
	}
	return append(append(kept, '\n'), body...)
}
