package clamav

import (
	"testing"

	"milterd/internal/complexity"
)

// TestComplexity: answers of a clamd that is none, far above what is read of one.
func TestComplexity(t *testing.T) {
	complexity.Check(t, complexity.Parser{Name: "reply", Frame: func(text string) string { return "stream: " + text + " FOUND\x00" },
		Shapes: map[string]complexity.Text{"names": complexity.Repeat("a FOUND ")}, Run: func(text string) { parseReply([]byte(text)) }})
}
