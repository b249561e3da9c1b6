package mime_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"milterd/mime"
)

// defaults are what Limits{} stands for.
var defaults = mime.Limits{Depth: 20, Parts: 500, Parameters: 50, TextBytes: 1 << 20, HeaderFields: 1000, HeaderBytes: 256 << 10}

// outline draws a tree in one line: multipart/mixed(text/plain image/gif[a.gif])
func outline(p *mime.Part) string {
	var b strings.Builder
	b.WriteString(p.Type)
	if p.Filename != "" {
		b.WriteString("[" + p.Filename + "]")
	}
	for i, child := range p.Children {
		if i == 0 {
			b.WriteByte('(')
		} else {
			b.WriteByte(' ')
		}
		b.WriteString(outline(child))
	}
	if len(p.Children) > 0 {
		b.WriteByte(')')
	}
	return b.String()
}

// allFacts returns the facts of the walk and of everything decoded after it.
func allFacts(tree *mime.Tree) string {
	all := tree.Facts
	for _, p := range tree.Parts {
		_, content := p.Content()
		_, text := p.Text()
		all |= content | text
	}
	return strings.ReplaceAll(all.String(), "MIME_", "")
}

// check verifies what must hold for every tree.
func check(t *testing.T, tree *mime.Tree, limits mime.Limits) {
	t.Helper()
	if tree.Root == nil || len(tree.Parts) == 0 || tree.Parts[0] != tree.Root || len(tree.Parts) > limits.Parts {
		t.Fatalf("tree of %d parts", len(tree.Parts))
	}
	var all mime.Facts
	textBytes := 0
	for i, p := range tree.Parts {
		all |= p.Facts
		if p.Depth > limits.Depth || (i == 0) != (p.Parent == nil) || p.Parent != nil && p.Depth != p.Parent.Depth+1 {
			t.Fatalf("part %d has depth %d", i, p.Depth)
		}
		if p.Type == "" || p.Type != strings.ToLower(p.Type) || len(p.Params) > limits.Parameters || i > 0 && len(p.Header) > limits.HeaderFields {
			t.Fatalf("part %d: type %q, %d parameters, %d fields", i, p.Type, len(p.Params), len(p.Header))
		}
		content, found := p.Content()
		all |= found
		if len(content) > len(p.Raw) {
			t.Fatalf("part %d grew from %d to %d bytes", i, len(p.Raw), len(content))
		}
		text, found := p.Text()
		all |= found
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || text != "" && !p.IsText() {
			t.Fatalf("part %d: text %q", i, text)
		}
		textBytes += len(text)
		if p.IsHTML() {
			if visible := mime.HTMLText(text, 1000); len(visible) > 1000 || !utf8.ValidString(visible) {
				t.Fatalf("part %d: visible text of %d bytes", i, len(visible))
			}
		}
		if !utf8.ValidString(p.Filename) && utf8.ValidString(headerText(p)) {
			t.Fatalf("part %d: file name %q", i, p.Filename)
		}
	}
	if textBytes > 3*limits.TextBytes {
		t.Fatalf("%d bytes of text", textBytes)
	}
	if tree.Facts&^all != 0 {
		t.Fatalf("facts %v, of the parts %v", tree.Facts, all)
	}
}

func headerText(p *mime.Part) string {
	var b strings.Builder
	for _, f := range p.Header {
		b.WriteString(f.Value)
	}
	return b.String()
}

// checkWhole verifies that no byte of the message is lost: what is in no part is
// a delimiter, a field, a preamble or an epilogue.
func checkWhole(t *testing.T, tree *mime.Tree, message []byte) {
	t.Helper()
	if tree.Facts.Has(mime.LimitParts) || tree.Facts.Has(mime.EncodedMessage) {
		return
	}
	// Slices of one array know where they begin by how much may follow.
	start := func(raw []byte) int { return cap(message) - cap(raw) }
	end := func(raw []byte) int { return start(raw) + len(raw) }
	header := func(p *mime.Part, from int) {
		const tolerated = 1<<mime.BadHeader | 1<<mime.LimitHeader
		if p.Facts&tolerated != 0 {
			return
		}
		var fields strings.Builder
		for _, f := range p.Header {
			fields.WriteString(f.Name + ":" + f.Value)
		}
		text := string(message[from:start(p.Raw)])
		if line, rest, _ := strings.Cut(text, "\n"); strings.HasPrefix(strings.TrimPrefix(line, ">"), "From ") {
			text = rest
		}
		if letters(text) != letters(fields.String()) {
			t.Fatalf("header %q has fields %q", text, fields.String())
		}
	}
	header(tree.Root, 0)
	for _, p := range tree.Parts {
		if len(p.Children) == 0 {
			continue
		}
		if p.IsMessage() {
			header(p.Children[0], start(p.Raw))
			if end(p.Children[0].Raw) != end(p.Raw) {
				t.Fatalf("a message ends at %d, its content at %d", end(p.Raw), end(p.Children[0].Raw))
			}
			continue
		}
		at := start(p.Raw) + len(p.Preamble)
		for _, child := range p.Children {
			gap := message[at:start(child.Raw)]
			line, _, _ := bytes.Cut(bytes.TrimLeft(gap, "\r\n"), []byte("\n"))
			if !bytes.HasPrefix(line, []byte("--")) {
				t.Fatalf("between two parts: %q", gap)
			}
			header(child, min(at+bytes.Index(gap, line)+len(line)+1, start(child.Raw)))
			at = end(child.Raw)
		}
		rest := bytes.TrimLeft(message[at:end(p.Raw)], "\r\n")
		line, epilogue, _ := bytes.Cut(rest, []byte("\n"))
		if len(rest) > 0 && (!bytes.HasPrefix(line, []byte("--")) || letters(string(epilogue)) != letters(string(p.Epilogue))) {
			t.Fatalf("after the last part: %q, epilogue %q", rest, p.Epilogue)
		}
	}
}
