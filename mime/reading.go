package mime

import "strings"

// View is a text as a mail program shows it. For HTML, Visible is what a reader
// sees and Hidden what the source has besides: see [HTMLView]. Of plain text
// all is visible. In both, white space is squeezed: a run of it is one line
// feed where a line or a block ends, else one blank.
type View struct {
	Visible, Hidden string

	links []link // what HTML leads to, in the order of the source
}

// link is a URL in HTML as it stands there.
type link struct {
	ref    string
	where  Place
	hidden bool
	// Where its text stands in Visible and in Hidden; nothing for a URL that is
	// not a link.
	visible, hiddenText extent
}

// extent is a piece of a text.
type extent struct{ from, to int }

// FileText is how much is seen of a text that comes as a file, in bytes: a table of a
// megabyte is data, and its beginning is what some mail programs show below the
// message.
const FileText = 16 << 10

// fileBytes is how much of it is decoded: more than FileText, whatever the charset.
const fileBytes = 4 * FileText

// IsFile says whether a text is to be opened rather than read: an attachment that is
// no page, or a table, a calendar, a card.
func (p *Part) IsFile() bool {
	if p.IsHTML() {
		return false
	}
	return p.Disposition == "attachment" || p.Type != "text/plain" && p.Type != "text/enriched" && strings.HasPrefix(p.Type, "text/")
}

// View returns the part as it shows, and the facts met on the way, those of
// [Part.Text] with them. For what is no text it is empty. It is made when it is
// first asked for. Safe for concurrent use; it must not be changed.
func (p *Part) View() (*View, Facts) {
	p.viewOnce.Do(func() {
		text, found := p.Text()
		if text == "" {
			p.view, p.viewFact = new(View), found
			return
		}
		w := p.budget.watch()
		switch {
		case p.IsHTML():
			p.view, p.viewFact = htmlView(text, &w)
		case p.IsFile() && len(text) > FileText:
			p.view = &View{Visible: squeeze(strings.ToValidUTF8(text[:FileText], ""), &w)}
		default:
			p.view = &View{Visible: squeeze(text, &w)}
		}
		w.note(&p.viewFact)
		p.viewFact |= found
	})
	return p.view, p.viewFact
}

// VisibleText returns what a reader sees of the message: all text parts in their
// order, those of enclosed messages too, with a line feed between them; and the
// facts met on the way. See [View]. Safe for concurrent use.
func (t *Tree) VisibleText() (string, Facts) {
	t.readOnce.Do(t.read)
	return t.visible, t.readFact
}

// HiddenText returns what is in the text of the message and not shown to its
// reader, in the same way as VisibleText.
func (t *Tree) HiddenText() (string, Facts) {
	t.readOnce.Do(t.read)
	return t.hidden, t.readFact
}

func (t *Tree) read() {
	var visible, hidden []string
	for _, p := range t.Parts {
		if !p.IsText() {
			continue
		}
		view, found := p.View()
		t.readFact |= found
		if view.Visible != "" {
			visible = append(visible, view.Visible)
		}
		if view.Hidden != "" {
			hidden = append(hidden, view.Hidden)
		}
	}
	t.visible, t.hidden = strings.Join(visible, "\n"), strings.Join(hidden, "\n")
}

// squeeze returns text with its white space squeezed and none of it around; as much as
// there is time for.
func squeeze(text string, w *watch) string {
	text = strings.TrimFunc(text, isShownAsSpace)
	i := nextSqueeze(text, 0)
	if i == len(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for from := 0; ; {
		b.WriteString(text[from:i])
		if i == len(text) || !w.spend(i-from+1) {
			return b.String()
		}
		gap := byte(' ')
		for n := spaceAt(text[i:]); n > 0; n = spaceAt(text[i:]) {
			if text[i] == '\n' {
				gap = '\n'
			}
			i += n
		}
		b.WriteByte(gap)
		from = i
		i = nextSqueeze(text, i)
	}
}

// nextSqueeze returns where white space begins that is not one blank or one line
// feed. Text neither begins nor ends with white space.
func nextSqueeze(text string, i int) int {
	for i < len(text) {
		if c := text[i]; c > ' ' && c != nbsp[0] {
			i++
			continue
		}
		n := spaceAt(text[i:])
		if n == 0 {
			i++
			continue
		}
		if (text[i] != ' ' && text[i] != '\n') || spaceAt(text[i+1:]) > 0 {
			return i
		}
		i++
	}
	return i
}

const nbsp = "\u00a0" // the no-break space

// spaceAt returns the length of the white space character that text begins
// with, 0 if it begins with another. The no-break space counts.
func spaceAt(text string) int {
	if text == "" {
		return 0
	}
	switch text[0] {
	case ' ', '\t', '\n', '\f', '\r':
		return 1
	case nbsp[0]:
		if len(text) > 1 && text[1] == nbsp[1] {
			return 2
		}
	}
	return 0
}

func isShownAsSpace(r rune) bool {
	return r == ' ' || r == '\t' || r == '\n' || r == '\f' || r == '\r' || r == '\u00a0'
}
