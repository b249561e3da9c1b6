package archtest

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A reply as message/reply.go writes it: code, enhanced code, and its text or the Go
// expression that makes it.
var replyLiteral = regexp.MustCompile(`Code: (\d+), Enhanced: "([\d.]+)", Text: ([^\n]+)\}`)

var verb = regexp.MustCompile(`%[a-z]`)

// TestRepliesExplained: whoever looks for what milterd said finds a heading, and a line in
// the table of README.md.
func TestRepliesExplained(t *testing.T) {
	var headings []string
	for line := range strings.Lines(readDocument(t, "docs/troubleshooting.md")) {
		if text, ok := strings.CutPrefix(line, "## "); ok {
			headings = append(headings, strings.TrimSpace(text))
		}
	}
	var rows []string
	for line := range strings.Lines(readDocument(t, "README.md")) {
		if row, ok := strings.CutPrefix(line, "| "); ok {
			rows = append(rows, row)
		}
	}
	replies := replyLiteral.FindAllStringSubmatch(readDocument(t, "message/reply.go"), -1)
	if len(replies) < 15 {
		t.Fatalf("only %d replies found", len(replies))
	}
	for _, r := range replies {
		_, text, _ := strings.Cut(r[3], `"`)
		text, _, _ = strings.Cut(text, `"`)
		says := func(heading string) bool {
			for _, piece := range verb.Split(text, -1) { // what stands between is the message's
				if !strings.Contains(heading, strings.TrimSpace(piece)) {
					return false
				}
			}
			return text != "" && strings.HasPrefix(heading, r[1]+" "+r[2]+" ")
		}
		if !slices.ContainsFunc(headings, says) {
			t.Errorf("docs/troubleshooting.md has no heading for %s %s %s", r[1], r[2], text)
		}
		if !slices.ContainsFunc(rows, says) {
			t.Errorf("README.md does not tell of %s %s %s", r[1], r[2], text)
		}
	}
}
