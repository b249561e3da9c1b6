package message

import "strings"

// Op is what an Edit does.
type Op string

const (
	// Insert puts a field at Index (0 is the very top). Several at one Index stand
	// in the order in which they are given.
	Insert Op = "insert"
	// Delete removes the Index-th field of that name, counted from 1 at the top.
	Delete Op = "delete"
)

// Edit is one change to the header of a message. Bodies are never changed: a
// signature must survive us, and a replaced body has been lost before when the
// connection to a milter broke.
type Edit struct {
	Op    Op     `json:"op"`
	Index int    `json:"index"`
	Name  string `json:"name"`
	// Value is the text after "Name: "; folds are LF followed by a tab.
	Value string `json:"value,omitempty"`
}

// SafeText returns s with every byte that could end a header line, a log line
// or a reply replaced by '?', cut to at most limit bytes. What it returns is
// printable ASCII.
func SafeText(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	clean := true
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
}
