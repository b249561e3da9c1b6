package archtest

import (
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// withoutHeading are log messages that nobody has to look up, each with the reason.
var withoutHeading = map[string]string{
	"learned": "info at most: the level says who taught",
}

// atWarnOrAbove are the methods of slog that log for somebody who has to act. Those
// whose level is an argument may.
var atWarnOrAbove = map[string]int{"Warn": 0, "Error": 0, "WarnContext": 1, "ErrorContext": 1, "Log": 2, "LogAttrs": 2}

// TestLogMessagesExplained: whoever looks for a warning or an error of the log finds a
// heading in docs/troubleshooting.md, and none stands there that no code writes.
func TestLogMessagesExplained(t *testing.T) {
	written := map[string]string{} // message to the place that writes it
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.dir, "integration") || strings.HasPrefix(s.dir, "bench") {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			at, ok := atWarnOrAbove[sel.Sel.Name]
			if !ok || len(call.Args) <= at {
				return true
			}
			lit, ok := call.Args[at].(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(lit.Value); err == nil {
				written[text] = s.pos(call)
			}
			return true
		})
	}
	if len(written) < 50 {
		t.Fatalf("only %d messages found", len(written))
	}
	explained, headings := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(readDocument(t, "docs/troubleshooting.md")) {
		heading, ok := strings.CutPrefix(line, "## ")
		if !ok {
			continue
		}
		if headings[heading] {
			t.Errorf("docs/troubleshooting.md has this heading twice: %s", heading)
		}
		headings[heading] = true
		for text := range written {
			if strings.Contains(heading, `"`+text+`"`) {
				explained[text] = true
			}
		}
		_, rest, _ := strings.Cut(heading, `msg="`)
		if text, _, ok := strings.Cut(rest, `"`); ok && written[text] == "" && text != "recipient refused" {
			t.Errorf("docs/troubleshooting.md: nobody logs %q at level warn or error any more", text)
		}
	}
	for _, text := range slices.Sorted(maps.Keys(written)) {
		switch why, listed := withoutHeading[text]; {
		case explained[text] && listed:
			t.Errorf("%q has a heading and a reason to have none (%s)", text, why)
		case !explained[text] && !listed:
			t.Errorf("%s: docs/troubleshooting.md has no heading for the log message %q", written[text], text)
		}
	}
	for text := range withoutHeading {
		if written[text] == "" {
			t.Errorf("%q needs no heading and is not logged either", text)
		}
	}
}
