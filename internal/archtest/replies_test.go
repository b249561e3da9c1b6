package archtest

import (
	"regexp"
	"strings"
	"testing"
)

// A reply as message/reply.go writes it: code, enhanced code, and its text or the Go
// expression that makes it.
var replyLiteral = regexp.MustCompile(`Code: (\d+), Enhanced: "([\d.]+)", Text: ([^\n]+)\}`)

// TestRepliesExplained: whoever looks for what milterd said finds a heading.
func TestRepliesExplained(t *testing.T) {
	var headings []string
	for line := range strings.Lines(readDocument(t, "docs/troubleshooting.md")) {
		if text, ok := strings.CutPrefix(line, "## "); ok {
			headings = append(headings, strings.TrimSpace(text))
		}
	}
	replies := replyLiteral.FindAllStringSubmatch(readDocument(t, "message/reply.go"), -1)
	if len(replies) < 15 {
		t.Fatalf("only %d replies found", len(replies))
	}
	for _, r := range replies {
		_, text, _ := strings.Cut(r[3], `"`)
		text, _, _ = strings.Cut(text, `"`)
		text, _, _ = strings.Cut(text, "%")
		text = strings.TrimSpace(text)
		found := false
		for _, h := range headings {
			found = found || strings.HasPrefix(h, r[1]+" "+r[2]+" ") && text != "" && strings.Contains(h, text)
		}
		if !found {
			t.Errorf("docs/troubleshooting.md has no heading for %s %s %s", r[1], r[2], text)
		}
	}
}
