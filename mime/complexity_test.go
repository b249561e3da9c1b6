package mime_test

import (
	"maps"
	"slices"
	"testing"

	"milterd/internal/complexity"
	"milterd/mime"
)

// readAll asks a message for everything there is to ask.
func readAll(message []byte) {
	tree := mime.WalkMessage(message, mime.Limits{})
	for _, p := range tree.Parts {
		p.Content()
	}
	tree.VisibleText()
	tree.HiddenText()
	tree.URLs()
	tree.Attachments()
}

// Bombs of a megabyte, the size of all text that is looked at.
func BenchmarkBombs(b *testing.B) {
	for _, name := range slices.Sorted(maps.Keys(bombs)) {
		message := []byte(bombs[name](1 << 20))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				readAll(message)
			}
		})
	}
}

// However a message is built, the walk and everything that decodes takes time
// in proportion to its size.
func TestComplexity(t *testing.T) {
	words := map[string]complexity.Text{}
	for _, bomb := range wordBombs {
		words["words "+bomb] = complexity.Repeat(bomb)
	}
	complexity.Check(t,
		complexity.Parser{Name: "message", Shapes: bombs, Run: func(text string) { readAll([]byte(text)) }},
		complexity.Parser{Name: "words", Shapes: words, Run: func(text string) { mime.DecodeWords(text) }},
	)
}
