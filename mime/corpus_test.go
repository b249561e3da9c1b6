package mime_test

import (
	"strings"
	"testing"

	"milterd/internal/mailbox/mailboxtest"

	xhtml "golang.org/x/net/html"

	"milterd/mime"
)

// corpus returns the messages of the public corpora, or skips the test. They are
// of 2002 and 2003, and not part of this project.
func corpus(t testing.TB) (messages [][]byte) {
	t.Helper()
	for _, kind := range []string{"ham", "spam"} {
		for _, m := range mailboxtest.Corpus(t, kind) {
			messages = append(messages, m.Raw)
		}
	}
	return messages
}

func benchmarkCorpus(b *testing.B, work func(*mime.Tree)) {
	messages := corpus(b)
	size := 0
	for _, m := range messages {
		size += len(m)
	}
	b.SetBytes(int64(size / len(messages)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		work(mime.WalkMessage(messages[i%len(messages)], mime.Limits{}))
	}
}

func BenchmarkCorpusWalk(b *testing.B) { benchmarkCorpus(b, func(*mime.Tree) {}) }

func BenchmarkCorpusText(b *testing.B) {
	benchmarkCorpus(b, func(tree *mime.Tree) { tree.VisibleText() })
}

func BenchmarkCorpusTextAndURLs(b *testing.B) {
	benchmarkCorpus(b, func(tree *mime.Tree) { tree.VisibleText(); tree.URLs() })
}

// treeText collects the text in a tree of HTML that is no script and no style
// sheet.
func treeText(n *xhtml.Node, to *strings.Builder) {
	if n.Type == xhtml.ElementNode && (n.Data == "script" || n.Data == "style") {
		return
	}
	if n.Type == xhtml.TextNode {
		to.WriteString(n.Data + " ")
	}
	for child := range n.ChildNodes() {
		treeText(child, to)
	}
}

// Real mail is read whole: no limit is met, every URL is one, and the text of
// HTML is all there, visible or hidden.
func TestCorpus(t *testing.T) {
	messages := corpus(t)
	pages, urls, differing, long := 0, 0, 0, 0
	for i, message := range messages {
		tree := mime.WalkMessage(message, mime.Limits{})
		check(t, tree, defaults)
		checkWhole(t, tree, message)
		_, found := tree.VisibleText()
		list, more := tree.URLs()
		for _, u := range list {
			checkURL(t, u)
		}
		urls += len(list)
		found |= more | tree.Facts
		for f := range found.All() {
			if f == mime.LimitURLs && len(list) == 1000 {
				long++ // a page of links
			} else if strings.HasPrefix(f.String(), "MIME_LIMIT") {
				t.Errorf("message %d: %v", i, f)
			}
		}
		if found.Has(mime.URLDisplayedOther) {
			differing++
		}
		for _, p := range tree.Parts {
			if !p.IsHTML() {
				continue
			}
			if pages++; pages%4 != 0 {
				continue // building trees takes its time
			}
			source, _ := p.Text()
			view, _ := p.View()
			root, err := xhtml.Parse(strings.NewReader(source))
			if err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			var all strings.Builder
			treeText(root, &all)
			if got, want := letters(view.Visible)+letters(view.Hidden), letters(all.String()); got < want {
				t.Errorf("message %d: %d letters, visible and hidden %d", i, want, got)
			}
		}
	}
	t.Logf("%d messages, %d pages, %d URLs; %d messages with a link that shows another domain", len(messages), pages, urls, differing)
	if len(messages) < 1000 || pages < 100 || long > 1 {
		t.Errorf("%d messages with %d pages, %d of them too long", len(messages), pages, long)
	}
}
